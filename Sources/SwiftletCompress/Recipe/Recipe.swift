// What is to be done to a model, as a value: read from a YAML file, or put together from flags.
//
//     name: small and sparse
//     seed: 7
//     calibration: {windows: 64, length: 512}
//     steps:
//       - technique: wanda
//         sparsity: 0.5
//         include: ["blk.*"]
//         exclude: ["*.attn_v.weight"]
//       - technique: cast
//         format: f16
//
// `include` and `exclude` are a pattern or a list of them (`Scope`); every other key of a step is a parameter of its technique.
// RecipeReader reads files, RecipeFlags flags, RecipeStepSource checks the steps of both.
import SwiftletRuntime

/// Steps of compression with what belongs to them.
public struct Recipe: Sendable {
    /// How much of the calibration data is used.
    public struct Calibration: Sendable, Hashable, Codable {
        /// Windows of text, of `length` tokens each.
        public var windows: Int
        public var length: Int
        /// Pictures or arrays for networks, texts for encoders.
        public var samples: Int

        public init(windows: Int = 64, length: Int = 512, samples: Int = 64) {
            self.windows = windows
            self.length = length
            self.samples = samples
        }
    }

    /// What people call it.
    public var name: String?
    /// Decides everything random; nil leaves it to the caller.
    public var seed: UInt64?
    public var calibration: Calibration
    public var steps: [any CompressionStep]

    public init(name: String? = nil, seed: UInt64? = nil, calibration: Calibration = Calibration(), steps: [any CompressionStep]) {
        self.name = name
        self.seed = seed
        self.calibration = calibration
        self.steps = steps
    }

    public var compressor: Compressor { Compressor(steps) }
}
