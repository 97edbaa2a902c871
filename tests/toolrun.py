"""Runs the command-line tools for the Python tests and says how each run ended."""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
CACHE = ROOT / ".cache"

SANITIZER_MARKS = ("Sanitizer:", "runtime error:")


@dataclass(frozen=True)
class ToolRun:
    """`outcome` is ok, refused (exit 1), usage (exit 2), crash or hang; `message` is what stderr said about it, `output`
    what stdout said."""

    outcome: str
    message: str
    output: str = ""


def run_tool(command, seconds, cwd=None):
    tool = Path(command[0]).name
    try:
        done = subprocess.run(command, cwd=cwd, timeout=seconds, stdin=subprocess.DEVNULL, capture_output=True)
    except subprocess.TimeoutExpired:
        return ToolRun("hang", f"{tool} ran for more than {seconds} s")
    errors = done.stderr.decode(errors="replace").strip()
    if any(mark in errors for mark in SANITIZER_MARKS):
        return ToolRun("crash", next(line for line in errors.splitlines() if any(m in line for m in SANITIZER_MARKS)))
    if done.returncode < 0:
        return ToolRun("crash", f"{tool} died of signal {-done.returncode}")
    if done.returncode > 2:
        return ToolRun("crash", f"{tool} ended with exit code {done.returncode}: {errors}")
    # infer-convert lists what it lacks a line each; the last line sums up.
    message = errors.splitlines()[-1].removeprefix(f"{tool}: ") if errors else ""
    return ToolRun(("ok", "refused", "usage")[done.returncode], message, done.stdout.decode(errors="replace"))


def find_tools(folder, *names):
    """The absolute paths of the tools in `folder`; ends the program where they are not there."""
    tools = [Path(folder).resolve() / name for name in names]
    for tool in tools:
        if not os.access(tool, os.X_OK):
            sys.exit(f"{Path(sys.argv[0]).name}: {tool} is not there; run make first, or name its folder with --tools")
    return [str(tool) for tool in tools]


def save_inputs(inputs, folder):
    """Writes the arrays of a dictionary by name, and returns infer-run's arguments for them."""
    for i, array in enumerate(inputs.values()):
        np.save(folder / f"in{i}.npy", array)
    return [f"{name}={folder}/in{i}.npy" for i, name in enumerate(inputs)]


def output_files(folder):
    """The outputs that infer-run wrote into a folder, in the graph's order."""
    return sorted(folder.glob("output_*.npy"), key=lambda path: int(path.stem.removeprefix("output_")))
