"""Random cases of the operators of com.microsoft on floats, and of NhwcMaxPool."""

import math

import numpy as np

from contrib_draw import Case, case_of, floats, maybe, options, pick, size, sizes, some_of, window_options

# --- activations ------------------------------------------------------------------------------------------------------


@case_of("Gelu")
def gelu(random):
    return Case("Gelu", [floats(random, sizes(random, size(random, 4), 9), scale=3)])


@case_of("QuickGelu")
def quick_gelu(random):
    return Case(
        "QuickGelu",
        [floats(random, sizes(random, size(random, 4), 9), scale=3)],
        options(random, alpha=(1.0, 0.5, 1.702)),
    )


@case_of("FastGelu")
def fast_gelu(random):
    x = floats(random, sizes(random, size(random, 4), 9), scale=3)
    return Case("FastGelu", [x, maybe(random, floats(random, x.shape[-1:]))])


@case_of("BiasGelu")
def bias_gelu(random):
    x = floats(random, sizes(random, size(random, 4), 9), scale=3)
    return Case("BiasGelu", [x, floats(random, x.shape[-1:])])


erf = np.vectorize(math.erf)


@case_of("BiasSplitGelu")
def bias_split_gelu(random):
    n, s, d = sizes(random, 3, 9)
    dtype = pick(random, np.float32, np.float16)

    def formula(x, bias):
        y = x.astype(np.float64) + bias
        left, gate = y[..., :d], y[..., d:]
        return [(left * 0.5 * gate * (1 + erf(gate / np.sqrt(2)))).astype(dtype)]

    return Case("BiasSplitGelu", [floats(random, (n, s, 2 * d), dtype), floats(random, 2 * d, dtype)], formula=formula)


# --- normalisations ---------------------------------------------------------------------------------------------------


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
    return Case(
        "SimplifiedLayerNormalization",
        [x, floats(random, x.shape[axis:], dtype)],
        attributes,
        some_of(random, 1),
        domain="",
    )


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


# --- products ---------------------------------------------------------------------------------------------------------


@case_of("FusedMatMul")
def fused_matmul(random):
    dtype = pick(random, np.float32, np.float64)
    m, k, n = sizes(random, 3, 7)
    attributes = options(
        random, transA=(0, 1), transB=(0, 1), transBatchA=(0, 1), transBatchB=(0, 1), alpha=(0.5, -2.0, 1.0)
    )
    batch = sizes(random, int(random.integers(0, 3)), 4)
    operands = []
    for side, rows, columns in (("A", m, k), ("B", k, n)):
        shape = [*batch, columns, rows] if attributes.get(f"trans{side}") else [*batch, rows, columns]
        if batch and attributes.get(f"transBatch{side}"):
            shape = [shape[-2], *shape[:-2], shape[-1]]
        operands.append(floats(random, shape, dtype))
    if (
        random.random() < 0.2 and not batch and not attributes.get("transA")
    ):  # ONNX Runtime transposes then, but wrongly
        operands[1] = floats(random, [k], dtype)
    return Case("FusedMatMul", operands, attributes)


ACTIVATIONS = (
    "Relu",
    "Tanh",
    "Sigmoid",
    "LeakyRelu",
    "HardSigmoid",
    "Elu",
    "Celu",
    "Selu",
    "Softplus",
    "Softsign",
    "ThresholdedRelu",
)


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


# --- pools ------------------------------------------------------------------------------------------------------------


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
