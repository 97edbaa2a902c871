"""Random cases of the operators of com.microsoft on integers."""

import ml_dtypes
import numpy as np

from contrib_draw import Case, case_of, floats, maybe, options, pick, size, sizes, window_options

# --- tensors of 8 bits ------------------------------------------------------------------------------------------------


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
    shape = (
        (size(random, 2), *image, channels) if attributes.get("channels_last") else (size(random, 2), channels, *image)
    )
    return Case(
        "QLinearAveragePool", [*quantised(random, shape, dtype), scale(random), zero(random, dtype)], attributes
    )


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
    return Case(
        "QLinearConcat",
        inputs,
        {"axis": axis},
        constants=pick(random, (), tuple(i for i in range(len(inputs)) if i % 3 != 2)),
    )


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
    return Case(
        "DynamicQuantizeMatMul",
        [floats(random, shape), b, b_scale, b_zero, bias],
        constants=pick(random, (), (1, 2, 3)),
        tolerance=2e-3,
    )


# --- weights in blocks ------------------------------------------------------------------------------------------------


@case_of("MatMulNBits")
def matmul_n_bits(random):
    bits, block = pick(random, 4, 4, 4, 2, 8), pick(random, 16, 32, 64)
    n, k = size(random, 20), pick(random, block, 2 * block, size(random, 100), 3 * block)
    count = -(-k // block)
    weights = random.integers(0, 256, (n, count, block * bits // 8)).astype(np.uint8)
    dtype = pick(random, np.float32, np.float32, np.float16)
    zeros = pick(
        random,
        None,
        random.integers(0, 256, (n, -(-count * bits // 8))).astype(np.uint8),
        floats(random, (n, count), dtype) + dtype(8),
    )
    attributes = {"K": k, "N": n, "bits": bits, "block_size": block} | options(random, accuracy_level=(0, 1))
    shape = (*sizes(random, int(random.integers(0, 3)), 3), size(random, 5), k)
    bias = maybe(random, floats(random, n, dtype), 0.3)
    scales = np.asarray(random.uniform(0.01, 0.1, (n, count)), dtype)
    inputs = [floats(random, shape, dtype), weights, scales, zeros, None, bias]
    return Case(
        "MatMulNBits",
        inputs,
        attributes,
        constants=pick(random, (), (1, 2, 3, 5)),
        tolerance=2e-3 if dtype == np.float16 else 1e-4,
    )


@case_of("GatherBlockQuantized")
def gather_block_quantized(random):
    kind, block = pick(random, "uint8", "uint8", "uint4", "int4", "float8"), pick(random, 16, 32)
    attributes = {"block_size": block}
    shape = [
        size(random, 9),
        *sizes(random, int(random.integers(0, 2)), 3),
        pick(random, block, 3 * block, size(random, 80)),
    ]
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
    indices = random.integers(-many, many, sizes(random, int(random.integers(0, 3)), 4)).astype(
        pick(random, np.int32, np.int64)
    )
    if random.random() < 0.2:
        indices = np.where(random.random(indices.shape) < 0.5, many + 3, indices).astype(indices.dtype)
    inputs = [data, np.asarray(indices), np.asarray(random.uniform(0.01, 0.1, scales), dtype), zeros]
    return Case(
        "GatherBlockQuantized", inputs, attributes, constants=(0, 3) if kind != "uint8" else pick(random, (), (0, 2, 3))
    )


# --- the quantised LSTM -----------------------------------------------------------------------------------------------


RECURRENT_ACTIVATIONS = (
    "Tanh",
    "Sigmoid",
    "Relu",
    "LeakyRelu",
    "HardSigmoid",
    "Elu",
    "Softsign",
    "Softplus",
    "Affine",
    "ScaledTanh",
    "ThresholdedRelu",
)


@case_of("DynamicQuantizeLSTM")
def dynamic_quantize_lstm(random):
    steps, batch, width, hidden = size(random, 4), size(random, 3), size(random, 6), size(random, 8)
    direction = pick(random, "forward", "reverse", "bidirectional")
    d = 2 if direction == "bidirectional" else 1
    attributes = {"hidden_size": hidden, "direction": direction} | options(random, clip=(0.7, 3.0), input_forget=(0, 1))
    if random.random() < 0.4:
        names = [
            pick(random, "Sigmoid", "HardSigmoid"),
            pick(random, *RECURRENT_ACTIVATIONS),
            pick(random, *RECURRENT_ACTIVATIONS),
        ]
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
        floats(random, (steps, batch, width)),
        w,
        r,
        maybe(random, floats(random, (d, 8 * hidden), scale=0.3)),
        lengths,
        maybe(random, floats(random, state, scale=0.5)),
        maybe(random, floats(random, state, scale=0.5)),
        maybe(random, floats(random, (d, 3 * hidden), scale=0.3)),
        w_scale,
        w_zero,
        r_scale,
        r_zero,
    ]
    return Case(
        "DynamicQuantizeLSTM", inputs, attributes, (0, 1, 2), pick(random, (1, 2, 8, 9, 10, 11), ()), tolerance=5e-3
    )
