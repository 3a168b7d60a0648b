import SwiftletTensor
import Testing

import SwiftletMeasure

@Suite struct BudgetTests {
    @Test(arguments: [
        ("size=40MB", Budget(sizeBytes: 40_000_000)), ("size=1.5GB", Budget(sizeBytes: 1_500_000_000)), ("size=3KiB", Budget(sizeBytes: 3072)),
        ("size=2MiB", Budget(sizeBytes: 2 << 20)), ("size=1GiB", Budget(sizeBytes: 1 << 30)), ("size=17 kB", Budget(sizeBytes: 17000)), ("size=5B", Budget(sizeBytes: 5)),
        ("size=5b", Budget(sizeBytes: 5)), ("drop=1%", Budget(dropPercent: 1)), ("drop=0%", Budget(dropPercent: 0)), ("latency=5ms", Budget(latencyMilliseconds: 5)),
        ("latency=250us", Budget(latencyMilliseconds: 0.25)), ("latency=250µs", Budget(latencyMilliseconds: 0.25)), ("latency=2s", Budget(latencyMilliseconds: 2000)),
        ("size=40MB,drop=0.5%,latency=5.5ms", Budget(sizeBytes: 40_000_000, dropPercent: 0.5, latencyMilliseconds: 5.5)),
        (" latency = 5 ms , size = 1 MB", Budget(sizeBytes: 1_000_000, latencyMilliseconds: 5)),
    ])
    func limitsAreRead(text: String, budget: Budget) throws { #expect(try Budget(text) == budget) }

    @Test(arguments: [
        ("", 1, "'' is no limit", "size=40MB"), ("size", 1, "'size' is no limit", "drop=1%"), ("size=40MB,", 11, "no limit", "commas"), ("speed=5", 1, "no limit 'speed'", "size, drop or latency"),
        ("size=40", 6, "'40' is no amount for size", "kB, MB, GB, KiB, MiB, GiB, B"), ("size=MB", 6, "'MB'", "number"), ("size=-1MB", 6, "'-1MB'", "number from 0"),
        ("drop=1", 6, "'1'", "unit: %"), ("drop=nan%", 6, "'nan%'", "%"), ("size=0x10MB", 6, "'0x10MB'", "MB"), ("drop=1%,latency=5", 17, "'5'", "ms, us, µs, s"),
        ("drop=1%,drop=2%", 9, "'drop' comes twice", "one"), ("size=infMB", 6, "'infMB'", "number"),
    ])
    func errorsPointAtTheirPlace(text: String, column: Int, reason: String, remedy: String) throws {
        do {
            _ = try Budget(text)
            Issue.record("nothing was thrown")
        } catch SwiftletError.syntax(let source, let line, let place, let why, let what) {
            #expect(source == "--budget" && line == 1 && place == column)
            #expect(why.contains(reason) && what.contains(remedy), "\(why) \(what)")
        }
    }

    @Test func enormousSizesAreNoTrap() throws { #expect(try Budget("size=1e300GB").sizeBytes == .max) }

    @Test func verdictsSayByHowMuch() throws {
        let budget = try Budget("size=40MB,drop=1%,latency=5ms")
        let met = budget.verdicts(sizeBytes: 40_000_000, dropPercent: -0.2, latencyMilliseconds: 5)
        #expect(met.map(\.isMet) == [true, true, true] && met[0].text == "size is 40.00 MB of 40.00 MB")
        let missed = budget.verdicts(sizeBytes: 42_500_000, dropPercent: 1.25, latencyMilliseconds: 7)
        #expect(missed.map(\.isMet) == [false, false, false])
        #expect(missed.map(\.text) == ["size is 42.50 MB of 40.00 MB, 2.50 MB too much", "drop is 1.25 % of 1 %, 0.25 % too much", "latency is 7 ms of 5 ms, 2 ms too much"])
        let unknown = budget.verdicts(sizeBytes: 1, dropPercent: nil, latencyMilliseconds: nil)
        #expect(unknown.map(\.isMet) == [true, false, false] && unknown[1].text == "drop was not measured, 1 % are allowed" && unknown[1].measured == nil)
        #expect(budget.verdicts(sizeBytes: 1, dropPercent: .nan, latencyMilliseconds: 1)[1].isMet == false)
        #expect(Budget().verdicts(sizeBytes: 1, dropPercent: nil, latencyMilliseconds: nil).isEmpty)
    }
}
