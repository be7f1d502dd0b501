"""Shuffling examples and keeping some for testing."""

from __future__ import annotations

import numpy as np

from nacre.core.errors import ArgumentError, explain

__all__ = ["Split", "shuffled_split"]

Split = tuple[np.ndarray, np.ndarray]


def shuffled_split(
    x: np.ndarray, y: np.ndarray, test_split: float, seed: int
) -> tuple[Split, Split]:
    """Shuffle the examples and keep the last ``test_split`` of them for testing.

    The order is that of NumPy's ``RandomState(seed)``, as in Keras, so the same file gives the
    same split.
    """
    if not 0 <= test_split < 1:
        raise ArgumentError(
            explain(
                "test_split is out of range.", expected="0 <= test_split < 1", received=test_split
            )
        )
    order = np.arange(len(x))
    np.random.RandomState(seed).shuffle(order)
    kept = int(len(x) * (1 - test_split))
    train, test = order[:kept], order[kept:]
    return (x[train], y[train]), (x[test], y[test])
