"""Usage: peer_worker.py ENGINE MODEL THREADS [NAME=FILE.npy]...

Another runtime as one of the engines that bench_peers.py and bench_quant.py measure: what bench_worker.c is for ours,
with the same lines on stdin and stdout. Every engine computes floating models in float32; inputs and outputs are bound
once, where the engine can.
"""

import sys
import time
from pathlib import Path

import numpy as np


class OnnxRuntime:
    """Knows all shapes beforehand, as OpenVINO does."""

    precision = "0"

    def __init__(self, model, inputs, threads):
        import onnxruntime

        onnxruntime.set_default_logger_severity(3)
        self.runtime, self.model, self.inputs, self.threads = onnxruntime, model, inputs, threads

    def load(self):
        options = self.runtime.SessionOptions()
        options.intra_op_num_threads = self.threads
        options.add_session_config_entry("session.x64quantprecision", self.precision)
        self.session = self.runtime.InferenceSession(self.model, options, providers=["CPUExecutionProvider"])
        self.binding = self.session.io_binding()
        for name, array in self.inputs.items():
            self.binding.bind_cpu_input(name, array)
        for output in self.session.get_outputs():
            self.binding.bind_output(output.name, "cpu")

    def run(self):
        self.session.run_with_iobinding(self.binding)

    def outputs(self):
        return self.binding.copy_outputs_to_cpu()


class ExactOnnxRuntime(OnnxRuntime):
    """Sums of products of 8-bit integers do not saturate, whatever the CPU has."""

    precision = "1"


class OpenVino:
    def __init__(self, model, inputs, threads):
        import openvino

        self.openvino, self.model, self.inputs, self.threads = openvino, model, inputs, threads

    def load(self):
        core = self.openvino.Core()
        model = core.read_model(self.model)
        model.reshape({name: list(array.shape) for name, array in self.inputs.items()})
        options = {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": "f32",
            "INFERENCE_NUM_THREADS": self.threads,
            "NUM_STREAMS": 1,
            "ENABLE_CPU_PINNING": False,
        }
        self.request = core.compile_model(model, "CPU", options).create_infer_request()
        for name, array in self.inputs.items():
            self.request.set_tensor(name, self.openvino.Tensor(array, shared_memory=array.ndim > 0))

    def run(self):
        self.request.infer(share_outputs=True)

    def outputs(self):
        return [tensor.data.copy() for tensor in self.request.output_tensors]


def is_constant_for_ncnn(array):
    """pnnx tries a model on random numbers, which a mask or the types of tokens must not be: it gets them as constants,
    where they are all the same."""
    return array.dtype.kind in "iu" and array.size > 0 and bool((array == array.flat[0]).all())


class Ncnn:
    """MODEL is what pnnx made, without `.param` and `.bin`. It has no axis for the batch."""

    def __init__(self, model, inputs, threads):
        import ncnn

        self.ncnn, self.model, self.threads = ncnn, model, threads
        arrays = [array for array in inputs.values() if not is_constant_for_ncnn(array)]
        if any(array.ndim > 1 and array.shape[0] != 1 for array in arrays):
            sys.exit("ncnn has no axis for a batch")
        arrays = [array.squeeze(0) if array.ndim > 1 else array for array in arrays]
        arrays = [array.astype(np.int32) if array.dtype == np.int64 else array for array in arrays]
        self.mats = [ncnn.Mat(np.ascontiguousarray(array)).clone() for array in arrays]

    def load(self):
        self.net = self.ncnn.Net()
        self.net.opt.num_threads = self.threads
        for option in ("fp16_packed", "fp16_storage", "fp16_arithmetic", "bf16_storage", "vulkan_compute"):
            setattr(self.net.opt, f"use_{option}", False)
        if self.net.load_param(f"{self.model}.param") or self.net.load_model(f"{self.model}.bin"):
            raise RuntimeError("ncnn cannot load it")
        self.names = sorted(self.net.output_names(), key=lambda name: int(name.removeprefix("out")))

    def run(self):
        extractor = self.net.create_extractor()
        for i, mat in enumerate(self.mats):
            extractor.input(f"in{i}", mat)
        results = [extractor.extract(name) for name in self.names]
        if any(status for status, _ in results):
            raise RuntimeError("ncnn cannot run it")
        self.results = [mat for _, mat in results]

    def outputs(self):
        return [np.array(mat) for mat in self.results]


ENGINES = {"onnxruntime": OnnxRuntime, "onnxruntime-exact": ExactOnnxRuntime, "openvino": OpenVino, "ncnn": Ncnn}


def forget_peak():
    """The most that this process had in memory becomes what it has now."""
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")


def peak_bytes():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM:"))


def seconds_of(call):
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def obey(engine, words, start_bytes):
    if words[0] == "run":
        return "times " + " ".join(f"{seconds_of(engine.run):.9f}" for _ in range(int(words[1])))
    if words[0] == "memory":
        return f"memory {peak_bytes() - start_bytes}"
    for i, array in enumerate(engine.outputs()):
        np.save(Path(words[1]) / f"output_{i}.npy", array)
    return "saved"


def main():
    name, model, threads, *files = sys.argv[1:]
    inputs = {key: np.load(file) for key, file in (text.rsplit("=", 1) for text in files)}
    engine = ENGINES[name](model, inputs, int(threads))
    forget_peak()
    start_bytes = peak_bytes()
    print(f"ready {seconds_of(engine.load):.9f} {seconds_of(engine.run):.9f}", flush=True)
    for line in sys.stdin:
        print(obey(engine, line.rstrip("\n").split(" ", 1), start_bytes), flush=True)


if __name__ == "__main__":
    main()
