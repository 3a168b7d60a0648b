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
    package static func isFastestInF32(_ convolution: Convolution, x: Shape, result: Shape) -> Bool {
        guard convolution.window.rank == 2, x.rank == 4, result.rank == 4 else { return false }
        var shape = ck_conv_shape()
        (shape.output_height, shape.output_width) = (Int64(result[2]), Int64(result[3]))
        (shape.kernel_height, shape.kernel_width) = (Int64(convolution.window.kernel[0]), Int64(convolution.window.kernel[1]))
        (shape.stride_height, shape.stride_width) = (Int64(convolution.window.strides[0]), Int64(convolution.window.strides[1]))
        (shape.dilation_height, shape.dilation_width) = (Int64(convolution.window.dilations[0]), Int64(convolution.window.dilations[1]))
        (shape.input_channels, shape.output_channels) = (Int64(x[1] / convolution.groups), Int64(result[1] / convolution.groups))
        return ck_winograd_pays(&shape)
    }

    package func preference(for node: Node, in graph: Graph) -> Int {
        CPULowering.canLower(node, in: graph) ? 10 : 0
    }

    package func compile(_ partition: Partition) throws -> any Program {
        var lowering = CPULowering(partition, backend: self)
        return try lowering.program()
    }
}
