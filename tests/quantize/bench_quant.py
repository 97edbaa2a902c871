"""Measures models that infer-quantize makes small beside what ONNX Runtime's quantiser makes of the same samples.

accuracy   on real data that nobody calibrated with: handwritten digits, drawn lines and pages of text, sentences. `kept`
           is the score of the small model, `ort` that of ONNX Runtime's in its exact mode and `fast` in its fast one,
           whose sums may saturate on a CPU without VNNI. `error` is the relative error of the outputs
size       of the file to that of float32, and of the arena of one run to that of float32
arrived    models quantised by others: what a run keeps of their weights, to those in the file
speed      one thread, medians of turns as in bench_peers.py. `ratio`: of infer's int8 to the fastest of ONNX Runtime (both
           modes) and OpenVINO on ONNX Runtime's model; below 1 infer is faster. `gain`: of infer's float32 to its int8, with
           all that the CPU has and with AVX2 alone

`!` marks a bound that is missed. Exit code 1 where one of accuracy or size is, for times depend on what else the machine does.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from contextlib import ExitStack
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import SimpleNamespace

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "models"))
from bench_peers import take_turns
from check_models import CheckFailed
from engines import PEER_WORKER, Worker
from fetch import FetchError
from quant_cases import DYNAMIC, FP16, INT4, INT8_WEIGHTS, STATIC, accuracy_cases, arriving_cases, speed_cases
from quant_data import NoData
from quant_engines import Failed, Ours, Peer
from quant_scores import relative_error
from toolrun import ROOT, find_tools, save_inputs

MOST_OF_FILE = {"int8": 0.27, "fp16": 0.52, "int4": 0.16}
MOST_OF_ARENA = 0.30
MOST_KEPT = 1.1
MOST_RATIO, MOST_MEAN_RATIO = 1.0, 0.75
PEERS = ("onnxruntime", "onnxruntime-exact", "openvino")
PARTS = ("accuracy", "size", "arrived", "speed")


def main():
    arguments = parse_arguments()
    find_tools(arguments.tools, "infer-quantize", "infer-run", "infer-convert", "bench_worker")
    machine = describe_machine()
    print(f"{machine['cpu']}, load {machine['load_before']:.1f}; "
          + ", ".join(f"{name} {number}" for name, number in machine["versions"].items()), flush=True)
    results = {"machine": machine, "quick": arguments.quick}
    parts = {"accuracy": run_accuracy, "size": run_sizes, "arrived": run_arrived, "speed": run_speed}
    missed = 0
    for part in arguments.parts:
        rows, missing = parts[part](arguments)
        results[part] = rows
        missed += missing
        if arguments.json:
            Path(arguments.json).write_text(json.dumps(results, indent=1))
    return 1 if missed else 0


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", metavar="A,B", help="only those whose names hold one of these")
    parser.add_argument("--parts", metavar="A,B", default=",".join(PARTS), help=f"of {', '.join(PARTS)}; default: all")
    parser.add_argument("--quick", action="store_true", help="fewer models for times and sizes, 5 turns")
    parser.add_argument("--json", metavar="FILE", help="write all of it to a file too")
    parser.add_argument("--tools", default=ROOT / "build", metavar="DIR", help="the tools' folder; default: build")
    arguments = parser.parse_args()
    arguments.parts = arguments.parts.split(",")
    if unknown := [part for part in arguments.parts if part not in PARTS]:
        parser.error(f"there is no part '{unknown[0]}'")
    arguments.tools = Path(arguments.tools).resolve()
    return arguments


def describe_machine():
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    fields = {line.split(":")[0].strip(): line.split(":")[1].strip() for line in lines if ":" in line}
    extensions = [name for name in ("avx2", "avx_vnni", "avx512f", "avx512_vnni") if name in fields.get("flags", "").split()]
    return {"cpu": f"{fields.get('model name', 'unknown')} ({', '.join(extensions)})", "load_before": os.getloadavg()[0],
            "time": time.strftime("%Y-%m-%d %H:%M"), "versions": {name: version_of(name) for name in ("onnxruntime", "openvino")}}


def version_of(name):
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


def chosen(cases, names):
    wanted = [name.strip().lower() for name in (names or "").split(",")]
    return [case for case in cases if any(name in case.name.lower() for name in wanted)]


def over_cases(cases, arguments, measure):
    """The rows of all cases and how many bounds they miss; a case that fails misses one."""
    rows, missed = [], 0
    for case in chosen(cases, arguments.models):
        with tempfile.TemporaryDirectory(prefix="bench-quant-") as folder:
            try:
                for row in measure(case, Path(folder), arguments):
                    rows.append(row)
                    missed += len(row["missed"])
            except NoData as reason:
                print(f"{case.name}: skipped: {reason}", flush=True)
            except (Failed, CheckFailed, FetchError) as error:
                missed += 1
                print(f"{case.name}: FAILED: {error}", flush=True)
    return rows, missed


def marked(text, is_missed):
    return text + ("!" if is_missed else " ")


# --- accuracy -----------------------------------------------------------------------------------------------------

ACCURACY = "{:<12}{:<14}{:>9}{:>10} {:>9}{:>9} {:>10}{:>10}  {}"


def run_accuracy(arguments):
    print("\n" + ACCURACY.format("accuracy", "form", "float32", "kept", "ort", "fast", "error", "ort", "of"))
    return over_cases(accuracy_cases(), arguments, measure_accuracy)


def measure_accuracy(case, folder, arguments):
    ours, peer, model, data = Ours(arguments.tools, folder), Peer(folder), case.model(), case.data()
    expected = ours.outputs(ours.converted(model), data.samples, case.output)

    def score(outputs):
        return case.judge(outputs, expected, data.truth, model)

    exact = score(expected)
    peers = {}
    for form, bound in case.forms:
        if form.peer not in peers:
            peers[form.peer] = peer_scores(case, form, peer, model, data, expected, score)
        small = ours.quantized(model, form.options, data.calibration if form.calibrated else None)
        outputs = ours.outputs(small, data.samples, case.output)
        row = {"model": case.name, "form": form.name, "unit": case.unit, "float32": exact, "kept": score(outputs),
               "error": relative_error(outputs, expected), "bound": bound, "samples": len(data.samples),
               **peers[form.peer]}
        row["missed"] = missed_accuracy(case, row)
        print_accuracy(row)
        yield row


def peer_scores(case, form, peer, model, data, expected, score):
    if form.peer is None:
        return {"ort": None, "ort_fast": None, "ort_error": None}
    small = peer.quantized(model, data.calibration, form.peer == "dynamic")
    exact, fast = (peer.outputs(small, data.samples, case.output, exact) for exact in (True, False))
    return {"ort": score(exact), "ort_fast": score(fast), "ort_error": relative_error(exact, expected)}


def missed_accuracy(case, row):
    lost = row["float32"] - row["kept"]
    bound = row["bound"]
    bad = bound is not None and (lost > bound + 1e-9 if case.loss else row["kept"] < bound)
    worse = row["ort"] is not None and row["kept"] < row["ort"] - case.slack
    return ["bound"] * bad + ["peer"] * worse


def print_accuracy(row):
    def number(value):
        return "-" if value is None else f"{value:.4f}" if value <= 1 else f"{value:.2f}"

    print(ACCURACY.format(row["model"], row["form"], number(row["float32"]),
                          marked(number(row["kept"]), "bound" in row["missed"]), marked(number(row["ort"]), "peer" in row["missed"]),
                          number(row["ort_fast"]), number(row["error"]), number(row["ort_error"]),
                          f"{row['unit']}, {row['samples']} samples"), flush=True)


# --- sizes --------------------------------------------------------------------------------------------------------

SIZES = "{:<14}{:>14}{:>9}{:>9}{:>9}{:>9} {:>14}{:>9}"


def run_sizes(arguments):
    print("\n" + SIZES.format("size", "float32", "int8", "dynamic", "fp16", "int4", "arena", "int8"))
    return over_cases([case for case in speed_cases() if case.quick or not arguments.quick], arguments, measure_sizes)


def measure_sizes(case, folder, arguments):
    ours, model, samples = Ours(arguments.tools, folder), case.model(), case.samples()
    converted = ours.converted(model)
    exact = ours.facts(converted, samples[0])
    row = {"model": case.name, "file": converted.stat().st_size, "arena": exact["activation_bytes"], "files": {}}
    for name, options, given in (("int8", STATIC, samples), ("dynamic", DYNAMIC, None), ("fp16", FP16, None),
                                 ("int4", INT4, None)):
        small = ours.quantized(model, options, given, name)
        row["files"][name] = small.stat().st_size / row["file"]
    row["small_arena"] = ours.facts(folder / "int8.bin", samples[0])["activation_bytes"] / row["arena"]
    convolves = "MiniLM" not in case.name
    row["missed"] = [name for name, most in MOST_OF_FILE.items()
                     if row["files"][name] > most and not (name == "int4" and convolves)]
    row["missed"] += ["arena"] * (convolves and row["small_arena"] > MOST_OF_ARENA)
    cells = [marked(f"{row['files'][name]:.3f}", name in row["missed"]) for name in ("int8", "dynamic", "fp16", "int4")]
    print(SIZES.format(case.name, row["file"], *cells, row["arena"],
                       marked(f"{row['small_arena']:.2f}", "arena" in row["missed"])), flush=True)
    yield row


ARRIVED = "{:<24}{:>14}{:>14}{:>14}{:>9}"


def run_arrived(arguments):
    print("\n" + ARRIVED.format("arrived", "weights", "constants", "packed", "kept"))
    return over_cases(arriving_cases(), arguments, measure_arrived)


def measure_arrived(case, folder, arguments):
    facts = Ours(arguments.tools, folder).facts(case.model(), case.steps()[0])
    weights, constants, packed = (facts[f"{name}_bytes"] for name in ("weight", "constant", "packed"))
    row = {"model": case.name, "weights": weights, "constants": constants, "packed": packed,
           "kept": (constants + packed) / weights}
    row["missed"] = ["kept"] * (row["kept"] > MOST_KEPT)
    print(ARRIVED.format(case.name, weights, constants, packed, marked(f"{row['kept']:.2f}", row["missed"])), flush=True)
    yield row


# --- speed --------------------------------------------------------------------------------------------------------

SPEED = "{:<14}{:>10}{:>10}{:>10}{:>10}{:>10} {:>8}{:>8}{:>8}  {}"


def run_speed(arguments):
    print("\n" + SPEED.format("speed, ms", "float32", "int8", "ort", "ort exact", "openvino", "ratio", "gain", "avx2", "layers"))
    rows, _ = over_cases([case for case in speed_cases() if case.quick or not arguments.quick], arguments, measure_speed)
    ratios = [row["ratio"] for row in rows if row["ratio"]]
    if ratios:
        mean = float(np.exp(np.mean(np.log(ratios))))
        print(f"ratio: geometric mean {marked(f'{mean:.2f}', mean > MOST_MEAN_RATIO)}, largest "
              f"{marked(f'{max(ratios):.2f}', max(ratios) > MOST_RATIO)}")
    return rows, 0


def measure_speed(case, folder, arguments):
    """Layers that would be slower on integers are left float32, as --report does it: for each set of instructions anew."""
    ours, model, samples = Ours(arguments.tools, folder), case.model(), case.samples()
    exact, report = ours.converted(model), folder / "report.csv"
    small = {isa: ours.quantized(model, [*STATIC, "--report", report], samples, isa, isa) for isa in ("avx2", "auto")}
    layers = [line for line in report.read_text().splitlines()[1:] if ",model," not in line]
    row = {"model": case.name, "layers": len(layers), "missed": [], "failures": {},
           "int8_layers": sum(",int8," in line for line in layers)}
    try:
        peer = Peer(folder).quantized(model, samples, False)
    except Failed as error:
        peer, row["failures"]["onnxruntime"] = None, str(error)
    worker = arguments.tools / "bench_worker"
    commands = {"float32": [worker, exact, "1"], "int8": [worker, small["auto"], "1"],
                "float32 avx2": ["env", "INFER_ISA=avx2", worker, exact, "1"],
                "int8 avx2": ["env", "INFER_ISA=avx2", worker, small["avx2"], "1"]}
    if peer:
        commands |= {name: [sys.executable, PEER_WORKER, name, peer, "1"] for name in PEERS}
    turns = time_all(commands, save_inputs(samples[0], folder), row, arguments)
    row["ms"] = {name: 1e3 * statistics.median(np.concatenate(found)) for name, found in turns.items() if found}
    best = min((name for name in PEERS if name in row["ms"]), key=row["ms"].get, default=None)
    row["ratio"] = turn_ratio(turns, "int8", best) if best else None
    row["gain"], row["gain_avx2"] = (turn_ratio(turns, f"float32{isa}", f"int8{isa}") for isa in ("", " avx2"))
    print_speed(row, case)
    yield row


def time_all(commands, files, row, arguments):
    cores = sorted(os.sched_getaffinity(0))[:1]
    turns = SimpleNamespace(turns=5 if arguments.quick else 25, seconds=2 if arguments.quick else 10)
    with ExitStack() as stack:
        workers = {}
        for name, command in commands.items():
            try:
                workers[name] = Worker(list(map(str, command)), files, cores)
                stack.callback(workers[name].close)
            except CheckFailed as error:
                row["failures"][name] = str(error)
        return take_turns(workers, turns)


def turn_ratio(turns, above, below):
    """The median of the turns' ratios."""
    return statistics.median(statistics.median(a) / statistics.median(b) for a, b in zip(turns[above], turns[below]))


def print_speed(row, case):
    cells = [f"{row['ms'][name]:.2f}" if name in row["ms"] else "-" for name in ("float32", "int8", *PEERS)]
    with_vnni, without = (at_least and gain < at_least
                          for at_least, gain in zip(case.at_least, (row["gain"], row["gain_avx2"])))
    ratio = marked(f"{row['ratio']:.2f}", row["ratio"] > MOST_RATIO) if row["ratio"] else "-"
    print(SPEED.format(row["model"], *cells, ratio, marked(f"{row['gain']:.2f}", with_vnni),
                       marked(f"{row['gain_avx2']:.2f}", without), f"{row['int8_layers']} of {row['layers']} int8"), flush=True)
    for name, why in row["failures"].items():
        print(f"    {name}: {why}")


if __name__ == "__main__":
    sys.exit(main())
