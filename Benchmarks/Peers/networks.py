"""Compares ONNX networks: the largest difference from onnxruntime, and latency beside onnxruntime, OpenVINO in f32 and LiteRT, in alternating rounds.

    python networks.py --swiftlet PROGRAM [--threads 1 2] [--rounds 3] [--precision bf16] [--tensorflow PYTHON]
                       [--json FILE] MODEL name=1,3,224,224 [MODEL name=...]

Each round runs every engine on the same file with the same numbers of threads; a figure is the median over rounds of medians over runs,
and a ratio that of the ratios in each round, because a shared machine is slow for seconds at a time; of the ratios to the peers the largest is printed.

Needs numpy and onnxruntime; openvino and ai-edge-litert take part where they are installed (Scripts/peers installs all of them). LiteRT has a format of
its own: it takes part where MODEL.tflite lies beside MODEL.onnx (litert.py writes it; in 8 bits it needs images to calibrate with), or, with
--tensorflow, where litert.py can translate the network: PYTHON is an interpreter that has tensorflow and onnx, which litert.py needs. The difference of
its results from onnxruntime's on the ONNX file is printed too: for a file of 8 bits it is that of another rounding, and says only that it is the
same network.

With --precision bf16 Swiftlet and OpenVINO, the one peer that can, compute in bf16 (OpenVINO's own choice where the machine multiplies it), and the
error is that of bf16.
"""

import argparse
import json
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

import numpy as np
import onnxruntime

try:
    import openvino
except ImportError:
    openvino = None
try:
    from ai_edge_litert.interpreter import Interpreter as LiteRT
except ImportError:
    LiteRT = None

HERE = pathlib.Path(__file__).resolve().parent


def median_ms(run, seconds):
    """The median time of runs that take `seconds` together, behind some that warm up."""
    for _ in range(3):
        run()
    times, end = [], time.perf_counter() + seconds
    while time.perf_counter() < end or len(times) < 5:
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return 1000 * statistics.median(times)


def onnxruntime_runner(path, feed, threads):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return lambda: session.run(None, feed)


def openvino_runner(path, feed, threads, precision="f32"):
    model = openvino.Core().read_model(str(path))
    model.reshape({name: value.shape for name, value in feed.items()})
    compiled = openvino.Core().compile_model(
        model, "CPU", {"INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": precision, "PERFORMANCE_HINT": "LATENCY"})
    request = compiled.create_infer_request()
    return lambda: request.infer(feed)


def litert_interpreter(path, feed, threads):
    """With the inputs in place. Images are channels last there."""
    interpreter = LiteRT(model_path=str(path), num_threads=threads)
    interpreter.allocate_tensors()
    for port, value in zip(interpreter.get_input_details(), feed.values()):
        if value.ndim == 4:
            value = value.transpose(0, 2, 3, 1)
        interpreter.set_tensor(port["index"], np.ascontiguousarray(value).astype(port["dtype"]))
    return interpreter


def litert_difference(path, onnx_path, feed):
    """As `difference`, of the first output; None where its shape is another one."""
    interpreter = litert_interpreter(path, feed, 1)
    interpreter.invoke()
    result = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
    expected = onnxruntime.InferenceSession(str(onnx_path), providers=["CPUExecutionProvider"]).run(None, feed)[0]
    return float(np.abs(result - expected).max() / max(np.abs(expected).max(), 1e-30)) if result.shape == expected.shape else None


def litert_file(path, folder, tensorflow):
    """Where the network is for LiteRT: beside the ONNX file, or translated into `folder`; None without LiteRT or a translation, which is said."""
    beside = path.with_suffix(".tflite")
    if not LiteRT:
        return None
    if beside.exists() or not tensorflow:
        return beside if beside.exists() else None
    result = folder / beside.name
    finished = subprocess.run([tensorflow, str(HERE / "litert.py"), str(path), str(result)], capture_output=True, text=True)
    if finished.returncode == 0:
        return result
    reason = (finished.stderr.strip().splitlines() or ["no reason given"])[-1]
    print(f"{path.name}: LiteRT does not take part: {reason}", file=sys.stderr)
    return None


def swiftlet_ms(program, path, files, threads, runs, precision):
    command = [program, "run", str(path), "--precision", precision, "--threads", str(threads), "--repeat", str(runs), "--json"]
    for name, file in files.items():
        command += ["--input", f"{name}={file}"]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)["median_milliseconds"]


def difference(program, path, feed, files, folder, precision):
    """The largest error of any output relative to the largest value of that output."""
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    command = [program, "run", str(path), "--precision", precision, "--output", str(folder)]
    for name, file in files.items():
        command += ["--input", f"{name}={file}"]
    subprocess.run(command, check=True, capture_output=True)
    worst = 0
    for port, expected in zip(session.get_outputs(), session.run(None, feed)):
        name = "".join(letter if letter.isalnum() or letter in "-_." else "_" for letter in port.name)
        result = np.load(folder / f"{name}.npy")
        worst = max(worst, float(np.abs(result - expected).max() / max(np.abs(expected).max(), 1e-30)))
    return worst


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--swiftlet", required=True)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=1.5, help="measured in each engine in each round")
    parser.add_argument("--precision", choices=["f32", "bf16"], default="f32")
    parser.add_argument("--tensorflow", metavar="PYTHON", help="an interpreter that has tensorflow and onnx: translates networks for LiteRT")
    parser.add_argument("--json", type=pathlib.Path)
    parser.add_argument("models", nargs="+", help="MODEL name=1,3,224,224 ...")
    arguments = parser.parse_args()
    networks, current = [], None
    for word in arguments.models:
        if "=" in word and current:
            name, sizes = word.rsplit("=", 1)
            current[1][name] = [int(size) for size in sizes.split(",")]
        else:
            current = (pathlib.Path(word), {})
            networks.append(current)

    precision, engines = arguments.precision, {}
    if precision == "f32":
        engines["onnxruntime"] = onnxruntime_runner
    if openvino:
        engines["openvino"] = lambda *call: openvino_runner(*call, precision=precision)
    if not engines:
        parser.error("--precision bf16 needs OpenVINO, the only peer here that computes in it")
    results = []
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        for path, shapes in networks:
            random = np.random.default_rng(0)
            feed = {name: random.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}
            files = {name: folder / f"{index}.npy" for index, name in enumerate(feed)}
            for name, value in feed.items():
                np.save(files[name], value)
            error = difference(arguments.swiftlet, path, feed, files, folder / "out", precision)
            litert = litert_file(path, folder, arguments.tensorflow) if precision == "f32" else None
            litert_error = litert_difference(litert, path, feed) if litert else None
            if litert:
                print(f"{path.name:34} litert differs from onnxruntime by " + (f"{litert_error:.1e}" if litert_error is not None else "its shape"))
            for threads in arguments.threads:
                own = engines | ({"litert": lambda _, feed, threads: litert_interpreter(litert, feed, threads).invoke} if litert else {})
                runners = {name: make(path, feed, threads) for name, make in own.items()}
                times = {name: [] for name in ["swiftlet", *runners]}
                for _ in range(arguments.rounds):
                    for name, run in runners.items():
                        times[name].append(median_ms(run, arguments.seconds))
                    runs = max(5, int(1000 * arguments.seconds / min(times[name][-1] for name in runners)))
                    times["swiftlet"].append(swiftlet_ms(arguments.swiftlet, path, files, threads, runs, precision))
                medians = {name: statistics.median(values) for name, values in times.items()}
                ratios = {name: statistics.median(own / other for own, other in zip(times["swiftlet"], times[name])) for name in runners}
                ratio = max(ratios.values())
                results.append({"model": path.name, "shapes": shapes, "threads": threads, "precision": precision, "error": error, "litert_error": litert_error,
                                "milliseconds": medians, "ratios": ratios, "ratio": ratio})
                print(f"{path.name:34} {threads} threads  " + "  ".join(f"{name} {value:7.2f} ms" for name, value in medians.items())
                      + f"  {ratio:.2f} x the best peer, error {error:.1e}", flush=True)
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=1))


main()
