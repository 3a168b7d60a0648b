"""Writes the operator tests of the onnx package as files: one folder a case with the model, its inputs and the expected outputs.

    python cases.py FOLDER

Tensors are .npy files. Element types NumPy does not have are written as their bits in unsigned integers, one element each; case.json
names the type that is meant.
"""

import json
import pathlib
import shutil
import sys
import warnings

import numpy as np
import onnx
from onnx.backend.test.case.node import collect_testcases

NUMPY_TYPES = {
    "float64": "f64", "float32": "f32", "float16": "f16", "int64": "i64", "int32": "i32", "int16": "i16", "int8": "i8",
    "uint64": "u64", "uint32": "u32", "uint16": "u16", "uint8": "u8", "bool": "bool",
}
# ml_dtypes' names, and the width of the bits.
NARROW_TYPES = {
    "bfloat16": ("bf16", np.uint16), "float8_e4m3fn": ("f8e4m3fn", np.uint8), "float8_e4m3fnuz": ("f8e4m3fnuz", np.uint8),
    "float8_e5m2": ("f8e5m2", np.uint8), "float8_e5m2fnuz": ("f8e5m2fnuz", np.uint8), "float8_e8m0fnu": ("f8e8m0", np.uint8),
    "float4_e2m1fn": ("f4e2m1", np.uint8), "int4": ("i4", np.uint8), "uint4": ("u4", np.uint8), "int2": ("i2", np.uint8), "uint2": ("u2", np.uint8),
}


def write(value, folder, name):
    """The description of a value; its elements go to files that begin with `name`."""
    if value is None:
        return {"kind": "absent"}
    if isinstance(value, (list, tuple)):
        return {"kind": "sequence", "elements": [write(element, folder, f"{name}.{index}") for index, element in enumerate(value)]}
    if isinstance(value, onnx.TensorProto):
        value = onnx.numpy_helper.to_array(value)
    value = np.asarray(value)
    if value.dtype.kind in "OUS":
        texts = [text.decode() if isinstance(text, bytes) else str(text) for text in value.reshape(-1)]
        return {"kind": "strings", "shape": list(value.shape), "values": texts}
    kind = value.dtype.name
    if kind in NARROW_TYPES:
        kind, bits = NARROW_TYPES[kind]
        # The bits above a narrow integer are not its own; files here have its sign in them.
        value = value.astype(np.int8).view(bits) if kind in ("i4", "i2") else value.view(bits)
    elif kind in NUMPY_TYPES:
        kind = NUMPY_TYPES[kind]
    file = f"{name}.npy"
    # Not np.ascontiguousarray: that gives scalars an axis.
    np.save(folder / file, np.array(value, order="C"))
    return {"kind": "tensor", "type": kind, "file": file}


def main():
    warnings.filterwarnings("ignore")
    root = pathlib.Path(sys.argv[1])
    shutil.rmtree(root, ignore_errors=True)
    cases = [case for case in collect_testcases(None) if case.model is not None]
    for case in cases:
        folder = root / case.name
        folder.mkdir(parents=True)
        onnx.save(case.model, folder / "model.onnx")
        sets = []
        for number, (inputs, outputs) in enumerate(case.data_sets):
            sets.append({
                "inputs": {
                    port.name: write(value, folder, f"{number}.in.{index}")
                    for index, (port, value) in enumerate(zip(case.model.graph.input, inputs))
                },
                "outputs": {
                    port.name: write(value, folder, f"{number}.out.{index}")
                    for index, (port, value) in enumerate(zip(case.model.graph.output, outputs))
                },
            })
        versions = {entry.domain: entry.version for entry in case.model.opset_import}
        operators = sorted({node.op_type for node in case.model.graph.node})
        # What a case is about: its name says so, its nodes may be the function the operator stands for.
        (folder / "case.json").write_text(json.dumps({
            "name": case.name, "version": versions.get("", 0), "operators": operators, "rtol": case.rtol, "atol": case.atol, "sets": sets}))
    (root / "version").write_text(onnx.__version__)
    print(f"{len(cases)} cases of onnx {onnx.__version__}")


main()
