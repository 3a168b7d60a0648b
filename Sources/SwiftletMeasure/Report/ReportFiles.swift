// A report on disk: the data for programs, a page for people.
import Foundation
import SwiftletTensor

/// Writes reports.
package enum ReportFiles {
    /// `report.json` and `report.html` in `folder`, which is made where it is absent. Throws `SwiftletError.io`.
    package static func write(_ report: CompressionReport, to folder: String) throws {
        do {
            try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
            try json(report).write(to: URL(fileURLWithPath: folder + "/report.json"), options: .atomic)
            try Data(ReportPage(report).html.utf8).write(to: URL(fileURLWithPath: folder + "/report.html"), options: .atomic)
        } catch let error as SwiftletError {
            throw error
        } catch {
            throw SwiftletError.io(path: folder, reason: "cannot be written: \(error.localizedDescription)", remedy: "Check that the folder is writable and has room.")
        }
    }

    /// Keys in snake_case and in alphabetical order, as all of the command's JSON.
    static func json(_ report: CompressionReport) throws -> Data {
        let encoder = JSONEncoder()
        encoder.keyEncodingStrategy = .convertToSnakeCase
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes, .prettyPrinted]
        encoder.nonConformingFloatEncodingStrategy = .convertToString(positiveInfinity: "inf", negativeInfinity: "-inf", nan: "nan")
        return try encoder.encode(report)
    }
}

extension String {
    /// The text with what means something in HTML and SVG written as characters, for content and for quoted attributes.
    var escapedForMarkup: String {
        var result = ""
        for scalar in unicodeScalars {
            switch scalar {
            case "&": result += "&amp;"
            case "<": result += "&lt;"
            case ">": result += "&gt;"
            case "\"": result += "&quot;"
            case "'": result += "&#39;"
            // Control characters are not allowed at all, not even as references.
            case _ where scalar.value < 0x20 && !["\t", "\n", "\r"].contains(scalar), "\u{7F}", "\u{FFFE}", "\u{FFFF}": result += "\u{FFFD}"
            default: result.unicodeScalars.append(scalar)
            }
        }
        return result
    }
}
