// What a generated token costs beside its arithmetic: allocations and reference counts, the pool's hand-over, sampling, text.
//
// Standard output: a table, or one JSON object with --json. Without a model: the pool and the samplers. `--counts` leaves out what is timed.
import AllocationCounter
import ArgumentParser
import Foundation
import SwiftletLanguage
import SwiftletMeasure
import SwiftletRuntime

@main
struct TokenLoopCommand: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "token-loop", abstract: "Counts and times what generating a token costs beside its arithmetic.")

    @Argument(help: "A GGUF file.")
    var model: String?

    @Option(help: "Threads that compute.")
    var threads = 2

    @Option(help: "Tokens that are counted, after as many that are not.")
    var tokens = 100

    @Flag(help: "Only what is counted.")
    var counts = false

    @Flag(help: "Print one JSON object.")
    var json = false

    func validate() throws {
        guard threads > 0, tokens > 0 else { throw ValidationError("Counts must be positive.") }
    }

    func run() throws {
        var report = TokenLoopReport(isCounted: allocation_counter_works(), threads: threads)
        if report.isCounted {
            report.counted = try Self.countedWithoutModel(threads: threads)
        }
        if !counts { try report.time(threads: threads) }
        if let path = model {
            let model = try LanguageModel(path: path, options: ModelOptions(threads: threads, context: nil))
            report.model = "\(model.name), \(model.instructionSet.rawValue)"
            if report.isCounted {
                for (name, options) in SamplerCase.settings {
                    report.counted.append(CountedCase(name: "token: \(name)", counts: try Self.counted(model, options, tokens: tokens)))
                }
            }
            if !counts { try report.time(model) }
        }
        FileHandle.standardOutput.write(Data((json ? try report.json() : report.text).utf8))
    }

    /// The control, the pool and the samplers.
    private static func countedWithoutModel(threads: Int) throws -> [CountedCase] {
        let times = 100
        var control = Control()
        var cases = [CountedCase(name: "control", counts: Counts(times: times) { for _ in 0..<times { control.run() } })]
        let pool = try ThreadPool(threadCount: threads)
        let program = SyntheticProgram(steps: 50, tasks: 2 * threads, work: .nothing)
        pool.run(program)
        cases.append(CountedCase(name: "pool", counts: Counts(times: times) { for _ in 0..<times { pool.run(program) } }))
        for (name, options) in SamplerCase.settings {
            var sampler = try SamplerCase(name: name, options: options, vocabularyCount: 49_152)
            for _ in 0..<times { try sampler.draw() }
            cases.append(CountedCase(name: "sampler: \(name)", counts: try Counts(times: times) { for _ in 0..<times { try sampler.draw() } }))
        }
        return cases
    }

    private static func counted(_ model: LanguageModel, _ sampling: SamplingOptions, tokens: Int) throws -> Counts {
        var loop = try TokenLoop(model: model, sampling: sampling, tokens: 2 * tokens)
        try loop.run(tokens)
        return try Counts(times: tokens) { try loop.run(tokens) }
    }
}
