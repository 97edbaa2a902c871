"""Measures builds of infer against each other: what a change made of the time of whole models.

    make bench-builds BUILDS="../before/build build"

Every build is a folder with infer-convert and bench_worker. Each converts the models itself, since passes may have
changed, and runs in a process of its own; they take turns, and while one runs the others are stopped. Prints the time of
the first build and, of each other, the median of the turns' ratios to the first. --steps also lists kernels whose time
changed.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from check_models import CheckFailed
from engines import Preparer, Task, Worker
from fetch import FetchError
from kernel_times import kernel_times
from model_cases import cases_named, peer_cases

SECONDS_A_TURN = 0.05
RUNS_PROFILED = 7
LEAST_MS = 0.01  # a kernel that changes by less is not worth a line


def main():
    arguments = parse_arguments()
    if arguments.isa:
        os.environ["INFER_ISA"] = arguments.isa
    found = []
    for case in cases_named(peer_cases(), arguments.models):
        try:
            with tempfile.TemporaryDirectory(prefix="bench-builds-") as folder:
                found.append(measure(Task(case.name, case.model(), case.steps()[0], Path(folder)), arguments))
        except (CheckFailed, FetchError) as error:
            print(f"{case.name}: FAILED: {error}", flush=True)
            return 1
    for build, ratios in zip(arguments.builds[1:], zip(*found)):
        print(f"{build}: geometric mean {statistics.geometric_mean(ratios):.3f} over {len(ratios)} models")
    return 0


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("builds", metavar="BUILD", nargs="+", help="the first is what the others are held against")
    parser.add_argument("--models", metavar="A,B", help="only those whose names hold one of these")
    parser.add_argument("--threads", metavar="N", type=int, default=1, help="default: 1")
    parser.add_argument("--turns", metavar="N", type=int, default=15, help="default: 15")
    parser.add_argument("--isa", help="a set of instructions to run with: avx2, avx512, reference")
    parser.add_argument("--steps", action="store_true", help="also the kernels whose times differ")
    return parser.parse_args()


def measure(task, arguments):
    """Prints a line and returns the ratios of all builds but the first."""
    cores = sorted(os.sched_getaffinity(0))[: arguments.threads]
    with ExitStack() as stack:
        workers = []
        for index, build in enumerate(arguments.builds):
            preparer = Preparer(build, task.folder / str(index))
            workers.append(Worker(preparer.command("infer", task, arguments.threads), task.files(), cores))
            stack.callback(workers[-1].close)
        times = take_turns(workers, arguments.turns)
        ratios = [statistics.median(a / b for a, b in zip(turns, times[0])) for turns in times[1:]]
        shown = "".join(f"{ratio:9.3f}" for ratio in ratios)
        print(f"{task.name:<20}{statistics.median(times[0]) * 1e3:10.3f} ms{shown}", flush=True)
        if arguments.steps:
            print_kernels([profile(worker, task) for worker in workers])
    return ratios


def take_turns(workers, turns):
    """Of each worker the median seconds of its runs, a turn."""
    count = max(1, int(SECONDS_A_TURN / min(workers[0].run(3)[1:])))
    times = [[] for _ in workers]
    for turn in range(turns):
        for i in range(len(workers)):
            at = (turn + i) % len(workers)
            times[at].append(statistics.median(workers[at].run(count + 1)[1:]))
    return times


def profile(worker, task):
    file = task.folder / "trace.json"
    worker.profile(RUNS_PROFILED, file)
    return {entry["kernel"]: entry["ms"] for entry in kernel_times(json.loads(file.read_text()), RUNS_PROFILED)}


def print_kernels(profiles):
    names = sorted({name for times in profiles for name in times}, key=lambda name: -profiles[0].get(name, 0))
    for name in names:
        times = [found.get(name, 0.0) for found in profiles]
        if max(times) - min(times) >= LEAST_MS:
            print(f"    {name:<40}" + "".join(f"{ms:10.3f}" for ms in times), flush=True)


if __name__ == "__main__":
    sys.exit(main())
