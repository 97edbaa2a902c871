"""Measures infer against ONNX Runtime, OpenVINO and ncnn, all in float32.

Every engine has a process of its own that holds the model. They take turns, a few runs each, and while one runs the
others are stopped; the first run of a turn is not counted. All are pinned to the same cores. infer is driven through its
public interface in C, the others through theirs in Python, with inputs and outputs bound beforehand where they can be.

ms         median over all turns
ratio      of infer's time to that of the fastest peer: the median of the turns' ratios; below 1 infer is faster
least      the same of the shortest runs, which say more where others use the machine
start      ms to load the model and give the first result, in a new process, less a median run; the files are cached
MB         by how much the process grew at its peak over loading and all runs, 10^6 bytes; a mapped file counts

infer reads what infer-convert makes, infer-optimize what it makes with --optimize. ncnn is left out of a model that pnnx
does not convert; where integer inputs hold one number throughout, as masks and token types do, it has them as constants.
`!` marks an engine with an output further than 1 % of the largest from that of ONNX Runtime: it is no best peer, but a
line at the end counts it too, since a converter may spoil a last layer and nothing else.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from contextlib import ExitStack
from importlib.metadata import version
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from check_models import CheckFailed
from engines import ENGINES, OURS, PEERS, Preparer, Task, Worker
from fetch import FetchError
from kernel_times import kernel_times, print_kernel_times
from model_cases import cases_named, peer_cases
from toolrun import ROOT, find_tools

SECONDS_A_TURN = 0.1
LEAST_TURNS = 5
TOLERANCE = 1e-2
PROFILED_RUNS = 11


def main():
    arguments = parse_arguments()
    cases = cases_named(peer_cases(), arguments.models)
    find_tools(arguments.tools, "infer-convert", "infer-bench", "bench_worker")
    preparer = Preparer(arguments.tools, Path(arguments.tools) / "peers")
    machine = describe_machine(arguments)
    print_machine(machine)
    print_header(arguments.engines)
    results, failed = [], 0
    for case in cases:
        try:
            results += measure_case(case, preparer, arguments)
        except (CheckFailed, FetchError) as error:
            failed += 1
            print(f"{case.name}: FAILED: {error}", flush=True)
        write_json(arguments.json, machine, results)
    print_summary(results, arguments.engines)
    if arguments.profile:
        print_kernel_times(results)
    return 1 if failed else 0


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", metavar="A,B", help="only those whose names hold one of these")
    parser.add_argument("--engines", metavar="A,B", default=",".join(ENGINES), help=f"of {', '.join(ENGINES)}")
    parser.add_argument("--threads", metavar="A,B", default="1,2", help="default: 1,2")
    parser.add_argument("--turns", metavar="N", type=int, default=25, help="of each engine; default: 25")
    parser.add_argument("--seconds", metavar="S", type=float, default=10, help="of an engine's turns; default: 10")
    parser.add_argument("--starts", metavar="N", type=int, default=5, help="processes started to time it; default: 5")
    parser.add_argument("--quick", action="store_true", help="5 turns and 1 start: for a first impression")
    parser.add_argument(
        "--realtime",
        action="store_true",
        help="at real-time priority, for a machine that is not idle, with a pause after each turn; needs the privilege",
    )
    parser.add_argument("--profile", action="store_true", help="also print infer's time by kernel")
    parser.add_argument("--json", metavar="FILE", help="write all of it to a file too")
    parser.add_argument("--tools", default=ROOT / "build", metavar="DIR", help="the tools' folder; default: build")
    arguments = parser.parse_args()
    arguments.engines = arguments.engines.split(",")
    arguments.threads = [int(text) for text in arguments.threads.split(",")]
    if unknown := [name for name in arguments.engines if name not in ENGINES]:
        parser.error(f"there is no engine '{unknown[0]}'")
    if arguments.quick:
        arguments.turns, arguments.starts = LEAST_TURNS, 1
    return arguments


# --- the machine ---------------------------------------------------------------------------------------------------


def describe_machine(arguments):
    with open("/proc/cpuinfo") as file:
        model = next((line.split(":")[1].strip() for line in file if line.startswith("model name")), "unknown")
    return {
        "cpu": model,
        "cores": sorted(os.sched_getaffinity(0)),
        "load_before": os.getloadavg()[0],
        "time": time.strftime("%Y-%m-%d %H:%M"),
        "versions": {name: version(name) for name in PEERS},
        **measure_peaks(arguments),
    }


def measure_peaks(arguments):
    """One core's multiply-adds and bandwidth, as infer-bench measures them."""
    with tempfile.TemporaryDirectory(prefix="bench-peers-") as folder:
        report = Path(folder) / "peaks.json"
        command = f"{arguments.tools}/infer-bench kernels --filter 'softmax' --json {report} >/dev/null"
        if os.system(command) != 0:
            sys.exit("bench_peers.py: infer-bench kernels failed")
        found = json.loads(report.read_text())
    return {key: found[key] for key in ("isa", "peak_gflop_per_s", "peak_gb_per_s")}


def print_machine(machine):
    peers = ", ".join(f"{name} {number}" for name, number in machine["versions"].items())
    print(f"{machine['cpu']}, cores {machine['cores']}, load {machine['load_before']:.1f}; {peers}")
    print(f"one core, {machine['isa']}: {machine['peak_gflop_per_s']:.1f} GFLOP/s, {machine['peak_gb_per_s']:.1f} GB/s")


# --- one model -----------------------------------------------------------------------------------------------------


def measure_case(case, preparer, arguments):
    """A row for each number of threads."""
    with tempfile.TemporaryDirectory(prefix="bench-peers-") as folder:
        task = Task(case.name, case.model(), case.steps()[0], Path(folder))
        rows = []
        for threads in arguments.threads:
            rows.append(measure(task, threads, preparer, arguments))
            print_row(rows[-1], arguments.engines)
        return rows


def measure(task, threads, preparer, arguments):
    row = {"model": task.name, "threads": threads, "engines": {}, "failures": {}}
    cores = sorted(os.sched_getaffinity(0))[:threads]
    if len(cores) < threads:
        raise CheckFailed(f"{threads} threads need as many cores")
    files = task.files()
    with ExitStack() as stack:
        workers = {}
        for engine in arguments.engines:
            try:
                command = preparer.command(engine, task, threads)
                workers[engine] = start(command, files, cores, arguments, stack)
            except CheckFailed as error:
                row["failures"][engine] = str(error)
        row["wrong"] = wrong_engines(workers)
        times = take_turns(workers, arguments)
        for engine, worker in workers.items():
            row["engines"][engine] = summarise(times[engine], worker)
        if arguments.profile or arguments.json:
            row["kernels"] = profile(workers, task)
    commands = {engine: preparer.command(engine, task, threads) for engine in row["engines"]}
    time_starts(row, commands, files, cores, arguments)
    row["best"] = fastest(row, [name for name in PEERS if name not in row["wrong"]])
    row["ratio"] = ratio_to(row["best"], times)
    row["ratio_to_any"] = ratio_to(fastest(row, PEERS), times)
    row["ratio_of_least"] = ratio_of_least(row)
    return row


def start(command, files, cores, arguments, stack):
    worker = Worker(command, files, cores, arguments.realtime)
    stack.callback(worker.close)
    return worker


def wrong_engines(workers):
    """Outputs are compared by their number of elements and in order: ncnn has no axis for the batch."""
    if "onnxruntime" not in workers:
        return []
    expected = workers["onnxruntime"].outputs()
    return [engine for engine, worker in workers.items() if not are_close(worker.outputs(), expected)]


def are_close(outputs, expected):
    return len(outputs) == len(expected) and all(map(is_close, outputs, expected))


def is_close(output, expected):
    if output.size != expected.size:
        return False
    a, b = output.ravel().astype(np.float64), expected.ravel().astype(np.float64)
    return bool(np.max(np.abs(a - b), initial=0) <= TOLERANCE * np.max(np.abs(b), initial=0) + 1e-6)


def take_turns(workers, arguments):
    """Seconds of every counted run, by engine and turn."""
    turns = {engine: [] for engine in workers}
    spent = dict.fromkeys(workers, 0.0)
    counts = {engine: runs_a_turn(min(worker.run(3)[1:])) for engine, worker in workers.items()}
    for turn in range(arguments.turns):
        order = list(workers)
        for engine in order[turn % len(order) :] + order[: turn % len(order)] if order else []:
            if turn >= LEAST_TURNS and spent[engine] > arguments.seconds:
                continue
            begun = time.perf_counter()
            turns[engine].append(workers[engine].run(counts[engine] + 1)[1:])
            spent[engine] += time.perf_counter() - begun
    return turns


def runs_a_turn(seconds):
    return int(np.clip(SECONDS_A_TURN / seconds, 1, 500))


def summarise(turns, worker):
    times = sorted(seconds for turn in turns for seconds in turn)
    return {
        "ms": statistics.median(times) * 1e3,
        "least_ms": times[0] * 1e3,
        "p90_ms": times[int(len(times) * 0.9)] * 1e3,
        "runs": len(times),
        "starts_ms": [(worker.load + worker.first) * 1e3],
        "bytes": worker.memory(),
    }


def time_starts(row, commands, files, cores, arguments):
    """The processes that took turns are the first; engines alternate here too."""
    for _ in range(arguments.starts - 1):
        for engine, found in row["engines"].items():
            with ExitStack() as stack:
                worker = start(commands[engine], files, cores, arguments, stack)
                found["starts_ms"].append((worker.load + worker.first) * 1e3)
    for found in row["engines"].values():
        found["start_ms"] = statistics.median(found["starts_ms"]) - found["ms"]


def profile(workers, task):
    worker = workers.get("infer") or workers.get("infer-optimize")
    if worker is None:
        return []
    file = task.folder / "trace.json"
    worker.profile(PROFILED_RUNS, file)
    return kernel_times(json.loads(file.read_text()), PROFILED_RUNS)


def fastest(row, peers):
    times = {name: row["engines"][name]["ms"] for name in peers if name in row["engines"]}
    return min(times, key=times.get) if times else None


def ratio_to(best, turns):
    """By engine of ours. A turn of one engine stands next to a turn of the other in time."""
    if best is None:
        return {}
    medians = {engine: [statistics.median(turn) for turn in found] for engine, found in turns.items()}
    return {
        engine: statistics.median(a / b for a, b in zip(medians[engine], medians[best]))
        for engine in OURS
        if engine in medians
    }


def ratio_of_least(row):
    peers = [found["least_ms"] for name, found in row["engines"].items() if name in PEERS and name not in row["wrong"]]
    ours = {name: row["engines"][name]["least_ms"] for name in OURS if name in row["engines"]}
    return {name: ms / min(peers) for name, ms in ours.items()} if peers else {}


# --- telling -------------------------------------------------------------------------------------------------------


def print_header(engines):
    groups = (("ms", engines), ("start, ms", engines), ("MB", engines))
    print(f"{'':<18}" + "".join(f" | {title:<{9 * len(names) + 16 * (title == 'ms')}}" for title, names in groups))
    names = "".join(f"{short(name):>9}" for name in engines)
    print(f"{'model':<14}{'thr':>4} | {names}{'ratio':>8}{'least':>8} | {names} | {names}", flush=True)


def short(engine):
    return {"infer-optimize": "-optim", "onnxruntime": "ort"}.get(engine, engine)


def print_row(row, engines):
    def cells(key, scale=1):
        return "".join(cell(row, engine, key, scale) for engine in engines)

    ratios = (next(iter(row[key].values()), None) for key in ("ratio", "ratio_of_least"))
    shown = "".join(f"{ratio:>8.2f}" if ratio else f"{'-':>8}" for ratio in ratios)
    line = f"{row['model']:<14}{row['threads']:>4} | {cells('ms')}{shown} | {cells('start_ms')} | {cells('bytes', 1e-6)}"
    print(line, flush=True)


def cell(row, engine, key, scale):
    if engine not in row["engines"]:
        return f"{'-':>9}"
    value = row["engines"][engine][key] * scale
    text = f"{value:.3f}" if abs(value) < 10 else f"{value:.1f}"
    return f"{text + '!' * (engine in row['wrong']):>9}"


def print_summary(results, engines):
    for row in results:
        for engine, why in row["failures"].items():
            if row["threads"] == results[0]["threads"]:
                print(f"{row['model']}, {engine}: {why}")
    for engine in OURS:
        rows = [row for row in results if engine in row["ratio"]]
        if not rows:
            continue
        print_ratios(rows, engine, "ratio", "to the best peer")
        print_ratios(rows, engine, "ratio_of_least", "to the best peer, shortest runs")
        print_ratios(rows, engine, "ratio_to_any", "to the best peer, were those counted whose outputs are wrong")
        starts = [start_ratio(row, engine) for row in rows]
        print(f"{engine}'s start to the better peer's: geometric mean {mean(starts):.3f}, largest {max(starts):.2f}")
        print_scaling(results, engine)


def print_ratios(rows, engine, key, title):
    ratios = [row[key][engine] for row in rows]
    worst = max(rows, key=lambda row: row[key][engine])
    print(
        f"{engine} {title}: geometric mean {mean(ratios):.3f}, "
        f"largest {max(ratios):.2f} ({worst['model']}, {worst['threads']} threads), "
        f"above 1 in {sum(ratio > 1 for ratio in ratios)} of {len(ratios)}"
    )


def mean(ratios):
    return np.exp(np.mean(np.log(ratios)))


def start_ratio(row, engine):
    """A start that the noise of its run hides counts as 1 us."""
    peers = [found["start_ms"] for name, found in row["engines"].items() if name in PEERS and name not in row["wrong"]]
    return max(row["engines"][engine]["start_ms"], 1e-3) / max(min(peers), 1e-3)


def print_scaling(results, engine):
    """Of those whose one thread takes above 3 ms."""
    one, two = ({row["model"]: row["engines"][engine]["ms"] for row in rows_of(results, engine, n)} for n in (1, 2))
    speedups = {name: one[name] / two[name] for name in one if name in two and one[name] > 3}
    if speedups:
        least, median = min(speedups, key=speedups.get), statistics.median(speedups.values())
        print(f"{engine} on 2 threads, above 3 ms: {median:.2f} times as fast, least {speedups[least]:.2f} ({least})")


def rows_of(results, engine, threads):
    return [row for row in results if row["threads"] == threads and engine in row["engines"]]


def write_json(path, machine, results):
    if path:
        Path(path).write_text(json.dumps({"machine": machine, "rows": results}, indent=1) + "\n")


if __name__ == "__main__":
    sys.exit(main())
