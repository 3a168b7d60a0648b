// What a caller may choose when loading a language model.
import SwiftletRuntime

/// How a model is loaded and run.
public struct ModelOptions: Sendable {
    /// Threads that compute; nil for what `swiftlet doctor --tune` found on this machine, otherwise one a physical core.
    public var threads: Int?
    /// The instruction set kernels may use; nil for the best the machine has (or the SWIFTLET_ISA variable).
    public var instructionSet: InstructionSet?
    /// How keys and values are stored.
    public var cacheType: CacheType
    /// The longest context sessions will use, in tokens; nil for the trained one.
    public var context: Int?
    /// How activations of quantised layers are rounded.
    public var activations: Activations
    /// Whether packed weights are kept on disk, mapped at the next start and shared by processes. Small models never are.
    public var usesWeightCache: Bool
    /// The folder for them; nil for `packed` in the cache (`SWIFTLET_CACHE`, or `~/.cache/swiftlet`).
    public var weightCacheFolder: String?
    /// Whether what `swiftlet doctor --tune` measured on this machine is used: the thread count, where `threads` is nil, and how idle threads wait.
    public var usesTuning = true
    /// The folder of that record; nil for the cache.
    package var tuningFolder: String?
    /// From how many bytes of packed weights on they are kept.
    package var weightCacheMinimumBytes = PanelCache.minimumBytes

    /// The storage of the key/value cache.
    public enum CacheType: String, Sendable, CaseIterable {
        case f16, f32
        case q8_0

        var format: WeightFormat {
            switch self {
            case .f16: .dense(.f16)
            case .f32: .dense(.f32)
            case .q8_0: .block(.q8_0)
            }
        }
    }

    /// The rounding of activations before integer products.
    public enum Activations: String, Sendable, CaseIterable {
        /// 8 bits: fastest for prompts, an error about as large as that of 8-bit weights.
        case int8
        /// 15 bits: no visible error; decoding is as fast, prompts cost more.
        case int15
    }

    public init(
        threads: Int? = nil, instructionSet: InstructionSet? = nil, cacheType: CacheType = .f16, context: Int? = nil, activations: Activations = .int15,
        usesWeightCache: Bool = true, weightCacheFolder: String? = nil
    ) {
        self.threads = threads
        self.instructionSet = instructionSet
        self.cacheType = cacheType
        self.context = context
        self.activations = activations
        self.usesWeightCache = usesWeightCache
        self.weightCacheFolder = weightCacheFolder
    }
}
