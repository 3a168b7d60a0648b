import ArgumentParser
import Foundation
import SwiftletLanguage
import SwiftletTensor

struct ChatCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "chat", abstract: "Talks with a model; it remembers the conversation.",
        discussion: "Ctrl-C stops an answer. /help lists the commands, /exit or Ctrl-D leaves. Piped input is one message a line.")

    @OptionGroup(title: "Model") var model: ModelArguments
    @OptionGroup(title: "Sampling") var sampling: SamplingArguments
    @OptionGroup(title: "Speculation") var speculation: SpeculationArguments

    @Option(help: "A system message, kept by /reset.")
    var system: String?

    @Option(help: "Tokens of context (default: the model's own, at most 4096).")
    var context: Int?

    @Flag(help: "Say how fast each answer was.")
    var verbose = false

    func validate() throws {
        if let context, context < 1 { throw ValidationError("--context must be positive.") }
    }

    private static let help = "/reset forgets the conversation, /exit leaves, /help says this. Ctrl-C stops an answer."

    func run() async throws {
        let model = try await model.load(context: context)
        guard model.chatTemplate != nil else {
            throw SwiftletError.unsupported(
                file: model.path, place: "tokenizer.chat_template", reason: "the model has no chat template",
                remedy: "Use an instruction-tuned model, or swiftlet generate.")
        }
        let guesses = try await speculation.load(self.model, context: context)
        let session = try Session(model, context: context)
        let opening = system.map { [ChatMessage(role: "system", content: $0)] } ?? []
        var messages = opening
        Console.report("\(model.name). \(Self.help)")
        while let line = readMessage() {
            switch line {
            case "": continue
            case "/exit": return
            case "/help": Console.report(Self.help)
            case "/reset":
                messages = opening
                await session.reset()
                Console.report("The conversation is forgotten.")
            case let line where line.hasPrefix("/"): Console.report("There is no command \(line). \(Self.help)")
            default:
                messages.append(ChatMessage(role: "user", content: line))
                do {
                    messages.append(ChatMessage(role: "assistant", content: try await answer(messages, session, guesses)))
                } catch let error as SwiftletError {
                    // The conversation goes on without the message that failed.
                    messages.removeLast()
                    Console.report("error: \(error) Or type /reset.")
                }
            }
        }
    }

    /// The next line without spaces around it; nil at the end of input.
    private func readMessage() -> String? {
        if Console.readsFromTerminal { Console.reportPart("> ") }
        Interruption.replace { Console.reportPart("\n(/exit or Ctrl-D leaves)\n> ") }
        defer { Interruption.replace(with: nil) }
        return readLine()?.trimmingCharacters(in: .whitespaces)
    }

    /// Prints an answer as it comes. Ctrl-C ends it; what was said until then is part of the conversation.
    private func answer(_ messages: [ChatMessage], _ session: Session, _ speculation: Speculation) async throws -> String {
        let options = sampling.generation(speculation: speculation)
        let speaking = Task {
            var text = ""
            var finish: FinishReason?
            do {
                for try await step in session.generate(.chat(messages), options: options) {
                    Console.write(step.text)
                    text += step.text
                    if let reason = step.finish { finish = reason }
                }
            } catch is CancellationError {
                finish = nil
            }
            return (text, finish)
        }
        Interruption.replace { speaking.cancel() }
        defer { Interruption.replace(with: nil) }
        let (text, finish) = try await speaking.value
        Console.write("\n")
        if verbose { Console.report(StatisticsLine.text(await session.statistics, model: session.model, finish: finish)) }
        return text
    }
}
