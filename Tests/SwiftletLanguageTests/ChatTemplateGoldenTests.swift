// The chat templates of 36 real models against the text Hugging Face's Python renders, byte for byte.

import Foundation
import SwiftletLanguage
import SwiftletTensor
import Testing

private struct GoldenTemplate: Sendable, CustomTestStringConvertible {
    let name: String
    let template: String
    let data: TemplateDictionary
    let expected: String

    var testDescription: String { name }

    static let all: [GoldenTemplate] = {
        let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
        guard let json = try? Data(contentsOf: root.appending(path: "../shared/data/templates/chat-templates.json")),
            case .list(let cases) = try? TemplateValue(json: json)
        else { return [] }
        return cases.compactMap { item in
            guard case .dictionary(let fields) = item, case .string(let name) = fields["name"], case .string(let template) = fields["template"],
                case .dictionary(let data) = fields["data"], case .string(let expected) = fields["expected"]
            else { return nil }
            return GoldenTemplate(name: name, template: template, data: data, expected: expected)
        }
    }()
}

@Suite("Chat templates of real models")
struct ChatTemplateGoldenTests {
    @Test("renders byte for byte", .enabled(if: !GoldenTemplate.all.isEmpty, "shared data absent"), arguments: GoldenTemplate.all)
    private func rendersByteForByte(golden: GoldenTemplate) throws {
        let template = try ChatTemplate(source: golden.template, name: golden.name)
        let clock = Date(timeIntervalSince1970: 1_752_148_800)  // 2025-07-10T12:00Z
        let text = try template.render(golden.data, now: clock, timeZone: .gmt)
        #expect(Array(text.utf8) == Array(golden.expected.utf8), "\(text)")
    }

    @Test("the data set is whole", .enabled(if: !GoldenTemplate.all.isEmpty, "shared data absent"))
    func dataSetIsWhole() {
        #expect(GoldenTemplate.all.count == 36)
    }
}
