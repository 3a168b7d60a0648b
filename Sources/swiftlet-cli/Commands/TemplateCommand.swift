import ArgumentParser
import Foundation
import SwiftletLanguage
import SwiftletTensor

struct TemplateCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "template", abstract: "Renders a Jinja chat template with data, byte for byte.",
        discussion:
            "The data is a JSON object; its keys are the names the template sees (messages, tools, add_generation_prompt, bos_token ...).")

    @Option(help: "The Jinja template.")
    var template: String

    @Option(help: "The JSON object.")
    var data: String

    @Option(
        help: ArgumentHelp(
            "The time that strftime_now tells, in UTC (default: now, in the local time zone).", valueName: "2025-07-10T12:00:00Z"))
    var now: Instant?

    func run() throws {
        let source = try InputFile.text(template)
        let values = try TemplateValue(json: Data(try InputFile.bytes(data)), name: data)
        guard case .dictionary(let names) = values else {
            throw SwiftletError.syntax(
                source: data, line: 1, column: 1, reason: "the data is not an object", remedy: "Write { \"messages\": [...] }.")
        }
        let chatTemplate = try ChatTemplate(source: source, name: template)
        Console.write(
            try now.map { try chatTemplate.render(names, now: $0.date, timeZone: .gmt) } ?? chatTemplate.render(names))
    }
}

/// A time in the form of RFC 3339, `2025-07-10T12:00:00Z`.
struct Instant: ExpressibleByArgument {
    let date: Date

    init?(argument: String) {
        guard let date = ISO8601DateFormatter().date(from: argument) else { return nil }
        self.date = date
    }
}
