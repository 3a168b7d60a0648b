// The one room that speaks BLAS and LAPACK. This file says which library is behind it and on which of its cores it runs; products and
// factorisations are in the files beside it. Nothing else in the package imports COpenBLAS.
import COpenBLAS
import COpenBLASCore
import SwiftletTensor

/// Dense linear algebra on OpenBLAS and LAPACK: matrix products, SVD, QR and Cholesky.
public enum LinearAlgebra {
    /// Who chose the kernel set OpenBLAS runs on.
    public enum CoreChoice: String, Sendable, Codable {
        /// OpenBLAS, and its choice fits this CPU.
        case library
        /// Swiftlet, before `main`, because OpenBLAS did not know this CPU.
        case engine
        /// The environment variable `OPENBLAS_CORETYPE`.
        case user
        /// OpenBLAS; the choice does not fit this CPU, and this build of OpenBLAS cannot be switched.
        case unfit
    }

    /// The library behind this module.
    public struct Configuration: Sendable, Codable, Equatable {
        /// Version of OpenBLAS, for example "0.3.21".
        public let version: String
        /// The library's own description of its build, for example "OpenBLAS 0.3.21 NO_LAPACKE DYNAMIC_ARCH NO_AFFINITY SkylakeX MAX_THREADS=64".
        public let build: String
        /// The core in use, for example "SkylakeX".
        public let coreName: String
        /// The core OpenBLAS had chosen by itself when it was loaded.
        public let coreNameAtLoad: String
        /// Who chose the core in use.
        public let coreChoice: CoreChoice
        /// A core that fits this CPU better than the one in use, where there is one.
        public let betterCoreName: String?
        /// Threads OpenBLAS uses for one call.
        public let threads: Int
    }

    /// The kernel set OpenBLAS runs on, for example "SkylakeX".
    public static var coreName: String { String(cString: openblas_get_corename()) }

    /// The library as it is now.
    public static var configuration: Configuration {
        let build = String(cString: openblas_get_config())
        let words = build.split(separator: " ")
        let choice: CoreChoice =
            switch Int(openblas_core_chosen_by()) {
            case OPENBLAS_CORE_BY_ENGINE: .engine
            case OPENBLAS_CORE_BY_USER: .user
            case OPENBLAS_CORE_UNFIT: .unfit
            default: .library
            }
        let core = coreName
        return Configuration(
            version: words.count > 1 ? String(words[1]) : "unknown", build: build, coreName: core,
            coreNameAtLoad: String(cString: openblas_core_at_load()), coreChoice: choice,
            betterCoreName: openblas_core_replacement(openblas_core_features(), core).map { String(cString: $0) },
            threads: Int(openblas_get_num_threads()))
    }

    /// Sets how many threads one call may use; the setting belongs to the whole process.
    ///
    /// Throws `SwiftletError.invalidArgument` below 1 or above 1,024. OpenBLAS caps the number at its build's `MAX_THREADS`.
    public static func setThreads(_ count: Int) throws {
        guard (1...1024).contains(count) else {
            throw SwiftletError.invalidArgument(
                name: "threads", reason: "\(count) is not between 1 and 1024", remedy: "Use the number of physical cores.")
        }
        openblas_set_num_threads(Int32(count))
    }
}
