"""Chance that repeats itself: named random streams, and a hash of numbers for draws that belong to a row.

Python's ``hash`` differs from process to process and the clock from run to run; neither is used anywhere here.
"""

import numpy as np


def stream(seed: int, *names: int) -> np.random.Generator:
    """Return the random stream of a seed and a purpose: adding a purpose leaves the others' draws alone."""
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, *names])))


def hashed(seed: int, purpose: int, *keys: np.ndarray | int) -> np.ndarray:
    """Return well mixed unsigned 63-bit numbers (as int64) made from integer keys, by SplitMix64.

    Args:
        seed: The simulation's seed.
        purpose: Which draw it is; different purposes give unrelated numbers.
        keys: Integer arrays (or integers) of one shape.
    """
    with np.errstate(over="ignore"):
        mixed = _mix(np.uint64(seed & 0xFFFF_FFFF) * np.uint64(0x9E37_79B9_7F4A_7C15) + np.uint64(purpose))
        for key in keys:
            mixed = _mix(mixed ^ np.asarray(key).astype(np.int64).view(np.uint64) + np.uint64(0x9E37_79B9_7F4A_7C15))
    return (mixed >> np.uint64(1)).astype(np.int64)


def _mix(value: np.ndarray) -> np.ndarray:
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58_476D_1CE4_E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D0_49BB_1331_11EB)
    return value ^ (value >> np.uint64(31))


def unit(numbers: np.ndarray) -> np.ndarray:
    """Return hashed numbers as fractions in [0, 1)."""
    return (numbers >> 10).astype(np.float64) / float(1 << 53)
