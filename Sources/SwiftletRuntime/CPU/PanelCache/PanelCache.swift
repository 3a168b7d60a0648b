// Packed weights kept on disk between runs: looked up while a model is lowered, written when it had to be packed.
//
// The bytes of a panel depend on the weight and on the layout of its type, and on nothing else: neither the threads nor any option of the model, and
// the instruction set only by whether it makes leaving out zeros worthwhile (`SparseChoice`), so one file a model serves them all. A layout is known by
// CK_PANEL_LAYOUT_VERSION and by what this build makes of a sample of each type (`ck_panel_fingerprint`), so a changed packer whose
// author forgot the version is noticed too.
//
// The model is known by size, inode, modification and change time of its files, and a checksum of 64 samples of each. Hashing all of a file
// would cost more than packing it. Any write, and any other file in its place, changes the change time, which no program can set; the samples
// serve file systems that keep no such times. One file a model's path: the next version of a model takes the place of the last one.
import CKernels
import Foundation

/// What became of the cache when a model was loaded.
public enum WeightCacheUse: Sendable, Equatable {
    /// Not asked for, or the model is too small (or not in a file): packing costs less than looking.
    case unused
    /// Mapped: `bytes` of packed weights, nothing was packed.
    case mapped(path: String, bytes: Int)
    /// Packed and written. `damage` says what was wrong with the file that was there, nil when there was none or an older one.
    case written(path: String, bytes: Int, damage: String?)
    /// Packed, but not kept: the folder cannot be written, the disk is full. The model works all the same.
    case failed(path: String, reason: String)
}

/// The packed weights of one model on disk.
///
/// `@unchecked Sendable`: used by one thread at a time, the one that loads the model.
package final class PanelCache: @unchecked Sendable {
    /// Models whose panels take fewer bytes are packed in a few milliseconds: not worth a file.
    package static let minimumBytes = 4 << 20
    static let fileExtension = "panels"

    private let path: String
    private let files: [MappedFile]
    private let source: PanelFile.Source
    private let minimumBytes: Int
    private let pool: ThreadPool

    private var mapped: [PanelFile.Key: PanelFile.Section] = [:]
    private var mappedFile: MappedFile?
    private var damage: String?
    /// All panels of the model so far, in the order of their use.
    private var sections: [PanelFile.Section] = []
    private var seen: Set<PanelFile.Key> = []
    /// What keeps the bytes of the sections.
    private var owners: [AnyObject] = []
    private var hasPacked = false
    private var fingerprints: [UInt32: UInt64] = [:]

    /// Opens the cache of the model in `files` (its parts in order) in `folder`, if there is a usable one.
    package init(files: [MappedFile], folder: String, pool: ThreadPool, minimumBytes: Int = PanelCache.minimumBytes) {
        self.files = files
        self.pool = pool
        self.minimumBytes = minimumBytes
        source = Self.source(of: files)
        path = Self.path(of: files.first?.path ?? "", in: folder)
        guard !files.isEmpty else { return }
        do {
            let file = try PanelFile(path: path, source: source, pool: pool)
            mappedFile = file.file
            for section in file.sections { mapped[section.key] = section }
        } catch PanelFile.Rejection.damaged(let reason) {
            damage = reason
        } catch {
            // Stale, or not there.
        }
    }

    // MARK: Lowering

    /// The panels of one weight, or of two in turn, from the cache, or packed now and remembered for `finish`. `ranked` as of `PackedPanels`.
    func panels(_ weights: [Weight], name: String, ranked: Bool, isa: UInt32) throws -> PackedPanels {
        guard let key = key(of: weights) else { return try PackedPanels(weights, name: name, ranked: ranked, isa: isa, pool: pool) }
        let layout = try PackedLayout(weights, name: name)
        let fingerprint = try fingerprint(of: layout.type) ^ SparseChoice.fingerprint(of: layout.type, isa: isa) ^ PackedLayout.splitFingerprint(ranked: ranked, isa: isa)
        let panels: PackedPanels
        if let section = mapped[key], section.fingerprint == fingerprint,
            let layout = layout.split(ranked: ranked, isa: isa).asKept(section.format, section.bytes) ?? layout.asKept(section.format, section.bytes),
            let base = section.bytes.baseAddress, let mappedFile
        {
            panels = PackedPanels(layout, base: base, owner: mappedFile)
        } else {
            panels = try PackedPanels(weights, name: name, ranked: ranked, isa: isa, pool: pool)
            hasPacked = true
        }
        if seen.insert(key).inserted {
            sections.append(PanelFile.Section(key: key, format: panels.layout.kindOnDisk, fingerprint: fingerprint, bytes: panels.bytes))
            owners.append(panels.owner)
        }
        return panels
    }

    /// Nil for weights outside the model's files, or in several of them.
    private func key(of weights: [Weight]) -> PanelFile.Key? {
        guard let weight = weights.first, weights.count <= 2, let (file, range) = weight.store.source,
            let part = files.firstIndex(where: { $0 === file }), weight.shape.rank == 2, let type = ck_weight_type(weight.format)
        else { return nil }
        var partner: Int?
        if weights.count == 2 {
            guard let (other, place) = weights[1].store.source, other === file else { return nil }
            partner = place.lowerBound
        }
        return PanelFile.Key(
            part: part, offset: range.lowerBound, partner: partner, byteCount: range.count, type: type.rawValue, rows: weight.shape[0],
            columns: weight.shape[1])
    }

    private func fingerprint(of type: ck_weight_type) throws -> UInt64 {
        if let known = fingerprints[type.rawValue] { return known }
        let scratch = try AlignedMemory(byteCount: ck_panel_fingerprint_bytes(), purpose: "layout sample")
        let fingerprint = ck_panel_fingerprint(type, scratch.base)
        fingerprints[type.rawValue] = fingerprint
        return fingerprint
    }

    /// Called once the model is lowered: writes the file if something had to be packed. Never throws: a model runs without its cache.
    package func finish() -> WeightCacheUse {
        defer {
            mapped = [:]
            sections = []
            owners = []
        }
        let bytes = sections.reduce(0) { $0 + $1.bytes.count }
        guard hasPacked || damage != nil else { return mappedFile == nil ? .unused : .mapped(path: path, bytes: bytes) }
        guard bytes >= minimumBytes else { return .unused }
        do {
            try createFolder()
            removeAbandoned()
            try PanelFile.write(sections, modelPath: Self.absolute(files.first?.path ?? ""), source: source, to: path, pool: pool)
            return .written(path: path, bytes: bytes, damage: damage)
        } catch let error as SwiftletError {
            return .failed(path: path, reason: "\(error)")
        } catch {
            return .failed(path: path, reason: error.localizedDescription)
        }
    }

    private func createFolder() throws {
        let folder = (path as NSString).deletingLastPathComponent
        do {
            try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        } catch {
            throw SwiftletError.io(
                path: folder, reason: "cannot be created: \(error.localizedDescription)",
                remedy: "Check its permissions, name another folder, or do without the cache.")
        }
    }

    /// Deletes what processes that died while writing this file left behind: partial files that nobody has written to for ten minutes.
    private func removeAbandoned() {
        let folder = (path as NSString).deletingLastPathComponent, name = (path as NSString).lastPathComponent
        let names = (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
        for partial in names where partial.hasPrefix(name + ".partial-") {
            let file = (folder as NSString).appendingPathComponent(partial)
            let written = try? FileManager.default.attributesOfItem(atPath: file)[.modificationDate] as? Date
            if let written, written.timeIntervalSinceNow < -600 { try? FileManager.default.removeItem(atPath: file) }
        }
    }

    // MARK: Identity

    private static func source(of files: [MappedFile]) -> PanelFile.Source {
        var words: [UInt64] = []
        for file in files {
            let identity = file.identity
            words += [
                UInt64(identity.byteCount), identity.inode, UInt64(bitPattern: identity.modified), UInt64(bitPattern: identity.changed),
            ]
            words += samples(of: file)
        }
        return words.withUnsafeBytes {
            PanelFile.Source(low: ck_checksum($0.baseAddress, $0.count, 2), high: ck_checksum($0.baseAddress, $0.count, 3))
        }
    }

    /// Checksums of 64 pieces spread over the file, its start and its end among them.
    private static func samples(of file: MappedFile) -> [UInt64] {
        let count = 64, length = min(4_096, file.byteCount)
        return (0..<count).map { index in
            let start = (file.byteCount - length) / (count - 1) * index
            defer { file.release(start..<start + length, withNeighbours: true) }
            return ck_checksum(file.base + start, length, UInt64(index))
        }
    }

    private static func absolute(_ path: String) -> String { URL(fileURLWithPath: path).resolvingSymlinksInPath().path }

    /// `<folder>/<name of the model>-<checksum of its path>.panels`
    private static func path(of model: String, in folder: String) -> String {
        let path = absolute(model)
        let sum = Array(path.utf8).withUnsafeBytes { ck_checksum($0.baseAddress, $0.count, 4) }
        let digits = String(sum, radix: 16)
        let stem = ((path as NSString).lastPathComponent as NSString).deletingPathExtension
        let name = "\(stem.prefix(100))-\(String(repeating: "0", count: 16 - digits.count))\(digits).\(fileExtension)"
        return (folder as NSString).appendingPathComponent(name)
    }
}
