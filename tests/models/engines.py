"""The engines that bench_peers.py measures: each in a process of its own, which does what it is told over a pipe."""

import importlib.util
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from check_models import CheckFailed
from peer_worker import is_constant_for_ncnn
from toolrun import run_tool, save_inputs

PEER_WORKER = Path(__file__).with_name("peer_worker.py")
SECONDS_TO_CONVERT = 900
SECONDS_TO_ANSWER = 300

OURS = {"infer": (), "infer-optimize": ("--optimize",)}
PEERS = ("onnxruntime", "openvino", "ncnn")
ENGINES = (*OURS, *PEERS)


@dataclass(frozen=True)
class Task:
    """One model and its inputs, with a folder for what is made of them."""

    name: str
    model: Path
    inputs: dict
    folder: Path

    def files(self):
        return save_inputs(self.inputs, self.folder)


class Preparer:
    """Makes of an ONNX model what an engine reads, once."""

    def __init__(self, tools, folder):
        self.tools, self.folder, self.made = Path(tools), Path(folder), {}
        self.folder.mkdir(parents=True, exist_ok=True)

    def command(self, engine, task, threads):
        """The command of a worker that has no inputs yet."""
        if engine not in OURS:
            return [sys.executable, str(PEER_WORKER), engine, str(self.model(engine, task)), str(threads)]
        return [str(self.tools / "bench_worker"), str(self.model(engine, task)), str(threads)]

    def model(self, engine, task):
        if engine in ("onnxruntime", "openvino"):
            return task.model
        key = engine, task.name
        if key not in self.made:
            make = self.make_ncnn if engine == "ncnn" else self.make_ours
            self.made[key] = self.attempt(make, engine, task)
        if isinstance(self.made[key], CheckFailed):
            raise self.made[key]
        return self.made[key]

    @staticmethod
    def attempt(make, engine, task):
        try:
            return make(engine, task)
        except CheckFailed as error:
            return error

    def make_ours(self, engine, task):
        target = self.folder / f"{task.model.stem}.{engine}.bin"
        done = run_tool([self.tools / "infer-convert", task.model, target, *OURS[engine]], SECONDS_TO_CONVERT)
        if done.outcome != "ok":
            raise CheckFailed(f"infer-convert: {done.outcome}: {done.message}")
        return target

    def make_ncnn(self, _engine, task):
        shapes = "_".join("x".join(map(str, array.shape)) for array in task.inputs.values())
        target = self.folder / f"{task.model.stem}.{shapes}.ncnn"
        if not target.with_name(target.name + ".bin").exists():
            self.run_pnnx(task, target)
        return target

    def run_pnnx(self, task, target):
        """pnnx writes beside the model, and has no exit code that says whether it could."""
        types = {"int64": "i64", "int32": "i32"}
        open_inputs = {name: array for name, array in task.inputs.items() if not is_constant_for_ncnn(array)}
        shapes = ",".join(
            f"[{','.join(map(str, array.shape))}]{types.get(str(array.dtype), 'f32')}" for array in open_inputs.values()
        )
        with tempfile.TemporaryDirectory(prefix="pnnx-") as folder:
            save_with_constants(task, Path(folder) / "m.onnx")
            run_tool([pnnx_program(), "m.onnx", f"inputshape={shapes}", "fp16=0"], SECONDS_TO_CONVERT, cwd=folder)
            made = Path(folder) / "m.ncnn.param", Path(folder) / "m.ncnn.bin"
            if not all(file.exists() for file in made):
                raise CheckFailed("pnnx does not convert it")
            for file in made:
                shutil.move(file, target.with_name(target.name + file.suffix))


def save_with_constants(task, path):
    model = onnx.load(task.model)
    for value in list(model.graph.input):
        if value.name in task.inputs and is_constant_for_ncnn(task.inputs[value.name]):
            model.graph.input.remove(value)
            model.graph.initializer.append(onnx.numpy_helper.from_array(task.inputs[value.name], value.name))
    onnx.save(model, path)


def pnnx_program():
    """The program in the package, whose Python part needs PyTorch."""
    found = importlib.util.find_spec("pnnx")
    if found is None:
        raise CheckFailed("pnnx is not installed")
    return Path(found.submodule_search_locations[0]) / "pnnx"


class Worker:
    """A process that holds a model. Between two calls it is stopped, with all its threads: only one engine runs."""

    def __init__(self, command, files, cores):
        self.errors = tempfile.TemporaryFile()
        self.process = subprocess.Popen(
            [*command, *files],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            preexec_fn=lambda: os.sched_setaffinity(0, cores),
        )
        self.load, self.first = map(float, self.answer("ready").split())
        self.stop()

    def answer(self, word):
        """What follows the word; other lines are talk of a library's."""
        while True:
            ready, _, _ = select.select([self.process.stdout], [], [], SECONDS_TO_ANSWER)
            line = self.process.stdout.readline().decode() if ready else ""
            if not line:
                raise CheckFailed(self.why() if ready else f"no answer for {SECONDS_TO_ANSWER} s")
            if line.split(" ", 1)[0].strip() == word:
                return line.strip().removeprefix(word).strip()

    def why(self):
        self.process.wait()
        self.errors.seek(0)
        lines = self.errors.read().decode(errors="replace").strip().splitlines()
        return lines[-1] if lines else f"ended with exit code {self.process.returncode}"

    def ask(self, line, word):
        self.process.send_signal(signal.SIGCONT)
        try:
            self.process.stdin.write(f"{line}\n".encode())
            self.process.stdin.flush()
            return self.answer(word)
        except BrokenPipeError:
            raise CheckFailed(self.why()) from None
        finally:
            self.stop()

    def run(self, count):
        return [float(text) for text in self.ask(f"run {count}", "times").split()]

    def outputs(self):
        with tempfile.TemporaryDirectory(prefix="outputs-") as folder:
            self.ask(f"save {folder}", "saved")
            files = sorted(Path(folder).iterdir(), key=lambda path: int(path.stem.removeprefix("output_")))
            return [np.load(file) for file in files]

    def memory(self):
        return int(self.ask("memory", "memory"))

    def profile(self, count, file):
        self.ask(f"profile {count} {file}", "profiled")

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGSTOP)

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()
        self.errors.close()
