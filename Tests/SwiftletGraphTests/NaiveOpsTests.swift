// The naive operations are the yardstick of other tests, so they are held against numbers computed by hand and against properties.
import Foundation
import SwiftletGraph
import TestSupport
import Testing

private func isClose(_ a: Double, _ b: Double, _ tolerance: Double = 1e-12) -> Bool { abs(a - b) <= tolerance }

@Suite struct NaiveOpsTests {
    @Test func products() {
        #expect(
            NaiveOps.linear([1, 2, 3, 4], [1, 0, 0, 1, 1, 1], bias: [0, 0, 5], rows: 2, width: 2, columns: 3) == [1, 2, 8, 3, 4, 12])
    }

    @Test func normalisations() {
        #expect(
            NaiveOps.rmsNorm([3, 4], scale: [1, 2], epsilon: 0, width: 2).elementsEqual([3, 8]) { isClose($0, $1 / 12.5.squareRoot()) })
        #expect(NaiveOps.layerNorm([1, 3], scale: [1, 2], bias: [0, 1], epsilon: 0, width: 2) == [-1, 3])
        let row = NaiveOps.softmax([1000, 1000, -1000], width: 3)
        #expect(row == [0.5, 0.5, 0])
    }

    /// Values of `torch.nn.functional`.
    @Test(arguments: [
        (Unary.gelu, 0.8413447460685429), (.geluTanh, 0.8411919906082768), (.silu, 0.7310585786300049), (.sigmoid, 0.7310585786300049),
        (.tanh, 0.7615941559557649), (.relu, 1), (.scale(0.5), 0.5), (.softcap(2), 0.9242343145200195),
    ]) func functionsOfOne(function: Unary, expected: Double) {
        #expect(isClose(NaiveOps.unary(function, 1), expected))
    }

    @Test(arguments: [RotaryLayout.interleaved, .split]) func rotaryTurnsPairs(layout: RotaryLayout) {
        // Position 3, one head of 6 whose first 4 are rotated.
        let table = NaiveOps.rotaryTable(RotaryTable(dimensions: 4, base: 100), positions: [3])
        // θ = 1 and 1/10: angles 3 and 0.3.
        let (cosines, sines) = ([-0.9899924966004454, 0.955336489125606], [0.1411200080598672, 0.2955202066613396])
        #expect(zip(table, cosines + sines).allSatisfy { isClose($0, $1) })
        let x: [Double] = [1, 2, 3, 4, 5, 6]
        let rotated = NaiveOps.rotary(x, table: table, layout: layout, heads: 1, headDimension: 6, dimensions: 4)
        let pairs = layout == .interleaved ? [(0, 1), (2, 3)] : [(0, 2), (1, 3)]
        for (index, (first, second)) in pairs.enumerated() {
            #expect(isClose(rotated[first], x[first] * cosines[index] - x[second] * sines[index]))
            #expect(isClose(rotated[second], x[first] * sines[index] + x[second] * cosines[index]))
        }
        #expect(rotated[4...] == [5, 6])
    }

    @Test func linearScalingDividesPositionsAndFactorsDivideFrequencies() {
        let table = RotaryTable(dimensions: 8, base: 10_000)
        var scaled = table
        scaled.scaling = .linear(factor: 4)
        let expected = NaiveOps.rotaryTable(table, positions: [3])
        #expect(zip(NaiveOps.rotaryTable(scaled, positions: [12]), expected).allSatisfy { isClose($0, $1) })
        #expect(zip(NaiveOps.rotaryTable(table, positions: [12], factors: [4, 4, 4, 4]), expected).allSatisfy { isClose($0, $1) })
    }

    @Test func yarnKeepsFastPairsAndInterpolatesSlowOnes() {
        var table = RotaryTable(dimensions: 64, base: 10_000)
        let plain = NaiveOps.rotaryTable(table, positions: [40])
        table.scaling = .linear(factor: 4)
        let interpolated = NaiveOps.rotaryTable(table, positions: [40])
        table.scaling = .yarn(factor: 4, originalContext: 4096, betaFast: 32, betaSlow: 1, extrapolation: 1, attentionFactor: 1)
        let yarn = NaiveOps.rotaryTable(table, positions: [40])
        let magnitude = 1.1386294361119891  // 1 + 0.1·ln 4
        // c(32) = 64·ln(4096/(2π·32))/(2·ln 10000) = 10.47…, c(1) = 22.51…: pairs up to 10 are as before, pairs from 23 on interpolated.
        for pair in 0...10 { #expect(isClose(yarn[pair], plain[pair] * magnitude)) }
        for pair in 23..<32 { #expect(isClose(yarn[pair], interpolated[pair] * magnitude)) }
        // Between the two, the share of the old angle falls linearly: pair 17 has 1 − 7/13.
        let share = 1 - 7.0 / 13
        let angle = 40 * 0.007498942093324559  // 10000^(−34/64)
        let expected = NaiveOps.rotaryTable(
            RotaryTable(dimensions: 2, base: 1), positions: [1], factors: [1 / (angle * (share + (1 - share) / 4))])
        #expect(isClose(yarn[17], expected[0] * magnitude) && isClose(yarn[32 + 17], expected[1] * magnitude))
        // Without extrapolation all pairs are interpolated and only the attention factor applies.
        table.scaling = .yarn(factor: 4, originalContext: 4096, betaFast: 32, betaSlow: 1, extrapolation: 0, attentionFactor: 2)
        #expect(zip(NaiveOps.rotaryTable(table, positions: [40]), interpolated).allSatisfy { isClose($0, 2 * $1) })
    }

    /// The backends take their angles from `RotaryTable.frequencies`, which was written apart from the naive table.
    @Test(arguments: [
        RotaryTable.Scaling.none, .linear(factor: 3),
        .yarn(factor: 8, originalContext: 2048, betaFast: 32, betaSlow: 1, extrapolation: 1, attentionFactor: 1.25),
        .yarn(factor: 8, originalContext: 64, betaFast: 32, betaSlow: 1, extrapolation: 0.5, attentionFactor: 1),
        .yarn(factor: 8, originalContext: 2048, betaFast: 32, betaSlow: 1, extrapolation: 0, attentionFactor: 2),
    ]) func frequenciesGiveTheNaiveTable(scaling: RotaryTable.Scaling) {
        var generator = SeededGenerator(seed: 5)
        let table = RotaryTable(dimensions: 32, base: 500_000, scaling: scaling, hasFactors: true, magnitude: 1.5)
        let factors = generator.floats(16, in: 1...8)
        let (radians, magnitude) = table.frequencies(factors: factors)
        let angles = radians.map { $0 * 777 }
        let expected = NaiveOps.rotaryTable(table, positions: [777], factors: factors.map(Double.init))
        let actual = angles.map { cos($0) * magnitude } + angles.map { sin($0) * magnitude }
        #expect(zip(actual, expected).allSatisfy { isClose($0, $1, 1e-9) })
    }

    @Test func attentionSeesItsSlotItsHeadAndItsWindow() {
        // Keys are zero, so that every visible row weighs the same; values tell slot, head and row apart.
        let (context, slots) = (4, 2)
        let values = (0..<slots * 2 * context).map { Double($0 / context * 100 + $0 % context) }
        func run(window: Int?) -> [Double] {
            NaiveOps.attention(
                Attention(heads: 4, keyValueHeads: 2, headDimension: 1, scale: 1, window: window), query: [1, 1, 1, 1],
                keys: [Double](repeating: 0, count: values.count), values: values, context: context, positions: [2], slots: [1])
        }
        // Slot 1 holds the rows from 200 (head 0) and 300 (head 1); rows 0, 1 and 2 are visible.
        #expect(zip(run(window: nil), [201, 201, 301, 301]).allSatisfy { isClose($0, $1, 1e-9) })
        #expect(zip(run(window: 2), [201.5, 201.5, 301.5, 301.5]).allSatisfy { isClose($0, $1, 1e-9) })
        #expect(zip(run(window: 1), [202, 202, 302, 302]).allSatisfy { isClose($0, $1, 1e-9) })
    }

    @Test func softcapBoundsScores() {
        // One key scores 50, the other 0; capped at 2 the difference is 2·tanh(25) = 2.
        let attention = Attention(heads: 1, keyValueHeads: 1, headDimension: 1, scale: 1, softcap: 2)
        let result = NaiveOps.attention(attention, query: [50], keys: [0, 1], values: [0, 1], context: 2, positions: [1], slots: [0])
        #expect(isClose(result[0], 0.8807970779778823))  // 1/(1 + e⁻²)
    }
}
