"""Records a hash of every output of every model and graph that the tests have, or compares a build with such a record.

To prove that a change to the code changes no result by a bit: record with the tools of the build before it, compare with
those of the build after it. Run are ONNX's backend tests, the real models, and random graphs (DIR/hash_graphs), each in
several ways and, the real models, on one thread and on three. A line of the record, with tabs between:

    CASE  WAY  THREADS  OUTPUT  TYPE  SHAPE  HASH

The hash is of every bit of an output, those of NaN too, over all runs of the case. Where a tool refuses or fails, one
line says which and how instead. Records of two machines or compilers need not agree: libm and the code of a compiler
may differ in the last bit.
"""

import argparse
import hashlib
import multiprocessing
import os
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import onnx

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE / "conformance"), str(HERE / "models")]
from cases import KINDS, load_cases, write_inputs
from check_models import describe
from fetch import FetchError
from model_cases import all_cases
from toolrun import ROOT, find_tools, output_files, run_tool, save_inputs

TOOLS = ("infer-convert", "infer-run", "hash_graphs")
OPTIMISED, PLAIN, SAVING = "default", "--no-optimize", "--memory-saving"
GRAPHS, GRAPHS_A_TASK = 6000, 500
SECONDS_A_TOOL = 600
KEY_FIELDS = 4  # CASE, WAY, THREADS and OUTPUT name a line; what follows is what it says


class ToolFailed(Exception):
    """A tool did not do its work: which, and how it ended."""


@dataclass(frozen=True)
class Case:
    """A model in a file or as bytes. `feed(run, outputs, folder)` writes the inputs of a run, which may depend on the
    outputs of the run before it, and returns infer-run's arguments."""

    name: str
    model: Path | bytes
    runs: int
    feed: Callable
    ways: tuple
    threads: tuple

    def lines(self, tools):
        with tempfile.TemporaryDirectory(prefix="output-hashes-") as name:
            folder = Path(name)
            try:
                converted = self.convert(tools[0], folder)
            except ToolFailed as failure:
                return [self.line("-", "-", "-", "-", "-", failure)]
            return [
                line
                for way in self.ways
                for threads in self.threads
                for line in self.lines_of_way(tools[1], converted, way, threads, folder)
            ]

    def convert(self, tool, folder):
        model = self.model
        if isinstance(model, bytes):
            model = folder / "model.onnx"
            model.write_bytes(self.model)
        call([tool, model, folder / "model.bin"], folder)
        return folder / "model.bin"

    def lines_of_way(self, tool, model, way, threads, folder):
        options = ["--threads", str(threads), *([] if way == OPTIMISED else [way])]
        hashes, outputs = [], []
        for run in range(self.runs):
            out = folder / f"{way}-{threads}-{run}"
            arguments = self.feed(run, outputs, folder)
            try:
                call([tool, model, *arguments, *options, "-o", out], folder)
            except ToolFailed as failure:
                return [self.line(way, threads, "-", "-", "-", f"{failure} in run {run + 1}")]
            outputs = [np.load(file) for file in output_files(out)]
            hashes = hashes or [hashlib.blake2b(digest_size=16) for _ in outputs]
            for digest, output in zip(hashes, outputs, strict=True):
                digest.update(f"{output.dtype.str} {output.shape} ".encode())
                digest.update(output.tobytes())
        return [
            self.line(way, threads, i, output.dtype, "x".join(map(str, output.shape)) or "scalar", digest.hexdigest())
            for i, (digest, output) in enumerate(zip(hashes, outputs))
        ]

    def line(self, *fields):
        return "\t".join(map(str, (self.name, *fields)))


@dataclass(frozen=True)
class RandomGraphs:
    """So many random graphs from a seed on; the tool writes the lines."""

    first: int
    count: int

    def lines(self, tools):
        return call([tools[2], str(self.first), str(self.count)], None).output.splitlines()


def call(command, folder):
    done = run_tool(command, SECONDS_A_TOOL, cwd=folder)
    if done.outcome != "ok":
        # The sentence of a refusal is no result; how a crash comes about is told here or nowhere.
        told = f" ({done.message})" if done.outcome in ("crash", "hang") else ""
        raise ToolFailed(f"{Path(command[0]).name}: {done.outcome}{told}")
    return done


def model_cases():
    """The real models, once for each set of inputs: the ways to run them are ours."""
    made = []
    for case in all_cases():
        if not case.options and not case.conversion:
            model, steps = case.model(), case.steps()
            feed = partial(feed_step, steps, case.carry, output_names(model) if case.carry else [])
            name = f"model/{case.name} {describe(steps)}"
            made.append(Case(name, model, len(steps), feed, (OPTIMISED, PLAIN, SAVING), (1, 3)))
    return made


def output_names(model):
    return [output.name for output in onnx.load(model).graph.output]


def feed_step(steps, carry, names, run, outputs, folder):
    carried = {name: outputs[names.index(source)] for name, source in carry.items()} if outputs else {}
    return save_inputs({**steps[run], **carried}, folder)


def backend_cases():
    return [
        Case(f"onnx/{c.kind}/{c.name}", c.model, len(c.data_sets), partial(feed_data_set, c), (OPTIMISED, PLAIN), (1,))
        for c in load_cases(KINDS)
    ]


def feed_data_set(case, run, outputs, folder):
    return write_inputs(case.data_sets[run][0], onnx.load_from_string(case.model).graph, folder)


def graph_cases():
    return [RandomGraphs(first, GRAPHS_A_TASK) for first in range(0, GRAPHS, GRAPHS_A_TASK)]


# By what the names of cases begin with; what takes long comes first, so that no process is left alone with it.
MAKERS = {"model": model_cases, "graph": graph_cases, "onnx": backend_cases}


def all_lines(kinds, tools, jobs):
    """Every line, sorted; the work is done in `jobs` processes, which inherit it."""
    global _inherited
    work = [case for kind in kinds for case in MAKERS[kind]()]
    _inherited = work, tools
    lines = []
    with multiprocessing.get_context("fork").Pool(jobs) as pool:
        for done, part in enumerate(pool.imap_unordered(_lines_of, range(len(work))), start=1):
            lines += part
            if sys.stderr.isatty():
                print(f"\r{done} of {len(work)}", end="" if done < len(work) else "\n", file=sys.stderr)
    return sorted(lines)


def _lines_of(index):
    work, tools = _inherited
    return work[index].lines(tools)


def by_key(lines):
    """What each line says, by what it is about."""
    split = [line.split("\t") for line in lines]
    said = {tuple(fields[:KEY_FIELDS]): " ".join(fields[KEY_FIELDS:]) for fields in split}
    if len(said) != len(lines):
        sys.exit("output_hashes.py: two lines are about the same output")
    return said


def report_differences(recorded, lines):
    """Prints what differs, closes with the counts, and returns whether nothing does."""
    was, now = by_key(recorded), by_key(lines)
    keys = sorted(was.keys() | now.keys())
    differing = [key for key in keys if was.get(key) != now.get(key)]
    for key in differing:
        case, way, threads, output = key
        told, before = (said.get(key, "nothing") for said in (now, was))
        print(f"{case}, {way}, threads {threads}, output {output}: {told}, recorded {before}")
    print(f"{len(keys) - len(differing)} the same, {len(differing)} differ")
    return not differing


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    action = parser.add_mutually_exclusive_group(required=True)
    action.add_argument("--record", type=Path, metavar="FILE", help="write the record")
    action.add_argument("--compare", type=Path, metavar="FILE", help="list what differs from it; exit 1 if anything")
    parser.add_argument("--only", choices=MAKERS, action="append", help="only these cases (may be repeated)")
    parser.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)), help="processes; default: the cores")
    parser.add_argument("--tools", default=ROOT / "build", metavar="DIR", help="the tools' folder; default: build")
    return parser.parse_args()


def main():
    arguments = parse_arguments()
    tools = find_tools(arguments.tools, *TOOLS)
    kinds = [kind for kind in MAKERS if kind in (arguments.only or MAKERS)]
    recorded = arguments.compare.read_text(encoding="utf-8").splitlines() if arguments.compare else []
    try:
        lines = all_lines(kinds, tools, arguments.jobs)
    except FetchError as error:
        sys.exit(f"output_hashes.py: {error}")
    if arguments.compare:
        return 0 if report_differences([line for line in recorded if line.split("/")[0] in kinds], lines) else 1
    by_key(lines)
    arguments.record.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    print(f"{len(lines)} lines in {arguments.record}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
