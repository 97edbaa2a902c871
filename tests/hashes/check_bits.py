"""The bits of results are the same on every x86-64 with FMA: those of random graphs, in every way of running them, against
tests/hashes/bits.tsv, which is committed. With each set of instructions that this CPU has, and under qemu's Haswell.

    check_bits.py [--build DIR] [--graphs N] [--record]

Where bits are meant to change (sums in another order), --record makes the file anew: the same commit says why.
"""
import argparse
import hashlib
import os
import pathlib
import shutil
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
RECORD = HERE / "bits.tsv"


def hashes(command, graphs, isa):
    """One hash a graph, of all lines that hash_graphs prints of it; None: the CPU has no such set."""
    done = subprocess.run([*command, "0", str(graphs)], capture_output=True, text=True,
                          env={**os.environ, "INFER_ISA": isa})
    if done.returncode:
        return done.stderr.strip().splitlines()[-1] if done.stderr.strip() else f"exit code {done.returncode}"
    lines = {}
    for line in done.stdout.splitlines():
        lines.setdefault(line.split("\t")[0], []).append(line)
    return {graph: hashlib.sha256("\n".join(rows).encode()).hexdigest()[:16] for graph, rows in lines.items()}


def flags():
    with open("/proc/cpuinfo") as file:
        return next((line.split() for line in file if line.startswith("flags")), [])


def ways(program):
    """How the graphs are run here: a name, the command, the set of instructions asked for."""
    if "avx2" in flags() and "fma" in flags():
        yield "AVX2", [program], "avx2"
    if "avx512vl" in flags():
        yield "AVX-512", [program], "avx512"
    if shutil.which("qemu-x86_64"):
        yield "qemu's Haswell", ["qemu-x86_64", "-cpu", "Haswell", program], "auto"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--build", default="build")
    parser.add_argument("--graphs", type=int, default=400)
    parser.add_argument("--record", action="store_true")
    options = parser.parse_args()
    results = {name: hashes(command, options.graphs, isa) for name, command, isa in ways(f"{options.build}/hash_graphs")}
    if options.record:
        first = next(iter(results.values()))
        RECORD.write_text("".join(f"{graph}\t{value}\n" for graph, value in first.items()))
    wanted = dict(line.split("\t") for line in RECORD.read_text().splitlines())
    passed = failed = 0
    for name, found in results.items():
        if isinstance(found, str):
            wrong = [found]
        else:
            wrong = [graph for graph in found if found[graph] != wanted.get(graph)]
        failed += len(wrong)
        passed += len(found) - len(wrong) if isinstance(found, dict) else 0
        print(f"{name}: {len(wrong)} differ" if wrong else f"{name}: all {len(found)} graphs have the bits recorded")
        for graph in wrong[:5]:
            print(f"    {graph}")
    if failed:
        print("Where that is meant: make record-bits")
    print(f"{passed} passed, {failed} failed")
    return failed != 0


if __name__ == "__main__":
    sys.exit(main())
