// The command `swiftlet`: its subcommands and its exit codes.
//
//     0    done
//     1    failed: one line `error: …` on standard error, with what to do
//     2    wrong usage
//     130  interrupted with Ctrl-C
import ArgumentParser
import Foundation
import SwiftletTensor

@main
struct SwiftletCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "swiftlet",
        abstract: "Runs language models on this machine.",
        discussion:
            "A model is a file or the name of a pulled one (swiftlet pull). Results go to standard output, everything else to standard error.",
        version: "0.1.0",
        subcommands: [
            GenerateCommand.self, ChatCommand.self, EmbedCommand.self, RunCommand.self, ClassifyCommand.self, OCRCommand.self, VADCommand.self,
            WakeCommand.self, BuildCommand.self, InspectCommand.self, TokenizeCommand.self, TemplateCommand.self, PerplexityCommand.self,
            EvalCommand.self, CompareCommand.self, CompressCommand.self, CalibrateCommand.self, BenchCommand.self, PullCommand.self, CacheCommand.self, DoctorCommand.self,
        ])

    static func main() async {
        let work = Task {
            var command = try parseAsRoot(BenchCommand.completed(Array(CommandLine.arguments.dropFirst())))
            if var command = command as? any AsyncParsableCommand {
                try await command.run()
            } else {
                try command.run()
            }
        }
        Interruption.begin { work.cancel() }
        switch await work.result {
        case .success: Foundation.exit(0)
        case .failure(let error): end(with: error)
        }
    }

    /// Says what went wrong and ends the process with the code for it.
    private static func end(with error: any Error) -> Never {
        if error is CancellationError { Foundation.exit(ExitStatus.interrupted) }
        if let error = error as? SwiftletError {
            Console.report("error: " + error.description.replacingOccurrences(of: "\n", with: " "))
            Foundation.exit(ExitStatus.failure)
        }
        let code = exitCode(for: error)
        let message = fullMessage(for: error)
        if code == .success {
            if !message.isEmpty { Console.write(message + "\n") }
            Foundation.exit(ExitStatus.success)
        }
        if !message.isEmpty { Console.report(message) }
        Foundation.exit(code == .validationFailure ? ExitStatus.usage : code.rawValue)
    }
}

/// The exit codes of the command.
enum ExitStatus {
    static let success: Int32 = 0
    static let failure: Int32 = 1
    static let usage: Int32 = 2
    static let interrupted: Int32 = 130
}
