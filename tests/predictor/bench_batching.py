"""What the predictor costs, and what batches of requests that come by themselves gain: against one by one, and against
ONNX Runtime in a plain thread pool on the same load.

Requests come as they do, whether or not the ones before have ended (infer-bench serve). Capacity: of three times as many
as a pool can do, those that are answered; 256 wait at most, and others are refused. Latency: at 0.7 of the pool's
capacity, from when a request was due.
"""

import argparse
import concurrent.futures
import json
import math
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import onnxruntime

TESTS = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS), str(TESTS / "models")]
import build_minilm
import build_mobilenetv2
from fetch import FetchError
from inputs import picture, sentences
from toolrun import ROOT

QUEUE = 256
OVERLOAD, LOAD = 3, 0.7  # of the pool's capacity
TOKENS = 32

# Where the model is, what one request gives it, and how infer-bench is told so.
MODELS = {
    "digits": (lambda: TESTS / "demo" / "digits.onnx", lambda: {"image": np.ones((1, 1, 8, 8), np.float32)}, ()),
    "mobilenetv2": (build_mobilenetv2.build, lambda: {"input": picture()}, ()),
    "minilm": (
        build_minilm.build,
        lambda: sentences([TOKENS], TOKENS),
        ("--shape", "batch=1", "--shape", f"sequence={TOKENS}"),
    ),
}


class Pool:
    """ONNX Runtime, a thread a core, each of which runs one request at a time."""

    def __init__(self, model, inputs):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        self.inputs = inputs
        self.lock = threading.Lock()
        self.pending, self.latencies = 0, []

    def run(self, due):
        self.session.run(None, self.inputs)
        with self.lock:
            self.pending -= 1
            self.latencies.append(time.perf_counter() - due)

    def seconds_of_one(self):
        times = []
        for _ in range(20):
            start = time.perf_counter()
            self.session.run(None, self.inputs)
            times.append(time.perf_counter() - start)
        return sorted(times)[len(times) // 2]

    def serve(self, rate, seconds):
        """Requests a second that were answered, and their latencies, sorted."""
        draw = random.Random(1)
        self.pending, self.latencies = 0, []
        cores = len(os.sched_getaffinity(0))
        with concurrent.futures.ThreadPoolExecutor(cores) as pool:
            begin = due = time.perf_counter()
            while (due := due - math.log(1 - draw.random()) / rate) < begin + seconds:
                if (left := due - time.perf_counter()) > 0:
                    time.sleep(left)
                with self.lock:
                    full = self.pending >= QUEUE
                    self.pending += not full
                if not full:
                    pool.submit(self.run, due)
        return len(self.latencies) / (time.perf_counter() - begin), sorted(self.latencies)


def serve(bench, model, options, rates, seconds, batch):
    """The same by infer-bench serve, for each of the rates; the first is only to make what all need."""
    cores = len(os.sched_getaffinity(0))
    rates = ",".join(f"{rate:.6g}" for rate in (rates[-1], *rates))
    command = [bench, "serve", model, *options, "--rate", rates, "--seconds", f"{seconds}", "--batch", f"{batch}"]
    command += ["--contexts", f"{cores}", "--threads", "1", "--json", "-"]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=True)
    return json.loads(done.stdout)["rates"][1:]


def of_sorted(values, part):
    return values[min(int(part * len(values)), len(values) - 1)] * 1e3 if values else 0


def measure(bench, name, batches, seconds):
    where, make_inputs, options = MODELS[name]
    model = where()
    pool = Pool(str(model), make_inputs())
    guess = len(os.sched_getaffinity(0)) / pool.seconds_of_one()
    capacity, _ = pool.serve(OVERLOAD * guess, seconds)
    load = LOAD * capacity
    _, latencies = pool.serve(load, seconds)
    rows = [{"runtime": "ONNX Runtime, pool", "batch": 1, "capacity": capacity, "p50_ms": of_sorted(latencies, 0.5),
             "p99_ms": of_sorted(latencies, 0.99)}]
    for batch in batches:
        rates = OVERLOAD * max(guess, capacity), load
        most, at_load = serve(bench, model, options, rates, seconds, batch)
        rows.append({"runtime": "infer", "batch": batch, "capacity": most["achieved"], "run_of": most["batch"],
                     "p50_ms": at_load["latency_ms"]["p50"], "p99_ms": at_load["latency_ms"]["p99"]})
    return {"load": load, "rows": rows}


def tell(name, report):
    rows = report["rows"]
    one = next(row["capacity"] for row in rows if row["runtime"] == "infer" and row["batch"] == 1)
    print(f"\n{name}: latency at {report['load']:.0f} requests a second")
    print(f"{'':<20} {'batch':>5} {'a second':>10} {'to pool':>8} {'to 1':>6} {'p50 ms':>9} {'p99 ms':>9}")
    for row in rows:
        print(f"{row['runtime']:<20} {row['batch']:>5} {row['capacity']:>10.1f} {row['capacity'] / rows[0]['capacity']:>8.2f} "
              f"{row['capacity'] / one:>6.2f} {row['p50_ms']:>9.2f} {row['p99_ms']:>9.2f}", flush=True)


def costs(tools, names):
    """What bench-predictor says, with these models where they are at hand; not the digits: they take microseconds."""
    with tempfile.TemporaryDirectory() as folder:
        files = []
        for name in names:
            try:
                model = MODELS[name][0]()
            except FetchError:
                continue
            if name != "digits":
                files.append(f"{folder}/{name}")
                subprocess.run([tools / "infer-convert", model, files[-1]], check=True, stdout=subprocess.DEVNULL)
        report = f"{folder}/costs.json"
        subprocess.run([tools / "bench-predictor", report, *files], check=True)
        return json.loads(Path(report).read_text())


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tools", default=ROOT / "build", metavar="DIR", help="the tools' folder; default: build")
    parser.add_argument("--models", default=",".join(MODELS), help="some of " + ", ".join(MODELS))
    parser.add_argument("--quick", action="store_true", help="half a second each, and batches of 1 and 8")
    parser.add_argument("--seconds", type=float, default=3, metavar="S", help="for each load; default: 3")
    parser.add_argument("--json", metavar="FILE", help="a report")
    arguments = parser.parse_args()
    onnxruntime.set_default_logger_severity(3)
    tools = Path(arguments.tools).resolve()
    seconds, batches = (0.5, (1, 8)) if arguments.quick else (arguments.seconds, (1, 2, 4, 8, 16, 32))
    report = {"costs": costs(tools, arguments.models.split(",")), "models": {}}
    for name in arguments.models.split(","):
        try:
            report["models"][name] = measure(tools / "infer-bench", name, batches, seconds)
        except FetchError as missing:
            print(f"{name}: skipped: {missing}")
            continue
        tell(name, report["models"][name])
    if arguments.json:
        Path(arguments.json).write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
