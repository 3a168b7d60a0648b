// The catalogue reaches every row, its checks pass for the kernels as they are, and do not pass for wrong ones.
import CKernels
import SwiftletPortableKernels
import SwiftletTensor
import Testing

import SwiftletKernelCases

/// Small layers with ragged sizes.
private func convolution(_ name: String, _ sizes: [Int]) -> [Layer] {
    ConvolutionShape(sizes).map { [Layer(model: "small", name: name, count: 1, shape: .convolution($0))] } ?? []
}

private let layers = [
    Layer(model: "small", name: "a", count: 1, shape: .linear(format: .block(.q4_1), outputs: 50, inputs: 96)),
    Layer(model: "small", name: "b", count: 1, shape: .linear(format: .block(.q8_0), outputs: 16, inputs: 64)),
    Layer(model: "small", name: "vocabulary", count: 1, shape: .linear(format: .block(.q8_0), outputs: 1_031, inputs: 32)),
    Layer(model: "small", name: "heads", count: 1, shape: .attention(heads: 6, keyValueHeads: 2, headDimension: 64)),
    Layer(model: "small", name: "width", count: 1, shape: .vector(elements: 77)),
] + convolution("image", [9, 14, 20, 33, 1, 3, 3, 1, 1, 1, 1, 1, 1]) + convolution("channels", [9, 14, 20, 20, 20, 5, 5, 2, 2, 2, 2, 2, 2])
    + convolution("pixels", [9, 14, 20, 33, 1, 1, 1, 1, 1, 0, 0, 0, 0])

private let smallOptions = KernelCatalog.Options(streamedBytes: 1 << 16)

@Suite struct KernelCatalogTests {
    @Test func reachesEveryRow() {
        let catalog = KernelCatalog(layers: layers, options: smallOptions)
        func names<Row>(_ count: Int, _ at: (Int) -> UnsafePointer<Row>?, _ name: (Row) -> UnsafePointer<CChar>?) -> Set<String> {
            Set((0..<count).compactMap { at($0).flatMap { name($0.pointee) }.map { String(cString: $0) } })
        }
        let linear = names(ck_linear_row_count(), ck_linear_row_at) { $0.name }, quantize = names(ck_quantize_row_count(), ck_quantize_row_at) { $0.name }
        let attention = names(ck_attention_row_count(), ck_attention_row_at) { $0.name },
            vector = names(ck_vector_set_count(), ck_vector_set_at) { $0.name },
            images = names(ck_conv_set_count(), ck_conv_set_at) { $0.name }.union(names(ck_conv_bf16_set_count(), ck_conv_bf16_set_at) { $0.name }),
            sparse = names(ck_sparse_row_count(), ck_sparse_row_at) { $0.name },
            sparseImages = names(ck_sparse_conv_row_count(), ck_sparse_conv_row_at) { $0.name }, split = names(ck_split_row_count(), ck_split_row_at) { $0.name }
        let portable = PortableKernels.linear.map(\.name) + PortableKernels.quantizers.map(\.name) + [PortableKernels.vector.name, PortableKernels.attention.name]
        let all = linear.union(quantize).union(attention).union(vector).union(images).union(sparse).union(sparseImages).union(split).union(portable.compactMap { $0.map { String(cString: $0) } })
        #expect(Set(catalog.cases.map(\.kernel)).union(catalog.missingRows) == all)
        #expect(Set(catalog.cases.map(\.name)).count == catalog.cases.count)
        #expect(catalog.oversized.isEmpty)
        // The scalar twins alone are left without instruction sets.
        let scalar = KernelCatalog(layers: layers, isa: 0, options: smallOptions)
        #expect(scalar.cases.allSatisfy { $0.isa == 0 && $0.kernel.hasSuffix("scalar") } && !scalar.cases.isEmpty)
        #expect(scalar.missingRows.count == all.filter { !$0.hasSuffix("scalar") }.count)
        let tiny = KernelCatalog(layers: layers, options: KernelCatalog.Options(largestWeightBytes: 1))
        #expect(!tiny.oversized.isEmpty && tiny.cases.allSatisfy { $0.family != .linear && $0.family != .sparse })
    }

    @Test func everyKernelAgreesWithItsTwin() throws {
        for kernelCase in KernelCatalog(layers: layers, options: smallOptions).cases {
            let kernel = try kernelCase.prepare()
            kernel.run(calls: 3)
            #expect(throws: Never.self, "\(kernelCase.name)") { try kernel.verify() }
        }
    }

    @Test func knowsTheWork() throws {
        let cases = KernelCatalog(layers: layers, isa: 0, options: smallOptions).cases
        func find(_ name: String) throws -> KernelCase { try #require(cases.first { $0.name == name }) }
        let product = try find("linear/linear_q4m_q8_scalar/small/a/rows=64")
        #expect(product.operations == 2 * 64 * 50 * 96 && product.isOwnFormat && !product.streamsMemory && product.peakUnit == "int8")
        // 4 panels of a header and 3 blocks of 320 bytes; rows of 96 numbers and 3 records of 32 bytes, to whole lines; floats out.
        #expect(product.bytes == Double(4 * (64 + 3 * 320) + 64 * (256 + 4 * 50)))
        #expect(try !find("linear/linear_q8_q8_scalar/small/a/rows=1").isOwnFormat)
        #expect(try find("linear/linear_q4m_q8_scalar/small/a/rows=1").streamsMemory)
        #expect(try find("convolution/conv_scalar/small/image/winograd").operations == 2 * 9 * 14 * 33 * 20 * 9)
        #expect(try find("convolution/conv_scalar/small/channels/depthwise").bytes == 4 * Double(20 * (9 * 14 + 25 + 5 * 7)))
        #expect(try find("attention/attention_scalar/small/heads/f16/tokens=1024/rows=1").operations == 4 * 1024 * 3 * 64)
    }

    /// Kernels that leave the output alone, that write too few outputs, and that are slightly off.
    @Test func wrongKernelsAreFound() throws {
        func check(_ function: @escaping ck_linear_function) throws {
            let kernel = try LinearKernel(
                kernel: "wrong", function: function, panel: CK_PANEL_Q4M, activation: CK_ACT_Q8, outputs: 50, inputs: 96, rows: 3,
                footprint: 0)
            #expect(throws: SwiftletError.self) { try kernel.verify() }
        }
        try check { _ in }
        try check { args in
            guard var fewer = args?.pointee else { return }
            fewer.columns -= 1
            ck_linear_find(CK_PANEL_Q4M, CK_ACT_Q8, 0, 1)?.pointee.function(&fewer)
        }
        try check { args in
            guard let args, let output = args.pointee.output else { return }
            ck_linear_find(CK_PANEL_Q4M, CK_ACT_Q8, 0, 1)?.pointee.function(args)
            output[70] = output[70].nextUp
        }
    }
}
