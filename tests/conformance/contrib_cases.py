"""Random cases of the operators of com.microsoft."""

from collections.abc import Callable
from dataclasses import dataclass, field

import ml_dtypes
import numpy as np

DRAWERS = {}


@dataclass
class Case:
    """A node and its inputs (None: absent). `constants`: those that are weights of the model; `outputs`: those that are
    asked for; `tolerance` of floats, as a part of the largest; `steps` that integers may be off; `formula` in place of
    ONNX Runtime."""

    op: str
    inputs: list
    attributes: dict = field(default_factory=dict)
    outputs: tuple = (0,)
    constants: tuple = ()
    domain: str = "com.microsoft"
    tolerance: float = 1e-4
    steps: int = 1
    formula: Callable | None = None
    types: dict = field(default_factory=dict)  # of outputs whose type ONNX Runtime does not infer

    def __str__(self):
        inputs = ["-" if a is None else f"{a.dtype}{list(a.shape)}" for a in self.inputs]
        return f"{self.op} {' '.join(inputs)} {self.attributes} outputs={self.outputs} constants={self.constants}"


def drawers():
    return DRAWERS


def case_of(name):
    def note(drawer):
        DRAWERS[name] = drawer
        return drawer

    return note


# --- what cases are drawn from ------------------------------------------------------------------------------------------


def maybe(random, value, chance=0.5):
    return value if random.random() < chance else None


def size(random, most):
    return int(random.integers(1, most + 1))


def sizes(random, rank, most):
    return [size(random, most) for _ in range(rank)]


def floats(random, shape, dtype=np.float32, scale=1.0):
    return (random.normal(0, 1, shape) * scale).astype(dtype)


def pick(random, *choices):
    return choices[random.integers(len(choices))]


def options(random, **choices):
    """Each attribute is left out or one of its values."""
    return {name: pick(random, *values) for name, values in choices.items() if random.random() < 0.6}


def some_of(random, *outputs):
    """Output 0 and any of others."""
    return (0, *(i for i in outputs if random.random() < 0.5))


# --- activations ---------------------------------------------------------------------------------------------------------


@case_of("Gelu")
def gelu(random):
    return Case("Gelu", [floats(random, sizes(random, size(random, 4), 9), scale=3)])


@case_of("QuickGelu")
def quick_gelu(random):
    return Case("QuickGelu", [floats(random, sizes(random, size(random, 4), 9), scale=3)], options(random, alpha=(1.0, 0.5, 1.702)))


@case_of("FastGelu")
def fast_gelu(random):
    x = floats(random, sizes(random, size(random, 4), 9), scale=3)
    return Case("FastGelu", [x, maybe(random, floats(random, x.shape[-1:]))])


@case_of("BiasGelu")
def bias_gelu(random):
    x = floats(random, sizes(random, size(random, 4), 9), scale=3)
    return Case("BiasGelu", [x, floats(random, x.shape[-1:])])


def erf(x):
    """Abramowitz and Stegun 7.1.26 is too coarse: the series and, beyond 3, the continued fraction."""
    import math

    return np.vectorize(math.erf)(x)


@case_of("BiasSplitGelu")
def bias_split_gelu(random):
    n, s, d = sizes(random, 3, 9)
    dtype = pick(random, np.float32, np.float16)

    def formula(x, bias):
        y = x.astype(np.float64) + bias
        left, gate = y[..., :d], y[..., d:]
        return [(left * 0.5 * gate * (1 + erf(gate / np.sqrt(2)))).astype(dtype)]

    return Case("BiasSplitGelu", [floats(random, (n, s, 2 * d), dtype), floats(random, 2 * d, dtype)], formula=formula)


# --- normalisations ------------------------------------------------------------------------------------------------------


@case_of("SkipLayerNormalization")
def skip_layer_normalization(random):
    dtype = pick(random, np.float32, np.float32, np.float16)
    b, s, h = size(random, 3), size(random, 7), size(random, 40) + 1
    x = floats(random, pick(random, (b, s, h), (b, s, h), (s, h)), dtype)
    skip = pick(random, x.shape, x.shape, (1, s, h), (s, h)) if x.ndim == 3 else x.shape
    row = [maybe(random, floats(random, h, dtype)) for _ in range(2)]
    inputs = [x, floats(random, skip, dtype), floats(random, h, dtype), *row]
    return Case("SkipLayerNormalization", inputs, options(random, epsilon=(1e-5, 1e-3)), some_of(random, 3))


@case_of("SkipSimplifiedLayerNormalization")
def skip_simplified(random):
    dtype = pick(random, np.float32, np.float32, np.float16)
    b, s, h = size(random, 3), size(random, 7), size(random, 40) + 1
    x = floats(random, pick(random, (b, s, h), (b, s, h), (s, h)), dtype)
    skip = pick(random, x.shape, x.shape, (1, s, h), (s, h)) if x.ndim == 3 else x.shape
    inputs = [x, floats(random, skip, dtype), floats(random, h, dtype), maybe(random, floats(random, h, dtype))]
    return Case("SkipSimplifiedLayerNormalization", inputs, options(random, epsilon=(1e-5, 1e-3)), some_of(random, 3))


@case_of("SimplifiedLayerNormalization")
def simplified(random):
    dtype = pick(random, np.float32, np.float32, np.float64, np.float16)
    x = floats(random, sizes(random, pick(random, 2, 3, 4), 9), dtype)
    axis = int(random.integers(-x.ndim, x.ndim))
    attributes = {**options(random, epsilon=(1e-5, 1e-3)), **({"axis": axis} if axis != -1 else {})}
    return Case("SimplifiedLayerNormalization", [x, floats(random, x.shape[axis:], dtype)], attributes, some_of(random, 1), domain="")


@case_of("EmbedLayerNormalization")
def embed(random):
    dtype = pick(random, np.float32, np.float32, np.float16)
    b, s, h = size(random, 3), size(random, 8), size(random, 24) + 1
    words = random.integers(0, 30, (b, s)).astype(np.int32)
    segments = random.integers(0, 2, (b, s)).astype(np.int32) if random.random() < 0.6 else None
    tables = [floats(random, (rows, h), dtype) for rows in (30, 10, 2)]
    if segments is None:
        tables[2] = None
    mask = maybe(random, random.integers(0, 2, (b, s)).astype(np.int32))
    positions = maybe(random, random.integers(0, 10, (pick(random, 1, b), s)).astype(np.int32))
    inputs = [words, segments, *tables, floats(random, h, dtype), floats(random, h, dtype), mask, positions]
    outputs = some_of(random, 1, 2)
    return Case("EmbedLayerNormalization", inputs, options(random, epsilon=(1e-5, 1e-3)), outputs)


# --- products ------------------------------------------------------------------------------------------------------------


@case_of("FusedMatMul")
def fused_matmul(random):
    dtype = pick(random, np.float32, np.float64)
    m, k, n = sizes(random, 3, 7)
    attributes = options(random, transA=(0, 1), transB=(0, 1), transBatchA=(0, 1), transBatchB=(0, 1), alpha=(0.5, -2.0, 1.0))
    batch = sizes(random, int(random.integers(0, 3)), 4)
    operands = []
    for side, rows, columns in (("A", m, k), ("B", k, n)):
        shape = [*batch, columns, rows] if attributes.get(f"trans{side}") else [*batch, rows, columns]
        if batch and attributes.get(f"transBatch{side}"):
            shape = [shape[-2], *shape[:-2], shape[-1]]
        operands.append(floats(random, shape, dtype))
    if random.random() < 0.2 and not batch and not attributes.get("transA"):  # ONNX Runtime transposes then, but wrongly
        operands[1] = floats(random, [k], dtype)
    return Case("FusedMatMul", operands, attributes)


ACTIVATIONS = ("Relu", "Tanh", "Sigmoid", "LeakyRelu", "HardSigmoid", "Elu", "Celu", "Selu", "Softplus", "Softsign", "ThresholdedRelu")


@case_of("FusedGemm")
def fused_gemm(random):
    m, k, n = sizes(random, 3, 9)
    attributes = options(random, transA=(0, 1), transB=(0, 1), alpha=(0.5, 2.0), beta=(0.25, 3.0))
    a = floats(random, (k, m) if attributes.get("transA") else (m, k))
    b = floats(random, (n, k) if attributes.get("transB") else (k, n))
    c = maybe(random, floats(random, pick(random, (m, n), (n,), (1, n), (m, 1), (1,))), 0.7)
    activation = pick(random, *ACTIVATIONS)
    attributes |= {"activation": activation, "activation_alpha": 0.4, "activation_beta": 0.3, "activation_gamma": 1.2}
    return Case("FusedGemm", [a, b, c], attributes)


@case_of("FusedConv")
def fused_conv(random):
    rank = pick(random, 1, 2, 2, 3)
    group = pick(random, 1, 1, 2)
    channels, filters = group * size(random, 3), group * size(random, 4)
    kernel = sizes(random, rank, 3)
    attributes = {"group": group, "kernel_shape": kernel} if random.random() < 0.7 else {"group": group}
    if random.random() < 0.3:
        attributes["auto_pad"] = pick(random, "SAME_UPPER", "SAME_LOWER", "VALID")
    elif random.random() < 0.7:
        attributes["pads"] = [int(p) for p in random.integers(0, 2, 2 * rank)]
    attributes |= options(random, strides=([1] * rank, [2] * rank))
    if "auto_pad" not in attributes:
        attributes |= options(random, dilations=([1] * rank, [2] * rank))
    x = floats(random, (size(random, 2), channels, *(s + 6 for s in sizes(random, rank, 6))))
    w = floats(random, (filters, channels // group, *kernel))
    activation = pick(random, "Relu", "Tanh", "Sigmoid", "LeakyRelu", "Clip", "HardSigmoid")
    parameters = {"LeakyRelu": [0.3], "Clip": [-0.5, 0.8], "HardSigmoid": [0.3, 0.4]}
    if random.random() < 0.9:
        attributes["activation"] = activation
        if activation in parameters:
            attributes["activation_params"] = parameters[activation]
    return Case("FusedConv", [x, w, maybe(random, floats(random, filters))], attributes)


# --- pools ---------------------------------------------------------------------------------------------------------------


def window_options(random, rank):
    attributes = {"kernel_shape": sizes(random, rank, 3)}
    if random.random() < 0.3:
        attributes["auto_pad"] = pick(random, "SAME_UPPER", "SAME_LOWER", "VALID")
    elif random.random() < 0.7:
        attributes["pads"] = [int(random.integers(0, k)) for k in 2 * attributes["kernel_shape"]]
    return attributes | options(random, strides=([1] * rank, [2] * rank), ceil_mode=(0, 1))


@case_of("NhwcMaxPool")
def nhwc_max_pool(random):
    rank = pick(random, 1, 2, 2, 3)
    shape = (size(random, 2), *(s + 4 for s in sizes(random, rank, 5)), size(random, 5))
    x = random.integers(0, 255, shape).astype(np.uint8)
    x = x if random.random() < 0.5 else x.view(np.int8)
    attributes = window_options(random, rank)
    if "auto_pad" not in attributes:
        attributes |= options(random, dilations=([1] * rank, [2] * rank))
    return Case("NhwcMaxPool", [x], attributes, steps=0)


# --- tensors of 8 bits ---------------------------------------------------------------------------------------------------


def of_8_bits(random, shape, dtype=None):
    dtype = dtype or pick(random, np.uint8, np.int8)
    return random.integers(0, 256, shape).astype(np.uint8).view(dtype)


def scale(random, low=0.01, high=0.1, shape=()):
    return np.asarray(random.uniform(low, high, shape), np.float32)


def zero(random, dtype, chance=0.8):
    return maybe(random, np.asarray(random.integers(0, 20), dtype), chance)


def quantised(random, shape, dtype):
    """A tensor, its scale and its zero point."""
    return [of_8_bits(random, shape, dtype), scale(random), zero(random, dtype)]


@case_of("QLinearAdd")
def qlinear_add(random, op="QLinearAdd"):
    dtype = pick(random, np.uint8, np.int8)
    shape = sizes(random, size(random, 4), 6)
    other = [d if random.random() < 0.7 else 1 for d in shape][int(random.integers(0, len(shape))) :]
    pair = [quantised(random, shape, dtype), quantised(random, other, dtype)]
    random.shuffle(pair)
    return Case(op, [*pair[0], *pair[1], scale(random), zero(random, dtype)])


@case_of("QLinearMul")
def qlinear_mul(random):
    return qlinear_add(random, "QLinearMul")


@case_of("QLinearSigmoid")
def qlinear_sigmoid(random):
    dtype = pick(random, np.uint8, np.int8)
    x = quantised(random, sizes(random, size(random, 4), 7), dtype)
    return Case("QLinearSigmoid", [*x, scale(random, 0.002, 0.01), zero(random, dtype)])


@case_of("QLinearLeakyRelu")
def qlinear_leaky_relu(random):
    dtype = pick(random, np.uint8, np.int8)
    x = quantised(random, sizes(random, size(random, 4), 7), dtype)
    return Case("QLinearLeakyRelu", [*x, scale(random), zero(random, dtype)], options(random, alpha=(0.1, 0.5)))


@case_of("QLinearSoftmax")
def qlinear_softmax(random):
    dtype = pick(random, np.uint8, np.int8)
    shape = sizes(random, size(random, 4), 7)
    attributes = {"opset": pick(random, 7, 12, 13, 17), "axis": int(random.integers(-len(shape), len(shape)))}
    x = quantised(random, shape, dtype)
    return Case("QLinearSoftmax", [*x, np.asarray(1 / 256, np.float32), zero(random, dtype, 1)], attributes)


@case_of("QLinearAveragePool")
def qlinear_average_pool(random):
    dtype = pick(random, np.uint8, np.int8)
    rank = pick(random, 1, 2, 2, 3)
    attributes = window_options(random, rank) | options(random, count_include_pad=(0, 1), channels_last=(0, 1))
    if attributes.get("auto_pad") == "VALID":
        attributes.pop("ceil_mode", 0)  # ONNX Runtime has one output more than ONNX then
    image, channels = [s + 4 for s in sizes(random, rank, 5)], size(random, 4)
    shape = (size(random, 2), *image, channels) if attributes.get("channels_last") else (size(random, 2), channels, *image)
    return Case("QLinearAveragePool", [*quantised(random, shape, dtype), scale(random), zero(random, dtype)], attributes)


@case_of("QLinearGlobalAveragePool")
def qlinear_global_average_pool(random):
    dtype = pick(random, np.uint8, np.int8)
    shape = sizes(random, pick(random, 3, 4, 4, 5), 6)
    x = [of_8_bits(random, shape, dtype), scale(random), zero(random, dtype, 1)]
    attributes = options(random, channels_last=(0, 1))
    return Case("QLinearGlobalAveragePool", [*x, scale(random), zero(random, dtype, 1)], attributes)


@case_of("QLinearConcat")
def qlinear_concat(random):
    dtype = pick(random, np.uint8, np.int8)
    shape = sizes(random, pick(random, 1, 2, 3, 4), 5)
    axis = int(random.integers(-len(shape), len(shape)))
    inputs = [scale(random), zero(random, dtype, 1)]
    for _ in range(size(random, 4)):
        shape[axis] = size(random, 5)
        inputs += [of_8_bits(random, shape, dtype), pick(random, inputs[0], scale(random)), zero(random, dtype, 1)]
    return Case("QLinearConcat", inputs, {"axis": axis}, constants=pick(random, (), tuple(i for i in range(len(inputs)) if i % 3 != 2)))


@case_of("QGemm")
def qgemm(random):
    m, k, n = sizes(random, 3, 12)
    attributes = options(random, transA=(0, 1), transB=(0, 1), alpha=(0.5, 2.0))
    a = of_8_bits(random, (k, m) if attributes.get("transA") else (m, k))
    b = of_8_bits(random, (n, k) if attributes.get("transB") else (k, n), pick(random, np.int8, a.dtype))
    columns = pick(random, (), (n,))
    b_zero = np.asarray(random.integers(0, 20, columns), b.dtype)
    c = maybe(random, random.integers(-2000, 2000, pick(random, (m, n), (n,), (1, n), (m, 1))).astype(np.int32))
    y = [scale(random, 0.5, 1), zero(random, a.dtype, 1)] if random.random() < 0.6 else [None, None]
    inputs = [a, scale(random), zero(random, a.dtype, 1), b, scale(random, shape=columns), b_zero, c, *y]
    return Case("QGemm", inputs, attributes)


def product_operands(random):
    m, k, n = sizes(random, 3, 12)
    batch = sizes(random, int(random.integers(0, 3)), 3)
    b = of_8_bits(random, pick(random, (k, n), (*batch, k, n)))
    columns = pick(random, (), (1,), (n,))
    b_zero = maybe(random, np.asarray(random.integers(0, 20, columns), b.dtype))
    return (*batch, m, k), b, scale(random, shape=columns), b_zero, maybe(random, floats(random, n))


@case_of("MatMulIntegerToFloat")
def matmul_integer_to_float(random):
    shape, b, b_scale, b_zero, bias = product_operands(random)
    a = of_8_bits(random, shape, pick(random, np.uint8, b.dtype))
    inputs = [a, b, scale(random), b_scale, zero(random, a.dtype, 0.6), b_zero, bias]
    return Case("MatMulIntegerToFloat", inputs, constants=pick(random, (), (1, 3, 5, 6)))


@case_of("DynamicQuantizeMatMul")
def dynamic_quantize_matmul(random):
    shape, b, b_scale, b_zero, bias = product_operands(random)
    bias = bias if b.ndim == 2 and len(shape) == 2 else None  # ONNX Runtime adds it to other rows of a batch
    return Case("DynamicQuantizeMatMul", [floats(random, shape), b, b_scale, b_zero, bias], constants=pick(random, (), (1, 2, 3)), tolerance=2e-3)


# --- weights in blocks ---------------------------------------------------------------------------------------------------


@case_of("MatMulNBits")
def matmul_n_bits(random):
    bits, block = pick(random, 4, 4, 4, 2, 8), pick(random, 16, 32, 64)
    n, k = size(random, 20), pick(random, block, 2 * block, size(random, 100), 3 * block)
    count = -(-k // block)
    weights = random.integers(0, 256, (n, count, block * bits // 8)).astype(np.uint8)
    dtype = pick(random, np.float32, np.float32, np.float16)
    zeros = pick(random, None, random.integers(0, 256, (n, -(-count * bits // 8))).astype(np.uint8), floats(random, (n, count), dtype) + dtype(8))
    attributes = {"K": k, "N": n, "bits": bits, "block_size": block} | options(random, accuracy_level=(0, 1))
    shape = (*sizes(random, int(random.integers(0, 3)), 3), size(random, 5), k)
    bias = maybe(random, floats(random, n, dtype), 0.3)
    scales = np.asarray(random.uniform(0.01, 0.1, (n, count)), dtype)
    inputs = [floats(random, shape, dtype), weights, scales, zeros, None, bias]
    return Case("MatMulNBits", inputs, attributes, constants=pick(random, (), (1, 2, 3, 5)), tolerance=2e-3 if dtype == np.float16 else 1e-4)


@case_of("GatherBlockQuantized")
def gather_block_quantized(random):
    kind, block = pick(random, "uint8", "uint8", "uint4", "int4", "float8"), pick(random, 16, 32)
    attributes = {"block_size": block}
    shape = [size(random, 9), *sizes(random, int(random.integers(0, 2)), 3), pick(random, block, 3 * block, size(random, 80))]
    gather, axis = 0, len(shape) - 1
    dtype = pick(random, np.float32, np.float32, np.float16)
    if kind == "uint8":
        bits = pick(random, 2, 4, 8)
        data = random.integers(0, 256, [*shape[:-1], -(-shape[-1] * bits // 8)]).astype(np.uint8)
        attributes |= {"bits": bits, "quantize_axis": pick(random, axis, -1)}
        count = -(-(data.shape[-1] * 8 // bits) // block)
        zeros = maybe(random, random.integers(0, 256, [*shape[:-1], -(-count * bits // 8)]).astype(np.uint8))
        scales = [*shape[:-1], count]
    else:
        gather, axis = (int(a) for a in random.integers(0, len(shape), 2))
        attributes |= {"gather_axis": gather, "quantize_axis": axis}
        scales = list(shape)
        scales[axis] = -(-shape[axis] // block)
        if kind == "float8":
            data = floats(random, shape).astype(pick(random, ml_dtypes.float8_e4m3fn, ml_dtypes.float8_e5m2))
            zeros = None
        else:
            low = -8 if kind == "int4" else 0
            data = random.integers(low, low + 16, shape).astype(getattr(ml_dtypes, kind))
            zeros = maybe(random, random.integers(low, low + 16, scales).astype(getattr(ml_dtypes, kind)))
    many = data.shape[gather]
    indices = random.integers(-many, many, sizes(random, int(random.integers(0, 3)), 4)).astype(pick(random, np.int32, np.int64))
    if random.random() < 0.2:
        indices = np.where(random.random(indices.shape) < 0.5, many + 3, indices).astype(indices.dtype)
    inputs = [data, np.asarray(indices), np.asarray(random.uniform(0.01, 0.1, scales), dtype), zeros]
    return Case("GatherBlockQuantized", inputs, attributes, constants=(0, 3) if kind != "uint8" else pick(random, (), (0, 2, 3)))


# --- the quantised LSTM --------------------------------------------------------------------------------------------------


RECURRENT_ACTIVATIONS = ("Tanh", "Sigmoid", "Relu", "LeakyRelu", "HardSigmoid", "Elu", "Softsign", "Softplus", "Affine", "ScaledTanh", "ThresholdedRelu")


@case_of("DynamicQuantizeLSTM")
def dynamic_quantize_lstm(random):
    steps, batch, width, hidden = size(random, 4), size(random, 3), size(random, 6), size(random, 8)
    direction = pick(random, "forward", "reverse", "bidirectional")
    d = 2 if direction == "bidirectional" else 1
    attributes = {"hidden_size": hidden, "direction": direction} | options(random, clip=(0.7, 3.0), input_forget=(0, 1))
    if random.random() < 0.4:
        names = [pick(random, "Sigmoid", "HardSigmoid"), pick(random, *RECURRENT_ACTIVATIONS), pick(random, *RECURRENT_ACTIVATIONS)]
        attributes |= {"activations": names * d, "activation_alpha": [0.3] * 9, "activation_beta": [0.4] * 9}

    dtype = pick(random, np.int8, np.uint8)

    def weights(rows):
        columns = random.random() < 0.5
        shape = (d, 4 * hidden) if columns else (d,)
        zero = np.zeros(shape, dtype)
        if dtype == np.uint8 or not columns:
            zero += np.asarray(random.integers(1, 100), dtype)
        values = random.integers(0, 256, (d, rows, 4 * hidden)).astype(np.uint8).view(dtype)
        return values, (random.uniform(0.2, 1, shape) * 0.01).astype(np.float32), zero

    w, w_scale, w_zero = weights(width)
    r, r_scale, r_zero = weights(hidden)
    state = (d, batch, hidden)
    lengths = maybe(random, random.integers(1, steps + 1, batch).astype(np.int32), 0.4)
    inputs = [
        floats(random, (steps, batch, width)), w, r, maybe(random, floats(random, (d, 8 * hidden), scale=0.3)), lengths,
        maybe(random, floats(random, state, scale=0.5)), maybe(random, floats(random, state, scale=0.5)),
        maybe(random, floats(random, (d, 3 * hidden), scale=0.3)), w_scale, w_zero, r_scale, r_zero,
    ]
    return Case("DynamicQuantizeLSTM", inputs, attributes, (0, 1, 2), pick(random, (1, 2, 8, 9, 10, 11), ()), tolerance=5e-3)


# --- attention -----------------------------------------------------------------------------------------------------------


def key_mask(random, batch, queries, keys):
    """None, or which keys there are: where they end (and start), for each sequence, or for each query too."""
    kind = pick(random, None, None, "end", "both", "padding", "each")
    ends = random.integers(1, keys + 1, batch)
    if kind == "end":
        return ends.astype(np.int32)
    if kind == "both":
        return np.concatenate([ends, np.minimum(ends - 1, random.integers(0, 3, batch))]).astype(np.int32)
    if kind:
        shape = (batch, keys) if kind == "padding" else (batch, queries, keys)
        mask = (random.random(shape) < 0.7).astype(np.int32)
        mask[..., 0] = 1  # scores that are all far below 0 have few digits left
        return mask
    return None


def score_addend(random, batch, heads, queries, keys):
    return maybe(random, floats(random, (pick(random, 1, batch), pick(random, 1, heads), queries, keys)), 0.4)


def attention_options(random):
    return options(random, unidirectional=(0, 1), scale=(0.3, 0.7), mask_filter_value=(-10000.0, -3.0e38, -5.0))


@case_of("Attention")
def attention(random):
    batch, queries, heads, head, width = size(random, 3), size(random, 6), size(random, 3), size(random, 6), size(random, 8)
    v_head = pick(random, head, head, size(random, 6))
    attributes = {"num_heads": heads} | attention_options(random)
    if v_head != head:
        attributes["qkv_hidden_sizes"] = [heads * head, heads * head, heads * v_head]
    columns = heads * (2 * head + v_head)
    past = maybe(random, floats(random, (2, batch, heads, size(random, 4), head))) if v_head == head else None
    keys = queries + (past.shape[3] if past is not None else 0)
    inputs = [
        floats(random, (batch, queries, width)), floats(random, (width, columns), scale=0.5), maybe(random, floats(random, columns), 0.8),
        key_mask(random, batch, queries, keys), past, score_addend(random, batch, heads, queries, keys),
    ]
    return Case("Attention", inputs, attributes, (0, 1) if past is not None else (0,), pick(random, (), (1, 2)))


@case_of("QAttention")
def qattention(random):
    batch, queries, heads, head, width = size(random, 3), size(random, 6), size(random, 3), size(random, 6), size(random, 8)
    columns = 3 * heads * head
    dtype = pick(random, np.int8, np.uint8)
    past = maybe(random, floats(random, (2, batch, heads, size(random, 4), head)))
    keys = queries + (past.shape[3] if past is not None else 0)
    shape = pick(random, (), (columns,))
    zeros = maybe(random, np.asarray(random.integers(0, 20, shape), dtype)) if dtype == np.uint8 or not shape else None
    x_zero = np.asarray(random.integers(0, 200), np.uint8) if zeros is not None or random.random() < 0.5 else None
    inputs = [
        of_8_bits(random, (batch, queries, width), np.uint8), of_8_bits(random, (width, columns), dtype), floats(random, columns),
        scale(random, 0.005, 0.02), scale(random, 0.005, 0.02, shape), key_mask(random, batch, queries, keys), x_zero, zeros, past,
    ]
    attributes = {"num_heads": heads} | attention_options(random)
    return Case("QAttention", inputs, attributes, (0, 1) if past is not None else (0,), pick(random, (), (1, 3, 4, 6, 7)))


@case_of("MultiHeadAttention")
def multi_head_attention(random):
    batch, queries, heads, head = size(random, 3), size(random, 6), size(random, 3), size(random, 6)
    v_head, fresh = pick(random, head, head, size(random, 6)), pick(random, queries, size(random, 6))
    attributes = {"num_heads": heads} | attention_options(random)
    if fresh > queries:
        attributes.pop("unidirectional", 0)  # ONNX Runtime lets the last query see all keys then
    past = size(random, 4) if random.random() < 0.3 else 0
    split = not past and random.random() < 0.2
    key_shape = (batch, heads, fresh, head) if split else (batch, fresh, heads * head)
    value_shape = (batch, heads, fresh, v_head) if split else (batch, fresh, heads * v_head)
    pasts = [floats(random, (batch, heads, past, h)) if past else None for h in (head, v_head)]
    mask = key_mask(random, batch, queries, past + fresh)
    inputs = [
        floats(random, (batch, queries, heads * head)), floats(random, key_shape), floats(random, value_shape),
        maybe(random, floats(random, heads * (2 * head + v_head))) if not split else None, mask,
        score_addend(random, batch, heads, queries, past + fresh), *pasts,
    ]
    outputs = (0, 1, 2) if past or random.random() < 0.3 else (0,)
    if outputs == (0, 1, 2) and random.random() < 0.3:
        outputs = (0, 1, 2, 3)
    return Case("MultiHeadAttention", inputs, attributes, outputs, types={3: np.dtype(np.float32)})


@case_of("RotaryEmbedding")
def rotary_embedding(random):
    batch, length, heads, head = size(random, 3), size(random, 6), size(random, 3), 2 * size(random, 8)
    attributes = options(random, interleaved=(0, 1))
    dim = head
    if random.random() < 0.3:
        dim = 2 * size(random, head // 2)
        attributes |= {"num_heads": heads, "rotary_embedding_dim": dim}
    elif random.random() < 0.5:
        attributes["num_heads"] = heads
    shape = pick(random, (batch, length, heads * head), (batch, heads, length, head))
    tables = [floats(random, (20, dim // 2)) for _ in range(2)]
    positions = pick(random, random.integers(0, 20, (batch, length)), random.integers(0, 10, 1))
    return Case("RotaryEmbedding", [floats(random, shape), positions, *tables], attributes, constants=pick(random, (), (2, 3)))


@case_of("GroupQueryAttention")
def group_query_attention(random):
    batch, heads, share, head = size(random, 3), size(random, 2), size(random, 3), 16 * size(random, 2)
    first = random.random() < 0.5
    queries = size(random, 6) if first or batch == 1 else 1
    past = size(random, 6) if not first else 0
    grows = random.random() < 0.5  # the present, or it has room already
    lengths = np.full(batch, queries) if first else random.integers(1, past + 1, batch) + queries
    if first and random.random() < 0.3:
        past = queries + size(random, 4)
    elif grows and not first:
        lengths[random.integers(batch)] = past + queries
    elif not first:
        past += queries
    total = int(lengths.max())
    q_heads = heads * share
    attributes = {"num_heads": q_heads, "kv_num_heads": heads} | options(random, scale=(0.3,), softcap=(1.5,), smooth_softmax=(0, 1))
    attributes |= options(random, local_window_size=(-1, 1, 3))
    if random.random() < 0.2:
        attributes |= {"causal": 0, "local_window_size": -1}
    tables, positions = [None, None], None
    if random.random() < 0.5:
        attributes |= {"do_rotary": 1} | options(random, rotary_interleaved=(0, 1))
        tables = [floats(random, (20, pick(random, head // 2, head // 2))) for _ in range(2)]
        positions = maybe(random, random.integers(0, 20, (batch, queries)), 0.3)
    packed = random.random() < 0.3
    query = floats(random, (batch, queries, (q_heads + 2 * heads if packed else q_heads) * head))
    fresh = [None, None] if packed else [floats(random, (batch, queries, heads * head)) for _ in range(2)]
    pasts = [floats(random, (batch, heads, past, head)) if past else None for _ in range(2)]
    addend = maybe(random, floats(random, (pick(random, 1, batch), pick(random, 1, q_heads), queries, total)), 0.3)
    sinks = maybe(random, floats(random, q_heads), 0.2)
    inputs = [query, *fresh, *pasts, (lengths - 1).astype(np.int32), np.asarray(total, np.int32), *tables, positions, addend, sinks]
    return Case("GroupQueryAttention", inputs, attributes, (0, 1, 2), pick(random, (), (6,), (7, 8)))
