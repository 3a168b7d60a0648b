// Runs published operator tests through the engine: one line of JSON a case on standard output. `Scripts/onnx-conformance` makes the cases,
// starts this program again behind a case that ended it, and writes the table of what is supported.
import ArgumentParser
import Foundation
import SwiftletNetwork

@main
struct OnnxConformance: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "onnx-conformance", abstract: "Run operator test cases that Tests/Conformance/cases.py has written.")

    @Argument(help: "The folder with a folder for each case.") var folder: String
    @Option(help: "Only cases whose names contain this.") var filter = ""
    @Option(help: "Begin behind the case of this name.") var after: String?
    @Option(help: "Do not run the cases: import each, and write it as ONNX to this folder.") var write: String?
    @Flag(help: "Run everything with the plain definitions of the operations.") var reference = false

    func run() throws {
        let names = try FileManager.default.contentsOfDirectory(atPath: folder).sorted().filter {
            ($0.contains(filter) || filter.isEmpty) && $0 > after ?? "" && $0 != "version"
        }
        let options = NetworkOptions(threads: 1, usesReference: reference)
        for name in names {
            try Line(name: name, outcome: "begins", reason: nil).write()
            let folder = URL(fileURLWithPath: folder).appendingPathComponent(name)
            let line: Line
            do {
                let test = try ConformanceCase(folder: folder)
                if let write {
                    try test.write(to: "\(write)/\(name).onnx")
                    line = Line(name: name, outcome: "written", reason: nil)
                } else {
                    let differences = try test.differences(options: options)
                    line = Line(name: name, outcome: differences == nil ? "pass" : "wrong", reason: differences)
                }
            } catch {
                line = Line(name: name, outcome: "error", reason: "\(error)")
            }
            try line.write()
        }
    }

    private struct Line: Encodable {
        let name, outcome: String
        let reason: String?

        /// Without a buffer: what has been written is what the reader of a program that ends early has.
        func write() throws { try FileHandle.standardOutput.write(contentsOf: JSONEncoder().encode(self) + [UInt8(ascii: "\n")]) }
    }
}
