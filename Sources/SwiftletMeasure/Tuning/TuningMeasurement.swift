// The measurement behind `doctor --tune`: tokens on pools of every plausible size, by turns. A few seconds.
//
// A synthetic token is 120 steps, each a slice of a 48 MiB buffer that the threads read in small tasks, so that the hand-over between steps counts as it does
// in a model. Where a model is given its own tokens decide on the threads. How long idle threads wait awake is decided on synthetic tokens with pauses.
import CKernels
import SwiftletLanguage
import SwiftletRuntime
import SwiftletTensor

#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

extension MachineTuning {
    private static let steps = 120
    private static let rounds = 12

    /// Measures `machine`, with `model` (a GGUF file) where there is one.
    ///
    /// Throws `SwiftletError.numerical` when the machine is too busy or unsteady to tell, `SwiftletError.outOfMemory` without memory for a buffer, and what
    /// loading the model and creating threads throw.
    public static func measure(on machine: Machine = .current(), model: (name: String, path: String)? = nil) throws -> MachineTuning {
        let usual = machine.recommendedThreads
        let counts = [usual] + candidates(machine).filter { $0 != usual }
        let token = try syntheticToken(machine)
        var threads = usual
        if counts.count > 1 {
            let pools = try (counts + [usual]).map { try ThreadPool(threadCount: $0) }
            let synthetic = try trial(pools.map { pool in { pool.run(token(pool.threadCount)) } }, threads: counts + [usual]).choice()
            threads = counts[synthetic]
        }
        if let model, counts.count > 1 {
            var loops = try (counts + [usual]).map { count in
                var options = ModelOptions(threads: count, context: 512)
                options.usesTuning = false
                return try TokenLoop(
                    model: LanguageModel(path: model.path, options: options), sampling: .greedy, tokens: 4 * repetitions * (rounds + 1))
            }
            threads = counts[try trial(loops.indices.map { index in { try loops[index].run(4) } }, threads: counts + [usual]).choice()]
        }
        var polls = ThreadPool.defaultPolls
        if threads > 1 {
            let budgets = [ThreadPool.defaultPolls, 0, 500, 16_000]
            let pools = try (budgets + [ThreadPool.defaultPolls]).map { try ThreadPool(threadCount: threads, pollsBeforeSleep: $0) }
            let program = token(threads)
            let choice = try trial(
                pools.map { pool in
                    {
                        // As long as sampling takes, before each of some tokens.
                        for _ in 0..<3 {
                            busy(nanoseconds: 40_000)
                            pool.run(program)
                        }
                    }
                }, threads: [])
            polls = budgets[try choice.choice()]
        }
        return MachineTuning(threads: threads, pollsBeforeSleep: polls, measured: model?.name ?? "synthetic")
    }

    /// One thread, powers of two, a thread a core, a thread a processor; within the control group's limit.
    package static func candidates(_ machine: Machine) -> [Int] {
        let most = max(1, min(machine.usableProcessors, machine.coreLimit.map { Int($0.rounded(.up)) } ?? machine.usableProcessors, 512))
        var counts: Set = [1, min(machine.recommendedThreads, most), most]
        var power = 2
        while power < most {
            counts.insert(power)
            power *= 2
        }
        return counts.sorted()
    }

    private static func syntheticToken(_ machine: Machine) throws -> (_ threads: Int) -> SyntheticProgram {
        let bytes = min(48 << 20, machine.availableMemoryBytes / 16) / (steps * 512) * (steps * 512)
        guard bytes > 0 else { throw SwiftletError.outOfMemory(bytes: 48 << 20, purpose: "measuring thread counts") }
        let memory = try AlignedMemory(byteCount: bytes, purpose: "measuring thread counts")
        // Pages that were never written all are the same page of zeros.
        memory.bytes.initializeMemory(as: UInt8.self, repeating: 1)
        var readCount = 0
        let isa = ck_isa_detect()
        let rows = UnsafeBufferPointer(start: ck_read_rows(&readCount), count: readCount)
        guard let read = rows.first(where: { $0.isa & isa == $0.isa && $0.read != nil })?.read else {
            throw SwiftletError.unsupported(file: "kernels", place: "read loops", reason: "are missing from this build", remedy: "Rebuild the package.")
        }
        return { threads in SyntheticProgram(steps: steps, tasks: threads * 6, work: .read(memory, loop: read)) }
    }

    private static let repetitions = 3

    /// Times the candidates by turns: in each round the best of three of each. Of those with a thread count in `threads` the CPU time is compared with
    /// what that many threads can have: they wait awake, so on a machine of their own they have all of it.
    private static func trial(_ bodies: [() throws -> Void], threads: [Int]) throws -> TuningTrial {
        let clock = ContinuousClock()
        var times = Array(repeating: [Double](), count: bodies.count)
        var (asked, had) = (0.0, 0.0)
        for round in 0...rounds {
            for (index, body) in bodies.enumerated() {
                var best = Double.infinity
                let (started, cpuStarted) = (clock.now, cpuSeconds())
                for _ in 0..<repetitions {
                    let start = clock.now
                    try body()
                    best = min(best, (clock.now - start) / .seconds(1))
                }
                // The first round warms up.
                guard round > 0 else { continue }
                times[index].append(best)
                if threads.indices.contains(index) {
                    asked += (clock.now - started) / .seconds(1) * Double(threads[index])
                    had += cpuSeconds() - cpuStarted
                }
            }
        }
        return TuningTrial(times: times, cpuShare: asked > 0 ? had / asked : 1)
    }

    /// CPU time of all threads of this process, in seconds.
    private static func cpuSeconds() -> Double {
        var time = timespec()
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time)
        return Double(time.tv_sec) + Double(time.tv_nsec) * 1e-9
    }

    private static func busy(nanoseconds: Double) {
        let clock = ContinuousClock()
        let start = clock.now
        while (clock.now - start) / .nanoseconds(1) < nanoseconds {}
    }
}
