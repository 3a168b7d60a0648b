import ArgumentParser

/// The questions of an evaluation, and how its result is printed.
struct TaskArguments: ParsableArguments {
    @Option(name: [.short, .long], help: "The tasks.")
    var file: String

    @Option(help: "Tasks to ask, from the start of the file (default: all).")
    var tasks: Int?

    @Flag(help: "Print one JSON object.")
    var json = false

    func validate() throws {
        if let tasks, tasks < 1 { throw ValidationError("--tasks must be positive.") }
    }
}
