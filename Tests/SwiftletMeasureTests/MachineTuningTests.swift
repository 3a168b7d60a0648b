// The tuning record: kept per machine, found again, never trusted when damaged. What the measurement finds is not asserted, only the rule by which it decides.
import Foundation
import SwiftletLanguage
import SwiftletMeasure
import SwiftletRuntime
import SwiftletTensor
import TestSupport
import Testing

@Suite struct MachineTuningTests {
    private static func machine(cores: Int, model: String = "Test", quota: String = "max", siblings: Bool = false) -> Machine {
        var files = [
            "/proc/cpuinfo": "model name: \(model)\n", "/proc/self/status": "Cpus_allowed_list: 0-\(cores - 1)\n",
            "/sys/devices/system/cpu/online": "0-\(cores - 1)", "/proc/meminfo": "MemTotal: 16777216 kB\nMemAvailable: 8388608 kB\n",
            "/proc/self/cgroup": "0::/\n", "/sys/fs/cgroup/cpu.max": "\(quota) 100000\n",
        ]
        for cpu in 0..<cores {
            files["/sys/devices/system/cpu/cpu\(cpu)/topology/thread_siblings_list"] = siblings ? "\(cpu / 2 * 2)-\(cpu / 2 * 2 + 1)" : "\(cpu)"
        }
        return Machine(files: SystemFiles { [files] in files[$0] }, isa: 0)
    }

    private func withFolder(_ body: (String) throws -> Void) throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: "tuning-\(UUID().uuidString)").path
        defer { try? FileManager.default.removeItem(atPath: folder) }
        try body(folder)
    }

    @Test func eachMachineFindsItsOwn() throws {
        try withFolder { folder in
            let machines = [
                Self.machine(cores: 2), Self.machine(cores: 4), Self.machine(cores: 4, model: "Other"), Self.machine(cores: 4, quota: "150000"),
                Self.machine(cores: 4, siblings: true),
            ]
            #expect(Set(machines.map(MachineTuning.key)).count == machines.count)
            for machine in machines { #expect(try MachineTuning.saved(for: machine, folder: folder) == nil) }
            for (index, machine) in machines.enumerated() {
                try MachineTuning(threads: index % 2 + 1, pollsBeforeSleep: 100 * index, measured: "m\(index)").save(for: machine, folder: folder)
            }
            for (index, machine) in machines.enumerated() {
                let expected = MachineTuning(threads: index % 2 + 1, pollsBeforeSleep: 100 * index, measured: "m\(index)")
                #expect(try MachineTuning.saved(for: machine, folder: folder) == expected)
            }
            // Measured again: replaced, the others kept.
            let again = MachineTuning(threads: 2, pollsBeforeSleep: 9, measured: "again")
            try again.save(for: machines[0], folder: folder)
            #expect(try MachineTuning.saved(for: machines[0], folder: folder) == again)
            #expect(try MachineTuning.saved(for: machines[4], folder: folder)?.measured == "m4")
            #expect(try FileManager.default.contentsOfDirectory(atPath: folder) == ["tuning.json"])
        }
    }

    @Test func damagedRecordsAreErrorsUntilMeasuredAnew() throws {
        let machine = Self.machine(cores: 2)
        let entry = { (threads: Int, polls: Int) in
            #"{"version":1,"machines":{"\#(MachineTuning.key(machine))":{"threads":\#(threads),"measured":"m","pollsBeforeSleep":\#(polls)}}}"#
        }
        for text in ["", "{", "[]", #"{"version":"one"}"#, #"{"version":1}"#, #"{"version":1,"machines":{"a":{}}}"#, entry(0, 1), entry(3, 1), entry(-4, 1), entry(1, -1), entry(1, 1_000_001)] {
            try withFolder { folder in
                try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
                try Data(text.utf8).write(to: URL(fileURLWithPath: folder + "/tuning.json"))
                #expect(throws: SwiftletError.self, "\(text)") { try MachineTuning.saved(for: machine, folder: folder) }
                let good = MachineTuning(threads: 2, pollsBeforeSleep: 10, measured: "good")
                try good.save(for: machine, folder: folder)
                #expect(try MachineTuning.saved(for: machine, folder: folder) == good)
            }
        }
        // Of another version: nothing is known, nothing is wrong.
        try withFolder { folder in
            try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
            try Data(#"{"version":2,"machines":{}}"#.utf8).write(to: URL(fileURLWithPath: folder + "/tuning.json"))
            #expect(try MachineTuning.saved(for: machine, folder: folder) == nil)
        }
    }

    @Test func candidatesStayWithinTheMachine() {
        #expect(MachineTuning.candidates(Self.machine(cores: 1)) == [1])
        #expect(MachineTuning.candidates(Self.machine(cores: 2)) == [1, 2])
        #expect(MachineTuning.candidates(Self.machine(cores: 6)) == [1, 2, 4, 6])
        #expect(MachineTuning.candidates(Self.machine(cores: 12, siblings: true)) == [1, 2, 4, 6, 8, 12])
        #expect(MachineTuning.candidates(Self.machine(cores: 16, quota: "250000")) == [1, 2, 3])
        #expect(MachineTuning.candidates(Self.machine(cores: 16, quota: "50000")) == [1])
    }

    /// Chosen, or refused because the machine is busy; whichever, nothing is written.
    @Test func theMeasurementChoosesAmongTheCandidatesOrRefuses() throws {
        let machine = Machine.current()
        do {
            let tuning = try MachineTuning.measure(on: machine)
            #expect(MachineTuning.candidates(machine).contains(tuning.threads) && (0...16_000).contains(tuning.pollsBeforeSleep))
            #expect(tuning.measured == "synthetic")
        } catch SwiftletError.numerical(let routine, _, _) {
            #expect(routine == "tuning")
        }
    }

    /// Rounds of about `time`, in which others now and then take the core away.
    private func rounds(_ time: Double, _ random: inout SeededGenerator, spikes: Bool = true) -> [Double] {
        (0..<12).map { time * (1 + Double.random(in: 0...0.02, using: &random)) * (spikes && $0 % 3 == 1 ? 3 : 1) }
    }

    @Test func theDefaultIsLeftOnlyForAClearlyFasterCandidate() throws {
        var random = SeededGenerator(seed: 2)
        for _ in 0..<50 {
            func trial(_ usual: Double, _ other: Double) -> TuningTrial {
                TuningTrial(times: [rounds(usual, &random), rounds(other, &random, spikes: false), rounds(usual, &random)], cpuShare: 1)
            }
            // Half as fast, as fast, a little faster, clearly faster. Spikes hit the default only and must not matter.
            #expect(try trial(1, 2).choice() == 0)
            #expect(try trial(1, 1).choice() == 0)
            #expect(try trial(1, 0.98).choice() == 0)
            #expect(try trial(1, 0.8).choice() == 1)
        }
    }

    @Test func unsteadyTimesAreRefusedUnlessTheAnswerIsPlain() throws {
        func flat(_ time: Double) -> [Double] { Array(repeating: time, count: 12) }
        // The default took 20 % longer the second time: nothing can be said of a candidate in between, but of one twice as slow.
        #expect(throws: SwiftletError.self) { try TuningTrial(times: [flat(1), flat(1.1), flat(1.2)], cpuShare: 1).choice() }
        #expect(throws: SwiftletError.self) { try TuningTrial(times: [flat(1), flat(0.5), flat(1.2)], cpuShare: 1).choice() }
        #expect(try TuningTrial(times: [flat(1), flat(2), flat(1.2)], cpuShare: 1).choice() == 0)
        // Others had a third of the cores: nothing measured counts.
        #expect(throws: SwiftletError.self) { try TuningTrial(times: [flat(1), flat(2), flat(1)], cpuShare: 0.67).choice() }
        // Faster by the quartile, but only in some of the rounds.
        let mixed = (0..<12).map { $0 < 5 ? 0.8 : 1.4 }
        #expect(try TuningTrial(times: [flat(1), mixed, flat(1)], cpuShare: 1).choice() == 0)
    }

    @Test(.enabled(if: SharedData.storiesModel != nil, "needs ../shared/data/models/stories260k-f32.gguf"))
    func modelsUseTheRecordUnlessToldOtherwise() throws {
        let path = try #require(SharedData.storiesModel)
        try withFolder { folder in
            var options = ModelOptions(context: 64)
            options.tuningFolder = folder
            let usual = try LanguageModel(path: path, options: options)
            #expect(usual.threads == Machine.current().recommendedThreads)
            let processors = Machine.current().usableProcessors
            let other = usual.threads == 1 ? min(2, processors) : 1
            let tuning = MachineTuning(threads: other, pollsBeforeSleep: 7, measured: "test")
            try tuning.save(folder: folder)
            let tuned = try LanguageModel(path: path, options: options)
            #expect(tuned.threads == other)
            #expect(try tuned.tuning.get() == tuning)
            options.threads = 3
            #expect(try LanguageModel(path: path, options: options).threads == 3)
            options.threads = nil
            options.usesTuning = false
            #expect(try LanguageModel(path: path, options: options).threads == usual.threads)
            options.usesTuning = true
            try Data("{".utf8).write(to: URL(fileURLWithPath: folder + "/tuning.json"))
            let damaged = try LanguageModel(path: path, options: options)
            #expect(damaged.threads == usual.threads)
            #expect(throws: SwiftletError.self) { try damaged.tuning.get() }
            #expect(Finding.tuning(damaged.tuning).count == 1 && Finding.tuning(tuned.tuning).isEmpty)
        }
    }

    @Test func latenciesAndSamplersAreMeasurable() throws {
        for threads in [1, 2] {
            let latency = try PoolLatency.measure(threads: threads, steps: 50, runs: 3)
            #expect(latency.threads == threads && latency.stepNanoseconds > 0 && latency.runNanoseconds > 0)
        }
        for vocabulary in [1, 100, 5000] {
            for (name, options) in SamplerCase.settings {
                var sampler = try SamplerCase(name: name, options: options, vocabularyCount: vocabulary)
                for _ in 0..<20 { #expect((0..<Int32(vocabulary)).contains(try sampler.draw()), "\(name)") }
            }
        }
        #expect(throws: SwiftletError.self) { try SamplerCase(name: "none", options: SamplerCase.settings[0].options, vocabularyCount: 0) }
    }
}
