"""One call that seeds everything random in a program."""

from __future__ import annotations

import random

import numpy as np

from nacre.core.random import set_seed

__all__ = ["set_random_seed"]


def set_random_seed(seed: int) -> None:
    """Seed Nacre, and Python's and NumPy's global generators too.

    Args:
        seed: a whole number from 0 to 2**32 - 1.

    Raises:
        ArgumentError: if ``seed`` is not a whole number, or is negative.

    Example:
        >>> set_random_seed(7)
    """
    set_seed(seed)
    random.seed(seed)
    np.random.seed(seed)
