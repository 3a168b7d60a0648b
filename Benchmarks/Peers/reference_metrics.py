#!/usr/bin/env python3
"""Quality figures of llama.cpp on a model, for Swiftlet's own figures to be compared with. Prints one JSON object.

    reference_metrics.py --model FILE [--threads N] [--perplexity TEXT] [--hellaswag FILE] [--greedy PROMPT]

Perplexity: the text is tokenised once, cut into windows of `--context` tokens; the first token of each window is replaced by BOS when the
model adds one; tokens of the second half of each window are scored given everything before them in the window; exp(mean negative log
likelihood). HellaSwag: six lines a task (context, index of the right ending, four endings); an ending's score is the mean log probability of
its tokens after the prefix of tokens that all four share; the best score wins. Both are the procedures of llama.cpp's perplexity tool.
"""

import argparse
import json
import math
import platform
import sys
import time

from llama_model import LlamaModel, log_probability


def perplexity(path, threads, text_path, window, chunks):
    # newline="": the text as it is, as both engines read it; Python would turn CRLF into LF.
    with open(text_path, encoding="utf-8", newline="") as file:
        text = file.read()
    model = LlamaModel(path, threads, context=window, batch=window)
    tokens = model.tokenize(text.removesuffix("\n"))
    available = len(tokens) // window
    chunks = min(chunks, available) if chunks > 0 else available
    first = window // 2
    total, square, count = 0.0, 0.0, 0
    for chunk in range(chunks):
        piece = tokens[chunk * window : (chunk + 1) * window]
        if model.adds_bos:
            piece = [model.bos] + piece[1:]
        model.clear()
        model.evaluate([(token, index, [0], index >= first) for index, token in enumerate(piece)])
        for index in range(first, window - 1):
            value = -log_probability(model.logits(index), piece[index + 1])
            total += value
            square += value * value
            count += 1
        print(f"[{chunk + 1}] {math.exp(total / count):.4f}", end=" ", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    model.close()
    mean = total / count
    deviation = math.sqrt(max(square / count - mean * mean, 0) / (count - 1)) * math.exp(mean)
    return {
        "perplexity": math.exp(mean), "standard_error": deviation, "negative_log_likelihood": mean, "context": window, "chunks": chunks,
        "scored_tokens": count, "text_tokens": len(tokens),
    }


def hellaswag(path, threads, task_path, limit):
    with open(task_path, encoding="utf-8") as file:
        lines = file.read().split("\n")
    tasks = [lines[start : start + 6] for start in range(0, len(lines) - 5, 6)]
    tasks = tasks[:limit] if limit > 0 else tasks
    model = LlamaModel(path, threads, context=2048, batch=2048, sequences=4)
    right = 0
    for number, (context, gold, *endings) in enumerate(tasks):
        sequences = [model.tokenize(f"{context} {ending}") for ending in endings]
        shortest = min(len(sequence) for sequence in sequences)
        prefix = 0
        while prefix < shortest and len({sequence[prefix] for sequence in sequences}) == 1:
            prefix += 1
        entries = [(sequences[0][index], index, [0, 1, 2, 3], index == prefix - 1) for index in range(prefix)]
        starts = []
        for which, sequence in enumerate(sequences):
            starts.append(len(entries))
            entries += [(sequence[index], index, [which], True) for index in range(prefix, len(sequence))]
        model.clear()
        model.evaluate(entries)
        scores = []
        for which, sequence in enumerate(sequences):
            score = log_probability(model.logits(prefix - 1), sequence[prefix])
            for index in range(prefix, len(sequence) - 1):
                score += log_probability(model.logits(starts[which] + index - prefix), sequence[index + 1])
            scores.append(score / (len(sequence) - prefix))
        right += max(range(4), key=lambda which: scores[which]) == int(gold)
        if (number + 1) % 20 == 0:
            print(f"{number + 1}: {100 * right / (number + 1):.2f} %", file=sys.stderr, flush=True)
    model.close()
    return {"tasks": len(tasks), "right": right, "accuracy_percent": 100 * right / len(tasks)}


def greedy(path, threads, prompt, count):
    model = LlamaModel(path, threads, context=1024)
    tokens = model.tokenize(prompt)
    model.clear()
    model.evaluate([(token, index, [0], index == len(tokens) - 1) for index, token in enumerate(tokens)])
    logits = model.logits(len(tokens) - 1)
    best = sorted(range(len(logits)), key=lambda token: -logits[token])[:10]
    first = [[token, float(logits[token])] for token in best]
    generated = []
    while len(generated) < count:
        token = int(logits.argmax())
        if model.is_end(token):
            break
        generated.append(token)
        model.evaluate([(token, len(tokens) + len(generated) - 1, [0], True)])
        logits = model.logits(0)
    result = {
        "prompt": prompt, "prompt_tokens": tokens, "tokens": generated, "text": model.text(generated),
        "first_logits": first,
    }
    model.close()
    return result


def processor():
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        names = [line.split(":", 1)[1].strip() for line in file if line.startswith("model name")]
    return names[0] if names else platform.processor()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--context", type=int, default=512, help="window of the perplexity, in tokens")
    parser.add_argument("--chunks", type=int, default=40, help="windows scored; 0 for all")
    parser.add_argument("--perplexity", metavar="TEXT")
    parser.add_argument("--hellaswag", metavar="FILE")
    parser.add_argument("--tasks", type=int, default=400)
    parser.add_argument("--greedy", metavar="PROMPT")
    parser.add_argument("--tokens", type=int, default=80)
    options = parser.parse_args()
    started = time.time()
    result = {"model": options.model.rsplit("/", 1)[-1], "threads": options.threads, "processor": processor()}
    if options.greedy is not None:
        result["greedy"] = greedy(options.model, options.threads, options.greedy, options.tokens)
    if options.perplexity:
        result["perplexity"] = perplexity(options.model, options.threads, options.perplexity, options.context, options.chunks)
    if options.hellaswag:
        result["hellaswag"] = hellaswag(options.model, options.threads, options.hellaswag, options.tasks)
    result["seconds"] = round(time.time() - started, 1)
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
