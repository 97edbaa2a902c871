#!/usr/bin/env python3
"""Makes a model that uses what a model file can hold, its inputs, and what ONNX Runtime gives for them.

    make.py FOLDER        everything.onnx, input_0.npy, output_0.npy, ...: outputs 3 to 5 are those where flag is true

The .bin files beside it were made of everything.onnx by the infer-convert of their format version, version_1.bin by one
that wrote version 1, and those called optimised with --optimize. They are never made again: test_model_versions.c asks of
every later build that it reads them and gives these outputs.
"""

import sys
from pathlib import Path

import ml_dtypes
import numpy as np
import onnxruntime
from onnx import TensorProto, checker, helper, numpy_helper

FLOAT, INT64, BOOL = TensorProto.FLOAT, TensorProto.INT64, TensorProto.BOOL


def value(name, dtype, shape):
    return helper.make_tensor_value_info(name, dtype, shape)


def node(op, inputs, outputs, **attributes):
    return helper.make_node(op, inputs.split(), outputs.split(), name=f"/{outputs.split()[0]}/{op}", **attributes)


def tensor(name, content, dtype=np.float32):
    return numpy_helper.from_array(np.asarray(content).astype(dtype), name)


def weights():
    random = np.random.default_rng(1)

    def some(*shape):
        return random.uniform(-1, 1, shape)

    return [
        tensor("conv.weight", some(4, 2, 3, 3)),
        tensor("conv.bias", some(4)),
        *(tensor(f"norm.{name}", 1 + 0.5 * some(4)) for name in ("scale", "bias", "mean", "variance")),
        tensor("mix.weight", random.integers(-128, 128, (4, 4, 1, 1)), np.int8),
        tensor("mix.scale", [0.01, 0.02, 0.015, 0.005]),
        tensor("mix.zero", [0, 3, -4, 1], np.int8),
        tensor("gain", 1 + 0.5 * some(4, 1, 1), np.float16),
        tensor("shift", some(4, 1, 1), ml_dtypes.bfloat16),
        tensor("steps", [[[-8]], [[7]], [[-3]], [[5]]], ml_dtypes.int4),
        tensor("step", 0.25),
        tensor("mask", [[[True, False, True, True, False, True]]], np.bool_),
        tensor("masked", -0.5, np.float64),
        tensor("flat", [0, 4], np.int64),
    ]


def loop_body():
    """v = v * decay + pooled, with pooled from outside."""
    nodes = [node("Mul", "v decay", "decayed"), node("Add", "decayed pooled", "next"), node("Identity", "go", "going")]
    inputs = [value("i", INT64, []), value("go", BOOL, []), value("v", FLOAT, ["N", 4])]
    outputs = [value("going", BOOL, []), value("next", FLOAT, ["N", 4])]
    return helper.make_graph(nodes, "body", inputs, outputs, [tensor("decay", [0.5, 0.25, -0.5, 1])])


def branches():
    then = [node("ConstantOfShape", "pooled_shape", "constant", value=tensor("", [0.5])), node("Add", "pooled constant", "raised")]
    other = [node("Loop", "count  pooled", "looped", body=loop_body())]
    other[0].input[:] = ["count", "", "pooled"]
    return {
        "then_branch": helper.make_graph(then, "then", [], [value("raised", FLOAT, ["N", 4])]),
        "else_branch": helper.make_graph(other, "else", [], [value("looped", FLOAT, ["N", 4])], [tensor("count", 3, np.int64)]),
    }


def trees():
    """Two trees of one question each."""
    return node(
        "TreeEnsembleRegressor",
        "pooled",
        "score",
        domain="ai.onnx.ml",
        n_targets=1,
        nodes_treeids=[0, 0, 0, 1, 1, 1],
        nodes_nodeids=[0, 1, 2, 0, 1, 2],
        nodes_featureids=[0, 0, 0, 3, 0, 0],
        nodes_modes=["BRANCH_LEQ", "LEAF", "LEAF", "BRANCH_GT", "LEAF", "LEAF"],
        nodes_values=[-1.25, 0.0, 0.0, -0.8, 0.0, 0.0],
        nodes_truenodeids=[1, 0, 0, 1, 0, 0],
        nodes_falsenodeids=[2, 0, 0, 2, 0, 0],
        target_treeids=[0, 0, 1, 1],
        target_nodeids=[1, 2, 1, 2],
        target_ids=[0, 0, 0, 0],
        target_weights=[1.0, -2.0, 0.5, 0.125],
        post_transform="NONE",
    )


def model():
    nodes = [
        node("Conv", "x conv.weight conv.bias", "conv", pads=[1, 1, 1, 1], auto_pad="NOTSET"),
        node("BatchNormalization", "conv norm.scale norm.bias norm.mean norm.variance", "norm", epsilon=1e-3),
        node("LeakyRelu", "norm", "active", alpha=0.25),
        node("DequantizeLinear", "mix.weight mix.scale mix.zero", "mix.dequantized", axis=0),
        node("Conv", "active mix.dequantized", "mixed"),
        node("Cast", "mixed", "half", to=TensorProto.FLOAT16),
        node("Mul", "half gain", "gained"),
        node("Cast", "gained", "single", to=FLOAT),
        node("Cast", "shift", "shift.single", to=FLOAT),
        node("Add", "single shift.single", "shifted"),
        node("DequantizeLinear", "steps step", "steps.dequantized"),
        node("Mul", "shifted steps.dequantized", "stepped"),
        node("Cast", "masked", "masked.single", to=FLOAT),
        node("Where", "mask stepped masked.single", "seen"),
        node("GlobalAveragePool", "seen", "averages"),
        node("Reshape", "averages flat", "pooled"),
        node("Shape", "pooled", "pooled_shape"),
        node("If", "flag", "y", **branches()),
        trees(),
        node("ArgMax", "y", "class", axis=1, keepdims=0),
    ]
    inputs = [value("x", FLOAT, ["N", 2, 6, 6]), value("flag", BOOL, [])]
    outputs = [value("y", FLOAT, ["N", 4]), value("score", FLOAT, ["N", 1]), value("class", INT64, ["N"])]
    graph = helper.make_graph(nodes, "everything", inputs, outputs, weights(), doc_string="for tests")
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid("ai.onnx.ml", 3)]
    made = helper.make_model(graph, opset_imports=opsets, ir_version=10, producer_name="make.py", doc_string="for tests")
    helper.set_model_props(made, {"license": "none", "purpose": "old files stay readable"})
    checker.check_model(made)
    return made


def main():
    folder = Path(sys.argv[1])
    made = model()
    (folder / "everything.onnx").write_bytes(made.SerializeToString())
    x = np.random.default_rng(2).uniform(-1, 1, (3, 2, 6, 6)).astype(np.float32)
    session = onnxruntime.InferenceSession(made.SerializeToString(), providers=["CPUExecutionProvider"])
    np.save(folder / "input_0.npy", x)
    for i, output in enumerate(session.run(None, {"x": x, "flag": np.array(False)})):
        np.save(folder / f"output_{i}.npy", output)
    for i, output in enumerate(session.run(None, {"x": x, "flag": np.array(True)})):
        np.save(folder / f"output_{3 + i}.npy", output)


if __name__ == "__main__":
    main()
