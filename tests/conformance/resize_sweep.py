"""Sweeps Resize and Upsample against ONNX Runtime: every mode, coordinate transformation and rounding, by scales from
0.1 to 5.9 and by sizes from 1 to 200, for axes of 1 to 200 elements. No pixel may differ, but for what REASONS lists.

A part of it takes ten seconds; `--full`, which takes all axes, scales and sizes, half an hour.
"""

import argparse
import sys
import tempfile
import warnings
from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from toolrun import ROOT, find_tools, run_tool

LONGEST = 200
ROUNDINGS = ("floor", "ceil", "round_prefer_floor", "round_prefer_ceil")
COORDINATES = ("asymmetric", "half_pixel", "pytorch_half_pixel", "tf_half_pixel_for_nn", "align_corners",
               "half_pixel_symmetric", "tf_crop_and_resize")
REGIONS = ((0.0, 1.0), (0.1, 0.8), (-0.2, 1.3))
TOLERANCE = 2e-4  # of weighted sums of numbers between -1 and 1: positions in single precision are that far off

REASONS = {
    "length": "in weighted sums the last element stands where ONNX's own tests have it: at scale * in - 1, not cut to "
              "an integer",
    "sizes": "out/in is rounded to float32 there; here positions by sizes are exact fractions",
    "copy": "a tensor whose shape stays is copied there; here weighted sums go by the scale that is given",
    "crop": "where an axis keeps its length, the region of interest is ignored there",
}


class Sweep:
    """One operator with its attributes, over lengths of an axis and over scales or sizes."""

    def __init__(self, op, opset, by, attributes, region=None):
        self.op, self.opset, self.by, self.attributes, self.region = op, opset, by, attributes, region
        self.nearest = attributes["mode"] == "nearest"
        self.counts_length = attributes.get("coordinate_transformation_mode") in ("align_corners", "tf_crop_and_resize")

    def __str__(self):
        words = [f"{self.op}-{self.opset}", "by", self.by, *map(str, self.attributes.values())]
        return " ".join(words + ([f"of {self.region[0]} to {self.region[1]}"] if self.region else []))

    def node(self, x, y, amount):
        """The node with its inputs; `amount` names the scales or sizes."""
        if self.op == "Upsample" or self.opset < 11:
            inputs = [x, amount] if self.opset > 8 else [x]
        else:
            inputs = [x, "roi" if self.region else "", *((amount,) if self.by == "scales" else ("", amount))]
        return helper.make_node(self.op, inputs, [y], **self.attributes)

    def constants(self):
        if not self.region:
            return []
        start, end = self.region
        return [helper.make_tensor("roi", TensorProto.FLOAT, [8], [0, 0, 0, start, 1, 1, 1, end])]

    def amounts(self, length, values):
        """Those that leave something of an axis, as ONNX Runtime reckons."""
        return [v for v in values if self.by == "sizes" or output_length(v, length) > 0]


def output_length(scale, length):
    return int(np.float32(scale) * np.float32(length))


def model_of(nodes, inputs, outputs, constants, opset):
    graph = helper.make_graph(nodes, "sweep", inputs, outputs, constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def floats(name, shape):
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)


# --- theirs -----------------------------------------------------------------------------------------------------------


def reference(sweep, axis, cases):
    """The results of ONNX Runtime, one after the other."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    kind = TensorProto.FLOAT if sweep.by == "scales" else TensorProto.INT64
    inputs = [floats("x", [1, 1, 1, None]), helper.make_tensor_value_info("amount", kind, [4])]
    model = model_of([sweep.node("x", "y", "amount")], inputs, [floats("y", None)], sweep.constants(), sweep.opset)
    session = onnxruntime.InferenceSession(model.SerializeToString(), options)
    dtype = np.float32 if sweep.by == "scales" else np.int64
    results = []
    for length, amount in cases:
        feed = {"x": axis[None, None, None, :length], "amount": np.array([1, 1, 1, amount], dtype)}
        results.append(session.run(None, feed)[0].ravel())
    return results


# --- ours -------------------------------------------------------------------------------------------------------------


def constant(name, numbers, kind):
    return helper.make_tensor(name, kind, [len(numbers)], numbers)


def many(sweep, cases):
    """One model for all cases: parts of the axis, resized, and laid end to end."""
    nodes, constants = [], sweep.constants()
    constants += [constant("zero", [0], TensorProto.INT64), constant("last", [3], TensorProto.INT64)]
    kind = TensorProto.FLOAT if sweep.by == "scales" else TensorProto.INT64
    for length in sorted({length for length, _ in cases}):
        if sweep.opset < 10:  # begins and ends were attributes
            nodes.append(helper.make_node("Slice", ["x"], [f"x{length}"], starts=[0], ends=[length], axes=[3]))
            continue
        constants.append(constant(f"length{length}", [length], TensorProto.INT64))
        nodes.append(helper.make_node("Slice", ["x", "zero", f"length{length}", "last"], [f"x{length}"]))
    for amount in sorted({amount for _, amount in cases}):
        constants.append(constant(f"amount{amount}", [1, 1, 1, amount], kind))
    for i, (length, amount) in enumerate(cases):
        nodes.append(sweep.node(f"x{length}", f"y{i}", f"amount{amount}"))
    nodes.append(helper.make_node("Concat", [f"y{i}" for i in range(len(cases))], ["y"], axis=3))
    return model_of(nodes, [floats("x", [1, 1, 1, LONGEST])], [floats("y", None)], constants, sweep.opset)


def ours(sweep, axis, cases, tools, folder):
    convert, run = tools
    (folder / "model.onnx").write_bytes(many(sweep, cases).SerializeToString())
    np.save(folder / "x.npy", axis[None, None, None])
    for command in ([convert, "model.onnx", "model.bin"], [run, "model.bin", "x.npy", "--threads", "1", "-o", "out"]):
        ended = run_tool(command, 600, cwd=folder)
        if ended.outcome != "ok":
            sys.exit(f"{sweep}: {ended.outcome}: {ended.message}")
    return np.load(folder / "out" / "output_0.npy").ravel()


# --- comparing --------------------------------------------------------------------------------------------------------


def exact_neighbours(sweep, length, size):
    """Positions as fractions of integers."""
    coordinates, rounding = sweep.attributes["coordinate_transformation_mode"], sweep.attributes["nearest_mode"]
    i = np.arange(size, dtype=np.int64)
    if size == length:
        return i
    if coordinates == "asymmetric":
        above, below = i * length, size
    elif coordinates == "tf_half_pixel_for_nn":
        above, below = (2 * i + 1) * length, 2 * size
    elif coordinates == "align_corners":
        above, below = i * (length - 1), max(size - 1, 1)
    elif coordinates == "pytorch_half_pixel" and size == 1:
        above, below = i, 1
    else:
        above, below = (2 * i + 1) * length - size, 2 * size
    index = {"floor": above // below, "ceil": -(-above // below),
             "round_prefer_ceil": (2 * above + below) // (2 * below),
             "round_prefer_floor": -((below - 2 * above) // (2 * below))}[rounding]
    return np.clip(index, 0, length - 1)


def compare(sweep, cases, theirs, result, reasons):
    """Yields a sentence for each case that differs without a reason."""
    at = 0
    for (length, amount), expected in zip(cases, theirs):
        got = result[at:at + len(expected)]
        at += len(expected)
        differing = np.flatnonzero(np.abs(got - expected) > (0 if sweep.nearest else TOLERANCE))
        if len(differing) == 0:
            continue
        if sweep.nearest and sweep.by == "sizes" and not sweep.region and \
                np.array_equal(got, exact_neighbours(sweep, length, amount)):
            reasons["sizes"] += len(differing)
        elif len(expected) == length and (sweep.region or not sweep.nearest):
            reasons["crop" if sweep.region else "copy"] += len(differing)
        elif sweep.by == "scales" and sweep.counts_length and not sweep.nearest and \
                np.float32(amount) * np.float32(length) != len(expected):
            reasons["length"] += len(differing)
        else:
            i = differing[0]
            yield f"{sweep}: axis of {length}, {amount}: element {i} is {got[i]}; ONNX Runtime has {expected[i]}"
    if at != len(result):
        yield f"{sweep}: {len(result)} elements instead of {at}"


def sweeps():
    for by in ("scales", "sizes"):
        for coordinates in COORDINATES:
            for region in REGIONS if coordinates == "tf_crop_and_resize" else (None,):
                for rounding in ROUNDINGS:
                    yield Sweep("Resize", 19, by, {"mode": "nearest", "coordinate_transformation_mode": coordinates,
                                                   "nearest_mode": rounding}, region)
                for mode in ("linear", "cubic"):
                    yield Sweep("Resize", 19, by, {"mode": mode, "coordinate_transformation_mode": coordinates}, region)
    for mode in ("nearest", "linear"):
        yield Sweep("Resize", 10, "scales", {"mode": mode})
        yield Sweep("Upsample", 9, "scales", {"mode": mode})


def run(tools, full):
    lengths = range(1, LONGEST + 1) if full else (1, 2, 3, 5, 8, 14, 21, 40, 63, 200)
    scales = [k / 10 for k in range(1, 60)]
    sizes = range(1, LONGEST + 1) if full else (1, 2, 3, 5, 6, 8, 12, 17, 39, 49, 64, 100, 174, 200)
    reasons, wrong, pixels = Counter(), 0, 0
    noise = np.random.default_rng(7).uniform(-1, 1, LONGEST).astype(np.float32)
    for sweep in sweeps():
        axis = np.arange(LONGEST, dtype=np.float32) if sweep.nearest else noise
        values = sizes if sweep.by == "sizes" else [s for s in scales if s >= 1 or sweep.op == "Resize"]
        for first in range(0, len(lengths), 20):
            cases = [(n, a) for n in lengths[first:first + 20] for a in sweep.amounts(n, values)]
            with tempfile.TemporaryDirectory(prefix="resize-") as folder:
                result = ours(sweep, axis, cases, tools, Path(folder))
            pixels += len(result)
            for sentence in compare(sweep, cases, reference(sweep, axis, cases), result, reasons):
                wrong += 1
                if wrong <= 40:
                    print(sentence, flush=True)
    for reason, count in sorted(reasons.items()):
        print(f"{count} pixels differ: {REASONS[reason]}")
    print(f"{pixels} pixels, {wrong} cases wrong")
    return wrong


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tools", default=ROOT / "build", help="the folder of infer-convert and infer-run")
    parser.add_argument("--full", action="store_true", help="all lengths and sizes")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    wrong = run(find_tools(arguments.tools, "infer-convert", "infer-run"), arguments.full)
    print(f"{sum(1 for _ in sweeps()) if not wrong else 0} passed, {wrong} failed")
    return wrong != 0


if __name__ == "__main__":
    sys.exit(main())
