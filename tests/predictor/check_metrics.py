"""The metrics of a predictor as Prometheus' own client reads them, against the same as JSON."""
import argparse
import ctypes
import json
import os
import subprocess

from prometheus_client.parser import text_string_to_metric_families

parser = argparse.ArgumentParser()
parser.add_argument("--build", default="build")
build = parser.parse_args().build
output = subprocess.run([f"{build}/print-metrics", f"{build}/digits.bin"], check=True, capture_output=True, text=True).stdout
first, text = output.split("\n", 1)
report = json.loads(first)
families = {family.name: family for family in text_string_to_metric_families(text)}
passed, failed = 0, 0


def expect(what, right):
    global passed, failed
    passed, failed = passed + bool(right), failed + (not right)
    if not right:
        print(f"FAILED {what}")


def samples(name, family=None):
    return {tuple(sorted(s.labels.items())): s.value for s in families[family or name].samples if s.name == name}


labels = ("model", 'a "digit"')
expect("every sample has the caller's label", all(("model", 'a "digit"') in s.labels.items() for f in families.values() for s in f.samples))
expect("every family says what it means", all(f.documentation for f in families.values()))
for name in ("requests", "runs", "run_requests", "cache_lookups", "cache_hits", "cache_shared", "cache_evictions"):
    expect(name, families[f"infer_{name}"].type == "counter" and samples(f"infer_{name}_total", f"infer_{name}") == {(labels,): report[name]})
for name in ("seconds", "throughput", "waiting", "under_way", "most_waiting", "overdue_hooks", "cache_bytes", "cache_entries", "predictor_bytes"):
    expect(name, families[f"infer_{name}"].type == "gauge" and samples(f"infer_{name}") == {(labels,): report[name]})
for name, value in report["memory"].items():
    expect(name, samples(f"infer_memory_{name}") == {(labels,): value})
ended = samples("infer_ended_total", "infer_ended")
expect("requests by how they ended", {dict(k)["status"]: v for k, v in ended.items()} == report["by_status"])
latency = families["infer_latency_seconds"]
expect("latencies are a summary", latency.type == "summary")
for stage in ("total", "queue", "preprocess", "model", "postprocess"):
    found = {s.labels.get("quantile", s.name.rsplit("_", 1)[-1]): s.value for s in latency.samples if s.labels["stage"] == stage}
    want = report[stage]
    expect(stage, found == {"0.5": want["p50"], "0.9": want["p90"], "0.99": want["p99"], "0.999": want["p999"], "1": want["max"],
                            "sum": want["sum"], "count": want["count"]})
batches = families["infer_batch_size"]
counts = [s.value for s in batches.samples if s.name.endswith("_bucket")]
expect("sizes of batches are a histogram", batches.type == "histogram" and counts == sorted(counts))
expect("whose last bucket is all runs", counts[-1] == report["runs"] == sum(report["runs_by_size"]))
totals = {s.name: s.value for s in batches.samples if not s.name.endswith("_bucket")}
expect("and whose sum is all requests in them", totals["infer_batch_size_sum"] == report["run_requests"])
expect("39 requests ended well, one did not", report["by_status"]["ok"] == 39 and report["by_status"]["invalid argument"] == 1)
expect("9 of them were known", report["cache_hits"] == 9 and report["runs"] == 30)


def gpus(kind, *options, library=True):
    """What JSON and Prometheus say of GPUs, with a management library of that kind."""
    environment = os.environ | {"FAKE_NVML": kind} | ({"LD_LIBRARY_PATH": f"{build}/fake"} if library else {})
    command = [f"{build}/print-metrics", f"{build}/digits.bin", *options]
    output = subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout
    first, text = output.split("\n", 1)
    found = {f.name: f for f in text_string_to_metric_families(text) if f.name.startswith("infer_gpu")}
    return json.loads(first).get("gpus"), found


two = [{"index": 0, "utilization": 0.37, "memory_used": 3 << 30, "memory_total": 80 << 30},
       {"index": 2, "utilization": 1, "memory_used": 123456789, "memory_total": 80 << 30}]
told, found = gpus("", "--gpus")
expect("GPUs as the library tells them", told == two)
for key in ("utilization", "memory_used", "memory_total"):
    values = {s.labels["gpu"]: s.value for s in found[f"infer_gpu_{key}"].samples}
    expect(key, found[f"infer_gpu_{key}"].type == "gauge" and values == {str(gpu["index"]): gpu[key] for gpu in two})
expect("no GPUs where nobody asked", gpus("") == (None, {}))
expect("no GPUs where the library does not begin", gpus("broken", "--gpus") == (None, {}))
expect("no GPUs where there are none", gpus("empty", "--gpus") == (None, {}))
try:
    ctypes.CDLL("libnvidia-ml.so.1")
except OSError:
    expect("no GPUs where there is no library", gpus("", "--gpus", library=False) == (None, {}))
print(f"{passed} passed, {failed} failed")
raise SystemExit(failed > 0)
