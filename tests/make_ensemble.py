#!/usr/bin/env python3
"""Writes an ensemble of trees of some 20 MB as exporters do, one field an entry; rows for it, and what it says of them.

    make_ensemble.py FOLDER     FOLDER/ensemble.onnx, FOLDER/rows.npy, FOLDER/scores/output_0.npy

Needs nothing but Python: the check of the tools runs it. All weights are small whole numbers, so sums are exact.
"""
import os
import struct
import sys

TREES, DEPTH, FEATURES = 1000, 8, 100
INNER, NODES = 2**DEPTH - 1, 2 ** (DEPTH + 1) - 1
INT, FLOATS, INTS, STRINGS = 2, 6, 7, 8


def varint(number):
    return bytes([number & 127 | 128]) + varint(number >> 7) if number > 127 else bytes([number])


def field(number, content):
    if isinstance(content, int):
        return varint(number << 3) + varint(content)
    content = content.encode() if isinstance(content, str) else content
    return varint(number << 3 | 2) + varint(len(content)) + content


def attribute(name, kind, entries):
    return field(5, field(1, name) + entries + field(20, kind))


def ints(numbers):
    return b"".join(field(8, number) for number in numbers)


def float_entries(numbers):
    return b"".join(b"\x3d" + struct.pack("<f", number) for number in numbers)


# Node i of a full tree has the children 2i + 1 and 2i + 2. Trees differ by what they look at and by their leaves.


def feature(tree, node):
    return (node * 31 + tree % 10) % FEATURES


def split(tree, node):
    return (node * 7 + tree % 10) % 16 + 0.5


def weight(tree, node):
    return (node * 5 + tree % 10) % 21 - 10


def kinds_of_trees(make):
    """Ten kinds of trees, over and over."""
    kinds = [make(kind) for kind in range(10)]
    return b"".join(kinds[tree % 10] for tree in range(TREES))


def by_tree(count):
    return b"".join(field(8, tree) * count for tree in range(TREES))


def node():
    inner, leaves = range(INNER), range(INNER, NODES)
    modes = field(9, "BRANCH_LEQ") * INNER + field(9, "LEAF") * len(leaves)
    no_children = ints([0]) * len(leaves)
    lists = {
        "nodes_treeids": by_tree(NODES),
        "nodes_nodeids": ints(range(NODES)) * TREES,
        "nodes_featureids": kinds_of_trees(lambda t: ints(feature(t, i) for i in inner) + no_children),
        "nodes_truenodeids": (ints(2 * i + 1 for i in inner) + no_children) * TREES,
        "nodes_falsenodeids": (ints(2 * i + 2 for i in inner) + no_children) * TREES,
        "nodes_missing_value_tracks_true": ints([1]) * NODES * TREES,
        "target_treeids": by_tree(len(leaves)),
        "target_nodeids": ints(leaves) * TREES,
        "target_ids": ints([0]) * len(leaves) * TREES,
    }
    floats = {
        "nodes_values": kinds_of_trees(lambda t: float_entries([split(t, i) for i in inner] + [0] * len(leaves))),
        "nodes_hitrates": float_entries([1]) * NODES * TREES,
        "target_weights": kinds_of_trees(lambda t: float_entries(weight(t, i) for i in leaves)),
    }
    made = field(1, "x") + field(2, "y") + field(3, "trees") + field(4, "TreeEnsembleRegressor") + field(7, "ai.onnx.ml")
    made += attribute("nodes_modes", STRINGS, modes * TREES) + attribute("n_targets", INT, field(3, 1))
    made += b"".join(attribute(name, INTS, entries) for name, entries in lists.items())
    return made + b"".join(attribute(name, FLOATS, entries) for name, entries in floats.items())


def tensor(name, *dims):
    shape = b"".join(field(1, field(2, dim) if isinstance(dim, str) else field(1, dim)) for dim in dims)
    return field(1, name) + field(2, field(1, field(1, 1) + field(2, shape)))


def model():
    graph = field(1, node()) + field(2, "trees") + field(11, tensor("x", "N", FEATURES)) + field(12, tensor("y", "N", 1))
    opsets = field(8, field(1, "") + field(2, 17)) + field(8, field(1, "ai.onnx.ml") + field(2, 3))
    return field(1, 8) + field(7, graph) + opsets


def score(row):
    total = 0
    for tree in range(TREES):
        at = 0
        while at < INNER:
            at = 2 * at + (1 if row[feature(tree, at)] <= split(tree, at) else 2)
        total += weight(tree, at)
    return total


def write_npy(path, rows):
    text = "{'descr': '<f4', 'fortran_order': False, 'shape': (%d, %d), }\n" % (len(rows), len(rows[0]))
    numbers = [number for row in rows for number in row]
    with open(path, "wb") as file:
        file.write(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text.encode())
        file.write(struct.pack(f"<{len(numbers)}f", *numbers))


def main(folder):
    rows = [[(k * (3 + 2 * r) + r) % 17 for k in range(FEATURES)] for r in range(4)]
    with open(os.path.join(folder, "ensemble.onnx"), "wb") as file:
        file.write(model())
    os.mkdir(os.path.join(folder, "scores"))
    write_npy(os.path.join(folder, "rows.npy"), rows)
    write_npy(os.path.join(folder, "scores", "output_0.npy"), [[score(row)] for row in rows])


if __name__ == "__main__":
    main(sys.argv[1])
