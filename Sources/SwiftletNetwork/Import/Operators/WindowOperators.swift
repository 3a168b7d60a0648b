// Convolutions, pooling, resizing and sampling.
import SwiftletFormats
import SwiftletGraph

extension Importer {
    static let windowOperators: [String: OperatorImporter] = [
        "Conv": { importer, call in [.tensor(try importer.convolution(call))] },
        "ConvTranspose": { importer, call in [.tensor(try importer.transposedConvolution(call))] },
        "DeformConv": { importer, call in [.tensor(try importer.deformableConvolution(call))] },
        "MaxPool": { importer, call in try importer.maxPool(call) },
        "AveragePool": { importer, call in
            let countsPadding = try call.bool("count_include_pad")
            return [.tensor(try importer.pool(.average(countsPadding: countsPadding), call)[0])]
        },
        "LpPool": { importer, call in [.tensor(try importer.pool(.norm(p: call.int("p", 2)), call)[0])] },
        "GlobalAveragePool": { importer, call in [.tensor(try importer.globalPool(.mean, call))] },
        "GlobalMaxPool": { importer, call in [.tensor(try importer.globalPool(.maximum, call))] },
        "Resize": { importer, call in [.tensor(try importer.resize(call))] },
        "Upsample": { importer, call in [.tensor(try importer.upsample(call))] },
        "GridSample": { importer, call in
            let names: [String: GridSample.Interpolation] = ["bilinear": .linear, "linear": .linear, "nearest": .nearest, "bicubic": .cubic, "cubic": .cubic]
            let paddings: [String: GridSample.Padding] = ["zeros": .zeros, "border": .border, "reflection": .reflection]
            guard let interpolation = names[try call.string("mode", "linear")], let padding = paddings[try call.string("padding_mode", "zeros")] else {
                throw call.invalid("has an unknown mode")
            }
            let sample = GridSample(interpolation: interpolation, padding: padding, alignsCorners: try call.bool("align_corners"))
            return [.tensor(try importer.apply(.gridSample(sample), [call.tensor(0), call.tensor(1)]))]
        },
        "RoiAlign": { importer, call in
            let mode = try call.string("mode", "avg")
            try call.require(mode == "avg" || mode == "max", "'\(mode)' is no mode")
            let isHalfPixel = try call.version >= 16 && call.string("coordinate_transformation_mode", "half_pixel") == "half_pixel"
            let align = RoiAlign(
                height: try call.int("output_height", 1), width: try call.int("output_width", 1), samples: try call.int("sampling_ratio", 0),
                scale: try call.float("spatial_scale", 1), takesMaximum: mode == "max", isHalfPixel: isHalfPixel)
            return [.tensor(try importer.apply(.roiAlign(align), [call.tensor(0), call.tensor(1), call.tensor(2)]))]
        },
    ]

    // MARK: Windows

    /// The window of a node, its padding worked out for the sizes of space.
    func window(_ call: OperatorCall, kernel: [Int], space: [Int]) throws -> Window {
        var window = Window(kernel: kernel, strides: try call.ints("strides"), dilations: try call.ints("dilations"))
        let rank = kernel.count
        try call.require(
            space.count == rank && window.strides.count == rank && window.dilations.count == rank, "the window has \(rank) axes, x has \(space.count) of space")
        try call.require((kernel + window.strides + window.dilations).allSatisfy { $0 > 0 && $0 <= 1 << 30 }, "kernel, strides and dilations must be positive")
        switch try call.string("auto_pad", "NOTSET") {
        case "NOTSET":
            if let pads = try call.ints("pads") {
                try call.require(pads.count == 2 * rank, "\(pads.count) pads are given for \(rank) axes")
                (window.low, window.high) = (Array(pads[..<rank]), Array(pads[rank...]))
            }
        case "VALID": break
        case let mode where mode == "SAME_UPPER" || mode == "SAME_LOWER":
            for axis in 0..<rank {
                let count = (space[axis] + window.strides[axis] - 1) / window.strides[axis]
                let total = max(0, (count - 1) * window.strides[axis] + window.extent(axis) - space[axis])
                window.low[axis] = mode == "SAME_UPPER" ? total / 2 : total - total / 2
                window.high[axis] = total - window.low[axis]
            }
        case let mode: throw call.invalid("'\(mode)' is no padding")
        }
        return window
    }

    func kernel(_ call: OperatorCall, _ weight: ValueID) throws -> [Int] {
        let own = Array(shape(weight).dropFirst(2))
        if let declared = try call.ints("kernel_shape") { try call.require(declared == own, "the weight's kernel is \(own), not \(declared)") }
        return own
    }

    private mutating func convolution(_ call: OperatorCall) throws -> ValueID {
        let (x, weight, bias) = (try call.tensor(0), try call.tensor(1), try call.optional(2))
        let window = try window(call, kernel: kernel(call, weight), space: Array(shape(x).dropFirst(2)))
        let convolution = Convolution(window: window, groups: try call.int("group", 1), hasBias: bias != nil)
        return try apply(.convolution(convolution), [x, weight] + (bias.map { [$0] } ?? []))
    }

    private mutating func transposedConvolution(_ call: OperatorCall) throws -> ValueID {
        let (x, weight, bias) = (try call.tensor(0), try call.tensor(1), try call.optional(2))
        let kernel = try kernel(call, weight)
        let rank = kernel.count
        let padding = try call.ints("output_padding") ?? kernel.map { _ in 0 }
        try call.require(padding.count == rank && rank + 2 == self.rank(x), "kernel, output padding and x have different axes")
        var window = Window(kernel: kernel, strides: try call.ints("strides"), dilations: try call.ints("dilations"))
        try call.require(window.strides.count == rank && window.dilations.count == rank, "strides and dilations need one number an axis")
        var convolution = TransposedConvolution(window: window, groups: try call.int("group", 1), hasBias: bias != nil, outputPadding: padding)
        let mode = try call.string("auto_pad", "NOTSET")
        var wanted = try call.ints("output_shape").map { Array($0.suffix(rank)) }
        if wanted == nil, mode.hasPrefix("SAME") { wanted = zip(shape(x).dropFirst(2), window.strides).map { $0 * $1 } }
        if let wanted {
            // The padding that gives these sizes.
            for axis in 0..<rank {
                guard let whole = convolution.outputSize(axis, of: shape(x)[axis + 2]) else { throw call.invalid("the output is too large") }
                let total = max(0, whole - wanted[axis])
                window.low[axis] = mode == "SAME_UPPER" ? total / 2 : total - total / 2
                window.high[axis] = total - window.low[axis]
                convolution.outputPadding[axis] += max(0, wanted[axis] - whole)
            }
        } else if let pads = try call.ints("pads") {
            try call.require(pads.count == 2 * rank, "\(pads.count) pads are given for \(rank) axes")
            (window.low, window.high) = (Array(pads[..<rank]), Array(pads[rank...]))
        }
        convolution.window = window
        return try apply(.transposedConvolution(convolution), [x, weight] + (bias.map { [$0] } ?? []))
    }

    private mutating func deformableConvolution(_ call: OperatorCall) throws -> ValueID {
        let (x, weight, offsets) = (try call.tensor(0), try call.tensor(1), try call.tensor(2))
        let (bias, mask) = (try call.optional(3), try call.optional(4))
        let window = try window(call, kernel: kernel(call, weight), space: Array(shape(x).dropFirst(2)))
        let convolution = DeformableConvolution(
            window: window, groups: try call.int("group", 1), offsetGroups: try call.int("offset_group", 1), hasBias: bias != nil, hasMask: mask != nil)
        return try apply(.deformableConvolution(convolution), [x, weight, offsets] + [bias, mask].compactMap { $0 })
    }

    // MARK: Pooling

    private mutating func pool(_ kind: Pool.Kind, _ call: OperatorCall) throws -> [ValueID] {
        let x = try call.tensor(0)
        guard let kernel = try call.ints("kernel_shape") else { throw call.invalid("lacks its kernel_shape") }
        let window = try window(call, kernel: kernel, space: Array(shape(x).dropFirst(2)))
        return try applyAll(.tensor(.pool(Pool(kind: kind, window: window, roundsUp: call.bool("ceil_mode")))), [x])
    }

    private mutating func maxPool(_ call: OperatorCall) throws -> [Imported] {
        let results = try pool(.maximum(indices: call.wants(1)), call)
        guard results.count == 2, try call.int("storage_order", 0) == 1 else { return results.map { .tensor($0) } }
        // Column-major places: the axes of space from the last to the first.
        let shape = shape(try call.tensor(0))
        let plane = shape.dropFirst(2).reduce(1, *)
        var (flat, place) = (try binary(.modulo, results[1], Double(plane), "place"), try binary(.divide, results[1], Double(plane), "plane"))
        place = try binary(.multiply, place, Double(plane), "planeStart")
        var (inner, outer) = (plane, 1)
        for size in shape.dropFirst(2) {
            inner /= size
            let coordinate = try binary(.divide, flat, Double(inner), "coordinate")
            flat = try binary(.modulo, flat, Double(inner), "rest")
            place = try binary(.add, place, binary(.multiply, coordinate, Double(outer), "scaled"), "sum")
            outer *= size
        }
        return [.tensor(results[0]), .tensor(place)]
    }

    private mutating func globalPool(_ reduction: Reduction, _ call: OperatorCall) throws -> ValueID {
        let x = try call.tensor(0)
        return try reduce(reduction, x, Array(2..<max(2, rank(x))))
    }

    // MARK: Resizing

    private mutating func resize(_ call: OperatorCall) throws -> ValueID {
        let x = try call.tensor(0)
        let shape = shape(x)
        // Version 10 has no region and no sizes.
        let (roi, scaleInput, sizeInput) =
            call.version < 11
            ? (nil, try call.optional(1), nil) : (try call.optional(1), try call.optional(2), try call.optional(3))
        let axes = try call.ints("axes").map { try call.axes($0, rank: shape.count) } ?? Array(shape.indices)
        var (scales, sizes) = ([Float](repeating: 1, count: shape.count), shape)
        if let sizeInput, count(sizeInput) > 0 {
            let wanted = try integers(sizeInput)
            try call.require(wanted.count == axes.count && wanted.allSatisfy { $0 >= 0 && $0 < 1 << 30 }, "\(wanted) are no sizes for \(axes.count) axes")
            let ratios = zip(wanted, axes).map { Float($0) / Float(max(1, shape[$1])) }
            switch try call.string("keep_aspect_ratio_policy", "stretch") {
            case "stretch":
                for (index, axis) in axes.enumerated() { (scales[axis], sizes[axis]) = (ratios[index], wanted[index]) }
            case let policy where policy == "not_larger" || policy == "not_smaller":
                let ratio = (policy == "not_larger" ? ratios.min() : ratios.max()) ?? 1
                for axis in axes { (scales[axis], sizes[axis]) = (ratio, Int((ratio * Float(shape[axis]) + 0.5).rounded(.down))) }
            case let policy: throw call.invalid("'\(policy)' is no policy")
            }
        } else if let scaleInput {
            let wanted = try floats(scaleInput)
            try call.require(wanted.count == axes.count && wanted.allSatisfy { $0.isFinite && $0 > 0 }, "\(wanted) are no scales for \(axes.count) axes")
            for (index, axis) in axes.enumerated() { scales[axis] = wanted[index] }
            for axis in axes { sizes[axis] = Int(min(Double(shape[axis]) * Double(scales[axis]), 1e9)) }
        } else {
            throw call.invalid("has neither sizes nor scales")
        }
        let coordinates = try coordinates(call, roi, axes, rank: shape.count)
        if case .cropAndResize(let starts, let ends, _) = coordinates, sizeInput == nil {
            for axis in axes { sizes[axis] = Int((Float(shape[axis]) * (ends[axis] - starts[axis]) * scales[axis]).rounded(.down)) }
        }
        let interpolation = try interpolation(call)
        if sizes == shape, scales.allSatisfy({ $0 == 1 }), roi == nil { return x }
        let resize = Resize(
            interpolation: interpolation, coordinates: coordinates, scales: scales, sizes: sizes, antialiases: try call.bool("antialias"),
            excludesOutside: try call.bool("exclude_outside"))
        return try apply(.resize(resize), [x])
    }

    private func interpolation(_ call: OperatorCall) throws -> Resize.Interpolation {
        switch try call.string("mode", "nearest") {
        case "nearest":
            let names: [String: Resize.NearestRounding] = [
                "round_prefer_floor": .preferFloor, "round_prefer_ceil": .preferCeil, "floor": .floor, "ceil": .ceil,
            ]
            // Version 10 cut places off.
            let name = try call.string("nearest_mode", call.version < 11 ? "floor" : "round_prefer_floor")
            guard let rounding = names[name] else { throw call.invalid("'\(name)' is no rounding") }
            return .nearest(rounding)
        case "linear": return .linear
        case "cubic": return .cubic(coefficient: try call.float("cubic_coeff_a", -0.75))
        case let mode: throw call.invalid("'\(mode)' is no interpolation")
        }
    }

    private func coordinates(_ call: OperatorCall, _ roi: ValueID?, _ axes: [Int], rank: Int) throws -> Resize.Coordinates {
        switch try call.string("coordinate_transformation_mode", call.version < 11 ? "asymmetric" : "half_pixel") {
        case "half_pixel": return .halfPixel
        case "half_pixel_symmetric": return .halfPixelSymmetric
        case "pytorch_half_pixel": return .pytorchHalfPixel
        case "align_corners": return .alignCorners
        case "asymmetric": return .asymmetric
        case "tf_crop_and_resize":
            guard let roi else { throw call.invalid("lacks the region to crop") }
            let region = try floats(roi)
            try call.require(region.count == 2 * axes.count, "the region has \(region.count) numbers for \(axes.count) axes")
            var (starts, ends) = ([Float](repeating: 0, count: rank), [Float](repeating: 1, count: rank))
            for (index, axis) in axes.enumerated() { (starts[axis], ends[axis]) = (region[index], region[axes.count + index]) }
            return .cropAndResize(starts: starts, ends: ends, extrapolation: try call.float("extrapolation_value", 0))
        case let mode: throw call.unsupported("the coordinates '\(mode)' are not done")
        }
    }

    /// The forerunner of Resize.
    private mutating func upsample(_ call: OperatorCall) throws -> ValueID {
        let x = try call.tensor(0)
        let scales = call.version < 9 ? try call.node.floats("scales") ?? [] : try floats(call.tensor(1))
        try call.require(scales.count == rank(x) && scales.allSatisfy { $0.isFinite && $0 > 0 }, "\(scales) are no scales for \(rank(x)) axes")
        let mode = try call.string("mode", "nearest")
        try call.require(["nearest", "linear", "bilinear"].contains(mode), "'\(mode)' is no mode")
        let sizes = zip(shape(x), scales).map { Int(min(Double($0) * Double($1), 1e9)) }
        return try apply(
            .resize(Resize(interpolation: mode == "nearest" ? .nearest(.floor) : .linear, coordinates: .asymmetric, scales: scales, sizes: sizes)), [x])
    }
}
