"""Models that infer-quantize makes small: how right they are, beside what ONNX Runtime makes of the same data, and how
small.

The relative error of a model is the root of the squared differences to float32's outputs over that of their squares, on
samples that nobody calibrated with.
"""

import argparse
import re
import sys
import tempfile
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnxruntime.quantization import QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from networks import mobile_network, sound_network, text_network
from quant_engines import Failed, Peer, Reader
from quant_scores import relative_error
from toolrun import ROOT, find_tools, run_tool

DEMO = ROOT / "tests" / "demo"
SECONDS_A_TOOL = 120
WHOLE = 1.02  # of the weights, a file's share at most that holds them as they were
ROW = "{:<44} {:>10} {:>10}  {}"


class Bench:
    def __init__(self, tools, folder):
        self.quantize_tool, self.run_tool = find_tools(tools, "infer-quantize", "infer-run")
        self.folder = Path(folder)
        self.passed = self.failed = 0
        self.left_float = False  # layers of the last model, since they would be slower: times decide, in tests too

    def quantize(self, model, *options):
        target = self.folder / "small.bin"
        said = self._succeed([self.quantize_tool, model, target, *options])
        small, all_layers = re.search(r"layers +(\d+) of (\d+)", said).groups()
        self.left_float = small != all_layers
        return target

    def outputs(self, model, samples, *options):
        """Of each sample, one after another in one list."""
        results = []
        for sample in samples:
            arguments = [f"{name}={self._saved(name, array)}" for name, array in sample.items()]
            self._succeed([self.run_tool, model, *arguments, "-o", self.folder / "out", *options])
            results.append(np.load(self.folder / "out" / "output_0.npy"))
        return results

    def _saved(self, name, array):
        path = self.folder / f"{name}.npy"
        np.save(path, array)
        return path

    def _succeed(self, command):
        done = run_tool(list(map(str, command)), SECONDS_A_TOOL)
        if done.outcome != "ok":
            raise Failed(f"{Path(command[0]).name}: {done.outcome}: {done.message}")
        return done.output

    def judge(self, name, value, bound, formatted="{:.4g}"):
        """The value must not pass the bound."""
        good = value <= bound
        self.passed += good
        self.failed += not good
        print(ROW.format(name, formatted.format(value), formatted.format(bound), "ok" if good else "FAILED"), flush=True)


# --- digits -------------------------------------------------------------------------------------------------------


def check_digits(bench):
    """Wrong digits more than float32's. A third of a point is one of 355."""
    images, labels = np.load(DEMO / "held_out_images.npy"), np.load(DEMO / "held_out_labels.npy")
    model, samples = DEMO / "digits.onnx", ["--calibrate", *sorted(DEMO.glob("digit_?.npy"))]

    def wrong(file):
        return int((bench.outputs(file, [{"image": images}])[0].argmax(axis=1) != labels).sum())

    exact = wrong(model)
    for name, most, options in (
        ("int8", 1, ["--precision", "int8", *samples]),
        ("int8, entropy", 1, ["--precision", "int8", "--method", "entropy", *samples]),
        ("int8, dynamic", 1, ["--precision", "int8", "--dynamic"]),
        ("weights in int8", 1, ["--weights-only", "int8"]),
        ("weights in int4", 3, ["--weights-only", "int4", "--block", "16"]),
        ("fp16", 0, ["--precision", "fp16"]),
    ):
        bench.judge(f"digits, {name}: wrong ones more", wrong(bench.quantize(model, *options)) - exact, most, "{:d}")


# --- beside ONNX Runtime ------------------------------------------------------------------------------------------


def session_outputs(path, samples, optimise=True):
    options = onnxruntime.SessionOptions()
    if not optimise:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.add_session_config_entry("session.x64quantprecision", "1")
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return [session.run(None, sample)[0] for sample in samples]


def peer_error(bench, model, known, unknown, expected, dynamic):
    small = Peer(bench.folder).quantized(model, known, dynamic)
    return relative_error(session_outputs(small, unknown), expected)


def split_samples(bench, samples):
    folder = bench.folder / "samples"
    folder.mkdir(exist_ok=True)
    known, unknown = samples[::2], samples[1::2]
    for i, sample in enumerate(known):
        np.savez(folder / f"{i}.npz", **sample)
    return folder, known, unknown


def check_network(bench, name, network, samples, forms):
    model = bench.folder / f"{name}.onnx"
    onnx.save(network, model)
    folder, known, unknown = split_samples(bench, samples)
    expected = session_outputs(model, unknown)
    weights = sum(int(np.prod(array.dims)) * 4 for array in network.graph.initializer)
    peers = {}
    for form, share, most, options in forms:
        calibrated = "fp16" not in options and form != UNSEEN
        small = bench.quantize(model, *options, *(["--calibrate", folder] if calibrated else []))
        error = relative_error(bench.outputs(small, unknown), expected)
        dynamic = "--dynamic" in options
        if most is None and dynamic not in peers:
            peers[dynamic] = peer_error(bench, model, known, unknown, expected, dynamic)
        bench.judge(f"{name}, {form}: error", error, peers[dynamic] if most is None else most)
        bench.judge(f"{name}, {form}: share of the weights", small.stat().st_size / weights,
                    WHOLE if bench.left_float else share)
        slow = relative_error(bench.outputs(small, unknown, "--no-optimize"), bench.outputs(small, unknown))
        bench.judge(f"{name}, {form}: error of passes", slow, 0.02)
    for file in folder.iterdir():
        file.unlink()


# The error's bound is None where it is ONNX Runtime's own; the range of entropy is made for the shape of a distribution.
STATIC = [
    (f"int8, {method}", 0.27, most, ["--precision", "int8", "--method", method])
    for method, most in (("minmax", None), ("percentile", None), ("entropy", 0.03), ("mse", None))
]
OTHERS = [
    ("weights in int8", 0.27, 0.02, ["--weights-only", "int8"]),
    ("fp16", 0.52, 1e-3, ["--precision", "fp16"]),
]
TEXT = [
    ("int8", 0.27, None, ["--precision", "int8"]),
    ("int8, dynamic", 0.27, None, ["--precision", "int8", "--dynamic"]),
    ("weights in int4", 0.16, 0.15, ["--weights-only", "int4"]),
]
# ONNX Runtime leaves GRU in float32.
UNSEEN = "int8, dynamic without samples"
MOBILE = [
    ("int8, dynamic", 0.27, None, ["--precision", "int8", "--dynamic"]),
    (UNSEEN, 0.27, None, ["--precision", "int8", "--dynamic", "--full-range"]),
]
RECURRENT = {
    "LSTM": [("int8, dynamic", 0.27, None, ["--precision", "int8", "--dynamic"])],
    "GRU": [("int8, dynamic", 0.27, 0.03, ["--precision", "int8", "--dynamic"])],
}


ARRANGEMENTS = [
    ("u8 by s8 a channel", QuantFormat.QDQ, QuantType.QUInt8, True, {}),
    ("s8 by s8, symmetric", QuantFormat.QDQ, QuantType.QInt8, False, {"ActivationSymmetric": True}),
    ("pairs apart", QuantFormat.QDQ, QuantType.QUInt8, True, {"DedicatedQDQPair": True}),
    ("weights quantised in the model", QuantFormat.QDQ, QuantType.QUInt8, False, {"AddQDQPairToWeight": True}),
    ("QLinear operators", QuantFormat.QOperator, QuantType.QUInt8, True, {}),
]


def check_arrangements(bench, name, samples):
    """What ONNX Runtime has quantised, run by both as ONNX defines it (its optimiser takes QuantizeLinear away where it
    sees fit): at ties one rounds to the other side, and what follows differs a little."""
    model, small = bench.folder / f"{name}.onnx", bench.folder / "peer.onnx"
    prepared = bench.folder / "prepared.onnx"
    quant_pre_process(model, prepared, skip_symbolic_shape=True)
    for arrangement, form, activations, by_channel, extra in ARRANGEMENTS:
        quantize_static(prepared, small, Reader(samples[::2]), quant_format=form, per_channel=by_channel,
                        activation_type=activations, weight_type=QuantType.QInt8, extra_options=extra)
        expected = session_outputs(small, samples[1::2], optimise=False)
        bench.judge(f"{name}, {arrangement}: error", relative_error(bench.outputs(small, samples[1::2]), expected), 0.01)


def check_budget(bench):
    """What --max-error asks for holds on samples that it did not see, or nearly so. Weights alone are not timed, so every
    machine looks for the same layers: all of them would be at 0.0064."""
    model = bench.folder / "mobile.onnx"
    integers, weights = ["--precision", "int8"], ["--weights-only", "int8"]
    for most, name, options in ((0.05, "", integers), (0.02, "", integers), (0.0, "", integers), (0.004, "weights, ", weights)):
        folder, _, unknown = split_samples(bench, image_samples())
        small = bench.quantize(model, *options, "--max-error", most, "--calibrate", folder)
        error = relative_error(bench.outputs(small, unknown), session_outputs(model, unknown))
        bench.judge(f"mobile, {name}--max-error {most}: error", error, 1.25 * most + 1e-5)


def image_samples():
    random = np.random.default_rng(3)
    smooth = random.normal(0, 1, (16, 3, 8, 8)).repeat(4, 2).repeat(4, 3) + random.normal(0, 0.2, (16, 3, 32, 32))
    return [{"image": image[None].astype(np.float32)} for image in smooth]


def word_samples():
    random = np.random.default_rng(4)
    return [{"words": random.integers(0, 4000, (1, int(random.integers(5, 30))))} for _ in range(16)]


def sound_samples():
    random = np.random.default_rng(5)
    smooth = random.normal(0, 1, (16, 40, 10)).repeat(6, 2) + random.normal(0, 0.2, (16, 40, 60))
    return [{"sound": sound[None].astype(np.float32)} for sound in smooth]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tools", default=ROOT / "build", metavar="DIR", help="the tools' folder; default: build")
    arguments = parser.parse_args()
    onnxruntime.set_default_logger_severity(3)
    print(ROW.format("", "is", "at most", ""))
    with tempfile.TemporaryDirectory(prefix="check-quantize-") as folder:
        bench = Bench(arguments.tools, folder)
        try:
            check_digits(bench)
            check_network(bench, "mobile", mobile_network(), image_samples(), STATIC + MOBILE + OTHERS)
            check_network(bench, "text", text_network(), word_samples(), TEXT + OTHERS)
            for op, forms in RECURRENT.items():
                check_network(bench, op, sound_network(op), sound_samples(), forms)
            check_budget(bench)
            check_arrangements(bench, "mobile", image_samples())
            check_arrangements(bench, "text", word_samples())
        except Failed as failure:
            print(f"FAILED: {failure}")
            bench.failed += 1
        print(f"{bench.passed} passed, {bench.failed} failed")
        return 0 if bench.failed == 0 else 1


if __name__ == "__main__":
    sys.exit(main())
