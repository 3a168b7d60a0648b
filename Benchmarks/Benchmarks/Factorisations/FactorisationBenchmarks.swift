// Singular values of square f32 matrices: in full, and the leading ones by random projection. `Peers/lapacke_svd.c` is the same through LAPACKE alone.
import Benchmark
import SwiftletLinearAlgebra

let benchmarks: @Sendable () -> Void = {
    for size in [1024, 2048, 4096] {
        register("svd/full/n=\(size)", size) { blackHole(try LinearAlgebra.singularValueDecomposition($0)) }
        for rank in [size / 32, size / 8] {
            register("svd/rank=\(rank)/n=\(size)", size) { blackHole(try LinearAlgebra.truncatedSingularValueDecomposition($0, rank: rank)) }
        }
    }
}

/// A benchmark of `work` on the matrix that `lapacke_svd.c` fills as well.
private func register(_ name: String, _ size: Int, _ work: @escaping @Sendable (Matrix<Float>) throws -> Void) {
    let configuration = Benchmark.Configuration(metrics: [.wallClock], warmupIterations: 0, maxDuration: .seconds(60), maxIterations: 3)
    Benchmark(
        name, configuration: configuration,
        closure: { benchmark in
            do {
                let matrix = try Matrix(rows: size, columns: size, elements: values(size * size))
                benchmark.startMeasurement()
                try work(matrix)
                benchmark.stopMeasurement()
            } catch {
                benchmark.error("\(error)")
            }
        })
}

/// Uniform between -1 and 1, from the generator of Knuth's MMIX.
private func values(_ count: Int) -> [Float] {
    var state: UInt64 = 1
    return (0..<count).map { _ in
        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        return Float(Int32(truncatingIfNeeded: state >> 33)) / 1_073_741_824 - 1
    }
}
