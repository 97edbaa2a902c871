"""Tests the demo's model through infer-convert and infer-run, and the drawing of its digits by show_digit.

The accuracy on the held-out split must be the one that README.md states, the scores must be ONNX Runtime's, and a digit's
scores must be the same bits alone and in a batch.
"""

import argparse
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import onnxruntime

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from toolrun import ROOT, find_tools, run_tool

HERE = Path(__file__).resolve().parent
SECONDS_A_TOOL = 20
INKS = " .:-=+*#%@"  # of show_digit.c


def require(condition, complaint):
    if not condition:
        raise AssertionError(complaint)


class Demo:
    """The tools, and a folder that holds the converted model."""

    def __init__(self, tools, folder):
        self.convert, self.run = find_tools(tools, "infer-convert", "infer-run")
        self.show = Path(tools).resolve() / "show_digit"
        self.folder = Path(folder)
        self._succeed([self.convert, HERE / "digits.onnx", "digits.bin"])

    def _succeed(self, command):
        done = run_tool(list(map(str, command)), SECONDS_A_TOOL, cwd=self.folder)
        require(done.outcome == "ok", f"{Path(command[0]).name}: {done.outcome}: {done.message}")

    def scores(self, images):
        self._succeed([self.run, "digits.bin", images, "-o", "out"])
        return np.load(self.folder / "out" / "output_0.npy")

    def text(self, *command):
        done = subprocess.run(list(map(str, command)), cwd=self.folder, capture_output=True, text=True, timeout=20)
        return done.returncode, done.stdout, done.stderr


def accuracy_is_as_stated(demo):
    labels = np.load(HERE / "held_out_labels.npy")
    right = int((demo.scores(HERE / "held_out_images.npy").argmax(axis=1) == labels).sum())
    stated = re.search(r"(\d+) of (\d+) right", (HERE / "README.md").read_text(encoding="utf-8"))
    require((right, len(labels)) == tuple(map(int, stated.groups())), f"{right} of {len(labels)} right")
    require(right > 0.97 * len(labels), f"only {right} of {len(labels)} right")


def scores_are_those_of_onnx_runtime(demo):
    session = onnxruntime.InferenceSession(HERE / "digits.onnx", providers=["CPUExecutionProvider"])
    (expected,) = session.run(None, {"image": np.load(HERE / "held_out_images.npy")})
    scores = demo.scores(HERE / "held_out_images.npy")
    require(scores.shape == expected.shape and scores.dtype == expected.dtype, f"{scores.dtype} {scores.shape}")
    error = np.abs(scores - expected).max()
    require(error <= 1e-4 * np.abs(expected).max() + 1e-5, f"off by {error}")


def a_digit_alone_gives_the_bits_it_gives_in_a_batch(demo):
    together = demo.scores(HERE / "held_out_images.npy")
    labels = np.load(HERE / "held_out_labels.npy")
    for digit in range(10):
        alone = demo.scores(HERE / f"digit_{digit}.npy")
        row = np.flatnonzero(labels == digit)[0]
        require(alone.tobytes() == together[row].tobytes(), f"digit_{digit}.npy differs from row {row}")


def the_sample_digits_are_named(demo):
    names = (HERE / "labels.txt").read_text(encoding="utf-8").split()
    for digit, name in enumerate(names):
        image = HERE / f"digit_{digit}.npy"
        code, output, errors = demo.text(demo.run, "digits.bin", image, "--labels", HERE / "labels.txt")
        require(code == 0, errors)
        first = re.search(rf"\b({'|'.join(names)})\b", output)
        require(first and first[0] == name, f"{image.name} is not named {name} first:\n{output}")


def digits_are_drawn(demo):
    for digit in range(10):
        image = HERE / f"digit_{digit}.npy"
        pixels = np.load(image).reshape(8, 8).astype(np.float64)
        darkest = len(INKS) - 1
        rows = ("".join(2 * INKS[int(value * darkest / pixels.max() + 0.5)] for value in row) for row in pixels)
        expected = "".join(row.rstrip() + "\n" for row in rows)
        require(demo.text(demo.show, image) == (0, expected, ""), f"{image.name} is drawn otherwise")


def what_is_no_image_is_refused(demo):
    cases = {
        "cut.npy": lambda path: path.write_bytes((HERE / "digit_0.npy").read_bytes()[:-1]),
        "numbers.npy": lambda path: np.save(path, np.zeros((2, 8, 8), np.float32)),
        "wide.npy": lambda path: np.save(path, np.zeros((1, 10000), np.float32)),
        "integers.npy": lambda path: np.save(path, np.zeros((8, 8), np.int32)),
        "nan.npy": lambda path: np.save(path, np.full((8, 8), np.nan, np.float32)),
        "absent.npy": lambda path: None,
    }
    for name, make in cases.items():
        make(demo.folder / name)
        code, output, errors = demo.text(demo.show, name)
        require((code, output) == (1, ""), f"{name}: exit code {code}, prints {output!r}")
        require(re.fullmatch(f"show_digit: {name}: .+\n", errors), f"{name}: says {errors!r}")
    require(demo.text(demo.show)[0] == 2, "no argument is not a usage error")


CHECKS = (
    accuracy_is_as_stated,
    scores_are_those_of_onnx_runtime,
    a_digit_alone_gives_the_bits_it_gives_in_a_batch,
    the_sample_digits_are_named,
    digits_are_drawn,
    what_is_no_image_is_refused,
)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tools", default=ROOT / "build", metavar="DIR", help="the tools' folder; default: build")
    arguments = parser.parse_args()
    failed = 0
    with tempfile.TemporaryDirectory(prefix="demo-") as folder:
        demo = Demo(arguments.tools, folder)
        for check in CHECKS:
            try:
                check(demo)
            except (AssertionError, OSError, subprocess.TimeoutExpired) as error:
                print(f"{check.__name__}: {error}")
                failed += 1
    print(f"{len(CHECKS) - failed} passed, {failed} failed")
    return failed != 0


if __name__ == "__main__":
    sys.exit(main())
