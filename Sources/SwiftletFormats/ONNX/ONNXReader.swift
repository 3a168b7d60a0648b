// Turns decoded messages into the plain values of the model: graph after graph, node after node.
//
// What depends on one node or tensor alone is checked here; what concerns names, order and scopes in `ONNXGraphCheck`. The recursion (graphs
// within attributes, types within types) is no deeper than `ONNXSkeleton` let messages nest.
internal import SwiftProtobuf
import SwiftletTensor

struct ONNXReader {
    private let image: FileImage
    private var tensors: ONNXTensorReader

    /// The messages of a file. Throws `SwiftletError.malformed` when the bytes are not ONNX's messages.
    static func message(_ image: FileImage) throws -> Onnx_ModelProto {
        let skeleton = try ONNXSkeleton(image)
        var options = BinaryDecodingOptions()
        options.messageDepthLimit = ONNXSkeleton.maximumDepth + 8
        options.discardUnknownFields = true
        do {
            return try Onnx_ModelProto(serializedBytes: skeleton.message, options: options)
        } catch {
            // The walk has checked all lengths; what is left are texts that are not UTF-8 and packed arrays that end within an element.
            throw SwiftletError.malformed(
                file: image.name, offset: 0, reason: "a text or an array of the model cannot be decoded (\(error))",
                remedy: "Check that this is an ONNX file and that it is whole.")
        }
    }

    init(_ image: FileImage) {
        self.image = image
        tensors = ONNXTensorReader(image)
    }

    /// The external data files opened so far.
    var externalFiles: [MappedFile] { tensors.external.files.values.sorted { $0.path < $1.path } }

    // MARK: - Graphs and functions

    /// `owner` names the graph in errors. Names and order are not checked yet.
    mutating func graph(_ message: Onnx_GraphProto, owner: String) throws -> ONNXGraph {
        if let sparse = message.sparseInitializer.first {
            throw unsupported(
                sparse.values.name.isEmpty ? owner : sparse.values.name, "sparse initialisers are not read",
                "Save the model with dense initialisers.")
        }
        return ONNXGraph(
            name: message.name,
            inputs: try message.input.map { try valueInfo($0) },
            outputs: try message.output.map { try valueInfo($0) },
            values: try message.valueInfo.map { try valueInfo($0) },
            initializers: try message.initializer.map { try tensors.tensor($0, owner: $0.name) },
            nodes: try nodes(message.node))
    }

    mutating func function(_ message: Onnx_FunctionProto) throws -> ONNXFunction {
        let name = message.name, domain = ONNXFile.domain(message.domain)
        guard !name.isEmpty else { throw invalid(domain, "a function has no name") }
        let body = ONNXGraph(
            name: name,
            inputs: message.input.map { ONNXValueInfo(name: $0, type: nil) },
            outputs: message.output.map { ONNXValueInfo(name: $0, type: nil) },
            values: try message.valueInfo.map { try valueInfo($0) },
            initializers: [],
            nodes: try nodes(message.node))
        return ONNXFunction(
            name: name, domain: domain, overload: message.overload, attributes: message.attribute,
            attributeDefaults: try message.attributeProto.map { try attribute($0, node: name) },
            operatorSets: try ONNXFile.operatorSets(message.opsetImport, file: image.name), body: body)
    }

    private mutating func nodes(_ messages: [Onnx_NodeProto]) throws -> [ONNXNode] {
        try messages.enumerated().map { index, message in
            let label = message.name.isEmpty ? "\(message.opType) (node \(index))" : "\(message.name) (\(message.opType))"
            guard !message.opType.isEmpty else { throw invalid(label, "the node has no operator") }
            var seen: Set<String> = []
            for attribute in message.attribute where !seen.insert(attribute.name).inserted {
                throw invalid(label, "the attribute '\(attribute.name)' appears twice")
            }
            return ONNXNode(
                name: message.name, op: message.opType, domain: ONNXFile.domain(message.domain), overload: message.overload,
                inputs: message.input, outputs: message.output,
                attributes: try message.attribute.map { try attribute($0, node: label) }, label: label)
        }
    }

    // MARK: - Attributes

    private mutating func attribute(_ message: Onnx_AttributeProto, node: String) throws -> ONNXAttribute {
        let name = message.name
        guard !name.isEmpty else { throw invalid(node, "an attribute has no name") }
        if !message.refAttrName.isEmpty { return ONNXAttribute(name: name, value: .reference(message.refAttrName)) }
        let held = message.held
        // Files older than the discriminator leave it out, and writers leave out what is zero or empty.
        let kind = message.type == .undefined ? held.first ?? .undefined : message.type
        guard held.allSatisfy({ $0 == kind }) else {
            throw invalid(node, "the attribute '\(name)' of type \(kind) holds \(held.map { "\($0)" }.joined(separator: " and "))")
        }
        let owner = "\(node): \(name)"
        let value: ONNXAttribute.Value
        switch kind {
        case .float: value = .float(message.f)
        case .int: value = .int(Int(message.i))
        case .string: value = .string(Array(message.s))
        case .floats: value = .floats(message.floats)
        case .ints: value = .ints(message.ints.map(Int.init))
        case .strings: value = .strings(message.strings.map { Array($0) })
        case .tensor where message.hasT: value = .tensor(try tensors.tensor(message.t, owner: owner))
        case .tensors: value = .tensors(try message.tensors.map { try tensors.tensor($0, owner: owner) })
        case .graph where message.hasG: value = .graph(try graph(message.g, owner: owner))
        case .graphs: value = .graphs(try message.graphs.map { try graph($0, owner: owner) })
        case .typeProto where message.hasTp: value = .type(try requiredType(message.tp, owner))
        case .typeProtos: value = .types(try message.typeProtos.map { try requiredType($0, owner) })
        case .sparseTensor, .sparseTensors:
            throw unsupported(
                node, "the attribute '\(name)' is a sparse tensor, which is not read", "Export the model with dense constants.")
        case .undefined, .tensor, .graph, .typeProto: throw invalid(node, "the attribute '\(name)' has no value")
        }
        return ONNXAttribute(name: name, value: value)
    }

    // MARK: - Types

    private func valueInfo(_ message: Onnx_ValueInfoProto) throws -> ONNXValueInfo {
        ONNXValueInfo(name: message.name, type: message.hasType ? try type(message.type, message.name) : nil)
    }

    private func requiredType(_ message: Onnx_TypeProto, _ owner: String) throws -> ONNXType {
        guard let type = try type(message, owner) else { throw invalid(owner, "a type is empty") }
        return type
    }

    /// Nil for a type that says nothing: its kind or its element type is left out.
    private func type(_ message: Onnx_TypeProto, _ owner: String) throws -> ONNXType? {
        switch message.value {
        case nil: nil
        case .tensorType(let tensor):
            tensor.elemType == 0
                ? nil : .tensor(try element(tensor.elemType, owner), shape: tensor.hasShape ? try dimensions(tensor.shape, owner) : nil)
        case .sparseTensorType(let tensor):
            .sparseTensor(try element(tensor.elemType, owner), shape: tensor.hasShape ? try dimensions(tensor.shape, owner) : nil)
        case .sequenceType(let sequence): .sequence(try requiredType(sequence.elemType, owner))
        case .optionalType(let optional): .optional(try requiredType(optional.elemType, owner))
        case .mapType(let map): .map(key: try element(map.keyType, owner), value: try requiredType(map.valueType, owner))
        case .opaqueType(let opaque): .opaque(domain: opaque.domain, name: opaque.name)
        }
    }

    private func element(_ number: Int32, _ owner: String) throws -> ONNXElementType {
        guard let type = ONNXElementType(rawValue: number) else {
            throw unsupported(owner, "the element type \(number) is unknown", "Export the model with types of ONNX 1.23 or older.")
        }
        return type
    }

    private func dimensions(_ message: Onnx_TensorShapeProto, _ owner: String) throws -> [ONNXDimension] {
        let dimensions: [ONNXDimension] = try message.dim.map { dimension in
            switch dimension.value {
            case nil: .unknown
            // Some exporters write a question mark for each size they do not know, equal or not.
            case .dimParam(let name): name.isEmpty || name == "?" ? .unknown : .symbol(name)
            // Exporters say −1 for a size they do not know.
            case .dimValue(-1): .unknown
            case .dimValue(let size):
                if let size = Int(exactly: size), size >= 0 {
                    .fixed(size)
                } else {
                    throw invalid(owner, "the value has the dimension \(size)")
                }
            }
        }
        let known = dimensions.compactMap { if case .fixed(let size) = $0 { size } else { nil } }
        guard Shape(known).checkedElementCount != nil else { throw invalid(owner, "the shape \(known) is absurdly large") }
        return dimensions
    }

    // MARK: - Errors

    private func invalid(_ owner: String, _ reason: String) -> SwiftletError {
        .invalidGraph(node: owner, reason: "\(reason), in \(image.name)", remedy: ONNXTensorReader.remedy)
    }

    private func unsupported(_ owner: String, _ reason: String, _ remedy: String) -> SwiftletError {
        .unsupported(file: image.name, place: "'\(owner)'", reason: reason, remedy: remedy)
    }
}

extension Onnx_AttributeProto {
    /// The kinds of value that are there.
    fileprivate var held: [Onnx_AttributeProto.AttributeType] {
        var kinds: [Onnx_AttributeProto.AttributeType] = []
        if hasF { kinds.append(.float) }
        if hasI { kinds.append(.int) }
        if hasS { kinds.append(.string) }
        if hasT { kinds.append(.tensor) }
        if hasG { kinds.append(.graph) }
        if hasSparseTensor { kinds.append(.sparseTensor) }
        if hasTp { kinds.append(.typeProto) }
        if !floats.isEmpty { kinds.append(.floats) }
        if !ints.isEmpty { kinds.append(.ints) }
        if !strings.isEmpty { kinds.append(.strings) }
        if !tensors.isEmpty { kinds.append(.tensors) }
        if !graphs.isEmpty { kinds.append(.graphs) }
        if !sparseTensors.isEmpty { kinds.append(.sparseTensors) }
        if !typeProtos.isEmpty { kinds.append(.typeProtos) }
        return kinds
    }
}
