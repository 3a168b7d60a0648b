// The operations of imported networks as operators of ONNX: windows, moves, look-ups, reductions. Most are one operator.
import SwiftletGraph

extension ONNXGraphEncoder {
    mutating func encode(_ op: TensorOp) throws {
        switch op {
        case .matmul: emit("MatMul", [try operand(0), try operand(1)], to: result())
        case .convolution(let convolution): try encode(convolution)
        case .transposedConvolution(let convolution): try encode(convolution)
        case .quantizedConvolution(let convolution): try encode(convolution)
        case .quantizedLinear(let linear): try encode(linear)
        case .quantizedMean(let mean): try encode(mean)
        case .quantizedSum(let sum): try encode(sum)
        case .deformableConvolution(let convolution): try encode(convolution)
        case .recurrent(let recurrent): try encode(recurrent)
        case .pool(let pool): try encode(pool)
        case .resize(let resize): try encode(resize)
        case .gridSample(let sample):
            let attributes: [Onnx_AttributeProto] = [
                .string("mode", sample.interpolation.rawValue), .string("padding_mode", sample.padding.rawValue),
                .flag("align_corners", sample.alignsCorners),
            ]
            emit("GridSample", [try operand(0), try operand(1)], attributes, to: result())
        case .roiAlign(let align):
            let attributes: [Onnx_AttributeProto] = [
                .string("mode", align.takesMaximum ? "max" : "avg"), .int("output_height", align.height), .int("output_width", align.width),
                .int("sampling_ratio", align.samples), .float("spatial_scale", align.scale),
                .string("coordinate_transformation_mode", align.isHalfPixel ? "half_pixel" : "output_half_pixel"),
            ]
            emit("RoiAlign", [try operand(0), try operand(1), try indices(2)], attributes, to: result())
        case .select: emit("Where", [try operand(0), try operand(1), try operand(2)], to: result())
        case .cast(let element, let saturates):
            needs(element.onnxVersion)
            let isNarrow = element.isFloat && element.byteCount == 1
            emit("Cast", [try operand(0)], [.int("to", Int(element.onnx.rawValue))] + (isNarrow ? [.flag("saturate", saturates)] : []), to: result())
        case .bitcast(let element):
            needs(26)
            emit("BitCast", [try operand(0)], [.int("to", Int(element.onnx.rawValue))], to: result())
        case .quantize(let element): try quantize(to: element)
        case .dequantize(let element): try dequantize(to: element)
        case .transpose(let permutation): emit("Transpose", [try operand(0)], [.ints("perm", permutation)], to: result())
        case .slice(let slice): try encode(slice)
        case .concat(let axis): emit("Concat", try node.inputs.indices.map { try operand($0) }, [.int("axis", axis)], to: result())
        case .pad(let pad): try encode(pad)
        case .expand(let shape):
            // A size that the operand has already may be written as 1, which keeps it.
            let from = type(0).shape
            let sizes = shape.enumerated().map { axis, size -> Dimension in
                let place = axis - (shape.count - from.count)
                return size.fixed == nil && place >= 0 && from[place] == size ? 1 : size
            }
            emit("Expand", [try operand(0), try self.shape(sizes, "shape")], to: result())
        case .gather(let axis): emit("Gather", [try operand(0), try operand(1)], [.int("axis", axis)], to: result())
        case .gatherElements(let axis): emit("GatherElements", [try operand(0), try operand(1)], [.int("axis", axis)], to: result())
        case .gatherND(let batchAxes): emit("GatherND", [try operand(0), try indices(1)], [.int("batch_dims", batchAxes)], to: result())
        case .scatterElements(let axis, let reduction):
            let attributes: [Onnx_AttributeProto] = [.int("axis", axis), .string("reduction", reduction.onnx)]
            emit("ScatterElements", [try operand(0), try operand(1), try operand(2)], attributes, to: result())
        case .scatterND(let reduction):
            emit("ScatterND", [try operand(0), try indices(1), try operand(2)], [.string("reduction", reduction.onnx)], to: result())
        case .reduce(let reduction, let axes, let keepsAxes): try reduce(reduction, axes, keepsAxes)
        case .argument(let extreme, let axis, let keepsAxis, let takesLast):
            let attributes: [Onnx_AttributeProto] = [.int("axis", axis), .flag("keepdims", keepsAxis), .flag("select_last_index", takesLast)]
            emit(extreme == .largest ? "ArgMax" : "ArgMin", [try operand(0)], attributes, to: result())
        case .topK(let k, let axis, let extreme):
            if element(0) == .bf16 { needs(24) }
            let attributes: [Onnx_AttributeProto] = [.int("axis", axis), .flag("largest", extreme == .largest), .flag("sorted", true)]
            let outputs = [result(0), result(1)]
            emit("TopK", [try operand(0), try integers([k], "k")], attributes, outputs: outputs)
        case .cumulative(let cumulative):
            if cumulative.isProduct { needs(26) }
            let attributes: [Onnx_AttributeProto] = [.flag("exclusive", cumulative.isExclusive), .flag("reverse", cumulative.isReversed)]
            let axis = try scalar(Double(cumulative.axis), .i64, "axis")
            emit(cumulative.isProduct ? "CumProd" : "CumSum", [try operand(0), axis], attributes, to: result())
        }
    }

    /// Indices of operators that take i64 only.
    private mutating func indices(_ index: Int) throws -> String { cast(try operand(index), from: element(index), to: .i64) }

    // MARK: - Windows

    /// Operators take no negative padding: what it cuts is cut before.
    private mutating func cropped(_ x: String, _ window: Window) throws -> (x: String, window: Window) {
        let (low, high) = (window.low.map { min(0, $0) }, window.high.map { min(0, $0) })
        guard (low + high).contains(where: { $0 < 0 }) else { return (x, window) }
        var rest = window
        (rest.low, rest.high) = (window.low.map { max(0, $0) }, window.high.map { max(0, $0) })
        return (emit("Pad", [x, try integers([0, 0] + low + [0, 0] + high, "crop")], detail: "crop"), rest)
    }

    private func attributes(_ window: Window) -> [Onnx_AttributeProto] {
        [.ints("kernel_shape", window.kernel), .ints("strides", window.strides), .ints("pads", window.low + window.high), .ints("dilations", window.dilations)]
    }

    /// The operator, then the sum with the residual and the activation in their order.
    private mutating func encode(_ convolution: Convolution) throws {
        let (x, window) = try cropped(try operand(0), convolution.window)
        let inputs = try [x, operand(1)] + (convolution.hasBias ? [operand(2)] : [])
        var rest = (convolution.hasResidual ? 1 : 0) + (convolution.activation == nil ? 0 : 1)
        /// The name of the last operator's result is the node's.
        func output(_ encoder: inout Self) -> String? {
            defer { rest -= 1 }
            return rest == 0 ? encoder.result() : nil
        }
        var value = emit("Conv", inputs, attributes(window) + [.int("group", convolution.groups)], to: output(&self))
        if convolution.hasResidual, convolution.addsResidualFirst { value = emit("Add", [value, try operand(node.inputs.count - 1)], to: output(&self)) }
        if let activation = convolution.activation { value = try unary(activation, value, element(0), to: output(&self)) }
        if convolution.hasResidual, !convolution.addsResidualFirst { emit("Add", [value, try operand(node.inputs.count - 1)], to: output(&self)) }
    }

    private mutating func encode(_ convolution: TransposedConvolution) throws {
        let window = convolution.window
        guard (window.low + window.high).allSatisfy({ $0 >= 0 }) else { throw unsupported("adds to the output by negative padding") }
        let inputs = try node.inputs.indices.map { try operand($0) }
        let attributes = attributes(window) + [.int("group", convolution.groups), .ints("output_padding", convolution.outputPadding)]
        let value = emit("ConvTranspose", inputs, attributes, to: convolution.activation == nil ? result() : nil)
        if let activation = convolution.activation { try unary(activation, value, element(0), to: result()) }
    }

    /// Exact: ConvInteger sums in i32, and everything behind it is one operator a rounding.
    private mutating func encode(_ convolution: QuantizedConvolution) throws {
        guard (convolution.window.low + convolution.window.high).allSatisfy({ $0 >= 0 }) else { throw unsupported("cuts its input by negative padding") }
        let zero = try emit("Cast", [scalar(Double(convolution.inputZero), .i64, "inputZero")], [.int("to", Int(element(0).onnx.rawValue))], detail: "inputZero")
        let sums = emit("ConvInteger", [try operand(0), try operand(1), zero], attributes(convolution.window) + [.int("group", convolution.groups)])
        let shape = [type(2).shape[0].fixed ?? 0] + convolution.window.kernel.map { _ in 1 }
        let biased = emit("Add", [sums, try operand(2, shape: shape)], detail: "biased")
        let scaled = emit("Mul", [cast(biased, from: .i32, to: .f32), try operand(3, shape: shape)], detail: "scaled")
        try encodeLevels(emit("Round", [scaled], detail: "rounded"), zero: convolution.outputZero, convolution.range)
    }

    private mutating func encode(_ linear: QuantizedLinear) throws {
        let zero = try emit("Cast", [scalar(Double(linear.inputZero), .i64, "inputZero")], [.int("to", Int(element(0).onnx.rawValue))], detail: "inputZero")
        let transposed = emit("Transpose", [try operand(1)], [.ints("perm", [1, 0])], detail: "weight")
        let sums = emit("MatMulInteger", [try operand(0), transposed, zero], detail: "sums")
        let biased = emit("Add", [sums, try operand(2)], detail: "biased")
        let scaled = emit("Mul", [cast(biased, from: .i32, to: .f32), try operand(3)], detail: "scaled")
        try encodeLevels(emit("Round", [scaled], detail: "rounded"), zero: linear.outputZero, linear.range)
    }

    /// The sum of centred bytes is whole, and exact in f32 up to 2²⁴; in f64 it always is.
    private mutating func encode(_ mean: QuantizedMean) throws {
        let centred = emit("Sub", [try operand(0, as: .f64), try scalar(Double(mean.inputZero), .f64, "inputZero")], detail: "centred")
        let axes = try integers(Array(2..<type(0).shape.count), "axes")
        let sum = emit("ReduceSum", [centred, axes], [.flag("keepdims", true)], detail: "sum")
        let scaled = emit("Mul", [cast(sum, from: .f64, to: .f32), try scalar(Double(mean.factor), .f32, "factor")], detail: "scaled")
        try encodeLevels(emit("Round", [scaled], detail: "rounded"), zero: mean.outputZero, mean.range)
    }

    private mutating func encode(_ sum: QuantizedSum) throws {
        func part(_ index: Int, _ zero: Int, _ factor: Float) throws -> String {
            let centred = emit("Sub", [try operand(index, as: .f32), try scalar(Double(zero), .f32, "zero\(index)")], detail: "centred\(index)")
            return emit("Mul", [centred, try scalar(Double(factor), .f32, "factor\(index)")], detail: "scaled\(index)")
        }
        let total = emit("Add", [try part(0, sum.zeroA, sum.factorA), try part(1, sum.zeroB, sum.factorB)], detail: "sum")
        try encodeLevels(emit("Round", [total], detail: "rounded"), zero: sum.zero, sum.range)
    }

    private mutating func encodeLevels(_ rounded: String, zero: Int, _ range: ClosedRange<Int>) throws {
        let moved = emit("Add", [rounded, try scalar(Double(zero), .f32, "zero")], detail: "moved")
        let limits = [try scalar(Double(range.lowerBound), .f32, "low"), try scalar(Double(range.upperBound), .f32, "high")]
        _ = cast(emit("Clip", [moved] + limits, detail: "limited"), from: .f32, to: element(0), output: result())
    }

    private mutating func encode(_ convolution: DeformableConvolution) throws {
        guard (convolution.window.low + convolution.window.high).allSatisfy({ $0 >= 0 }) else { throw unsupported("cuts its input by negative padding") }
        var inputs = [try operand(0), try operand(1), try operand(2)]
        if convolution.hasBias || convolution.hasMask { inputs.append(convolution.hasBias ? try operand(3) : "") }
        if convolution.hasMask { inputs.append(try operand(node.inputs.count - 1)) }
        emit(
            "DeformConv", inputs, attributes(convolution.window) + [.int("group", convolution.groups), .int("offset_group", convolution.offsetGroups)],
            to: result())
    }

    private mutating func encode(_ pool: Pool) throws {
        if case .average(true) = pool.kind, (pool.window.low + pool.window.high).contains(where: { $0 < 0 }) {
            throw unsupported("counts padding and cuts by negative padding")
        }
        // Before version 22 a last window could begin behind everything there is.
        if pool.roundsUp { needs(22) }
        let (x, window) = try cropped(try operand(0), pool.window)
        let common = attributes(window) + [.flag("ceil_mode", pool.roundsUp)]
        switch pool.kind {
        case .maximum(let indices):
            if indices, window != pool.window { throw unsupported("tells the places of maxima and cuts by negative padding") }
            let outputs = indices ? [result(0), result(1)] : [result(0)]
            emit("MaxPool", [x], common, outputs: outputs)
        case .average(let countsPadding): emit("AveragePool", [x], common + [.flag("count_include_pad", countsPadding)], to: result())
        case .norm(let p): emit("LpPool", [x], common + [.int("p", p)], to: result())
        }
    }

    /// By scales where they give the sizes, else by sizes where they give the scales.
    private mutating func encode(_ resize: Resize) throws {
        guard let from = type(0).shape.fixedSizes else { throw unsupported("resizes open sizes") }
        var attributes: [Onnx_AttributeProto] = []
        var region = ""
        var extents = from.map { _ in Float(1) }
        switch resize.interpolation {
        case .nearest(let rounding): attributes += [.string("mode", "nearest"), .string("nearest_mode", rounding.onnx)]
        case .linear: attributes.append(.string("mode", "linear"))
        case .cubic(let coefficient): attributes += [.string("mode", "cubic"), .float("cubic_coeff_a", coefficient)]
        }
        switch resize.coordinates {
        case .halfPixel: attributes.append(.string("coordinate_transformation_mode", "half_pixel"))
        case .halfPixelSymmetric: attributes.append(.string("coordinate_transformation_mode", "half_pixel_symmetric"))
        case .pytorchHalfPixel: attributes.append(.string("coordinate_transformation_mode", "pytorch_half_pixel"))
        case .alignCorners: attributes.append(.string("coordinate_transformation_mode", "align_corners"))
        case .asymmetric: attributes.append(.string("coordinate_transformation_mode", "asymmetric"))
        case .cropAndResize(let starts, let ends, let extrapolation):
            attributes += [.string("coordinate_transformation_mode", "tf_crop_and_resize"), .float("extrapolation_value", extrapolation)]
            region = try floats(starts + ends, "region")
            extents = zip(starts, ends).map { $1 - $0 }
        }
        if resize.antialiases { attributes.append(.flag("antialias", true)) }
        if resize.excludesOutside { attributes.append(.flag("exclude_outside", true)) }
        let givesSizes = from.indices.allSatisfy { axis in
            let size = Float(from[axis]) * extents[axis] * resize.scales[axis]
            return size.isFinite && Int(size.rounded(.down)) == resize.sizes[axis]
        }
        let givesScales = from.indices.allSatisfy { resize.scales[$0] == Float(resize.sizes[$0]) / Float(max(1, from[$0])) }
        let inputs: [String]
        if givesScales {
            inputs = [try operand(0), region, "", try integers(resize.sizes, "sizes")]
        } else if givesSizes {
            inputs = [try operand(0), region, try floats(resize.scales, "scales")]
        } else {
            throw unsupported("has scales \(resize.scales) that do not give the sizes \(resize.sizes)")
        }
        emit("Resize", inputs, attributes, to: result())
    }

    // MARK: - Recurrent layers

    private mutating func encode(_ recurrent: Recurrent) throws {
        var attributes: [Onnx_AttributeProto] = [.int("hidden_size", recurrent.hidden), .string("direction", recurrent.direction.rawValue)]
        var (names, alphas, betas): ([String], [Float], [Float]) = ([], [], [])
        for function in recurrent.activations {
            switch function {
            case .relu: names.append("Relu")
            case .tanh: names.append("Tanh")
            case .sigmoid: names.append("Sigmoid")
            case .softsign: names.append("Softsign")
            case .softplus: names.append("Softplus")
            case .affine(let alpha, let beta):
                names.append("Affine")
                alphas.append(alpha)
                betas.append(beta)
            case .leakyRelu(let alpha):
                names.append("LeakyRelu")
                alphas.append(alpha)
            case .thresholdedRelu(let alpha):
                names.append("ThresholdedRelu")
                alphas.append(alpha)
            case .scaledTanh(let alpha, let beta):
                names.append("ScaledTanh")
                alphas.append(alpha)
                betas.append(beta)
            case .hardSigmoid(let alpha, let beta):
                names.append("HardSigmoid")
                alphas.append(alpha)
                betas.append(beta)
            case .elu(let alpha):
                names.append("Elu")
                alphas.append(alpha)
            default: throw unsupported("has \(function) at a gate")
            }
        }
        attributes.append(.strings("activations", names))
        if !alphas.isEmpty { attributes.append(.floats("activation_alpha", alphas)) }
        if !betas.isEmpty { attributes.append(.floats("activation_beta", betas)) }
        if let clip = recurrent.clip { attributes.append(.float("clip", clip)) }
        let places = recurrent.operands
        var optional = [places.bias, places.lengths, places.hidden]
        let op: String
        switch recurrent.cell {
        case .simple: op = "RNN"
        case .gru(let resetsAfter):
            op = "GRU"
            attributes.append(.flag("linear_before_reset", resetsAfter))
        case .lstm(let couples):
            op = "LSTM"
            attributes.append(.flag("input_forget", couples))
            optional += [places.cell, places.peepholes]
        }
        while let last = optional.last, last == nil { optional.removeLast() }
        let inputs = try (0..<3).map { try operand($0) } + optional.map { try $0.map { try operand($0) } ?? "" }
        let outputs = node.outputs.indices.map { result($0) }
        emit(op, inputs, attributes, outputs: outputs)
    }

    // MARK: - Moves

    /// Only the axes that lose elements are named, so that open sizes may stay.
    private mutating func encode(_ slice: Slice) throws {
        let shape = type(0).shape
        let axes = shape.indices.filter { slice.starts[$0] != 0 || slice.steps[$0] != 1 || shape[$0] != Dimension(slice.sizes[$0]) }
            .filter { !(slice.sizes[$0] != 0 && resultType.shape[$0] == shape[$0] && slice.steps[$0] == 1) }
        guard !axes.isEmpty else {
            emit("Identity", [try operand(0)], to: result())
            return
        }
        let starts = axes.map { slice.sizes[$0] == 0 ? 0 : slice.starts[$0] }
        let ends = axes.map { axis -> Int in
            if slice.sizes[axis] == 0 { return 0 }
            let end = slice.starts[axis] + (slice.sizes[axis] - 1) * slice.steps[axis] + (slice.steps[axis] > 0 ? 1 : -1)
            // −1 would be the last element; this is in front of the first.
            return end < 0 ? Int(Int32.min) : end
        }
        let steps = axes.map { slice.sizes[$0] == 0 ? 1 : slice.steps[$0] }
        let lists = [try integers(starts, "starts"), try integers(ends, "ends"), try integers(Array(axes), "axes"), try integers(steps, "steps")]
        emit("Slice", [try operand(0)] + lists, to: result())
    }

    private mutating func encode(_ pad: Pad) throws {
        var inputs = [try operand(0), try integers(pad.low + pad.high, "pads")]
        if node.inputs.count > 1 { inputs.append(try operand(1, shape: [])) }
        emit("Pad", inputs, [.string("mode", pad.mode.rawValue)], to: result())
    }

    // MARK: - Along axes

    private mutating func reduce(_ reduction: Reduction, _ axes: [Int], _ keepsAxes: Bool) throws {
        let x = try operand(0)
        if axes.isEmpty {
            switch reduction {
            case .sumOfSquares: emit("Mul", [x, x], to: result())
            case .sumOfMagnitudes: emit("Abs", [x], to: result())
            case .sum, .mean, .product, .maximum, .minimum: emit("Identity", [x], to: result())
            }
            return
        }
        let isSpace = keepsAxes && axes.sorted() == Array(2..<max(2, type(0).shape.count))
        if isSpace, element(0).isFloat, reduction == .mean || reduction == .maximum {
            emit(reduction == .mean ? "GlobalAveragePool" : "GlobalMaxPool", [x], to: result())
            return
        }
        let op =
            switch reduction {
            case .sum: "ReduceSum"
            case .mean: "ReduceMean"
            case .product: "ReduceProd"
            case .maximum: "ReduceMax"
            case .minimum: "ReduceMin"
            case .sumOfSquares: "ReduceSumSquare"
            case .sumOfMagnitudes: "ReduceL1"
            }
        emit(op, [x, try integers(axes, "axes")], [.flag("keepdims", keepsAxes)], to: result())
    }
}

extension ScatterReduction {
    fileprivate var onnx: String {
        switch self {
        case .replace: "none"
        case .add: "add"
        case .multiply: "mul"
        case .maximum: "max"
        case .minimum: "min"
        }
    }
}

extension Resize.NearestRounding {
    fileprivate var onnx: String {
        switch self {
        case .preferFloor: "round_prefer_floor"
        case .preferCeil: "round_prefer_ceil"
        case .floor: "floor"
        case .ceil: "ceil"
        }
    }
}
