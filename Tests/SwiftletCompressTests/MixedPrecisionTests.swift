import SwiftletCompress
import SwiftletGraph
import SwiftletRuntime
import TestSupport
import Testing

@Suite struct MixedPrecisionTests {
    private static let scope = Scope(include: ["blk.*", "output.weight"])
    private static let formats: [WeightFormat] = [.block(.q8_0), .block(.q4_0)]

    private static func bytes(_ graph: Graph) -> Int { graph.layers(in: scope).reduce(0) { $0 + $1.weight.store.byteCount } }

    @Test func keepsToTheBudgetAndSpendsItWhereItHelps() throws {
        let fixture = try FeedForwardFixture()
        let whole = try fixture.outputs(of: fixture.graph)
        let elements = fixture.graph.layers(in: Self.scope).reduce(0) { $0 + $1.weight.shape.elementCount }
        func run(bits: Double) throws -> StepResult {
            try MixedPrecision(Self.formats, budget: .bits(bits), scope: Self.scope).run(fixture.graph, in: fixture.context())
        }
        let mixed = try run(bits: 6.5)
        #expect(Double(Self.bytes(mixed.graph)) <= 6.5 / 8 * Double(elements))
        #expect(Set(mixed.graph.layers(in: Self.scope).map(\.weight.format)) == Set(Self.formats))
        // Four matrices in two formats were tried one by one, and eight bits always lose less.
        #expect(mixed.report.sensitivities.count == 8)
        for pair in stride(from: 0, to: 8, by: 2) {
            #expect(mixed.report.sensitivities[pair].divergence < mixed.report.sensitivities[pair + 1].divergence)
        }
        let distances = try [8.5, 6.5, 4.5].map { FeedForwardFixture.distance(whole, try fixture.outputs(of: run(bits: $0).graph)) }
        #expect(distances[0] < distances[1] && distances[1] < distances[2])
    }

    @Test func budgetsInMeasuredTimeAreKept() throws {
        let fixture = try FeedForwardFixture()
        let context = try fixture.context()
        let result = try MixedPrecision(Self.formats, budget: .milliseconds(1000), scope: Self.scope).run(fixture.graph, in: context)
        // There is time for anything: every matrix has what loses least.
        #expect(result.graph.layers(in: Self.scope).allSatisfy { $0.weight.format == .block(.q8_0) })
        let layer = try #require(fixture.graph.layers(in: Self.scope).first)
        var timing = LayerTiming(isa: context.instructionSet, pool: try ThreadPool(threadCount: 1))
        let first = try timing.nanoseconds(layer, .block(.q8_0))
        #expect(first > 0)
        #expect(try timing.nanoseconds(layer, .block(.q8_0)) == first)
    }

    @Test func budgetsThatCannotBeMetSayByHowMuch() throws {
        let fixture = try FeedForwardFixture()
        #expect(throws: SwiftletError.self) {
            try MixedPrecision(Self.formats, budget: .bits(4), scope: Self.scope).run(fixture.graph, in: fixture.context())
        }
        #expect(throws: SwiftletError.self) {
            try MixedPrecision([.block(.q4_K)], budget: .bits(8), scope: Self.scope).run(fixture.graph, in: fixture.context())
        }
        #expect(throws: SwiftletError.self) {
            try MixedPrecision(Self.formats, budget: .bits(8), scope: Self.scope).run(fixture.graph, in: CompressionContext(passes: .language))
        }
    }
}
