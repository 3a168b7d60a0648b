"""Writes an ONNX image classifier as a LiteRT file, so that networks.py can run the same network there. Needs TensorFlow and onnx (pip install
tensorflow onnx, best in an environment of their own: they ask for an older numpy than the peers do).

    python litert.py MODEL.onnx MODEL.tflite [--calibration DATA.npy]

Convolutions, clips, sums, global averages, flattening and linear layers: what MobileNets and EfficientNets are made of. Images lie channels last in
LiteRT. With calibration images, [n, 3, h, w] as the float network takes them (MODEL is the float one), the file computes in 8 bits (activations int8, weights int8 a channel) and takes
and gives floats; without, in f32.
"""

import argparse

import numpy as np
import onnx
import onnx.numpy_helper
import tensorflow as tf


def network(model, size):
    """The graph as a function of images, channels last."""
    constants = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    constants |= {node.output[0]: onnx.numpy_helper.to_array(node.attribute[0].t) for node in model.graph.node if node.op_type == "Constant"}

    def attributes(node):
        return {attribute.name: onnx.helper.get_attribute_value(attribute) for attribute in node.attribute}

    def convolution(x, node):
        given = attributes(node)
        weight = constants[node.input[1]]
        groups, pads, strides = given.get("group", 1), given.get("pads", [0] * 4), given.get("strides", [1, 1])
        kernel, space = weight.shape[2:], x.shape[1:3]
        # What LiteRT calls SAME needs no step of its own.
        outputs = [-(-space[axis] // strides[axis]) for axis in range(2)]
        total = [max(0, (outputs[axis] - 1) * strides[axis] + kernel[axis] - space[axis]) for axis in range(2)]
        same = [total[0] // 2, total[1] // 2, total[0] - total[0] // 2, total[1] - total[1] // 2]
        padding = "SAME" if list(pads) == same and any(same) else "VALID"
        if padding == "VALID" and any(pads):
            x = tf.pad(x, [[0, 0], [pads[0], pads[2]], [pads[1], pads[3]], [0, 0]])
        if groups == 1:
            x = tf.nn.conv2d(x, weight.transpose(2, 3, 1, 0), strides, padding)
        elif groups == weight.shape[0] and weight.shape[1] == 1:
            x = tf.nn.depthwise_conv2d(x, weight.transpose(2, 3, 0, 1), [1, *strides, 1], padding)
        else:
            raise SystemExit(f"{node.output[0]}: {groups} groups of {weight.shape}")
        return tf.nn.bias_add(x, constants[node.input[2]]) if len(node.input) > 2 else x

    @tf.function(input_signature=[tf.TensorSpec([1, *size], tf.float32)])
    def run(image):
        values = {model.graph.input[0].name: image}
        for node in model.graph.node:
            x = values.get(node.input[0]) if node.input else None
            match node.op_type:
                case "Constant":
                    continue
                case "Conv":
                    y = convolution(x, node)
                case "Clip":
                    low, high = (float(constants[name]) for name in node.input[1:])
                    y = tf.nn.relu6(x) if (low, high) == (0, 6) else tf.clip_by_value(x, low, high)
                case "Relu":
                    y = tf.nn.relu(x)
                case "Add":
                    y = x + values[node.input[1]]
                case "GlobalAveragePool":
                    y = tf.reduce_mean(x, [1, 2], keepdims=True)
                case "Flatten":
                    y = tf.reshape(x, [1, -1])
                case "Gemm" if attributes(node).get("transB", 0) == 1:
                    y = tf.matmul(x, constants[node.input[1]].T) + constants[node.input[2]]
                case other:
                    raise SystemExit(f"{node.output[0]}: no translation of {other}")
            values[node.output[0]] = y
        return {model.graph.output[0].name: values[model.graph.output[0].name]}

    return run


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("model")
    parser.add_argument("result")
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--calibration", help="images as a .npy file, [n, 3, h, w]")
    arguments = parser.parse_args()
    holder = tf.Module()
    holder.run = network(onnx.load(arguments.model), [arguments.size, arguments.size, 3])
    converter = tf.lite.TFLiteConverter.from_concrete_functions([holder.run.get_concrete_function()], holder)
    if arguments.calibration:
        images = np.load(arguments.calibration).transpose(0, 2, 3, 1)
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: ([image[None]] for image in images)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    with open(arguments.result, "wb") as file:
        file.write(converter.convert())


main()
