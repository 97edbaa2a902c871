"""The models that bench_quant.py makes small: what judges their answers, and what their times and sizes are taken with."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "models"))
import build_minilm
import build_mobilenetv2
import build_seeded
import quant_data
import quant_scores
from fetch import fetch
from inputs import page, picture
from model_cases import integer_cases

STATIC, DYNAMIC = ["--precision", "int8"], ["--precision", "int8", "--dynamic"]
INT4, INT8_WEIGHTS, FP16 = ["--weights-only", "int4"], ["--weights-only", "int8"], ["--precision", "fp16"]


@dataclass(frozen=True)
class Form:
    """`peer`: what ONNX Runtime makes against it: "static", "dynamic" or None. `calibrated`: samples go in."""

    name: str
    options: list
    peer: str | None
    calibrated: bool = True


# Where the report shows the signal drop at once: depthwise convolutions of the largest images, which integers do not make
# faster, and what lies between them.
DETECTOR_KEEPS = ["--keep", "p2o.Add.2", "--keep", "p2o.Add.10", "--keep", "p2o.Add.18"]

INT8 = Form("int8", STATIC, "static")
INT8_DYNAMIC = Form("int8 dynamic", DYNAMIC, "dynamic", calibrated=False)


@dataclass(frozen=True)
class AccuracyCase:
    """`judge` gives what the bound is of: the score itself, or how far it falls below float32's (`loss`). `slack`: by
    how much less than ONNX Runtime's a score is not worse."""

    name: str
    model: Callable
    data: Callable
    judge: Callable
    unit: str
    forms: list
    loss: bool = False
    output: int = 0
    slack: float = 1e-3


def recogniser():
    return fetch("rapidocr-onnxruntime", "ch_PP-OCRv4_rec_infer.onnx")


def detector():
    return fetch("rapidocr-onnxruntime", "ch_PP-OCRv4_det_infer.onnx")


def accuracy_cases():
    """Forms with the bound that each must keep; None: any."""
    return [
        AccuracyCase("digits", lambda: quant_data.DEMO / "digits.onnx", quant_data.digits, quant_scores.right_classes,
                     "% right", [(INT8, 0.3), (INT8_DYNAMIC, 0.3)], loss=True, slack=0.3),
        AccuracyCase("PP-OCR rec", recogniser, quant_data.lines, quant_scores.right_characters, "% of characters",
                     [(INT8, 0.5)], loss=True, slack=0.1),
        AccuracyCase("PP-OCR det", detector, quant_data.pages, quant_scores.same_boxes, "overlap of boxes",
                     [(INT8, None), (Form("3 layers kept", [*STATIC, *DETECTOR_KEEPS], "static"), 0.95)]),
        AccuracyCase("MiniLM-L6", build_minilm.build, quant_data.sentences, quant_scores.same_order,
                     "Spearman's correlation", output=1,
                     forms=[(INT8, 0.99), (INT8_DYNAMIC, 0.99), (Form("int4 weights", INT4, None), 0.97),
                            (Form("int8 weights", INT8_WEIGHTS, None), 0.99)]),
    ]


@dataclass(frozen=True)
class SpeedCase:
    """`at_least`: how many times faster than float32 int8 has to be, with VNNI and with AVX2 alone."""

    name: str
    model: Callable
    samples: Callable
    at_least: tuple = (None, None)
    quick: bool = False


def pictures(name, scale=1.0, shift=0.0):
    return lambda: [{name: picture(seed=seed) * scale + shift} for seed in range(11, 19)]


def token_rows():
    """128 tokens each, as short sentences one after another."""
    rows = np.concatenate([sample["input_ids"][0] for sample in quant_data.sentences().calibration])
    rows = rows[: len(rows) // 128 * 128].reshape(-1, 1, 128)
    return [{"input_ids": row, "attention_mask": np.ones_like(row), "token_type_ids": np.zeros_like(row)}
            for row in rows[:8]]


def speed_cases():
    """The first sample is what is timed."""
    seeded = {"SqueezeNet": ("squeezenet", "data_0"), "Inception v2": ("inception_v2", "data_0"),
              "ShuffleNet": ("shufflenet", "gpu_0/data_0"), "DenseNet-121": ("densenet121", "data_0")}
    return [
        SpeedCase("ResNet-50", lambda: build_seeded.build("resnet50"), pictures("gpu_0/data_0"), (2.5, 1.5), True),
        SpeedCase("MobileNetV2", build_mobilenetv2.build, pictures("input", 4, -2), (1.8, 1.3), True),
        SpeedCase("MiniLM 128", build_minilm.build, token_rows, (1.8, 1.3), True),
        SpeedCase("det 640x640", detector, lambda: [{"x": page(640, 640, seed=seed)} for seed in range(12, 16)],
                  quick=True),
        SpeedCase("rec 48x320", recogniser, lambda: [{"x": page(48, 320, seed=seed)} for seed in range(12, 20)],
                  quick=True),
        *(SpeedCase(label, lambda n=name: build_seeded.build(n), pictures(feed), quick=label == "DenseNet-121")
          for label, (name, feed) in seeded.items()),
    ]


def arriving_cases():
    """Models that others have quantised."""
    return [case for case in integer_cases() if case.name != "Kokoro" and case.name != "open_nsfw"]
