"""Many steps in one compiled call, with one program for every number of steps.

A call runs *segments*: a segment is some full steps, one after the other, then perhaps the short
last step of an epoch. Bounds are values, not shapes, so a call of one step and a call of ten epochs
are the same program. The loop stops at the first loss that is not finite, with the last good carry.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from nacre.data.borrowed import rows_of, stretch_of
from nacre.training.objective import Objective
from nacre.training.step import Carry, Constants

__all__ = ["FULL", "SHORT", "START", "Program"]

# The columns of a segment: where its examples begin in the order, how many full steps it has,
# whether the short step follows, and whether the epoch (and so its metrics) ends with it.
START, FULL, SHORT, ENDS = range(4)


class Program:
    """A compiled run of steps over examples that lie on the device.

    Args:
        step: a function ``(carry, batch, constants) -> carry``.
        objective: gives the metrics' first totals and their results.
        batch_size: examples in a full step.
        remainder: examples in the short step; 0 if there is none.
        most_segments: how many segments a call may run.
    """

    def __init__(
        self,
        step: Callable[[Carry, Any, Constants], Carry],
        objective: Objective,
        batch_size: int,
        remainder: int = 0,
        most_segments: int = 1,
    ) -> None:
        self.batch_size = batch_size
        self.remainder = remainder
        self.most_segments = most_segments
        self.names = objective.result_names
        self._step = step
        self._objective = objective
        self._run = jax.jit(self._segments)

    def __call__(
        self,
        carry: Carry,
        constants: Constants,
        data: Any,
        order: np.ndarray | None,
        segments: list[tuple[int, int, int, int]],
    ) -> tuple[Carry, jax.Array]:
        """Run segments. Returns the carry and, for each segment, a row of metrics.

        Args:
            carry: what the first step starts from.
            constants: what the steps read.
            data: the examples, along the first axis of each array.
            order: the rows in the order in which steps take them, or None for as they lie.
            segments: what to run; each is ``(start, full, short, ends)``.

        A row begins with 1 if every loss was finite, else 0.
        """
        table = np.zeros((self.most_segments, 4), np.int32)
        table[: len(segments)] = segments
        return self._run(carry, constants, data, order, table, np.int32(len(segments)))

    def _segments(
        self,
        carry: Carry,
        constants: Constants,
        data: Any,
        order: jax.Array | None,
        segments: jax.Array,
        count: jax.Array,
    ) -> tuple[Carry, jax.Array]:
        initial = self._objective.initial()

        def body(loop: tuple[Any, ...]) -> tuple[Any, ...]:
            i, carry, rows = loop
            segment = lax.dynamic_index_in_dim(segments, i, keepdims=False)
            carry = self._segment(carry, constants, data, order, segment)
            row = jnp.stack(
                [carry.finite.astype(jnp.float32), *self._objective.results(carry.totals)]
            )
            ends = (segment[ENDS] > 0) & carry.finite
            totals = jax.tree.map(lambda a, b: jnp.where(ends, a, b), initial, carry.totals)
            rows = lax.dynamic_update_index_in_dim(rows, row, i, 0)
            return i + 1, carry._replace(totals=totals), rows

        def more(loop: tuple[Any, ...]) -> jax.Array:
            i, carry, _ = loop
            return (i < count) & carry.finite

        rows = jnp.zeros((self.most_segments, 1 + len(self.names)), jnp.float32)
        _, carry, rows = lax.while_loop(more, body, (jnp.int32(0), carry, rows))
        return carry, rows

    def _segment(
        self, carry: Carry, constants: Constants, data: Any, order: Any, segment: jax.Array
    ) -> Carry:
        start, size = segment[START], self.batch_size

        def batch(offset: jax.Array, size: int) -> Any:
            if order is None:
                return stretch_of(data, offset, size)
            return rows_of(data, lax.dynamic_slice_in_dim(order, offset, size))

        def more(loop: tuple[jax.Array, Carry]) -> jax.Array:
            i, carry = loop
            return (i < segment[FULL]) & carry.finite

        def full(loop: tuple[jax.Array, Carry]) -> tuple[jax.Array, Carry]:
            i, carry = loop
            return i + 1, self._step(carry, batch(start + i * size, size), constants)

        _, carry = lax.while_loop(more, full, (jnp.int32(0), carry))
        if self.remainder:

            def short(carry: Carry) -> Carry:
                offset = start + segment[FULL] * size
                return self._step(carry, batch(offset, self.remainder), constants)

            carry = lax.cond((segment[SHORT] > 0) & carry.finite, short, lambda c: c, carry)
        return carry

    def logs(self, row: np.ndarray) -> dict[str, float]:
        """A row of metrics by name."""
        return dict(zip(self.names, row[1:].tolist()))
