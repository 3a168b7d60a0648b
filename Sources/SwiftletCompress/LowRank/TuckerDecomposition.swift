// A kernel W [outputs, inputs, taps] as a small core between two bases: W ≈ core ×₁ U_out ×₂ U_in.
//
// Tucker's decomposition of the two modes of channels (Kim et al., "Compression of deep convolutional neural networks for fast and low power mobile
// applications", 2016). Bases begin as the leading singular vectors of the two unfoldings (HOSVD) and are then improved in turn, each for the other
// one held (HOOI: De Lathauwer, De Moor and Vandewalle, 2000).
import SwiftletLinearAlgebra
import SwiftletRuntime

package struct TuckerDecomposition: Sendable {
    package let outputs: Int
    package let inputs: Int
    package let taps: Int
    /// Of the unfoldings by output and by input channel, in descending order.
    package let outputValues: [Double]
    package let inputValues: [Double]
    package let energy: Double

    private let kernel: Matrix<Double>
    private let outputBasis: Matrix<Double>
    private let inputBasis: Matrix<Double>

    /// Decomposes `kernel`, `[outputs, inputs, taps]` in one array. Throws what the decomposition throws.
    package init(_ kernel: [Float], outputs: Int, inputs: Int, taps: Int) throws {
        self.outputs = outputs
        self.inputs = inputs
        self.taps = taps
        self.kernel = try Matrix(rows: outputs, columns: inputs * taps, elements: kernel.map(Double.init))
        energy = self.kernel.elements.reduce(0) { $0 + $1 * $1 }
        let byOutput = try LinearAlgebra.singularValueDecomposition(self.kernel)
        let byInput = try LinearAlgebra.singularValueDecomposition(Self.exchanged(self.kernel, inner: inputs, taps: taps))
        (outputValues, outputBasis) = (byOutput.singularValues, byOutput.u)
        (inputValues, inputBasis) = (byInput.singularValues, byInput.u)
    }

    /// An upper bound of ‖W − W′‖² / ‖W‖² for these ranks: what the two bases each leave out (De Lathauwer et al., property 10).
    package func errorBound(inputRank: Int, outputRank: Int) -> Double {
        guard energy > 0 else { return 0 }
        let left = outputValues.dropFirst(outputRank).reduce(0) { $0 + $1 * $1 } + inputValues.dropFirst(inputRank).reduce(0) { $0 + $1 * $1 }
        return left / energy
    }

    /// Three kernels that come one after the other.
    package struct Factors {
        /// `[inputRank, inputs]`
        package let inner: [Float]
        /// `[outputRank, inputRank, taps]`
        package let core: [Float]
        /// `[outputs, outputRank]`
        package let outer: [Float]
        /// ‖W − W′‖² / ‖W‖²
        package let error: Double
    }

    /// The factors for ranks between 1 and the sizes of the unfoldings' smaller sides.
    package func factors(inputRank: Int, outputRank: Int, sweeps: Int) throws -> Factors {
        var outputBasis = try Self.leading(outputBasis, outputRank)
        var inputBasis = try Self.leading(inputBasis, inputRank)
        for _ in 0..<sweeps {
            outputBasis = try Self.basis(of: onInputs(kernel, inputBasis), outputRank)
            let projected = try LinearAlgebra.matrixMultiply(outputBasis, kernel, transposeA: true)
            inputBasis = try Self.basis(of: Self.exchanged(projected, inner: inputs, taps: taps), inputRank)
        }
        let core = try LinearAlgebra.matrixMultiply(outputBasis, onInputs(kernel, inputBasis), transposeA: true)
        let caught = core.elements.reduce(0) { $0 + $1 * $1 }
        let inner = (0..<inputRank).flatMap { rank in (0..<inputs).map { Float(inputBasis[$0, rank]) } }
        return Factors(
            inner: inner, core: core.elements.map { Float($0) }, outer: outputBasis.elements.map { Float($0) },
            error: energy > 0 ? max(0, 1 - caught / energy) : 0)
    }

    /// `[a, inputs, taps]` times the basis `[inputs, rank]` along the inputs: `[a, rank, taps]`.
    private func onInputs(_ tensor: Matrix<Double>, _ basis: Matrix<Double>) throws -> Matrix<Double> {
        let byInput = try Self.exchanged(tensor, inner: inputs, taps: taps)
        return try Self.exchanged(LinearAlgebra.matrixMultiply(basis, byInput, transposeA: true), inner: tensor.rows, taps: taps)
    }

    /// `[a, inner, taps]` as `[inner, a, taps]`.
    private static func exchanged(_ tensor: Matrix<Double>, inner: Int, taps: Int) throws -> Matrix<Double> {
        let outer = tensor.rows
        var elements = [Double](repeating: 0, count: tensor.elements.count)
        for a in 0..<outer {
            for b in 0..<inner {
                for tap in 0..<taps { elements[(b * outer + a) * taps + tap] = tensor.elements[(a * inner + b) * taps + tap] }
            }
        }
        return try Matrix(rows: inner, columns: outer * taps, elements: elements)
    }

    private static func leading(_ basis: Matrix<Double>, _ rank: Int) throws -> Matrix<Double> {
        let elements = (0..<basis.rows).flatMap { row in (0..<rank).map { basis[row, $0] } }
        return try Matrix(rows: basis.rows, columns: rank, elements: elements)
    }

    private static func basis(of unfolding: Matrix<Double>, _ rank: Int) throws -> Matrix<Double> {
        let vectors = try LinearAlgebra.singularValueDecomposition(unfolding).u
        return try leading(vectors, min(rank, vectors.columns))
    }
}
