// The tensor operations as text: the name, and whatever is not its usual value.

extension TensorOp: CustomStringConvertible {
    public var description: String {
        switch self {
        case .matmul: "matmul"
        case .convolution(let convolution): convolution.description
        case .transposedConvolution(let convolution):
            "transposedConvolution(\((convolution.window.attributes + groups(convolution.groups)).joined(separator: ", ")))"
        case .deformableConvolution(let convolution):
            "deformableConvolution(\((convolution.window.attributes + groups(convolution.groups)).joined(separator: ", ")))"
        case .recurrent(let recurrent): "\(recurrent.cell)(hidden: \(recurrent.hidden), \(recurrent.direction.rawValue))"
        case .pool(let pool): "pool(\(([String(describing: pool.kind)] + pool.window.attributes).joined(separator: ", ")))"
        case .resize(let resize): "resize(\(resize.interpolation), \(resize.coordinates))"
        case .gridSample(let sample): "gridSample(\(sample.interpolation.rawValue), \(sample.padding.rawValue))"
        case .roiAlign(let align): "roiAlign(\(align.height)×\(align.width))"
        case .select: "select"
        case .cast(let element, _): "cast(\(element))"
        case .bitcast(let element): "bitcast(\(element))"
        case .quantize(let element): "quantize(\(element))"
        case .dequantize(let element): "dequantize(\(element))"
        case .quantizedConvolution(let convolution):
            "quantizedConvolution(\((convolution.window.attributes + groups(convolution.groups)).joined(separator: ", ")))"
        case .quantizedLinear: "quantizedLinear"
        case .quantizedMean: "quantizedMean"
        case .quantizedSum: "quantizedSum"
        case .transpose(let permutation): "transpose\(permutation)"
        case .slice(let slice):
            "slice(starts: \(slice.starts), sizes: \(slice.sizes)" + (slice.steps.allSatisfy { $0 == 1 } ? ")" : ", steps: \(slice.steps))")
        case .concat(let axis): "concat(axis: \(axis))"
        case .pad(let pad): "pad(\(pad.low), \(pad.high), \(pad.mode.rawValue))"
        case .expand(let shape): "expand[" + shape.map(\.description).joined(separator: ", ") + "]"
        case .gather(let axis): "gather(axis: \(axis))"
        case .gatherElements(let axis): "gatherElements(axis: \(axis))"
        case .gatherND(let batchAxes): "gatherND(batchAxes: \(batchAxes))"
        case .scatterElements(let axis, let reduction): "scatterElements(axis: \(axis), \(reduction.rawValue))"
        case .scatterND(let reduction): "scatterND(\(reduction.rawValue))"
        case .reduce(let reduction, let axes, _): "\(reduction.rawValue)(axes: \(axes))"
        case .argument(let extreme, let axis, _, _): "argument(\(extreme.rawValue), axis: \(axis))"
        case .topK(let k, let axis, let extreme): "topK(\(k) \(extreme.rawValue), axis: \(axis))"
        case .cumulative(let cumulative): "cumulative(\(cumulative.isProduct ? "product" : "sum"), axis: \(cumulative.axis))"
        }
    }

    private func groups(_ count: Int) -> [String] { count == 1 ? [] : ["groups: \(count)"] }
}

extension Window {
    fileprivate var attributes: [String] {
        var attributes = [kernel.map(String.init).joined(separator: "×")]
        if strides.contains(where: { $0 != 1 }) { attributes.append("strides: \(strides)") }
        if dilations.contains(where: { $0 != 1 }) { attributes.append("dilations: \(dilations)") }
        if (low + high).contains(where: { $0 != 0 }) { attributes.append("padding: \(low) \(high)") }
        return attributes
    }
}

extension Convolution: CustomStringConvertible {
    public var description: String {
        var attributes = window.attributes
        if groups != 1 { attributes.append("groups: \(groups)") }
        if hasBias { attributes.append("bias") }
        if hasResidual { attributes.append(addsResidualFirst ? "residual" : "residual last") }
        if let activation { attributes.append("\(activation)") }
        return "convolution(\(attributes.joined(separator: ", ")))"
    }
}
