// swift-tools-version: 6.2
import PackageDescription

let package = Package(
    name: "swiftlet",
    platforms: [.macOS(.v15), .iOS(.v18)],
    products: [
        .library(name: "Swiftlet", targets: ["Swiftlet"]),
        // Pictures and sound for networks; they need libjpeg and libpng.
        .library(name: "SwiftletVision", targets: ["SwiftletVision"]),
        .library(name: "SwiftletAudio", targets: ["SwiftletAudio"]),
        // Quantising, pruning and factorising models; needs OpenBLAS and LAPACKE.
        .library(name: "SwiftletCompress", targets: ["SwiftletCompress"]),
        // The bare kernels, for benchmarks and for engines of other kinds.
        .library(name: "CKernels", targets: ["CKernels"]),
        // Kernels set up on the shapes of real layers, for the benchmarks in Benchmarks/, a package of its own.
        .library(name: "SwiftletKernelCases", targets: ["SwiftletKernelCases"]),
        // Measurements of models and machines, for the benchmarks.
        .library(name: "SwiftletMeasure", targets: ["SwiftletMeasure", "SwiftletLanguage", "SwiftletFormats", "SwiftletModels"]),
        // Dense linear algebra on OpenBLAS and LAPACK, for the benchmarks.
        .library(name: "SwiftletLinearAlgebra", targets: ["SwiftletLinearAlgebra"]),
        // Takes the place of malloc in whatever links it: for benchmarks only.
        .library(name: "AllocationCounter", targets: ["AllocationCounter"]),
        .executable(name: "swiftlet", targets: ["swiftlet-cli"]),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
        // Decodes ONNX files. Its compiler plug-in is never built here: the generated code is committed.
        .package(url: "https://github.com/apple/swift-protobuf", from: "1.39.0", traits: []),
        // Reads recipes of compression.
        .package(url: "https://github.com/jpsim/Yams", from: "6.2.2"),
    ],
    targets: [
        // C micro-kernels: no allocation, no threads, no mutable globals. The whole surface is include/ckernels.h.
        .target(
            name: "CKernels", path: "CKernels", publicHeadersPath: "include", cSettings: [.headerSearchPath(".")],
            linkerSettings: [.linkedLibrary("m", .when(platforms: [.linux]))]),

        // Kernels in Swift's vector types, for machines the C tables have only scalar rows for.
        .target(name: "SwiftletPortableKernels", dependencies: ["CKernels"]),

        .target(name: "SwiftletTensor", dependencies: ["CKernels"]),
        .target(name: "SwiftletGraph", dependencies: ["SwiftletTensor"]),
        .target(name: "SwiftletFormats", dependencies: ["SwiftletGraph", .product(name: "SwiftProtobuf", package: "swift-protobuf")]),
        .target(name: "SwiftletRuntime", dependencies: ["SwiftletGraph", "CKernels", "SwiftletPortableKernels"]),
        .target(name: "SwiftletLanguage", dependencies: ["SwiftletRuntime", "SwiftletFormats", "CKernels"]),

        // Any ONNX network: import to graphs, and the model an app runs.
        .target(name: "SwiftletNetwork", dependencies: ["SwiftletRuntime", "SwiftletFormats", "CKernels"]),

        // OpenBLAS and LAPACKE as the system has them; the constructor that puts OpenBLAS on the right core; the one room that calls them.
        .systemLibrary(
            name: "COpenBLAS", pkgConfig: "openblas",
            providers: [.apt(["libopenblas-dev", "liblapacke-dev"]), .brew(["openblas", "lapack"])]),
        .target(name: "COpenBLASCore"),
        .target(name: "SwiftletLinearAlgebra", dependencies: ["COpenBLAS", "COpenBLASCore", "SwiftletTensor"]),

        // libjpeg(-turbo) and libpng as the system has them; what calls setjmp for them; pictures, and what networks want of them.
        .systemLibrary(name: "CJPEG", pkgConfig: "libjpeg", providers: [.apt(["libjpeg-dev"]), .brew(["jpeg-turbo"])]),
        .systemLibrary(name: "CPNG", pkgConfig: "libpng", providers: [.apt(["libpng-dev"]), .brew(["libpng"])]),
        .target(name: "CImageCodecs", dependencies: ["CJPEG", "CPNG"]),
        .target(name: "SwiftletVision", dependencies: ["CImageCodecs", "SwiftletNetwork", "SwiftletFormats", "SwiftletGraph", "SwiftletTensor"]),

        // Sound, and what networks want of it.
        .target(name: "SwiftletAudio", dependencies: ["SwiftletNetwork", "SwiftletFormats", "SwiftletTensor"]),

        // Every kernel × real layer shapes: filled, checked against the scalar twin, ready to be timed.
        .target(name: "SwiftletKernelCases", dependencies: ["CKernels", "SwiftletPortableKernels", "SwiftletTensor"]),

        // Models by name or address, fetched into one cache folder and checked; HTTP through libcurl, which is loaded with the first request.
        .target(name: "CCurl"),
        .target(name: "SwiftletModels", dependencies: ["CCurl", "SwiftletTensor"]),
        // What the machine is and can do, and how well models do on it.
        .target(
            name: "SwiftletMeasure",
            dependencies: [
                "CKernels", "SwiftletKernelCases", "SwiftletLanguage", "SwiftletLinearAlgebra", "SwiftletModels", "SwiftletNetwork", "SwiftletVision", "SwiftletCompress",
            ]),

        // Makes models smaller: calibration, quantisers, pruners, low rank, mixed precision, recipes.
        .target(
            name: "SwiftletCompress",
            dependencies: ["SwiftletRuntime", "SwiftletFormats", "SwiftletLinearAlgebra", "SwiftletLanguage", "SwiftletNetwork", "CKernels", "Yams"]),

        // What an app imports.
        .target(name: "Swiftlet", dependencies: ["SwiftletLanguage", "SwiftletNetwork", "SwiftletModels"]),

        // The command: one file a subcommand.
        .executableTarget(
            name: "swiftlet-cli",
            dependencies: ["SwiftletMeasure", "SwiftletCompress", "SwiftletKernelCases", "SwiftletNetwork", "SwiftletVision", "SwiftletAudio", .product(name: "ArgumentParser", package: "swift-argument-parser")]),

        // The published operator tests of ONNX.
        .executableTarget(
            name: "onnx-conformance",
            dependencies: ["SwiftletNetwork", "SwiftletFormats", .product(name: "ArgumentParser", package: "swift-argument-parser")]),

        // The token loop under a counter of allocations and reference counts. A program of its own, because the counter takes the place of malloc.
        .target(name: "AllocationCounter"),
        .executableTarget(
            name: "token-loop",
            dependencies: ["AllocationCounter", "SwiftletMeasure", .product(name: "ArgumentParser", package: "swift-argument-parser")]),

        // Naive operations in Double, seeded data and tolerances, shared by every test target.
        .target(name: "TestSupport", dependencies: ["SwiftletGraph"], path: "Tests/TestSupport"),
        .testTarget(name: "SwiftletTensorTests", dependencies: ["SwiftletTensor", "TestSupport"]),
        .testTarget(name: "CKernelsTests", dependencies: ["CKernels", "SwiftletPortableKernels", "SwiftletTensor", "TestSupport"]),
        .testTarget(name: "SwiftletNetworkTests", dependencies: ["SwiftletNetwork", "SwiftletRuntime", "SwiftletFormats", "TestSupport"]),
        .testTarget(name: "SwiftletGraphTests", dependencies: ["SwiftletGraph", "TestSupport"]),
        .testTarget(name: "SwiftletFormatsTests", dependencies: ["SwiftletFormats", "TestSupport"]),
        .testTarget(name: "SwiftletRuntimeTests", dependencies: ["SwiftletRuntime", "CKernels", "TestSupport"]),
        .testTarget(
            name: "SwiftletLanguageTests", dependencies: ["SwiftletLanguage", "TestSupport"],
            exclude: ["Scripts", "Vectors", "Tokenizers/Vectors", "Encoders/Vectors"]),
        .testTarget(name: "SwiftletPortableKernelsTests", dependencies: ["SwiftletPortableKernels", "CKernels", "SwiftletTensor", "TestSupport"]),
        .testTarget(name: "SwiftletTests", dependencies: ["Swiftlet", "SwiftletVision", "SwiftletAudio"]),
        .testTarget(name: "SwiftletLinearAlgebraTests", dependencies: ["SwiftletLinearAlgebra", "COpenBLASCore", "TestSupport"]),
        .testTarget(
            name: "SwiftletVisionTests",
            dependencies: ["SwiftletVision", "SwiftletNetwork", "SwiftletRuntime", "SwiftletFormats", "SwiftletModels", "TestSupport"], exclude: ["Scripts", "Vectors"]),
        .testTarget(
            name: "SwiftletAudioTests", dependencies: ["SwiftletAudio", "SwiftletNetwork", "SwiftletFormats", "TestSupport"], exclude: ["Scripts", "Vectors"]),
        .testTarget(
            name: "SwiftletCompressTests",
            dependencies: ["SwiftletCompress", "SwiftletLanguage", "SwiftletNetwork", "SwiftletRuntime", "SwiftletFormats", "SwiftletLinearAlgebra", "SwiftletModels", "TestSupport"]),
        .testTarget(name: "SwiftletKernelCasesTests", dependencies: ["SwiftletKernelCases", "SwiftletPortableKernels", "CKernels", "SwiftletTensor"]),
        .testTarget(name: "SwiftletModelsTests", dependencies: ["SwiftletModels"]),
        .testTarget(
            name: "SwiftletMeasureTests",
            dependencies: ["SwiftletMeasure", "SwiftletCompress", "SwiftletKernelCases", "SwiftletNetwork", "SwiftletFormats", "SwiftletVision", "CKernels", "TestSupport"]),
        .testTarget(name: "SwiftletCLITests", dependencies: ["swiftlet-cli", "token-loop", "SwiftletFormats", "TestSupport"]),
    ],
    swiftLanguageModes: [.v6],
    cLanguageStandard: .c17
)
