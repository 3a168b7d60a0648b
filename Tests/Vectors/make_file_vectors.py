#!/usr/bin/env python3
"""Makes small model files with the `gguf` (0.19.0) and `safetensors` packages as the oracle of our readers and writers.

    python3 -m pip install gguf==0.19.0 safetensors==0.8.0
    python3 Tests/Vectors/make_file_vectors.py

files/all-types.gguf                 every metadata type, an alignment of 64, tensors of several types; our writer must write the same bytes
files/split-0000N-of-00003.gguf      a model in three parts
files/all-types.safetensors          every dtype
"""
import pathlib

import numpy as np
from gguf import GGMLQuantizationType, GGUFValueType, GGUFWriter
from gguf.quants import quantize
from safetensors.numpy import save_file

FOLDER = pathlib.Path(__file__).parent / "files"


def finish(writer):
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def all_types():
    writer = GGUFWriter(FOLDER / "all-types.gguf", "test")
    writer.add_custom_alignment(64)
    writer.add_uint8("a.u8", 200)
    writer.add_int8("a.i8", -100)
    writer.add_uint16("a.u16", 60000)
    writer.add_int16("a.i16", -30000)
    writer.add_uint32("a.u32", 4000000000)
    writer.add_int32("a.i32", -2000000000)
    writer.add_float32("a.f32", 0.1)
    writer.add_bool("a.true", True)
    writer.add_bool("a.false", False)
    writer.add_string("a.string", "Grüße, 世界 🌍")
    writer.add_uint64("a.u64", 2**64 - 1)
    writer.add_int64("a.i64", -(2**63))
    writer.add_float64("a.f64", 0.1)
    kind = GGUFValueType
    for name, sub, values in [
        ("u8", kind.UINT8, [0, 255]), ("i8", kind.INT8, [-128, 127]), ("u16", kind.UINT16, [0, 65535]), ("i16", kind.INT16, [-32768, 32767]),
        ("u32", kind.UINT32, [0, 2**32 - 1]), ("i32", kind.INT32, [-(2**31), 2**31 - 1]), ("f32", kind.FLOAT32, [0.5, -1e30]),
        ("bool", kind.BOOL, [True, False, True]), ("string", kind.STRING, ["", "one", "zwei ü", "<|end|>"]),
        ("u64", kind.UINT64, [0, 2**64 - 1]), ("i64", kind.INT64, [-(2**63), 2**63 - 1]), ("f64", kind.FLOAT64, [0.1, -1e300]),
    ]:
        writer.add_key_value("array." + name, values, kind.ARRAY, sub_type=sub)
    writer.add_key_value("array.nested", [[1, 2, 3], [4]], kind.ARRAY)
    ramp = np.arange(6, dtype=np.float32).reshape(2, 3)
    writer.add_tensor("f32", ramp)
    writer.add_tensor("f16", ramp.astype(np.float16))
    writer.add_tensor("f64", ramp.astype(np.float64))
    writer.add_tensor("i8", np.arange(-4, 4, dtype=np.int8).reshape(2, 2, 2))
    writer.add_tensor("i16", np.arange(5, dtype=np.int16))
    writer.add_tensor("i32", np.arange(24, dtype=np.int32).reshape(1, 2, 3, 4))
    writer.add_tensor("i64", np.array([2**40], dtype=np.int64))
    rows = np.linspace(-1, 1, 2 * 256, dtype=np.float32).reshape(2, 256)
    for kind in (GGMLQuantizationType.BF16, GGMLQuantizationType.Q8_0, GGMLQuantizationType.Q4_1, GGMLQuantizationType.TQ1_0):
        writer.add_tensor(kind.name, quantize(rows, kind).view(np.uint8), raw_dtype=kind)
    finish(writer)


def split():
    writer = GGUFWriter(FOLDER / "split.gguf", "test", split_max_tensors=2)
    writer.add_string("general.name", "split")
    for index in range(5):
        writer.add_tensor(f"tensor.{index}", np.full((index + 1, 4), index, dtype=np.float32))
    finish(writer)


def safetensors():
    ramp = np.arange(6).reshape(2, 3)
    tensors = {kind.__name__: ramp.astype(kind) for kind in (
        np.float64, np.float32, np.float16, np.int64, np.int32, np.int16, np.int8, np.uint64, np.uint32, np.uint16, np.uint8)}
    tensors["bool"] = ramp % 2 == 0
    tensors["scalar"] = np.array(2.5, dtype=np.float32)
    tensors["empty"] = np.zeros((0, 4), dtype=np.float32)
    save_file(tensors, FOLDER / "all-types.safetensors", metadata={"note": "Grüße \"quoted\""})


FOLDER.mkdir(exist_ok=True)
all_types()
split()
safetensors()
