"""Makes the vectors of the text encoder tests: ids by the `tokenizers` package, embeddings by a BERT forward in NumPy, double precision.

    python make_encoder_vectors.py MODEL            writes ../Encoders/Vectors
    python make_encoder_vectors.py MODEL OUTPUT     compares OUTPUT (swiftlet embed --json --file sentences.txt) with the NumPy forward

MODEL is the folder of all-MiniLM-L6-v2: config.json, tokenizer.json, model.safetensors. Needs: pip install numpy tokenizers.
The forward follows Devlin et al. 2018 and the model card: mean over the tokens of the last layer, then length 1.
"""
import base64
import json
import math
import pathlib
import struct
import sys

import numpy
import tokenizers

VECTORS = pathlib.Path(__file__).resolve().parent.parent / "Encoders" / "Vectors"
TYPES = {"F32": numpy.float32, "F16": numpy.float16}

TEXTS = [
    "", " ", "\t\n\r", "hello", "Hello, World!", "HELLO WORLD", "don't can't won't", "unaffable embeddings tokenization",
    "Caf\u00e9 na\u00efve r\u00e9sum\u00e9 \u00c5ngstr\u00f6m", "Cafe\u0301 nai\u0308ve", "\u0130stanbul I\u0307stanbul \u0131", "Stra\u00dfe \u1e9e \u00c6 \u0152 \u00d8",
    "\u4e2d\u6587\u5206\u8bcd test \u6df7\u5408abc\u6587", "\u65e5\u672c\u8a9e\u306e\u30c6\u30ad\u30b9\u30c8 \uff76\uff9e", "\ud55c\uad6d\uc5b4 \ud14d\uc2a4\ud2b8", "\u0627\u0644\u0639\u0631\u0628\u064a\u0629 \u0648\u064e",
    "\u0939\u093f\u0928\u094d\u0926\u0940 \u092a\u093e\u0920", "\u0e20\u0e32\u0e29\u0e32\u0e44\u0e17\u0e22", "\u05e2\u05b4\u05d1\u05b0\u05e8\u05b4\u05d9\u05ea", "\u0420\u0443\u0441\u0441\u043a\u0438\u0439 \u0442\u0435\u043a\u0441\u0442 \u0401\u0436 \u0439",
    "\u0395\u03bb\u03bb\u03b7\u03bd\u03b9\u03ba\u03ac \u03a3\u03a3 \u03cc\u03c2", "emoji \U0001f600 \U0001f468\u200d\U0001f469\u200d\U0001f467 \U0001f1e9\U0001f1ea \u2764\ufe0f", "a\u200bb\u00adc\ufeffd\u2060e",
    "nul\x00in\x01the\x1fmiddle\x7fof\x80it\x9f", "\ufffd replaced", "tab\tnew\nline\rreturn\x0bvertical\x0cfeed", "nbsp\u00a0em\u2003ideographic\u3000line\u2028para\u2029nel\u0085x",
    "x" * 99, "x" * 100, "x" * 101, "\u00e9" * 100, "\u00e9" * 101, "\u4e2d" * 101, "a" * 60 + "-" + "b" * 60,
    "[CLS] [SEP] [MASK] [PAD] [UNK]", "[cls] [mask]", "[MASK]x[MASK]", "[unused5]", "##ing ## # #a",
    "$100 + 5% = <x>^2 | ~y` {a}[b]\\c", "\u00a1Hola! \u00bfQu\u00e9? \u00ab\u00bb \u201cquotes\u201d \u2018s\u2019 \u2014 \u2013 \u2026", "\u20ac\u00a3\u00a5 \u00a9\u00ae\u2122 \u00b1\u00d7\u00f7 \u221e\u2248",
    "3.14159 1,000,000 1e-5 0xFF v2.0", "user@example.com https://example.org/a?b=c#d", "CamelCase snake_case kebab-case", "\ufb01ne \u2460 \u00bd \u2167 \uff21\uff22",
    "\U0002f800\uf900\u8c48 \U00020000 \U0002b820 \U0002b920 \u3400", "\u1100\u1161\u11a8", "\u0f40\u0f71\u0f72", "e\u0301\u0323 e\u0323\u0301", "\u0345\u0301alone", "\U0001d400\U0001d7ce", "\ue000\U000f0000", "\u0378\u0600\u061c\u070f\u180e\u2066",
    "pneumonoultramicroscopicsilicovolcanoconiosis", "supercalifragilisticexpialidocious \u2581 \u2581a", "\u1f71\u03ac \u212b\u00c5 \u2126\u03a9",
]

SENTENCES = [
    "A cat sleeps on the sofa.", "The kitten naps on the couch.", "Stock prices fell sharply on Monday.", "Shares dropped at the start of the week.",
    "How do I reset my password?", "I forgot my login credentials.", "The quick brown fox jumps over the lazy dog.", "Photosynthesis turns light into chemical energy.",
    "Plants make sugar from sunlight.", "The capital of France is Paris.", "Berlin is the capital of Germany.", "What is the weather like today?",
    "It is raining cats and dogs.", "Machine learning models need data.", "Neural networks are trained with gradient descent.", "She plays the violin beautifully.",
    "He is a talented pianist.", "The train leaves at 7:45 from platform 9.", "Please send the invoice to accounts@example.com.", "Buy two litres of milk, a loaf of bread, and 12 eggs!",
    "def f(x): return x ** 2 + 1", "SELECT name FROM users WHERE age > 30;", "Caf\u00e9 au lait, s'il vous pla\u00eet.", "\u00bfD\u00f3nde est\u00e1 la biblioteca?",
    "\u4eca\u5929\u5929\u6c14\u5f88\u597d\u3002", "\u041f\u0440\u0438\u0432\u0435\u0442, \u043c\u0438\u0440!", "I love this \U0001f600\U0001f600", "ok", "No.", "",
    "Water boils at 100 degrees Celsius at sea level.", "The patient was given 5 mg of the drug twice a day.", "Everyone has the right to freedom of opinion and expression.",
    "The committee will meet again next month to discuss the budget.", "Quantum computers use qubits, which can be in superposition.", "The match ended 2-2 after extra time.",
    "Our flight was delayed because of fog.", "The plane could not take off in the mist.", "Turn left at the lights, then take the second right.", "This recipe takes about forty minutes.",
    "The museum is closed on public holidays.", "Antibiotics do not work against viruses.", "A bug in the parser made it crash on empty input.", "The program fails when the file has no content.",
    "Mount Everest is 8,849 metres high.", "Prices include VAT; shipping is extra.", "Once upon a time there was a little girl named Lily.", "!!! ??? ...", "word " * 150, "The old bridge across the river, " * 60,
]


def tensors(path):
    data = path.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    found = {}
    for name, entry in header.items():
        if name != "__metadata__" and entry["dtype"] in TYPES:
            begin, end = (8 + length + offset for offset in entry["data_offsets"])
            found[name] = numpy.frombuffer(data[begin:end], TYPES[entry["dtype"]]).astype(numpy.float64).reshape(entry["shape"])
    return found


def embedding(weights, config, ids):
    """The vector of one text: ids as the tokenizer frames them."""

    def linear(x, name):
        return x @ weights[name + ".weight"].T + weights[name + ".bias"]

    def norm(x, name):
        x = x - x.mean(-1, keepdims=True)
        x = x / numpy.sqrt((x * x).mean(-1, keepdims=True) + config["layer_norm_eps"])
        return x * weights[name + ".weight"] + weights[name + ".bias"]

    erf = numpy.vectorize(math.erf)
    heads = config["num_attention_heads"]
    count = len(ids)
    e = "embeddings."
    x = weights[e + "word_embeddings.weight"][ids] + weights[e + "position_embeddings.weight"][:count] + weights[e + "token_type_embeddings.weight"][0]
    x = norm(x, e + "LayerNorm")
    for layer in range(config["num_hidden_layers"]):
        prefix = f"encoder.layer.{layer}."
        q, k, v = (linear(x, f"{prefix}attention.self.{part}").reshape(count, heads, -1).transpose(1, 0, 2) for part in ("query", "key", "value"))
        scores = q @ k.transpose(0, 2, 1) / math.sqrt(q.shape[-1])
        scores = numpy.exp(scores - scores.max(-1, keepdims=True))
        mixed = (scores / scores.sum(-1, keepdims=True)) @ v
        x = norm(linear(mixed.transpose(1, 0, 2).reshape(count, -1), prefix + "attention.output.dense") + x, prefix + "attention.output.LayerNorm")
        up = linear(x, prefix + "intermediate.dense")
        x = norm(linear(up * 0.5 * (1 + erf(up / math.sqrt(2))), prefix + "output.dense") + x, prefix + "output.LayerNorm")
    mean = x.mean(0)
    return mean / numpy.linalg.norm(mean)


def encoded(vectors):
    return base64.b64encode(numpy.array(vectors, dtype="<f4").tobytes()).decode()


def tiny(folder):
    """A random encoder of a few thousand weights, with a tokenizer of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "b", "##a", "##b", "cat", "##s", "dog", "runs", "sleep", "##ing", ".", ",", "!", "the", "\u4e2d"]
    config = {
        "model_type": "bert", "hidden_act": "gelu", "hidden_size": 16, "num_attention_heads": 2, "num_hidden_layers": 2, "intermediate_size": 24,
        "vocab_size": len(words), "max_position_embeddings": 24, "type_vocab_size": 2, "layer_norm_eps": 1e-12, "position_embedding_type": "absolute",
    }
    special = [{"id": i, "content": words[i], "special": True, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False} for i in range(5)]
    tokenizer = {
        "version": "1.0", "truncation": {"max_length": 20, "strategy": "LongestFirst", "stride": 0}, "padding": None, "added_tokens": special,
        "normalizer": {"type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": True, "strip_accents": None, "lowercase": True},
        "pre_tokenizer": {"type": "BertPreTokenizer"}, "post_processor": {"type": "BertProcessing", "sep": ["[SEP]", 3], "cls": ["[CLS]", 2]},
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": True},
        "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##", "max_input_chars_per_word": 100, "vocab": {word: id for id, word in enumerate(words)}},
    }
    (folder / "config.json").write_text(json.dumps(config, indent=1) + "\n")
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer, indent=1) + "\n")
    random = numpy.random.default_rng(7)
    weights = {}

    def add(name, *shape, mean=0.0, spread=0.5):
        weights[name] = (mean + spread * random.standard_normal(shape)).astype(numpy.float32)

    def norm(name):
        add(name + ".weight", 16, mean=1, spread=0.2)
        add(name + ".bias", 16, spread=0.2)

    for name, rows in (("word", len(words)), ("position", 24), ("token_type", 2)):
        add(f"embeddings.{name}_embeddings.weight", rows, 16)
    norm("embeddings.LayerNorm")
    for layer in range(2):
        prefix = f"encoder.layer.{layer}."
        parts = [(f"attention.self.{part}", 16, 16) for part in ("query", "key", "value")]
        for name, rows, columns in parts + [("attention.output.dense", 16, 16), ("intermediate.dense", 24, 16), ("output.dense", 16, 24)]:
            add(f"{prefix}{name}.weight", rows, columns)
            add(f"{prefix}{name}.bias", rows)
        norm(prefix + "attention.output.LayerNorm")
        norm(prefix + "output.LayerNorm")
    header, offset = {}, 0
    for name, values in weights.items():
        header[name] = {"dtype": "F32", "shape": list(values.shape), "data_offsets": [offset, offset + values.nbytes]}
        offset += values.nbytes
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + b"".join(v.tobytes() for v in weights.values()))
    texts = ["", "a", "The cats sleep.", "abba, dog runs!", "\u4e2d\u4e2d cats", "unknown dog", "a b a b a b a b a b a b a b a b a b a b a b a b"]
    return config, texts


def expected(folder, config, texts, most):
    tokenizer = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(most)
    weights = tensors(folder / "model.safetensors")
    ids = [tokenizer.encode(text).ids for text in texts]
    return ids, numpy.array([embedding(weights, config, each) for each in ids])


def main():
    model = pathlib.Path(sys.argv[1])
    config = json.loads((model / "config.json").read_text())
    sentences = [text.strip() for text in SENTENCES]
    # The card: texts are cut at 256 tokens.
    ids, vectors = expected(model, config, sentences, 256)
    if len(sys.argv) > 2:
        found = json.loads(pathlib.Path(sys.argv[2]).read_text())
        assert found["tokens"] == [len(each) for each in ids], "the numbers of tokens differ"
        own = numpy.array(found["embeddings"])
        cosines = (own * vectors).sum(-1) / numpy.linalg.norm(own, axis=-1)
        print(f"{len(own)} sentences, {min(map(len, ids))} to {max(map(len, ids))} tokens: least cosine 1 - {1 - cosines.min():.2e}, "
              f"largest error of an element {numpy.abs(own - vectors).max():.2e}")
        return
    VECTORS.mkdir(parents=True, exist_ok=True)
    tokenizer = tokenizers.Tokenizer.from_file(str(model / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    content = {
        "texts": TEXTS, "ids": [tokenizer.encode(text).ids for text in TEXTS], "sentences": sentences, "sentence_tokens": [len(each) for each in ids],
        "embeddings": encoded(vectors),
    }
    (VECTORS / "minilm.json").write_text(json.dumps(content, separators=(",", ":")) + "\n")
    (VECTORS / "sentences.txt").write_text("\n".join(sentences) + "\n")
    config, texts = tiny(VECTORS / "tiny")
    ids, vectors = expected(VECTORS / "tiny", config, texts, 20)
    (VECTORS / "tiny.json").write_text(json.dumps({"texts": texts, "ids": ids, "embeddings": encoded(vectors)}, separators=(",", ":")) + "\n")


main()
