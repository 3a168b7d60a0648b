// The CPU backend: C kernels on our own threads. Takes every node it has a kernel for; weights are packed once into panels.
import CKernels

/// Runs graphs on the CPU's vector units.
package struct CPUBackend: Backend {
    package let name = "cpu"
    /// The instruction sets kernels may use (CK_ISA_* bits).
    package let isa: UInt32
    /// How activations of quantised layers are rounded.
    package let activation: ActivationPrecision
    let pool: ThreadPool
    /// Where packed weights are kept between runs; nil packs them anew.
    let panels: PanelCache?
    /// Packed weights that the graphs compiled here share.
    let constants = PackedConstants()

    /// What a quantised weight is multiplied with.
    package enum ActivationPrecision: Sendable {
        /// One 8-bit term a value.
        case int8
        /// Two 8-bit terms, 15 bits a value: an error no output distribution shows, for twice the products.
        case int15

        var format: ck_activation_format {
            switch self {
            case .int8: CK_ACT_Q8
            case .int15: CK_ACT_Q15
            }
        }
    }

    package init(pool: ThreadPool, isa: UInt32, activation: ActivationPrecision = .int15, panels: PanelCache? = nil) {
        self.pool = pool
        self.isa = isa
        self.activation = activation
        self.panels = panels
    }

    /// Whether a convolution of f32 has an algorithm here that beats the direct one in bf16: Winograd's takes a quarter of the products.
    package static func isFastestInF32(_ convolution: Convolution, x: ValueType, result: ValueType) -> Bool {
        guard let input = ImageSize(x), let output = ImageSize(result) else { return false }
        let shape = CPULowering.shape(
            convolution.window, from: input, to: output, inputs: input.channels / convolution.groups, outputs: output.channels / convolution.groups)
        return withUnsafePointer(to: shape) { ck_winograd_pays($0) }
    }

    package func preference(for node: Node, in graph: Graph) -> Int {
        CPULowering.canLower(node, in: graph) ? 10 : 0
    }

    package func compile(_ partition: Partition) throws -> any Program {
        var lowering = CPULowering(partition, backend: self)
        return try lowering.program()
    }
}
