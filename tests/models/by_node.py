"""Compares a model node by node: every node gets ONNX Runtime's values of its inputs and must make its values of the
outputs.

For models that quantise what they compute: a number half way between two integers, or a little off, is rounded to the
one or to the other, and what follows differs by as much as an 8-bit step is worth. Each such step is checked by itself.
Nodes are run many at a time, as a graph in which no node reads what another makes.
"""

import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import helper

from toolrun import output_files, run_tool, save_inputs

BYTES_AT_ONCE = 200e6
NODES_AT_ONCE = 400

# Rounded to the other of two neighbours: one step, and in how many of the elements at most. A recurrence goes on from
# there, so its numbers are off by a part of their largest.
ROUNDING = {"QuantizeLinear": 1e-3, "DynamicQuantizeLinear": 1e-3}
RECURRENT = {"DynamicQuantizeLSTM": 0.05}


@dataclass
class Group:
    """Nodes with all that they read and make."""

    nodes: list
    bytes: int = 0


def reference_values(path, inputs, session_options):
    """Every value of the model by name, as ONNX Runtime computes it without any optimisation."""
    model = onnx.load(path)
    names = [name for node in model.graph.node for name in node.output if name]
    del model.graph.output[:]
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    session_options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), session_options, providers=["CPUExecutionProvider"]
    )
    values = dict(zip(names, session.run(names, inputs)))
    return model, {**values, **inputs}


def groups_of(model, values):
    group = Group([])
    for node in model.graph.node:
        size = sum(values[name].nbytes for name in {*node.input, *node.output} if name in values)
        if group.nodes and (group.bytes + size > BYTES_AT_ONCE or len(group.nodes) == NODES_AT_ONCE):
            yield group
            group = Group([])
        group.nodes.append(node)
        group.bytes += size
    yield group


def cut(model, group, values):
    """The group as a model, its inputs and its outputs, by names that say where they stand in the model."""
    held = {tensor.name: tensor for tensor in model.graph.initializer}
    inputs, weights, nodes, outputs = {}, {}, [], []
    for node in group.nodes:
        copy = onnx.NodeProto()
        copy.CopyFrom(node)
        for i, name in enumerate(node.input):
            if name in held:
                weights[name] = held[name]
            elif name:
                copy.input[i] = f"in{len(inputs)}" if name not in inputs else inputs[name]
                inputs[name] = copy.input[i]
        for i, name in enumerate(node.output):
            if name:
                copy.output[i] = f"out{len(outputs)}"
                outputs.append((node, name))
        nodes.append(copy)
    made = [
        helper.make_tensor_value_info(f"out{i}", kind_of(values[name]), None) for i, (_, name) in enumerate(outputs)
    ]
    given = [
        helper.make_tensor_value_info(key, kind_of(values[name]), values[name].shape) for name, key in inputs.items()
    ]
    graph = helper.make_graph(nodes, "nodes", given, made, list(weights.values()))
    cut_model = helper.make_model(graph, opset_imports=model.opset_import, ir_version=model.ir_version)
    return cut_model, {key: values[name] for name, key in inputs.items()}, outputs


def kind_of(array):
    return helper.np_dtype_to_tensor_dtype(array.dtype)


def output_fault(node, output, expected, relative, absolute):
    """What is wrong with an output, or None."""
    if output.shape != expected.shape or output.dtype != expected.dtype:
        return f"{output.dtype} {output.shape}, expected {expected.dtype} {expected.shape}"
    a, b = output.astype(np.float64), expected.astype(np.float64)
    same = (a == b) | (np.isnan(a) & np.isnan(b))
    with np.errstate(invalid="ignore"):
        differences = np.where(same, 0, np.abs(a - b))
    error, largest = np.max(differences, initial=0), np.max(np.abs(b), initial=0)
    if node.op_type in ROUNDING and output.dtype.itemsize == 1:
        wrong = np.count_nonzero(differences)
        fine = error <= 1 and wrong <= max(1, ROUNDING[node.op_type] * b.size)
        return None if fine else f"{wrong} of {b.size} elements differ, by up to {error:g}"
    relative = RECURRENT.get(node.op_type, relative)
    allowed = relative * largest + absolute if output.dtype.kind == "f" else 0
    return None if error <= allowed else f"an error of {error:.3g}, {allowed:.3g} is allowed"


def faults(path, inputs, session_options, tools, seconds, relative, absolute, options=()):
    """Yields a sentence for each output of a node that is wrong; then says how many were compared. options: of infer-run."""
    convert, run = tools
    model, values = reference_values(path, inputs, session_options)
    compared = 0
    for group in groups_of(model, values):
        with tempfile.TemporaryDirectory(prefix="by-node-") as name:
            folder = Path(name)
            part, given, outputs = cut(model, group, values)
            onnx.save(part, folder / "part.onnx")
            arguments = save_inputs(given, folder)
            for command in ([convert, "part.onnx", "part.bin"], [run, "part.bin", *arguments, *options, "-o", "out"]):
                ended = run_tool(command, seconds, cwd=folder)
                if ended.outcome != "ok":
                    yield f"{command[0].rsplit('/', 1)[-1]}: {ended.outcome}: {ended.message}"
                    return
            for (node, name), file in zip(outputs, output_files(folder / "out"), strict=True):
                fault = output_fault(node, np.load(file), values[name], relative, absolute)
                compared += 1
                if fault:
                    yield f"node '{node.name}' ({node.op_type}), output '{name}': {fault}"
    if compared == 0:
        yield "no output was compared"
