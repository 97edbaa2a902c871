"""Writes the inputs that fuzz_case starts from: the ONNX backend tests' models, each with its inputs. The corpus in the
repository is what covers most of these, and of what the fuzzer made of them, in the fewest bytes.

    make_cases.py --tools build --output DIR
"""

import argparse
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "conformance"))
from cases import KINDS, load_cases

MOST_BYTES = 12000


def fuzz_case(convert, case, folder):
    """The bytes of a case, or None where the importer refuses it."""
    (folder / "model.onnx").write_bytes(case.model)
    command = [convert, folder / "model.onnx", folder / "model.bin"]
    if subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode != 0:
        return None
    model = (folder / "model.bin").read_bytes()
    inputs = case.data_sets[0][0] if case.data_sets else []
    content = b"".join(array.tobytes() for array in inputs if hasattr(array, "tobytes") and array.dtype.kind != "O")
    return struct.pack("<I", len(model)) + model + content


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--tools", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        for case in load_cases(KINDS):
            content = fuzz_case(options.tools / "infer-convert", case, Path(folder))
            if content and len(content) <= MOST_BYTES:
                (options.output / case.name).write_bytes(content)


if __name__ == "__main__":
    main()
