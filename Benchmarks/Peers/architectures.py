"""Builds every image network with `swiftlet build`, checks the file, and compares the engine with onnxruntime on the same input.

    python architectures.py SWIFTLET [--threads 1]

For each: parameters and multiply-accumulates as the command tells them, the largest difference of the outputs relative to the largest output
(the limit is 1e-4), and whether the largest output is the same. Exit 1 when one disagrees.
"""

import argparse
import json
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
import onnx
import onnxruntime as ort

ARCHITECTURES = [
    ("mobilenet_v1", 1.0, 224), ("mobilenet_v1", 0.5, 128), ("mobilenet_v2", 1.0, 224), ("mobilenet_v2", 0.75, 160),
    ("mobilenet_v3_large", 1.0, 224), ("mobilenet_v3_small", 1.0, 224), ("mobilenet_v3_small", 1.5, 192), ("shufflenet_v2", 0.5, 224),
    ("shufflenet_v2", 1.0, 224), ("shufflenet_v2", 1.5, 224), ("shufflenet_v2", 2.0, 224), ("squeezenet1_1", 1.0, 224),
    ("efficientnet_b0", 1.0, 224), ("efficientnet_lite0", 1.0, 224), ("efficientnet_lite0", 1.0, 225),
]
LIMIT = 1e-4


def command(*arguments):
    return subprocess.run([str(argument) for argument in arguments], check=True, capture_output=True, text=True).stdout


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("swiftlet", type=pathlib.Path)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    failed = False
    print(f"{'architecture':22}{'width':>6}{'size':>6}{'parameters':>12}{'MACs':>14}{'plain MACs':>16}{'rel. error':>12}  same class")
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        for architecture, width, size in ARCHITECTURES:
            path = folder / f"{architecture}.onnx"
            report = json.loads(command(
                arguments.swiftlet, "build", architecture, "--output", path, "--width", width, "--size", size, "--seed", 7, "--json"))
            onnx.checker.check_model(str(path), full_check=True)
            image = np.random.default_rng(1).standard_normal((1, 3, size, size), dtype=np.float32)
            np.save(folder / "input.npy", image)
            command(
                arguments.swiftlet, "run", path, "--input", f"input={folder / 'input.npy'}", "--output", folder, "--threads", arguments.threads)
            own = np.load(folder / "logits.npy")
            options = ort.SessionOptions()
            options.intra_op_num_threads = arguments.threads
            peer = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"]).run(None, {"input": image})[0]
            error = float(np.max(np.abs(own - peer)) / np.max(np.abs(peer)))
            same = bool(np.argmax(own) == np.argmax(peer))
            failed |= not (error <= LIMIT and same and own.shape == peer.shape and np.std(peer) > 0)
            plain = report.get("plain_multiply_accumulates") or "-"
            print(
                f"{architecture:22}{width:6}{size:6}{report['parameters']:12}{report['multiply_accumulates']:14}{plain:>16}{error:12.2e}  {same}", flush=True)
    sys.exit(1 if failed else 0)


main()
