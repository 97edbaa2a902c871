"""Writes ONNX graphs node by node."""

import numpy as np
from onnx import TensorProto, checker, helper, numpy_helper


class GraphBuilder:
    """Collects nodes and weights. Each method that adds a node returns the name of its output."""

    def __init__(self):
        self.nodes = []
        self.weights = []

    def node(self, op_type, *inputs, output=None, **attributes):
        output = output or f"/{op_type}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(op_type, list(inputs), [output], name=output, **attributes))
        return output

    def constant(self, value, dtype=np.int64):
        return self.node("Constant", value=numpy_helper.from_array(np.array(value, dtype)))

    def weight(self, name, array):
        self.weights.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def model(self, name, inputs, outputs, opset):
        """A checked model. Inputs and outputs are (name, element type, shape); a string is a symbolic dimension."""
        values = [[helper.make_tensor_value_info(*value) for value in values] for values in (inputs, outputs)]
        graph = helper.make_graph(self.nodes, name, *values, initializer=self.weights)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
        checker.check_model(model)
        return model


FLOAT = TensorProto.FLOAT
INT64 = TensorProto.INT64
