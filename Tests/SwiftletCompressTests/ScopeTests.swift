import SwiftletCompress
import Testing

@Suite struct ScopeTests {
    @Test(arguments: [
        ("*", "anything", true), ("*", "", true), ("", "", true), ("", "a", false), ("blk.*.ffn_*.weight", "blk.12.ffn_down.weight", true),
        ("blk.*.ffn_*.weight", "blk.12.attn_q.weight", false), ("blk.?.attn_q.weight", "blk.3.attn_q.weight", true),
        ("blk.?.attn_q.weight", "blk.13.attn_q.weight", false), ("*a*b", "aXbXb", true), ("*a*b", "aXbXc", false), ("a**b", "ab", true), ("?", "", false),
    ])
    func patternsMatchWholeNames(pattern: String, name: String, matches: Bool) {
        #expect(Scope(include: [pattern]).contains(name) == matches)
    }

    @Test func excludedNamesAreNotTaken() {
        let scope = Scope(include: ["blk.*", "output.*"], exclude: ["*.attn_v.*"])
        #expect(scope.contains("blk.0.attn_q.weight"))
        #expect(scope.contains("output.weight"))
        #expect(!scope.contains("blk.0.attn_v.weight"))
        #expect(!scope.contains("token_embd.weight"))
    }
}
