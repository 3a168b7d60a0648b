import Foundation
import SwiftletLanguage
import SwiftletTensor
import TestSupport
import Testing

import SwiftletMeasure

private let lines = """
    {"question": "Once upon a time, there was a", "choices": ["big", "of of", "little girl named Lily. She loved to play with her toys."], "answer": 0}

    {"context": "Once upon a ", "choices": ["time", "park"], "answer": "B", "id": 7}
    {"question": "She was very", "choices": ["happy", "of"], "answer": "happy"}
    """

@Suite struct MultipleChoiceTests {
    @Test func readsJSONLines() throws {
        let tasks = try MultipleChoice(lines, name: "x.jsonl").tasks
        #expect(tasks.map(\.right) == [0, 1, 0])
        #expect(tasks[1] == MultipleChoice.Task(question: "Once upon a ", choices: ["time", "park"], right: 1))
        #expect(try MultipleChoice(lines, name: "x.jsonl", limit: 2).tasks.count == 2)
        #expect(try MultipleChoice(lines.replacingOccurrences(of: "\n", with: "\r\n"), name: "x.jsonl").tasks == tasks)
        #expect(try MultipleChoice("", name: "x.jsonl").tasks.isEmpty)
    }

    @Test(arguments: [
        "x", "[1]", "{}", "{\"question\": 1, \"choices\": [\"a\", \"b\"], \"answer\": 0}", "{\"question\": \"q\", \"choices\": [\"a\"], \"answer\": 0}",
        "{\"question\": \"q\", \"choices\": [\"a\", \"\"], \"answer\": 0}", "{\"question\": \"q\", \"choices\": [\"a\", \"b\"], \"answer\": 2}",
        "{\"question\": \"q\", \"choices\": [\"a\", \"b\"], \"answer\": \"C\"}", "{\"question\": \"q\", \"choices\": [\"a\", \"b\"]}",
        "{\"question\": \"q\", \"choices\": [\"a\", \"b\"], \"answer\": -1}", "{\"question\": \"q\", \"choices\": [\"a\", 2], \"answer\": 0}",
    ])
    func linesThatAreNoTasksAreErrors(line: String) throws {
        let good = try #require(lines.split(separator: "\n").first)
        do {
            _ = try MultipleChoice("\(good)\n\n\(line)\n", name: "x.jsonl")
            Issue.record("nothing was thrown")
        } catch SwiftletError.syntax(let source, let place, _, _, _) {
            #expect(source == "x.jsonl" && place == 3)
        }
    }

    @Test(.enabled(if: SharedData.storiesModel != nil, "needs ../shared/data/models/stories260k-f32.gguf"))
    func agreesWithScoringEachTextAlone() throws {
        let model = try storiesModel()
        let decoder = try Decoder(model: model, context: 512)
        func score(_ tokens: [Int32], from first: Int) throws -> Double {
            var sum = 0.0
            for index in 0..<tokens.count - 1 {
                let row = Array(try decoder.evaluate([tokens[index]], at: index)[0]).map(Double.init), largest = row.max() ?? 0
                if index + 1 >= first { sum += row[Int(tokens[index + 1])] - largest - log(row.reduce(0) { $0 + exp($1 - largest) }) }
            }
            return sum
        }
        var tasks = try MultipleChoice(lines, name: "x").tasks
        var (sums, means) = ([Int](), [Int]())
        for task in tasks {
            let question = task.question.trimmingCharacters(in: .whitespaces), start = model.tokenizer.encode(question).count
            let scores = try task.choices.map { try score(model.tokenizer.encode(question + " " + $0), from: start) }
            sums.append(try #require(scores.indices.max { scores[$0] < scores[$1] }))
            let normalised = zip(scores, task.choices).map { $0 / Double($1.count) }
            means.append(try #require(normalised.indices.max { normalised[$0] < normalised[$1] }))
        }
        // The first task is decided by length, so that one procedure in place of the other shows.
        #expect(sums[0] != means[0])
        for index in tasks.indices { tasks[index].right = sums[index] }
        var calls = 0
        let bySum = try MultipleChoice(tasks: tasks).measure(model: model) { _ in calls += 1 }
        #expect(bySum.correct == 3 && bySum.correctNormalised == zip(sums, means).count { $0 == $1 } && calls == 3)
        for index in tasks.indices { tasks[index].right = means[index] }
        let byMean = try MultipleChoice(tasks: tasks).measure(model: model)
        #expect(byMean.correctNormalised == 3 && byMean.normalisedAccuracyPercent == 100 && byMean.intervalHighPercent > 99)
        #expect(throws: SwiftletError.self) { try MultipleChoice(tasks: []).measure(model: model) }
    }
}
