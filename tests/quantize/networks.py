"""Networks with random weights, of the kinds that are quantised: an image classifier of inverted residuals, an encoder of
words, and one of sound by convolutions of lines and recurrent layers."""

import numpy as np
from onnx import TensorProto, checker, helper, numpy_helper


class Network:
    def __init__(self, seed):
        self.random = np.random.default_rng(seed)
        self.nodes, self.weights = [], []

    def constant(self, array):
        name = f"w{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def matrix(self, *shape, fan_in):
        return self.constant(self.random.normal(0, (2 / fan_in) ** 0.5, shape).astype(np.float32))

    def vector(self, count, middle=0.0, spread=0.1):
        return self.constant((middle + self.random.normal(0, spread, count)).astype(np.float32))

    def node(self, op, *inputs, **attributes):
        name = f"{op.lower()}{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, inputs, [name], name=name, **attributes))
        return name

    def finish(self, inputs, output, shape):
        out = helper.make_tensor_value_info(output, TensorProto.FLOAT, shape)
        graph = helper.make_graph(self.nodes, "network", inputs, [out], self.weights)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        checker.check_model(model)
        return model


# --- images -------------------------------------------------------------------------------------------------------


def conv(net, x, channels, out, size=1, stride=1, group=1):
    w = net.matrix(out, channels // group, size, size, fan_in=channels // group * size * size)
    return net.node("Conv", x, w, net.vector(out), kernel_shape=[size] * 2, pads=[size // 2] * 4, strides=[stride] * 2, group=group)


def normalised(net, x, channels):
    scale, shift, mean = net.vector(channels, 1), net.vector(channels), net.vector(channels)
    variance = net.constant(net.random.uniform(0.5, 1.5, channels).astype(np.float32))
    return net.node("BatchNormalization", x, scale, shift, mean, variance)


def relu6(net, x):
    return net.node("Clip", x, net.constant(np.float32(0)), net.constant(np.float32(6)))


def inverted_residual(net, x, channels, out, stride):
    wide = relu6(net, normalised(net, conv(net, x, channels, 4 * channels), 4 * channels))
    deep = relu6(net, normalised(net, conv(net, wide, 4 * channels, 4 * channels, 3, stride, 4 * channels), 4 * channels))
    narrow = normalised(net, conv(net, deep, 4 * channels, out), out)
    return net.node("Add", x, narrow) if stride == 1 and channels == out else narrow


def mobile_network():
    """Also a Concat and a MaxPool, which only move."""
    net = Network(1)
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 3, 32, 32])
    x = relu6(net, conv(net, "image", 3, 32, 3, 2))
    x = inverted_residual(net, x, 32, 32, 1)
    x = inverted_residual(net, x, 32, 64, 2)
    x = inverted_residual(net, x, 64, 64, 1)
    left, right = net.node("Relu", conv(net, x, 64, 64, 3)), net.node("Relu", conv(net, x, 64, 64))
    x = net.node("MaxPool", net.node("Concat", left, right, axis=1), kernel_shape=[2, 2], strides=[2, 2])
    x = net.node("Relu", conv(net, x, 128, 256, 3))
    x = net.node("Flatten", net.node("GlobalAveragePool", x))
    x = net.node("Gemm", x, net.matrix(10, 256, fan_in=256), net.vector(10), transB=1)
    return net.finish([image], x, ["batch", 10])


# --- words --------------------------------------------------------------------------------------------------------

WIDTH = 128


def linear(net, x, width, out):
    return net.node("Add", net.node("MatMul", x, net.matrix(width, out, fan_in=2 * width)), net.vector(out))


def layer_norm(net, x):
    return net.node("LayerNormalization", x, net.vector(WIDTH, 1), net.vector(WIDTH), axis=-1)


def attention(net, x):
    q, k, v = (linear(net, x, WIDTH, WIDTH) for _ in range(3))
    scores = net.node("MatMul", q, net.node("Transpose", k, perm=[0, 2, 1]))
    weights = net.node("Softmax", net.node("Mul", scores, net.constant(np.float32(WIDTH**-0.5))), axis=-1)
    return linear(net, net.node("MatMul", weights, v), WIDTH, WIDTH)


def text_network():
    net = Network(2)
    words = helper.make_tensor_value_info("words", TensorProto.INT64, ["batch", "length"])
    x = layer_norm(net, net.node("Gather", net.matrix(4000, WIDTH, fan_in=2), "words"))
    for _ in range(2):
        x = layer_norm(net, net.node("Add", x, attention(net, x)))
        wide = net.node("Relu", linear(net, x, WIDTH, 4 * WIDTH))
        x = layer_norm(net, net.node("Add", x, linear(net, wide, 4 * WIDTH, WIDTH)))
    return net.finish([words], x, ["batch", "length", WIDTH])


# --- sound --------------------------------------------------------------------------------------------------------

HIDDEN = 128


def recurrent(net, op, x, depth, direction):
    """[steps, batch, depth] as [steps, batch, directions HIDDEN]."""
    gates, directions = {"LSTM": 4, "GRU": 3}[op] * HIDDEN, 2 if direction == "bidirectional" else 1
    w, r = (net.matrix(directions, gates, size, fan_in=2 * size) for size in (depth, HIDDEN))
    bias = net.constant(net.random.normal(0, 0.1, (directions, 2 * gates)).astype(np.float32))
    y = net.node(op, x, w, r, bias, hidden_size=HIDDEN, direction=direction)
    turned = net.node("Transpose", y, perm=[0, 2, 1, 3])
    return net.node("Reshape", turned, net.constant(np.array([0, 0, -1], np.int64)))


def sound_network(op):
    """`op`: LSTM or GRU, one both ways and one forward."""
    net = Network(3)
    sound = helper.make_tensor_value_info("sound", TensorProto.FLOAT, [1, 40, "frames"])
    x, channels = "sound", 40
    for width in (128, 128):
        x = net.node("Relu", net.node("Conv", x, net.matrix(width, channels, 3, fan_in=3 * channels), net.vector(width),
                                      kernel_shape=[3], pads=[1, 1]))
        channels = width
    x = net.node("Transpose", x, perm=[2, 0, 1])
    x = recurrent(net, op, x, 128, "bidirectional")
    x = recurrent(net, op, x, 2 * HIDDEN, "forward")
    return net.finish([sound], linear(net, x, HIDDEN, 32), ["frames", 1, 32])
