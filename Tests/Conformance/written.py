"""Checks the ONNX writer: the operator test cases, imported, fused and written again, must be valid and give the published answers in onnxruntime.

    onnx-conformance CASES --write FOLDER > OUTCOMES
    python written.py CASES FOLDER [--list]

A model is checked by onnx.checker with shape inference, then loaded and run by onnxruntime. Cases whose published model onnxruntime does not
run either, and element types it takes no inputs of, say nothing and are counted apart. Exit 1 when an answer is wrong or a model invalid.
"""

import argparse
import collections
import json
import pathlib
import sys

import ml_dtypes
import numpy as np
import onnx
import onnxruntime as ort

NARROW = {
    "bf16": ml_dtypes.bfloat16, "f8e4m3fn": ml_dtypes.float8_e4m3fn, "f8e4m3fnuz": ml_dtypes.float8_e4m3fnuz, "f8e5m2": ml_dtypes.float8_e5m2,
    "f8e5m2fnuz": ml_dtypes.float8_e5m2fnuz, "f8e8m0": ml_dtypes.float8_e8m0fnu, "f4e2m1": ml_dtypes.float4_e2m1fn, "i4": ml_dtypes.int4,
    "u4": ml_dtypes.uint4, "i2": ml_dtypes.int2, "u2": ml_dtypes.uint2,
}
RANDOM = {"Bernoulli", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Multinomial"}


class Untestable(Exception):
    pass


def array(stored, folder):
    if stored["kind"] != "tensor":
        raise Untestable("a value that is no tensor of numbers")
    if stored["type"] in NARROW:
        raise Untestable(f"values of {stored['type']}")
    return np.load(folder / stored["file"])


def session(path):
    options = ort.SessionOptions()
    options.log_severity_level = 4
    return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def run(path, feeds):
    loaded = session(path)
    names = {port.name for port in loaded.get_inputs()}
    return loaded.run(None, {name: value for name, value in feeds.items() if name in names})


def differs(result, expected, rtol, atol):
    if result.dtype != expected.dtype or result.shape != expected.shape:
        return f"{result.dtype}{list(result.shape)} instead of {expected.dtype}{list(expected.shape)}"
    if result.dtype.kind != "f":
        return None if np.array_equal(result, expected) else "other elements"
    if result.dtype == np.float16:
        rtol = max(rtol, 2.0**-9)
    largest = np.max(np.abs(expected[np.isfinite(expected)]), initial=0)
    if np.allclose(result, expected, rtol=rtol, atol=max(atol, 2.0**-22 * float(largest)), equal_nan=True):
        return None
    return f"max error {np.nanmax(np.abs(result.astype(np.float64) - expected.astype(np.float64))):.3g}"


def outcome(folder, path):
    case = json.loads((folder / "case.json").read_text())
    try:
        onnx.checker.check_model(str(path), full_check=True)
    except Exception as error:
        return "invalid", str(error)
    if RANDOM & set(case["operators"]):
        return "untestable", "random numbers"
    try:
        sets = case["sets"][:1]
        for data in sets:
            feeds = {name: array(value, folder) for name, value in data["inputs"].items() if value["kind"] != "absent"}
            expected = [array(value, folder) for value in data["outputs"].values()]
            try:
                results = run(path, feeds)
            except Exception as error:
                try:
                    run(folder / "model.onnx", feeds)
                except Exception:
                    return "untestable", "onnxruntime does not run the published model either"
                kind = "not run" if "NOT_IMPLEMENTED" in str(error) or "Could not find an implementation" in str(error) else "refused"
                return kind, str(error)
            for name, result, want in zip(data["outputs"], results, expected):
                difference = differs(np.asarray(result), want, case["rtol"], case["atol"])
                if difference:
                    try:
                        own = run(folder / "model.onnx", feeds)[list(data["outputs"]).index(name)]
                        if differs(np.asarray(own), want, case["rtol"], case["atol"]):
                            return "untestable", "onnxruntime gives another answer for the published model too"
                    except Exception:
                        return "untestable", "onnxruntime does not run the published model"
                    return "wrong", f"{name}: {difference}"
    except Untestable as reason:
        return "untestable", str(reason)
    return "agrees", ""


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("cases", type=pathlib.Path)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--list", action="store_true", help="print every case that does not agree")
    arguments = parser.parse_args()
    counts, reasons = collections.Counter(), collections.Counter()
    for path in sorted(arguments.folder.glob("*.onnx")):
        kind, reason = outcome(arguments.cases / path.stem, path)
        counts[kind] += 1
        if kind == "untestable":
            reasons[reason] += 1
        if kind in ("wrong", "invalid", "refused") or (arguments.list and kind != "agrees"):
            print(f"{kind:12}{path.stem}: {reason.splitlines()[0][:300] if reason else ''}")
    print(", ".join(f"{count} {kind}" for kind, count in counts.most_common()))
    for reason, count in reasons.most_common():
        print(f"    {count} {reason}")
    sys.exit(1 if counts["wrong"] or counts["invalid"] or counts["refused"] else 0)


main()
