"""Adds operator tests to the published ones, in the same form: versions before the present one, and sizes that take other ways through the
importer. What must come out is computed here with NumPy in float64.

    python more_cases.py FOLDER
"""

import json
import pathlib
import sys

import numpy as np
import onnx
from onnx import helper, numpy_helper

random = np.random.default_rng(7)
root = pathlib.Path(sys.argv[1])
TYPES = {"float32": "f32", "int64": "i64", "int32": "i32", "int8": "i8", "uint8": "u8", "bool": "bool"}


def floats(*shape):
    return random.standard_normal(shape).astype(np.float32)


def case(name, operator, inputs, outputs, version, constants=(), atol=1e-5, **attributes):
    """One node. An input of None is left out; those of `constants` are initialisers."""
    outputs = [np.asarray(output, dtype=np.float32 if np.asarray(output).dtype == np.float64 else None) for output in outputs]
    names = ["" if value is None else f"in{index}" for index, value in enumerate(inputs)]
    results = [f"out{index}" for index in range(len(outputs))]

    def port(name, value):
        return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(value.dtype), value.shape)

    given = {names[index]: value for index, value in enumerate(inputs) if value is not None and index not in constants}
    graph = helper.make_graph(
        [helper.make_node(operator, names, results, **attributes)], name, [port(*entry) for entry in given.items()],
        [port(*entry) for entry in zip(results, outputs)], [numpy_helper.from_array(inputs[index], names[index]) for index in constants])
    folder = root / f"more_{name}"
    folder.mkdir(parents=True, exist_ok=True)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", version)], ir_version=8), folder / "model.onnx")

    def stored(values, kind):
        entries = {}
        for index, (key, value) in enumerate(values):
            np.save(folder / f"0.{kind}.{index}.npy", value)
            entries[key] = {"kind": "tensor", "type": TYPES[value.dtype.name], "file": f"0.{kind}.{index}.npy"}
        return entries

    sets = [{"inputs": stored(given.items(), "in"), "outputs": stored(zip(results, outputs), "out")}]
    (folder / "case.json").write_text(json.dumps(
        {"name": f"more_{name}", "version": version, "operators": [operator], "rtol": 1e-3, "atol": atol, "sets": sets}))


def parts(numbers):
    return np.stack([numbers.real, numbers.imag], -1)


def scalar(value):
    return np.array(value, dtype=np.int64)


def transforms():
    """One product, two and three factors, a prime, an odd length."""
    for length in (7, 512, 521, 1500, 2048, 4096):
        real, signal = floats(2, length, 1), floats(2, length, 3, 2)
        number = signal[..., 0] + 1j * signal[..., 1]
        half = np.fft.rfft(real[..., 0])
        case(f"dft_real_{length}", "DFT", [real], [parts(np.fft.fft(real[..., 0]))], 20, atol=1e-3)
        case(f"dft_onesided_{length}", "DFT", [real], [parts(half)], 20, atol=1e-3, onesided=1)
        case(f"dft_complex_{length}", "DFT", [signal, None, scalar(-3)], [parts(np.fft.fft(number, axis=1))], 20, atol=1e-3)
        case(f"dft_inverse_{length}", "DFT", [signal, None, scalar(1)], [parts(np.fft.ifft(number, axis=1))], 20, inverse=1)
        case(f"dft_inverse_onesided_{length}", "DFT", [parts(half).astype(np.float32), scalar(length)], [real], 20, inverse=1, onesided=1)
    real = floats(2, 10, 1)
    for length in (6, 16):
        case(f"dft_17_length_{length}", "DFT", [real, scalar(length)], [parts(np.fft.fft(real[..., 0], n=length))], 17, axis=1)
    signal, window = floats(2, 50, 2), floats(8)
    frames = [np.fft.fft((signal[:, at:at + 8, 0] + 1j * signal[:, at:at + 8, 1]) * window) for at in range(0, 43, 3)]
    case("stft_complex", "STFT", [signal, scalar(3), window], [parts(np.stack(frames, 1))], 17, onesided=0)


def products():
    def convolve(x, weight, groups, padding):
        x, weight = np.pad(x.astype(np.float64), ((0, 0), (0, 0), (padding,) * 2, (padding,) * 2)), weight.astype(np.float64)
        (m, c, height, width), rows, columns = weight.shape, x.shape[2] - weight.shape[2] + 1, x.shape[3] - weight.shape[3] + 1
        result = np.zeros((len(x), m, rows, columns))
        for group in range(groups):
            channels, features = slice(group * c, (group + 1) * c), slice(group * m // groups, (group + 1) * m // groups)
            for i in range(height):
                for j in range(width):
                    result[:, features] += np.einsum("nchw,mc->nmhw", x[:, channels, i:i + rows, j:j + columns], weight[features, :, i, j])
        return result.astype(np.int32)

    # Sums beyond the whole numbers of f32.
    x, weight = np.full((1, 600, 4, 4), 255, np.uint8), np.full((3, 600, 3, 3), 255, np.uint8)
    x[0, :, 1, 2], weight[1] = random.integers(0, 256, 600), random.integers(0, 256, (600, 3, 3))
    case("convinteger_many_channels", "ConvInteger", [x, weight], [convolve(x, weight, 1, 1)], 10, pads=[1] * 4)
    x, weight, zeros = random.integers(0, 256, (1, 1200, 4, 4)).astype(np.uint8), random.integers(0, 256, (4, 600, 3, 3)).astype(np.uint8), np.arange(7, 11)
    centred = convolve(x.astype(int) - 3, weight - zeros.reshape(4, 1, 1, 1), 2, 0)
    case("convinteger_groups", "ConvInteger", [x, weight, np.array(3, np.uint8), zeros.astype(np.uint8)], [centred], 10, group=2)

    def quantised(total, multiplier, zero):
        return np.clip(np.rint(total * multiplier.astype(np.float64)) + zero, -128, 127).astype(np.int8)

    a, b = random.integers(0, 256, (4, 6)).astype(np.uint8), random.integers(-128, 128, (6, 5)).astype(np.int8)
    a_scale, b_scale, y_scale = np.abs(floats(4)), np.abs(floats(5)), np.float32(900)
    a_zero, b_zero, y_zero = random.integers(0, 256, 4).astype(np.uint8), random.integers(-128, 128, 5).astype(np.int8), np.int8(5)
    total = (a.astype(int) - a_zero.astype(int)[:, None]) @ (b.astype(int) - b_zero.astype(int))
    case("qlinearmatmul_rows_and_columns", "QLinearMatMul", [a, a_scale, a_zero, b, b_scale, b_zero, np.array(y_scale), np.array(y_zero)],
         [quantised(total, a_scale[:, None] * b_scale / y_scale, 5)], 21)
    x, weight = random.integers(-128, 128, (1, 4, 5, 5)).astype(np.int8), random.integers(-128, 128, (6, 2, 3, 3)).astype(np.int8)
    w_scale, zeros, bias = np.abs(floats(6)), random.integers(-9, 9, 6).astype(np.int8), random.integers(-999, 999, 6).astype(np.int32)
    total = convolve(x.astype(int) + 3, weight.astype(int) - zeros.astype(int).reshape(6, 1, 1, 1), 2, 1) + bias.reshape(1, 6, 1, 1)
    case("qlinearconv_groups", "QLinearConv", [x, np.array(0.5, np.float32), np.array(-3, np.int8), weight, w_scale, zeros, np.array(y_scale), np.array(y_zero), bias],
         [quantised(total, (np.float32(0.5) * w_scale / y_scale).reshape(1, 6, 1, 1), 5)], 10, group=2, pads=[1] * 4)
    values, scales = floats(2, 7), np.abs(floats(2, 3)) + np.float32(0.1)
    wide = np.repeat(scales, 3, 1)[:, :7]
    case("quantizelinear_ragged_blocks", "QuantizeLinear", [values, scales, np.zeros((2, 3), np.int8)],
         [np.clip(np.rint(values / wide), -128, 127).astype(np.int8)], 21, axis=1, block_size=3)

    equations = [
        ("bij,bjk->bik", (2, 3, 4), (2, 4, 5)), ("ij,jk,kl->il", (2, 3), (3, 4), (4, 5)), ("...ij,...jk->...ik", (3, 1, 2, 4), (5, 4, 3)),
        ("iij->j", (3, 3, 4)), ("ij->", (3, 4)), ("i,j->ji", (3,), (4,)), ("ij,jk", (2, 3), (3, 4)), ("bhwc,hkc->bhwk", (2, 3, 4, 5), (3, 6, 5)),
        ("ijk,ijk->", (2, 3, 4), (2, 3, 4)), ("ba,b,c->ca", (2, 3), (2,), (4,)), ("i...->...", (3, 2, 4)), ("abcabc->bc", (2, 3, 4, 2, 3, 4)),
        ("ab,ab->ab", (1, 3), (2, 3)), ("ab,cd,ef->fdb", (2, 3), (2, 2), (3, 2)), ("ii", (3, 3)), ("bqhd,bkhd->bhqk", (2, 3, 4, 5), (2, 6, 4, 5)),
    ]
    for number, (equation, *shapes) in enumerate(equations):
        operands = [floats(*shape) for shape in shapes]
        case(f"einsum_{number}", "Einsum", operands, [np.einsum(equation, *[operand.astype(np.float64) for operand in operands])], 12, equation=equation)

    matrices = floats(4, 6, 6)
    matrices[1, 3], matrices[2, 0, 0] = matrices[1, 2], 0
    case("det_6", "Det", [matrices], [np.linalg.det(matrices.astype(np.float64))], 11, atol=1e-4)
    case("det_swapped", "Det", [np.array([[0, 1], [1, 0]], np.float32)], [np.float32(-1)], 11)
    case("det_zeros", "Det", [np.zeros((3, 3), np.float32)], [np.float32(0)], 11)


def old_versions():
    x = floats(2, 3, 4)
    for axis in range(3):
        flat = x.reshape(int(np.prod(x.shape[:axis])), -1).astype(np.float64)
        shares = np.exp(flat) / np.exp(flat).sum(1, keepdims=True)
        case(f"softmax_11_axis_{axis}", "Softmax", [x], [shares.reshape(x.shape)], 11, axis=axis)
        case(f"logsoftmax_11_axis_{axis}", "LogSoftmax", [x], [np.log(shares).reshape(x.shape)], 11, axis=axis)
        case(f"hardmax_11_axis_{axis}", "Hardmax", [x], [np.eye(flat.shape[1])[flat.argmax(1)].reshape(x.shape)], 11, axis=axis)
    positive = np.abs(x).astype(np.float64)
    reductions = {
        "ReduceSum": np.sum, "ReduceMean": np.mean, "ReduceMax": np.max, "ReduceMin": np.min, "ReduceProd": np.prod, "ReduceL1": np.sum,
        "ReduceL2": lambda x, axis: np.sqrt(np.sum(x * x, axis)), "ReduceLogSum": lambda x, axis: np.log(np.sum(x, axis)),
        "ReduceLogSumExp": lambda x, axis: np.log(np.sum(np.exp(x), axis)), "ReduceSumSquare": lambda x, axis: np.sum(x * x, axis),
    }
    for operator, reduction in reductions.items():
        case(f"{operator.lower()}_11", operator, [np.abs(x)], [reduction(positive, axis=(0, 2))], 11, axes=[0, -1], keepdims=0)
    endless = floats(3, 4)
    endless[1], endless[2, 0] = -np.inf, np.inf
    case("reducelogsumexp_infinite", "ReduceLogSumExp", [endless, np.array([1])], [[[np.log(np.exp(endless[0]).sum())], [-np.inf], [np.inf]]], 18)

    scale, bias, mean, variance = floats(3), floats(3), floats(3), np.abs(floats(3))
    channels = [value.reshape(1, 3, 1).astype(np.float64) for value in (scale, bias, mean, variance)]
    expected = channels[0] * (x - channels[2]) / np.sqrt(channels[3] + 1e-5) + channels[1]
    case("batchnormalization_9", "BatchNormalization", [x, scale, bias, mean, variance], [expected], 9)
    case("batchnormalization_folded", "BatchNormalization", [x, scale, bias, mean, variance], [expected], 15, constants=(1, 2, 3, 4))
    places = [np.abs(floats(3, 4)) for _ in range(4)]
    case("batchnormalization_7_places", "BatchNormalization", [x, *places],
         [places[0] * (x - places[2]) / np.sqrt(places[3] + 1e-5) + places[1]], 7, spatial=0)
    images, scale, bias = floats(2, 6, 3, 4), floats(3), floats(3)
    groups = images.reshape(2, 3, -1).astype(np.float64)
    groups = (groups - groups.mean(2, keepdims=True)) / np.sqrt(groups.var(2, keepdims=True) + 1e-5)
    case("groupnormalization_18", "GroupNormalization", [images, scale, bias],
         [(groups * scale.reshape(1, 3, 1) + bias.reshape(1, 3, 1)).reshape(images.shape)], 18, num_groups=3)
    scale, bias = floats(3, 4), floats(3, 4)
    rows = x.astype(np.float64) - x.mean((1, 2), keepdims=True)
    case("layernormalization_folded", "LayerNormalization", [x, scale, bias],
         [rows / np.sqrt((rows**2).mean((1, 2), keepdims=True) + 1e-5) * scale + bias], 17, constants=(1, 2), axis=1)
    case("rmsnormalization_folded", "RMSNormalization", [x, scale[0]],
         [x / np.sqrt((x.astype(np.float64)**2).mean(2, keepdims=True) + 1e-5) * scale[0]], 23, constants=(1,))
    images = floats(2, 5, 3, 3)
    windows = [(images[:, max(0, c - 1):c + 3].astype(np.float64)**2).sum(1) for c in range(5)]
    case("lrn_even", "LRN", [images], [images / (1.5 + 0.5 / 4 * np.stack(windows, 1))**0.6], 13, size=4, alpha=0.5, beta=0.6, bias=1.5)


transforms()
products()
old_versions()
