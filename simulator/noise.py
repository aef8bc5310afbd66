"""Hash noise: random numbers that are a function of a key and a position.

Nothing is drawn in order, so any part of a market can be computed without the parts before
it, and asking twice gives the same answer.
"""

from __future__ import annotations

import hashlib
from typing import Final

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Words = npt.NDArray[np.uint64]

_GOLDEN: Final = np.uint64(0x9E3779B97F4A7C15)
_MIX_1: Final = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2: Final = np.uint64(0x94D049BB133111EB)
_TO_UNIT: Final = 2.0**-53


def key(*parts: object) -> int:
    """64-bit key of the parts' texts; stable over processes and platforms."""
    text = "\x1f".join(str(part) for part in parts)
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")


def words(seed: int | Words, positions: Ints) -> Words:
    """One well mixed 64-bit word for each position (the finaliser of splitmix64).

    ``seed`` may be an array that broadcasts with ``positions``.
    """
    x = positions.astype(np.uint64)
    x += np.uint64(1)
    x *= _GOLDEN
    x = x ^ np.asarray(seed, dtype=np.uint64)
    x ^= x >> np.uint64(30)
    x *= _MIX_1
    x ^= x >> np.uint64(27)
    x *= _MIX_2
    x ^= x >> np.uint64(31)
    return x


def uniforms(seed: int | Words, positions: Ints) -> Floats:
    """Uniform numbers strictly between 0 and 1."""
    unit: Floats = (words(seed, positions) >> np.uint64(11)).astype(np.float64)
    unit += 0.5
    unit *= _TO_UNIT
    return unit


def normals(seed: int | Words, positions: Ints) -> Floats:
    """Standard normal numbers (Box and Muller)."""
    doubled = positions << 1
    radius = np.sqrt(-2.0 * np.log(uniforms(seed, doubled)))
    result: Floats = radius * np.cos(2.0 * np.pi * uniforms(seed, doubled + 1))
    return result


def uniform(seed: int, position: int) -> float:
    """One uniform number strictly between 0 and 1."""
    return float(uniforms(seed, np.array([position], dtype=np.int64))[0])


def smooth(seed: int, start: int, count: int, period_bits: int) -> Floats:
    """Value noise at ``count`` positions from ``start``.

    Normal numbers stand at every 2^bits-th position and are cosine-blended in between.
    """
    period = 1 << period_bits
    first = start >> period_bits
    cells = ((start + count - 1) >> period_bits) - first + 2
    heights = normals(seed, np.arange(first, first + cells, dtype=np.int64))
    blend = (1.0 - np.cos(np.pi * np.arange(period) / period)) / 2.0
    steps = heights[1:] - heights[:-1]
    blended: Floats = (heights[:-1, None] + steps[:, None] * blend).ravel()
    offset = start - (first << period_bits)
    return blended[offset : offset + count]
