"""The order of an epoch: a function of the seed and the epoch's number alone."""

from __future__ import annotations

import numpy as np

__all__ = ["EpochOrder"]


class EpochOrder:
    """The permutation of the examples in each epoch, the same whenever it is asked for.

    So a run can resume at any position from the position's number. Philox is a counter-based
    generator: the seed is its key, and the epoch stands in the high word of its counter, so the
    epochs' streams never meet.

    Args:
        seed: the run's seed.
        count: the number of examples.

    Reference: Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011.

    Example:
        >>> order = EpochOrder(seed=1, count=5)
        >>> sorted(order(7).tolist()), bool((order(7) == order(7)).all())
        ([0, 1, 2, 3, 4], True)
    """

    def __init__(self, seed: int, count: int) -> None:
        self._bits = np.random.Philox(key=seed)
        self._generator = np.random.Generator(self._bits)
        self._examples = np.arange(count, dtype=np.int32)
        self._start = self._bits.state

    def __call__(self, epoch: int) -> np.ndarray:
        # Setting the state of one generator costs a third of making a new one.
        self._start["state"]["counter"][:] = (0, 0, 0, epoch)
        self._bits.state = self._start
        return self._generator.permutation(self._examples)
