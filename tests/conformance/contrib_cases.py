"""Random cases of the operators of com.microsoft."""

from collections.abc import Callable
from dataclasses import dataclass, field

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
