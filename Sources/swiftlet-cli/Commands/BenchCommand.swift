import ArgumentParser

/// `bench` with its subcommands; without one it measures a model.
struct BenchCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "bench", abstract: "Measures how fast a model runs, or how fast the kernels do.",
        discussion: """
            Without a subcommand: bench model. `bench --roofline FILE` draws the kernels' page, as `bench kernels --roofline FILE` does.
            """,
        subcommands: [BenchModelCommand.self, BenchKernelsCommand.self, BenchEmbedCommand.self], defaultSubcommand: BenchModelCommand.self)

    /// The arguments of the command with the subcommand that `bench --roofline` means put in: a roofline is made of kernels.
    static func completed(_ arguments: [String]) -> [String] {
        guard arguments.first == configuration.commandName, arguments.count > 1, arguments[1].hasPrefix("-"),
            arguments.contains(where: { $0 == "--roofline" || $0.hasPrefix("--roofline=") })
        else { return arguments }
        return [arguments[0], BenchKernelsCommand._commandName] + arguments.dropFirst()
    }
}
