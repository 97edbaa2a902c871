"""Builds MobileNetV2 1.0 at 224x224 as an ONNX graph with weights drawn from a fixed seed.

The graph is the one of Sandler et al., "MobileNetV2: Inverted Residuals and Linear Bottlenecks" (table 2), batch
normalisation not yet folded. The weights keep the activations' scale, so an error anywhere shows in the output.
"""

from pathlib import Path

import numpy as np

from fetch import MODELS, write_whole
from graph_builder import FLOAT, GraphBuilder
from random_weights import batch_norm_weights, he_normal

PATH = MODELS / "mobilenetv2.onnx"
OPSET = 13
SEED = 2
CLASSES = 1000

# Of each stage: the expansion, output channels, blocks, and stride of the first block.
STAGES = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))


class MobileNetV2:
    def __init__(self):
        self.graph = GraphBuilder()
        self.random = np.random.default_rng(SEED)
        self.layers = 0

    def build(self):
        g = self.graph
        value, channels = self.convolution("input", 3, 32, kernel=3, stride=2), 32
        for expansion, width, blocks, stride in STAGES:
            for block in range(blocks):
                value = self.bottleneck(value, channels, width, expansion, stride if block == 0 else 1)
                channels = width
        value = self.convolution(value, channels, 1280)
        pooled = g.node("Flatten", g.node("GlobalAveragePool", value), axis=1)
        weight = g.weight("classifier.weight", he_normal(self.random, (CLASSES, 1280), 1280))
        bias = g.weight("classifier.bias", self.random.normal(0, 0.1, CLASSES).astype(np.float32))
        g.node("Gemm", pooled, weight, bias, output="logits", transB=1)
        return g.model(
            "mobilenetv2", [("input", FLOAT, ["batch", 3, 224, 224])], [("logits", FLOAT, ["batch", CLASSES])], OPSET
        )

    def bottleneck(self, value, channels, width, expansion, stride):
        wide = channels * expansion
        expanded = self.convolution(value, channels, wide) if expansion > 1 else value
        filtered = self.convolution(expanded, wide, wide, kernel=3, stride=stride, groups=wide)
        projected = self.convolution(filtered, wide, width, activation=False)
        return self.graph.node("Add", value, projected) if stride == 1 and channels == width else projected

    def convolution(self, value, channels, width, kernel=1, stride=1, groups=1, activation=True):
        g = self.graph
        prefix = f"layers.{self.layers}"
        self.layers += 1
        shape = (width, channels // groups, kernel, kernel)
        weight = g.weight(f"{prefix}.weight", he_normal(self.random, shape, np.prod(shape[1:])))
        sizes = {"kernel_shape": [kernel] * 2, "strides": [stride] * 2, "pads": [kernel // 2] * 4, "group": groups}
        value = g.node("Conv", value, weight, **sizes)
        norm = batch_norm_weights(self.random, width)
        value = g.node("BatchNormalization", value, *(g.weight(f"{prefix}.{name}", norm[name]) for name in norm))
        if not activation:
            return value
        return g.node("Clip", value, g.constant(0, np.float32), g.constant(6, np.float32))


def build(path=PATH):
    """Writes the model unless it is there and newer than this script."""
    if not path.exists() or path.stat().st_mtime < Path(__file__).stat().st_mtime:
        write_whole(path, MobileNetV2().build().SerializeToString())
    return path


if __name__ == "__main__":
    print(build())
