#!/usr/bin/env python3
"""Swiftlet and llama.cpp on the same model, machine and threads, run by turns (A B A B ...). Prints a Markdown table, or one JSON object.

    compare.py --model FILE [--model FILE ...] --threads N [--pairs 5] [--swiftlet PATH] [--json]

Each turn is a process of its own: it loads the model, warms up, then times one prefill of 512 tokens into an empty cache and 128 single-token
steps after it. llama.cpp runs with n_threads = n_threads_batch = N, n_batch = n_ubatch = 512, mmap, and its own choice of flash attention
and KV cache type (f16). Its decode loop takes the greedy argmax of the logits after each step, in numpy, outside the timed part; `swiftlet
bench` states for itself what its decode rate holds. Prefill asks for the logits of the last token only, on both sides. The figures are medians
over the pairs; the ratio is the median of the ratios of neighbouring runs, which a slow drift of the machine does not move; spread is
(largest - least) / median.
"""

import argparse
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import time

RATES = ("prefill_tokens_per_second", "decode_tokens_per_second")


def run_llama(options):
    """The peer's turn, in this process. Prints one JSON object with the keys of `swiftlet bench --json`."""
    from llama_model import LlamaModel

    prompt, generate = options.prompt_tokens, options.generate_tokens
    model = LlamaModel(options.model[0], options.threads, context=prompt + generate + 8, batch=512)
    # Any tokens will do: the work does not depend on them. Spread over the vocabulary, clear of the special ones at its start.
    tokens = [10 + (index * 7919) % (model.vocabulary_size - 10) for index in range(prompt)]

    def prefill():
        model.clear()
        started = time.perf_counter()
        for start in range(0, prompt, 512):
            part = tokens[start : start + 512]
            model.evaluate([(token, start + index, [0], start + index == prompt - 1) for index, token in enumerate(part)])
        model.synchronize()
        return time.perf_counter() - started

    def decode(count):
        total = 0.0
        for step in range(count):
            token = int(model.logits(-1).argmax())
            started = time.perf_counter()
            model.evaluate([(token, prompt + step, [0], True)])
            model.synchronize()
            total += time.perf_counter() - started
        return total

    prefill()
    decode(8)
    result = {
        "prefill_tokens_per_second": prompt / prefill(), "decode_tokens_per_second": generate / decode(generate),
        "load_ms": model.load_seconds * 1e3, "peak_resident_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    }
    model.close()
    print(json.dumps(result))


def turn(command):
    finished = subprocess.run(command, capture_output=True, text=True)
    if finished.returncode != 0:
        raise SystemExit(f"{' '.join(command)} failed:\n{finished.stderr.strip()}")
    return json.loads(finished.stdout)


def compare(path, options):
    common = ["--prompt-tokens", str(options.prompt_tokens), "--generate-tokens", str(options.generate_tokens), "--threads", str(options.threads)]
    ours = [options.swiftlet, "bench", "--model", path, *common, "--repetitions", "1", "--json"]
    theirs = [sys.executable, os.path.abspath(__file__), "--peer-turn", "--model", path, *common]
    runs = {"swiftlet": [], "llama.cpp": []}
    for pair in range(options.pairs):
        runs["swiftlet"].append(turn(ours))
        runs["llama.cpp"].append(turn(theirs))
        print(f"{os.path.basename(path)}: pair {pair + 1} of {options.pairs}", file=sys.stderr, flush=True)
    result = {"model": os.path.basename(path), "threads": options.threads, "pairs": options.pairs}
    for rate in RATES:
        values = {who: [run[rate] for run in turns] for who, turns in runs.items()}
        result[rate] = {who: statistics.median(numbers) for who, numbers in values.items()}
        result[rate]["spread"] = {who: (max(numbers) - min(numbers)) / statistics.median(numbers) for who, numbers in values.items()}
        result[rate]["ratio"] = statistics.median(a / b for a, b in zip(values["swiftlet"], values["llama.cpp"]))
    for key in ("load_ms", "peak_resident_bytes"):
        result[key] = {who: statistics.median(run[key] for run in turns if key in run) for who, turns in runs.items()}
    return result


def markdown(results):
    lines = [
        "| model | threads | measure | swiftlet | llama.cpp | ratio | spread |", "|---|---|---|---|---|---|---|",
    ]
    for result in results:
        for rate, name in zip(RATES, ("prefill, tokens/s", "decode, tokens/s")):
            row = result[rate]
            spread = " / ".join(f"{100 * row['spread'][who]:.0f} %" for who in ("swiftlet", "llama.cpp"))
            lines.append(
                f"| {result['model']} | {result['threads']} | {name} | {row['swiftlet']:.1f} | {row['llama.cpp']:.1f} | {row['ratio']:.2f} | {spread} |"
            )
        memory, load = result["peak_resident_bytes"], result["load_ms"]
        lines.append(f"| | | peak resident, MB | {memory['swiftlet'] / 1e6:.0f} | {memory['llama.cpp'] / 1e6:.0f} (with Python) | | |")
        lines.append(f"| | | load, ms | {load['swiftlet']:.0f} | {load['llama.cpp']:.0f} | | |")
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", action="append", required=True, help="GGUF file; may be given several times")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--prompt-tokens", type=int, default=512)
    parser.add_argument("--generate-tokens", type=int, default=128)
    parser.add_argument("--swiftlet", help="the command; by default the release build of this checkout, or the one on PATH")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--peer-turn", action="store_true", help="one run of llama.cpp alone, as JSON")
    options = parser.parse_args()
    if options.peer_turn:
        return run_llama(options)
    built = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../.build/release/swiftlet")
    options.swiftlet = options.swiftlet or (built if os.access(built, os.X_OK) else shutil.which("swiftlet"))
    if not options.swiftlet:
        raise SystemExit("There is no swiftlet. Build it: swift build -c release --product swiftlet")
    results = [compare(path, options) for path in options.model]
    print(json.dumps(results, indent=2) if options.json else markdown(results))


if __name__ == "__main__":
    main()
