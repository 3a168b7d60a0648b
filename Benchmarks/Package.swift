// swift-tools-version: 6.2
// A package of its own, so that apps which depend on Swiftlet never resolve the benchmark harness.
import PackageDescription

let package = Package(
    name: "swiftlet-benchmarks",
    platforms: [.macOS(.v15)],
    dependencies: [
        .package(name: "swiftlet", path: ".."),
        // No traits: the malloc and retain hooks cost time and measure nothing in C kernels that never allocate.
        .package(url: "https://github.com/ordo-one/benchmark", from: "1.38.1", traits: []),
    ],
    targets: [
        .executableTarget(
            name: "KernelBenchmarks",
            dependencies: [
                .product(name: "SwiftletKernelCases", package: "swiftlet"),
                .product(name: "Benchmark", package: "benchmark"),
            ],
            path: "Benchmarks/Kernels",
            plugins: [.plugin(name: "BenchmarkPlugin", package: "benchmark")]),
        .executableTarget(
            name: "TokenBenchmarks",
            dependencies: [
                .product(name: "SwiftletMeasure", package: "swiftlet"),
                .product(name: "AllocationCounter", package: "swiftlet"),
                .product(name: "Benchmark", package: "benchmark"),
            ],
            path: "Benchmarks/Tokens",
            plugins: [.plugin(name: "BenchmarkPlugin", package: "benchmark")]),
        .executableTarget(
            name: "FactorisationBenchmarks",
            dependencies: [
                .product(name: "SwiftletLinearAlgebra", package: "swiftlet"),
                .product(name: "Benchmark", package: "benchmark"),
            ],
            path: "Benchmarks/Factorisations",
            plugins: [.plugin(name: "BenchmarkPlugin", package: "benchmark")]),
    ],
    swiftLanguageModes: [.v6],
    cLanguageStandard: .c17
)
