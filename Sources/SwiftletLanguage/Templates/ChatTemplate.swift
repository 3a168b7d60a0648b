// A model's chat template: Jinja source that turns messages into the prompt the model was trained on.
//
// Rendered as Hugging Face's `apply_chat_template` renders it (Jinja 3.1, `trim_blocks`, `lstrip_blocks`, loop controls, `generation` blocks,
// its own `tojson`, `raise_exception`, `strftime_now`), because that is the program template authors test with.
// The template comes from a model file and is not trusted: it can read only the data it is given, and its work and nesting are limited.

import Foundation
import SwiftletTensor

/// One message of a conversation.
public struct ChatMessage: Sendable, Equatable {
    /// Who speaks, in the words of the template: usually `system`, `user`, `assistant` or `tool`.
    public var role: String
    /// What is said.
    public var content: String

    public init(role: String, content: String) {
        self.role = role
        self.content = content
    }
}

/// A parsed chat template. Parsing happens once; rendering is pure, and may happen on several threads at once.
public struct ChatTemplate: Sendable {
    /// What bounds one render.
    public struct Limits: Sendable {
        /// Units of work: about one a byte of text produced or searched, 16 a step of the template, 256 a list or mapping made.
        public var work: Int

        /// The default allows some hundred megabytes of text to be handled, far more than any context window holds.
        public init(work: Int = 1 << 28) { self.work = work }
    }

    /// What errors call the template.
    public let name: String
    private let statements: [TemplateStatement]

    /// Parses a template.
    ///
    /// - Parameters:
    ///   - source: the Jinja source, as in `tokenizer.chat_template` of a GGUF file.
    ///   - name: what errors call it: a file or model name.
    /// - Throws: `SwiftletError.syntax` with line and column; `SwiftletError.unsupported` for tags that load other templates.
    public init(source: String, name: String) throws {
        var parser = try TemplateParser(source: source, name: name)
        self.name = name
        statements = try parser.parseTemplate()
    }

    /// Renders the template with the names in `context`.
    ///
    /// - Parameters:
    ///   - context: the names the template sees, in any order.
    ///   - now: the time `strftime_now` tells.
    ///   - timeZone: the time zone it tells it in.
    ///   - limits: what the render may spend.
    /// - Returns: the prompt.
    /// - Throws: `SwiftletError.syntax` with the place in the template, for a template that fails, refuses the conversation
    ///   (`raise_exception`; the reason is its message) or exceeds a limit.
    public func render(
        _ context: TemplateDictionary, now: Date = Date(), timeZone: TimeZone = .current, limits: Limits = Limits()
    ) throws -> String {
        let evaluator = TemplateEvaluator(name: name, workLimit: limits.work, clock: (now, timeZone))
        return try evaluator.render(statements, context: context)
    }

    /// Renders a conversation, with the names every chat template expects.
    ///
    /// - Parameters:
    ///   - messages: the conversation, oldest first.
    ///   - addGenerationPrompt: whether to end with the start of the assistant's answer.
    ///   - tools: tool descriptions in JSON-schema form, or nil for none (the template sees `none`).
    ///   - bosToken: the text of the beginning-of-sequence token; nil leaves the name undefined.
    ///   - eosToken: the text of the end-of-sequence token; nil leaves the name undefined.
    ///   - extra: further names, such as `enable_thinking` or `documents`; they win over the ones above.
    ///   - now: the time `strftime_now` tells.
    ///   - timeZone: the time zone it tells it in.
    ///   - limits: what the render may spend.
    /// - Throws: as `render(_:now:timeZone:limits:)`.
    public func render(
        messages: [ChatMessage], addGenerationPrompt: Bool, tools: [TemplateValue]? = nil, bosToken: String? = nil, eosToken: String? = nil,
        extra: TemplateDictionary = TemplateDictionary(), now: Date = Date(), timeZone: TimeZone = .current, limits: Limits = Limits()
    ) throws -> String {
        var context = TemplateDictionary([
            ("messages", .list(messages.map { ["role": .string($0.role), "content": .string($0.content)] })),
            ("tools", tools.map { .list($0) } ?? .none),
            ("documents", .none),
            ("add_generation_prompt", .bool(addGenerationPrompt)),
        ])
        if let bosToken { context["bos_token"] = .string(bosToken) }
        if let eosToken { context["eos_token"] = .string(eosToken) }
        for (key, value) in extra.entries { context[key] = value }
        return try render(context, now: now, timeZone: timeZone, limits: limits)
    }
}
