// Sessions of one model at once: the text of each is what it is alone. Run under the thread sanitizer as well.
import SwiftletLanguage
import SwiftletRuntime
import Testing

@Suite(.enabled(if: Stories.isPresent, Stories.note)) struct ConcurrentSessionTests {
    private static let prompts = ["Once upon a time", "The dog was very sad because", "Lily and Tom went to the", "One day, a big red"]

    @Test func sessionsOfOneModelDoNotDisturbEachOther() async throws {
        let model = try Stories.model(ModelOptions(threads: 2))
        var alone: [String] = []
        for (index, prompt) in Self.prompts.enumerated() {
            alone.append(try await Session(model).text(.text(prompt), options: Stories.drawn(50, seed: UInt64(index))))
        }
        let together = try await withThrowingTaskGroup(of: (Int, String).self) { group in
            for (index, prompt) in Self.prompts.enumerated() {
                let session = try Session(model)
                group.addTask { (index, try await session.text(.text(prompt), options: Stories.drawn(50, seed: UInt64(index)))) }
            }
            return try await group.reduce(into: [Int: String]()) { $0[$1.0] = $1.1 }
        }
        #expect(Self.prompts.indices.map { together[$0] } == alone)
        #expect(Set(alone).count == Self.prompts.count)
    }

    /// Two loaded models have a thread pool and a thread each.
    @Test func modelsRunAtOnce() async throws {
        let expected = try Stories.greedy()
        try await withThrowingTaskGroup(of: String.self) { group in
            for _ in 0..<3 {
                group.addTask {
                    try await Session(Stories.model(ModelOptions(threads: 2))).text(.text(expected.prompt), options: Stories.greedy(80))
                }
            }
            for try await text in group { #expect(text == expected.text) }
        }
    }

    /// Generations of one session from several tasks: each ends the one before, none computes on another's state.
    @Test func tasksThatShareASessionTakeTurns() async throws {
        let model = try Stories.model()
        let session = try Session(model)
        try await withThrowingTaskGroup(of: [Int32].self) { group in
            for _ in 0..<8 {
                group.addTask {
                    try await Stories.tokens(Stories.elements(session.generate(.text(Stories.prompt), options: Stories.greedy(30))))
                }
            }
            let expected = try Stories.greedy().tokens
            var longest = 0
            for try await tokens in group {
                #expect(tokens == Array(expected.prefix(tokens.count)))
                longest = max(longest, tokens.count)
            }
            // The last to start was not ended by another.
            #expect(longest == 30)
        }
    }

    /// A session that goes while a task still pulls from it, models that go with their sessions: nothing is used after its end.
    @Test func sessionsAndModelsMayGoAtAnyTime() async throws {
        for count in 0..<12 {
            let session = try Session(Stories.model())
            let task = Task {
                var iterator = session.generate(.text(Stories.prompt), options: Stories.greedy(count)).makeAsyncIterator()
                for _ in 0..<count / 2 { _ = try await iterator.next() }
            }
            if count % 3 == 0 { task.cancel() }
            _ = await task.result
        }
    }
}
