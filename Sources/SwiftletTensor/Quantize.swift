// Floats as blocks: the checked Swift side of the quantisers of CKernels/blocks.
//
// There are two ways to the same formats. `.nearest` takes a block's scale from its extremes, as the `gguf` Python package does, bit for
// bit; it is defined for the simple formats only. `.search` looks for the scales (and minimums) that leave the least squared error,
// weighted by how much each element matters if that is known; it is defined for every format and never leaves more error than `.nearest`.
import CKernels

extension BlockFormat {
    /// How the scales of a block are found.
    package enum QuantizationMethod: Sendable, Hashable, CaseIterable {
        /// From the extremes of the block: fast, and the bytes other programs write.
        case nearest
        /// By search for the least (weighted) squared error.
        case search
    }

    /// Whether the format can be made by `method`.
    package func supports(_ method: QuantizationMethod) -> Bool {
        switch method {
        case .nearest: hasRounding
        case .search: hasSearch
        }
    }

    /// Whether `.nearest` is defined: the K and IQ formats need a search.
    package var hasRounding: Bool { row?.quantize != nil }

    /// Whether `.search` is defined: for every block format.
    package var hasSearch: Bool { row?.search != nil }

    /// Quantises rows of floats to blocks; `target` is at an even address (except for MXFP4) and takes exactly the blocks of `source`.
    ///
    /// `importance`, for `.search` only, holds one weight for each element of a row, finite and not negative, and applies to every row of
    /// `source`: the search then minimises the sum of `importance[j] * (x[j] - value[j])²`. For a linear layer it is the mean square of the
    /// activation that meets the weight. Without it all elements matter equally. Calls on different rows may run on different threads.
    ///
    /// Throws `SwiftletError.invalidArgument` when the sizes do not agree, when a number is not finite (with its row and element), when a
    /// weight is negative, and when the format or the combination of method and importance is not defined. `target` is then untouched.
    package func quantize(
        _ source: UnsafeBufferPointer<Float>, importance: UnsafeBufferPointer<Float>? = nil, method: QuantizationMethod = .nearest,
        into target: UnsafeMutableRawBufferPointer
    ) throws {
        try checkSizes(elements: source.count, bytes: UnsafeRawBufferPointer(target))
        let rowElements = importance?.count ?? source.count
        if let importance { try check(importance, method, elements: source.count) }
        if let index = firstNotFinite(source) {
            throw SwiftletError.invalidArgument(
                name: "weights", reason: "row \(index / rowElements), element \(index % rowElements) is \(source[index])",
                remedy: "Quantise finite numbers only: the tensor is damaged or was never trained.")
        }
        guard let from = source.baseAddress, let to = target.baseAddress, !source.isEmpty else { return }
        switch method {
        case .nearest:
            guard let quantize = row?.quantize else {
                throw SwiftletError.invalidArgument(
                    name: "format", reason: "\(name) has no round-to-nearest quantiser",
                    remedy: "Search for its scales, or choose Q8_0, Q4_0 or another simple format.")
            }
            quantize(from, to, Int64(source.count))
        case .search:
            guard let search = row?.search else {
                throw SwiftletError.invalidArgument(
                    name: "format", reason: "the kernel table has no search for \(name)", remedy: "Build the package again, all of it.")
            }
            let rowBytes = rowElements / blockElements * blockBytes
            for row in 0..<source.count / rowElements {
                search(from + row * rowElements, importance?.baseAddress, to + row * rowBytes, Int64(rowElements))
            }
        }
    }

    /// The blocks of rows of floats, as `quantize(_:importance:method:into:)`.
    package func quantize(_ values: [Float], importance: [Float]? = nil, method: QuantizationMethod = .nearest) throws -> [UInt8] {
        let bytes = values.count / blockElements * blockBytes
        if values.isEmpty { return [] }
        return try [UInt8](unsafeUninitializedCapacity: bytes) { target, initialized in
            let blocks = UnsafeMutableRawBufferPointer(start: target.baseAddress, count: bytes)
            try values.withUnsafeBufferPointer { values in
                guard let importance else { return try quantize(values, method: method, into: blocks) }
                try importance.withUnsafeBufferPointer { try quantize(values, importance: $0, method: method, into: blocks) }
            }
            initialized = bytes
        }
    }

    private var row: ck_block_format? { ck_block_format_find(rawValue)?.pointee }

    private func check(_ importance: UnsafeBufferPointer<Float>, _ method: QuantizationMethod, elements: Int) throws {
        guard method == .search else {
            throw SwiftletError.invalidArgument(
                name: "importance", reason: "rounding to nearest has no use for it",
                remedy: "Quantise with a search, or without importance.")
        }
        guard !importance.isEmpty, importance.count % blockElements == 0, elements % importance.count == 0 else {
            throw SwiftletError.invalidArgument(
                name: "importance",
                reason: "\(importance.count) weights do not fit rows of \(name) blocks with \(elements) elements in all",
                remedy: "Pass one weight for each element of a row.")
        }
        if let index = importance.firstIndex(where: { !($0 >= 0 && $0.isFinite) }) {
            throw SwiftletError.invalidArgument(
                name: "importance", reason: "element \(index) is \(importance[index])", remedy: "Pass finite weights that are not negative."
            )
        }
    }

    /// The position of the first NaN or infinity. The largest magnitude as an integer tells whether there is one, without a branch an
    /// element.
    private func firstNotFinite(_ values: UnsafeBufferPointer<Float>) -> Int? {
        var largest: UInt32 = 0
        for value in values { largest = max(largest, value.bitPattern & 0x7fff_ffff) }
        return largest < 0x7f80_0000 ? nil : values.firstIndex { !$0.isFinite }
    }
}
