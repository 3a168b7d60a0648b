// A dense array in memory: what goes into a model by name, and what comes out of it.
//
// Layout: row-major, no padding between rows, the first element at an address that is a multiple of 64. The bytes are shared by all copies
// of a tensor until one of them is written (copy-on-write), so passing tensors around costs nothing and a buffer that nobody else holds is
// filled again and again without allocation.
#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

/// Dense elements of one type with a shape. A value: a copy never sees what is written to another.
///
///     let image = try Tensor([0.5, 1, 1.5, 2], shape: [1, 2, 2])     // f32
///     let ids = try Tensor([Int64(101), 102], shape: [2])            // i64
///     var batch = try Tensor(zeros: .f32, shape: [8, 3, 224, 224])
///     try batch.withMutableElements(as: Float.self) { $0[0] = 1 }     // in place: nobody else holds it
///     let values = try batch.elements(as: Float.self)
public struct Tensor: Sendable {
    /// The type of one element.
    public let type: DType
    /// The dimensions, outermost first; `[]` is a scalar of one element.
    public let shape: Shape
    private var storage: Storage

    /// All elements zero (`false`).
    ///
    /// Throws `SwiftletError.invalidArgument` when a dimension is negative or their product too large, `.outOfMemory` when the system
    /// has no room.
    public init(zeros type: DType, shape: Shape) throws {
        try self.init(type, shape, Storage(byteCount: Self.byteCount(type, shape)))
    }

    /// A copy of `values`, row after row; their Swift type decides the element type (`Float` is f32).
    ///
    /// Throws `SwiftletError.invalidArgument` unless the shape has exactly as many elements.
    public init<Element: TensorElement>(_ values: some Collection<Element>, shape: Shape) throws {
        let bytes = try Self.byteCount(Element.elementType, shape)
        guard values.count == shape.elementCount else {
            throw SwiftletError.invalidArgument(
                name: "shape", reason: "\(shape) has \(shape.elementCount) elements, \(values.count) values were given",
                remedy: "Pass one value for each element.")
        }
        let storage = try Storage(byteCount: bytes)
        _ = storage.bytes.bindMemory(to: Element.self).initialize(fromContentsOf: values)
        self.init(Element.elementType, shape, storage)
    }

    /// A tensor without dimensions.
    public init<Element: TensorElement>(scalar value: Element) throws { try self.init(CollectionOfOne(value), shape: []) }

    /// A copy of raw bytes: the elements in the machine's byte order, row after row.
    ///
    /// Throws `SwiftletError.invalidArgument` unless there are exactly as many bytes as type and shape need.
    public init(_ type: DType, shape: Shape, copying bytes: UnsafeRawBufferPointer) throws {
        let needed = try Self.byteCount(type, shape)
        guard needed == bytes.count else { throw Self.wrongByteCount(type, shape, bytes.count) }
        let storage = try Storage(byteCount: needed)
        storage.bytes.copyMemory(from: bytes)
        self.init(type, shape, storage)
    }

    /// Memory that is filled once by `fill`, which finds it zeroed: spares the copy of `init(_:shape:copying:)`.
    public init(_ type: DType, shape: Shape, fill: (UnsafeMutableRawBufferPointer) throws -> Void) throws {
        let storage = try Storage(byteCount: Self.byteCount(type, shape))
        try fill(storage.bytes)
        self.init(type, shape, storage)
    }

    /// Bytes inside `owner`, which keeps them alive and unchanged: a part of a mapped file. They are copied when the tensor is written, and
    /// at once when they do not start at a multiple of 64.
    package init(_ type: DType, shape: Shape, sharing bytes: UnsafeRawBufferPointer, owner: AnyObject & Sendable) throws {
        let needed = try Self.byteCount(type, shape)
        guard needed == bytes.count else { throw Self.wrongByteCount(type, shape, bytes.count) }
        if Int(bitPattern: bytes.baseAddress) % 64 == 0 {
            self.init(type, shape, Storage(sharing: bytes, owner: owner))
        } else {
            self = try withExtendedLifetime(owner) { try Tensor(type, shape: shape, copying: bytes) }
        }
    }

    private init(_ type: DType, _ shape: Shape, _ storage: Storage) {
        self.type = type
        self.shape = shape
        self.storage = storage
    }

    public var elementCount: Int { byteCount / type.byteCount }
    public var byteCount: Int { storage.bytes.count }

    // MARK: Reading

    /// All elements, row after row.
    ///
    /// Throws `SwiftletError.invalidArgument` when they are of another type; `floats()` converts.
    public func elements<Element: TensorElement>(as element: Element.Type = Element.self) throws -> [Element] {
        // A byte that is neither 0 nor 1 is no `Bool` in Swift, but may well lie in a tensor of them.
        if type == .bool, let truths = withBytes({ $0.map { $0 != 0 } }) as? [Element] { return truths }
        return try withElements(as: element) { Array($0) }
    }

    /// All elements as f32, row after row, whatever their type: 64-bit ones are rounded, `true` is 1.
    public func floats() throws -> [Float] {
        try withBytes { try WeightFormat.dense(type).dequantizeRow($0, elements: elementCount) }
    }

    /// Calls `body` with all bytes, which stay valid during the call and start at a multiple of 64.
    public func withBytes<Result>(_ body: (UnsafeRawBufferPointer) throws -> Result) rethrows -> Result {
        try withExtendedLifetime(storage) { try body(UnsafeRawBufferPointer(storage.bytes)) }
    }

    /// Calls `body` with all elements, which stay valid during the call.
    ///
    /// Throws `SwiftletError.invalidArgument` when they are of another type. `Bool` is not read this way: use `elements(as:)`, or `UInt8`
    /// for tensors of `bool`.
    public func withElements<Element: TensorElement, Result>(
        as element: Element.Type = Element.self, _ body: (UnsafeBufferPointer<Element>) throws -> Result
    ) throws -> Result {
        try checkType(element)
        return try withBytes { try body($0.bindMemory(to: element)) }
    }

    // MARK: Writing

    /// Calls `body` with all bytes to be changed. They are copied first when another tensor shares them.
    public mutating func withMutableBytes<Result>(_ body: (UnsafeMutableRawBufferPointer) throws -> Result) throws -> Result {
        try makeUnique()
        return try withExtendedLifetime(storage) { try body(storage.bytes) }
    }

    /// Calls `body` with all elements to be changed, as `withMutableBytes`; throws as `withElements(as:_:)`.
    public mutating func withMutableElements<Element: TensorElement, Result>(
        as element: Element.Type = Element.self, _ body: (UnsafeMutableBufferPointer<Element>) throws -> Result
    ) throws -> Result {
        try checkType(element)
        return try withMutableBytes { try body($0.bindMemory(to: element)) }
    }

    // MARK: Shapes

    /// The same elements under another shape; nothing is copied.
    ///
    /// Throws `SwiftletError.invalidArgument` when the number of elements differs.
    public func reshaped(to shape: Shape) throws -> Tensor {
        guard shape.checkedElementCount == elementCount else {
            throw SwiftletError.invalidArgument(
                name: "shape", reason: "\(elementCount) elements of shape \(self.shape) do not fill \(shape)",
                remedy: "Choose dimensions with the same product.")
        }
        return Tensor(type, shape, storage)
    }

    /// Tensors of one type and shape behind each other, under a new first dimension: a batch.
    ///
    /// Throws `SwiftletError.invalidArgument` when there is none, or they differ in type or shape.
    public static func stacked(_ tensors: [Tensor]) throws -> Tensor {
        guard let first = tensors.first else {
            throw SwiftletError.invalidArgument(name: "tensors", reason: "there are none to stack", remedy: "Pass one tensor or more.")
        }
        if let other = tensors.first(where: { $0.type != first.type || $0.shape != first.shape }) {
            throw SwiftletError.invalidArgument(
                name: "tensors", reason: "\(first) and \(other) cannot be stacked", remedy: "Pass tensors of one type and shape.")
        }
        return try Tensor(first.type, shape: Shape([tensors.count] + first.shape.dimensions)) { target in
            for (index, tensor) in tensors.enumerated() {
                let place = index * first.byteCount..<(index + 1) * first.byteCount
                tensor.withBytes { UnsafeMutableRawBufferPointer(rebasing: target[place]).copyMemory(from: $0) }
            }
        }
    }

    // MARK: Checks

    private func checkType<Element: TensorElement>(_ element: Element.Type) throws {
        let fits = element.elementType == type || (type == .bool && element.elementType == .u8)
        guard fits && element.elementType != .bool else {
            throw SwiftletError.invalidArgument(
                name: "element", reason: "the tensor holds \(type.rawValue), not \(element.elementType.rawValue), to be read in place",
                remedy: "Ask for its own type (bool: as u8), or convert with floats().")
        }
    }

    private static func byteCount(_ type: DType, _ shape: Shape) throws -> Int {
        guard let elements = shape.checkedElementCount, let bytes = WeightFormat.dense(type).rowBytes(elements: elements) else {
            throw SwiftletError.invalidArgument(
                name: "shape", reason: "\(shape) of \(type.rawValue) is no size in memory", remedy: "Pass dimensions that are not negative."
            )
        }
        return bytes
    }

    private static func wrongByteCount(_ type: DType, _ shape: Shape, _ count: Int) -> SwiftletError {
        .invalidArgument(
            name: "bytes", reason: "\(type.rawValue) \(shape) does not take \(count) bytes", remedy: "Pass the bytes of all elements.")
    }

    private mutating func makeUnique() throws {
        if storage.isWritable && isKnownUniquelyReferenced(&storage) { return }
        let copy = try Storage(byteCount: byteCount)
        withBytes { copy.bytes.copyMemory(from: $0) }
        storage = copy
    }

    /// The bytes and what keeps them alive.
    ///
    /// `@unchecked Sendable`: written only through a tensor that holds it alone.
    private final class Storage: @unchecked Sendable {
        let bytes: UnsafeMutableRawBufferPointer
        let isWritable: Bool
        private let owner: AnyObject

        init(byteCount: Int) throws {
            let memory = try AlignedMemory(byteCount: byteCount, purpose: "a tensor")
            bytes = memory.bytes
            isWritable = true
            owner = memory
        }

        init(sharing shared: UnsafeRawBufferPointer, owner: AnyObject) {
            bytes = UnsafeMutableRawBufferPointer(mutating: shared)
            isWritable = false
            self.owner = owner
        }
    }
}

extension Tensor: Equatable {
    /// Whether type, shape and all bits agree: a NaN equals itself, and 0 is not -0.
    public static func == (left: Tensor, right: Tensor) -> Bool {
        guard left.type == right.type, left.shape == right.shape else { return false }
        if left.storage === right.storage { return true }
        return left.withBytes { bytes in
            right.withBytes { others in
                guard let first = bytes.baseAddress, let second = others.baseAddress else { return true }  // both are empty
                return memcmp(first, second, bytes.count) == 0
            }
        }
    }
}

extension Tensor: CustomStringConvertible {
    public var description: String { "\(type.rawValue) \(shape)" }
}

/// A Swift type that is an element type of tensors. bf16 has none: its tensors are read with `Tensor.floats()` or as bytes.
public protocol TensorElement: BitwiseCopyable, Sendable {
    /// The element type of a tensor of such values.
    static var elementType: DType { get }
}

extension Double: TensorElement { public static var elementType: DType { .f64 } }
extension Float: TensorElement { public static var elementType: DType { .f32 } }
#if !(os(macOS) && arch(x86_64))
    extension Float16: TensorElement { public static var elementType: DType { .f16 } }
#endif
extension Int64: TensorElement { public static var elementType: DType { .i64 } }
extension Int32: TensorElement { public static var elementType: DType { .i32 } }
extension Int16: TensorElement { public static var elementType: DType { .i16 } }
extension Int8: TensorElement { public static var elementType: DType { .i8 } }
extension UInt64: TensorElement { public static var elementType: DType { .u64 } }
extension UInt32: TensorElement { public static var elementType: DType { .u32 } }
extension UInt16: TensorElement { public static var elementType: DType { .u16 } }
extension UInt8: TensorElement { public static var elementType: DType { .u8 } }
extension Bool: TensorElement { public static var elementType: DType { .bool } }
