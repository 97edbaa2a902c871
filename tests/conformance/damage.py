"""Damages ONNX's node tests, one place at a time, and runs what comes of it: each operand of each node is left out, and
each integer among the attributes is set to -1, 0, 2^31 and 2^63 - 1. Nothing may crash or take longer than SECONDS, and
a refusal is one sentence. A Loop keeps its trip count: without, it goes on as long as its body says, which is for ever.

There are some ten thousands of such places; without `--full`, one in SHARE is tried, and others with another `--seed`.
"""

import argparse
import multiprocessing
import os
import random
import sys
import tempfile
from collections import Counter
from functools import partial
from pathlib import Path

import onnx
from onnx import AttributeProto

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from cases import load_cases, write_inputs
from toolrun import ROOT, find_tools, run_tool

SECONDS = 10
SHARE = 60
MEMORY = "256M"
NUMBERS = (-1, 0, 2**31, 2**63 - 1)


def nodes_within(body):
    """The nodes of a graph and of the graphs that they hold."""
    for node in body.node:
        yield node
        for attribute in node.attribute:
            for graph in (attribute.g, *attribute.graphs):
                yield from nodes_within(graph)


def places(model):
    """Each damage: what it is in words, a list, the index of what changes there, and what that becomes."""
    for node in nodes_within(model.graph):
        for i, name in enumerate(node.input):
            if name and not (node.op_type == "Loop" and i == 0):
                yield f"{node.op_type} without input {i}", node.input, i, ""
        for attribute in node.attribute:
            if attribute.type == AttributeProto.INT:
                for number in NUMBERS:
                    yield f"{node.op_type} with {attribute.name} = {number}", attribute, None, number
            elif attribute.type == AttributeProto.INTS:
                for i in range(len(attribute.ints)):
                    for number in NUMBERS:
                        yield f"{node.op_type} with {attribute.name}[{i}] = {number}", attribute.ints, i, number


def damaged(model, where, index, content):
    """The model's bytes with the damage, which is mended afterwards."""
    if index is None:
        before, where.i = where.i, content
        result = model.SerializeToString()
        where.i = before
    else:
        before, where[index] = where[index], content
        result = model.SerializeToString()
        where[index] = before
    return result


def try_case(case, run, seed, share):
    """Runs a share of the damages of a case. Returns how many ended how, and a sentence for each that ended badly."""
    ended, bad = Counter(), []
    model = onnx.load_from_string(case.model)
    chosen = random.Random(f"{seed} {case.name}")
    with tempfile.TemporaryDirectory(prefix="damage-") as name:
        folder = Path(name)
        arguments = write_inputs(case.data_sets[0][0], model.graph, folder)
        for words, *place in places(model):
            if chosen.random() * share >= 1:
                continue
            (folder / "model.onnx").write_bytes(damaged(model, *place))
            done = run_tool([run, "model.onnx", *arguments, "--threads", "1", "--memory-limit", MEMORY], SECONDS,
                            cwd=folder)
            ended[done.outcome] += 1
            if done.outcome not in ("ok", "refused") or (done.outcome == "refused" and not done.message):
                bad.append(f"{case.name}, {words}: {done.outcome}: {done.message}")
    return ended, bad


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tools", default=ROOT / "build", help="the folder of infer-run")
    parser.add_argument("--full", action="store_true", help="every place")
    parser.add_argument("--filter", metavar="SUBSTRING", default="", help="only the cases whose names contain it")
    parser.add_argument("--seed", default="1", help="which places are tried")
    parser.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)), help="processes; default: the cores")
    arguments = parser.parse_args()
    run, = find_tools(arguments.tools, "infer-run")
    cases = [case for case in load_cases(["node"]) if arguments.filter in case.name]
    ended, wrong = Counter(), 0
    with multiprocessing.Pool(arguments.jobs) as pool:
        work = partial(try_case, run=run, seed=arguments.seed, share=1 if arguments.full else SHARE)
        for counts, bad in pool.imap_unordered(work, cases, chunksize=8):
            ended += counts
            wrong += len(bad)
            for sentence in bad:
                print(sentence, flush=True)
    print(", ".join(f"{outcome} {count}" for outcome, count in sorted(ended.items())))
    print(f"{sum(ended.values()) - wrong} passed, {wrong} failed")
    return wrong != 0


if __name__ == "__main__":
    sys.exit(main())
