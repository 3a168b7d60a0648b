// Where everything lies that can be made or fetched again: pulled models, packed weights.
#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

package enum CacheFolder {
    /// The environment variable `SWIFTLET_CACHE`, or `~/.cache/swiftlet`. The folder need not exist.
    package static var path: String {
        if let named = getenv("SWIFTLET_CACHE").map({ String(cString: $0) }), !named.isEmpty { return named }
        return home + "/.cache/swiftlet"
    }

    private static var home: String {
        if let named = getenv("HOME").map({ String(cString: $0) }), !named.isEmpty { return named }
        if let user = getpwuid(getuid()), let folder = user.pointee.pw_dir { return String(cString: folder) }
        return "."
    }
}
