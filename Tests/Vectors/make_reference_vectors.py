"""Writes Tests/Vectors/reference/sampling.json: small operations as the reference evaluator of the onnx package computes them.

    pip install onnx numpy && python make_reference_vectors.py
"""

import json
import pathlib

import numpy as np
import onnx
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator

random = np.random.default_rng(4)


def f32(*shape):
    return random.uniform(-1, 1, shape).astype(np.float32)


def case(name, operator, inputs, outputs=1, **attributes):
    """`inputs`: arrays in the operator's order, None for one left out."""
    names = [f"x{i}" if x is not None else "" for i, x in enumerate(inputs)]
    results = [f"y{i}" for i in range(outputs)]
    node = helper.make_node(operator, names, results, **attributes)
    given = {n: x for n, x in zip(names, inputs) if n}
    graph = helper.make_graph(
        [node], "g", [helper.make_tensor_value_info(n, helper.np_dtype_to_tensor_dtype(x.dtype), x.shape) for n, x in given.items()],
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, None) for n in results])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 22)])
    answers = ReferenceEvaluator(model).run(None, given)
    tensor = lambda x: {"shape": list(x.shape), "values": [float(v) for v in x.ravel()]}
    return {"name": name, "operands": [tensor(x) for x in given.values()], "results": [tensor(np.asarray(y)) for y in answers]}


cases = []
x = f32(1, 1, 5, 6)
for name, scales, attributes in [
    ("cubic", (1, 1, 1.6, 0.7), dict(mode="cubic")),
    ("cubic-exclude", (1, 1, 1.6, 0.7), dict(mode="cubic", exclude_outside=1, coordinate_transformation_mode="asymmetric")),
    ("cubic-antialias", (1, 1, 0.6, 0.5), dict(mode="cubic", antialias=1)),
    ("linear-antialias", (1, 1, 0.6, 1.5), dict(mode="linear", antialias=1)),
    ("linear-symmetric", (1, 1, 0.5, 2.3), dict(mode="linear", coordinate_transformation_mode="half_pixel_symmetric")),
    ("linear-corners", (1, 1, 2, 0.7), dict(mode="linear", coordinate_transformation_mode="align_corners")),
]:
    cases.append(case("resize-" + name, "Resize", [x, None, np.array(scales, np.float32)], **attributes))
grid = random.uniform(-1.4, 1.4, (1, 3, 4, 2)).astype(np.float32)
for mode in ["linear", "cubic", "nearest"]:
    for padding in ["zeros", "border", "reflection"]:
        for align in [0, 1]:
            cases.append(case(f"grid-{mode}-{padding}-{align}", "GridSample", [f32(1, 2, 4, 5), grid], mode=mode, padding_mode=padding, align_corners=align))
cases.append(case("grid3d", "GridSample", [f32(1, 1, 3, 4, 2), random.uniform(-1.2, 1.2, (1, 2, 2, 3, 3)).astype(np.float32)], mode="linear"))
boxes = np.array([[0, 0, 5, 4], [1.2, -1, 3, 3.3]], np.float32)
for mode in ["avg", "max"]:
    for transform in ["half_pixel", "output_half_pixel"]:
        cases.append(case(
            f"roi-{mode}-{transform}", "RoiAlign", [f32(1, 2, 5, 6), boxes, np.array([0, 0], np.int64)], mode=mode, output_height=2, output_width=3,
            sampling_ratio=0 if mode == "avg" else 2, spatial_scale=0.9, coordinate_transformation_mode=transform))
t, n, i, h = 3, 2, 4, 3
cases.append(case("lstm", "LSTM", [f32(t, n, i), f32(2, 4 * h, i), f32(2, 4 * h, h), f32(2, 8 * h), None, f32(2, n, h), f32(2, n, h), f32(2, 3 * h)], 3, hidden_size=h, direction="bidirectional"))
for after in [0, 1]:
    cases.append(case(f"gru-{after}", "GRU", [f32(t, n, i), f32(1, 3 * h, i), f32(1, 3 * h, h), f32(1, 6 * h)], 2, hidden_size=h, linear_before_reset=after))
cases.append(case(
    "deform", "DeformConv", [f32(1, 4, 4, 5), f32(4, 2, 2, 2), f32(1, 16, 3, 4), f32(4), f32(1, 8, 3, 4)], kernel_shape=[2, 2], group=2, offset_group=2))
cases.append(case("transposed", "ConvTranspose", [f32(1, 4, 3, 4), f32(4, 2, 3, 2), f32(2)], strides=[2, 3], pads=[1, 0, 0, 1], output_padding=[1, 1]))
cases.append(case("convolution", "Conv", [f32(2, 4, 6, 5), f32(4, 2, 3, 2), f32(4)], strides=[2, 1], pads=[1, 0, 2, 1], dilations=[1, 2], group=2))

target = pathlib.Path(__file__).parent / "reference" / "sampling.json"
target.parent.mkdir(exist_ok=True)
target.write_text(json.dumps(cases, separators=(",", ":")) + "\n")
print(len(cases), "cases with onnx", onnx.__version__)
