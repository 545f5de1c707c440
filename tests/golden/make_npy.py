#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes tests/golden/npy/: the .npy files that the reader and the writer are held against.

usage: make_npy.py   (needs numpy; the committed files are of numpy's version in VERSION.txt)
"""
import pathlib

import numpy as np

OUT = pathlib.Path(__file__).resolve().parent / "npy"


def save(name, array, version=(1, 0)):
    with open(OUT / f"{name}.npy", "wb") as file:
        np.lib.format.write_array(file, array, version=version)


def main():
    OUT.mkdir(exist_ok=True)
    six = np.arange(6).reshape(3, 2)
    save("float32", six.astype("<f4"))
    save("float64", six.astype("<f8"))
    save("int32", six.astype("<i4"))
    save("int64_v2", six.astype("<i8"), (2, 0))
    save("uint32_v3", six.astype("<u4"), (3, 0))
    save("bool", six.astype("|b1"))
    save("fortran", np.asfortranarray(six.astype("<f4")))
    save("scalar", np.array(0.25))
    save("empty", np.zeros((0, 640), np.float32))
    save("one", np.zeros(7, np.float32))
    save("many", np.zeros((1, 1, 1, 1, 1, 1, 1000, 0), np.float64))
    (OUT / "VERSION.txt").write_text(f"made by tests/golden/make_npy.py with numpy {np.__version__}\n")


main()
