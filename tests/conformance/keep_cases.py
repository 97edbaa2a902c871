"""Keeps small cases with what must come of them for tests/test_kept_cases.c, so that unit tests, and sanitizers, see
every operator: those of ONNX's node tests that pass, with ONNX's numbers, and random ones of the operators of
com.microsoft and ai.onnx.ml, with ONNX Runtime's. To be run again after expected.txt or the operators have changed:

    .venv/bin/python tests/conformance/keep_cases.py
"""

import struct
import zlib
from pathlib import Path

import numpy as np
import onnx
from onnx import helper

from cases import load_cases
from compare import BFLOAT16_RTOL, is_random
from contrib_draw import drawers
from contrib_sweep import allowed_error, draw, make_model
from run import EXPECTED, read_expected

FOLDER = Path(__file__).resolve().parents[1] / "data" / "cases"
MOST_BYTES = 2000  # of a case
EACH, DRAWN = 12, 120  # such operators: so many cases of so many drawn


def flat(values):
    """The arrays among the values, those of sequences one by one."""
    lists = [value if isinstance(value, list) else [value] for value in values]
    return [array for arrays in lists for array in arrays if array is not None]


def lengths(names, values):
    """How many tensors each sequence or absent optional is."""
    return [(name, -1 if v is None else len(v)) for name, v in zip(names, values) if v is None or isinstance(v, list)]


def block(data):
    return struct.pack("<I", len(data)) + data


def tensor(array):
    code = helper.np_dtype_to_tensor_dtype(array.dtype)
    return struct.pack(f"<II{array.ndim}q", code, array.ndim, *array.shape) + block(array.tobytes())


def record(name, model, told, inputs, outputs):
    """`outputs` are an array, by how much of itself and by how much at all a number may be off, and how many may."""
    out = block(name.encode() + b"\0") + block(model) + struct.pack("<I", len(told))
    for sequence, count in told:
        out += block(sequence.encode() + b"\0") + struct.pack("<i", count)
    out += struct.pack("<I", len(inputs)) + b"".join(map(tensor, inputs)) + struct.pack("<I", len(outputs))
    return out + b"".join(struct.pack("<ddI", *measure) + tensor(array) for array, *measure in outputs)


def is_small(model, arrays):
    whole_bytes = all(a.dtype != object and not a.dtype.name.endswith(("int4", "int2", "e2m1fn")) for a in arrays)
    return whole_bytes and len(model) + sum(array.nbytes for array in arrays) <= MOST_BYTES


def rtol_of(case, array):
    return max(case.rtol, BFLOAT16_RTOL if array.dtype.name == "bfloat16" else 0)


def node_cases():
    failing = read_expected(EXPECTED)
    for case in load_cases(("node",)):
        inputs, outputs = map(flat, case.data_sets[0])
        if case.name in failing or is_random(case) or not is_small(case.model, inputs + outputs):
            continue
        graph, (given, made) = onnx.load_from_string(case.model).graph, case.data_sets[0]
        told = lengths([v.name for v in graph.input], given) + lengths([v.name for v in graph.output], made)
        measured = [(array, rtol_of(case, array), case.atol, array.size) for array in outputs]
        yield record(case.name, case.model, told, inputs, measured)


def contrib_cases():
    for name, drawer in sorted(drawers().items()):
        kept = 0
        for case, expected in zip(*draw(drawer, np.random.default_rng([1, *name.encode()]), DRAWN)[:2]):
            model, feed = make_model([case])
            model, inputs = model.SerializeToString(deterministic=True), list(feed.values())
            outputs = [np.asarray(array) for array in expected]
            if kept == EACH or not is_small(model, inputs + outputs):
                continue
            kept += 1
            yield record(f"{name}_{kept}", model, (), inputs, [(a, 0.0, *allowed_error(case, a)) for a in outputs])


def main():
    FOLDER.mkdir(exist_ok=True)
    for file, cases in (("onnx", node_cases()), ("contrib", contrib_cases())):
        kept = list(map(block, cases))
        content = b"".join(kept)
        (FOLDER / f"{file}.zlib").write_bytes(struct.pack("<II", len(kept), len(content)) + zlib.compress(content, 9))
        print(f"{file}: {len(kept)} cases")


if __name__ == "__main__":
    main()
