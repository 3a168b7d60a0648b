#!/usr/bin/env python3
"""Makes the vectors of the block formats with the `gguf` package (0.19.0) and NumPy as the oracle.

    python3 -m pip install gguf==0.19.0
    python3 Tests/Vectors/make_block_vectors.py

blocks/NAME.dequantize.bin   u32 number of blocks | the blocks | their values, f32
blocks/NAME.quantize.bin     u32 number of blocks | values, f32 | the blocks they round to

Little-endian throughout. Everything is seeded: a second run writes the same bytes.
"""
import pathlib
import struct

import numpy as np
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType as Type
from gguf.quants import dequantize, quantize

FOLDER = pathlib.Path(__file__).parent / "blocks"

# Where the f16 scales of a block lie, in bytes.
SCALES = {
    Type.Q4_0: [0], Type.Q4_1: [0, 2], Type.Q5_0: [0], Type.Q5_1: [0, 2], Type.Q8_0: [0],
    Type.Q2_K: [80, 82], Type.Q3_K: [108], Type.Q4_K: [0, 2], Type.Q5_K: [0, 2], Type.Q6_K: [208],
    Type.IQ4_NL: [0], Type.IQ4_XS: [0], Type.TQ1_0: [52], Type.TQ2_0: [64], Type.MXFP4: [], Type.BF16: [],
}

# Zero of both signs, the smallest and largest subnormal, the smallest normal, one, the largest, ordinary ones.
EDGES = [0x0000, 0x8000, 0x0001, 0x83FF, 0x0400, 0x3C00, 0x7BFF, 0xFBFF, 0x2E66, 0xA8F1]


def dequantisation(kind, random):
    elements, size = GGML_QUANT_SIZES[kind]
    blocks = random.integers(0, 256, size=(len(EDGES), size), dtype=np.uint8)
    for row, edge in enumerate(EDGES):
        for place, offset in enumerate(SCALES[kind]):
            # The second scale takes another edge, so that the two are seen together in many ways.
            value = EDGES[(row + 3 * place) % len(EDGES)]
            blocks[row, offset:offset + 2] = np.frombuffer(struct.pack("<H", value), dtype=np.uint8)
    if kind is Type.MXFP4:
        blocks[:, 0] = [0, 1, 2, 3, 100, 127, 128, 200, 251, 254]
    if kind is Type.BF16:
        blocks = blocks.reshape(-1, 2)
        blocks[:6] = np.array([0, 0x8000, 1, 0x7F80, 0xFF80, 0x3F80], dtype="<u2").view(np.uint8).reshape(-1, 2)
        blocks[blocks[:, 1] & 0x7F == 0x7F, 1] = 0x40  # no NaN: payloads are not compared
    values = dequantize(blocks.reshape(1, -1), kind).astype("<f4").ravel()
    assert values.size == len(blocks) * elements
    return struct.pack("<I", len(blocks)) + blocks.tobytes() + values.tobytes()


def inputs(elements, random):
    """Rows that reach the corners of rounding: spreads, ties, equal extremes, constants, zeros, scales that are subnormal or infinite as f16."""
    rows = [random.standard_normal(elements) * scale for scale in (1.0, 0.02, 3e-6, 700.0)]
    rows += [np.zeros(elements), np.full(elements, 0.75), np.full(elements, -2.5)]
    ramp = np.linspace(-1, 1, elements)
    rows += [ramp, ramp[::-1] * 8, np.where(np.arange(elements) % 2 == 0, 4.0, -4.0)]
    rows += [np.round(random.standard_normal(elements) * 4) / 2, np.eye(1, elements, 5)[0] * -3]
    rows += [random.uniform(-1, 1, elements) * 1e7, np.arange(elements) % 16 - 8.0, np.arange(elements) % 13 * 0.5]
    edge = random.uniform(-1, 1, elements)
    edge[3] = np.nextafter(np.float32(2), np.float32(0))
    return np.array(rows + [edge, np.clip(random.standard_normal(elements), -1, 1) * 6], dtype=np.float32)


def quantisation(kind, random):
    elements, size = GGML_QUANT_SIZES[kind]
    values = inputs(max(elements, 64), random)
    with np.errstate(over="ignore"):
        blocks = np.ascontiguousarray(quantize(values, kind)).view(np.uint8).ravel()
    count = values.size // elements
    assert blocks.size == count * size
    return struct.pack("<I", count) + values.astype("<f4").tobytes() + blocks.tobytes()


def main():
    FOLDER.mkdir(exist_ok=True)
    for kind in SCALES:
        random = np.random.Generator(np.random.PCG64(1000 + int(kind)))
        (FOLDER / f"{kind.name}.dequantize.bin").write_bytes(dequantisation(kind, random))
    for kind in (Type.Q4_0, Type.Q4_1, Type.Q5_0, Type.Q5_1, Type.Q8_0, Type.BF16, Type.F16, Type.TQ1_0, Type.TQ2_0, Type.MXFP4):
        random = np.random.Generator(np.random.PCG64(2000 + int(kind)))
        (FOLDER / f"{kind.name}.quantize.bin").write_bytes(quantisation(kind, random))


main()
