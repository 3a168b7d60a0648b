import ArgumentParser
import SwiftletMeasure
import SwiftletModels
import SwiftletRuntime

struct DoctorCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "doctor", abstract: "Describes this machine and the cache, and says what is wrong and how to put it right.")

    @Flag(help: "Print one JSON object.")
    var json = false

    @Flag(help: "Measure which thread count and how much waiting serve best, and keep that for this machine (a few seconds; with the default model where it is pulled).")
    var tune = false

    func run() throws {
        if tune {
            let cache = ModelCache()
            let model = KnownModel.all.first.flatMap { known in (try? cache.resolve(known.name)).map { (known.name, $0) } }
            try MachineTuning.measure(model: model).save(folder: cache.root.path)
        }
        let report = try DoctorReport.examine()
        Console.write(json ? try report.json() + "\n" : report.text)
    }
}
