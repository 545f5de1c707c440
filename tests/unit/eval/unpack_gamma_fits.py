# SPDX-License-Identifier: Apache-2.0
"""Turns gamma_fits.npz (float64 arrays) into the CSV that test_gamma reads, with nothing but
Python's standard library. Usage: python3 unpack_gamma_fits.py IN.npz OUT.csv"""
import struct
import sys
import zipfile


def numbers(archive, name):
    data = archive.read(name + ".npy")
    assert data[:6] == b"\x93NUMPY" and b"'<f8'" in data[:128]
    size = struct.unpack("<H", data[8:10])[0]
    return [value for (value,) in struct.iter_unpack("<d", data[10 + size:])]


with zipfile.ZipFile(sys.argv[1]) as archive, open(sys.argv[2], "w") as out:
    out.write("values,shape,location,scale,quantile_0.9\n")
    for name in sorted(n[:5] for n in archive.namelist() if n.endswith(".values.npy")):
        row = [" ".join(map(repr, numbers(archive, name + ".values")))]
        row += map(repr, numbers(archive, name + ".shape_loc_scale"))
        row += map(repr, numbers(archive, name + ".quantile_0.9"))
        out.write(",".join(row) + "\n")
