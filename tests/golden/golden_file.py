"""Writer of golden files, little endian; golden.c reads and checks them.

    8 bytes  "EXGOLD\\0\\1"        u32  format version        u32  number of arrays
    then for each array: u8 type (0 float32, 1 uint8, 2 int32), u8 dimensions, u16 length of the name,
    u32 sizes[dimensions], u32 stored bytes, the name, the values compressed by zlib.
"""
import struct
import zlib

import numpy as np

MAGIC, VERSION = b"EXGOLD\0\1", 1
TYPES = {np.dtype("<f4"): 0, np.dtype("u1"): 1, np.dtype("<i4"): 2}


class GoldenFile:
    def __init__(self):
        self.arrays = {}

    def add(self, name, array):
        """Adds float32, uint8 or int32 values; float64 is rounded to float32."""
        array = np.ascontiguousarray(array)
        if array.dtype == np.float64:
            array = array.astype("<f4")
        if array.dtype == np.int64:
            array = array.astype("<i4")
        assert array.dtype in TYPES, f"{name}: {array.dtype}"
        assert name not in self.arrays, name
        assert array.dtype.kind != "f" or np.isfinite(array).all(), f"{name} is not finite"
        self.arrays[name] = array

    def write(self, path):
        with open(path, "wb") as out:
            out.write(MAGIC + struct.pack("<II", VERSION, len(self.arrays)))
            for name, array in self.arrays.items():
                stored = zlib.compress(array.tobytes(), 9)
                out.write(struct.pack(f"<BBH{array.ndim}II", TYPES[array.dtype], array.ndim,
                                      len(name), *array.shape, len(stored)))
                out.write(name.encode() + stored)
            return out.tell()
