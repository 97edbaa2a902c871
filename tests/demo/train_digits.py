#!/usr/bin/env python3
"""Trains the demo's digit classifier and exports it as ONNX, with the samples that the demo and its test use.

The data is the UCI "Optical Recognition of Handwritten Digits" set that scikit-learn ships: 1,797 images of 8x8 pixels,
each from 0 (paper) to 16 (ink). A fifth of each class is held out; it takes no part in training and chose nothing.
The network is two convolutions and two dense layers, trained here in plain numpy and double precision, from one seed.

    python3 -m pip install -r tests/demo/requirements.txt
    python3 tests/demo/train_digits.py            writes the files beside this script, prints the accuracy
"""
import pathlib
import sys

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from sklearn.datasets import load_digits

SEED = 1
EPOCHS = 40
BATCH = 32
LEARNING_RATE = 2e-3
WEIGHT_DECAY = 1e-2  # decoupled from the gradient, as AdamW (Loshchilov & Hutter 2019)
INK = 16.0  # the value of a fully inked pixel
HERE = pathlib.Path(__file__).resolve().parent


def split(labels, rng):
    """Indices of the training images and of the held-out fifth of each class."""
    train, held = [], []
    for digit in range(10):
        members = rng.permutation(np.flatnonzero(labels == digit))
        fifth = len(members) // 5
        held.append(members[:fifth])
        train.append(members[fifth:])
    return rng.permutation(np.concatenate(train)), rng.permutation(np.concatenate(held))


def initial_weights(rng):
    """He et al. 2015: a normal of variance 2 / fan-in keeps the scale of activations through a ReLU."""
    shapes = {"conv1": (16, 1, 3, 3), "conv2": (32, 16, 3, 3), "dense1": (64, 128), "dense2": (10, 64)}
    weights = {}
    for name, shape in shapes.items():
        weights[name + ".weight"] = rng.normal(0, np.sqrt(2 / np.prod(shape[1:])), shape)
        weights[name + ".bias"] = np.zeros(shape[0])
    return weights


# Each layer returns its output and a function from the output's gradient to the gradients of its input and parameters.


def convolution(x, weight, bias):
    """3x3, one pixel of zeros around."""
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(2, 3))
    out = np.einsum("nchwij,ocij->nohw", windows, weight, optimize=True) + bias[:, None, None]

    def backward(d_out):
        d_weight = np.einsum("nchwij,nohw->ocij", windows, d_out, optimize=True)
        spread = np.einsum("nohw,ocij->nchwij", d_out, weight, optimize=True)
        d_padded = np.zeros_like(padded)
        height, width = x.shape[2:]
        for i in range(3):
            for j in range(3):
                d_padded[:, :, i : i + height, j : j + width] += spread[..., i, j]
        return d_padded[:, :, 1:-1, 1:-1], d_weight, d_out.sum(axis=(0, 2, 3))

    return out, backward


def relu(x):
    return np.maximum(x, 0), lambda d_out: d_out * (x > 0)


def max_pool(x):
    """2x2, stride 2. Where entries tie, each gets an equal share of the gradient."""
    n, c, h, w = x.shape
    blocks = x.reshape(n, c, h // 2, 2, w // 2, 2)
    out = blocks.max(axis=(3, 5), keepdims=True)
    winners = blocks == out
    share = winners / winners.sum(axis=(3, 5), keepdims=True)
    return out.reshape(n, c, h // 2, w // 2), lambda d_out: (share * d_out.reshape(out.shape)).reshape(x.shape)


def dense(x, weight, bias):
    return x @ weight.T + bias, lambda d_out: (d_out @ weight, d_out.T @ x, d_out.sum(axis=0))


def softmax(x):
    exponentials = np.exp(x - x.max(axis=1, keepdims=True))
    return exponentials / exponentials.sum(axis=1, keepdims=True)


def gradients(weights, images, labels):
    """Of the mean cross-entropy, by parameter name."""
    x, found, steps = images / INK, {}, []

    def parametric(layer, name):
        nonlocal x
        x, backward = layer(x, weights[name + ".weight"], weights[name + ".bias"])

        def step(d):
            d, found[name + ".weight"], found[name + ".bias"] = backward(d)
            return d

        steps.append(step)

    def plain(layer):
        nonlocal x
        x, backward = layer(x)
        steps.append(backward)

    for name in ("conv1", "conv2"):
        parametric(convolution, name)
        plain(relu)
        plain(max_pool)
    pooled = x.shape
    plain(lambda v: (v.reshape(len(v), -1), lambda d: d.reshape(pooled)))
    parametric(dense, "dense1")
    plain(relu)
    parametric(dense, "dense2")

    d = (softmax(x) - np.eye(10)[labels]) / len(labels)
    for step in reversed(steps):
        d = step(d)
    return found


def train(images, labels, rng):
    """Adam (Kingma & Ba 2015), its rate falling to zero along half a cosine."""
    weights = initial_weights(rng)
    mean = {name: np.zeros_like(w) for name, w in weights.items()}
    square = {name: np.zeros_like(w) for name, w in weights.items()}
    batches = len(images) // BATCH
    for step in range(1, EPOCHS * batches + 1):
        if step % batches == 1:
            order = rng.permutation(len(images))
        first = (step - 1) % batches * BATCH
        chosen = order[first : first + BATCH]
        rate = LEARNING_RATE * (1 + np.cos(np.pi * step / (EPOCHS * batches))) / 2
        for name, gradient in gradients(weights, images[chosen], labels[chosen]).items():
            mean[name] += 0.1 * (gradient - mean[name])
            square[name] += 0.001 * (gradient**2 - square[name])
            unbiased = mean[name] / (1 - 0.9**step), square[name] / (1 - 0.999**step)
            decay = WEIGHT_DECAY * weights[name] if name.endswith("weight") else 0
            weights[name] -= rate * (unbiased[0] / (np.sqrt(unbiased[1]) + 1e-8) + decay)
    return weights


def to_onnx(weights):
    def convolution_node(data, name):
        inputs = [data, name + ".weight", name + ".bias"]
        return helper.make_node("Conv", inputs, [name], name, kernel_shape=[3, 3], pads=[1, 1, 1, 1])

    def dense_node(data, name):
        return helper.make_node("Gemm", [data, name + ".weight", name + ".bias"], [name], name, transB=1)

    def pool_node(data, name):
        return helper.make_node("MaxPool", [data], [name], name, kernel_shape=[2, 2], strides=[2, 2])

    nodes = [
        helper.make_node("Mul", ["image", "1/ink"], ["scaled"], "scaled"),
        convolution_node("scaled", "conv1"),
        helper.make_node("Relu", ["conv1"], ["relu1"], "relu1"),
        pool_node("relu1", "pool1"),
        convolution_node("pool1", "conv2"),
        helper.make_node("Relu", ["conv2"], ["relu2"], "relu2"),
        pool_node("relu2", "pool2"),
        helper.make_node("Flatten", ["pool2"], ["flat"], "flat"),
        dense_node("flat", "dense1"),
        helper.make_node("Relu", ["dense1"], ["relu3"], "relu3"),
        dense_node("relu3", "dense2"),
        helper.make_node("Softmax", ["dense2"], ["scores"], "softmax", axis=1),
    ]
    initialisers = [numpy_helper.from_array(w.astype(np.float32), name) for name, w in weights.items()]
    initialisers.append(numpy_helper.from_array(np.float32(1 / INK), "1/ink"))
    graph = helper.make_graph(
        nodes,
        "digits",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 1, 8, 8])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["batch", 10])],
        initialisers,
        "Handwritten digits of 8x8 pixels, 0 (paper) to 16 (ink), to the probabilities of the ten digits",
    )
    model = helper.make_model(
        graph, producer_name="train_digits.py", ir_version=8, opset_imports=[helper.make_opsetid("", 17)]
    )
    onnx.checker.check_model(model, full_check=True)
    return model


def main():
    rng = np.random.default_rng(SEED)
    data = load_digits()
    images, labels = data.images[:, None], data.target
    train_set, held_out = split(labels, rng)
    model = to_onnx(train(images[train_set], labels[train_set], rng))
    onnx.save(model, HERE / "digits.onnx")

    held_images, held_labels = images[held_out].astype(np.float32), labels[held_out].astype(np.uint8)
    np.save(HERE / "held_out_images.npy", held_images)
    np.save(HERE / "held_out_labels.npy", held_labels)
    for digit in range(10):
        first = np.flatnonzero(held_labels == digit)[0]
        np.save(HERE / f"digit_{digit}.npy", held_images[first : first + 1])

    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    (scores,) = session.run(None, {"image": held_images})
    right = int((scores.argmax(axis=1) == held_labels).sum())
    print(f"{right} of {len(held_labels)} held-out digits right ({100 * right / len(held_labels):.1f} %)")
    return right < 0.97 * len(held_labels)


if __name__ == "__main__":
    sys.exit(main())
