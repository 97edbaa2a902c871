"""Counts the instructions that it takes to open a model and to make its program, in millions, with valgrind's callgrind:
unlike seconds, they are the same each time.

open       reading the file
session    the passes that need no shapes, of them
weights    fold_weights
program    making the program for the shapes, of it, without the next
packs      what kernels make of weights meanwhile, which grows with the weights alone
absorb     absorb_copies
layouts    choose_layouts
order      schedule_steps
place      place_values: lifetimes and the plan of the arena
growth     of program, against the row above with half the steps

Generated graphs come first, then real models. The last column tells which count is past its limit; then the exit code
is 1.
"""

import argparse
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS), str(TESTS / "models")]
from toolrun import ROOT

LONGEST_RUN = 600  # seconds
GENERATED = {
    "wide": (500, 1000, 2000),
    "chain": (1000, 2000),
    "residual": (1000, 2000),
    "dense": (1000, 2000),
    "slices": (1000, 2000),
    "softmax": (1000, 2000),
    "deep": (1000, 2000),
    "pointwise": (1000, 2000),
    "fan": (1000, 2000),
    "kinds": (1000, 2000),
}
MODELS = ("PP-OCR det", "seeded_densenet121", "MobileNetV2", "MiniLM-L6", "seeded_resnet50")

# By name and steps; of models, steps are None. What grows with the steps is allowed this much where they double.
MOST_GROWTH = 2.3
MOST_MILLIONS = {
    ("wide", 2000): {"program": 190},
    ("PP-OCR det", None): {"program": 22.2, "weights": 10},
    ("seeded_densenet121", None): {"program": 31.6, "weights": 13},
    ("MobileNetV2", None): {"program": 5.6, "weights": 11},
}

# Functions whose costs, with all they call, make a column.
COLUMNS = {
    "open": ("infer_model_open", "infer_model_open_memory"),
    "session": ("infer_session_create",),
    "weights": ("fold_weights",),
    "program": ("program_create",),
    "packs": ("make_pack",),
    "absorb": ("absorb_copies",),
    "layouts": ("choose_layouts",),
    "order": ("schedule_steps",),
    "place": ("place_values",),
}
ROW = "{:<20} {:>6} {:>6}" + " {:>8}" * len(COLUMNS) + " {:>7}  {}"


class BenchFailed(Exception):
    """One sentence on what could not be counted."""


@dataclass(frozen=True)
class Case:
    name: str
    size: int | None  # what the graph is generated for
    arguments: list  # of bench-compile


def main():
    arguments = parse_arguments()
    program = Path(arguments.tools).resolve() / "bench-compile"
    cases = [case for case in all_cases(arguments) if arguments.filter.lower() in case.name.lower()]
    print(ROW.format("millions", "for", "steps", *COLUMNS, "growth", ""))
    before, failed = {}, 0
    for case in cases:
        try:
            steps, counts = measure(program, case)
        except BenchFailed as error:
            print(f"{case.name}: FAILED: {error}", flush=True)
            failed += 1
            continue
        half = before.get((case.name, case.size / 2)) if case.size else None
        growth = counts["program"] / half if half else None
        before[case.name, case.size] = counts["program"]
        faults = list(past_limits(case, counts, growth))
        failed += bool(faults)
        cells = [f"{counts[column]:.2f}" for column in COLUMNS]
        print(ROW.format(case.name, case.size or "", steps, *cells, f"{growth:.2f}" if growth else "", "; ".join(faults)).rstrip(), flush=True)
    print(f"{len(cases) - failed} passed, {failed} failed")
    return 1 if failed or not cases else 0


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--filter", metavar="NAME", default="", help="only what has it in its name")
    parser.add_argument("--size", metavar="N", type=int, action="append", help="of generated graphs; may be given again")
    parser.add_argument("--no-models", action="store_true", help="generated graphs only")
    parser.add_argument("--tools", default=ROOT / "build", metavar="DIR", help="the tools' folder; default: build")
    return parser.parse_args()


def all_cases(arguments):
    for name, sizes in GENERATED.items():
        for size in arguments.size or sizes:
            yield Case(name, size, [name, str(size)])
    if not arguments.no_models:
        yield from model_cases(arguments)


def model_cases(arguments):
    from check_models import CheckFailed, Converter
    from fetch import FetchError
    from model_cases import all_cases as all_models
    from toolrun import find_tools

    converter = Converter(*find_tools(arguments.tools, "infer-convert"))
    first = {case.name: case for case in reversed(all_models())}
    for name in MODELS:
        if arguments.filter.lower() not in name.lower():
            continue
        try:
            model, inputs = converter.convert(first[name].model()), first[name].steps()[0]
        except (CheckFailed, FetchError) as error:
            print(f"{name} is left out: {error}")
            continue
        shapes = [f"{key}={'x'.join(map(str, array.shape))}" for key, array in inputs.items()]
        yield Case(name, None, [str(model), *shapes])


def measure(program, case):
    """The steps of the program, and the counts by column."""
    with tempfile.TemporaryDirectory(prefix="bench-compile-") as folder:
        profile = Path(folder) / "profile"
        valgrind = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={profile}", "-q"]
        output = output_of([*valgrind, str(program), *case.arguments])
        table = output_of(["callgrind_annotate", "--inclusive=yes", "--threshold=100", str(profile)])
    costs = {}
    for count, function in re.findall(r"^\s*([\d,]+) +\([ .\d]+%\) +\S*:(\w+) \[", table, re.MULTILINE):
        costs.setdefault(function, int(count.replace(",", "")))
    counts = {column: sum(costs.get(name, 0) for name in names) / 1e6 for column, names in COLUMNS.items()}
    if not counts["open"] or not counts["program"]:
        raise BenchFailed("the profile has no count of opening the model, or of making its program")
    counts["program"] -= counts["packs"]
    return int(output.split()[0]), counts


def output_of(command):
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=LONGEST_RUN)
    except FileNotFoundError:
        raise BenchFailed(f"{command[0]} is not installed") from None
    except subprocess.TimeoutExpired:
        raise BenchFailed(f"{Path(command[0]).name} ran for more than {LONGEST_RUN} s") from None
    if done.returncode != 0:
        raise BenchFailed((done.stderr.strip().splitlines() or ["no word of why"])[-1])
    return done.stdout


def past_limits(case, counts, growth):
    for column, most in MOST_MILLIONS.get((case.name, case.size), {}).items():
        if counts[column] > most:
            yield f"{column}: {most} are allowed"
    if growth and growth > MOST_GROWTH:
        yield f"growth: {MOST_GROWTH} is allowed"


if __name__ == "__main__":
    sys.exit(main())
