"""Values that the golden files do not store: both sides compute them from integers, bit for bit.

    mix(h)          32-bit finaliser (MurmurHash3's)
    key             mix(seed * 0x9e3779b1 + FNV-1a of the name), modulo 2^32
    word(i)         mix(key + i * 0x9e3779b1)
    unit(i)         (word(i) >> 8) / 2^23 - 1, a float32 in [-1, 1), exact
    value(i)        centre + spread * unit(i), each operation rounded to float32

golden_formula.c is the same in C; a checksum of what came out is stored in every file.
"""
import numpy as np
import torch

STEP = 0x9E3779B1
CLASSES = 10
SAMPLES = 64  # elements that a summary holds beside the rows' sums


def mix(h):
    h = np.asarray(h, dtype=np.uint32).copy()
    h ^= h >> np.uint32(16)
    h *= np.uint32(0x85EBCA6B)
    h ^= h >> np.uint32(13)
    h *= np.uint32(0xC2B2AE35)
    return h ^ (h >> np.uint32(16))


def words(name, seed, count):
    fnv = 0x811C9DC5
    for byte in name.encode():
        fnv = (fnv ^ byte) * 0x01000193 & 0xFFFFFFFF
    key = mix(np.array([(seed * STEP + fnv) & 0xFFFFFFFF], dtype=np.uint32))
    index = np.arange(count, dtype=np.uint32)
    return mix(key + index * np.uint32(STEP))


def values(name, seed, shape, centre, spread):
    count = int(np.prod(shape))
    unit = (words(name, seed, count) >> np.uint32(8)).astype(np.float32)
    unit = unit * np.float32(2.0**-23) - np.float32(1.0)
    out = np.float32(centre) + np.float32(spread) * unit
    return torch.from_numpy(out.astype(np.float32).reshape(shape))


def images(seed, count, channels, size):
    """Bytes (count, channels, size, size): cells of 4x4 pixels with finer noise."""
    cells = (size + 3) // 4
    coarse = words("coarse", seed, count * channels * cells * cells) & np.uint32(255)
    coarse = coarse.reshape(count, channels, cells, cells).repeat(4, 2).repeat(4, 3)
    fine = (words("fine", seed, count * channels * size * size) & np.uint32(255))
    fine = fine.reshape(count, channels, size, size)
    return ((3 * coarse[:, :, :size, :size] + fine) >> np.uint32(2)).astype(np.uint8)


def labels(seed, count):
    return (words("label", seed, count) % np.uint32(CLASSES)).astype(np.uint8)


def learnable(seed, count, channels, size):
    """Bytes and labels of a task that can be learnt: three eighths the class's own cells, the rest noise."""
    own = images(0, CLASSES, channels, size).astype(np.uint32)
    noise = images(seed, count, channels, size).astype(np.uint32)
    label = labels(seed, count)
    return ((3 * own[label] + 5 * noise) >> np.uint32(3)).astype(np.uint8), label


def philox(key, counter, first, count):
    """`count` words of Philox4x32-10 from block `first` on; counter: its words 1 to 3."""
    blocks = (count + 3) // 4
    x = [np.arange(first, first + blocks, dtype=np.uint64)]
    x += [np.full(blocks, c, dtype=np.uint64) for c in counter]
    low = np.uint64(0xFFFFFFFF)
    for r in range(10):
        k = [np.uint64((key[0] + r * 0x9E3779B9) & 0xFFFFFFFF),
             np.uint64((key[1] + r * 0xBB67AE85) & 0xFFFFFFFF)]
        a, b = x[0] * np.uint64(0xD2511F53), x[2] * np.uint64(0xCD9E8D57)
        high = np.uint64(32)
        x = [(b >> high) ^ x[1] ^ k[0], b & low, (a >> high) ^ x[3] ^ k[1], a & low]
    return np.stack(x, 1).reshape(-1)[:count].astype(np.uint32)


def sample_index(name, size):
    """Which elements of a big tensor a summary holds."""
    return (words(name, 0, SAMPLES) % np.uint32(size)).astype(np.int64)
