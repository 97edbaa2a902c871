"""The cases of ONNX's backend test suite, as plain arrays and bytes."""

import os
import pickle
import sys
import warnings
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper
from onnx.backend.test.loader import load_model_tests

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from compare import is_extension
from toolrun import CACHE

# The loader also has "real"; those models are what tests/models checks.
KINDS = ("node", "simple", "pytorch-converted", "pytorch-operator")


@dataclass(frozen=True)
class Case:
    """Inputs and expected outputs are arrays in the graph's order; None is an absent optional, a list a sequence."""

    kind: str
    name: str
    model: bytes
    data_sets: list
    rtol: float
    atol: float


def load_cases(kinds):
    """Every case of these kinds. Making the node cases takes ONNX ten seconds and more, so they are kept on disk."""
    return [case for kind in kinds for case in _load_kind(kind)]


def _load_kind(kind):
    versions = "-".join(version(package) for package in ("onnx", "numpy", "ml_dtypes"))
    kept = CACHE / "conformance" / f"{kind}-{versions}.pickle"
    if kept.exists():
        return pickle.loads(kept.read_bytes())
    with warnings.catch_warnings():
        # ONNX's own computations overflow and divide by zero on purpose.
        warnings.simplefilter("ignore", RuntimeWarning)
        cases = [_plain_case(kind, test) for test in load_model_tests(kind=kind)]
    kept.parent.mkdir(parents=True, exist_ok=True)
    part = kept.with_name(f"{kept.name}.{os.getpid()}.part")
    part.write_bytes(pickle.dumps(cases))
    os.replace(part, kept)
    return cases


def _plain_case(kind, test):
    if test.model_dir is None:
        model, data_sets = test.model.SerializeToString(), test.data_sets
    else:
        folder = Path(test.model_dir)
        model, data_sets = (folder / "model.onnx").read_bytes(), _read_data_sets(folder)
    plain = [tuple([_plain_value(value) for value in values] for values in data_set) for data_set in data_sets]
    return Case(kind, test.name, model, plain, test.rtol, test.atol)


def _plain_value(value):
    if value is None:
        return None
    if isinstance(value, (list, tuple)):
        return [_plain_value(element) for element in value]
    return numpy_helper.to_array(value) if isinstance(value, onnx.TensorProto) else np.asarray(value)


def _read_data_sets(folder):
    graph = onnx.load(folder / "model.onnx").graph
    return [
        (_read_values(data_set, "input", graph.input), _read_values(data_set, "output", graph.output))
        for data_set in sorted(folder.glob("test_data_set_*"))
    ]


def _read_values(folder, prefix, declared):
    count = len(list(folder.glob(f"{prefix}_*.pb")))
    return [_read_value((folder / f"{prefix}_{i}.pb").read_bytes(), declared[i].type) for i in range(count)]


def _read_value(data, type_proto):
    if type_proto.HasField("sequence_type"):
        return numpy_helper.to_list(onnx.SequenceProto.FromString(data))
    if type_proto.HasField("optional_type"):
        return numpy_helper.to_optional(onnx.OptionalProto.FromString(data))
    return onnx.TensorProto.FromString(data)


def write_inputs(inputs, graph, folder):
    """Writes each array and returns infer-run's arguments: by order, or by name where an input is absent or a sequence,
    whose tensors are inputs of their own."""
    by_name = not all(isinstance(value, np.ndarray) for value in inputs)
    arrays = []
    for declared, value in zip(graph.input, inputs):
        if isinstance(value, list):
            arrays += [(f"{declared.name}[{i}]", element) for i, element in enumerate(value)]
        elif value is not None:
            arrays.append((declared.name, value))
    for i, (_, array) in enumerate(arrays):
        np.save(folder / f"in{i}.npy", _as_stored(array))
    return [f"{name}=in{i}.npy" if by_name else f"in{i}.npy" for i, (name, _) in enumerate(arrays)]


def _as_stored(array):
    """The form in which a .npy file can hold the array: strings of a fixed width; other types than numpy's as bytes."""
    if array.dtype == object:
        return array.astype("U")
    return array.view(f"V{array.dtype.itemsize}") if is_extension(array.dtype) else array
