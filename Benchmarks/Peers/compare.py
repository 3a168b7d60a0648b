#!/usr/bin/env python3
"""Swiftlet and its peers on the same models, machine and threads, run by turns (A B C A B C ...). Prints a Markdown table, or one JSON object.

    compare.py --model FILE [--model FILE ...] --threads N [--rounds 5] [--swiftlet PATH] [--json]
    compare.py --model FILE --prompt-tokens 4096            a long prompt
    compare.py --model FILE --sequences 8                   N sequences decoded together
    compare.py --kernels Benchmarks/Shapes/MODEL.txt        matrix products against ONNX Runtime's

Each turn is a process of its own: it loads the model, warms up, then times one prefill (512 tokens unless told otherwise) into an empty cache
and 128 single-token steps after it.
llama.cpp runs with n_threads = n_threads_batch = N, n_batch = n_ubatch = 512, mmap, and its own choice of flash attention and KV cache type
(f16). Its decode loop takes the greedy argmax of the logits after each step, in numpy, outside the timed part; `swiftlet bench` states for itself
what its decode rate holds. Prefill asks for the logits of the last token only, on both sides.
OpenVINO GenAI reads the GGUF file itself and its rates are those it counts (openvino_peer.py). Where it does not take a file the table says why.
With --sequences each engine also decodes one token of each of N sequences in every step, all after a prompt of their own; that rate counts all tokens.
Figures are medians over the rounds; a ratio is the median of the ratios of neighbouring runs, which a slow drift of the machine does not move; spread
is (largest - least) / median.
--kernels compares one thread's 4-bit product, int8 activations: Swiftlet's best row from floats already rounded, ONNX Runtime's MatMulNBits with
accuracy_level 4 (onnxruntime_kernels.py), whose rounding of the activations is inside and whose session call is part of it.
"""

import argparse
import datetime
import importlib.metadata
import json
import os
import platform
import resource
import shutil
import statistics
import subprocess
import sys
import time

RATES = ("prefill_tokens_per_second", "decode_tokens_per_second", "batch_decode_tokens_per_second")
PEERS = {"llama.cpp": "llama-cpp-python", "openvino": "openvino-genai"}
HERE = os.path.dirname(os.path.abspath(__file__))


def run_llama(options):
    """llama.cpp's turn, in this process. Prints one JSON object with the keys of `swiftlet bench --json`."""
    from llama_model import LlamaModel

    prompt, generate, sequences = options.prompt_tokens, options.generate_tokens, options.sequences
    model = LlamaModel(
        options.model[0], options.threads, context=(prompt + generate + 8) * sequences, batch=max(512, sequences), sequences=sequences)
    # Any tokens will do: the work does not depend on them. Spread over the vocabulary, clear of the special ones at its start.
    tokens = [10 + (index * 7919) % (model.vocabulary_size - 10) for index in range(prompt)]

    def evaluate_prompt(sequence):
        for start in range(0, prompt, 512):
            part = tokens[start : start + 512]
            model.evaluate([(token, start + index, [sequence], start + index == prompt - 1) for index, token in enumerate(part)])

    def prefill():
        model.clear()
        started = time.perf_counter()
        evaluate_prompt(0)
        model.synchronize()
        return time.perf_counter() - started

    def decode(count, together):
        total = 0.0
        next_tokens = [int(model.logits(-1).argmax())] * together
        for sequence in range(1, together):
            evaluate_prompt(sequence)
            next_tokens[sequence] = int(model.logits(-1).argmax())
        for step in range(count):
            started = time.perf_counter()
            model.evaluate([(token, prompt + step, [sequence], True) for sequence, token in enumerate(next_tokens)])
            model.synchronize()
            total += time.perf_counter() - started
            next_tokens = [int(model.logits(sequence).argmax()) for sequence in range(together)]
        return total

    prefill()
    decode(8, 1)
    result = {
        "prefill_tokens_per_second": prompt / prefill(), "decode_tokens_per_second": generate / decode(generate, 1),
        "load_ms": model.load_seconds * 1e3, "peak_resident_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    }
    if sequences > 1:
        prefill()
        decode(4, sequences)
        prefill()
        result["batch_decode_tokens_per_second"] = sequences * generate / decode(generate, sequences)
    model.close()
    print(json.dumps(result))


def run_peer(options):
    if options.peer_turn == "llama.cpp":
        return run_llama(options)
    from openvino_peer import run

    return run(options.model[0], options.threads, options.prompt_tokens, options.generate_tokens)


def turn(command):
    """The JSON of one run; a run that fails gives {"failure": its last line}."""
    finished = subprocess.run(command, capture_output=True, text=True)
    if finished.returncode != 0:
        lines = [line for line in finished.stderr.strip().splitlines() if line.strip()]
        errors = [line for line in lines if line.lower().startswith("error")] or lines[-1:]
        return {"failure": f"does not run: {errors[0] if errors else f'exit status {finished.returncode}'}"}
    # Libraries may print before the result.
    return json.loads(finished.stdout.strip().splitlines()[-1])


def commands(path, options):
    common = ["--prompt-tokens", str(options.prompt_tokens), "--generate-tokens", str(options.generate_tokens), "--threads", str(options.threads)]
    together = ["--sequences", str(options.sequences)] if options.sequences > 1 else []
    result = {"swiftlet": [options.swiftlet, "bench", "--model", path, *common, *together, "--repetitions", "1", "--json", *options.swiftlet_options]}
    for peer in options.peers:
        result[peer] = [sys.executable, os.path.abspath(__file__), "--peer-turn", peer, "--model", path, *common, *together]
    return result


def compare(path, options):
    engines = commands(path, options)
    runs = {who: [] for who in engines}
    failures = {}
    for number in range(options.rounds):
        for who, command in engines.items():
            if who in failures:
                continue
            run = turn(command)
            if "failure" in run:
                failures[who] = run["failure"]
            else:
                runs[who].append(run)
        print(f"{os.path.basename(path)}: round {number + 1} of {options.rounds}", file=sys.stderr, flush=True)
    result = {
        "model": os.path.basename(path), "threads": options.threads, "prompt_tokens": options.prompt_tokens, "generate_tokens": options.generate_tokens,
        "sequences": options.sequences, "rounds": options.rounds, "failures": failures,
    }
    measured = {who: turns for who, turns in runs.items() if turns and who not in failures}
    for rate in RATES:
        # OpenVINO GenAI schedules batches itself: it has no step of N tokens to time.
        values = {who: [run[rate] for run in turns] for who, turns in measured.items() if turns[0].get(rate) is not None}
        if not values:
            continue
        result[rate] = {who: statistics.median(numbers) for who, numbers in values.items()}
        result[rate]["spread"] = {who: (max(numbers) - min(numbers)) / statistics.median(numbers) for who, numbers in values.items()}
        if "swiftlet" in values:
            result[rate]["ratio"] = {
                who: statistics.median(a / b for a, b in zip(values["swiftlet"], numbers)) for who, numbers in values.items() if who != "swiftlet"
            }
    for key in ("load_ms", "peak_resident_bytes", "decode_percent_of_read", "decode_percent_of_read_with_kv", "weight_bytes_per_token"):
        result[key] = {who: statistics.median(run[key] for run in turns) for who, turns in measured.items() if key in turns[0]}
    return result


def markdown(report):
    peers = report["peers"]
    titles = "".join(f" {peer} | ratio |" for peer in peers)
    lines = [f"| model | measure | swiftlet |{titles} spread |", "|---|---|---|" + "---|---|" * len(peers) + "---|"]

    def line(model, measure, values, ratios, spread, form):
        cells = "".join(
            f" {form.format(values[peer]) if peer in values else '-'} | {f'{ratios[peer]:.2f}' if peer in ratios else ''} |" for peer in peers)
        ours = form.format(values["swiftlet"]) if "swiftlet" in values else "-"
        lines.append(f"| {model} | {measure} | {ours} |{cells} {spread} |")

    notes = []
    for result in report["models"]:
        measures = (f"prefill of {result['prompt_tokens']}, tokens/s", "decode, tokens/s", f"decode of {result['sequences']} together, tokens/s")
        for index, (rate, measure) in enumerate(zip(RATES, measures)):
            row = result.get(rate)
            if row is None:
                continue
            spread = " / ".join(f"{100 * row['spread'][who]:.0f} %" for who in ["swiftlet", *peers] if who in row["spread"])
            line(result["model"] if index == 0 else "", measure, row, row.get("ratio", {}), spread, "{:.1f}")
        memory = {who: value / 1e6 for who, value in result["peak_resident_bytes"].items()}
        line("", "peak resident, MB (peers with Python)", memory, {}, "", "{:.0f}")
        line("", "load, ms", result["load_ms"], {}, "", "{:.0f}")
        if "swiftlet" in result["decode_percent_of_read"]:
            line("", "decode, weights in % of a plain read", result["decode_percent_of_read"], {}, "", "{:.0f}")
            line("", "decode, weights, keys and values in % of a plain read", result["decode_percent_of_read_with_kv"], {}, "", "{:.0f}")
        notes += [f"{result['model']}: {who} {reason}" for who, reason in result["failures"].items()]
    head = f"{report['processor']}, {report['threads']} {'thread' if report['threads'] == 1 else 'threads'}, {report['date']}, commit {report['commit']}, {versions(report)}"
    return "\n".join([head, "", *lines] + ([""] + notes if notes else []))


def versions(report):
    return ", ".join(f"{name} {version}" for name, version in report["versions"].items())


def compare_kernels(path, options):
    """One-thread products of each shape of a file: Swiftlet's best row and ONNX Runtime's, by turns."""
    from onnxruntime_kernels import layers, nanoseconds

    results = []
    for name, outputs, inputs in layers(path):
        for rows in (1, 64):
            ours, theirs, kernel = [], [], ""
            for _ in range(options.rounds):
                case = f"linear_[a-z_]*q4_q8_.*/{name.replace('+', '.')}/rows={rows}$"
                report = turn([options.swiftlet, "bench", "kernels", "--shapes", path, "--all-formats", "--filter", case, "--json", *options.swiftlet_options])
                if "failure" in report:
                    raise SystemExit(f"{name}: swiftlet {report['failure']}")
                best = min(report["figures"], key=lambda figure: figure["median_nanoseconds"])
                ours.append(best["median_nanoseconds"])
                kernel = best["kernel"]
                theirs.append(nanoseconds(outputs, inputs, rows))
            results.append(
                {
                    "layer": name, "outputs": outputs, "inputs": inputs, "rows": rows, "kernel": kernel,
                    "nanoseconds": {"swiftlet": statistics.median(ours), "onnxruntime": statistics.median(theirs)},
                    "ratio": statistics.median(b / a for a, b in zip(ours, theirs)),
                }
            )
            print(f"{name}, rows={rows}", file=sys.stderr, flush=True)
    return results


def kernel_markdown(report):
    head = f"{report['processor']}, 1 thread, {report['date']}, commit {report['commit']}, {versions(report)}"
    lines = [head, "", "4-bit products, int8 activations; MatMulNBits rounds them inside, accuracy_level 4. One row reads its weights from memory.", "",
             "| layer | N × K | rows | swiftlet, µs | kernel | onnxruntime, µs | ratio |", "|---|---|---|---|---|---|---|"]
    for result in report["kernels"]:
        times = result["nanoseconds"]
        lines.append(
            f"| {result['layer']} | {result['outputs']} × {result['inputs']} | {result['rows']} | {times['swiftlet'] / 1e3:.1f} | {result['kernel']} | "
            f"{times['onnxruntime'] / 1e3:.1f} | {result['ratio']:.2f} |")
    return "\n".join(lines)


def processor():
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            return next(line.split(":", 1)[1].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor()


def commit():
    shown = subprocess.run(["git", "-C", HERE, "describe", "--always", "--dirty", "--abbrev=9"], capture_output=True, text=True)
    return shown.stdout.strip() or "unknown"


def version(package):
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", action="append", default=[], help="GGUF file; may be given several times")
    parser.add_argument("--kernels", metavar="SHAPES", help="compare matrix products on the shapes of this file instead")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--rounds", "--pairs", type=int, default=5)
    parser.add_argument("--prompt-tokens", type=int, default=512)
    parser.add_argument("--generate-tokens", type=int, default=128)
    parser.add_argument("--sequences", type=int, default=1, help="sequences decoded together")
    parser.add_argument("--peers", help="which, separated by commas (default: all that are installed): " + ", ".join(PEERS))
    parser.add_argument("--swiftlet", help="the command; by default the release build of this checkout, or the one on PATH")
    parser.add_argument("--swiftlet-options", default="", help="more options of `swiftlet bench`, for example '--activations int8'")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--peer-turn", choices=PEERS, help="one run of a peer alone, as JSON")
    options = parser.parse_args()
    for name in ("threads", "rounds", "prompt_tokens", "generate_tokens", "sequences"):
        if getattr(options, name) < 1:
            parser.error(f"--{name.replace('_', '-')} must be positive")
    if options.peer_turn:
        return run_peer(options)
    if bool(options.model) == bool(options.kernels):
        parser.error("give --model or --kernels")
    options.swiftlet_options = options.swiftlet_options.split()
    built = os.path.join(HERE, "../../.build/release/swiftlet")
    options.swiftlet = options.swiftlet or (built if os.access(built, os.X_OK) else shutil.which("swiftlet"))
    if not options.swiftlet:
        raise SystemExit("There is no swiftlet. Build it: swift build -c release --product swiftlet")
    report = {"processor": processor(), "threads": options.threads, "date": datetime.date.today().isoformat(), "commit": commit()}
    if options.kernels:
        report["versions"] = {"onnxruntime": version("onnxruntime")}
        if not report["versions"]["onnxruntime"]:
            raise SystemExit("onnxruntime is not installed here. Run Scripts/peers, and use the Python it names.")
        report["kernels"] = compare_kernels(options.kernels, options)
        print(json.dumps(report, indent=2) if options.json else kernel_markdown(report))
        return
    options.peers = [name for name in options.peers.split(",") if name] if options.peers else [peer for peer in PEERS if version(PEERS[peer])]
    for peer in options.peers:
        if peer not in PEERS:
            parser.error(f"--peers: there is no '{peer}'")
    report["peers"] = options.peers
    report["versions"] = {PEERS[peer]: version(PEERS[peer]) for peer in options.peers}
    report["models"] = [compare(path, options) for path in options.model]
    print(json.dumps(report, indent=2) if options.json else markdown(report))


if __name__ == "__main__":
    main()
