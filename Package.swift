// swift-tools-version: 6.2
import PackageDescription

let package = Package(
    name: "swiftlet",
    platforms: [.macOS(.v15), .iOS(.v18)],
    products: [
        .library(name: "SwiftletTensor", targets: ["SwiftletTensor"]),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
    ],
    targets: [
        // C micro-kernels: no allocation, no threads, no mutable globals. The whole surface is include/ckernels.h.
        .target(
            name: "CKernels", path: "CKernels", publicHeadersPath: "include", cSettings: [.headerSearchPath(".")],
            linkerSettings: [.linkedLibrary("m", .when(platforms: [.linux]))]),

        .target(name: "SwiftletTensor", dependencies: ["CKernels"]),
        .target(name: "SwiftletGraph", dependencies: ["SwiftletTensor"]),
        .target(name: "SwiftletFormats", dependencies: ["SwiftletGraph"]),
        .target(name: "SwiftletRuntime", dependencies: ["SwiftletGraph", "CKernels"]),

        // Naive operations in Double, seeded data and tolerances, shared by every test target.
        .target(name: "TestSupport", dependencies: ["SwiftletGraph"], path: "Tests/TestSupport"),
        .testTarget(name: "CKernelsTests", dependencies: ["CKernels", "SwiftletTensor", "TestSupport"]),
        .testTarget(name: "SwiftletTensorTests", dependencies: ["SwiftletTensor", "TestSupport"]),
        .testTarget(name: "CKernelsTests", dependencies: ["CKernels", "SwiftletTensor", "TestSupport"]),
        .testTarget(name: "SwiftletGraphTests", dependencies: ["SwiftletGraph", "TestSupport"]),
        .testTarget(name: "SwiftletFormatsTests", dependencies: ["SwiftletFormats", "TestSupport"]),
    ],
    swiftLanguageModes: [.v6],
    cLanguageStandard: .c17
)
