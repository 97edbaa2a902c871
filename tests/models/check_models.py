"""Runs real models through infer-convert and infer-run and compares with ONNX Runtime.

An output is right where max|a-b| <= 1e-4*max|b| + 1e-5 and shape, type and the places of NaN and infinity are the same.
A model that quantises what it computes is compared node by node, by the same measure, and at its end by a wider one.
Those of an optimised file must also be within 1e-5*max|b| of those b of the other file, and one that is packed as well
must give the same bits on as many packed bytes of its own as are not in the file.
"""

import argparse
import concurrent.futures
import hashlib
import json
import os
import sys
import tempfile
import threading
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path

import numpy as np
import onnxruntime

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import by_node
from fetch import FetchError
from model_cases import all_cases
from small_cases import small_cases
from toolrun import CACHE, ROOT, find_tools, output_files, run_tool, save_inputs

REFERENCES = CACHE / "references"
CONVERTED = CACHE / "bin"
RELATIVE_TOLERANCE = 1e-4
ABSOLUTE_TOLERANCE = 1e-5
SECONDS_A_TOOL = 300
# On the emulated GPU, minutes each: run where they are named.
SLOW_ON_DEVICE = ("smart-turn", "Kokoro")
ON_FEW_INTEGERS = ("pointwise_", "gather_", "copy_")
HOST_ONLY = ("scan",)
ROW = "{:<24} {:<32} {:>10} {:>10} {:>13} {:>12}  {}"
PREPARING = threading.Lock()  # what several cases share: packages, files, references


class CheckFailed(Exception):
    """One sentence on what is not as it must be."""


@dataclass
class Measured:
    """The worst output's error and allowance; the longest first run; the highest peak."""

    error: float = 0.0
    allowed: float = np.inf
    first_run_ms: float = np.nan
    peak_bytes: float = np.nan

    def add_output(self, error, allowed):
        if error / allowed >= self.error / self.allowed:
            self.error, self.allowed = error, allowed

    def columns(self):
        errors = (f"{self.error:.2e}", f"{self.allowed:.2e}") if np.isfinite(self.allowed) else ("-", "-")
        runs = (f"{self.first_run_ms:.2f}", f"{self.peak_bytes / 2**20:.1f}")
        return *errors, *(runs if np.isfinite(self.first_run_ms) else ("-", "-"))


def main():
    arguments = parse_arguments()
    filters = arguments.filter.lower().split(",")
    small = arguments.device == "cuda" and not arguments.full
    cases = [case for case in (small_cases() if small else all_cases()) if any(part in case.name.lower() for part in filters)]
    if small and not arguments.filter:
        cases = [case for case in cases if not case.name.startswith(SLOW_ON_DEVICE)]
    if not cases:
        sys.exit(f"check_models.py: no model's name contains '{arguments.filter}'")
    if arguments.list:
        print("\n".join(dict.fromkeys(case.name for case in cases)))
        return 0
    convert, run = find_tools(arguments.tools, "infer-convert", "infer-run")
    onnxruntime.set_default_logger_severity(3)
    converter = Converter(convert)
    print(ROW.format("model", "inputs", "error", "allowed", "first run, ms", "peak, MiB", "result"))
    if arguments.device == "cuda":
        tools = find_tools(arguments.tools, "infer-run", "infer-inspect")
        with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:  # an emulated GPU is one core's work
            passed = sum(pool.map(lambda case: check_on_device(case, converter, tools), cases))
    else:
        passed = sum([check(case, converter, run) for case in cases])
    print(f"{passed} passed, {len(cases) - passed} failed")
    return 0 if passed == len(cases) else 1


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--filter", metavar="NAME", default="", help="only the models whose names contain it, or one of several with commas between")
    parser.add_argument("--list", action="store_true", help="print the models' names")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="where to run; cuda: outputs alone are checked, on small inputs")
    parser.add_argument("--full", action="store_true", help="the inputs of the CPU's check on the GPU as well")
    parser.add_argument("--tools", default=ROOT / "build", metavar="DIR", help="the tools' folder; default: build")
    return parser.parse_args()


def check(case, converter, run):
    """Prints the case's row and returns whether it passed."""
    measured, shapes, result = Measured(), "", "ok"
    try:
        model, steps = case.model(), case.steps()
        shapes = describe(steps)
        references = reference_outputs(case.twin() if case.twin else model, case, steps)
        files = [converter.convert(model, conversion) for conversion in dict.fromkeys((case.conversion, ()))]
        compare_runs(files, run, case, steps, references, measured)
        if case.conversion == ("--optimize",):
            compare_packed(model, converter, run, case, steps)
        if case.by_node:
            compare_nodes(model, steps, (converter.tool, run))
    except (CheckFailed, FetchError) as error:
        result = f"FAILED: {error}"
    print(ROW.format(case.name, shapes, *measured.columns(), result), flush=True)
    return result == "ok"


def check_on_device(case, converter, tools):
    """The same on a GPU, of the first runs; and which kernels ran on the host."""
    run, inspect = tools
    measured, shapes, result = Measured(), "", "ok"
    case = replace(case, options=(*case.options, "--device", "cuda"), most_arena=np.inf, most_steps=np.inf)
    try:
        with PREPARING:
            model, steps = case.model(), case.steps()[:2]
            shapes = describe(steps)
            references = reference_outputs(case.twin() if case.twin else model, case, case.steps())[:2]
            file = converter.convert(model, case.conversion)
        compare_runs([file], run, case, steps, references, measured)
        if case.by_node:
            compare_nodes(model, steps, (converter.tool, run), ("--device", "cuda"))
        on_host = host_kernels(file, inspect, steps[0])
        result = f"ok; on the host: {', '.join(on_host)}" if on_host else "ok"
    except (CheckFailed, FetchError) as error:
        result = f"FAILED: {error}"
    print(ROW.format(case.name, shapes, *measured.columns(), result), flush=True)
    return result.startswith("ok")


def host_kernels(model, inspect, inputs):
    """Names of those that the first program has, but for families that shapes are computed by."""
    shapes = [word for name, array in inputs.items() for word in ("--shape", f"{name}={'x'.join(map(str, array.shape)) or 'scalar'}")]
    done = run_tool([inspect, model, "--device", "cuda", "--json", *shapes], SECONDS_A_TOOL)
    if done.outcome != "ok":
        raise CheckFailed(f"infer-inspect: {done.outcome}: {done.message}")
    kernels = dict.fromkeys(step["kernel"] for step in json.loads(done.output)["program"]["steps"])
    on_host = [name for name in kernels if not name.endswith("_cuda") and not name.startswith(("copy_to_", *ON_FEW_INTEGERS))]
    for name in on_host:
        if not name.startswith(HOST_ONLY):
            raise CheckFailed(f"{name} ran on the host, and not on the GPU")
    return on_host


def describe(steps):
    """The inputs in short: the shape of those that have one, the value of a scalar, how many runs."""
    first = dict.fromkeys("x".join(map(str, a.shape)) if a.shape else str(a) for a in steps[0].values())
    runs = f", {len(steps)} runs" if len(steps) > 1 else ""
    return " ".join(first) + runs


class Converter:
    """Converts each model once with the same options."""

    def __init__(self, tool):
        self.tool = tool
        self.converted = {}

    def convert(self, model, options=()):
        if (model, options) not in self.converted:
            CONVERTED.mkdir(parents=True, exist_ok=True)
            target = CONVERTED / f"{model.stem}{''.join(options).replace('/', '_')}.bin"
            self.converted[model, options] = target, run_tool([self.tool, model, target, *options], SECONDS_A_TOOL)
        target, done = self.converted[model, options]
        if done.outcome != "ok":
            raise CheckFailed(f"infer-convert: {done.outcome}: {done.message}")
        return target


def reference_outputs(model, case, steps):
    """ONNX Runtime's outputs of every run, by name in the model's order; kept from one check to the next."""
    kept = REFERENCES / f"{model.stem}-{reference_key(model, case, steps)}.npz"
    if not kept.exists():
        arrays = compute_references(model, case, steps)
        REFERENCES.mkdir(parents=True, exist_ok=True)
        part = kept.with_suffix(".part.npz")
        np.savez(part, **arrays)
        part.replace(kept)
    outputs = [{} for _ in steps]
    with np.load(kept) as archive:
        for key in archive.files:
            step, name = key.split(":", 1)
            outputs[int(step)][name] = archive[key]
    return outputs


def reference_key(model, case, steps):
    digest = hashlib.sha256(version("onnxruntime").encode())
    digest.update(model.read_bytes())
    digest.update(repr(case.carry).encode())
    if case.exact:
        digest.update(b"exact")
    for inputs in steps:
        for name, array in inputs.items():
            digest.update(f"{name} {array.dtype} {array.shape}".encode())
            digest.update(array.tobytes())
    return digest.hexdigest()[:16]


def compute_references(model, case, steps):
    options = exact_options() if case.exact else onnxruntime.SessionOptions()
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    arrays, carried = {}, {}
    for step, inputs in enumerate(steps):
        outputs = dict(zip(names, session.run(names, {**inputs, **carried})))
        carried = {name: outputs[source] for name, source in case.carry.items()}
        arrays.update({f"{step}:{name}": array for name, array in outputs.items()})
    return arrays


def exact_options():
    """Products of bytes do not saturate, and what is quantised together does not depend on the number of threads."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.add_session_config_entry("session.x64quantprecision", "1")
    return options


def compare_nodes(model, steps, tools, options=()):
    """options: of infer-run."""
    tolerances = RELATIVE_TOLERANCE, ABSOLUTE_TOLERANCE
    for fault in by_node.faults(model, steps[0], exact_options(), tools, SECONDS_A_TOOL, *tolerances, options):
        raise CheckFailed(fault)


def compare_runs(files, run, case, steps, references, measured):
    """Runs every step on our own carried state, and raises CheckFailed at the first output that is wrong. What files
    after the first one give for the same inputs is compared with what that one gives."""
    carried = {}
    for step, (inputs, reference) in enumerate(zip(steps, references)):
        inputs = {**inputs, **carried}
        outputs, *others = [run_model(file, run, case, inputs, list(reference), measured) for file in files]
        for name, expected in reference.items():
            fault = output_fault(outputs[name], expected, case.tolerance, measured)
            for other in others:
                fault = fault or difference_fault(outputs[name], other[name], case.most_difference)
            if fault:
                raise CheckFailed(f"run {step + 1}, output '{name}': {fault}")
        carried = {name: outputs[source] for name, source in case.carry.items()}


def compare_packed(model, converter, run, case, steps):
    """Of the first run: packed for each set that this CPU has, on kernels of each."""
    optimised = converter.convert(model, case.conversion)
    shapes = [word for name, array in steps[0].items() for word in ("--shape", f"{name}={'x'.join(map(str, array.shape))}")]
    for isa in packable_sets():
        packed = converter.convert(model, (*case.conversion, "--pack", isa, *shapes))
        expected, without = run_for_bits(optimised, run, case, steps[0], isa)
        outputs, report = run_for_bits(packed, run, case, steps[0], isa)
        if any(a.tobytes() != b.tobytes() for a, b in zip(outputs, expected, strict=True)):
            raise CheckFailed(f"packed for {isa}: other bits than without")
        if case.packs and report["packed_bytes"] > without["packed_bytes"] / 2:
            raise CheckFailed(f"packed for {isa}: {report['packed_bytes']:,} of {without['packed_bytes']:,} bytes are packed again")
    for isa in packable_sets()[:-1]:
        outputs, _ = run_for_bits(packed, run, case, steps[0], isa)
        expected, _ = run_for_bits(optimised, run, case, steps[0], isa)
        if any(a.tobytes() != b.tobytes() for a, b in zip(outputs, expected, strict=True)):
            raise CheckFailed(f"packed for another set than {isa}: other bits than without")


def packable_sets():
    flags = Path("/proc/cpuinfo").read_text().split()
    names = {"avx2": "avx2", "avx512": "avx512f"}
    return [isa for isa, flag in names.items() if flag in flags]


def run_for_bits(model, run, case, inputs, isa):
    """The outputs in order, and the report."""
    with tempfile.TemporaryDirectory(prefix="check-models-") as name:
        folder = Path(name)
        report = folder / "report.json"
        words = [run, model, *save_inputs(inputs, folder), *case.options, "--threads", "2", "--isa", isa, "-o", folder, "--json", report]
        done = run_tool(words, SECONDS_A_TOOL)
        if done.outcome != "ok":
            raise CheckFailed(f"infer-run: {done.outcome}: {done.message}")
        return [np.load(file) for file in output_files(folder)], json.loads(report.read_text())


def run_model(model, run, case, inputs, names, measured):
    with tempfile.TemporaryDirectory(prefix="check-models-") as folder:
        return run_in_folder(model, run, case, inputs, names, Path(folder), measured)


def run_in_folder(model, run, case, inputs, names, folder, measured):
    arguments = save_inputs(inputs, folder)
    report_file = folder / "report.json"
    done = run_tool([run, model, *arguments, *case.options, "--threads", "2", "-o", folder, "--json", report_file], SECONDS_A_TOOL)
    if done.outcome != "ok":
        raise CheckFailed(f"infer-run: {done.outcome}: {done.message}")
    report = json.loads(report_file.read_text())
    measured.first_run_ms = np.fmax(measured.first_run_ms, report["first_run_ms"])
    measured.peak_bytes = np.fmax(measured.peak_bytes, report["peak_rss_bytes"])
    if report["activation_bytes"] > case.most_arena:
        raise CheckFailed(f"the arena takes {report['activation_bytes']:,} bytes, {case.most_arena:,.0f} are allowed")
    if report["steps"] > case.most_steps:
        raise CheckFailed(f"the program has {report['steps']} steps, {case.most_steps} are allowed")
    files = output_files(folder)
    if len(files) != len(names):
        raise CheckFailed(f"infer-run wrote {len(files)} outputs, the model has {len(names)}")
    return {name: np.load(file) for name, file in zip(names, files)}


def output_fault(output, expected, tolerance, measured):
    """What is wrong with an output, or None; its error goes into `measured` where there is one to speak of."""
    if output.dtype != expected.dtype:
        return f"type {output.dtype}, expected {expected.dtype}"
    if output.ndim != expected.ndim:
        return f"rank {output.ndim}, expected {expected.ndim}"
    if tolerance is None:
        return None if np.isfinite(output).all() else "NaN or infinity"
    if output.shape != expected.shape:
        return f"shape {output.shape}, expected {expected.shape}"
    finite = np.isfinite(expected)
    if not np.array_equal(output[~finite], expected[~finite], equal_nan=True) or not np.isfinite(output[finite]).all():
        return "NaN or infinity where ONNX Runtime has none, or none where it has"
    a, b = output[finite].astype(np.float64), expected[finite].astype(np.float64)
    error = float(np.max(np.abs(a - b), initial=0))
    allowed = float(tolerance * np.max(np.abs(b), initial=0) + ABSOLUTE_TOLERANCE)
    measured.add_output(error, allowed)
    return None if error <= allowed else f"an error of {error:.3g}, {allowed:.3g} is allowed"


def difference_fault(optimised, plain, tolerance):
    """What an optimised file gives, against the file that is not; shapes and the like have been compared already."""
    finite = np.isfinite(plain)
    a, b = optimised[finite].astype(np.float64), plain[finite].astype(np.float64)
    error, largest = (float(np.max(np.abs(x), initial=0)) for x in (a - b, b))
    return None if error <= tolerance * largest else f"{error:.3g} from the file that was not optimised"


if __name__ == "__main__":
    sys.exit(main())
