// Small templates against what Python's jinja2 renders for them. The vectors are made by Scripts/make_template_vectors.py.

import Foundation
import SwiftletLanguage
import SwiftletTensor
import Testing

@Suite("Chat template cases from Python's jinja2")
struct ChatTemplateVectorTests {
    private struct Vectors {
        let data: TemplateDictionary
        let cases: [(template: String, expected: String?)]

        init() throws {
            let file = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "Vectors/chat-template-cases.json")
            guard case .dictionary(let root) = try TemplateValue(json: Data(contentsOf: file)), case .dictionary(let data) = root["data"],
                case .list(let list) = root["cases"]
            else { throw SwiftletError.io(path: file.path, reason: "not a file of vectors", remedy: "Run the script again.") }
            self.data = data
            cases = list.compactMap { item in
                guard case .dictionary(let fields) = item, case .string(let template) = fields["template"] else { return nil }
                if case .string(let expected) = fields["expected"] { return (template, expected) }
                return (template, nil)
            }
        }
    }

    @Test("renders as Python does, and refuses what Python refuses")
    func rendersAsPython() throws {
        let vectors = try Vectors()
        #expect(vectors.cases.count > 1400)
        let clock = Date(timeIntervalSince1970: 1_752_148_800)  // 2025-07-10T12:00Z
        for (source, expected) in vectors.cases {
            do {
                let text = try ChatTemplate(source: source, name: "case").render(vectors.data, now: clock, timeZone: .gmt)
                #expect(expected != nil, "renders what Python refuses: \(source) → \(text)")
                if let expected { #expect(Array(text.utf8) == Array(expected.utf8), "\(source) → \(text), expected \(expected)") }
            } catch let error as SwiftletError {
                #expect(expected == nil, "\(source) → \(error), expected \(expected ?? "")")
            }
        }
    }
}
