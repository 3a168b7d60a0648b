"""ONNX Runtime's 4-bit matrix product on the shapes of real layers, one thread. There is no language model to run without an exported one, so its
kernel is what is compared: MatMulNBits with blocks of 32, no zero points (as Q4_0) and accuracy_level 4, which rounds activations to int8 inside
the product. Nothing here runs when Swiftlet runs.
"""

import statistics
import time

STREAMED_BYTES = 128 << 20


def layers(path):
    """(name, outputs, inputs) of the linear layers of a shape file, each distinct shape once."""
    seen, result = set(), []
    with open(path, encoding="utf-8") as file:
        for line in file:
            fields = line.split("#")[0].split()
            if len(fields) == 6 and fields[0] == "linear" and (fields[2], fields[3]) not in seen:
                seen.add((fields[2], fields[3]))
                result.append((fields[5], int(fields[2]), int(fields[3])))
    return result


def model(outputs, inputs, copies):
    """A graph of `copies` products of one input, each with weights of its own."""
    import numpy
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    random = numpy.random.default_rng(1)
    blocks = inputs // 32
    nodes, weights, results = [], [], []
    quants = random.integers(0, 256, (outputs, blocks, 16), dtype=numpy.uint8)
    scales = random.uniform(0.01, 0.1, outputs * blocks).astype(numpy.float32)
    for copy in range(copies):
        # A little different each, or the runtime would share them.
        quants[0, 0, 0] = copy % 256
        quants[0, 0, 1] = copy // 256
        weights += [numpy_helper.from_array(quants, f"b{copy}"), numpy_helper.from_array(scales, f"s{copy}")]
        nodes.append(
            helper.make_node(
                "MatMulNBits", ["a", f"b{copy}", f"s{copy}"], [f"y{copy}"], domain="com.microsoft", K=inputs, N=outputs, bits=4, block_size=32,
                accuracy_level=4,
            )
        )
        results.append(helper.make_tensor_value_info(f"y{copy}", TensorProto.FLOAT, ["rows", outputs]))
    graph = helper.make_graph(
        nodes, "products", [helper.make_tensor_value_info("a", TensorProto.FLOAT, ["rows", inputs])], results, weights)
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid("com.microsoft", 1)]
    return onnx.helper.make_model(graph, opset_imports=opsets, ir_version=10).SerializeToString()


def nanoseconds(outputs, inputs, rows, samples=15):
    """Median time of one product. One row reads weights from memory; more rows use a few copies in turn, as a cache holds them or not."""
    import numpy
    import onnxruntime

    weight_bytes = outputs * inputs // 2 + outputs * inputs // 32 * 4
    copies = max(1, -(-STREAMED_BYTES // weight_bytes)) if rows == 1 else 1
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model(outputs, inputs, copies), options, providers=["CPUExecutionProvider"])
    x = numpy.random.default_rng(2).uniform(-2, 2, (rows, inputs)).astype(numpy.float32)
    session.run(None, {"a": x})
    times = []
    for _ in range(samples):
        started = time.perf_counter()
        session.run(None, {"a": x})
        times.append((time.perf_counter() - started) / copies)
    return statistics.median(times) * 1e9
