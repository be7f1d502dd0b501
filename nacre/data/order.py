"""The order of an epoch: a function of the seed and the epoch's number alone."""

from __future__ import annotations

import numpy as np

from nacre.core import random

__all__ = ["epoch_order"]


def epoch_order(seed: int, epoch: int, count: int) -> np.ndarray:
    """A permutation of ``0 .. count - 1``, the same whenever it is asked for.

    So a run can resume at any position from the position's number.
    """
    return random.generator(seed, "order", epoch).permutation(count).astype(np.int32)
