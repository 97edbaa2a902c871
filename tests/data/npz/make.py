#!/usr/bin/env python3
"""Makes the archives beside it, with NumPy and zipfile. Element i of each array is i, except that zeros.npy in
deflated.npz is 50,000 zeros. test_npz.c reads them."""

import io
import pathlib
import zipfile

import numpy as np

FOLDER = pathlib.Path(__file__).parent
ARRAYS = {
    "a": np.arange(6, dtype="f4").reshape(2, 3),
    "b": np.asfortranarray(np.arange(6, dtype=">i2").reshape(3, 2)),
    "scalar": np.array(0, dtype="i8"),
}


def npy(array):
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def save(name, members, method=zipfile.ZIP_STORED, comment=b""):
    with zipfile.ZipFile(FOLDER / f"{name}.npz", "w", method) as archive:
        for member, content in members:
            archive.writestr(zipfile.ZipInfo(member), content, method)
        archive.comment = comment


np.savez(FOLDER / "stored.npz", **ARRAYS)
np.savez_compressed(FOLDER / "deflated.npz", **ARRAYS, zeros=np.zeros(50000, dtype="u1"))
save("empty", [])
save("mixed", [("notes.txt", b"no array"), ("folder/a.npy", npy(ARRAYS["a"])), ("b.npy", b"no array")], comment=b"PK")
save("bzip2", [("a.npy", npy(ARRAYS["a"]))], zipfile.ZIP_BZIP2)
save("trailing", [("a.npy", npy(ARRAYS["a"]) + b"what follows")], zipfile.ZIP_DEFLATED)
save("two", [("a.npy", npy(ARRAYS["a"])), ("c.npy", npy(ARRAYS["a"]))])

# With limits of nothing, zipfile writes every size and offset the ZIP64 way; in the record that ends the file they are
# then made to say that they did not fit.
zipfile.ZIP64_LIMIT = 0
zipfile.ZIP_FILECOUNT_LIMIT = 0
save("zip64", [(f"{name}.npy", npy(array)) for name, array in ARRAYS.items()], zipfile.ZIP_DEFLATED)
path = FOLDER / "zip64.npz"
content = path.read_bytes()
path.write_bytes(content[:-14] + b"\xff" * 12 + content[-2:])
