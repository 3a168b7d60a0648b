// What the API promises beyond rendering right: places in errors, refusals, limits, and that no template, however hostile, does more than throw.

import Foundation
import SwiftletLanguage
import SwiftletTensor
import Synchronization
import TestSupport
import Testing

private func render(_ source: String, _ context: TemplateDictionary = [:], work: Int = 1 << 28) throws -> String {
    try ChatTemplate(source: source, name: "test").render(context, timeZone: .gmt, limits: .init(work: work))
}

/// The error of a render, as (line, column, reason).
private func failure(_ source: String, _ context: TemplateDictionary = [:]) -> (line: Int, column: Int, reason: String)? {
    do {
        _ = try render(source, context)
        return nil
    } catch SwiftletError.syntax(_, let line, let column, let reason, _) {
        return (line, column, reason)
    } catch {
        return nil
    }
}

/// An expression nested 10,000 times.
private func nest(_ opening: String, _ middle: String, _ closing: String) -> String {
    "{{ " + String(repeating: opening, count: 10_000) + middle + String(repeating: closing, count: 10_000) + " }}"
}

@Suite("Chat template API")
struct ChatTemplateTests {
    private static let chatML = """
        {%- for message in messages -%}
        {{ '<|im_start|>' ~ message.role ~ '\\n' ~ message.content ~ eos_token ~ '\\n' }}
        {%- endfor -%}
        {%- if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif -%}
        """

    @Test("renders a conversation")
    func rendersConversation() throws {
        let template = try ChatTemplate(source: Self.chatML, name: "chatml")
        let messages = [ChatMessage(role: "user", content: "Hi"), ChatMessage(role: "assistant", content: "Yo")]
        let text = try template.render(messages: messages, addGenerationPrompt: true, eosToken: "<|im_end|>")
        #expect(text == "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\nYo<|im_end|>\n<|im_start|>assistant\n")
    }

    @Test("hands over tools, tokens and extra names")
    func handsOverNames() throws {
        let template = try ChatTemplate(source: "{{ tools | tojson }} {{ bos_token }} {{ eos_token is defined }} {{ documents }} {{ thinking }}", name: "names")
        let text = try template.render(
            messages: [], addGenerationPrompt: false, tools: [["name": "f", "n": 1]], bosToken: "<s>", extra: ["thinking": true])
        #expect(text == "[{\"name\": \"f\", \"n\": 1}] <s> False None True")
        #expect(try template.render(messages: [], addGenerationPrompt: false).hasPrefix("null"))
    }

    @Test("tells the clock it is given, in the zone it is given")
    func tellsTime() throws {
        let template = try ChatTemplate(source: "{{ strftime_now('%d %b %Y %H:%M') }}", name: "clock")
        let zone = try #require(TimeZone(secondsFromGMT: 13 * 3600))
        #expect(try template.render([:], now: Date(timeIntervalSince1970: 1_752_148_800), timeZone: zone) == "11 Jul 2025 01:00")
        #expect(try template.render([:], now: Date(timeIntervalSince1970: -1), timeZone: .gmt) == "31 Dec 1969 23:59")
        #expect(try template.render([:], now: Date(timeIntervalSince1970: 951_782_400), timeZone: .gmt) == "29 Feb 2000 00:00")
    }

    @Test("a render leaves the caller's data alone and can be repeated")
    func rendersAreIndependent() throws {
        let template = try ChatTemplate(source: "{% set _ = xs.append(3) %}{% set _ = d.update(a=2) %}{{ xs }}{{ d }}", name: "pure")
        let context: TemplateDictionary = ["xs": [1, 2], "d": ["a": 1]]
        for _ in 0..<3 { #expect(try template.render(context) == "[1, 2, 3]{'a': 2}") }
    }

    @Test("one template renders on many threads at once")
    func rendersConcurrently() async throws {
        let template = try ChatTemplate(source: "{% for i in range(50) %}{{ i * n }},{% endfor %}", name: "shared")
        try await withThrowingTaskGroup(of: Bool.self) { group in
            for n in 0..<8 {
                group.addTask { try template.render(["n": .int(n)]) == (0..<50).map { "\($0 * n)," }.joined() }
            }
            for try await isRight in group { #expect(isRight) }
        }
    }

    // MARK: Errors

    @Test("a refusal carries the template's own words and place")
    func refusals() {
        let error = failure("line one\n  {{ raise_exception('Roles must ' ~ 'alternate') }}")
        #expect(error?.line == 2)
        #expect(error?.reason == "Roles must alternate")
    }

    @Test(
        "errors say where",
        arguments: [
            ("a\nb {% if %}", 2, 9), ("{{ 1 +\n  * }}", 2, 3), ("{% for x in y %}", 1, 4), ("é {{ missing.x }}", 1, 13), ("\n\n{{ 'a\n' ~ 1 / 0 }}", 4, 7),
            ("{# open", 1, 1), ("x {% raw %}", 1, 3), ("ab {{ 'open }}", 1, 7), ("{{ name | nope }}", 1, 11), ("{{ f(\n1) }}", 1, 5), ("{% set x = [1,\n 2 %}", 2, 5),
            ("{% unknown %}", 1, 4), ("{{ {'a': none < 1} }}", 1, 17),
        ])
    func errorsSayWhere(source: String, line: Int, column: Int) {
        let error = failure(source)
        #expect(error?.line == line, "\(String(describing: error))")
        #expect(error?.column == column, "\(String(describing: error))")
    }

    @Test("tags that load other templates are refused by name")
    func refusesLoading() {
        for source in ["{% include 'x' %}", "{% extends 'x' %}", "{% import 'x' as y %}", "{% from 'x' import y %}", "{% block b %}{% endblock %}"] {
            #expect { try render(source) } throws: { error in
                if case SwiftletError.unsupported = error { true } else { false }
            }
        }
    }

    @Test(
        "arithmetic beyond 64 bits is an error, not a trap",
        arguments: [
            "9223372036854775807 + 1", "-9223372036854775807 - 2", "9223372036854775807 * 2", "2 ** 64", "99999999999999999999", "(-9223372036854775807 - 1) // -1",
            "-(-9223372036854775807 - 1)", "(-9223372036854775807 - 1) | abs", "1e300 | int", "'99999999999999999999' | int", "0xFFFFFFFFFFFFFFFFF", "10.0 ** 400",
        ])
    func overflows(expression: String) {
        #expect(throws: SwiftletError.self) { try render("{{ \(expression) }}") }
    }

    @Test("extreme numbers as arguments neither trap nor hang")
    func extremeArguments() {
        let numbers = ["9223372036854775807", "(-9223372036854775807 - 1)", "0", "-1", "1000000000"]
        let uses = [
            "'ab'[N:]", "'ab'[:N]", "'ab'[::N]", "'ab'[N]", "[1, 2][N:N:N]", "[1][N]", "range(N)", "range(0, 5, N)", "range(N, 5)", "range(0, N, N)", "'a' * N", "[1] * N",
            "'a'.center(N)", "'a'.ljust(N)", "'a'.zfill(N)", "'a\t'.expandtabs(N)", "'%*d' % (N, 1)", "'%.*f' % (N, 1.5)", "'a,b'.split(',', N)", "'a b'.rsplit(none, N)",
            "'aa'.replace('a', 'b', N)", "'aa'.find('a', N)", "'aa'.find('a', 0, N)", "'x' | indent(N)", "'x' | center(N)", "'abc def' | truncate(N)",
            "'abc def' | truncate(N, false, '', N)", "1.5 | round(N)", "1.5 | round(N, 'ceil')", "15 | round(N)", "[1, 2] | batch(N) | list", "[1] | batch(N, 0) | list",
            "[1, 2] | slice(N) | list", "[1] | tojson(indent=N)", "'1' | int(0, N)", "[1, 2].pop(N)", "[1, 2].insert(N, 0)", "N | abs", "N % N", "N // N", "N ** N", "N * N",
            "-N", "N is divisibleby N", "N is even", "N | float", "N / N", "2 ** N", "1 ** N", "N | string", "{N: N}[N]", "'{}'.format(N)", "'%c' % N", "'%x' % N",
            "[1, 2] | map(attribute=N) | list", "[[1]] | sum(start=N)",
        ]
        for use in uses {
            for number in numbers {
                do { _ = try render("{{ \(use.replacing("N", with: number)) }}", work: 1 << 24) } catch { #expect(error is SwiftletError, "\(use)") }
            }
        }
    }

    // MARK: Hostile templates

    @Test(
        "runaway templates end in an error",
        arguments: [
            "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
            "{% macro m() %}{% for i in range(9) %}{{ m() }}{% endfor %}{% endmacro %}{{ m() }}",
            "{% for a in range(99999) %}{% for b in range(99999) %}{% for c in range(99999) %}{% endfor %}{% endfor %}{% endfor %}",
            "{% set ns = namespace(s='x') %}{% for i in range(99) %}{% set ns.s = ns.s + ns.s %}{% endfor %}{{ ns.s }}",
            "{% set ns = namespace(l=[1]) %}{% for i in range(99) %}{% set ns.l = ns.l + ns.l %}{% endfor %}{{ ns.l | length }}",
            "{% set l = [1] %}{% for i in range(99) %}{% set _ = l.extend(l) %}{% endfor %}",
            "{{ 'a' * 1000000000000 }}", "{{ [0] * 1000000000000 }}", "{{ '%999999d' % 1 * 100000 }}", "{{ 'x' | center(100000000000) }}",
            "{{ ('a' * 6000000) | replace('a', 'bbbbbbbbbbbbbbbb') }}", "{{ ('a' * 90000 ~ 'c') in 'a' * 900000 }}",
            "{% set l = [] %}{% set _ = l.append(l) %}{{ l }}", "{% set l = [] %}{% set _ = l.append(l) %}{{ l | tojson }}",
            "{% set l = [] %}{% set m = [] %}{% set _ = l.append(l) %}{% set _ = m.append(m) %}{{ l == m }}", "{% set d = {} %}{% set _ = d.update(a=d) %}{{ d }}",
            "{% for x in [1] recursive %}{{ loop([1]) }}{% endfor %}",
            "{% set ns = namespace(v=[]) %}{% for i in range(90000) %}{% set ns.v = [ns.v] %}{% endfor %}{{ ns.v }}",
            nest("(", "1", ")"), nest("[", "1", "]"), nest("not ", "1", ""), nest("-", "1", ""), nest("1 if ", "1", ""), nest("1 if 1 else ", "1", ""),
            nest("x[", "1", "]"), nest("f(", "1", ")"), nest("f(a=", "1", ")"), nest("{1: ", "1", "}"), nest("1 is eq (", "1", ")"), nest("1 ** (", "1", ")"),
            nest("x | default(", "1", ")"), nest("1 or 1 and not 1 < 1 + 1 ~ 1 * 1 ** (", "1", ")"), nest("x[1:", "1", "]"),
            String(repeating: "{% if 1 %}", count: 10_000), String(repeating: "{% for x in y %}", count: 10_000),
            String(repeating: "{% macro m() %}", count: 10_000), String(repeating: "{% call m() %}", count: 10_000),
            "{% set " + String(repeating: "(", count: 10_000) + "x" + String(repeating: ")", count: 10_000) + " = 1 %}",
            "{% macro m(x=m()) %}{% endmacro %}{{ m() }}", "{% macro m() %}{% set x %}{{ m() }}{% endset %}{% endmacro %}{{ m() }}",
            "{% macro m(x) %}{{ [1] | map('default', m(1)) | list }}{% endmacro %}{{ m(1) }}",
            "{% macro m(x) %}{% if 1 %}{% with a = [(m(1) ~ 1) + {'a': m(1)}.a] %}{% endwith %}{% endif %}{% endmacro %}{{ m(1) }}",
            "{% macro m() %}{% if caller %}{% endif %}{% call m() %}{% endcall %}{% endmacro %}{% call m() %}x{% endcall %}",
        ])
    func runawaysEnd(source: String) throws {
        // On a thread with the smallest stack the engine may meet: the nesting limits must hold there, not only on a roomy main thread.
        let outcome = Mutex<Result<String, any Error>?>(nil)
        let done = DispatchSemaphore(value: 0)
        let thread = Thread {
            let result = Result { try render(source, work: 1 << 24) }
            outcome.withLock { $0 = result }
            done.signal()
        }
        thread.stackSize = Self.smallStack
        thread.start()
        done.wait()
        let result = try #require(outcome.withLock { $0 })
        #expect(throws: SwiftletError.self) { try result.get() }
    }

    /// 512 KiB, what Apple's systems give a secondary thread. Frames without optimisation or with a sanitizer are several times larger and
    /// are given room accordingly.
    private static let smallStack: Int = {
        #if DEBUG
            return 16 << 20
        #else
            let isSanitized = dlsym(nil, "__asan_init") != nil || dlsym(nil, "__tsan_init") != nil
            return isSanitized ? 16 << 20 : 512 << 10
        #endif
    }()

    @Test("long but flat templates are fine")
    func longChains() throws {
        #expect(try render("{{ 1" + String(repeating: " + 1", count: 10_000) + " }}") == "10001")
        #expect(try render("{{ 'a'" + String(repeating: " ~ 'a'", count: 1000) + " }}").count == 1001)
        #expect(try render("{{ ' a '" + String(repeating: " | trim", count: 10_000) + " }}") == "a")
        #expect(try render("{% if 0 %}" + String(repeating: "{% elif 0 %}", count: 10_000) + "{% else %}x{% endif %}") == "x")
        #expect(try render("{{ 0" + String(repeating: " or 0", count: 10_000) + " }}") == "0")
    }

    @Test("deep chains of objects are freed without recursion")
    func deepObjects() throws {
        let chains = [
            "{% set ns = namespace(v=[]) %}{% for i in range(90000) %}{% set ns.v = [ns.v] %}{% endfor %}ok",
            "{% set ns = namespace(v={}) %}{% for i in range(90000) %}{% set ns.v = {'v': ns.v} %}{% endfor %}ok",
            "{% set ns = namespace(v=none) %}{% for i in range(90000) %}{% set ns.v = namespace(v=ns.v) %}{% endfor %}ok",
            "{% set ns = namespace(v=joiner) %}{% for i in range(9000) %}{% set ns.v = joiner([ns.v]) %}{% endfor %}ok",
            "{% set ns = namespace(v=none) %}{% for i in range(9000) %}{% macro m(a=ns.v) %}{{ ns }}{% endmacro %}{% set ns.v = m %}{% endfor %}ok",
            "{% set ns = namespace(v=none) %}{% for i in range(90000) %}{% set ns.v = joiner(ns.v) %}{% endfor %}ok",
        ]
        for chain in chains { #expect(try render(chain, work: 1 << 30) == "ok") }
    }

    @Test("mutated templates only ever throw SwiftletError")
    func mutations() throws {
        let seeds = [
            Self.chatML,
            "{%- macro t(p, d='x') -%}{% for k, v in p.items() if v is not none %}{{ k }}={{ v | tojson(indent=2) }}{% if not loop.last %}, {% endif %}{% else %}-{% endfor %}{%- endmacro -%}{{ t({'a': [1, 2.5], 'b': none}) }}",
            "{% set ns = namespace(n=0, l=[]) %}{% for i in range(5) %}{% set ns.n = ns.n + i %}{% set _ = ns.l.append('%03d|%-4s' % (i, 'é')) %}{% endfor %}{{ ns.l | join('; ') }}{{ ns.n // 2 ** 2 }}",
            "{% raw %}{{ x }}{% endraw %}{# c -#} {{ 'a\\n\\u00e9\"' ~ messages[-1]['content'][1:-1:2].split('<t>')[0].strip() | upper | default('q', true) }}",
            "{% call(x) f(1) %}{{ x }}{% endcall %}{% filter indent(4, first=true) %}a\nb{% endfilter %}{% set a, (b, c) = 1, [2, 3] %}{{ a if b > c else {'k': c}['k'] }}{% generation %}g{% endgeneration %}",
            "{{ messages | selectattr('role', 'in', ['user']) | map(attribute='content') | sort(reverse=true) | unique | list }}{{ '{} {x!r}'.format(1, x='y') }}{{ strftime_now('%d %b %Y') }}{{ 1.5e3 | round(1) }}",
        ]
        let pieces = ["{%", "%}", "{{", "}}", "{#", "#}", "-", "+", "(", ")", "[", "]", "{", "}", "|", ".", ",", ":", "'", "\"", "\\", "=", "%", "*", "**", " in ", " is ", " not ", " if ", " else ", "\n", "9223372036854775807", "1e308", "é", "\u{0}", "loop", "ns", "messages", "range", "{% endfor %}", "{% endif %}", "recursive"]
        let context: TemplateDictionary = ["messages": [["role": "user", "content": "Hi <t> there"]], "add_generation_prompt": true, "eos_token": "</s>"]
        var random = SeededGenerator(seed: 20_250_710)
        var rendered = 0
        for round in 0..<3000 {
            var source = Array(seeds[round % seeds.count].unicodeScalars)
            for _ in 0..<Int.random(in: 1...4, using: &random) {
                let place = Int.random(in: 0...source.count, using: &random)
                let end = min(source.count, place + Int.random(in: 0...6, using: &random))
                switch Int.random(in: 0..<4, using: &random) {
                case 0: source.removeSubrange(place..<end)
                case 1: source.insert(contentsOf: pieces.randomElement(using: &random)?.unicodeScalars ?? "".unicodeScalars, at: place)
                case 2: source.insert(contentsOf: source[place..<end], at: Int.random(in: 0...source.count, using: &random))
                default: source.replaceSubrange(place..<end, with: pieces.randomElement(using: &random)?.unicodeScalars ?? "".unicodeScalars)
                }
            }
            var text = String.UnicodeScalarView()
            text.append(contentsOf: source)
            do {
                _ = try render(String(text), context, work: 1 << 20)
                rendered += 1
            } catch {
                #expect(error is SwiftletError, "\(String(text)): \(error)")
            }
        }
        // Some mutations must survive, or the mutator only ever tests the lexer.
        #expect(rendered > 100)
    }

    // MARK: JSON

    @Test("JSON keeps order, integers and escapes")
    func readsJSON() throws {
        let json = #"{"z": 1, "a": 1.0, "m": [true, false, null, -0, 1e2, "\u00e9\ud83d\ude00\n\/"], "z": 2}"#
        guard case .dictionary(let object) = try TemplateValue(json: Data(json.utf8)) else {
            Issue.record("not a dictionary")
            return
        }
        #expect(try render("{{ o }}", ["o": .dictionary(object)]) == "{'z': 2, 'a': 1.0, 'm': [True, False, None, 0, 100.0, 'é😀\\n/']}")
    }

    @Test(
        "malformed JSON is an error with a place",
        arguments: [
            ("", 1, 1), ("{", 1, 2), ("[1,]", 1, 4), ("{\"a\" 1}", 1, 6), ("[1 2]", 1, 4), ("nul", 1, 1), ("01", 1, 2), ("1.", 1, 3), ("-", 1, 2), ("\"\\x\"", 1, 4),
            ("\"\\ud800\"", 1, 8), ("\"a\nb\"", 1, 3), ("\n 99999999999999999999", 2, 22), ("[1]\n]", 2, 1), ("1e999", 1, 6), ("\"abc", 1, 5), ("NaN", 1, 1), ("'a'", 1, 1),
        ])
    func refusesJSON(text: String, line: Int, column: Int) {
        #expect {
            try TemplateValue(json: Data(text.utf8))
        } throws: { error in
            guard case SwiftletError.syntax(_, line, column, _, _) = error else {
                Issue.record("\(error)")
                return false
            }
            return true
        }
    }

    @Test("JSON nests only so deep, and bytes that are not UTF-8 are refused")
    func limitsJSON() throws {
        for opening in ["[", "{\"a\":"] {
            #expect(throws: SwiftletError.self) { try TemplateValue(json: Data(String(repeating: opening, count: 1_000_000).utf8)) }
        }
        let deepest = String(repeating: "[", count: 128) + String(repeating: "]", count: 128)
        #expect(try render("{{ x | tojson }}", ["x": TemplateValue(json: Data(deepest.utf8))]) == deepest)
        #expect(throws: SwiftletError.self) { try TemplateValue(json: Data([0x22, 0xFF, 0x22])) }
    }

    @Test("a dictionary keeps its order through changes")
    func dictionaryOrder() {
        var dictionary: TemplateDictionary = ["a": 1, "b": 2, "c": 3, "e\u{301}": 4, "é": 5]
        #expect(dictionary.entries.count == 5)
        dictionary["a"] = nil
        dictionary["b"] = 7
        dictionary["a"] = 8
        #expect(dictionary.entries.map(\.key).joined() == "bce\u{301}éa")
        guard case .int(3) = dictionary["c"], case .int(8) = dictionary["a"], dictionary["x"] == nil else {
            Issue.record("wrong values: \(dictionary.entries)")
            return
        }
    }
}
