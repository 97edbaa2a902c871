"""Small models by infer-quantize and by ONNX Runtime's quantiser, from the same samples, and what each gives for others."""

import json
import logging
import shutil
import sys
from pathlib import Path

import numpy as np
import onnx
import onnx.version_converter
import onnxruntime
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_dynamic, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from toolrun import find_tools, run_tool

SECONDS_TO_QUANTIZE = 1800
SECONDS_TO_RUN = 600
LEAST_OPSET = 13  # of DequantizeLinear with a scale for each channel


class Failed(Exception):
    """One sentence on what could not be done."""


class Ours:
    def __init__(self, tools, folder):
        self.convert, self.quantize, self.run = find_tools(tools, "infer-convert", "infer-quantize", "infer-run")
        self.folder = folder

    def converted(self, model):
        target = self.folder / "fp32.bin"
        self._succeed([self.convert, model, target], SECONDS_TO_QUANTIZE)
        return target

    def quantized(self, model, options, samples, name="small", isa="auto"):
        """`samples` calibrate unless they are None."""
        target = self.folder / f"{name}.bin"
        calibration = ["--calibrate", save_samples(samples, self.folder / "calibration")] if samples else []
        self._succeed(["env", f"INFER_ISA={isa}", self.quantize, model, target, *options, *calibration],
                      SECONDS_TO_QUANTIZE)
        return target

    def outputs(self, model, samples, output):
        """Output number `output` of each sample."""
        results = self.folder / "results"
        shutil.rmtree(results, ignore_errors=True)
        items = save_samples(samples, self.folder / "items")
        self._succeed([self.run, model, "--stream", items, "-o", results, "--threads", "1"], SECONDS_TO_RUN)
        return [np.load(results / f"{i:05}" / f"output_{output}.npy") for i in range(len(samples))]

    def facts(self, model, sample, isa="auto"):
        """infer-run's report of one run."""
        report, item = self.folder / "report.json", save_samples([sample], self.folder / "item")
        self._succeed([self.run, model, item / "00000.npz", "--json", report, "--isa", isa, "--threads", "1"],
                      SECONDS_TO_RUN)
        return json.loads(report.read_text())

    @staticmethod
    def _succeed(command, seconds):
        done = run_tool(list(map(str, command)), seconds)
        if done.outcome != "ok":
            raise Failed(f"{done.outcome}: {done.message}")


def save_samples(samples, folder):
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for i, sample in enumerate(samples):
        np.savez(folder / f"{i:05}.npz", **sample)
    return folder


class Reader(CalibrationDataReader):
    def __init__(self, samples):
        self.samples = iter(samples)

    def get_next(self):
        return next(self.samples, None)


def with_opset(path, target):
    """The path of the model in an opset that has what the quantiser writes: of a copy at the target where need be."""
    model = onnx.load(path)
    opset = next(entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx"))
    if opset >= LEAST_OPSET:
        return path
    onnx.save(onnx.version_converter.convert_version(model, LEAST_OPSET), target)
    return target


class Peer:
    """ONNX Runtime with what its documentation recommends: weights by channel, pairs of QuantizeLinear and
    DequantizeLinear, its own preparation first."""

    def __init__(self, folder):
        self.folder = folder
        onnxruntime.set_default_logger_severity(3)
        logging.disable(logging.WARNING)

    def quantized(self, model, samples, dynamic):
        prepared, small = self.folder / "prepared.onnx", self.folder / ("dynamic.onnx" if dynamic else "static.onnx")
        try:
            quant_pre_process(with_opset(model, self.folder / "newer.onnx"), prepared, skip_symbolic_shape=True)
            if dynamic:
                quantize_dynamic(prepared, small, per_channel=True, weight_type=QuantType.QInt8)
            else:
                quantize_static(prepared, small, Reader(samples), quant_format=QuantFormat.QDQ, per_channel=True,
                                activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8)
        except Exception as error:  # of any kind, from another's library
            raise Failed(f"ONNX Runtime's quantiser: {str(error).splitlines()[0]}") from None
        return small

    @staticmethod
    def outputs(model, samples, output, exact):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.add_session_config_entry("session.x64quantprecision", "1" if exact else "0")
        try:
            session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        except Exception as error:
            raise Failed(f"ONNX Runtime: {str(error).splitlines()[0]}") from None
        name = session.get_outputs()[output].name
        return [session.run([name], sample)[0] for sample in samples]
