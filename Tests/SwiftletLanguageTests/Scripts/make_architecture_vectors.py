"""Makes Vectors/architectures.json: tiny models of every architecture, described, with the logits llama.cpp computes for them.

The description (metadata and tensors) is all a test needs to build the same model: weights follow from a formula. Element `i` of the tensor
named `n` is

    u = splitmix64_mix(fnv1a64(n) + (i + 1)·0x9E3779B97F4A7C15) >> 40          24 bits
    x = u·2⁻²³ − 1                                                             in [−1, 1), exact in f32
    value = centre + scale·x                                                   in f32

and is then stored as F32, F16 or blocks of the `gguf` package's quantisers. `weights_fnv1a64` is the hash of all tensor bytes in order, so
that a difference of the weights is told from one of the model.

The logits are those of a prompt evaluated at once (some of its rows) and of single tokens after it, with an f32 cache, flash attention off
and one thread: the plainest arithmetic llama.cpp has. They are stored as little-endian f32 in base64, rows one after the other.

Where ../shared/data beside the checkout holds stories260k-f32.gguf, Vectors/stories.json is made too: its greedy continuation of a prompt.

Usage: python3 make_architecture_vectors.py   (needs gguf, numpy, llama-cpp-python)
"""

import base64
import ctypes
import json
import math
import pathlib
import tempfile

import gguf
import llama_cpp as llama
import numpy

VOCABULARY = 300
WIDTH = 64
HIDDEN = 96
PROMPT = [1, 270, 17, 299, 64, 128, 265, 4, 288, 91, 203, 259, 33, 270, 17, 150, 290, 77, 261, 5, 240, 112, 281, 36]
DECODE = [272, 17, 95, 263]
# Rows of the prompt whose logits are kept: before a window of 8 fills, after, and the last.
ROWS = [5, 12, 23]


def fnv1a64(data, state=0xCBF29CE484222325):
    for byte in data:
        state = ((state ^ byte) * 0x100000001B3) & 0xFFFFFFFFFFFFFFFF
    return state


def values(name, count, scale, centre):
    with numpy.errstate(over="ignore"):
        index = numpy.arange(1, count + 1, dtype=numpy.uint64)
        z = numpy.uint64(fnv1a64(name.encode())) + index * numpy.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> numpy.uint64(30))) * numpy.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> numpy.uint64(27))) * numpy.uint64(0x94D049BB133111EB)
        z = z ^ (z >> numpy.uint64(31))
    x = (z >> numpy.uint64(40)).astype(numpy.float32) * numpy.float32(2.0**-23) - numpy.float32(1)
    return numpy.float32(centre) + numpy.float32(scale) * x


class Model:
    """The description of a model: what is written to the JSON file."""

    def __init__(self, name, architecture, layers=2, heads=4, key_value_heads=2, head_dimension=16, weights="F32", tied=False,
                 embedding_scale=1.0, output_norm=1.0):
        self.name, self.architecture, self.weights = name, architecture, weights
        self.layers, self.heads, self.key_value_heads, self.head_dimension = layers, heads, key_value_heads, head_dimension
        self.metadata, self.tensors = {}, []
        self.context = 256
        self.set("block_count", "u32", layers)
        self.set("context_length", "u32", 4096)
        self.set("embedding_length", "u32", WIDTH)
        self.set("feed_forward_length", "u32", HIDDEN)
        self.set("attention.head_count", "u32", heads)
        self.set("attention.head_count_kv", "u32", key_value_heads)
        self.set("attention.layer_norm_rms_epsilon", "f32", 2.0**-17)
        if head_dimension != WIDTH // heads:
            self.set("attention.key_length", "u32", head_dimension)
            self.set("attention.value_length", "u32", head_dimension)
        self.matrix("token_embd.weight", VOCABULARY, WIDTH, embedding_scale)
        self.vector("output_norm.weight", WIDTH, centre=output_norm)
        if not tied:
            self.matrix("output.weight", VOCABULARY, WIDTH, 0.5)

    def set(self, key, kind, value):
        self.metadata[f"{self.architecture}.{key}"] = [kind, value]
        return self

    def tensor(self, name, shape, scale, centre, kind):
        self.tensors.append({"name": name, "shape": shape, "scale": scale, "centre": centre, "type": kind})

    def matrix(self, name, rows, columns, scale=0.25):
        self.tensor(name, [rows, columns], scale, 0.0, self.weights)

    def vector(self, name, count, scale=0.25, centre=1.0):
        self.tensor(name, [count], scale, centre, "F32")

    def norms(self, *names):
        for layer in range(self.layers):
            for name in names:
                self.vector(f"blk.{layer}.{name}.weight", WIDTH)
        return self

    def attention(self, bias=False, head_norms=False, fused=False):
        query, key = self.heads * self.head_dimension, self.key_value_heads * self.head_dimension
        for layer in range(self.layers):
            prefix = f"blk.{layer}."
            if fused:
                self.matrix(prefix + "attn_qkv.weight", query + 2 * key, WIDTH)
            else:
                for part, rows in (("attn_q", query), ("attn_k", key), ("attn_v", key)):
                    self.matrix(f"{prefix}{part}.weight", rows, WIDTH)
                    if bias:
                        self.vector(f"{prefix}{part}.bias", rows, 0.5, 0.0)
            if head_norms:
                self.vector(prefix + "attn_q_norm.weight", self.head_dimension)
                self.vector(prefix + "attn_k_norm.weight", self.head_dimension)
            self.matrix(prefix + "attn_output.weight", WIDTH, query)
        return self

    def feed_forward(self, fused=False):
        for layer in range(self.layers):
            prefix = f"blk.{layer}."
            if fused:
                self.matrix(prefix + "ffn_up.weight", 2 * HIDDEN, WIDTH)
            else:
                self.matrix(prefix + "ffn_gate.weight", HIDDEN, WIDTH)
                self.matrix(prefix + "ffn_up.weight", HIDDEN, WIDTH)
            self.matrix(prefix + "ffn_down.weight", WIDTH, HIDDEN)
        return self

    def factors(self, name, count, first, last):
        """A vector of rotary factors spread around the middle of `first` and `last`."""
        self.vector(name, count, (last - first) / 2, (last + first) / 2)
        return self


def llama_model(name, weights="F32"):
    model = Model(name, "llama", weights=weights).set("rope.dimension_count", "u32", 16).set("rope.freq_base", "f32", 5000.0)
    return model.norms("attn_norm", "ffn_norm").attention().feed_forward()


def gemma(name, architecture, layers, head_norms):
    # Gemma multiplies embeddings by the root of the width: smaller ones, or the layers would hardly show in the logits.
    model = Model(name, architecture, layers=layers, head_dimension=32, tied=True, embedding_scale=0.25, output_norm=2.0)
    model.set("attention.sliding_window", "u32", 8)
    return model.norms("attn_norm", "post_attention_norm", "ffn_norm", "post_ffw_norm").attention(head_norms=head_norms).feed_forward()


def phi3(name, original):
    model = Model(name, "phi3").set("rope.dimension_count", "u32", 12).set("rope.freq_base", "f32", 10000.0)
    model.set("rope.scaling.original_context_length", "u32", original)
    return model.norms("attn_norm", "ffn_norm").attention(fused=True).feed_forward(fused=True)


def phi3_with_factors(name, original):
    model = phi3(name, original).set("rope.scaling.attn_factor", "f32", 1.1875)
    return model.factors("rope_factors_short.weight", 6, 1.0, 1.5).factors("rope_factors_long.weight", 6, 1.0, 16.0)


def yarn(name, **extra):
    model = llama_model(name).set("rope.scaling.type", "string", "yarn").set("rope.scaling.factor", "f32", 4.0)
    model.set("rope.scaling.original_context_length", "u32", 64)
    for key, value in extra.items():
        model.set(f"rope.scaling.{key}", "f32", value)
    return model


def models():
    yield llama_model("llama")
    yield llama_model("llama, frequency factors").factors("rope_freqs.weight", 8, 1.0, 8.0)
    yield llama_model("llama, linear scaling").set("rope.scaling.type", "string", "linear").set("rope.scaling.factor", "f32", 4.0)
    yield yarn("llama, YaRN")
    yield yarn("llama, YaRN and attention factor", attn_factor=0.875)
    for kind in ("F16", "Q8_0", "Q4_0", "Q4_1"):
        yield llama_model("llama, " + kind, kind)
    qwen2 = Model("qwen2", "qwen2").set("rope.freq_base", "f32", 1000000.0)
    yield qwen2.norms("attn_norm", "ffn_norm").attention(bias=True).feed_forward()
    qwen3 = Model("qwen3", "qwen3", head_dimension=32, tied=True).set("rope.freq_base", "f32", 1000000.0)
    yield qwen3.norms("attn_norm", "ffn_norm").attention(head_norms=True).feed_forward()
    gemma2 = gemma("gemma2", "gemma2", 2, False).set("attn_logit_softcapping", "f32", 4.0)
    yield gemma2.set("final_logit_softcapping", "f32", 12.0)
    yield gemma("gemma2, default soft caps", "gemma2", 2, False)
    yield gemma("gemma3", "gemma3", 7, True).set("rope.freq_base", "f32", 1000000.0)
    gemma3 = gemma("gemma3, linear scaling", "gemma3", 7, True).set("rope.freq_base", "f32", 1000000.0)
    yield gemma3.set("rope.scaling.type", "string", "linear").set("rope.scaling.factor", "f32", 8.0)
    yield phi3("phi3", 4096)
    yield phi3_with_factors("phi3, short factors", 4096)
    yield phi3_with_factors("phi3, long factors", 128)


def vocabulary():
    """Tokens that are never used as text: a loader wants some. `<unk> <s> </s>`, the bytes, then numbered words."""
    tokens = ["<unk>", "<s>", "</s>"] + [f"<0x{byte:02X}>" for byte in range(256)]
    tokens += [f"\u2581t{index}" for index in range(VOCABULARY - len(tokens))]
    types = [2, 3, 3] + [6] * 256 + [1] * (VOCABULARY - 259)
    return tokens, types


def write(model, path):
    """Writes the GGUF file; returns the hash of its tensors."""
    writer = gguf.GGUFWriter(path, model.architecture)
    adders = {"u32": writer.add_uint32, "f32": writer.add_float32, "string": writer.add_string}
    for key, (kind, value) in model.metadata.items():
        adders[kind](key, value)
    tokens, types = vocabulary()
    writer.add_tokenizer_model("llama")
    writer.add_token_list(tokens)
    writer.add_token_types(types)
    writer.add_token_scores([-float(index) for index in range(len(tokens))])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    state = 0xCBF29CE484222325
    for tensor in model.tensors:
        data = values(tensor["name"], math.prod(tensor["shape"]), tensor["scale"], tensor["centre"]).reshape(tensor["shape"])
        kind = gguf.GGMLQuantizationType[tensor["type"]]
        stored = gguf.quants.quantize(data, kind)
        state = fnv1a64(stored.tobytes(), state)
        writer.add_tensor(tensor["name"], stored, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return state


class Context:
    """llama.cpp with an f32 cache, one thread, no flash attention."""

    def __init__(self, path, length):
        self.model = llama.llama_model_load_from_file(str(path).encode(), llama.llama_model_default_params())
        if not self.model:
            raise SystemExit(f"{path}: llama.cpp cannot load this file.")
        self.vocabulary = llama.llama_model_get_vocab(self.model)
        parameters = llama.llama_context_default_params()
        parameters.n_ctx = length
        parameters.n_threads = parameters.n_threads_batch = 1
        parameters.type_k = parameters.type_v = llama.GGML_TYPE_F32
        parameters.flash_attn_type = llama.LLAMA_FLASH_ATTN_TYPE_DISABLED
        self.context = llama.llama_init_from_model(self.model, parameters)
        if llama.llama_n_ctx(self.context) != length:
            raise SystemExit("llama.cpp chose another context length; factors may depend on it.")
        self.batch = llama.llama_batch_init(64, 0, 1)

    def close(self):
        llama.llama_batch_free(self.batch)
        llama.llama_free(self.context)
        llama.llama_model_free(self.model)

    def evaluate(self, tokens, position, rows):
        """The logits of the given rows of consecutive tokens."""
        batch, size = self.batch, llama.llama_vocab_n_tokens(self.vocabulary)
        batch.n_tokens = len(tokens)
        for index, token in enumerate(tokens):
            batch.token[index], batch.pos[index] = token, position + index
            batch.n_seq_id[index], batch.seq_id[index][0], batch.logits[index] = 1, 0, index in rows
        if llama.llama_decode(self.context, batch) != 0:
            raise SystemExit("llama_decode failed.")
        return [numpy.ctypeslib.as_array(llama.llama_get_logits_ith(self.context, row), shape=(size,)).copy() for row in rows]


def logits(path, length):
    """Rows of logits: those of `ROWS`, then one for each decoded token."""
    context = Context(path, length)
    result = context.evaluate(PROMPT, 0, ROWS)
    for index, token in enumerate(DECODE):
        result += context.evaluate([token], len(PROMPT) + index, [0])
    context.close()
    return numpy.stack(result).astype("<f4")


def greedy(path, prompt, count):
    """The likeliest continuation of `prompt`."""
    context = Context(path, 512)
    buffer = (llama.llama_token * 64)()
    data = prompt.encode()
    tokens = list(buffer[: llama.llama_tokenize(context.vocabulary, data, len(data), buffer, 64, True, False)])
    generated, pieces, piece = [], bytearray(), ctypes.create_string_buffer(64)
    row = context.evaluate(tokens, 0, [len(tokens) - 1])[0]
    while len(generated) < count:
        token = int(row.argmax())
        generated.append(token)
        length = llama.llama_token_to_piece(context.vocabulary, token, piece, 64, 0, True)
        pieces += piece.raw[:length]
        row = context.evaluate([token], len(tokens) + len(generated) - 1, [0])[0]
    context.close()
    return {"prompt": prompt, "promptTokens": tokens, "tokens": generated, "text": pieces.decode()}


@llama.llama_log_callback
def _quiet(level, text, _data):
    """Drops the library's progress log, except its errors."""
    if level == 4:
        print(text.decode(), end="")


def main():
    llama.llama_log_set(_quiet, ctypes.c_void_p(0))
    llama.llama_backend_init()
    result = {"vocabulary": VOCABULARY, "prompt": PROMPT, "decode": DECODE, "rows": ROWS, "models": []}
    with tempfile.TemporaryDirectory() as folder:
        for model in models():
            path = pathlib.Path(folder) / "model.gguf"
            digest = write(model, path)
            rows = logits(path, model.context)
            print(f"{model.name}: spread {rows.std():.3f}, largest {numpy.abs(rows).max():.3f}")
            result["models"].append({
                "name": model.name, "architecture": model.architecture, "context": model.context, "metadata": model.metadata,
                "tensors": model.tensors, "weights_fnv1a64": f"{digest:016x}",
                "logits": base64.b64encode(rows.tobytes()).decode(),
            })
    folder = pathlib.Path(__file__).resolve().parent.parent / "Vectors"
    (folder / "architectures.json").write_text(json.dumps(result, separators=(",", ":")) + "\n")
    stories = folder.parents[2].parent / "shared" / "data" / "models" / "stories260k-f32.gguf"
    if stories.exists():
        (folder / "stories.json").write_text(json.dumps(greedy(stories, "Once upon a time", 80)) + "\n")


if __name__ == "__main__":
    main()
