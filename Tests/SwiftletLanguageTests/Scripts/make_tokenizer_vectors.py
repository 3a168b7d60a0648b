#!/usr/bin/env python3
"""Makes Tests/SwiftletLanguageTests/Tokenizers/Vectors/*.json: what llama.cpp and Hugging Face's tokenizers make of tricky texts.

Needs `pip install llama-cpp-python tokenizers gguf`. Run:
    make_tokenizer_vectors.py OUTPUT_FOLDER FOLDER_OF_VOCABULARIES MODEL.gguf ...
FOLDER_OF_VOCABULARIES holds ggml-vocab-*.gguf; the models are SmolLM2, Gemma 3 270M and stories260k.

vocabularies.json: ids by llama.cpp for each vocabulary: texts as they are, and texts that spell special tokens, all four ways. For BERT, where
llama.cpp decomposes only to the first scalar and takes spacing marks for accents, Hugging Face's answer is kept; on ASCII they must agree.
pretokenizers.json: for each pre-tokenizer and text two digests. "pieces": the lengths in bytes of the pieces, as Hugging Face's regular
expressions cut the text by the published patterns below. "ids": the tokens by llama.cpp on the GPT-2 vocabulary, with the name of the
pre-tokenizer as an override; Hugging Face must agree on all ASCII texts (beyond them llama.cpp approximates the classes of cased letters, so
Hugging Face's answer is kept).
"""
import ctypes, json, os, random, sys
from gguf import GGUFReader
import llama_cpp
from llama_cpp import Llama
from tokenizers import Regex, Tokenizer, models, pre_tokenizers
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import ByteLevel, Digits, Punctuation, Sequence, Split

TEXTS = [
    "", " ", "  ", "   ", "\n", "\n\n", "\r\n", "\t", " \n", "\n ", "\t\n \t", "a", " a", "a ", "  a", "a  b", "a\nb", "a \n b", "a\n\n\nb  \n",
    "Hello, world!", "I'm you're we've he'll she'd it's 'tis don't", "I'M YOU'RE WE'VE HE'LL SHE'D IT'S DON'T", "'s 't 're'x 'S'T '", "''s''ll",
    "1 12 123 1234 12345 1234567890", "3.14159 -2.5e10 0x1F 1,000,000", "½ ² ³ Ⅷ ٣٤٥ १२३४ 𝟘𝟙𝟚",
    "def f(x):\n    return x**2  # square\n\n\nclass A:\n\tpass\n", "for (int i = 0; i < 10; ++i) { a[i] += b->c; } // done\n",
    "{\"key\": [1, 2.5, null, true], \"s\": \"a\\n\\u00e9\"}", "https://example.com/a/b?c=d&e=f#g user.name+tag@mail.co",
    "!!!??? ... --- *** ### $$$ %%% ^^^ ~~~ ``` |||", "a/b//c\n/d /\n//\n", "snake_case camelCase PascalCase SCREAMING_CASE kebab-case",
    "HELLOworld helloWORLD HeLLo iPhone McDonald's", "ÀÉÎõü ÀBCdef écoleÉCOLE Straße İstanbul ǅungla",
    "Привет, МИР! Это тест. ПРИВЕТпривет", "Γειά σου Κόσμε ΑΒΓαβγ", "שלום עולם! מה שלומך?", "مرحبا بالعالم، كيف حالك؟ ١٢٣", "नमस्ते दुनिया। कैसे हैं आप?",
    "สวัสดีชาวโลก", "你好，世界！今天天气不错。", "こんにちは世界、カタカナとひらがな。ｶﾀｶﾅ", "我想在apple工作1314151天～", "日本語123テスト４５６",
    "🦙🚀 😀😃 👩‍👩‍👧‍👦 🇩🇪🇫🇷 ✅ ☃️ 👍🏽", "é é à ñ ̈ ́x a\u0301b\u0308c", "ﬁ ﬂ Å Å ℃ №", "\u00a0a\u00a0\u00a0b\u2003c\u3000d\u2028e\u2029f\u0085g",
    "a\u000bb\u000cc\u2028d", "a\u200bb\u200d\u2060c\ufeffd", "\u0000\u0001\u0007\u001b[0m\u007f", "\ufffd \ufffd\ufffd", "\U0010ffff \ue000 \U000e0041",
    "a" * 40, "ab" * 30, " " * 17 + "x" + " " * 33, "\n" * 9 + " " * 5 + "\n", "-" * 50 + "=" * 21, "0" * 20, "aaaaaaaaaaaaab" * 3,
    "The quick brown fox jumps over the lazy dog. " * 2, "supercalifragilisticexpialidocious antidisestablishmentarianism",
    "x\u2581y \u2581 \u2581\u2581z", "tab\tseparated\tvalues\t\t\tend", "mixed中文English混合テキスト한국어text", "e.g. i.e. U.S.A. Dr. No. 5",
    "\"quoted\" 'single' “curly” ‘one’ «guillemets»", "a\u0300\u0301\u0302 \u0300\u0301 \u0300", "ʰAB ʰab ªº ǈ ˈtest", "e\u0301E\u0301 \u0301E\u0301e",
]
POOL = ["a", "B", "é", "É", "ж", "Ж", "中", "あ", "한", "ع", "न", "ि", "1", "23", "٣", "½", " ", "  ", "\n", "\r\n", "\t", "\u00a0", "'s", "'LL", "'", ".",
        ",", "!", "$", "+", "`", "_", "/", "(", "。", "，", "“", "€", "😀", "\u0301", "\u200d", "\u0000", "\ufffd", "the", " of", "ing", "THE", "ʰ", "ǅ", "\ue000"]
SPECIAL = [
    "<s>Hello</s>", "a</s>b", "<unk> <s> </s>", "<|endoftext|>x<|endoftext|>", "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n",
    "<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|>", "<|user|>\n Hi <|end|>\n<|assistant|>  x", "[CLS] a [MASK] b [SEP]",
    "<|end|", "<<|im_end|>>", "<|im_end|><|im_end|>", " <s> ", "<0x0A> <0x41>", "<start_of_turn>user\nHi<end_of_turn>\n", "<bos>a<unused5>\n\n\nb   c<h1></h1>", "<file_sep>x<reponame>y",
]
CL100K = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
QWEN2 = CL100K.replace("{1,3}", "")
QWEN35 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
UPPER, LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
CASED = (r"[^\r\n\p{L}\p{N}]?U*L+C|[^\r\n\p{L}\p{N}]?U+L*C|\p{N}D| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+")
O200K = CASED.replace("U", UPPER).replace("L+", LOWER + "+").replace("L*", LOWER + "*").replace("C", r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?").replace("D", "{1,3}")
TEKKEN = O200K.replace(r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?", "").replace("{1,3}", "")


def split(pattern):
    return Split(Regex(pattern), "isolated")


GPT2 = ByteLevel(add_prefix_space=False, use_regex=True)
RAW = ByteLevel(add_prefix_space=False, use_regex=False)
DEEPSEEK3 = [split(r"\p{N}{1,3}"), split("[一-龥\u3040-ゟ゠-ヿ]+"), split(
    r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"), RAW]
CODER = [split(r"[\r\n]"), split(r"\s?\p{L}+"), split(r"\s?\p{P}+"), split("[一-龥ࠀ-一가-\ud7ff]+"), Digits(individual_digits=True), RAW]
BLOOM = split(" ?[^(\\s|.,!?…。，、।۔،)]+")
GPT2_PATTERN = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
PUNCTUATION = r"[\p{P}\$\+<=>\^~\|B]+"
TRIPLES = split("[0-9][0-9][0-9]")
LETTERS = (
    "A-Za-zµÀ-ÖØ-öø-ƺƼ-ƿǄ-ʓʕ-ʯͰ-ͳͶͷͻ-ͽͿΆΈ-ΊΌΎ-ΡΣ-ϵϷ-ҁҊ-ԯԱ-ՖႠ-ჅᎠ-Ᏽᏸ-ᏽᲐ-ᲺᲽ-Ჿᴀ-ᴫᵫ-ᵷᵹ-ᶚḀ-ἕἘ-Ἕἠ-ὅὈ-Ὅὐ-ὗὙὛὝὟ-\u1f7dᾀ-ᾴᾶ-ᾼ\u1fbeῂ-ῄῆ-ῌῐ-\u1fd3ῖ-\u1fdbῠ-Ῥῲ-ῴῶ-ῼ"
    "ℂℇℊ-ℓℕℙ-ℝℤ\u2126ℨ\u212a-ℭℯ-ℴℹℼ-ℿⅅ-ⅉⅎↃↄⰀ-ⱻⱾ-ⳤⳫ-ⳮⳲⳳꙀ-ꙭꚀ-ꚛꜢ-ꝯꝱ-ꞇꞋ-ꞎꭰ-ꮿﬀ-ﬆﬓ-ﬗＡ-Ｚａ-ｚ𐐀-𐑏𐒰-𐓓𐓘-𐓻𐲀-𐲲𐳀-𐳲𑢠-𑣟𞤀-𞥃")
DEEPSEEK = [split(r"[\r\n]"), split(rf"\s?[{LETTERS}]+"), split(r"\s?[!-/:-~！-／：-～‘-‟\u3000-。]+"), split(r"\s+$"),
            split("[一-龥ࠀ-一가-\ud7ff]+"), split(r"\p{N}+"), RAW]
DIGIT_GPT2 = [Digits(individual_digits=True), GPT2]
PRE = {
    "default": [split(PUNCTUATION.replace("B", "")), split(GPT2_PATTERN), split(r"\p{N}+"), TRIPLES, RAW], "gpt-2": [GPT2], "smollm": DIGIT_GPT2,
    "starcoder": DIGIT_GPT2, "refact": DIGIT_GPT2, "command-r": DIGIT_GPT2, "mpt": [GPT2], "olmo": [GPT2],
    "llama-bpe": [split(CL100K), RAW], "dbrx": [split(CL100K), RAW], "qwen2": [split(QWEN2), RAW], "stablelm2": [split(QWEN2), RAW],
    "qwen35": [split(QWEN35), RAW], "gpt-4o": [split(O200K), RAW], "tekken": [split(TEKKEN), RAW], "deepseek-v3": DEEPSEEK3,
    "deepseek-coder": CODER, "deepseek-llm": DEEPSEEK, "falcon": [split(PUNCTUATION.replace("B", "`")), GPT2, TRIPLES], "bloom": [BLOOM, RAW],
    "viking": [BLOOM, Digits(individual_digits=True), RAW], "seed-coder": [split(QWEN2.replace(r"[^\s\p{L}\p{N}]+[\r\n]*", r"[^\s\p{L}\p{N}\r\n]+")), RAW],
}


def digest(ids):
    """FNV-1a over the ids as little-endian 32-bit words."""
    value = 0xCBF29CE484222325
    for identifier in ids:
        for byte in int(identifier).to_bytes(4, "little"):
            value = (value ^ byte) * 0x100000001B3 & (1 << 64) - 1
    return f"{value:016x}"


def random_texts(count):
    generator = random.Random(20250710)
    return ["".join(generator.choice(POOL) for _ in range(generator.randint(2, 24))) for _ in range(count)]


def load(path, **options):
    return Llama(path, vocab_only=True, verbose=False, **options)


def ids(model, text, add_special=False, parse_special=False):
    return model.tokenize(text.encode(), add_bos=add_special, special=parse_special)


def piece(model, index):
    """The bytes of a token; what the engine does not print (unused, undefined) is not compared."""
    buffer = ctypes.create_string_buffer(1024)
    count = llama_cpp.llama_token_to_piece(model._model.vocab, index, buffer, 1024, 0, True)
    return buffer.raw[:count]


def vocabularies(folder, model_paths, texts):
    result = {"texts": texts, "special": SPECIAL, "files": {}}
    paths = sorted(os.path.join(folder, name) for name in os.listdir(folder) if name.endswith(".gguf")) + model_paths
    for path in paths:
        model = load(path)
        plain = [ids(model, text) for text in texts]
        if "bert" in path:
            published = bert_model(path)
            for index, text in enumerate(texts):
                answer = published.encode(text, add_special_tokens=False).ids
                if answer != plain[index]:
                    print(f"bert: llama.cpp differs on {text!r}: {plain[index]} {answer}")
                    assert not text.isascii() or "\v" in text
                    plain[index] = answer
        result["files"][os.path.basename(path)] = {
            "plain": plain,
            "ends": [index for index in range(model.n_vocab()) if llama_cpp.llama_vocab_is_eog(model._model.vocab, index)],
            "bytes": digest(byte for index in range(0, model.n_vocab(), 5) for byte in piece(model, index) + b"\0"),
            "special": [[ids(model, text, add, parse) for add in (False, True) for parse in (False, True)] for text in SPECIAL],
        }
    return result


def strings(path):
    fields = GGUFReader(path).fields
    return lambda key: [bytes(fields[key].parts[index]).decode() for index in fields[key].data]


def bert_model(path):
    vocabulary = {}
    for index, token in enumerate(strings(path)("tokenizer.ggml.tokens")):
        special = token.startswith("[") and token.endswith("]") and len(token) > 2
        vocabulary[token if special else token[1:] if token.startswith("\u2581") else "##" + token] = index
    tokenizer = Tokenizer(models.WordPiece(vocab=vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = BertNormalizer(clean_text=True, handle_chinese_chars=True, strip_accents=True, lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return tokenizer


def gpt2_model(path):
    text = strings(path)
    merges = [tuple(line.split(" ", 1)) for line in text("tokenizer.ggml.merges")]
    vocabulary = {token: index for index, token in enumerate(text("tokenizer.ggml.tokens"))}
    return vocabulary, merges


def pretokenizers(path, texts):
    vocabulary, merges = gpt2_model(path)
    result = {"texts": texts, "vocabulary": os.path.basename(path), "digests": {}}
    for name, steps in PRE.items():
        model = load(path, kv_overrides={"tokenizer.ggml.pre": name})
        # Vocabularies read with "llama-bpe" or "tekken" take a piece that is a token whole.
        reference = Tokenizer(models.BPE(vocab=vocabulary, merges=merges, ignore_merges=name in ("llama-bpe", "tekken")))
        reference.pre_tokenizer = Sequence(steps)
        pieces, tokens = [], []
        for text in texts:
            # After the byte-level step a piece has one character for each byte.
            pieces.append(digest(len(piece) for piece, _ in reference.pre_tokenizer.pre_tokenize_str(text)))
            found = ids(model, text)
            published = reference.encode(text).ids
            if published != found:
                print(f"{name}: llama.cpp differs on {text!r}")
                assert not text.isascii()
                found = published
            tokens.append(digest(found))
        result["digests"][name] = {"pieces": pieces, "ids": tokens}
    return result


def main():
    output, folder, *model_paths = sys.argv[1:]
    os.makedirs(output, exist_ok=True)
    def write(name, value):
        with open(os.path.join(output, name), "w") as file:
            json.dump(value, file, ensure_ascii=True, separators=(",", ":"))
            file.write("\n")
    write("vocabularies.json", vocabularies(folder, model_paths, TEXTS + random_texts(20)))
    write("pretokenizers.json", pretokenizers(os.path.join(folder, "ggml-vocab-gpt-2.gguf"), TEXTS + random_texts(90)))


main()
