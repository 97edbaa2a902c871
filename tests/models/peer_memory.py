"""Usage: peer_memory.py MODEL INPUTS.npz THREADS RUNS

Prints by how many bytes this process grew, at its peak, over loading the model in ONNX Runtime and the first run, and
on a second line over all runs. What importing takes is not counted.
"""

import sys

import numpy as np
import onnxruntime

from peer_worker import peak_bytes


def main():
    model, inputs = sys.argv[1], dict(np.load(sys.argv[2]))
    threads, runs = map(int, sys.argv[3:])
    onnxruntime.set_default_logger_severity(3)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    start = peak_bytes()
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    session.run(None, inputs)
    print(peak_bytes() - start)
    for _ in range(runs - 1):
        session.run(None, inputs)
    print(peak_bytes() - start)


if __name__ == "__main__":
    main()
