import ArgumentParser
import SwiftletMeasure

struct DoctorCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "doctor", abstract: "Describes this machine and the cache, and says what is wrong and how to put it right.")

    @Flag(help: "Print one JSON object.")
    var json = false

    func run() throws {
        let report = try DoctorReport.examine()
        Console.write(json ? try report.json() + "\n" : report.text)
    }
}
