"""Runs ONNX's backend tests through infer-convert and infer-run, and holds the result against expected.txt.

A case passes, or is one of: refused (a tool exits 1 with a message that names the operator), wrong (other numbers,
shapes or types), crash (a signal, another exit code, a sanitizer's report) or hang. The run fails where a case that
does not pass is not listed as such in expected.txt, where a listed one passes, where any crashes or hangs, and where
fewer node cases pass than must.
"""

import argparse
import multiprocessing
import os
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from onnx import helper

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from cases import KINDS, load_cases, write_inputs
from compare import differences, is_extension
from toolrun import ROOT, find_tools, run_tool

EXPECTED = Path(__file__).with_name("expected.txt")
NODE_CASES_THAT_MUST_PASS = 1825
SECONDS_A_TOOL = 20
OUTCOMES = ("pass", "wrong", "refused", "crash", "hang")


@dataclass(frozen=True)
class Result:
    kind: str
    name: str
    outcome: str
    reason: str


class Unmet(Exception):
    """A case did not pass; carries the outcome and the reason."""


def run_case(case, tools):
    with tempfile.TemporaryDirectory(prefix="conformance-") as folder:
        try:
            _try_case(case, tools, Path(folder))
        except Unmet as unmet:
            return Result(case.kind, case.name, *unmet.args)
    return Result(case.kind, case.name, "pass", "")


def _try_case(case, tools, folder):
    convert, run = tools
    model = onnx.load_from_string(case.model)
    (folder / "model.onnx").write_bytes(case.model)
    _run_or_unmet([convert, "model.onnx", "model.bin", *_elements(case, model.graph)], folder, model)
    for number, (inputs, expected) in enumerate(case.data_sets):
        out = f"out{number}"
        arguments = write_inputs(inputs, model.graph, folder)
        _run_or_unmet([run, "model.bin", *arguments, "--threads", "1", "-o", out], folder, model)
        fault = _output_fault(case, inputs, expected, model.graph, folder / out)
        if fault:
            raise Unmet("wrong", fault)


def _elements(case, graph):
    """infer-convert's options for the sequences at the border: as long as those of the case, whose data sets agree."""
    inputs, outputs = case.data_sets[0]
    options = []
    for declared, value in (*zip(graph.input, inputs), *zip(graph.output, outputs)):
        if value is None:
            options += ["--elements", f"{declared.name}=none"]
        elif isinstance(value, list):
            options += ["--elements", f"{declared.name}={len(value)}"]
    return options


def _run_or_unmet(command, folder, model):
    run = run_tool(command, SECONDS_A_TOOL, cwd=folder)
    if run.outcome == "ok":
        return
    if run.outcome == "usage":
        raise Unmet("wrong", f"a usage error: {run.message}")
    if run.outcome == "refused" and not _names_the_cause(run.message, model):
        raise Unmet("wrong", f"a refusal that names no operator: {run.message}")
    raise Unmet(run.outcome, run.message)


def _names_the_cause(message, model):
    """True where a refusal names an operator of the model, or the kind of an input or output that holds no numbers."""
    causes = {node.op_type for body in (model.graph, *model.functions) for node in _nodes_within(body)}
    for value in (*model.graph.input, *model.graph.output):
        kind = value.type.WhichOneof("value").removesuffix("_type")
        if kind != "tensor":
            causes.add(kind)
        elif value.type.tensor_type.elem_type == onnx.TensorProto.STRING:
            causes.add("string")
    return any(cause in message for cause in causes)


def _nodes_within(body):
    """The nodes of a graph or function and of the graphs that they hold."""
    for node in body.node:
        yield node
        for attribute in node.attribute:
            for graph in (attribute.g, *attribute.graphs):
                yield from _nodes_within(graph)


def _output_fault(case, inputs, expected, graph, folder):
    if any(reference is None for reference in expected):
        return "an absent optional came out as a tensor"
    lists = [value if isinstance(value, list) else [value] for value in expected]
    types = [declared.type for declared, arrays in zip(graph.output, lists) for _ in arrays]
    expected = [array for arrays in lists for array in arrays]
    outputs = []
    for i in range(len(list(folder.glob("output_*.npy")))):
        try:
            output = np.load(folder / f"output_{i}.npy")
        except (OSError, ValueError) as error:
            return f"output_{i}.npy cannot be read: {error}"
        outputs.append(_as_declared(output, types[i]) if i < len(types) else output)
    return differences(case, inputs, expected, outputs)


def _as_declared(array, type_proto):
    """Gives the type that the graph declares to an array of a type that .npy files cannot name.

    Such types come as raw bytes of the same size, and integers of 2 and 4 bits as int8 and uint8 too.
    """
    if not type_proto.HasField("tensor_type"):
        return array
    declared = np.dtype(helper.tensor_dtype_to_np_dtype(type_proto.tensor_type.elem_type))
    if not is_extension(declared):
        return array
    if array.dtype.kind == "V" and array.dtype.itemsize == declared.itemsize:
        return array.view(declared)
    if array.dtype.name == {"int": "int8", "uint": "uint8"}.get(declared.name.rstrip("24")):
        narrow = array.astype(declared)
        return narrow if np.array_equal(narrow.astype(array.dtype), array) else array
    return array


def run_cases(cases, tools, jobs):
    """Runs the cases in `jobs` processes, which inherit them."""
    global _inherited
    _inherited = cases, tools
    with multiprocessing.get_context("fork").Pool(jobs) as pool:
        for done, result in enumerate(pool.imap_unordered(_run_inherited, range(len(cases)), chunksize=4), start=1):
            if sys.stderr.isatty():
                print(f"\r{done} of {len(cases)}", end="" if done < len(cases) else "\n", file=sys.stderr)
            yield result


def _run_inherited(index):
    cases, tools = _inherited
    return run_case(cases[index], tools)


def read_expected(path):
    rows = (line.rstrip("\n").split("\t") for line in path.open(encoding="utf-8")) if path.exists() else ()
    return {name: (outcome, reason) for name, outcome, reason in rows}


def write_expected(path, results, expected):
    """Writes the cases that do not pass; keeps the reason that a person gave a wrong one, which no tool's message is."""
    lines = []
    for result in results:
        outcome, reason = result.outcome, " ".join(result.reason.split())
        if outcome == "wrong" and expected.get(result.name, ("", ""))[0] == "wrong":
            reason = expected[result.name][1]
        if outcome in ("wrong", "refused"):
            lines.append(f"{result.name}\t{outcome}\t{reason}\n")
    path.write_text("".join(sorted(lines)), encoding="utf-8")


def off_the_list(result, expected):
    """Why a result is not the expected one, or None."""
    listed = expected.get(result.name, ("pass", ""))[0]
    if result.outcome == listed and listed not in ("crash", "hang"):
        return None
    if result.outcome == "pass":
        return f"passes, but is listed as {listed}: take it off {EXPECTED.name}"
    return f"{result.outcome}: {result.reason}"


def report(results, expected, complete, verbose):
    """Prints what a reader needs, closes with the counts, and returns whether the run is good."""
    failed = 0
    for result in results:
        fault = off_the_list(result, expected)
        failed += fault is not None
        if verbose or fault:
            print(f"{result.name}: {fault or ' '.join((result.outcome, result.reason)).strip()}")
    if complete:
        for name in sorted(expected.keys() - {result.name for result in results}):
            failed += 1
            print(f"{name}: is listed in {EXPECTED.name}, but ONNX has no such case")
    outcomes = {kind: Counter(r.outcome for r in results if r.kind == kind) for kind in KINDS}
    if complete and outcomes["node"]["pass"] < NODE_CASES_THAT_MUST_PASS:
        failed += 1
        print(f"{outcomes['node']['pass']} node cases pass; {NODE_CASES_THAT_MUST_PASS} must")
    for kind in reversed(KINDS):
        if outcomes[kind]:
            counts = "  ".join(f"{outcome} {outcomes[kind][outcome]}" for outcome in OUTCOMES)
            print(f"{'' if kind == 'node' else kind + ': '}{counts} of {outcomes[kind].total()}")
    print(f"{sum(result.outcome == 'pass' for result in results)} passed, {failed} failed")
    return failed == 0


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--filter", metavar="SUBSTRING", default="", help="only the cases whose names contain it")
    parser.add_argument("--kind", choices=KINDS, action="append", help="only these groups (may be repeated)")
    parser.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)), help="processes; default: the cores")
    parser.add_argument("--list", type=Path, metavar="FILE", help=f"write FILE in {EXPECTED.name}'s form")
    parser.add_argument("--tools", default=ROOT / "build", metavar="DIR", help="the tools' folder; default: build")
    parser.add_argument("-v", "--verbose", action="store_true", help="a line for every case")
    arguments = parser.parse_args()
    if arguments.list and (arguments.filter or arguments.kind):
        parser.error("--list needs every case: leave --filter and --kind out")
    return arguments


def main():
    arguments = parse_arguments()
    tools = find_tools(arguments.tools, "infer-convert", "infer-run")
    cases = [case for case in load_cases(arguments.kind or KINDS) if arguments.filter in case.name]
    if not cases:
        sys.exit(f"run.py: no case's name contains '{arguments.filter}'")
    results = sorted(run_cases(cases, tools, arguments.jobs), key=lambda result: result.name)
    expected = read_expected(EXPECTED)
    if arguments.list:
        write_expected(arguments.list, results, expected)
        expected = read_expected(arguments.list)
    complete = not (arguments.filter or arguments.kind)
    return 0 if report(results, expected, complete, arguments.verbose) else 1


if __name__ == "__main__":
    sys.exit(main())
