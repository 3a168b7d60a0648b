// Operators whose results have shapes that depend on data: at import for constants, between two segments for inputs, with the same results.
import SwiftletNetwork
import SwiftletTensor
import Testing
import TestSupport

@Suite struct SelectionTests {
    typealias R = RawONNX

    /// The outputs of one node for x, given as an input and as a constant; both must agree. A node behind it sees the shapes.
    private func outputs(
        _ op: String, _ x: [Float], _ shape: [Int], with others: [String] = [], count: Int = 1, _ attributes: [RawMessage] = [],
        initializers: [RawMessage] = []
    ) throws -> [ModelValue] {
        let names = (0..<count).map { "y\($0)" }
        let node = R.node(op, ["x"] + others, names, attributes)
        let outputs = (names + ["size"]).map { R.untyped($0) }
        let size = R.node("Shape", ["y0"], ["size"])
        let open = try makeModel(R.graph(inputs: [R.value("x", shape.map { .size($0) })], outputs: outputs, nodes: [node, size], initializers: initializers))
        let closed = try makeModel(R.graph(outputs: outputs, nodes: [node, size], initializers: initializers + [R.tensor("x", shape, raw: x)]))
        let results = try open.run(["x": .tensor(Tensor(x, shape: Shape(shape)))])
        let constants = try closed.run([String: ModelValue]())
        for name in names + ["size"] { #expect(try results[name]?.tensor == constants[name]?.tensor) }
        #expect(try results["size"]?.integers == results["y0"]?.tensor.shape.dimensions.map(Int64.init))
        return try names.map { try #require(results[$0]) }
    }

    @Test func nonZero() throws {
        let places = try outputs("NonZero", [1, 0, -0.0, .nan, 2, 0], [2, 3])[0]
        #expect(try places.tensor.shape == [2, 3])
        #expect(try places.integers == [0, 1, 1, 0, 0, 1])
        #expect(try outputs("NonZero", [0, 0], [2])[0].tensor.shape == [1, 0])
        #expect(try outputs("NonZero", [], [0, 2])[0].tensor.shape == [2, 0])
        #expect(try outputs("NonZero", [3], [])[0].tensor.shape == [0, 1])
    }

    /// One model, inputs whose results have different sizes in turn.
    @Test func resultsOfEverySizeInTurn() throws {
        let model = try makeModel(
            R.graph(
                inputs: [R.value("x", [4])], outputs: [R.untyped("y")],
                nodes: [R.node("NonZero", ["x"], ["p"]), R.node("Transpose", ["p"], ["q"]), R.node("GatherND", ["x", "q"], ["y"])]))
        for x in [[1, 0, 2, 0], [0, 0, 0, 0], [1, 2, 3, 4], [0, 5, 0, 0], [3, 0, 4, 0]] as [[Float]] {
            #expect(try #require(try model.run(["x": .tensor(Tensor(x, shape: [4]))])["y"]).numbers.values == x.filter { $0 != 0 })
        }
    }

    @Test func compress() throws {
        let x: [Float] = [1, 2, 3, 4, 5, 6]
        func compressed(_ flags: [Bool], _ axis: Int?) throws -> (shape: [Int], values: [Float]) {
            let attributes = axis.map { [int("axis", $0)] } ?? []
            return try outputs("Compress", x, [3, 2], with: ["c"], attributes, initializers: [bools("c", [flags.count], flags)])[0].numbers
        }
        #expect(try compressed([false, true, true], 0) == ([2, 2], [3, 4, 5, 6]))
        #expect(try compressed([false, true], -1) == ([3, 1], [2, 4, 6]))
        #expect(try compressed([false, true, false, false, true], nil) == ([2], [2, 5]))
        #expect(try compressed([], 0) == ([0, 2], []))
        #expect(throws: SwiftletError.self) { try compressed([true, true, true], 1) }
        #expect(throws: SwiftletError.self) { try compressed([true], 2) }
    }

    @Test func unique() throws {
        let flat = try outputs("Unique", [2, 1, 1, 3, 4, 3], [2, 3], count: 4)
        #expect(try flat[0].numbers == ([4], [1, 2, 3, 4]))
        #expect(try flat.dropFirst().map { try $0.integers } == [[1, 0, 3, 4], [1, 0, 0, 2, 3, 2], [2, 1, 2, 1]])
        let unsorted = try outputs("Unique", [2, 1, 1, 3, 4, 3], [6], count: 4, [int("sorted", 0)])
        #expect(try unsorted[0].numbers.values == [2, 1, 3, 4])
        #expect(try unsorted.dropFirst().map { try $0.integers } == [[0, 1, 3, 4], [0, 1, 1, 2, 3, 2], [1, 2, 2, 1]])
        // Columns [1, 3], [0, −1], [1, 3]: the smaller one first.
        let columns = try outputs("Unique", [1, 0, 1, 3, -1, 3], [2, 3], count: 4, [int("axis", -1)])
        #expect(try columns[0].numbers == ([2, 2], [0, 1, -1, 3]))
        #expect(try columns.dropFirst().map { try $0.integers } == [[1, 0], [1, 0, 1], [1, 2]])
        #expect(try outputs("Unique", [], [0], count: 4)[0].numbers.values == [])
        #expect(throws: SwiftletError.self) { try outputs("Unique", [1], [1], count: 4, [int("axis", 1)]) }
    }

    /// Against a plain count of what is there, on numbers with many equals.
    @Test func uniqueOfMany() throws {
        var generator = SeededGenerator(seed: 7)
        let x = (0..<1000).map { _ in Float(Int.random(in: -20...20, using: &generator)) }
        let results = try outputs("Unique", x, [1000], count: 4)
        let (values, first, group, counts) = (try results[0].numbers.values, try results[1].integers, try results[2].integers, try results[3].integers)
        #expect(values == Array(Set(x)).sorted())
        #expect(first == values.map { Int64(x.firstIndex(of: $0) ?? -1) })
        #expect(group.map { values[Int($0)] } == x)
        #expect(counts == values.map { value in Int64(x.count { $0 == value }) })
    }

    @Test func nonMaxSuppression() throws {
        let boxes: [Float] = [0, 0, 1, 1, 0, 0.1, 1, 1.1, 0, -0.1, 1, 0.9, 0, 10, 1, 11, 0, 10.1, 1, 11.1, 0, 100, 1, 101]
        // The same boxes by other corners, and by centre and size.
        var (flipped, centred) = ([Float](), [Float]())
        for start in stride(from: 0, to: boxes.count, by: 4) {
            flipped += boxes[start + 2..<start + 4] + boxes[start..<start + 2]
            centred += [boxes[start + 1] + 0.5, boxes[start] + 0.5, 1, 1]
        }
        let scores = R.tensor("s", [1, 1, 6], raw: [0.9, 0.75, 0.6, 0.95, 0.5, 0.3])
        func kept(_ boxes: [Float], most: Int64?, overlap: Float, least: Float?, centred: Int = 0) throws -> [Int64] {
            let thresholds = [R.tensor("o", [1], raw: [overlap]), R.tensor("l", [1], raw: [least ?? 0])]
            let constants = [scores, integers("m", [1], [most ?? 0])] + thresholds
            let others = ["s", most == nil ? "" : "m", "o", least == nil ? "" : "l"]
            let result = try outputs("NonMaxSuppression", boxes, [1, 6, 4], with: others, [int("center_point_box", centred)], initializers: constants)[0]
            let places = try result.integers
            #expect(try result.tensor.shape == [places.count / 3, 3])
            return stride(from: 2, to: places.count, by: 3).map { places[$0] }
        }
        #expect(try kept(boxes, most: 3, overlap: 0.5, least: 0) == [3, 0, 5])
        #expect(try kept(flipped, most: 3, overlap: 0.5, least: 0) == [3, 0, 5])
        #expect(try kept(centred, most: 3, overlap: 0.5, least: 0, centred: 1) == [3, 0, 5])
        #expect(try kept(boxes, most: 3, overlap: 0.5, least: 0.4) == [3, 0])
        #expect(try kept(boxes, most: 2, overlap: 0.5, least: nil) == [3, 0])
        #expect(try kept(boxes, most: 10, overlap: 1, least: nil) == [3, 0, 1, 2, 4, 5])
        #expect(try kept(boxes, most: 0, overlap: 0.5, least: 0) == [])
        #expect(try kept(boxes, most: nil, overlap: 0.5, least: 0) == [])
        #expect(try kept(boxes, most: -1, overlap: 0.5, least: 0) == [])
    }

    @Test func boxesThatDoNotSuitTheirScoresAreRefused() throws {
        let scores = R.tensor("s", [1, 1, 5], raw: [1, 2, 3, 4, 5])
        #expect(throws: SwiftletError.self) { try outputs("NonMaxSuppression", [0, 0, 1, 1], [1, 1, 4], with: ["s"], initializers: [scores]) }
    }
}
