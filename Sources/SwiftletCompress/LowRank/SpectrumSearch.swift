// Spectra of all layers, group by group: second moments take columns² numbers an input, more than the model itself, so that they are collected for as many
// inputs at a time as a limit of memory allows, and the calibration data run once a group.
import SwiftletLinearAlgebra
import SwiftletRuntime

struct SpectrumSearch {
    /// Bytes of second moments held at once.
    static let momentBytes = 1 << 30

    let graph: Graph
    let technique: String
    /// The prior of the whitening; nil for none of either.
    let prior: Double?
    let context: CompressionContext

    private var isWhitened: Bool { prior != nil }

    /// The spectrum of each layer, for ranks up to `limits`.
    func spectra(_ layers: [FactorableLayer], limits: [Int]) throws -> [LayerSpectrum] {
        var spectra = [LayerSpectrum?](repeating: nil, count: layers.count)
        for index in layers.indices { spectra[index] = kept(layers[index], limit: limits[index]) }
        var done = spectra.count { $0 != nil }
        for group in isWhitened ? groups(layers, wanted: layers.indices.filter { spectra[$0] == nil }) : [layers.indices.filter { spectra[$0] == nil }] {
            var roots: [InputKey: Matrix<Double>] = [:]
            let moments = isWhitened ? try moments(group.map { layers[$0] }) : [:]
            for index in group {
                try Task.checkCancellation()
                let layer = layers[index]
                var root: Matrix<Double>?
                if let prior {
                    guard let key = InputKey(layer.layer, in: graph), let moment = moments[key], let gram = moment.gram, moment.rows > 0 else {
                        throw SwiftletError.invalidArgument(
                            name: "calibration", reason: "nothing flowed into '\(layer.name)'", remedy: "Give data that reach every layer, or leave the layer out.")
                    }
                    root = try roots[key] ?? Whitening.squareRoot(ofGram: gram, columns: moment.columns, rows: moment.rows, prior: prior)
                    // Layers that share an input follow each other: one root at a time is enough.
                    if let root { roots = [key: root] }
                }
                let spectrum = try LayerSpectrum(
                    layer.layer.weight.floats(), rows: layer.rows, columns: layer.columns, root: root, limit: limits[index], seed: context.seed)
                try keep(spectrum, of: layer, limit: limits[index])
                spectra[index] = spectrum
                done += 1
                try context.progress(StepProgress(technique: technique, detail: layer.name, done: done, total: layers.count))
            }
        }
        return spectra.compactMap { $0 }
    }

    private func moments(_ layers: [FactorableLayer]) throws -> [InputKey: InputMoments] {
        guard !layers.isEmpty else { return [:] }
        return try InputMoments.collect(
            graph, layers: layers.map(\.layer), order: .gram, data: context.requiredCalibration(for: technique), in: context, technique: technique)
    }

    /// The `wanted` layers in groups whose moments fit the limit together.
    private func groups(_ layers: [FactorableLayer], wanted: [Int]) -> [[Int]] {
        var groups: [[Int]] = []
        var keys = Set<InputKey>()
        var bytes = 0
        for index in wanted {
            var more = 0
            if let key = InputKey(layers[index].layer, in: graph), !keys.contains(key) {
                more = layers[index].columns * layers[index].columns * MemoryLayout<Float>.size
                if bytes + more > Self.momentBytes {
                    keys = []
                    bytes = 0
                }
                keys.insert(key)
            }
            if groups.isEmpty || bytes == 0 && more > 0 { groups.append([]) }
            bytes += more
            groups[groups.count - 1].append(index)
        }
        return groups
    }

    // MARK: Checkpoints

    private func digest(_ layer: FactorableLayer, limit: Int) -> String {
        let data = prior.map { "\(context.calibration?.batchCount ?? 0) batches, prior \($0)" } ?? "no data"
        return "\(layer.layer.weight.digest) \(technique) ranks to \(limit), \(data), seed \(context.seed)"
    }

    private func kept(_ layer: FactorableLayer, limit: Int) -> LayerSpectrum? {
        guard let checkpoint = context.checkpoint else { return nil }
        let digest = digest(layer, limit: limit)
        guard let values = checkpoint.weight(layer.name + ".spectrum", digest: digest)?.doubles, let energy = values.last,
            let directions = checkpoint.weight(layer.name + ".directions", digest: digest),
            directions.shape.dimensions == [layer.rows, values.count - 1], let elements = try? directions.floats()
        else { return nil }
        return LayerSpectrum(
            rows: layer.rows, columns: layer.columns, singularValues: Array(values.dropLast()), energy: energy, directions: elements)
    }

    private func keep(_ spectrum: LayerSpectrum, of layer: FactorableLayer, limit: Int) throws {
        guard let checkpoint = context.checkpoint else { return }
        let digest = digest(layer, limit: limit)
        let values = spectrum.singularValues + [spectrum.energy]
        let (name, directions) = (layer.name + ".spectrum", layer.name + ".directions")
        try checkpoint.store(
            Weight(name: name, shape: [values.count], format: .dense(.f64), store: WeightStore(values)), name: name, digest: digest)
        try checkpoint.store(
            Weight(name: directions, shape: [spectrum.rows, spectrum.singularValues.count], floats: spectrum.directions), name: directions, digest: digest)
    }
}

extension Weight {
    /// The elements of an f64 vector; nil for other types.
    fileprivate var doubles: [Double]? {
        guard format == .dense(.f64) else { return nil }
        return store.withBytes { bytes in (0..<shape.elementCount).map { bytes.loadUnaligned(fromByteOffset: 8 * $0, as: Double.self) } }
    }
}
