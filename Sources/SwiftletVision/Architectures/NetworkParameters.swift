// Where the numbers of a network come from: random ones for a start from nothing, or a file of trained ones.
import Foundation
import SwiftletFormats
import SwiftletTensor

/// The parameters of a network that is built.
public enum NetworkParameters: Sendable {
    /// Seeded, after He et al. (2015): normal, with the deviation that keeps the scale of what flows forward. The same seed and name give the same
    /// numbers, whatever else the network has.
    case random(seed: UInt64)
    /// Tensors by the names torchvision uses for the architecture (timm for MobileNetV1 and EfficientNet-Lite0, which torchvision does not have).
    /// Every tensor must be there with its shape, and nothing else but the counters `num_batches_tracked`.
    case file(SafetensorsFile)
}

/// Hands out parameters by name.
struct ParameterSource {
    /// How a parameter begins when it is not read.
    enum Initial {
        case zeros, ones
        case normal(deviation: Float)
    }

    private let parameters: NetworkParameters
    /// Names asked for so far.
    private var used: Set<String> = []
    /// Elements of all parameters that training changes: kernels, biases, and the scales and shifts of normalisations.
    private(set) var trainableCount = 0

    init(_ parameters: NetworkParameters) { self.parameters = parameters }

    /// The elements of a parameter, row after row. `isTrained`: false for running statistics.
    ///
    /// Throws `SwiftletError.malformed` when the file has no such tensor, and `.invalidArgument` when it has another shape or no floats.
    mutating func values(_ name: String, _ shape: [Int], _ initial: Initial, isTrained: Bool = true) throws -> [Float] {
        let count = shape.reduce(1, *)
        if isTrained { trainableCount += count }
        used.insert(name)
        switch parameters {
        case .random(let seed):
            switch initial {
            case .zeros: return [Float](repeating: 0, count: count)
            case .ones: return [Float](repeating: 1, count: count)
            case .normal(let deviation):
                var generator = NormalGenerator(seed: seed, name: name)
                return (0..<count).map { _ in deviation * generator.next() }
            }
        case .file(let file):
            let tensor = try file.requiredTensor(named: name)
            guard tensor.shape.dimensions == shape, tensor.type.isFloat else {
                throw SwiftletError.invalidArgument(
                    name: name, reason: "\(file.path) has it as \(tensor.type.rawValue) \(tensor.shape), the network needs floats \(Shape(shape))",
                    remedy: "Give the weights of this architecture, with the same width and number of classes.")
            }
            return try tensor.dequantized()
        }
    }

    /// Throws `SwiftletError.invalidArgument` naming a tensor of the file that the network did not ask for.
    func checkNothingIsLeft() throws {
        guard case .file(let file) = parameters else { return }
        if let other = file.tensors.first(where: { !used.contains($0.name) && !$0.name.hasSuffix("num_batches_tracked") }) {
            throw SwiftletError.invalidArgument(
                name: other.name, reason: "\(file.path) has this tensor, and the network has no place for it",
                remedy: "Give the weights of this architecture, with the same width and number of classes.")
        }
    }
}

/// Normal numbers by Box and Muller (1958) from SplitMix64 (Steele, Lea and Flood, 2014).
private struct NormalGenerator {
    private var state: UInt64
    private var spare: Float?

    init(seed: UInt64, name: String) {
        // FNV-1a over the name: Swift's own hashes differ from run to run.
        state = name.utf8.reduce(0xCBF2_9CE4_8422_2325 ^ seed &* 0x9E37_79B9_7F4A_7C15) { ($0 ^ UInt64($1)) &* 0x100_0000_01B3 }
    }

    private mutating func uniform() -> Double {
        state &+= 0x9E37_79B9_7F4A_7C15
        var bits = state
        bits = (bits ^ bits >> 30) &* 0xBF58_476D_1CE4_E5B9
        bits = (bits ^ bits >> 27) &* 0x94D0_49BB_1331_11EB
        bits ^= bits >> 31
        // Never 0: its logarithm is taken.
        return (Double(bits >> 11) + 0.5) * 0x1p-53
    }

    mutating func next() -> Float {
        if let value = spare {
            spare = nil
            return value
        }
        let (radius, angle) = ((-2 * log(uniform())).squareRoot(), 2 * Double.pi * uniform())
        spare = Float(radius * sin(angle))
        return Float(radius * cos(angle))
    }
}
