// Dimensions, counts and shape rules.
import SwiftletGraph
import TestSupport
import Testing

@Suite struct DimensionTests {
    @Test func sumsAndProductsHaveOneForm() throws {
        let (t, c) = (Dimension("t" as Symbol), Dimension("c" as Symbol))
        #expect(t + c + 3 == c + 3 + t)
        #expect((t + 1) * 2 + t * -2 == 2)
        #expect(t.multiplied(by: c) == nil)
        #expect(try (t * 3 + 4).resolved(["t": 5]) == 19)
    }

    @Test func hugeSizesDoNotTrap() throws {
        let t = Dimension("t" as Symbol)
        #expect((Dimension(.max) + 1).fixed == .max)
        #expect((Dimension(.max) * -2).fixed == .min)
        #expect(throws: SwiftletError.self) { try (t * .max * 2 + 1).resolved(["t": 2]) }
        #expect(throws: SwiftletError.self) { try (t + -3).resolved(["t": 2]) }
        #expect(throws: SwiftletError.self) { try t.resolved([:]) }
    }

    @Test func countsAreExactProducts() throws {
        let (t, c) = (Dimension("t" as Symbol), Dimension("c" as Symbol))
        let left = try #require(SymbolicCount(productOf: [t + 1, c, 2]))
        let right = try #require(SymbolicCount(productOf: [c * 2, t + 1]))
        #expect(left == right)
        #expect("\(left)" == "2·c·t + 2·c")
        #expect(try left.resolved(["t": 3, "c": 5]) == 40)
        #expect(SymbolicCount(productOf: [t, .init(.max), 2]) == nil)
    }
}

@Suite struct ShapeRuleTests {
    @Test func reshapesAreCheckedWithAnySymbols() throws {
        var b = GraphBuilder(name: "reshape")
        let x = b.input("x", .f32, ["t", "c", 6])
        let same = try b.reshape(x, ["c", 3, "t", 2], name: "same")
        #expect(b.type(of: same).shape == ["c", 3, "t", 2])
        #expect(throws: SwiftletError.self) { try b.reshape(x, ["t", "t", 6], name: "other symbols") }
        #expect(throws: SwiftletError.self) { try b.reshape(x, ["t", "c", 5], name: "other count") }
        #expect(throws: SwiftletError.self) { try b.reshape(x, [.init(.max), .init(.max), "t"], name: "overflow") }
    }

    @Test func broadcastingFollowsNumPy() throws {
        func shape(_ a: [Dimension], _ b: [Dimension]) throws -> [Dimension] {
            try Op.binary(.add).outputTypes(for: [ValueType(.f32, a), ValueType(.f32, b)], node: "n")[0].shape
        }
        #expect(try shape(["t", 1, 4], [3, 1]) == ["t", 3, 4])
        #expect(try shape([4], ["t", 4]) == ["t", 4])
        #expect(try shape([], ["t"]) == ["t"])
        #expect(throws: SwiftletError.self) { try shape(["t", 4], ["c", 4]) }
        #expect(throws: SwiftletError.self) { try shape([3], [4]) }
    }

    @Test func elementTypesAreChecked() {
        let i32 = ValueType(.i32, ["t"])
        let wrong: [(Op, [ValueType])] = [
            (.embedding, [ValueType(.i32, [4, 4]), i32]),
            (.linear(Linear()), [ValueType(.f32, ["t", 4]), ValueType(.i8, [2, 4])]),
            (.rotary(.split), [ValueType(.f32, ["t", 1, 4]), ValueType(.i32, ["t", 4])]),
            (.cacheWrite, [ValueType(.f32, [1, 1, 8, 4]), ValueType(.i32, ["t", 1, 4]), i32, i32]),
            (.linear(Linear(epilogue: .residual)), [ValueType(.f32, ["t", 4]), ValueType(.f32, [2, 4]), ValueType(.f16, ["t", 2])]),
        ]
        for (op, operands) in wrong {
            #expect(throws: SwiftletError.self, "\(op)") { try op.outputTypes(for: operands, node: "n") }
        }
    }
}
