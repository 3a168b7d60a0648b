// A file of packed weights: what `PanelCache` writes after packing a model and maps at its next start.
//
// Little-endian. All sizes and offsets in bytes.
//   header   128: magic "SWPANELS" | container version u32, CK_PANEL_LAYOUT_VERSION u32 | source u64 × 2 | file size | entries | path length |
//                 checksum of path and entries | checksum of the header up to here | zeros
//   path          of the model, padded to 8: only shown to people
//   entries  88 each, u64: part, type << 32 | sparse format << 16 | panel format | source offset, size | rows | columns | data offset, size, checksum | fingerprint |
//                 source offset of the weight whose panels lie between, all ones when there is none
//   data          one section a matrix or a pair, each at a multiple of 4,096: panels as `ck_pack_panel` writes them, or both parts of a split matrix
//
// Nothing in the file is trusted: every number is held against the file's size before it is used, header and entries have checksums, and
// every section is summed on opening, at the speed of memory by all threads (which also brings in the pages that the first token reads).
// That finds what a crash or a bad disk leaves, so writing need not wait for the disk. Whoever writes the file after it was opened could still
// change weights under a running process, as with the model file itself; kernels address nothing by what panels hold, or, where panels are sparse,
// no further than a section reaches (`ck_sparse_reach`).
import CKernels

struct PanelFile {
    /// Which weight of which file an entry was packed from, or which two, and into what.
    struct Key: Hashable {
        /// Index of the model's file, for models in parts.
        let part: Int
        let offset: Int
        /// Where the second weight of a pair lies in the file; it is of the first one's size and kind.
        let partner: Int?
        let byteCount: Int
        let type: UInt32
        let rows, columns: Int
    }

    struct Section {
        let key: Key
        let format: UInt32
        /// `ck_panel_fingerprint` of the type when the section was written.
        let fingerprint: UInt64
        let bytes: UnsafeRawBufferPointer
    }

    /// Two independent 64-bit checksums of all that identifies the model's files.
    struct Source: Equatable {
        let low, high: UInt64
    }

    /// Why a file cannot be used.
    enum Rejection: Error, Equatable {
        /// Made for another file or by another version: to be expected, and replaced without a word.
        case stale
        /// Not what was written: the reason, for people.
        case damaged(String)
    }

    static let magic: UInt64 = 0x534C_454E_4150_5753  // "SWPANELS"
    static let containerVersion: UInt32 = 2
    static let headerBytes = 128
    private static let headerWords = 8  // before the header's own checksum
    static let entryBytes = 88
    /// Sections start at pages, so that they can be mapped, advised and shared one by one.
    static let sectionAlignment = 4_096
    static let maximumPathBytes = 4_096
    /// Bytes summed by one task.
    private static let chunkBytes = 1 << 20

    let file: MappedFile
    let sections: [Section]
    /// Where the model lay when it was packed.
    let modelPath: String

    // MARK: Reading

    /// Opens and checks a file. Throws `SwiftletError.io` when it cannot be opened, `Rejection` when it cannot be used.
    init(path: String, source: Source, pool: ThreadPool) throws {
        let file = try MappedFile(path: path)
        let (header, modelPath, entries) = try Self.directory(file)
        guard header.source == source else { throw Rejection.stale }
        var sections: [Section] = []
        sections.reserveCapacity(entries.count)
        for entry in entries {
            sections.append(
                Section(
                    key: entry.key, format: entry.format, fingerprint: entry.fingerprint,
                    bytes: UnsafeRawBufferPointer(rebasing: file.bytes[entry.range])))
        }
        let sums = Self.checksums(sections.map(\.bytes), pool: pool)
        for (entry, sum) in zip(entries, sums) where entry.checksum != sum {
            throw Rejection.damaged("the \(entry.range.count) bytes at \(entry.range.lowerBound) are not those that were written")
        }
        self.file = file
        self.sections = sections
        self.modelPath = modelPath
    }

    /// The model a file was made from, without checking its sections. Throws as `init` does.
    static func modelPath(of path: String) throws -> String { try directory(MappedFile(path: path)).path }

    private struct Header {
        let source: Source
        let entryCount, pathBytes: Int
    }

    private struct Entry {
        let key: Key
        let format: UInt32
        let range: Range<Int>
        let checksum, fingerprint: UInt64
    }

    private static func directory(_ file: MappedFile) throws -> (header: Header, path: String, entries: [Entry]) {
        let bytes = file.bytes
        guard bytes.count >= headerBytes else { throw Rejection.damaged("it has only \(bytes.count) bytes") }
        func word(_ offset: Int) -> UInt64 { UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: offset, as: UInt64.self)) }
        guard word(0) == magic else { throw Rejection.damaged("it does not start with 'SWPANELS'") }
        guard word(8) == UInt64(containerVersion) | UInt64(layoutVersion) << 32 else { throw Rejection.stale }
        guard ck_checksum(bytes.baseAddress, headerWords * 8, 0) == word(headerWords * 8) else {
            throw Rejection.damaged("its header is not what was written")
        }
        guard word(32) == UInt64(bytes.count) else { throw Rejection.damaged("it has \(bytes.count) bytes and should have \(word(32))") }
        let room = bytes.count - headerBytes
        guard let pathBytes = Int(exactly: word(48)), pathBytes <= min(maximumPathBytes, room) else {
            throw Rejection.damaged("its path is longer than it can be")
        }
        let entriesStart = headerBytes + padded(pathBytes, to: 8)
        guard entriesStart <= bytes.count, let count = Int(exactly: word(40)), count <= (bytes.count - entriesStart) / entryBytes else {
            throw Rejection.damaged("it has no room for its \(word(40)) entries")
        }
        let dataStart = entriesStart + count * entryBytes
        guard ck_checksum(bytes.baseAddress.map { $0 + headerBytes }, dataStart - headerBytes, 1) == word(56) else {
            throw Rejection.damaged("its directory is not what was written")
        }
        var entries: [Entry] = []
        for index in 0..<count {
            let start = entriesStart + index * entryBytes
            func field(_ number: Int) -> Int? { Int(exactly: word(start + number * 8)) }
            guard let part = field(0), let offset = field(2), let byteCount = field(3), let rows = field(4), let columns = field(5),
                let dataOffset = field(6), let dataBytes = field(7), dataOffset >= dataStart, dataOffset % sectionAlignment == 0,
                dataOffset <= bytes.count, dataBytes <= bytes.count - dataOffset
            else { throw Rejection.damaged("entry \(index) lies outside it") }
            let (kinds, second) = (word(start + 8), word(start + 80))
            guard second == .max || second <= UInt64(Int.max) else { throw Rejection.damaged("entry \(index) is paired with nothing") }
            entries.append(
                Entry(
                    key: Key(
                        part: part, offset: offset, partner: second == .max ? nil : Int(second), byteCount: byteCount, type: UInt32(kinds >> 32), rows: rows,
                        columns: columns),
                    format: UInt32(truncatingIfNeeded: kinds), range: dataOffset..<dataOffset + dataBytes, checksum: word(start + 64),
                    fingerprint: word(start + 72)))
        }
        let path = String(decoding: bytes[headerBytes..<headerBytes + pathBytes], as: UTF8.self)
        let header = Header(source: Source(low: word(16), high: word(24)), entryCount: count, pathBytes: pathBytes)
        return (header, path, entries)
    }

    // MARK: Writing

    /// Writes a file under a temporary name and renames it when it is whole. Throws `SwiftletError.io`.
    static func write(_ sections: [Section], modelPath: String, source: Source, to path: String, pool: ThreadPool) throws {
        var name = Array(modelPath.utf8.prefix(maximumPathBytes))
        let pathBytes = name.count
        name += [UInt8](repeating: 0, count: padded(pathBytes, to: 8) - pathBytes)
        var offset = headerBytes + name.count + sections.count * entryBytes
        var words: [UInt64] = []
        let sums = checksums(sections.map(\.bytes), pool: pool)
        for (section, sum) in zip(sections, sums) {
            offset = padded(offset, to: sectionAlignment)
            let key = section.key
            words += [
                UInt64(key.part), UInt64(key.type) << 32 | UInt64(section.format), UInt64(key.offset), UInt64(key.byteCount), UInt64(key.rows),
                UInt64(key.columns), UInt64(offset), UInt64(section.bytes.count), sum, section.fingerprint,
                key.partner.map(UInt64.init) ?? .max,
            ]
            offset += section.bytes.count
        }
        let directory = name + encoded(words)
        var header: [UInt64] = [
            magic, UInt64(containerVersion) | UInt64(layoutVersion) << 32, source.low, source.high, UInt64(offset), UInt64(sections.count),
            UInt64(pathBytes), directory.withUnsafeBytes { ck_checksum($0.baseAddress, $0.count, 1) },
        ]
        header.append(encoded(header).withUnsafeBytes { ck_checksum($0.baseAddress, $0.count, 0) })
        let file = try OutputFile(path: path)
        try file.write(encoded(header))
        try file.pad(to: headerBytes)
        try file.write(directory)
        for section in sections {
            try file.pad(to: sectionAlignment)
            try file.write(section.bytes)
        }
        // The reader sums every byte: what a crash loses is found then, and waiting for the disk here would cost seconds.
        try file.commit(synchronised: false)
    }

    private static func encoded(_ words: [UInt64]) -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(words.count * 8)
        for word in words { withUnsafeBytes(of: word.littleEndian) { bytes.append(contentsOf: $0) } }
        return bytes
    }

    // MARK: Sums

    static var layoutVersion: UInt32 { UInt32(CK_PANEL_LAYOUT_VERSION) }

    private static func padded(_ value: Int, to multiple: Int) -> Int { (value + multiple - 1) / multiple * multiple }

    /// The checksum of each buffer: of the checksums of its chunks, so that all threads share a large one.
    private static func checksums(_ buffers: [UnsafeRawBufferPointer], pool: ThreadPool) -> [UInt64] {
        var chunks: [UnsafeRawBufferPointer] = []
        var firstChunk = [0]
        for buffer in buffers {
            for start in stride(from: 0, to: buffer.count, by: chunkBytes) {
                chunks.append(UnsafeRawBufferPointer(rebasing: buffer[start..<min(buffer.count, start + chunkBytes)]))
            }
            firstChunk.append(chunks.count)
        }
        guard !chunks.isEmpty else { return buffers.map { _ in 0 } }
        var sums = [UInt64](repeating: 0, count: chunks.count)
        sums.withUnsafeMutableBufferPointer { sums in
            pool.forEach(chunks.count) { sums[$0] = ck_checksum(chunks[$0].baseAddress, chunks[$0].count, UInt64($0)) }
        }
        return buffers.indices.map { index in
            sums[firstChunk[index]..<firstChunk[index + 1]].withUnsafeBytes { ck_checksum($0.baseAddress, $0.count, UInt64(buffers[index].count)) }
        }
    }
}
