#!/usr/bin/env python3
"""Writes the small models that tests/test_onnx.c imports, each for one thing that ONNX files can hold.

    python3 -m pip install -r tests/requirements.txt
    python3 tests/onnx/make_models.py             writes tests/data/onnx
"""
import pathlib
import shutil

import ml_dtypes
import numpy as np
import onnx
from onnx import AttributeProto, TensorProto, helper, numpy_helper

FOLDER = pathlib.Path(__file__).resolve().parent.parent / "data" / "onnx"
FLOAT, INT64, BOOL = TensorProto.FLOAT, TensorProto.INT64, TensorProto.BOOL


def value(name, dtype=FLOAT, shape=(2,)):
    return helper.make_tensor_value_info(name, dtype, shape)


def node(op, inputs, outputs, name="", **attributes):
    """Names are parted by spaces; "-" is an absent one."""
    names = [["" if name == "-" else name for name in text.split()] for text in (inputs, outputs)]
    return helper.make_node(op, *names, name=name, **attributes)


def floats(name, *numbers):
    return numpy_helper.from_array(np.array(numbers, np.float32), name)


def graph(nodes, inputs, outputs, name="main", **more):
    return helper.make_graph(nodes, name, inputs, outputs, **more)


def model(main, opset=21, ir_version=10, functions=(), domains=(), ml=None, **more):
    opsets = [helper.make_opsetid("", opset)] + [helper.make_opsetid(domain, 1) for domain in domains]
    opsets += [helper.make_opsetid("ai.onnx.ml", ml)] if ml else []
    return helper.make_model(main, opset_imports=opsets, ir_version=ir_version, functions=list(functions), **more)


def write(name, content):
    if not isinstance(content, bytes):
        content = content.SerializeToString(deterministic=True)
    (FOLDER / f"{name}.onnx").write_bytes(content)


def identity(name, *, of="x", **more):
    """A model that only hands `of` on."""
    write(name, model(graph([node("Identity", of, "y", "n")], [value("x")], [value("y")], **more)))


# --- the wire format, for what onnx's own classes do not write ---------------------------------------------------------


def varint(number):
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    return bytes(out + bytes([number]))


def field(number, content):
    """A field of length and bytes, or of a plain number."""
    if isinstance(content, int):
        return varint(number << 3) + varint(content)
    return varint(number << 3 | 2) + varint(len(content)) + content


# --- tensors -----------------------------------------------------------------------------------------------------------

ENCODED = {
    "float32": np.array([1.5, -2, 3], np.float32),
    "float64": np.array([1.5, -2, 3], np.float64),
    "float16": np.array([1.5, -2, 3], np.float16),
    "bfloat16": np.array([1.5, -2, 3], ml_dtypes.bfloat16),
    "int8": np.array([1, -2, 127], np.int8),
    "uint8": np.array([1, 200, 255], np.uint8),
    "int16": np.array([1, -2, 30000], np.int16),
    "uint16": np.array([1, 2, 60000], np.uint16),
    "int32": np.array([1, -2, 2**31 - 1], np.int32),
    "uint32": np.array([1, 2, 2**32 - 1], np.uint32),
    "int64": np.array([1, -2, 2**63 - 1], np.int64),
    "uint64": np.array([1, 2, 2**64 - 1], np.uint64),
    "bool": np.array([True, False, True]),
    "complex64": np.array([1 + 2j, 3 - 4j, 0], np.complex64),
    "complex128": np.array([1 + 2j, 3 - 4j, 0], np.complex128),
    "float8e4m3fn": np.array([1.5, -2, 0.5], ml_dtypes.float8_e4m3fn),
    "float8e5m2": np.array([1.5, -2, 0.5], ml_dtypes.float8_e5m2),
    "float8e8m0": np.array([1, 2, 0.5], ml_dtypes.float8_e8m0fnu),
    "float4e2m1": np.array([1.5, -2, 0.5], ml_dtypes.float4_e2m1fn),
    "int4": np.array([1, -2, 7], ml_dtypes.int4),
    "uint4": np.array([1, 2, 15], ml_dtypes.uint4),
    "int2": np.array([1, -2, 0, 1, -1], ml_dtypes.int2),
    "uint2": np.array([1, 2, 0, 3, 1], ml_dtypes.uint2),
}


def encodings():
    """Each type twice, raw and as a list of numbers: the bytes must be the same."""
    tensors = []
    for name, array in ENCODED.items():
        raw = numpy_helper.from_array(array, f"{name}.raw")
        numbers = array if array.dtype.kind in "fiubc" else array.astype(np.float32)
        listed = helper.make_tensor(f"{name}.list", raw.data_type, array.shape, numbers)
        assert raw.HasField("raw_data") and not listed.HasField("raw_data")
        tensors += [raw, listed]
    tensors.append(numpy_helper.from_array(np.array(7, np.int64), "scalar"))
    tensors.append(numpy_helper.from_array(np.zeros((2, 0, 3), np.float32), "empty.raw"))
    tensors.append(helper.make_tensor("empty.list", FLOAT, (0,), []))
    odd_bool = numpy_helper.from_array(np.array([True, False, True]), "odd_bool")
    odd_bool.raw_data = b"\x02\x00\xff"
    tensors.append(odd_bool)
    identity("encodings", initializer=tensors)


def packing():
    """Lists of numbers packed where ONNX does not pack them, and the other way round."""
    unpacked = field(1, 2) + field(2, FLOAT) + field(8, b"w")
    for number in (1.5, -2.0):
        unpacked += varint(4 << 3 | 5) + np.float32(number).tobytes()
    packed_dims = field(1, varint(1) + varint(2)) + field(2, INT64) + field(8, b"v") + field(7, 5) + field(7, 6)
    packed_ints = field(1, b"perm") + field(20, AttributeProto.INTS) + field(8, varint(1) + varint(0))
    unknown = field(99, b"what is this") + field(15, 12345) + varint(98 << 3 | 1) + bytes(8)
    transpose = field(1, b"x") + field(2, b"y") + field(4, b"Transpose") + field(5, packed_ints) + unknown
    io = [value(name, FLOAT, (2, 2)).SerializeToString() for name in "xy"]
    main = field(1, transpose) + field(2, b"main") + field(5, unpacked) + field(5, packed_dims)
    main += field(11, io[0]) + field(12, io[1])
    write("packing", field(1, 10) + unknown + field(7, main) + field(8, field(2, 21)))


# What each list of integers needs: bits, and whether there are negative numbers.
WIDTHS = {
    "u8": [0, 255, 7],
    "i8": [-128, 127, -1],
    "u16": [256, 65535],
    "i16": [-129, 127],
    "i16_high": [-1, 128],
    "u32": [65536, 2**32 - 1],
    "i32": [-32769, 0],
    "i32_high": [-1, 32768],
    "i64": [2**32, 1],
    "i64_low": [-(2**31) - 1],
    "i64_ends": [-(2**63), 2**63 - 1],
}


def lists():
    """Lists of nodes of trees, each node with one of each kind at most, and of a node of another kind."""
    def trees(name, **given):
        return node("TreeEnsembleRegressor", "x", name, name, domain="ai.onnx.ml", **given)

    nodes = [trees(name, target_ids=numbers, target_weights=[1.5, -2.0]) for name, numbers in WIDTHS.items()]
    nodes.append(trees("words", nodes_modes=["LEQ", "LEAF", "LEQ", "", "LEAF", "LE"]))
    nodes.append(trees("all_words", nodes_modes=[f"w{i}" for i in range(64)] * 2))
    nodes.append(trees("many_words", nodes_modes=[f"w{i}" for i in range(65)]))
    nodes.append(trees("none"))
    for name, kind in {"target_ids": AttributeProto.INTS, "target_weights": AttributeProto.FLOATS,
                       "nodes_modes": AttributeProto.STRINGS}.items():
        nodes[-1].attribute.append(AttributeProto(name=name, type=kind))
    nodes.append(node("LabelEncoder", "x", "z", "other", domain="ai.onnx.ml", keys_int64s=[1, 2],
                      values_floats=[0.5, 1.5], keys_strings=["a", "bc", "a"]))
    mixed = field(1, b"target_ids") + field(8, 5) + field(8, varint(300) + varint(1)) + field(7, b"") + field(8, 6)
    packed = field(1, b"target_weights") + field(7, np.array([3, 4.5], np.float32).tobytes())
    by_hand = field(5, mixed + field(8, b"") + field(20, AttributeProto.INTS))
    by_hand += field(5, packed + field(20, AttributeProto.FLOATS))
    packing_node = field(1, trees("by_hand").SerializeToString() + by_hand)
    rest = model(graph(nodes, [value("x")], [value("z")]), ml=3)
    write("lists", rest.SerializeToString(deterministic=True) + field(7, packing_node))


def parts():
    """Messages in several parts, which together are the whole; of fields that exclude each other the last one holds."""
    shape = field(1, field(1, 2)) + field(1, field(1, 3) + field(2, b"N")) + field(1, field(2, b"N") + field(1, 5))
    types = field(2, field(4, b"") + field(1, field(1, FLOAT))) + field(2, field(1, field(2, shape)))
    io = [field(11, field(1, b"x") + types), field(12, value("y", FLOAT, (2, "N", 5)).SerializeToString())]
    nodes = [field(1, node("Neg", "x", "m", "first").SerializeToString()),
             field(1, node("Add", "m w", "y", "second").SerializeToString())]
    weights = field(5, floats("w", 1.5).SerializeToString())
    main = [nodes[0] + field(2, b"before") + io[0], weights, nodes[1] + field(2, b"main") + io[1]]
    write("parts", field(1, 10) + b"".join(field(7, part) for part in main) + field(8, field(2, 21)))


def sparse_tensor(name, numbers, indices, shape):
    values = numpy_helper.from_array(np.array(numbers, np.float32), name)
    return helper.make_sparse_tensor(values, numpy_helper.from_array(np.array(indices, np.int64)), shape)


def sparse():
    nodes = [
        node("Constant", "", "c", sparse_value=sparse_tensor("", [5], [[1, 0]], (2, 2))),
        node("Add", "flat c", "s"),
        node("Add", "s pairs", "t"),
        node("Add", "t x", "y"),
    ]
    tensors = [sparse_tensor("flat", [1, 2], [0, 3], (2, 2)), sparse_tensor("pairs", [3, 4], [[0, 1], [1, 1]], (2, 2))]
    main = graph(nodes, [value("x", FLOAT, (2, 2))], [value("y", FLOAT, (2, 2))], sparse_initializer=tensors)
    write("sparse", model(main))
    for name, tensor in {
        "sparse_outside": sparse_tensor("w", [1], [4], (2, 2)),
        "sparse_negative": sparse_tensor("w", [1], [[0, -1]], (2, 2)),
        "sparse_huge": sparse_tensor("w", [1], [4], (2**40,)),
        "sparse_counts": sparse_tensor("w", [1, 2], [0], (2, 2)),
    }.items():
        identity(name, sparse_initializer=[tensor])


def constants():
    """Constant nodes of every form."""
    nodes = [
        node("Constant", "", "tensor", value=numpy_helper.from_array(np.array([[1, 2]], np.int32))),
        node("Constant", "", "float", value_float=1.5),
        node("Constant", "", "floats", value_floats=[1.5, -2.0]),
        node("Constant", "", "int", value_int=-7),
        node("Constant", "", "ints", value_ints=[1, 2, 3]),
        node("Add", "x float", "y"),
    ]
    write("constants", model(graph(nodes, [value("x")], [value("y"), value("ints", INT64, (3,))])))
    strings = graph([node("Constant", "", "s", "text", value_string="hello"), node("Add", "x x", "y")], [value("x")],
                    [value("y")])
    write("constant_string", model(strings))
    write("constant_empty", model(graph([node("Constant", "", "y", "none")], [], [value("y")])))


def initialised_inputs():
    """IR version 3: initialisers are inputs as well."""
    main = graph([node("Add", "x w", "y")], [value("w"), value("x")], [value("y")], initializer=[floats("w", 1, 2)])
    write("ir3", model(main, opset=8, ir_version=3))
    write("optional_input", model(main, opset=8, ir_version=4))
    wrong = graph([node("Add", "x w", "y")], [value("w", FLOAT, (3,)), value("x")], [value("y")],
                  initializer=[floats("w", 1, 2)])
    write("optional_input_shape", model(wrong, opset=8))
    wrong.input[0].type.tensor_type.elem_type = INT64
    write("optional_input_type", model(wrong, opset=8))
    names = [f"w{i}" for i in range(17)]
    many = graph([node("Sum", " ".join(names), "y")], [value(name) for name in names], [value("y")],
                 initializer=[floats(name, 1, 2) for name in names])
    write("all_inputs_are_weights", model(many))
    many.initializer.add().CopyFrom(floats("more", 1, 2))
    write("many_optional_inputs", model(many))


def bad_tensors():
    short = floats("w", 1, 2)
    short.dims[0] = 3
    few = helper.make_tensor("w", FLOAT, (2,), [1, 2])
    few.dims[0] = 3
    negative = floats("w", 1, 2)
    negative.dims[0] = -2
    overflow = floats("w", 1, 2)
    overflow.dims[:] = [2**40, 2**40]
    ranks = floats("w", 1)
    ranks.dims[:] = [1] * 9
    unknown = floats("w", 1)
    unknown.data_type = 99
    strings = helper.make_tensor("w", TensorProto.STRING, (1,), [b"hello"])
    for name, tensor in locals().copy().items():
        identity(f"tensor_{name}", initializer=[tensor])
    identity("tensor_twice", initializer=[floats("w", 1), floats("w", 2)])


def external():
    """External data: aligned, unaligned, shared; and places where it must not be."""

    def outside(name, location, shape=(3,), **keys):
        tensor = TensorProto(name=name, data_type=FLOAT, dims=shape, data_location=TensorProto.EXTERNAL)
        for key, entry in {"location": location, **keys}.items():
            tensor.external_data.add(key=key, value=str(entry))
        return tensor

    numbers = np.arange(64, dtype=np.float32)
    (FOLDER / "weights.bin").write_bytes(numbers.tobytes())
    tensors = [
        outside("aligned", "weights.bin", offset=64, length=12),
        outside("unaligned", "./weights.bin", offset=4, length=12),
        outside("from_start", "weights.bin"),
        outside("none", "weights.bin", shape=(0,)),
    ]
    identity("external", initializer=tensors)
    for name, tensor in {
        "up": outside("w", "../weights.bin"),
        "inner_up": outside("w", "folder/../../weights.bin"),
        "absolute": outside("w", "/etc/passwd"),
        "link": outside("w", "link.bin"),
        "folder_link": outside("w", "link/weights.bin"),
        "folder": outside("w", "folder"),
        "pipe": outside("w", "pipe"),
        "missing": outside("w", "missing.bin"),
        "below": outside("w", "folder/weights.bin"),
        "past_end": outside("w", "weights.bin", offset=248),
        "far_past_end": outside("w", "weights.bin", offset=2**64 - 4),
        "bad_offset": outside("w", "weights.bin", offset=-1),
        "big_offset": outside("w", "weights.bin", offset=2**64),
        "bad_length": outside("w", "weights.bin", length=11),
        "no_location": outside("w", ""),
    }.items():
        identity(f"external_{name}", initializer=[tensor])
    many = [outside(f"w{i}", "weights.bin", shape=(62,), offset=4) for i in range(6)]
    identity("external_copies", initializer=many)


# --- functions ---------------------------------------------------------------------------------------------------------


def function(name, inputs, outputs, nodes, attributes=(), defaults=(), overload="", opsets=(("", 21), ("own", 1))):
    made = helper.make_function(
        "own", name, inputs.split(), outputs.split(), nodes, [helper.make_opsetid(*o) for o in opsets], attributes,
        list(defaults), overload=overload,
    )
    return made


def reference(made, name, kind, meant):
    """Gives a node an attribute that refers to one of its function."""
    made.attribute.append(AttributeProto(name=name, type=kind, ref_attr_name=meant))
    return made


def functions():
    leaky = reference(node("LeakyRelu", "a", "b", "leaky"), "alpha", AttributeProto.FLOAT, "slope")
    bias = reference(node("Constant", "", "k"), "value_float", AttributeProto.FLOAT, "bias")
    inner = function("Inner", "a", "c", [leaky, bias, node("Add", "b k", "c")], ["slope"],
                     [helper.make_attribute("bias", 0.25)], opsets=(("", 20),))
    call = reference(node("Inner", "p", "q", "call", domain="own"), "slope", AttributeProto.FLOAT, "steepness")
    absent = node("Clip", "q lowest", "r", "clip")
    outer = function("Outer", "p lowest", "r p q", [call, absent], ["steepness"])
    overloaded = [function("Over", "a", "b", [node("Neg", "a", "b")]),
                  function("Over", "a", "b", [node("Abs", "a", "b")], overload="abs")]
    nodes = [
        node("Outer", "x", "first same mid", "o", domain="own", steepness=0.5),
        node("Outer", "first x_min", "second", "", domain="own"),
        node("Over", "second", "third", domain="own", overload="abs"),
        node("Over", "third", "fourth", domain="own"),
        node("Add", "fourth same", "y"),
    ]
    main = graph(nodes, [value("x"), value("x_min", FLOAT, ())], [value("y"), value("mid")])
    write("functions", model(main, functions=[inner, outer, *overloaded], domains=["own"]))


def function_bodies():
    """Subgraphs in functions, which use the function's values and attributes; and a function called in a subgraph."""
    scaled = reference(node("Constant", "", "k"), "value_float", AttributeProto.FLOAT, "factor")
    then_branch = graph([scaled, node("Mul", "doubled k", "t"), node("Sub", "t low", "u")], [], [value("u")], "then")
    else_branch = graph([node("Neg", "a", "u")], [], [value("u")], "else")
    choose = node("If", "c", "b", "if", then_branch=then_branch, else_branch=else_branch)
    chosen = function("Choose", "c a low", "b", [node("Add", "a a", "doubled"), choose], ["factor"])
    call = graph([node("Choose", "c x x", "z", "call", domain="own", factor=3.0)], [], [value("z")], "call")
    other = graph([node("Identity", "x", "z")], [], [value("z")], "other")
    nodes = [node("If", "c", "y", "outer", then_branch=call, else_branch=other)]
    main = graph(nodes, [value("c", BOOL, ()), value("x")], [value("y")])
    write("function_bodies", model(main, functions=[chosen], domains=["own"]))


def function_graphs():
    """A graph handed to a function: closed it may be, but not use names around the call."""
    holder = node("If", "c", "b", "if")
    reference(holder, "then_branch", AttributeProto.GRAPH, "branch")
    holder.attribute.append(helper.make_attribute("else_branch", graph([node("Neg", "a", "u")], [], [value("u")])))
    made = function("Hold", "c a", "b", [holder], ["branch"])
    closed = graph([node("Constant", "", "z", value_floats=[1.0, 2.0])], [], [value("z")], "closed")
    free = graph([node("Identity", "x", "z")], [], [value("z")], "free")
    for name, branch in {"function_graph": closed, "function_graph_free": free}.items():
        nodes = [node("Hold", "c x", "y", "h", domain="own", branch=branch)]
        main = graph(nodes, [value("c", BOOL, ()), value("x")], [value("y")])
        write(name, model(main, functions=[made], domains=["own"]))


def function_errors():
    main = graph([node("Own", "x", "y", "n", domain="own")], [value("x")], [value("y")])
    for name, made in {
        "function_recursive": [function("Own", "a", "b", [node("Own", "a", "b", "again", domain="own")])],
        "function_no_result": [function("Own", "a", "b", [node("Abs", "a", "c")])],
        "function_inputs": [function("Own", "", "b", [node("Constant", "", "b", value_float=1.0)])],
        "function_twice": [function("Own", "a", "b", [node("Abs", "a", "b")])] * 2,
        "function_opset": [function("Own", "a", "b", [node("Abs", "a", "b")], opsets=(("", 99),))],
    }.items():
        write(name, model(main, functions=made, domains=["own"]))
    stages = [function("Own", "a", "b", [node("F0", "a", "b", domain="own")])]
    for i in range(40):
        calls = [node(f"F{i + 1}", "a", "c", domain="own"), node(f"F{i + 1}", "c", "b", domain="own")]
        stages.append(function(f"F{i}", "a", "b", calls))
    stages.append(function("F40", "a", "b", [node("Abs", "a", "b")]))
    write("function_bomb", model(main, functions=stages, domains=["own"]))
    stages = [function("Own", "a", "b", [node("F0", "a", "b", domain="own")])]
    for i in range(12):
        calls = [node(f"F{i + 1}", "a", "c", domain="own"), node(f"F{i + 1}", "c", "b", domain="own")]
        stages.append(function(f"F{i}", "a", "b", calls))
    stages.append(function("F12", "a", "b", [node("Transpose", "a", "b", perm=[0] * 5000)]))
    write("function_lists", model(main, functions=stages, domains=["own"]))
    stray = reference(node("LeakyRelu", "x", "y", "n"), "alpha", AttributeProto.FLOAT, "slope")
    write("reference_outside", model(graph([stray], [value("x")], [value("y")])))


# --- subgraphs ---------------------------------------------------------------------------------------------------------


def branches():
    """If in If: captures of values and of constants, from one and from two graphs out."""
    deep_then = graph([node("Add", "x w", "d1"), node("Mul", "d1 local", "d")], [], [value("d")], "deep_then")
    deep_else = graph([node("Sub", "later x", "d")], [], [value("d")], "deep_else")
    deep = node("If", "c", "inner", "deep", then_branch=deep_then, else_branch=deep_else)
    then_branch = graph([node("Neg", "h", "local"), deep], [], [value("inner")], "then")
    else_branch = graph([], [], [value("w")], "else")
    nodes = [
        node("Abs", "x", "h"),
        node("Exp", "x", "later"),
        node("If", "c", "y", "choose", then_branch=then_branch, else_branch=else_branch),
    ]
    main = graph(nodes, [value("c", BOOL, ()), value("x")], [value("y")], initializer=[floats("w", 1, 2)])
    write("if", model(main))


def loops():
    """Captures; the first two inputs and the last outputs left out; a carried value too few."""
    inputs = [value("i", INT64, ()), value("go", BOOL, ()), value("sum")]
    nodes = [node("Identity", "go", "go_on"), node("Add", "sum step", "next"), node("Mul", "next w", "scan")]
    body = graph(nodes, inputs, [value("go_on", BOOL, ()), value("next"), value("scan")], "body")
    count, x = value("count", INT64, ()), value("x")
    outputs = [value("y"), value("ys", FLOAT, (None, 2))]
    weights = [floats("w", 1, 2)]
    for name, arguments, results in (("loop", "count - x", 2), ("loop_unread", "count - x", 1),
                                     ("loop_inputs", "count -", 2)):
        steps = [node("Abs", "x", "step"), node("Loop", arguments, " ".join(["y", "ys"][:results]), "loop", body=body)]
        write(name, model(graph(steps, [count, x], outputs[:results], initializer=weights)))
    body = graph([node("Identity", "go", "go_on"), node("Identity", "i", "out")], inputs[:2],
                 [value("go_on", BOOL, ()), value("out", INT64, ())], "body")
    steps = [node("Loop", "count", "ys", "loop", body=body)]
    write("loop_short", model(graph(steps, [count], [value("ys", INT64, (None,))])))


def scans():
    nodes = [node("Add", "state item", "next"), node("Mul", "next h", "out")]
    body = graph(nodes, [value("state"), value("item")], [value("next"), value("out")], "body")
    scan = node("Scan", "x items", "last outs", "scan", body=body, num_scan_inputs=1)
    main = graph([node("Abs", "x", "h"), scan], [value("x"), value("items", FLOAT, (3, 2))],
                 [value("last"), value("outs", FLOAT, (3, 2))])
    write("scan", model(main))


def batched_scans():
    """Scan of opset 8: a batch in front, backwards; its first input is the lengths."""
    nodes = [node("Add", "state item", "next"), node("Mul", "next h", "out")]
    body = graph(nodes, [value("state", shape=()), value("item", shape=())],
                 [value("next", shape=()), value("out", shape=())], "body")
    for name, lengths in (("batched_scan", "-"), ("batched_scan_lengths", "lengths")):
        scan = node("Scan", f"{lengths} x items", "last outs", "scan", body=body, num_scan_inputs=1, directions=[1])
        inputs = [value("x"), value("items", FLOAT, (2, 3)), value("w", FLOAT, ()), value("lengths", INT64, (2,))]
        main = graph([node("Abs", "w", "h"), scan], inputs[:3 if lengths == "-" else 4],
                     [value("last"), value("outs", FLOAT, (2, 3))])
        write(name, model(main, 8))


def border():
    """Sequences and optionals that come in and go out."""
    tensor = helper.make_tensor_type_proto(FLOAT, ("n",))
    sequence = helper.make_sequence_type_proto(tensor)
    optional = helper.make_optional_type_proto(sequence)
    strings = helper.make_sequence_type_proto(helper.make_tensor_type_proto(TensorProto.STRING, (1,)))
    declare = helper.make_value_info
    nodes = [node("SequenceInsert", "xs t", "ys", "insert"), node("OptionalHasElement", "bias", "has", "has")]
    inputs = [declare("xs", sequence), declare("bias", helper.make_optional_type_proto(tensor)),
              value("t", shape=("m",))]
    write("border", model(graph(nodes, inputs, [declare("ys", sequence), value("has", BOOL, ())])))
    main = graph([node("Identity", "os", "same", "n")], [declare("os", optional)], [declare("same", optional)])
    write("border_optional", model(main))
    main = graph([node("SequenceLength", "ss", "n", "n")], [declare("ss", strings)], [value("n", INT64, ())])
    write("border_strings", model(main))


def nested(depth):
    inner = graph([node("Identity", "x", "z0")], [], [value("z0")], "g0")
    for i in range(1, depth):
        branch = node("If", "c", f"z{i}", then_branch=inner, else_branch=graph([], [], [value("x")], "else"))
        inner = graph([branch], [], [value(f"z{i}")], f"g{i}")
    return graph(inner.node, [value("c", BOOL, ()), value("x")], inner.output)


def nesting():
    write("nested", model(nested(20)))
    bomb = field(1, b"x")
    for _ in range(3000):
        bomb = field(1, field(5, field(6, bomb)))
    write("nested_bomb", field(7, bomb))
    write("if_missing", model(graph([node("If", "c", "y", "n", then_branch=graph([], [], [value("nowhere")]),
                                          else_branch=graph([], [], [value("x")]))],
                                    [value("c", BOOL, ()), value("x")], [value("y")])))


# --- names, order, shapes ----------------------------------------------------------------------------------------------


def sequences():
    """Optionals: given ones among the inputs, and an empty one, whose type nothing depends on. A loop over a sequence."""
    given = helper.make_value_info("given", helper.make_optional_type_proto(value("x").type))
    nodes = [
        node("OptionalGetElement", "given", "x"),
        node("Optional", "", "none", type=helper.make_sequence_type_proto(value("x").type)),
        node("OptionalHasElement", "none", "has"),
        node("SequenceConstruct", "x x", "s"),
        node("ConcatFromSequence", "s", "y", axis=0),
    ]
    write("sequences", model(graph(nodes, [given], [value("y", FLOAT, (4,)), value("has", BOOL, ())])))
    listed = helper.make_tensor_sequence_value_info("s", FLOAT, None)
    longer = helper.make_tensor_sequence_value_info("longer", FLOAT, None)
    body = graph([node("Identity", "go", "go_on"), node("SequenceInsert", "s x", "longer")],
                 [value("i", INT64, ()), value("go", BOOL, ()), listed], [value("go_on", BOOL, ()), longer], "body")
    steps = [node("SequenceEmpty", "", "none"), node("Loop", "count - none", "all", "grow", body=body),
             node("ConcatFromSequence", "all", "y", axis=0)]
    write("loop_sequence", model(graph(steps, [value("count", INT64, ()), value("x")], [value("y", FLOAT, None)])))
    made = node("SequenceConstruct", "x", "s", "made")
    write("output_sequence", model(graph([made], [value("x")], [listed])))


def unpooling():
    """Indices of a MaxPool, as they are and after a detour; and of nobody knows what."""
    window = {"kernel_shape": [2, 2], "strides": [2, 2]}
    nodes = [
        node("MaxPool", "x", "y i", "pool", **window),
        node("Shape", "x", "whole"),
        node("MaxUnpool", "y i whole", "u", "near", **window),
        node("Identity", "i", "k"),
        node("Sub", "k zero", "j"),
        node("MaxUnpool", "y j whole", "v", "far", **window),
        node("MaxUnpool", "y given whole", "w", "foreign", **window),
    ]
    outputs = [value(name, FLOAT, None) for name in "uvw"]
    inputs = [value("x", FLOAT, (1, 1, 4, 5)), value("given", INT64, (1, 1, 2, 2))]
    zero = numpy_helper.from_array(np.zeros(1, np.int64), "zero")
    write("unpooling", model(graph(nodes, inputs, outputs, initializer=[zero])))


def labels():
    """A classifier whose labels are strings, and a map of each label to its score."""
    words, numbers = ["north", "so\nuth"], [7, -8]
    map_type = helper.make_map_type_proto(TensorProto.STRING, helper.make_tensor_type_proto(FLOAT, None))
    maps = helper.make_value_info("maps", helper.make_sequence_type_proto(map_type))
    nodes = [
        node("LinearClassifier", "x", "best scores", "classifier", domain="ai.onnx.ml",
             coefficients=[1.0, 0.0, 0.0, 1.0], intercepts=[0.0, 0.5], classlabels_strings=words),
        node("Identity", "best", "label", "passed"),
        node("ZipMap", "scores", "maps", "zip", domain="ai.onnx.ml", classlabels_strings=words),
        node("ZipMap", "scores", "numbered", "zip_numbers", domain="ai.onnx.ml", classlabels_int64s=numbers),
    ]
    outputs = [value("label", TensorProto.STRING, ("n",)), maps, helper.make_value_info("numbered", maps.type)]
    main = graph(nodes, [value("x", FLOAT, ("n", 2))], outputs)
    write("labels", model(main, domains=["ai.onnx.ml"]))


def names():
    own = function("F", "a", "b", [node("Abs", "a", "c", "n"), node("Neg", "c", "b")])
    nodes = [
        node("F", "x", "p", "call", domain="own"),
        node("F", "p", "q", "call", domain="own"),
        node("Abs", "q", "call/c", "call/n"),
        node("Relu", "call/c", "17"),
        node("Add", "17 call/c", "y", "twice"),
        node("Add", "y x", "call/c_1", "twice"),
        node("Split", "call/c_1", "- left", "split", axis=0, num_outputs=2),
    ]
    write("names", model(graph(nodes, [value("x")], [value("left", FLOAT, (1,))]), functions=[own], domains=["own"]))


def terminal_names():
    """What a terminal, or a viewer of text, would obey: escapes, line ends, C1 controls, marks of direction."""
    first, second, third = "x\x1b[31m", "a\nb\u009b2J", "y\u202e\u2066z\u2028"
    nodes = [node("Abs", first, second, "n\x1b]0;t\x07"), node("Neg", second, third, "m\u0085")]
    for made, names in zip(nodes, ((first, second), (second, third))):
        made.input[:], made.output[:] = names[:1], names[1:]
    main = graph(nodes, [value(first, FLOAT, ("n\x1b[1m", 2))], [value(third, FLOAT, None)], "g\x1bc",
                 initializer=[floats("w\x1b[5m", 1)])
    made = model(main, producer_name="p\x1b[7m", doc_string="d\u202e\nd")
    made.metadata_props.add(key="k\x1b[8m", value="v\n\u0090")
    main = made.graph
    main.input[0].type.tensor_type.shape.dim[0].dim_value = 1
    write("names_that_terminals_obey", made)


def order():
    late = graph([node("Identity", "b", "z")], [], [value("z")], "late")
    other = graph([node("Identity", "x", "z")], [], [value("z")], "other")
    nodes = [
        node("If", "c", "d", "fourth", then_branch=late, else_branch=other),
        node("Add", "a x", "b", "second"),
        node("Abs", "x", "a", "first"),
        node("Abs", "a", "e", "third"),
        node("Add", "d e", "y", "fifth"),
    ]
    write("unsorted", model(graph(nodes, [value("c", BOOL, ()), value("x")], [value("y")])))
    nodes = [node("Add", "x c", "a", "one"), node("Abs", "a", "b", "two"), node("Abs", "b", "c", "three")]
    write("cycle", model(graph(nodes, [value("x")], [value("c")])))
    for name, broken in {
        "made_twice": [node("Abs", "x", "y", "one"), node("Neg", "x", "y", "two")],
        "makes_input": [node("Abs", "x", "x", "one"), node("Neg", "x", "y", "two")],
        "reads_nothing": [node("Add", "x ghost", "y", "one")],
        "makes_no_output": [node("Abs", "x", "z", "one")],
    }.items():
        write(name, model(graph(broken, [value("x")], [value("y")])))


def shapes():
    batch = value("x", FLOAT, ("batch", 3, None, 0))
    free = helper.make_tensor_value_info("free", FLOAT, None)
    nodes = [node("Abs", "x", "h"), node("Abs", "h", "y"), node("Abs", "free", "z")]
    main = graph(nodes, [batch, free], [value("y", FLOAT, ("batch", 3, "height", "width")), value("z", FLOAT, ("n",))],
                 value_info=[value("h", FLOAT, ("batch", 3, 5, "width"))])
    write("shapes", model(main, producer_name="maker", producer_version="1.2", doc_string="what it does"))
    made = onnx.load(FOLDER / "shapes.onnx")
    made.metadata_props.add(key="labels", value="a,b")
    write("shapes", made)


def refusals():
    nodes = [
        node("Frobnicate", "x", "a", "f1"),
        node("Frobnicate", "a", "b", "f2"),
        node("If", "c", "d", "if", then_branch=graph([node("Grind", "b", "g", "g1", domain="mill")], [], [value("g")]),
             else_branch=graph([node("Frobnicate", "b", "g", "f3")], [], [value("g")])),
        node("Wrap", "d", "y", "w", domain="own"),
    ]
    wrap = function("Wrap", "a", "b", [node("Frobnicate", "a", "b", "inside")])
    write("unsupported", model(graph(nodes, [value("c", BOOL, ()), value("x")], [value("y")]), functions=[wrap],
                               domains=["own", "mill"]))
    sequence = helper.make_tensor_sequence_value_info("s", FLOAT, None)
    optional = helper.make_value_info("o", helper.make_optional_type_proto(sequence.type))
    texts = value("t", TensorProto.STRING)
    for name, given in {"sequence": sequence, "optional": optional, "string": texts}.items():
        nodes = [node("Identity", given.name, "y", "reader")]
        write(f"input_{name}", model(graph(nodes, [given], [value("y")])))
    untyped = onnx.ValueInfoProto(name="x")
    write("input_untyped", model(graph([node("Abs", "x", "y")], [untyped], [value("y")])))
    main = graph([node("Abs", "x", "y")], [value("x")], [value("y")])
    write("opset_newer", model(main, opset=29))
    write("opset_newest", model(main, opset=28))
    old = model(main, opset=1)
    del old.opset_import[:]
    write("opset_none", old)
    alias = model(graph([node("Abs", "x", "y", domain="ai.onnx")], [value("x")], [value("y")]))
    alias.opset_import[0].domain = "ai.onnx"
    write("domain_alias", alias)
    write("no_graph", onnx.ModelProto(ir_version=8))
    for name, opset in {"domain_not_imported": None, "domain_imported": 1}.items():
        scaled = graph([node("Scaler", "x", "y", "s", domain="ai.onnx.ml", offset=[1.0], scale=[2.0])], [value("x")],
                       [value("y")])
        write(name, model(scaled, ml=opset))
    old_attribute = model(graph([node("LeakyRelu", "x", "y", alpha=0.5)], [value("x")], [value("y")]), opset=7)
    old_attribute.graph.node[0].attribute[0].ClearField("type")
    write("untyped_attribute", old_attribute)


def attributes():
    """Attributes that are not the operator's, in one way or another."""
    def one(name, op, opset=21, inputs="x", ml=None, domain="", extra=(), **given):
        made = node(op, inputs, "y", "n", domain=domain, **given)
        made.attribute.extend(extra)
        given_inputs = [value(name) for name in dict.fromkeys(inputs.split())]
        write(f"attribute_{name}", model(graph([made], given_inputs, [value("y")]), opset=opset, ml=ml))

    one("float_for_int", "ReduceMax", keepdims=0.0)
    one("int_for_float", "LeakyRelu", alpha=1)
    one("int_for_ints", "Transpose", perm=0)
    one("string_for_int", "Cast", to="FLOAT")
    one("misspelt", "Conv", inputs="x w", stride=[2, 2])
    one("of_none", "Abs", alpha=1.0)
    one("too_new", "Reshape", opset=12, inputs="x w", allowzero=1)
    one("too_old", "ReduceSum", opset=13, axes=[0])
    one("missing", "Concat")
    one("missing_before", "TopK", opset=9)
    one("twice", "Elu", extra=[helper.make_attribute("alpha", 0.5)], alpha=0.25)
    one("private", "Elu", __origin="somewhere", alpha=0.25)
    one("own", "Scan", captures=5)
    one("list_of_graphs", "If", then_branch=[graph([], [], [])])
    one("type", "Abs", extra=[helper.make_attribute("type", value("t").type)])
    one("of_ml", "Scaler", domain="ai.onnx.ml", ml=1, offset=[1.0], scales=[2.0])
    one("of_ml_too_new", "LabelEncoder", domain="ai.onnx.ml", ml=1, keys_int64s=[1])
    two = graph([node("Constant", "", "y", "n", value_int=1, value_float=1.0)], [], [value("y")])
    write("attribute_two_values", model(two))
    one_value = graph([node("Constant", "", "y", "n", value_int=1)], [], [value("y", INT64, ())])
    write("attribute_value_too_new", model(one_value, opset=11))


def old_opsets():
    """What opsets before 7 spell otherwise."""
    def one(name, op, opset, inputs="x", **given):
        made = node(op, inputs, "y", "n", **given)
        given_inputs = [value(name, FLOAT, None) for name in dict.fromkeys(inputs.split())]
        write(f"old_{name}", model(graph([made], given_inputs, [value("y", FLOAT, None)]), opset=opset))

    one("add_axis", "Add", 6, "x w", broadcast=1, axis=1)
    one("add_no_broadcast", "Add", 6, "x w", axis=1)
    one("add_consumed", "Add", 1, "x w", consumed_inputs=[0, 0])
    one("prelu", "PRelu", 6, "x w")
    one("dropout", "Dropout", 6, is_test=1)
    one("dropout_training", "Dropout", 6)
    one("batch_training", "BatchNormalization", 6, "x s b m v")
    one("cast", "Cast", 5, to="DOUBLE")
    one("cast_unknown", "Cast", 5, to="double")
    one("concat", "Concat", 3, "x x")
    one("pad", "Pad", 1, paddings=[0, 1])
    one("norm", "GlobalLpPool", 1, p=1.0)
    one("norm_odd", "GlobalLpPool", 1, p=1.5)
    one("reshape", "Reshape", 4, shape=[1, -1], consumed_inputs=[0])
    one("upsample", "Upsample", 6, height_scale=2.0, width_scale=3.0)


def main():
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True)
    for make in (encodings, packing, lists, parts, sparse, constants, initialised_inputs, bad_tensors, external,
                 functions, function_bodies, function_graphs, function_errors, branches, loops, scans,
                 batched_scans, nesting, sequences, border, unpooling, labels, names, terminal_names, order, shapes, refusals, attributes, old_opsets):
        make()


if __name__ == "__main__":
    main()
