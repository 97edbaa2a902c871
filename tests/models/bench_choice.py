"""Says of the steps of real models where another kernel than the one chosen is faster, and by how much.

For each vector kernel that a model uses, the model also runs without that kernel, so that each of its steps gets the
next one that fits; both take turns on one core, and steps are compared by their median times. Passes may make other
steps of a model whose kernels differ: only steps of the same node are compared.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
from collections import defaultdict
from contextlib import ExitStack
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from check_models import CheckFailed
from engines import Preparer, Task, Worker
from fetch import FetchError
from kernel_times import steps_of
from model_cases import cases_named, peer_cases
from toolrun import ROOT, find_tools

RUNS_A_TURN = 3
MARGIN = 1.05  # what one measurement of a step may differ from the next
HOPELESS = 4  # times as slow as the model with all kernels: not timed further
LEAST_US = 2  # a step below it is not worth a line


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", metavar="A,B", help="only those whose names hold one of these")
    parser.add_argument("--turns", metavar="N", type=int, default=7, help="default: 7")
    parser.add_argument("--tools", default=ROOT / "build", metavar="DIR", help="the tools' folder; default: build")
    arguments = parser.parse_args()
    find_tools(arguments.tools, "infer-convert", "bench_worker")
    preparer, failed = Preparer(arguments.tools, Path(arguments.tools) / "peers"), 0
    for case in cases_named(peer_cases(), arguments.models):
        try:
            with tempfile.TemporaryDirectory(prefix="bench-choice-") as folder:
                judge(Task(case.name, case.model(), case.steps()[0], Path(folder)), preparer, arguments.turns)
        except (CheckFailed, FetchError) as error:
            failed += 1
            print(f"{case.name}: FAILED: {error}", flush=True)
    return 1 if failed else 0


def judge(task, preparer, turns):
    command, files = preparer.command("infer", task, 1), task.files()
    with ExitStack() as stack:
        base = open_worker(command, files, stack)
        steps = profile(base, task)
        kernels = sorted({step["kernel"] for step in steps.values() if not step["kernel"].endswith("_reference")})
        lost = [found for kernel in kernels for found in compare(kernel, base, command, files, task, turns)]
    total = sum(step["us"] for step in steps.values())
    sum_lost = sum(chosen_us - other_us for _, _, chosen_us, _, other_us in lost)
    print(f"{task.name}: {len(steps)} steps, {total / 1e3:.3f} ms; {len(lost)} with a faster kernel: {sum_lost / total:.1%}")
    for node, kernel, chosen_us, other, other_us in sorted(lost, key=lambda found: found[4] - found[2]):
        print(f"  {node:<60} {kernel:<34} {chosen_us:9.1f} us, {other:<34} {other_us / chosen_us:.2f} of it")
    sys.stdout.flush()


def open_worker(command, files, stack):
    worker = Worker(command, files, [max(os.sched_getaffinity(0))])
    stack.callback(worker.close)
    return worker


def profile(worker, task):
    """The steps of the model by node and place among its steps: kernel and microseconds, the median of the runs."""
    file = task.folder / "trace.json"
    worker.profile(RUNS_A_TURN, file)
    steps, seen = {}, defaultdict(int)
    for event, us in steps_of(json.loads(file.read_text()), RUNS_A_TURN):
        seen[event["name"]] += 1
        shape = event["args"]["outputs"][0].split(" ")[-1] if event["args"]["outputs"] else ""
        steps[event["name"], seen[event["name"]]] = {"kernel": event["args"]["kernel"], "us": us, "shape": shape}
    return steps


def compare(kernel, base, command, files, task, turns):
    """(node, kernel, us, other kernel, us) of the steps that are faster without the kernel."""
    with ExitStack() as stack:
        other = open_worker([command[0], "--without", kernel, *command[1:]], files, stack)
        if min(other.run(2)) > HOPELESS * min(base.run(2)):
            return []
        times = defaultdict(lambda: ([], []))
        for _ in range(turns):
            pair = profile(base, task), profile(other, task)
            for key, step in pair[0].items():
                if step["kernel"] == kernel and pair[1].get(key, step)["kernel"] != kernel:
                    times[key, step["shape"], pair[1][key]["kernel"]][0].append(step["us"])
                    times[key, step["shape"], pair[1][key]["kernel"]][1].append(pair[1][key]["us"])
    found = []
    for ((node, _), shape, name), (ours, others) in times.items():
        ratio = statistics.median(b / a for a, b in zip(ours, others))
        us = statistics.median(ours)
        if ratio * MARGIN < 1 and us > LEAST_US:
            found.append((f"{node[-40:]} {shape}", kernel, us, name, us * ratio))
    return found


if __name__ == "__main__":
    sys.exit(main())
