"""Prints what it costs until a model could run: opening its file, making a session, preparing a program.

plain, optimised   millions of instructions, as callgrind counts them, for the file that infer-convert makes without and
                   with --optimize, on one thread
of plain           the one over the other
ms                 the shortest of the process's times, over --runs runs
"""

import argparse
import re
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from bench_memory import output_of, shape_text
from check_models import SECONDS_A_TOOL, CheckFailed, Converter
from fetch import FetchError
from model_cases import all_cases
from toolrun import ROOT, find_tools

MODELS = ("PP-OCR det", "PP-OCR rec", "MiniLM-L6", "MobileNetV2", "seeded_resnet50", "seeded_densenet121", "seeded_vgg19")
ROW = "{:<20} {:>10} {:>10} {:>9} {:>9} {:>9}"


def main():
    arguments = parse_arguments()
    convert, driver = find_tools(arguments.tools, "infer-convert", "open_model")
    first = {case.name: case for case in reversed(all_cases())}
    names = [name for name in MODELS if arguments.filter.lower() in name.lower()]
    if not names:
        sys.exit(f"bench_open.py: no model's name contains '{arguments.filter}'")
    converter, failed = Converter(convert), 0
    print(ROW.format("model", "plain", "optimised", "of plain", "plain, ms", "optim., ms"))
    for name in names:
        try:
            print(row(first[name], converter, driver, arguments.runs), flush=True)
        except (CheckFailed, FetchError) as error:
            failed += 1
            print(f"{name}: FAILED: {error}", flush=True)
    return 1 if failed else 0


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--filter", metavar="NAME", default="", help="only the models whose names contain it")
    parser.add_argument("--runs", metavar="N", type=int, default=10, help="for the times; default: 10")
    parser.add_argument("--tools", default=ROOT / "build", metavar="DIR", help="the tools' folder; default: build")
    return parser.parse_args()


def row(case, converter, driver, runs):
    model, shapes = case.model(), [f"{name}={shape_text(array)}" for name, array in case.steps()[0].items()]
    commands = [[driver, converter.convert(model, options), *shapes] for options in ((), ("--optimize",))]
    plain, optimised = (instructions(command) / 1e6 for command in commands)
    times = (f"{shortest_ms(command, runs):.2f}" for command in commands)
    return ROW.format(case.name, f"{plain:.2f}", f"{optimised:.2f}", f"{optimised / plain:.3f}", *times)


def instructions(command):
    try:
        done = subprocess.run(
            ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", *command],
            capture_output=True,
            text=True,
            timeout=SECONDS_A_TOOL,
        )
    except FileNotFoundError:
        raise CheckFailed("valgrind is not there") from None
    counted = re.search(r"Collected : (\d+)", done.stderr)
    if done.returncode != 0 or not counted:
        raise CheckFailed(f"valgrind: {(done.stderr.strip().splitlines() or ['no word of why'])[-1]}")
    return int(counted[1])


def shortest_ms(command, runs):
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        output_of(command)
        times.append(time.perf_counter() - start)
    return min(times) * 1e3


if __name__ == "__main__":
    sys.exit(main())
