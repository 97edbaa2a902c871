"""Gives the onnx package's light models weights drawn from a fixed seed.

As they come, nearly every weight of a light model is 0.02: each class then scores the same whatever the convolutions
compute, so the outputs say little. The seeded models tell a right runtime from a wrong one.
"""

import sys
from collections import defaultdict
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from fetch import MODELS, FetchError, light_model, write_whole
from random_weights import batch_norm_weights, he_normal

SEED = 3
IR_VERSION = 8  # from 4 on, initialisers need not stand among the graph's inputs

# A classifier with larger weights is cut off, so that a model stays small; what it would read becomes the output.
LARGEST_CLASSIFIER = 32 << 20
# Class scores of about this deviation leave Softmax neither flat nor saturated.
SCORE_DEVIATION = 2.5

RESHAPES = ("Reshape", "Unsqueeze")


class Seeder:
    def __init__(self, model):
        self.model = model
        self.graph = model.graph
        self.random = np.random.default_rng(SEED)
        self.makers = {output: node for node in self.graph.node for output in node.output}
        self.readers = defaultdict(list)
        for node in self.graph.node:
            for position, name in enumerate(node.input):
                self.readers[name].append((node, position))
        self.held = {tensor.name: tensor for tensor in self.graph.initializer}
        self.shapes = self.weight_shapes()

    def seed(self):
        self.cut_large_classifier()
        read = {name for node in self.graph.node for name in node.input}
        for name, shape in self.shapes.items():
            if name in read:
                self.set_weight(name, self.values(name, shape))
        self.drop_unused()
        self.model.ir_version = IR_VERSION
        if any(node.op_type == "Softmax" for node in self.graph.node):
            self.scale_scores()
        onnx.checker.check_model(self.model)
        return self.model

    def weight_shapes(self):
        shapes = {name: tuple(held.dims) for name, held in self.held.items() if held.data_type == TensorProto.FLOAT}
        for node in self.graph.node:
            if node.op_type == "ConstantOfShape":
                shapes[node.output[0]] = tuple(numpy_helper.to_array(self.held[node.input[0]]))
        return shapes

    def values(self, name, shape):
        """Random values that suit what reads them."""
        node, position = self.readers[name][0]
        if node.op_type in RESHAPES:
            node, position = self.readers[node.output[0]][0]
        if node.op_type == "BatchNormalization":
            return list(batch_norm_weights(self.random, shape[0]).values())[position - 1]
        if node.op_type == "Conv" and position == 1:
            return he_normal(self.random, shape, np.prod(shape[1:]))
        if node.op_type == "Gemm" and position == 1:
            return he_normal(self.random, shape, shape[-1])
        if node.op_type == "Mul":
            return self.random.uniform(0.5, 1.5, shape).astype(np.float32)
        return self.random.normal(0, 0.1, shape).astype(np.float32)

    def set_weight(self, name, values):
        """Makes the tensor an initialiser, in place of the one or the node that it was."""
        if name in self.held:
            self.graph.initializer.remove(self.held[name])
        if name in self.makers:
            self.graph.node.remove(self.makers.pop(name))
        self.graph.initializer.append(numpy_helper.from_array(values, name))
        self.held[name] = self.graph.initializer[-1]

    def cut_large_classifier(self):
        for index, node in enumerate(self.graph.node):
            shape = self.shapes[self.weight_of(node)] if node.op_type == "Gemm" else (0,)
            if 4 * np.prod(shape) > LARGEST_CLASSIFIER:
                features = helper.make_tensor_value_info(node.input[0], TensorProto.FLOAT, [1, int(shape[-1])])
                del self.graph.node[index:], self.graph.output[:]
                self.graph.output.append(features)
                return

    def weight_of(self, node):
        """The name of a layer's weight, which a Reshape may stand before."""
        maker = self.makers.get(node.input[1])
        return maker.input[0] if maker is not None and maker.op_type in RESHAPES else node.input[1]

    def drop_unused(self):
        """Removes nodes that nothing reads, then initialisers, and the initialisers' places among the inputs."""
        wanted = {output.name for output in self.graph.output}
        for node in reversed(list(self.graph.node)):
            if wanted.isdisjoint(node.output):
                self.graph.node.remove(node)
            else:
                wanted.update(node.input)
        for tensor in list(self.graph.initializer):
            if tensor.name not in wanted:
                self.graph.initializer.remove(tensor)
        for value in list(self.graph.input):
            if value.name in self.held:
                self.graph.input.remove(value)

    def scale_scores(self):
        """Scales the last layer, by a power of two so that the model is the same wherever it is made."""
        last = [node for node in self.graph.node if node.op_type in ("Conv", "Gemm")][-1]
        factor = np.float32(2.0 ** np.round(np.log2(SCORE_DEVIATION / self.output_of(last).std())))
        for name in (self.weight_of(last), last.input[2]):
            self.set_weight(name, numpy_helper.to_array(self.held[name]) * factor)

    def output_of(self, node):
        probe = onnx.ModelProto.FromString(self.model.SerializeToString())
        probe.graph.output.append(helper.make_tensor_value_info(node.output[0], TensorProto.FLOAT, None))
        session = onnxruntime.InferenceSession(probe.SerializeToString(), providers=["CPUExecutionProvider"])
        image = np.random.default_rng(SEED).random((1, 3, 224, 224), dtype=np.float32)
        return session.run([node.output[0]], {session.get_inputs()[0].name: image})[0]


def build(name):
    """The path of the seeded model, written unless it is there and newer than this script."""
    path = MODELS / f"seeded_{name}.onnx"
    if not path.exists() or path.stat().st_mtime < Path(__file__).stat().st_mtime:
        write_whole(path, Seeder(onnx.load(light_model(name))).seed().SerializeToString())
    return path


if __name__ == "__main__":
    try:
        for model_name in sys.argv[1:]:
            print(build(model_name))
    except FetchError as error:
        sys.exit(f"build_seeded.py: {error}")
