"""llama.cpp through the low-level interface of llama-cpp-python: load a model, tokenise, evaluate batches, read logits.

The scripts beside this file measure with it. Nothing here runs when Swiftlet runs.
"""

import ctypes
import math
import time

import llama_cpp as llama
import numpy


@llama.llama_log_callback
def _keep_warnings(level, text, _user_data):
    """Drops the library's progress log. Errors reach the caller as exceptions below."""


llama.llama_log_set(_keep_warnings, ctypes.c_void_p(0))


class LlamaModel:
    """One model and one context.

    `context` is in tokens for all sequences together; `sequences` share one unified KV cache. Threads serve prompt and single tokens alike;
    flash attention, KV cache type (f16) and memory mapping stay at the library's defaults.
    """

    def __init__(self, path, threads, context, batch=512, sequences=1):
        llama.llama_backend_init()
        started = time.perf_counter()
        model_parameters = llama.llama_model_default_params()
        model_parameters.use_mmap = True
        self.model = llama.llama_model_load_from_file(path.encode(), model_parameters)
        if not self.model:
            raise SystemExit(f"{path}: llama.cpp cannot load this file.")
        parameters = llama.llama_context_default_params()
        parameters.n_ctx = context
        parameters.n_batch = batch
        parameters.n_ubatch = batch
        parameters.n_seq_max = sequences
        parameters.kv_unified = True
        parameters.n_threads = threads
        parameters.n_threads_batch = threads
        parameters.no_perf = True
        self.context = llama.llama_init_from_model(self.model, parameters)
        if not self.context:
            raise SystemExit(f"{path}: llama.cpp cannot make a context of {context} tokens.")
        self.load_seconds = time.perf_counter() - started
        self.vocabulary = llama.llama_model_get_vocab(self.model)
        self.vocabulary_size = llama.llama_vocab_n_tokens(self.vocabulary)
        self.adds_bos = bool(llama.llama_vocab_get_add_bos(self.vocabulary))
        self.bos = llama.llama_vocab_bos(self.vocabulary)
        self.batch_capacity = batch
        self._batch = llama.llama_batch_init(batch, 0, sequences)
        self.memory = llama.llama_get_memory(self.context)

    def close(self):
        llama.llama_batch_free(self._batch)
        llama.llama_free(self.context)
        llama.llama_model_free(self.model)

    def tokenize(self, text, add_special=True, parse_special=False):
        data = text.encode()
        capacity = len(data) + 16
        tokens = (llama.llama_token * capacity)()
        count = llama.llama_tokenize(self.vocabulary, data, len(data), tokens, capacity, add_special, parse_special)
        if count < 0:
            raise SystemExit("llama.cpp cannot tokenise the text.")
        return list(tokens[:count])

    def text(self, tokens):
        pieces = bytearray()
        buffer = ctypes.create_string_buffer(512)
        for token in tokens:
            length = llama.llama_token_to_piece(self.vocabulary, token, buffer, len(buffer), 0, True)
            pieces += buffer.raw[: max(length, 0)]
        return pieces.decode(errors="replace")

    def is_end(self, token):
        return llama.llama_vocab_is_eog(self.vocabulary, token)

    def clear(self):
        llama.llama_memory_clear(self.memory, True)

    def evaluate(self, entries):
        """Evaluates one batch. An entry is (token, position, sequence ids, wants logits)."""
        if len(entries) > self.batch_capacity:
            raise SystemExit(f"A batch of {len(entries)} tokens exceeds {self.batch_capacity}.")
        batch = self._batch
        batch.n_tokens = len(entries)
        for index, (token, position, sequences, wants_logits) in enumerate(entries):
            batch.token[index] = token
            batch.pos[index] = position
            batch.n_seq_id[index] = len(sequences)
            for place, sequence in enumerate(sequences):
                batch.seq_id[index][place] = sequence
            batch.logits[index] = wants_logits
        status = llama.llama_decode(self.context, batch)
        if status != 0:
            raise SystemExit(f"llama_decode failed with status {status}.")

    def logits(self, index):
        """Logits [vocabulary] of entry `index` of the last batch; a view that the next batch overwrites."""
        pointer = llama.llama_get_logits_ith(self.context, index)
        return numpy.ctypeslib.as_array(pointer, shape=(self.vocabulary_size,))

    def synchronize(self):
        llama.llama_synchronize(self.context)


def log_probability(logits, token):
    """Natural logarithm of the softmax probability of `token`, summed in double."""
    row = logits.astype(numpy.float64)
    peak = row.max()
    return float(row[token] - peak - math.log(numpy.exp(row - peak).sum()))
