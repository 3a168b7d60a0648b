"""OpenVINO GenAI on a GGUF file: one run of prefill and decode. Nothing here runs when Swiftlet runs."""

import json
import resource
import time
import warnings


def run(path, threads, prompt_tokens, generate_tokens):
    """Loads the file, warms up, times one generation, and prints one JSON object with the keys of `swiftlet bench --json`.

    The rates come from the library's own counters: prefill is prompt tokens over the time to the first token (its sampling included), decode
    the inverse of the mean time of the tokens after it. Each prompt is another one, because the library may keep the cache of a prompt it has
    seen. A file it does not take gives {"failure": reason}.
    """
    warnings.simplefilter("ignore")
    import numpy
    import openvino
    import openvino_genai

    started = time.perf_counter()
    try:
        pipeline = openvino_genai.LLMPipeline(path, "CPU", INFERENCE_NUM_THREADS=threads)
    except Exception as error:  # the library throws RuntimeError with a C++ trace
        # The trace starts with a place in its sources; what follows says what is wrong.
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        print(json.dumps({"failure": f"does not load: {lines[-1] if lines else type(error).__name__}"}))
        return
    loaded = time.perf_counter() - started
    settings = openvino_genai.GenerationConfig()
    settings.do_sample = False
    settings.ignore_eos = True
    settings.apply_chat_template = False

    def generate(start, prompt, count):
        settings.max_new_tokens = count
        tokens = numpy.array([[10 + (start + index * 7919) % 30000 for index in range(prompt)]], dtype=numpy.int64)
        return pipeline.generate(openvino.Tensor(tokens), settings).perf_metrics

    generate(1, prompt_tokens, 4)
    metrics = generate(2, prompt_tokens, generate_tokens + 1)
    print(
        json.dumps(
            {
                "prefill_tokens_per_second": prompt_tokens / (metrics.get_ttft().mean * 1e-3),
                "decode_tokens_per_second": 1e3 / metrics.get_tpot().mean, "load_ms": loaded * 1e3,
                "peak_resident_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
            }
        )
    )
