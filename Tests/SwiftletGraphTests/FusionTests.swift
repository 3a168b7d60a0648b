// Each fusion: what it fuses, what it must leave alone, and that the result computes the same numbers.
import SwiftletGraph
import TestSupport
import Testing

private let tokens = Dimension("t" as Symbol)

private func plain(_ hasBias: Bool = false) -> Op { .linear(Linear(hasBias: hasBias)) }

@Suite struct FuseNormScaleTests {
    /// rmsNorm(x) and its product with a weight of `shape`; the norm is also an output when `sharesNorm`.
    private func graph(_ shape: Shape = [8], scaleFirst: Bool = false, sharesNorm: Bool = false, scaleIsInput: Bool = false) throws -> Graph
    {
        var b = GraphBuilder(name: "norm")
        let x = b.input("x", .f32, [tokens, 8])
        let scale = scaleIsInput ? b.input("scale", .f32, shape.dimensions.map { Dimension($0) }) : try b.weight("scale", shape)
        let norm = try b.node(.rmsNorm(epsilon: 1e-5), [x], name: "norm")[0]
        b.output(try b.binary(.multiply, scaleFirst ? scale : norm, scaleFirst ? norm : scale, name: "scaled"))
        if sharesNorm { b.output(norm) }
        return b.graph
    }

    @Test(arguments: [false, true]) func fusesEitherOrder(scaleFirst: Bool) throws {
        let fused = try checked(FuseNormScale(), try graph(scaleFirst: scaleFirst))
        #expect(fused.ops == [.rmsNorm(epsilon: 1e-5)])
        #expect(fused.nodes[0].inputs.count == 2)
    }

    @Test func leavesWhatDoesNotFit() throws {
        for other in [
            try graph([1, 8]), try graph([1]), try graph(sharesNorm: true), try graph(scaleIsInput: true),
        ] {
            #expect(try checked(FuseNormScale(), other).ops == other.ops)
        }
    }

    @Test func aScaledNormTakesNoSecondScale() throws {
        var b = GraphBuilder(name: "norm")
        let x = b.input("x", .f32, [tokens, 8])
        let first = try b.rmsNorm(x, scale: b.weight("a", [8]), epsilon: 1e-5, name: "norm")
        b.output(try b.binary(.multiply, first, b.weight("b", [8]), name: "again"))
        #expect(try checked(FuseNormScale(), b.graph).ops == [.rmsNorm(epsilon: 1e-5), .binary(.multiply)])
    }
}

@Suite struct FuseGatedLinearTests {
    private struct Variant {
        var gateBias = false
        var upBias = false
        var upFirst = false
        var upColumns = 6
        var sharedInput = true
        var outputs: [String] = []
        var secondReader: String?
    }

    private func graph(_ variant: Variant = Variant()) throws -> Graph {
        var b = GraphBuilder(name: "gated")
        let x = b.input("x", .f32, [tokens, 4])
        let y = variant.sharedInput ? x : b.input("y", .f32, [tokens, 4])
        var named: [String: ValueID] = [:]
        let gate = try b.linear(x, b.weight("gate.w", [6, 4]), bias: variant.gateBias ? b.weight("gate.b", [6]) : nil, name: "gate")
        let up = try b.linear(
            y, b.weight("up.w", [variant.upColumns, 4]), bias: variant.upBias ? b.weight("up.b", [variant.upColumns]) : nil, name: "up")
        let activated = try b.unary(.silu, gate, name: "silu")
        (named["gate"], named["up"], named["silu"]) = (gate, up, activated)
        b.output(try b.binary(.multiply, variant.upFirst ? up : activated, variant.upFirst ? activated : up, name: "product"))
        for name in variant.outputs { b.output(try #require(named[name])) }
        if let name = variant.secondReader { b.output(try b.unary(.relu, try #require(named[name]), name: "reader")) }
        return b.graph
    }

    @Test(arguments: [false, true], [false, true]) func fuses(hasBias: Bool, upFirst: Bool) throws {
        let fused = try checked(FuseGatedLinear(), try graph(Variant(gateBias: hasBias, upBias: hasBias, upFirst: upFirst)))
        #expect(fused.ops == [.linear(Linear(weightCount: 2, hasBias: hasBias, epilogue: .gated(.silu)))])
        // The gate is the first weight, wherever the product had it.
        #expect(fused.nodes[0].inputs[1] == (try fused.value(named: "gate.w")))
    }

    @Test func leavesWhatDoesNotFit() throws {
        var variants = [
            Variant(gateBias: true), Variant(upBias: true), Variant(upColumns: 1), Variant(sharedInput: false),
        ]
        variants += ["gate", "up", "silu"].flatMap { [Variant(outputs: [$0]), Variant(secondReader: $0)] }
        for variant in variants {
            let other = try graph(variant)
            #expect(try checked(FuseGatedLinear(), other).ops == other.ops, "\(variant)")
        }
    }

    @Test func aGateOnItselfStays() throws {
        var b = GraphBuilder(name: "swish of itself")
        let x = b.input("x", .f32, [tokens, 4])
        let linear = try b.linear(x, b.weight("w", [6, 4]), name: "linear")
        b.output(try b.binary(.multiply, b.unary(.silu, linear, name: "silu"), linear, name: "product"))
        #expect(try checked(FuseGatedLinear(), b.graph).nodes.count == 3)
    }
}

@Suite struct FuseProjectionsTests {
    @Test(arguments: [false, true]) func fusesInOrderAndKeepsResults(hasBias: Bool) throws {
        var b = GraphBuilder(name: "qkv")
        let x = b.input("x", .f32, [tokens, 4])
        for (name, columns) in [("q", 6), ("k", 2), ("v", 3)] {
            let bias = hasBias ? try b.weight("\(name).b", [columns]) : nil
            let result = try b.scoped("blk.0") { try $0.linear(x, $0.weight("\(name).w", [columns, 4]), bias: bias, name: name) }
            // One result is an output as it is, the others are read in between.
            b.output(name == "q" ? result : try b.unary(.tanh, result, name: "\(name).tanh"))
        }
        let fused = try checked(FuseProjections(), b.graph)
        #expect(fused.ops == [.linear(Linear(weightCount: 3, hasBias: hasBias)), .unary(.tanh), .unary(.tanh)])
        #expect(fused.nodes[0].name == "blk.0/q+k+v")
    }

    @Test func leavesUnlikeLinearsApart() throws {
        var b = GraphBuilder(name: "unlike")
        let x = b.input("x", .f32, [tokens, 4])
        let y = b.input("y", .f32, [tokens, 4])
        b.output(try b.linear(x, b.weight("a.w", [6, 4]), name: "a"))
        b.output(try b.linear(x, b.weight("b.w", [6, 4]), bias: b.weight("b.b", [6]), name: "b"))
        b.output(try b.linear(y, b.weight("c.w", [6, 4]), name: "c"))
        b.output(try b.node(.linear(Linear(epilogue: .activation(.relu))), [x, b.weight("d.w", [6, 4])], name: "d")[0])
        #expect(try checked(FuseProjections(), b.graph).ops == b.graph.ops)
    }

    @Test func aWeightComputedLaterKeepsItsLinearBack() throws {
        var b = GraphBuilder(name: "computed weight")
        let x = b.input("x", .f32, [tokens, 4])
        b.output(try b.linear(x, b.weight("a.w", [6, 4]), name: "a"))
        let computed = try b.unary(.tanh, b.weight("w", [5, 4]), name: "computed")
        b.output(try b.linear(x, computed, name: "b"))
        b.output(try b.linear(x, b.weight("c.w", [3, 4]), name: "c"))
        let fused = try checked(FuseProjections(), b.graph)
        #expect(fused.nodes.map(\.name) == ["a+c", "computed", "b"])
    }
}

@Suite struct FuseResidualTests {
    private func graph(
        linearFirst: Bool = true, hasBias: Bool = false, residual: [Dimension] = [tokens, 6], sharesLinear: Bool = false,
        function: Binary = .add
    ) throws -> Graph {
        var b = GraphBuilder(name: "residual")
        let x = b.input("x", .f32, [tokens, 4])
        let linear = try b.linear(x, b.weight("w", [6, 4]), bias: hasBias ? b.weight("b", [6]) : nil, name: "linear")
        // The other addend is computed after the linear: the fused node must stand where the addition was.
        let other = try b.unary(.tanh, b.input("r", .f32, residual), name: "other")
        b.output(try b.binary(function, linearFirst ? linear : other, linearFirst ? other : linear, name: "sum"))
        if sharesLinear { b.output(linear) }
        return b.graph
    }

    @Test(arguments: [false, true], [false, true]) func fusesEitherOrder(linearFirst: Bool, hasBias: Bool) throws {
        let fused = try checked(FuseResidual(), try graph(linearFirst: linearFirst, hasBias: hasBias))
        #expect(fused.ops == [.unary(.tanh), .linear(Linear(hasBias: hasBias, epilogue: .residual))])
    }

    @Test func leavesWhatDoesNotFit() throws {
        for other in [
            try graph(residual: [6]), try graph(residual: [1, 6]), try graph(sharesLinear: true), try graph(function: .subtract),
        ] {
            #expect(try checked(FuseResidual(), other).ops == other.ops)
        }
    }

    @Test func aLinearAddedToItselfStays() throws {
        var b = GraphBuilder(name: "twice")
        let linear = try b.linear(b.input("x", .f32, [tokens, 4]), b.weight("w", [6, 4]), name: "linear")
        b.output(try b.binary(.add, linear, linear, name: "sum"))
        #expect(try checked(FuseResidual(), b.graph).nodes.count == 2)
    }

    @Test func ofTwoLinearsOneTakesTheOther() throws {
        var b = GraphBuilder(name: "parallel")
        let x = b.input("x", .f32, [tokens, 4])
        let (left, right) = (try b.linear(x, b.weight("a.w", [6, 4]), name: "a"), try b.linear(x, b.weight("b.w", [6, 4]), name: "b"))
        b.output(try b.binary(.add, left, right, name: "sum"))
        #expect(try checked(FuseResidual(), b.graph).ops == [plain(), .linear(Linear(epilogue: .residual))])
    }
}

@Suite struct FuseBiasTests {
    private func graph(bias: Shape = [6], linearFirst: Bool = true, hasBias: Bool = false, isComputed: Bool = false, sharesLinear: Bool = false) throws -> Graph {
        var b = GraphBuilder(name: "bias")
        let linear = try b.linear(b.input("x", .f32, [tokens, 4]), b.weight("w", [6, 4]), bias: hasBias ? b.weight("b", [6]) : nil, name: "linear")
        let row = try isComputed ? b.input("r", .f32, [6]) : b.weight("row", bias)
        b.output(try b.binary(.add, linearFirst ? linear : row, linearFirst ? row : linear, name: "sum"))
        if sharesLinear { b.output(linear) }
        return b.graph
    }

    @Test(arguments: [[6], [1, 6]] as [Shape], [false, true]) func fusesAConstantRow(bias: Shape, linearFirst: Bool) throws {
        let plain = try graph(bias: bias, linearFirst: linearFirst), fused = try checked(FuseBias(), plain)
        #expect(fused.ops == [.linear(Linear(hasBias: true))])
        let row = try #require(plain.nodes[1].inputs.compactMap { plain[$0].weight }.first)
        #expect(try fused[fused.nodes[0].inputs[2]].weight?.floats() == row.floats() && fused.outputs == plain.outputs)
    }

    @Test func leavesWhatDoesNotFit() throws {
        for other in [
            try graph(bias: [1]), try graph(bias: [1, 1, 6]), try graph(hasBias: true), try graph(isComputed: true), try graph(sharesLinear: true),
        ] {
            #expect(try checked(FuseBias(), other).ops == other.ops)
        }
    }
}

@Suite struct FuseActivationTests {
    private func graph(sharesLinear: Bool = false) throws -> Graph {
        var b = GraphBuilder(name: "activation")
        let linear = try b.linear(b.input("x", .f32, [tokens, 4]), b.weight("w", [6, 4]), bias: b.weight("b", [6]), name: "linear")
        b.output(try b.unary(.tanh, b.unary(.gelu, linear, name: "gelu"), name: "tanh"))
        if sharesLinear { b.output(linear) }
        return b.graph
    }

    @Test func fusesTheFirstFunctionOnly() throws {
        let fused = try checked(FuseActivation(), try graph())
        #expect(fused.ops == [.linear(Linear(hasBias: true, epilogue: .activation(.gelu))), .unary(.tanh)])
    }

    @Test func leavesASharedLinear() throws {
        #expect(try checked(FuseActivation(), try graph(sharesLinear: true)).nodes.count == 3)
    }
}
