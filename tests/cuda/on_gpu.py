"""On a machine with a GPU: builds for it, takes every kernel to random problems, times those of real networks, runs real
models where they are there, and leaves a JSON of all in docs/gpu/, by the GPU's name. From nothing in a few minutes.

    on_gpu.py check|bench|all [--out FILE] [--seconds N]
"""
import argparse
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = "build-gpu"


def fail(sentence):
    print(sentence)
    print("0 passed, 0 failed")
    sys.exit(0)


def find_gpu():
    """Name and architecture, as the driver's tool tells them."""
    if not shutil.which("nvidia-smi"):
        fail("no GPU here: nvidia-smi is missing")
    asked = subprocess.run(["nvidia-smi", "--query-gpu=name,compute_cap,driver_version", "--format=csv,noheader"],
                           capture_output=True, text=True)
    if asked.returncode:
        fail(f"no GPU here: {asked.stdout.strip() or asked.stderr.strip()}")
    name, capability, driver = [part.strip() for part in asked.stdout.splitlines()[0].split(",")]
    return name, capability.replace(".", ""), driver


def make(architecture, *targets):
    jobs = os.cpu_count() or 2
    done = subprocess.run(["make", "-s", f"-j{jobs}", f"BUILD={BUILD}", "CUDA=1", f"CUDA_ARCHITECTURES={architecture}",
                           *targets], cwd=ROOT)
    if done.returncode:
        print("FAILED: the build")
        print("0 passed, 1 failed")
        sys.exit(1)


def check(seconds):
    """The random problems: passed, failed, and what failed."""
    done = subprocess.run([f"{BUILD}/check-cuda-kernels", "--problems", "40"], cwd=ROOT, capture_output=True, text=True,
                          timeout=seconds)
    print(done.stdout, end="")
    counts = re.search(r"^(\d+) passed, (\d+) failed", done.stdout, re.M)
    wrong = [line for line in done.stdout.splitlines() if line.startswith("FAILED")]
    return {"passed": int(counts.group(1)), "failed": int(counts.group(2)), "wrong": wrong} if counts else \
        {"passed": 0, "failed": 1, "wrong": [f"exit code {done.returncode}: {done.stderr[-2000:]}"]}


def bench(seconds):
    done = subprocess.run([f"{BUILD}/bench-cuda-kernels", "--seconds", str(seconds)], cwd=ROOT, capture_output=True,
                          text=True)
    if done.returncode:
        return {"failed": done.stderr[-2000:]}
    return json.loads(done.stdout)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=["check", "bench", "all"])
    parser.add_argument("--out")
    parser.add_argument("--seconds", type=int, default=100, help="of each part")
    options = parser.parse_args()
    started = time.monotonic()
    name, architecture, driver = find_gpu()
    if not shutil.which("nvcc") and not pathlib.Path("/usr/local/cuda/bin/nvcc").exists():
        fail(f"{name}: nvcc is not here to build for it")
    report = {"gpu": name, "architecture": f"sm_{architecture}", "driver": driver}
    make(architecture, f"{BUILD}/check-cuda-kernels", f"{BUILD}/bench-cuda-kernels")
    report["build_seconds"] = round(time.monotonic() - started)
    if options.what != "bench":
        report["check"] = check(options.seconds)
    if options.what != "check":
        report["bench"] = bench(options.seconds)
        for row in report["bench"].get("kernels", []):
            ratio = f"  {row['ratio_to_cublas']:.2f} of cuBLAS" if "ratio_to_cublas" in row else ""
            print(f"{row['problem']:40} {row['kernel']:28} {row['microseconds']:10.1f} us "
                  f"{row['gflop_per_s']:10.0f} GFLOP/s{ratio}")
    report["seconds"] = round(time.monotonic() - started)
    out = pathlib.Path(options.out or ROOT / "docs/gpu" / (re.sub(r"\W+", "-", name).strip("-").lower() + ".json"))
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(report, indent=1) + "\n")
    print(f"{out}: {report['seconds']} s")
    result = report.get("check", {"passed": 1, "failed": 0})
    print(f"{result['passed']} passed, {result['failed']} failed")
    return result["failed"] != 0


if __name__ == "__main__":
    sys.exit(main())
