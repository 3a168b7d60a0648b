// A sample of an operation: a graph of one operation (or the few that belong together), inputs for one or several runs, and how far from
// the exact result a backend that computes in f32 may be. The tables are in the files OpSamples+….swift.
import SwiftletRuntime
import TestSupport
import Testing

struct OpSample: Sendable, CustomTestStringConvertible {
    let name: String
    /// Whether the CPU backend has a kernel for it; where it has none it must say so.
    var isOnCPU = true
    let build: @Sendable () throws -> BuiltSample

    var testDescription: String { name }

    static let all: [OpSample] = linears + lookUps + rows + elementwise + positions + attentions
}

struct BuiltSample: Sendable {
    var graph: Graph
    var stateBinding: Binding = [:]
    var runs: [SampleRun]
    /// The largest allowed error of each element of each output.
    var bounds: @Sendable (CPUBackend.ActivationPrecision, [String: NaiveTensor], [NaiveTensor]) throws -> [[Double]]
}

struct SampleRun: Sendable {
    var inputs: [String: NaiveTensor]
    var binding: Binding = [:]
}

/// The distance from 1 to the next f32: the ε of the bounds.
let ulp = Double(Float.ulpOfOne)

// MARK: Running

struct SampleResults {
    /// By run, by output.
    var outputs: [[[Double]]] = []
    var states: [[UInt8]] = []
}

/// Runs all runs of a sample in one context.
func execute(_ sample: BuiltSample, on backends: [any Backend]) throws -> SampleResults {
    let compiled = try CompiledGraph(sample.graph, backends: BackendSet(backends))
    let context = try ExecutionContext(compiled, stateBinding: sample.stateBinding)
    var results = SampleResults()
    for run in sample.runs {
        let plan = try context.plan(run.binding)
        try plan.write(run.inputs, of: sample.graph)
        try plan.run()
        results.outputs.append(try sample.graph.outputs.map { try plan.numbers(of: $0, in: sample.graph) })
    }
    results.states = sample.graph.states.map { context.stateMemory($0).map { Array($0) } ?? [] }
    return results
}

extension BoundGraph {
    /// Fills in the inputs of `graph` by name.
    func write(_ inputs: [String: NaiveTensor], of graph: Graph) throws {
        for id in graph.inputs {
            let tensor = try #require(inputs[graph[id].name])
            if graph[id].type.element == .i32 {
                let target = try elements(of: id, as: Int32.self)
                for (index, value) in tensor.values.enumerated() { target[index] = Int32(value) }
            } else {
                let target = try elements(of: id, as: Float.self)
                for (index, value) in tensor.values.enumerated() { target[index] = Float(value) }
            }
        }
    }

    /// The elements of an output, whatever its type.
    func numbers(of id: ValueID, in graph: Graph) throws -> [Double] {
        if graph[id].type.element == .i32 { return try elements(of: id, as: Int32.self).map { Double($0) } }
        return try elements(of: id, as: Float.self).map { Double($0) }
    }
}

/// A sample with everything that its results are compared with. Made once and shared by the tests of all backends.
struct PreparedSample: Sendable {
    let built: BuiltSample
    /// By run, by output.
    let exact: [[NaiveTensor]]
    /// By run, by output, by element.
    let bounds15, bounds8: [[[Double]]]
    /// The bytes of the states after all runs, as the reference leaves them.
    let states: [[UInt8]]

    private static let made = Locked<[String: PreparedSample]>([:])

    static func of(_ sample: OpSample) throws -> PreparedSample {
        if let prepared = made.withLock({ $0[sample.name] }) { return prepared }
        let built = try sample.build()
        let exact = try exactResults(built)
        func bounds(_ precision: CPUBackend.ActivationPrecision) throws -> [[[Double]]] {
            try zip(built.runs, exact).map { try built.bounds(precision, $0.inputs, $1) }
        }
        let prepared = PreparedSample(
            built: built, exact: exact, bounds15: try bounds(.int15), bounds8: try bounds(.int8),
            states: try execute(built, on: [ReferenceBackend(pool: nil)]).states)
        made.withLock { $0[sample.name] = prepared }
        return prepared
    }

    func bounds(_ precision: CPUBackend.ActivationPrecision) -> [[[Double]]] {
        switch precision {
        case .int15: bounds15
        case .int8: bounds8
        }
    }
}

/// The exact results of all runs.
func exactResults(_ sample: BuiltSample) throws -> [[NaiveTensor]] {
    var evaluator = try NaiveEvaluator(sample.graph, binding: sample.stateBinding)
    return try sample.runs.map { run in
        try evaluator.run(run.inputs, binding: sample.stateBinding.merging(run.binding, symbols: sampleSymbols))
    }
}

/// The symbols samples use.
let sampleSymbols: [Symbol] = ["tokens", "slots", "context"]

extension Binding {
    func merging(_ other: Binding, symbols: [Symbol]) -> Binding {
        var merged = self
        for symbol in symbols { if let size = other[symbol] { merged[symbol] = size } }
        return merged
    }
}

// MARK: Comparing

/// Reports the element that is furthest outside its bound.
func expectClose(_ actual: [Double], _ expected: [Double], within bounds: [Double], _ what: @autoclosure () -> String) {
    #expect(actual.count == expected.count, "\(what()): count")
    var worst: (index: Int, excess: Double)?
    for index in 0..<min(actual.count, expected.count) {
        let (value, exact) = (actual[index], expected[index])
        if value == exact || (value.isNaN && exact.isNaN) { continue }
        let error = abs(value - exact)
        let excess = error.isNaN ? Double.infinity : error - bounds[index]
        if excess > worst?.excess ?? 0 { worst = (index, excess) }
    }
    if let worst {
        let index = worst.index
        Issue.record("\(what()): element \(index) is \(actual[index]), exactly \(expected[index]), allowed error \(bounds[index])")
    }
}

// MARK: Data

extension SeededGenerator {
    /// A tensor of f32 numbers.
    mutating func tensor(_ shape: [Int], in range: ClosedRange<Float> = -1...1) -> NaiveTensor {
        NaiveTensor(shape, floats(shape.reduce(1, *), in: range).map(Double.init))
    }

    /// A vector as a dense f32 weight.
    mutating func vector(_ count: Int, in range: ClosedRange<Float> = -1...1) throws -> Weight {
        try Weight(name: "vector", shape: [count], format: .dense(.f32), store: WeightStore(floats(count, in: range)))
    }

    /// A matrix in any format: dense numbers of magnitude up to 1, or blocks of random bits with scales of a plausible size.
    mutating func matrix(_ rows: Int, _ columns: Int, _ format: WeightFormat) throws -> Weight {
        let store: WeightStore
        switch format {
        case .dense(.f32): store = try WeightStore(floats(rows * columns))
        case .dense(.bf16): store = try WeightStore(floats(rows * columns).map { UInt16(truncatingIfNeeded: $0.bitPattern >> 16) })
        case .dense:
            // f16: any sign, exponents from 2⁻⁸ to 2⁻¹, any mantissa.
            store = try WeightStore(
                (0..<rows * columns).map { _ in UInt16.random(in: 0x1c00..<0x3c00, using: &self) | UInt16.random(in: 0...1, using: &self) << 15 })
        case .block(let block):
            var bytes: [UInt8] = []
            for _ in 0..<rows * columns / block.blockElements { bytes += self.block(block) }
            store = try WeightStore(bytes)
        }
        return try Weight(name: "matrix", shape: [rows, columns], format: format, store: store)
    }

    /// One block of random numbers; its scales are halves between 2⁻⁸ and 2⁻⁶, so that all weights stay below about 30.
    private mutating func block(_ format: BlockFormat) -> [UInt8] {
        var bytes = (0..<format.blockBytes).map { _ in UInt8.random(in: 0...255, using: &self) }
        if format == .mxfp4 {
            bytes[0] = UInt8.random(in: 118...126, using: &self)
            return bytes
        }
        let scale = UInt16.random(in: 0x1c00..<0x2400, using: &self)
        // Where the scale is, and where the minimum's scale is (half as large, so that no minimum exceeds the largest weight).
        let (first, second): (Int, Int?) =
            switch format {
            case .q4_0, .q5_0, .q8_0, .iq4_nl, .iq4_xs, .mxfp4: (0, nil)
            case .q4_1, .q5_1, .q4_K, .q5_K: (0, 2)
            case .q2_K: (80, 82)
            case .q3_K: (108, nil)
            case .q6_K: (208, nil)
            case .tq1_0: (52, nil)
            case .tq2_0: (64, nil)
            }
        for (offset, bits) in [(first, scale), (second, scale - 0x400)] {
            guard let offset else { continue }
            bytes[offset] = UInt8(truncatingIfNeeded: bits)
            bytes[offset + 1] = UInt8(bits >> 8)
        }
        return bytes
    }
}

extension BlockFormat {
    /// Whether a packed panel keeps the file's own scales (f16 for each 32 elements); otherwise they are rounded to f16 again.
    var keepsScalesWhenPacked: Bool {
        switch self {
        case .q4_0, .q4_1, .q5_0, .q5_1, .q8_0, .iq4_nl, .tq1_0, .tq2_0: true
        case .q2_K, .q3_K, .q4_K, .q5_K, .q6_K, .iq4_xs, .mxfp4: false
        }
    }
}

let allFormats: [WeightFormat] = [.dense(.f32), .dense(.f16), .dense(.bf16)] + BlockFormat.allCases.map { .block($0) }

extension Unary {
    static let all: [Unary] = [.relu, .sigmoid, .tanh, .silu, .gelu, .geluTanh, .scale(-1.7), .softcap(3)]

    /// The largest slope.
    var slope: Double {
        switch self {
        case .relu, .sigmoid, .tanh, .softcap: 1
        case .silu: 1.1
        case .gelu, .geluTanh: 1.13
        case .scale(let factor): abs(Double(factor))
        default: .infinity  // not among the samples
        }
    }

    /// The error of the vector kernels at `x`, as their header states it, and the rounding of the result.
    func error(at x: Double) -> Double {
        switch self {
        case .relu: 0
        case .scale(let factor): ulp * abs(x * Double(factor))
        case .sigmoid, .tanh: 4e-7
        case .silu, .gelu, .geluTanh: 1e-6 * max(abs(x), 1)
        case .softcap(let limit): 1e-6 * max(Double(limit), 1)
        default: 0  // not among the samples
        }
    }
}
