"""Sweeps the operators of com.microsoft and ai.onnx.ml against ONNX Runtime: random shapes, types and options of each, from a seed.

A number may be off by 1e-4 of the largest of its output (5e-3 in half precision), one of 8 bits by 1 in a hundredth of
the elements (a product half way between two integers is rounded to either), unless a case says otherwise. Products of
bytes are compared with ONNX Runtime's exact mode, on one thread. Cases that ONNX Runtime refuses are drawn again, and
counted; operators that it has on other devices alone are compared with their formulas.
"""

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import helper, numpy_helper

import contrib_attention  # noqa: F401, each notes its cases
import contrib_floats  # noqa: F401
import contrib_integers  # noqa: F401
import contrib_ml  # noqa: F401
from contrib_draw import drawers

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from toolrun import ROOT, find_tools, output_files, run_tool, save_inputs

MOST_REFUSED = 10  # of one wanted case


def make_model(cases):
    """A model whose nodes are the cases, and its inputs."""
    nodes, inputs, weights, outputs, feed = [], [], [], [], {}
    for number, case in enumerate(cases):
        names = []
        for i, array in enumerate(case.inputs):
            names.append("" if array is None else f"c{number}i{i}")
            if array is None:
                continue
            if i in case.constants:
                weights.append(tensor_of(array, names[-1]))
            else:
                inputs.append(helper.make_tensor_value_info(names[-1], kind_of(array), array.shape))
                feed[names[-1]] = array
        made = [f"c{number}o{i}" if i in case.outputs else "" for i in range(max(case.outputs) + 1)]
        for i, name in enumerate(made):
            if name and i in case.types:
                outputs.append(
                    helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(case.types[i]), None)
                )
            elif name:
                outputs.append(onnx.ValueInfoProto(name=name))
        nodes.append(
            helper.make_node(case.op, names, made, domain=case.domain, name=f"case{number}", **case.attributes)
        )
    graph = helper.make_graph(nodes, "cases", inputs, outputs, weights)
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1), helper.make_opsetid("ai.onnx.ml", 3)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=10), feed


def kind_of(array):
    return helper.np_dtype_to_tensor_dtype(array.dtype)


def tensor_of(array, name):
    return numpy_helper.from_array(array, name)


def reference(case):
    """The expected outputs, and None; or None and why ONNX Runtime has none."""
    if case.formula:
        return case.formula(*case.inputs), None
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.add_session_config_entry("session.x64quantprecision", "1")
    model, feed = make_model([case])
    try:
        session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        return session.run(None, feed), None
    except Exception as error:  # the module's errors have no common base
        return None, str(error).splitlines()[0]


def run_cases(cases, tools, folder):
    """The outputs of each case in one run, or a sentence."""
    model, feed = make_model(cases)
    onnx.save(model, folder / "model.onnx")
    arguments = save_inputs(feed, folder)
    for old in folder.glob("out/*"):
        old.unlink()
    for command in ([tools[0], "model.onnx", "model.bin"], [tools[1], "model.bin", *arguments, "-o", "out"]):
        ended = run_tool(command, 300, cwd=folder)
        if ended.outcome != "ok":
            return f"{Path(command[0]).name}: {ended.outcome}: {ended.message}"
    arrays = iter([np.load(file) for file in output_files(folder / "out")])
    return [[next(arrays) for _ in case.outputs] for case in cases]


def allowed_error(case, wanted):
    """By how much a number of an output may be off, and how many of its numbers may."""
    if wanted.dtype.kind != "f":
        return float(case.steps), max(1, int(0.01 * wanted.size))
    largest = float(np.max(np.abs(wanted.astype(np.float64)), initial=0))
    return max(case.tolerance, 5e-3 if wanted.dtype == np.float16 else 0) * largest + 1e-6, wanted.size


def fault_of(case, outputs, expected):
    for i, output, wanted in zip(case.outputs, outputs, expected, strict=True):
        if output.shape != wanted.shape or output.dtype != wanted.dtype:
            return f"output {i} is {output.dtype} {output.shape}, expected {wanted.dtype} {wanted.shape}"
        a, b = output.astype(np.float64), wanted.astype(np.float64)
        off, (allowed, most) = np.abs(a - b), allowed_error(case, wanted)
        if not np.max(off, initial=0) <= allowed or np.count_nonzero(off) > most:
            wrong = f"{np.count_nonzero(off)} of {off.size} differ, by up to {np.max(off):.3g}"
            return f"output {i}: {wrong}; {allowed:.3g} is allowed"
    return None


def draw(drawer, random, count):
    """Cases with their references, and how many were refused, with the last reason."""
    cases, expected, refused, reason = [], [], 0, ""
    while len(cases) < count and refused < MOST_REFUSED * count:
        case = drawer(random)
        outputs, why = reference(case)
        if outputs is None:
            refused, reason = refused + 1, why
            continue
        cases.append(case)
        expected.append(outputs)
    return cases, expected, refused, reason


def sweep(name, drawer, seed, count, tools, folder):
    """Prints a line, and returns how many cases were drawn and how many of them are wrong."""
    random = np.random.default_rng([seed, *name.encode()])
    cases, expected, refused, reason = draw(drawer, random, count)
    whole = run_cases(cases, tools, folder) if cases else []
    faults = []
    for i, case in enumerate(cases):
        outputs = [whole[i]] if not isinstance(whole, str) else run_cases([case], tools, folder)
        fault = outputs if isinstance(outputs, str) else fault_of(case, outputs[0], expected[i])
        if fault:
            faults.append(f"    {case}: {fault}")
    faults += [f"    {whole}"] if isinstance(whole, str) and not faults else []
    print(
        f"{name:<36} {len(cases):>4} cases, {len(faults):>3} wrong, {refused:>4} refused there {reason[:70]}",
        flush=True,
    )
    print("\n".join(faults[:12]), end="\n" if faults else "", flush=True)
    return len(cases), len(faults)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tools", default=ROOT / "build", help="the folder of infer-convert and infer-run")
    parser.add_argument("--filter", default="", metavar="NAME", help="only operators whose names contain it")
    parser.add_argument("--cases", type=int, default=40, metavar="N", help="of each operator")
    parser.add_argument("--seed", type=int, default=1, metavar="N")
    arguments = parser.parse_args()
    tools = find_tools(arguments.tools, "infer-convert", "infer-run")
    chosen = {name: d for name, d in drawers().items() if arguments.filter.lower() in name.lower()}
    if not chosen:
        parser.error(f"no operator's name has '{arguments.filter}'")
    passed = wrong = missing = 0
    with tempfile.TemporaryDirectory(prefix="contrib-") as folder:
        for name, drawer in chosen.items():
            drawn, faults = sweep(name, drawer, arguments.seed, arguments.cases, tools, Path(folder))
            passed, wrong, missing = passed + drawn - faults, wrong + faults, missing + arguments.cases - drawn
    if missing:
        print(f"{missing} cases could not be drawn: ONNX Runtime refuses too many")
    print(f"{passed} passed, {wrong + missing} failed")
    return wrong + missing != 0


if __name__ == "__main__":
    sys.exit(main())
