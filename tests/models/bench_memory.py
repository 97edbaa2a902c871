"""Prints what each model needs in memory, beside what ONNX Runtime takes for the same run.

arena, bound   of infer: activations and workspace, and what no plan in that order of steps can go below
ratio, least   of the two; and whether it is proven that no arena can be smaller
told           whether all these numbers are known before the run; only after it where shapes depend on data
constants      weights that were folded into others, made of others, and the like
tables         graphs, steps and what a context has beside its arena
infer-run      what the process grew by at its peak, over loading and --runs runs, less the weights
ORT            the same of a fresh Python with ONNX Runtime and NumPy imported, after its first run and after --runs of
               them: its memory pattern, made in the first, takes a block of its own in the second

MB are 10^6 bytes. The light models are left out: they are the seeded ones with other weights. 'saving' is infer with
--memory-saving.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from check_models import SECONDS_A_TOOL, CheckFailed, Converter, describe
from fetch import FetchError
from model_cases import all_cases
from toolrun import ROOT, find_tools, save_inputs

PEER = Path(__file__).with_name("peer_memory.py")

# What infer-inspect tells before a run and infer-run's report after it.
TOLD = (
    "activation_bytes",
    "workspace_bytes",
    "constant_bytes",
    "packed_bytes",
    "table_bytes",
    "result_bytes",
    "context_bytes",
)


@dataclass(frozen=True)
class Needs:
    """Of one model and shape, in bytes."""

    name: str
    shapes: str
    arena: int
    bound: int
    least: bool
    told: bool  # before the run, all of it
    constants: int
    tables: int
    grown: int
    peer_first: int
    peer: int


@dataclass(frozen=True)
class Column:
    title: str
    width: int
    text: Callable


def megabytes(count):
    return f"{count / 1e6:.2f}"


COLUMNS = (
    Column("model", -24, lambda n: n.name),
    Column("inputs", -32, lambda n: n.shapes),
    Column("arena", 8, lambda n: megabytes(n.arena)),
    Column("bound", 8, lambda n: megabytes(n.bound)),
    Column("ratio", 6, lambda n: f"{n.arena / n.bound:.3f}" if n.bound else "-"),
    Column("least", 5, lambda n: "yes" if n.least else "no"),
    Column("told", 6, lambda n: "before" if n.told else "after"),
    Column("constants", 9, lambda n: megabytes(n.constants)),
    Column("tables", 6, lambda n: megabytes(n.tables)),
    Column("infer-run", 9, lambda n: megabytes(n.grown)),
    Column("ORT, 1 run", 10, lambda n: megabytes(n.peer_first)),
    Column("ORT", 8, lambda n: megabytes(n.peer)),
)


def row(texts):
    cells = (f"{text:<{-c.width}}" if c.width < 0 else f"{text:>{c.width}}" for c, text in zip(COLUMNS, texts))
    return "  ".join(cells).rstrip()


def main():
    arguments = parse_arguments()
    tools = find_tools(arguments.tools, "infer-convert", "infer-inspect", "infer-run")
    cases = [case for case in all_cases() if arguments.filter.lower() in case.name.lower() and is_listed(case)]
    if not cases:
        sys.exit(f"bench_memory.py: no model's name contains '{arguments.filter}'")
    converter = Converter(tools[0])
    print(f"MB; {arguments.threads} thread{'s' * (arguments.threads > 1)}, {arguments.runs} runs")
    print(row(column.title for column in COLUMNS))
    done, failed = [], 0
    for case in cases:
        try:
            done.append(measure(case, converter, tools[1], tools[2], arguments))
            print(row(column.text(done[-1]) for column in COLUMNS), flush=True)
        except (CheckFailed, FetchError) as error:
            failed += 1
            print(f"{case.name}: FAILED: {error}", flush=True)
    at_bound, least = sum(n.arena == n.bound for n in done), sum(n.least for n in done)
    print(f"arena = lower bound in {at_bound} of {len(cases)}, proven least in {least}, failed {failed}")
    return 1 if failed else 0


def is_listed(case):
    return not case.name.startswith("light_") and "--no-optimize" not in case.options


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--filter", metavar="NAME", default="", help="only the models whose names contain it")
    parser.add_argument("--threads", metavar="N", type=int, default=1, help="of both; default: 1")
    parser.add_argument("--runs", metavar="N", type=int, default=3, help="of both; default: 3")
    parser.add_argument("--tools", default=ROOT / "build", metavar="DIR", help="the tools' folder; default: build")
    return parser.parse_args()


def measure(case, converter, inspect, run, arguments):
    model, steps = case.model(), case.steps()
    converted, options = converter.convert(model), ["--threads", str(arguments.threads), *case.options]
    told = output_of([inspect, converted, *shape_options(steps[0]), *options, "--json"])
    with tempfile.TemporaryDirectory(prefix="bench-memory-") as folder:
        named = save_inputs(steps[0], Path(folder))
        np.savez(Path(folder) / "inputs.npz", **steps[0])
        ran = output_of([run, converted, *named, *options, "--repeat", str(arguments.runs), "--json", "-"])
        peer = run_peer(model, Path(folder) / "inputs.npz", arguments)
    before, after = json.loads(told)["program"], json.loads(ran)
    for kind in TOLD:
        if before["complete"] and before[kind] != after[kind]:
            raise CheckFailed(f"{kind} of {before[kind]} were told before the run, {after[kind]} after it")
    return Needs(
        name=case.name,
        shapes=describe(steps[:1]),
        arena=after["activation_bytes"],
        bound=after["activation_lower_bound_bytes"],
        least=after["activation_is_least"],
        told=before["complete"],
        constants=after["constant_bytes"] + after["packed_bytes"],
        tables=after["table_bytes"] + after["context_bytes"],
        grown=after["peak_rss_bytes"] - after["weight_bytes"],
        peer_first=peer[0] - after["weight_bytes"],
        peer=peer[-1] - after["weight_bytes"],
    )


def shape_options(inputs):
    return [f"--shape={name}={shape_text(array)}" for name, array in inputs.items()]


def shape_text(array):
    return "x".join(map(str, array.shape)) or "scalar"


def run_peer(model, inputs, arguments):
    """The growth of ONNX Runtime's process after the first run, and after all."""
    command = [sys.executable, PEER, model, inputs, arguments.threads, arguments.runs]
    return [int(line) for line in output_of([str(word) for word in command]).split()]


def output_of(command):
    name = Path(command[0]).name
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS_A_TOOL)
    except subprocess.TimeoutExpired:
        raise CheckFailed(f"{name} ran for more than {SECONDS_A_TOOL} s") from None
    if done.returncode != 0:
        raise CheckFailed(f"{name}: {(done.stderr.strip().splitlines() or ['no word of why'])[-1]}")
    return done.stdout


if __name__ == "__main__":
    sys.exit(main())
