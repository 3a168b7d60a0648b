// The options of every command that runs an ONNX network, and those that say on what part of the machine.
import ArgumentParser
import Foundation
import SwiftletModels
import SwiftletNetwork
import SwiftletRuntime

extension NetworkPrecision: ExpressibleByArgument {}

/// What of the machine a command uses.
struct MachineArguments: ParsableArguments {
    @Option(help: "Threads that compute (default: one a physical core).")
    var threads: Int?

    @Option(help: "Highest instruction set to use (default: the best this machine has, or $SWIFTLET_ISA).")
    var isa: InstructionSet?

    func validate() throws {
        if let threads, !(1...512).contains(threads) { throw ValidationError("--threads must be between 1 and 512.") }
    }
}

struct NetworkArguments: ParsableArguments {
    @OptionGroup var machine: MachineArguments

    @Option(help: "Numbers to compute with: f32, or bf16 for convolutions that round to 8 bits of mantissa (faster where the machine multiplies bf16).")
    var precision: NetworkPrecision = .exact

    /// Loads the model in a file, or the pulled one of that name.
    ///
    /// - Parameter threads: how many compute where the command line does not say; nil: what suits the machine.
    func load(_ model: String, threads: Int? = nil) async throws -> Model {
        let options = NetworkOptions(threads: machine.threads ?? threads, instructionSet: try InstructionSet.resolve(machine.isa?.rawValue), precision: precision)
        return try await Model.load(URL(fileURLWithPath: ModelCache().resolve(model)), options: options)
    }
}

/// `name=value` on the command line.
struct NamedArgument: ExpressibleByArgument {
    let name, value: String

    init?(argument: String) {
        // Names may have an equals sign; values here do not begin with one.
        guard let sign = argument.lastIndex(of: "="), sign != argument.startIndex else { return nil }
        name = String(argument[..<sign])
        value = String(argument[argument.index(after: sign)...])
    }

    /// The value as sizes, with commas between. Throws `ValidationError` naming the option for anything else.
    func sizes(_ option: String) throws -> [Int] {
        let sizes = value.split(separator: ",", omittingEmptySubsequences: true).map { Int($0) }
        guard !sizes.contains(nil) else { throw ValidationError("\(option) \(name)=\(value): give numbers with commas between.") }
        return sizes.compactMap { $0 }
    }
}
