"""infer's time by step and by kernel, from a Chrome trace of several runs."""

import statistics
from collections import defaultdict


def steps_of(trace, runs):
    """The steps of a run in order: the slice of the first run, and microseconds, the median of the runs."""
    slices = [event for event in trace["traceEvents"] if event["ph"] == "X"]
    count = len(slices) // runs
    return [(slices[i], statistics.median(same["dur"] for same in slices[i::count])) for i in range(count)]


def kernel_times(trace, runs):
    """One entry a kernel, the one that takes the most time first: its steps, ms of a run, flops and bytes. Each step
    counts with the median of its times."""
    kernels = defaultdict(lambda: {"steps": 0, "ms": 0.0, "flops": 0.0, "bytes": 0})
    for step, us in steps_of(trace, runs):
        arguments = step["args"]
        entry = kernels[arguments["kernel"]]
        entry["steps"] += 1
        entry["ms"] += us * 1e-3
        entry["flops"] += arguments.get("GFLOP/s", 0) * step["dur"] * 1e3
        entry["bytes"] += arguments["bytes"]
    return sorted(({"kernel": name, **entry} for name, entry in kernels.items()), key=lambda entry: -entry["ms"])


def print_kernel_times(rows):
    for row in rows:
        total = sum(entry["ms"] for entry in row.get("kernels", []))
        if not total:
            continue
        print(f"\n{row['model']}, {row['threads']} threads: {total:.3f} ms in steps")
        print(f"  {'kernel':<36}{'steps':>6}{'ms':>10}{'share':>8}{'GFLOP/s':>10}{'GB/s':>8}")
        for entry in row["kernels"]:
            seconds = max(entry["ms"] * 1e-3, 1e-9)
            print(
                f"  {entry['kernel']:<36}{entry['steps']:>6}{entry['ms']:>10.3f}{entry['ms'] / total:>8.1%}"
                f"{entry['flops'] / seconds * 1e-9:>10.2f}{entry['bytes'] / seconds * 1e-9:>8.2f}"
            )
