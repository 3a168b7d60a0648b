#!/usr/bin/env python3
"""Makes small .npy files with NumPy (2.4) as the oracle of our reader and writer.

    python3 -m pip install numpy
    python3 Tests/Vectors/make_npy_vectors.py

npy/<type>.npy                an array [2, 3] of 0...5, which our writer must write byte for byte
npy/big-<type>.npy            the same, big-endian
npy/fortran.npy               an array [2, 3, 4] of f32 0...23 in Fortran order
npy/fortran-big.npy           the same, big-endian i16
npy/scalar.npy, row.npy, empty.npy   shapes (), (5,) and (0, 4)
npy/version2.npy, version3.npy       the row with the longer headers
"""
import pathlib

import numpy as np
from numpy.lib import format

FOLDER = pathlib.Path(__file__).parent / "npy"
TYPES = ["float64", "float32", "float16", "int64", "int32", "int16", "int8", "uint64", "uint32", "uint16", "uint8"]


def main():
    FOLDER.mkdir(exist_ok=True)
    numbers = np.arange(6).reshape(2, 3)
    for name in TYPES:
        array = numbers.astype(name)
        np.save(FOLDER / f"{name}.npy", array)
        if array.itemsize > 1:
            np.save(FOLDER / f"big-{name}.npy", array.astype(array.dtype.newbyteorder(">")))
    np.save(FOLDER / "bool.npy", numbers % 2 == 0)
    cube = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    np.save(FOLDER / "fortran.npy", np.asfortranarray(cube))
    np.save(FOLDER / "fortran-big.npy", np.asfortranarray(cube.astype(">i2")))
    np.save(FOLDER / "scalar.npy", np.float32(2.5))
    row = np.array([0.5, -1, 2, 3, 1e30], np.float32)
    np.save(FOLDER / "row.npy", row)
    np.save(FOLDER / "empty.npy", np.zeros((0, 4), np.int64))
    for version in [2, 3]:
        with open(FOLDER / f"version{version}.npy", "wb") as file:
            format.write_array(file, row, version=(version, 0))


main()
