"""Holds the bill of memory of real models to what an allocator counts, by build/bill: shapes in turn, under limits, in
one context and in eight, in a thread of 64 KB of stack."""

import argparse
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from check_models import CheckFailed, Converter
from fetch import FetchError
from model_cases import all_cases
from toolrun import ROOT, find_tools, run_tool, save_inputs

SECONDS_A_MODEL = 900


def main():
    arguments = parse_arguments()
    convert, bill = find_tools(arguments.tools, "infer-convert", "bill")
    converter = Converter(convert)
    models = {}
    for case in all_cases():
        if not case.options and not case.conversion and arguments.filter.lower() in case.name.lower():
            if arguments.full or not case.name.startswith("seeded_"):
                models.setdefault(case.name, []).append(case)
    passed = sum([check(name, cases, converter, bill) for name, cases in models.items()])
    print(f"{passed} passed, {len(models) - passed} failed")
    return 0 if passed == len(models) else 1


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--filter", metavar="NAME", default="", help="only the models whose names contain it")
    parser.add_argument("--full", action="store_true", help="also the models of seeded weights")
    parser.add_argument("--tools", default=ROOT / "build", metavar="DIR", help="the tools' folder; default: build")
    return parser.parse_args()


def check(name, cases, converter, bill):
    """Prints the model's row and returns whether it passed."""
    result = "ok"
    most = "-"
    try:
        file = converter.convert(cases[0].model())
        with tempfile.TemporaryDirectory(prefix="check-bill-") as folder:
            arguments = []
            for number, case in enumerate(cases):
                place = Path(folder) / str(number)
                place.mkdir()
                arguments += ["/"] * bool(arguments) + save_inputs(case.steps()[0], place)
            done = run_tool([bill, file, *arguments], SECONDS_A_MODEL)
        if done.outcome != "ok":
            raise CheckFailed(f"{done.outcome}: {done.message}")
        most = f"{int(done.output) / 2**20:.1f}"
    except (CheckFailed, FetchError) as error:
        result = f"FAILED: {error}"
    print(f"{name:<28} {len(cases)} shapes {most:>10} MiB  {result}", flush=True)
    return result == "ok"


if __name__ == "__main__":
    sys.exit(main())
