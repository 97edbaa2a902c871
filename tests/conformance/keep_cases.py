"""Writes the small ones of ONNX's node tests that pass, with what ONNX expects, for tests/test_onnx_cases.c: so that unit
tests, and sanitizers, see every operator. Again after expected.txt has changed:

    .venv/bin/python tests/conformance/keep_cases.py
"""

import struct
import zlib
from pathlib import Path

from onnx import helper

from cases import load_cases
from compare import BFLOAT16_RTOL, is_random
from run import EXPECTED, read_expected

KEPT = Path(__file__).resolve().parents[1] / "data" / "onnx_cases.zlib"
MOST_BYTES = 2000  # of a case


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


def tensors(values):
    arrays = flat(values)
    return struct.pack("<I", len(arrays)) + b"".join(map(tensor, arrays))


def record(case):
    graph = helper.onnx.load_from_string(case.model).graph
    inputs, outputs = case.data_sets[0]
    told = lengths([v.name for v in graph.input], inputs) + lengths([v.name for v in graph.output], outputs)
    bfloat16 = any(array.dtype.name == "bfloat16" for array in flat(outputs))
    rtol = max(case.rtol, BFLOAT16_RTOL) if bfloat16 else case.rtol
    out = block(case.name.encode() + b"\0") + block(case.model) + struct.pack("<ddI", rtol, case.atol, len(told))
    for name, count in told:
        out += block(name.encode() + b"\0") + struct.pack("<i", count)
    return out + tensors(inputs) + tensors(outputs)


def is_kept(case, failing):
    arrays = [array for data_set in case.data_sets for values in data_set for array in flat(values)]
    whole_bytes = all(array.dtype != object and not array.dtype.name.endswith(("int4", "int2", "e2m1fn")) for array in arrays)
    small = len(case.model) + sum(array.nbytes for array in arrays) <= MOST_BYTES
    return whole_bytes and small and len(case.data_sets) == 1 and case.name not in failing and not is_random(case)


def main():
    failing = read_expected(EXPECTED)
    kept = [record(case) for case in load_cases(("node",)) if is_kept(case, failing)]
    content = b"".join(map(block, kept))
    KEPT.write_bytes(struct.pack("<II", len(kept), len(content)) + zlib.compress(content, 9))
    print(f"{len(kept)} cases, {KEPT.stat().st_size} bytes")


if __name__ == "__main__":
    main()
