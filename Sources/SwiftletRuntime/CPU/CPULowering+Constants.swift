// Constants on their way into a program: read as floats, kept as vectors, or packed as kernels read them, once for all graphs of a backend.
import CKernels

extension CPULowering {
    /// The weight behind a value that a step needs to know when it is made.
    func constant(_ value: ValueID) throws -> Weight {
        if let weight = graph[value].weight { return weight }
        throw SwiftletError.invalidGraph(node: graph[value].name, reason: "is no constant", remedy: "Run the node on another backend.")
    }

    /// The elements of a constant in f32.
    func floats(_ value: ValueID) throws -> [Float] {
        try constant(value).floats()
    }

    /// The sizes of a value whose node `canLower` takes with fixed sizes only.
    func sizes(_ value: ValueID) throws -> [Int] {
        if let sizes = graph[value].type.shape.fixedSizes { return sizes }
        throw SwiftletError.invalidGraph(
            node: graph[value].name, reason: "has open sizes: \(graph[value].type)", remedy: "Give them numbers, or run the node on another backend.")
    }

    /// A constant vector in memory of its own.
    mutating func vector(_ values: [Float]) throws -> UnsafePointer<Float> {
        let memory = try AlignedMemory(byteCount: max(1, values.count) * MemoryLayout<Float>.stride, purpose: "vector")
        values.withUnsafeBytes { memory.bytes.copyMemory(from: $0) }
        owners.append(memory)
        return UnsafePointer(memory.base.assumingMemoryBound(to: Float.self))
    }

    /// The packed form of a constant, `parts` of `partBytes` one behind the other: what another graph of this backend has packed in the same form, or
    /// what `pack` writes now. `pack` gets the elements as they are stored, at an address that suits 4-byte ones, the number of the part, and where
    /// it goes. Without elements nothing is packed.
    mutating func packed(
        _ value: ValueID, _ form: PackedConstants.Form, partBytes: Int, parts: Int = 1, pack: (UnsafeRawPointer, Int, UnsafeMutableRawPointer) throws -> Void
    ) throws -> UnsafeRawPointer {
        let (weight, purpose) = (try constant(value), "packed weight \(graph[value].name)")
        let (bytes, overflow) = partBytes.multipliedReportingOverflow(by: parts)
        guard !overflow else { throw SwiftletError.outOfMemory(bytes: .max, purpose: purpose) }
        let memory = try weight.store.withBytes { source in
            try backend.constants.memory(PackedConstants.Key(source, form)) {
                let memory = try AlignedMemory(byteCount: bytes, purpose: purpose)
                guard let base = source.baseAddress else { return memory }
                // Files place tensors at any address.
                let aligned = Int(bitPattern: base) % 4 == 0 ? nil : try AlignedMemory(byteCount: source.count, purpose: "weight")
                aligned?.bytes.copyMemory(from: source)
                try withExtendedLifetime(aligned) {
                    let elements = aligned.map { UnsafeRawPointer($0.base) } ?? base
                    for part in 0..<parts { try pack(elements, part, memory.base + part * partBytes) }
                }
                return memory
            }
        }
        weight.store.releasePages()
        owners.append(memory)
        return UnsafeRawPointer(memory.base)
    }
}
