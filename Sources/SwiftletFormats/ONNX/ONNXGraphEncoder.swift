// A graph being turned into messages: the names of values, constants, the shapes that operators take as tensors, and the nodes so far.
//
// Values of ONNX are names. An operation's result gets the name of the graph's value; what lies between the operators that an operation comes
// down to is named after the node (`conv/relu`).
internal import struct Foundation.Data
import SwiftletGraph

/// Translates one graph.
struct ONNXGraphEncoder: Sendable {
    let graph: Graph
    private let dequantisesBlocks: Bool
    /// Everything but the initialisers.
    private(set) var message = Onnx_GraphProto()
    private(set) var initializers: [ONNXInitializer] = []
    /// The operator set that what has been written needs.
    private(set) var version = 21

    private var names: [ValueID: String] = [:]
    private var taken: Set<String> = []
    private var nodeNames: Set<String> = []
    /// Weights that are initialisers already.
    private var written: Set<ValueID> = []
    /// The node being translated.
    private(set) var node: Node

    init(_ graph: Graph, dequantisesBlocks: Bool) {
        self.graph = graph
        self.dequantisesBlocks = dequantisesBlocks
        node = Node(name: graph.name, op: .softmax, inputs: [], outputs: [])
    }

    mutating func encode() throws {
        message.name = graph.name.isEmpty ? "swiftlet" : graph.name
        for input in graph.inputs {
            names[input] = unique(graph[input].name)
            message.input.append(valueInfo(name(input), graph[input].type))
        }
        // Outputs before anything between: they keep their names.
        for output in graph.outputs where names[output] == nil { names[output] = unique(graph[output].name) }
        for node in graph.nodes {
            self.node = node
            for value in node.inputs + node.outputs { needs(graph[value].type.element.onnxVersion) }
            try encode(node.op)
        }
        var seen: Set<ValueID> = []
        for output in graph.outputs {
            var name = name(output)
            let isComputed = if case .node = graph[output].origin { true } else { false }
            // A model's output is made by a node, under a name of its own.
            if !isComputed || !seen.insert(output).inserted {
                node = Node(name: graph[output].name, op: .softmax, inputs: [output], outputs: [])
                name = emit("Identity", [try operand(0)], detail: "output")
            }
            message.output.append(valueInfo(name, graph[output].type))
        }
    }

    mutating func needs(_ version: Int) { self.version = max(self.version, version) }

    // MARK: - Names

    /// The name of a value; made when it is asked for first.
    private mutating func name(_ id: ValueID) -> String {
        if let name = names[id] { return name }
        let name = unique(graph[id].name)
        names[id] = name
        return name
    }

    private mutating func unique(_ wanted: String) -> String { Self.unique(wanted, &taken) }

    private static func unique(_ wanted: String, _ taken: inout Set<String>) -> String {
        let wanted = wanted.isEmpty ? "value" : wanted
        if taken.insert(wanted).inserted { return wanted }
        var number = 1
        while !taken.insert("\(wanted)#\(number)").inserted { number += 1 }
        return "\(wanted)#\(number)"
    }

    // MARK: - Operands and results

    func type(_ operand: Int) -> ValueType { graph[node.inputs[operand]].type }
    func element(_ operand: Int) -> DType { type(operand).element }

    /// The name of the node's result.
    mutating func result(_ index: Int = 0) -> String { name(node.outputs[index]) }
    var resultType: ValueType { graph[node.outputs[0]].type }

    /// The name of an operand. A weight is added to the initialisers when it is read first.
    mutating func operand(_ index: Int) throws -> String {
        let id = node.inputs[index]
        let value = graph[id]
        switch value.origin {
        case .input, .node: return name(id)
        case .state: throw unsupported("reads or writes the state '\(value.name)', which outlives a run")
        case .weight(let weight):
            let name = name(id)
            if written.insert(id).inserted, try !dequantise(id) { try add(weight, name, shape: weight.shape.dimensions) }
            return name
        }
    }

    /// Writes a constant that was dequantised as what it was made from, and the operator that makes it; false when it is no such constant, or takes
    /// more room so.
    private mutating func dequantise(_ id: ValueID) throws -> Bool {
        guard let source = graph[id].quantized, graph[id].type.element == .f32, graph[source.values].weight != nil, graph[source.scale].weight != nil else { return false }
        let outer = node
        defer { node = outer }
        node = Node(
            name: graph[id].name, op: .tensor(.dequantize(.f32)), inputs: [source.values, source.scale] + (source.zeroPoint.map { [$0] } ?? []), outputs: [id])
        guard isDequantizeLinear(to: .f32) else { return false }
        try dequantize(to: .f32)
        return true
    }

    /// An operand of floats in another type of floats.
    mutating func operand(_ index: Int, as element: DType) throws -> String { cast(try operand(index), from: self.element(index), to: element) }

    /// An operand under another shape with as many elements; a weight is written under it.
    mutating func operand(_ index: Int, shape: [Int]) throws -> String {
        let id = node.inputs[index]
        if type(index).shape == shape.map({ Dimension($0) }) { return try operand(index) }
        if let weight = graph[id].weight {
            let name = unique("\(node.name)/\(graph[id].name)")
            try add(weight, name, shape: shape)
            return name
        }
        return emit("Reshape", [try operand(index), try integers(shape, "shape")], detail: "operand")
    }

    private mutating func add(_ weight: Weight, _ name: String, shape: [Int]) throws {
        switch weight.format {
        case .dense(let element):
            needs(element.onnxVersion)
            initializers.append(ONNXInitializer(name: name, type: element.onnx, shape: shape, store: weight.store))
        case .block(let format):
            guard dequantisesBlocks else {
                throw SwiftletError.unsupported(
                    file: graph.name, place: node.name, reason: "the weight '\(name)' is stored in blocks of \(format.name), which ONNX does not have",
                    remedy: "Write it dequantised.")
            }
            let count = weight.shape.elementCount
            let store = try WeightStore(byteCount: count * 4) { target in
                try weight.store.withBytes { try weight.format.dequantizeRow($0, into: target.bindMemory(to: Float.self)) }
            }
            initializers.append(ONNXInitializer(name: name, type: .f32, shape: shape, store: store))
        }
    }

    // MARK: - Operators

    /// Adds an operator and returns the name of its result: `output`, or a new one after the node and `detail`.
    @discardableResult
    mutating func emit(
        _ op: String, _ inputs: [String], _ attributes: [Onnx_AttributeProto] = [], to output: String? = nil, detail: String? = nil
    ) -> String {
        let output = output ?? unique("\(node.name)/\(detail ?? op)")
        emit(op, inputs, attributes, outputs: [output])
        return output
    }

    /// Adds an operator with several results.
    mutating func emit(_ op: String, _ inputs: [String], _ attributes: [Onnx_AttributeProto] = [], outputs: [String]) {
        var message = Onnx_NodeProto()
        // The operator that makes the node's own result has the node's name.
        let isOwn = node.outputs.contains { names[$0] == outputs[0] }
        message.name = Self.unique(isOwn ? node.name : outputs[0], &nodeNames)
        message.opType = op
        message.input = inputs
        message.output = outputs
        message.attribute = attributes
        self.message.node.append(message)
    }

    mutating func cast(_ value: String, from: DType, to: DType, output: String? = nil) -> String {
        if from == to, output == nil { return value }
        if from == to { return emit("Identity", [value], to: output) }
        return emit("Cast", [value], [.int("to", Int(to.onnx.rawValue))], to: output, detail: "cast")
    }

    // MARK: - Constants

    /// A list of integers, as operators take shapes and axes.
    mutating func integers(_ values: [Int], _ detail: String) throws -> String { try constant(values.map(Int64.init), .i64, [values.count], detail) }

    mutating func floats(_ values: [Float], _ detail: String) throws -> String { try constant(values, .f32, [values.count], detail) }

    mutating func constant<Element: BitwiseCopyable>(_ values: [Element], _ type: ONNXElementType, _ shape: [Int], _ detail: String) throws -> String {
        let name = unique("\(node.name)/\(detail)")
        initializers.append(ONNXInitializer(name: name, type: type, shape: shape, store: try WeightStore(values)))
        return name
    }

    /// A number of that type without axes.
    mutating func scalar(_ value: Double, _ element: DType, _ detail: String) throws -> String {
        switch element {
        case .f64: try constant([value], .f64, [], detail)
        case .i64: try constant([Int64(value)], .i64, [], detail)
        case .i32: try constant([Int32(value)], .i32, [], detail)
        case .u8: try constant([UInt8(value)], .u8, [], detail)
        default: cast(try constant([Float(value)], .f32, [], detail), from: .f32, to: element)
        }
    }

    // MARK: - Shapes

    /// A shape as a tensor of i64; open sizes are computed from the shapes of the inputs.
    mutating func shape(_ shape: [Dimension], _ detail: String) throws -> String {
        if let numbers = shape.fixedSizes { return try integers(numbers, detail) }
        var parts: [String] = []
        for dimension in shape { parts.append(try size(dimension)) }
        return emit("Concat", parts, [.int("axis", 0)], detail: detail)
    }

    /// A size as a tensor of one i64, computed from the shapes of the graph's inputs.
    private mutating func size(_ dimension: Dimension) throws -> String {
        if let fixed = dimension.fixed { return try integers([fixed], "size") }
        var sum: String?
        for term in dimension.terms {
            var value = try size(term.symbol)
            if term.factor != 1 { value = emit("Mul", [value, try integers([term.factor], "factor")]) }
            sum = sum.map { emit("Add", [$0, value]) } ?? value
        }
        if dimension.constant != 0, let value = sum { sum = emit("Add", [value, try integers([dimension.constant], "size")]) }
        return try sum ?? integers([dimension.constant], "size")
    }

    private mutating func size(_ symbol: Symbol) throws -> String {
        for input in graph.inputs {
            guard let axis = graph[input].type.shape.firstIndex(of: Dimension(symbol)) else { continue }
            return emit("Shape", [name(input)], [.int("start", axis), .int("end", axis + 1)], detail: symbol.name)
        }
        throw unsupported("needs the size '\(symbol)', which is no dimension of an input")
    }

    /// Writes a reshape. A single open size is left to the reader; sizes that stay where they were are taken over.
    @discardableResult
    mutating func reshape(_ value: String, from: [Dimension], to shape: [Dimension], output: String? = nil) throws -> String {
        if let numbers = shape.fixedSizes {
            // Zeros are sizes only when the operator is told so.
            return emit("Reshape", [value, try integers(numbers, "shape")], numbers.contains(0) ? [.int("allowzero", 1)] : [], to: output)
        }
        let open = shape.indices.filter { shape[$0].fixed == nil }
        let isZero = shape.contains { $0.fixed == 0 }
        let kept = open.filter { $0 < from.count && from[$0] == shape[$0] }
        let others = open.filter { !kept.contains($0) }
        if !isZero, others.count <= 1 {
            let sizes = shape.indices.map { axis in shape[axis].fixed ?? (kept.contains(axis) ? 0 : -1) }
            return emit("Reshape", [value, try integers(sizes, "shape")], to: output)
        }
        return emit("Reshape", [value, try self.shape(shape, "shape")], isZero ? [.int("allowzero", 1)] : [], to: output)
    }

    private func valueInfo(_ name: String, _ type: ValueType) -> Onnx_ValueInfoProto {
        var tensor = Onnx_TypeProto.Tensor()
        tensor.elemType = type.element.onnx.rawValue
        tensor.shape.dim = type.shape.map { dimension in
            var message = Onnx_TensorShapeProto.Dimension()
            if let size = dimension.fixed { message.dimValue = Int64(size) } else { message.dimParam = dimension.description }
            return message
        }
        var info = Onnx_ValueInfoProto()
        info.name = name
        info.type.tensorType = tensor
        return info
    }

    // MARK: - Errors

    func unsupported(_ reason: String, remedy: String = "Write the part of the graph that ONNX can express.") -> SwiftletError {
        .unsupported(file: graph.name, place: node.name, reason: "\(node.op) \(reason), and ONNX has no operator for it", remedy: remedy)
    }
}

extension Onnx_AttributeProto {
    private static func make(_ name: String, _ type: AttributeType, _ fill: (inout Onnx_AttributeProto) -> Void) -> Onnx_AttributeProto {
        var message = Onnx_AttributeProto()
        message.name = name
        message.type = type
        fill(&message)
        return message
    }

    static func int(_ name: String, _ value: Int) -> Onnx_AttributeProto { make(name, .int) { $0.i = Int64(value) } }
    static func flag(_ name: String, _ value: Bool) -> Onnx_AttributeProto { int(name, value ? 1 : 0) }
    static func ints(_ name: String, _ values: [Int]) -> Onnx_AttributeProto { make(name, .ints) { $0.ints = values.map(Int64.init) } }
    static func float(_ name: String, _ value: Float) -> Onnx_AttributeProto { make(name, .float) { $0.f = value } }
    static func floats(_ name: String, _ values: [Float]) -> Onnx_AttributeProto { make(name, .floats) { $0.floats = values } }
    static func string(_ name: String, _ value: String) -> Onnx_AttributeProto { make(name, .string) { $0.s = Data(value.utf8) } }
    static func strings(_ name: String, _ values: [String]) -> Onnx_AttributeProto { make(name, .strings) { $0.strings = values.map { Data($0.utf8) } } }
}
