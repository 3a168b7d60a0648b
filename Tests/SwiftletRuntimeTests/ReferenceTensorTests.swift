// What the operations of imported networks mean, by hand: the reference backend through the evaluator of constants. The published operator
// tests of ONNX (Tests/Conformance) cover the breadth; here are the edges.
import SwiftletRuntime
import Testing

/// A dense weight of any element type; whole numbers are given as the storage type's.
private func weight<Element: BitwiseCopyable>(_ element: DType, _ shape: [Int], _ values: [Element]) throws -> Weight {
    try Weight(name: "operand", shape: Shape(shape), format: .dense(element), store: WeightStore(values))
}

private func floats(_ shape: [Int], _ values: [Float]) throws -> Weight { try weight(.f32, shape, values) }
private func whole(_ shape: [Int], _ values: [Int64]) throws -> Weight { try weight(.i64, shape, values) }

/// The results of one operation.
private func results(_ op: Op, _ operands: Weight...) throws -> [Weight] {
    var builder = GraphBuilder(name: "one operation")
    let inputs = operands.enumerated().map { builder.weight("operand \($0.offset)", $0.element) }
    _ = try builder.node(op, inputs, name: "node")
    let node = try #require(builder.graph.nodes.first)
    return try Evaluator.evaluate(node, in: builder.graph)
}

extension Weight {
    fileprivate func elements<Element: BitwiseCopyable>(_ type: Element.Type) -> [Element] {
        store.withBytes { bytes in (0..<shape.elementCount).map { bytes.loadUnaligned(fromByteOffset: $0 * MemoryLayout<Element>.stride, as: type) } }
    }
    fileprivate var f32: [Float] { elements(Float.self) }
    fileprivate var i64: [Int64] { elements(Int64.self) }
    fileprivate var u8: [UInt8] { elements(UInt8.self) }
}

private func result(_ op: TensorOp, _ operands: Weight...) throws -> Weight {
    switch operands.count {
    case 1: try results(.tensor(op), operands[0])[0]
    case 2: try results(.tensor(op), operands[0], operands[1])[0]
    default: try results(.tensor(op), operands[0], operands[1], operands[2])[0]
    }
}

@Suite("The reference computes whole numbers")
struct ReferenceWholeNumberTests {
    private func i64(_ function: Binary, _ a: Int64, _ b: Int64) throws -> Int64 {
        try results(.binary(function), whole([1], [a]), whole([1], [b]))[0].i64[0]
    }

    @Test("Arithmetic wraps, quotients are cut, remainders have the sign asked for") func arithmetic() throws {
        #expect(try i64(.add, .max, 1) == .min)
        #expect(try i64(.multiply, 1 << 62, 6) == .min)
        #expect(try i64(.divide, .min, -1) == .min)
        #expect(try i64(.divide, -7, 2) == -3)
        #expect(try i64(.modulo, -7, 3) == 2)
        #expect(try i64(.modulo, 7, -3) == -2)
        #expect(try i64(.remainder, -7, 3) == -1)
        #expect(try i64(.remainder, .min, -1) == 0)
        #expect(try i64(.power, -3, 3) == -27)
        #expect(try i64(.power, 2, -1) == 0)
        #expect(try i64(.power, -1, -3) == -1)
        // Beyond what a Double holds.
        #expect(try i64(.add, 1 << 53, 1) == (1 << 53) + 1)
    }

    @Test("A divisor of zero is an error") func zero() throws {
        for function in [Binary.divide, .modulo, .remainder] { #expect(throws: SwiftletError.self) { try i64(function, 1, 0) } }
    }

    @Test("u64 is unsigned") func unsigned() throws {
        let a = try weight(.u64, [2], [UInt64.max, 6]), b = try weight(.u64, [1], [2 as UInt64])
        #expect(try results(.binary(.divide), a, b)[0].elements(UInt64.self) == [UInt64.max / 2, 3])
        #expect(try results(.binary(.less), a, b)[0].u8 == [0, 0])
        #expect(try results(.binary(.shiftRight), a, b)[0].elements(UInt64.self) == [UInt64.max >> 2, 1])
        #expect(try result(.reduce(.maximum, axes: [0], keepsAxes: false), a).elements(UInt64.self) == [.max])
    }

    @Test("Shifts by the width or more") func shifts() throws {
        let a = try weight(.i8, [3], [-128, 64, 3] as [Int8]), b = try weight(.i8, [3], [8, 1, -1] as [Int8])
        #expect(try results(.binary(.shiftRight), a, b)[0].elements(Int8.self) == [-1, 32, 0])
        #expect(try results(.binary(.shiftLeft), a, b)[0].elements(Int8.self) == [0, -128, 0])
    }

    @Test("Four bits wrap at four bits") func narrow() throws {
        let a = try weight(.i4, [2], [7, -8] as [Int8]), b = try weight(.i4, [1], [1] as [Int8])
        #expect(try results(.binary(.add), a, b)[0].elements(Int8.self) == [-8, -7])
        #expect(try results(.unary(.negate), a)[0].elements(Int8.self) == [-7, -8])
    }
}

@Suite("The reference casts")
struct ReferenceCastTests {
    @Test("Floats to whole numbers are cut and wrapped") func cut() throws {
        let x = try floats([6], [1.9, -1.9, 300, .nan, .infinity, -0.5])
        let bytes = try result(.cast(.u8, saturates: true), x).u8
        #expect(Array(bytes[..<3]) == [1, 255, 44])
        #expect(bytes[5] == 0)
        #expect(try result(.cast(.bool, saturates: true), x).u8 == [1, 1, 1, 1, 1, 1])
        #expect(try result(.cast(.bool, saturates: true), floats([2], [0, -0.0])).u8 == [0, 0])
    }

    @Test("Large whole numbers round once") func large() throws {
        // Halfway between two f32 but for the last bit, which a Double loses.
        let number = Int64(1 << 60) + (1 << 36) + 1
        #expect(try result(.cast(.f32, saturates: true), whole([1], [number])).f32 == [Float(number)])
        #expect(try result(.cast(.f32, saturates: true), weight(.u64, [1], [UInt64.max])).f32 == [0x1p64])
        // 1 + 2⁻¹¹ + 2⁻⁴⁰ is just above the middle of two f16; by way of f32 it would be the middle.
        let above = try weight(.f64, [1], [1 + 0x1p-11 + 0x1p-40])
        #expect(try result(.cast(.f16, saturates: true), above).elements(UInt16.self) == [0x3c01])
    }

    @Test("Floats of eight bits, in range or not") func eight() throws {
        let x = try floats([7], [448, 500, -.infinity, .nan, 0.001953125, -0.0, 17])
        #expect(try result(.cast(.f8e4m3fn, saturates: true), x).u8 == [0x7e, 0x7e, 0xfe, 0x7f, 0x01, 0x80, 0x58])
        #expect(try result(.cast(.f8e4m3fn, saturates: false), x).u8 == [0x7e, 0x7f, 0xff, 0x7f, 0x01, 0x80, 0x58])
        let y = try floats([5], [57344, 1e6, .infinity, .nan, -0.0])
        #expect(try result(.cast(.f8e5m2, saturates: true), y).u8 == [0x7b, 0x7b, 0x7b, 0x7e, 0x80])
        #expect(try result(.cast(.f8e5m2, saturates: false), y).u8 == [0x7b, 0x7c, 0x7c, 0x7e, 0x80])
        #expect(try result(.cast(.f8e5m2fnuz, saturates: false), y).u8 == [0x7f, 0x80, 0x80, 0x80, 0])
        #expect(try result(.cast(.f8e8m0, saturates: true), floats([4], [1, 1.5, 0, .infinity])).u8 == [127, 128, 0, 255])
        #expect(try result(.cast(.f4e2m1, saturates: true), floats([6], [7, 5, 2.5, -0.2, 0.25, -6])).u8 == [7, 6, 4, 8, 0, 15])
    }

    @Test("Every bit pattern of a narrow float survives a round trip", arguments: [DType.f8e4m3fn, .f8e4m3fnuz, .f8e5m2, .f8e5m2fnuz, .f8e8m0, .f4e2m1])
    func roundTrip(_ type: DType) throws {
        let patterns = (0..<(type == .f4e2m1 ? 16 : 256)).map { UInt8($0) }
        let wide = try result(.cast(.f32, saturates: true), weight(type, [patterns.count], patterns))
        let back = try result(.cast(type, saturates: false), wide).u8
        for (pattern, value) in zip(patterns, wide.f32) where !value.isNaN { #expect(back[Int(pattern)] == pattern) }
    }

    @Test("Quantising rounds half to even and saturates; dequantising undoes it") func quantise() throws {
        let x = try floats([6], [0.5, 1.5, 2.5, -1, 300, -300]), scale = try floats([], [1])
        let zero = try weight(.u8, [], [128 as UInt8])
        let q = try result(.quantize(.u8), x, scale, zero)
        #expect(q.u8 == [128, 130, 130, 127, 255, 0])
        #expect(try result(.dequantize(.f32), q, scale, zero).f32 == [0, 2, 2, -1, 127, -128])
    }
}

@Suite("The reference moves elements")
struct ReferenceMoveTests {
    private func counting(_ shape: [Int]) throws -> Weight { try floats(shape, (0..<shape.reduce(1, *)).map(Float.init)) }

    @Test("Transpose") func transpose() throws {
        let y = try result(.transpose([2, 0, 1]), counting([2, 3, 2]))
        #expect(y.shape == [2, 2, 3])
        #expect(y.f32 == [0, 2, 4, 6, 8, 10, 1, 3, 5, 7, 9, 11])
        #expect(try result(.transpose([1, 0]), counting([0, 3])).f32 == [])
        #expect(try result(.transpose([]), counting([])).f32 == [0])
    }

    @Test("Slices walk both ways") func slice() throws {
        let x = try counting([3, 4])
        #expect(try result(.slice(Slice(starts: [2, 3], sizes: [2, 2], steps: [-1, -2])), x).f32 == [11, 9, 7, 5])
        #expect(try result(.slice(Slice(starts: [0, .max], sizes: [3, 0], steps: [1, .min])), x).f32 == [])
        #expect(try result(.slice(Slice(starts: [1, 0], sizes: [1, 2], steps: [.max, 3])), x).f32 == [4, 7])
    }

    @Test("Concat, also with nothing") func concat() throws {
        let y = try results(.tensor(.concat(axis: 1)), counting([2, 1]), counting([2, 0]), counting([2, 2]))[0]
        #expect(y.f32 == [0, 0, 1, 1, 2, 3])
    }

    @Test("Padding in every mode, cuts and more than there is") func pad() throws {
        let x = try counting([1, 3])
        func padded(_ low: Int, _ high: Int, _ mode: Pad.Mode) throws -> [Float] {
            try result(.pad(Pad(low: [0, low], high: [0, high], mode: mode)), x).f32
        }
        #expect(try padded(1, 2, .constant) == [0, 0, 1, 2, 0, 0])
        #expect(try padded(2, 1, .edge) == [0, 0, 0, 1, 2, 2])
        #expect(try padded(3, 5, .reflect) == [1, 2, 1, 0, 1, 2, 1, 0, 1, 2, 1])
        #expect(try padded(2, 4, .wrap) == [1, 2, 0, 1, 2, 0, 1, 2, 0])
        #expect(try padded(-1, 1, .constant) == [1, 2, 0])
        #expect(try result(.pad(Pad(low: [1], high: [0], mode: .constant)), weight(.i8, [1], [5] as [Int8]), weight(.i8, [], [-7] as [Int8])).elements(Int8.self) == [-7, 5])
    }

    @Test("Expand and select broadcast") func broadcast() throws {
        #expect(try result(.expand([2, 2, 3]), counting([2, 1])).f32 == [0, 0, 0, 1, 1, 1, 0, 0, 0, 1, 1, 1])
        let chosen = try result(.select, weight(.bool, [2, 1], [1, 0] as [UInt8]), whole([2], [1, 2]), whole([1], [9]))
        #expect(chosen.i64 == [1, 2, 9, 9])
    }

    @Test("Gather with negative indices; one outside is an error") func gather() throws {
        let x = try counting([2, 3])
        #expect(try result(.gather(axis: 1), x, whole([2], [-1, 0])).f32 == [2, 0, 5, 3])
        #expect(try result(.gather(axis: 0), x, weight(.i32, [], [-1 as Int32])).f32 == [3, 4, 5])
        #expect(try result(.gatherElements(axis: 0), x, whole([1, 2], [1, -2])).f32 == [3, 1])
        #expect(try result(.gatherND(batchAxes: 0), x, whole([2, 2], [0, 1, -1, -1])).f32 == [1, 5])
        #expect(try result(.gatherND(batchAxes: 1), x, whole([2, 1], [2, 0])).f32 == [2, 3])
        for index: Int64 in [3, -4, .max, .min] {
            #expect(throws: SwiftletError.self) { try result(.gather(axis: 1), x, whole([1], [index])) }
            #expect(throws: SwiftletError.self) { try result(.gatherElements(axis: 1), x, whole([1, 1], [index])) }
            #expect(throws: SwiftletError.self) { try result(.gatherND(batchAxes: 0), x, whole([1, 2], [0, index])) }
            #expect(throws: SwiftletError.self) { try result(.scatterND(.replace), x, whole([1, 2], [0, index]), floats([1], [1])) }
        }
    }

    @Test("Scatter combines in order") func scatter() throws {
        let x = try whole([4], [1, 2, 3, 4])
        #expect(try result(.scatterElements(axis: 0, .replace), x, whole([3], [1, -1, 1]), whole([3], [7, 8, 9])).i64 == [1, 9, 3, 8])
        #expect(try result(.scatterElements(axis: 0, .add), x, whole([2], [1, 1]), whole([2], [7, 9])).i64 == [1, 18, 3, 4])
        #expect(try result(.scatterND(.maximum), x, whole([2, 1], [0, 3]), whole([2], [5, 2])).i64 == [5, 2, 3, 4])
        #expect(try result(.scatterND(.multiply), floats([2, 2], [1, 2, 3, 4]), whole([1, 1], [1]), floats([1, 2], [2, 3])).f32 == [1, 2, 6, 12])
    }
}

@Suite("The reference works along axes")
struct ReferenceAxisTests {
    @Test("Reductions, and over nothing") func reduce() throws {
        let x = try floats([2, 3], [1, -2, 3, 4, 5, -6])
        #expect(try result(.reduce(.sum, axes: [1], keepsAxes: true), x).f32 == [2, 3])
        #expect(try result(.reduce(.sumOfMagnitudes, axes: [0], keepsAxes: false), x).f32 == [5, 7, 9])
        #expect(try result(.reduce(.mean, axes: [0, 1], keepsAxes: false), x).f32 == [Float(5.0 / 6)])
        let none = try floats([2, 0], [])
        #expect(try result(.reduce(.maximum, axes: [1], keepsAxes: false), none).f32 == [-.infinity, -.infinity])
        #expect(try result(.reduce(.product, axes: [1], keepsAxes: false), none).f32 == [1, 1])
        #expect(try result(.reduce(.minimum, axes: [0], keepsAxes: false), weight(.i8, [0], [] as [Int8])).elements(Int8.self) == [127])
        #expect(throws: SwiftletError.self) { try result(.reduce(.mean, axes: [0], keepsAxes: false), whole([0], [])) }
    }

    @Test("Arguments and the largest k, ties in order") func order() throws {
        let x = try floats([1, 5], [3, 7, 7, 1, 3])
        #expect(try result(.argument(.largest, axis: 1, keepsAxis: false, takesLast: false), x).i64 == [1])
        #expect(try result(.argument(.largest, axis: 1, keepsAxis: false, takesLast: true), x).i64 == [2])
        let top = try results(.tensor(.topK(k: 4, axis: 1, .largest)), x)
        #expect(top[0].f32 == [7, 7, 3, 3] && top[1].i64 == [1, 2, 0, 4])
        let least = try results(.tensor(.topK(k: 2, axis: 1, .smallest)), x)
        #expect(least[0].f32 == [1, 3] && least[1].i64 == [3, 0])
    }

    @Test("Running sums") func cumulative() throws {
        let x = try whole([4], [1, 2, 3, 4])
        #expect(try result(.cumulative(Cumulative(axis: 0)), x).i64 == [1, 3, 6, 10])
        #expect(try result(.cumulative(Cumulative(axis: 0, isExclusive: true, isReversed: true)), x).i64 == [9, 7, 4, 0])
        #expect(try result(.cumulative(Cumulative(isProduct: true, axis: 0)), x).i64 == [1, 2, 6, 24])
    }

    @Test("Products broadcast their leading axes") func matmul() throws {
        let a = try floats([2, 1, 2], [1, 2, 3, 4]), b = try floats([2, 2], [1, 0, 1, 1])
        #expect(try result(.matmul, a, b).f32 == [3, 2, 7, 4])
        #expect(try result(.matmul, floats([1, 0], []), floats([0, 2], [])).f32 == [0, 0])
        let large = try whole([1, 1], [1 << 62])
        #expect(try result(.matmul, large, whole([1, 1], [4])).i64 == [0])
    }
}

@Suite("The reference slides windows")
struct ReferenceWindowTests {
    @Test("Convolution with stride, dilation, padding; and back") func convolution() throws {
        let x = try floats([1, 1, 5], [1, 2, 3, 4, 5]), weight = try floats([1, 1, 2], [1, 10])
        let window = Window(kernel: [2], strides: [2], dilations: [2], low: [1], high: [1])
        #expect(try result(.convolution(Convolution(window: window)), x, weight).f32 == [20, 42, 4])
        let back = TransposedConvolution(window: Window(kernel: [2], strides: [2]))
        #expect(try result(.transposedConvolution(back), floats([1, 1, 2], [1, 2]), weight).f32 == [1, 10, 2, 20])
    }

    @Test("Pools: padding never wins, a last window hangs over") func pools() throws {
        let x = try floats([1, 1, 4], [-1, -2, -3, -4])
        let window = Window(kernel: [3], strides: [2], low: [1])
        let largest = try results(.tensor(.pool(Pool(kind: .maximum(indices: true), window: window, roundsUp: true))), x)
        #expect(largest[0].f32 == [-1, -2] && largest[1].i64 == [0, 1])
        let hanging = Pool(kind: .maximum(indices: true), window: Window(kernel: [3], strides: [2]), roundsUp: true)
        let last = try results(.tensor(.pool(hanging)), x)
        #expect(last[0].f32 == [-1, -3] && last[1].i64 == [0, 2])
        #expect(try result(.pool(Pool(kind: .average(countsPadding: false), window: window)), x).f32 == [-1.5, -3])
        #expect(try result(.pool(Pool(kind: .average(countsPadding: true), window: window)), x).f32 == [-1, -3])
    }

    @Test("Resizing by neighbours and between them") func resize() throws {
        let x = try floats([2], [1, 3])
        func resized(_ interpolation: Resize.Interpolation, _ coordinates: Resize.Coordinates) throws -> [Float] {
            try result(.resize(Resize(interpolation: interpolation, coordinates: coordinates, scales: [2], sizes: [4])), x).f32
        }
        #expect(try resized(.nearest(.floor), .asymmetric) == [1, 1, 3, 3])
        #expect(try resized(.linear, .halfPixel) == [1, 1.5, 2.5, 3])
        #expect(try resized(.linear, .asymmetric) == [1, 2, 3, 3])
        #expect(try resized(.linear, .cropAndResize(starts: [0], ends: [1.5], extrapolation: 9)) == [1, 2, 3, 9])
    }

    @Test("A recurrent layer stops at the length of its sequence") func recurrent() throws {
        // h ← relu(x + h), backwards over two of three steps.
        let layer = Recurrent(cell: .simple, hidden: 1, direction: .reverse, activations: [.relu], hasLengths: true)
        let one = try floats([1, 1, 1], [1])
        let y = try results(.tensor(.recurrent(layer)), floats([3, 1, 1], [1, 2, 4]), one, one, weight(.i32, [1], [2 as Int32]))
        #expect(y[0].f32 == [3, 2, 0])
        #expect(y[1].f32 == [3])
    }
}
