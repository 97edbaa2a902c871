#!/usr/bin/env python3
"""Makes the arrays beside it, with NumPy and ml_dtypes: element i of each, in C order, is i, or i - 2 where the type has
a sign. test_npy.c reads them, and writes those of plain types again to the same bytes."""

import pathlib

import ml_dtypes
import numpy as np

FOLDER = pathlib.Path(__file__).parent
SIGNED = ["i1", "i2", "i4", "i8", "f2", "f4", "f8", "c8", "c16"]
UNSIGNED = ["u1", "u2", "u4", "u8"]
RAW = ["bfloat16", "float8_e4m3fn", "float8_e4m3fnuz", "float8_e5m2", "float8_e5m2fnuz", "int4", "uint4"]


def save(name, array, version=None):
    with open(FOLDER / f"{name}.npy", "wb") as file:
        np.lib.format.write_array(file, array, version)


def counted(dtype, shape, first=-2):
    elements = np.arange(first, first + np.prod(shape, dtype=int)).reshape(shape)
    return elements.astype(dtype) if np.dtype(dtype).kind != "c" else (elements - 1j * elements).astype(dtype)


for dtype in SIGNED:
    save(dtype, counted(dtype, (2, 3)))
for dtype in UNSIGNED:
    save(dtype, counted(dtype, (2, 3), 0))
save("bool", np.array([[False, True, True], [True, False, True]]))
for name in RAW:
    save(name, counted(getattr(ml_dtypes, name), (2, 3), 0 if name == "uint4" else -2))

for dtype in ["i2", "i4", "i8", "f2", "f4", "f8", "c8", "c16"]:
    save(f"big_{dtype}", counted(dtype, (2, 3)).astype(f">{dtype}"))
for dtype in ["i1", "i2", "f4", "f8", "c16"]:
    save(f"fortran_{dtype}", np.asfortranarray(counted(dtype, (2, 3, 4))))
save("fortran_big_i4", np.asfortranarray(counted("i4", (2, 3, 4)).astype(">i4")))

save("scalar", counted("f4", ()))
save("vector", counted("i2", (5,)))
save("empty", counted("f4", (0, 3)))
save("empty_fortran", np.asfortranarray(counted("f4", (3, 0, 2))))
save("rank_8", counted("i1", (1, 2, 1, 2, 1, 2, 1, 2)))
save("long_header", counted("i1", (0, 1, 10, 100, 1000, 10000, 100000, 99)))
save("version_2", counted("f4", (2, 3)), (2, 0))
save("version_3", counted("f4", (2, 3)), (3, 0))

with open(FOLDER / "two.npy", "wb") as file:
    np.save(file, counted("i1", (3,)))
    np.save(file, counted("i1", (4,)))

save("refused_unicode", np.array(["one", "three"]))
save("refused_bytes", np.array([b"one", b"three"]))
save("refused_object", np.array([None], dtype=object))
save("refused_date", np.array(["2020-01-01"], dtype="M8[D]"))
save("refused_span", np.array([7], dtype="m8[s]"))
save("refused_record", np.zeros(1, dtype=[("a", "i4"), ("b", "f4")]))
save("refused_longdouble", np.zeros(1, dtype=np.longdouble))
save("refused_rank_9", np.zeros((1,) * 9, dtype="i1"))
save("refused_raw_3", np.zeros(2, dtype="V3"))
