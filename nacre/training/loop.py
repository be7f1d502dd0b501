"""The host's side of training: how many steps to ask for, and what to do between calls."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from nacre.training.callbacks import CallbackList
from nacre.training.interrupts import Interrupts
from nacre.training.program import Program
from nacre.training.step import Carry, Constants

__all__ = ["Fit", "Pace", "run_evaluation"]

LONGEST_CALL = 0.3  # seconds: how long a Ctrl-C or a redraw of the progress bar may have to wait


class Pace:
    """How many steps to ask for in one call, so that a call takes about ``LONGEST_CALL``.

    Args:
        single: always one step, because a callback looks at every batch.
    """

    def __init__(self, single: bool = False) -> None:
        self.single = single
        self.steps = 1  # the first call compiles; a step on its own tells little about the pace
        self._calls = 0

    def note(self, steps: int, seconds: float) -> None:
        """Learn from a call of ``steps`` that took ``seconds``."""
        self._calls += 1
        if self.single:
            return
        if self._calls == 1:
            self.steps = 4
            return
        fitting = steps * LONGEST_CALL / max(seconds, 1e-9)
        self.steps = int(max(1, min(fitting, self.steps * 16, 10**9)))


class Fit:
    """A run of training over data that lies on the device.

    Args:
        program: the compiled steps.
        data: the examples, on the device.
        carry: what the steps start from; its memory is given up.
        constants: what they read, asked for before each call, so that a new learning rate counts.
        order: the order of the examples in an epoch, or None to take them as they lie.
        callbacks: what to tell.
        validate: the figures of an epoch's validation, or None.
        publish: give the model its weights from a carry; returns the carry to go on with.
        stopped: whether a callback has asked to stop.
    """

    def __init__(
        self,
        program: Program,
        data: Any,
        carry: Carry,
        constants: Callable[[], Constants],
        order: Callable[[int], np.ndarray] | None,
        callbacks: CallbackList,
        validate: Callable[[Carry], dict[str, float]] | None,
        publish: Callable[[Carry], None],
        reload: Callable[[Carry], Carry],
        stopped: Callable[[], bool],
    ) -> None:
        self.program = program
        self.data = data
        self.carry = carry
        self.constants = constants
        self.order = order
        self.callbacks = callbacks
        self.validate = validate
        self.publish = publish
        self.reload = reload
        self.stopped = stopped
        self.epoch = 0
        self.step = 0  # within the epoch
        self.interrupted = False
        self.finite = True
        self._begun: int | None = None
        self._pace = Pace(single=callbacks.needs_batches)
        self._orders: dict[int, np.ndarray] = {}
        self._buffer: tuple[int, int, np.ndarray] | None = None

    def run(self, first: int, last: int) -> None:
        """Train from epoch ``first`` up to, and without, epoch ``last``."""
        self.epoch = first
        with Interrupts() as interrupts:
            while self.epoch < last and self.finite and not self.stopped():
                self._call(last)
                if interrupts.requested:
                    self.interrupted = True
                    break

    def _call(self, last: int) -> None:
        """One compiled call, and what the host does after it."""
        self._begin_epoch(self.epoch)
        segments = self._plan(last)
        if self._pace.single:
            self.callbacks.on_train_batch_begin(self.step, {})
        started = time.perf_counter()
        self.carry, table = self.program(
            self.carry, self.constants(), self.data, self._order_of(len(segments)), segments
        )
        self._prepare_orders(self.epoch + len(segments), last)
        rows = np.asarray(table)
        steps = sum(full + short for _, full, short, _ in segments)
        self._pace.note(steps, time.perf_counter() - started)
        self._show(segments, rows)
        for (_, full, short, ends), row in zip(segments, rows):
            self._after_segment(full + short, bool(ends), row)
            if not self.finite or self.stopped():
                break

    def _show(self, segments: list[tuple[int, int, int, int]], rows: np.ndarray) -> None:
        """Tell listeners how far the call has come: to its last segment that went well."""
        program = self.program
        last = sum(1 for row in rows[: len(segments)] if row[0]) - 1
        if last >= 0 and self.callbacks.needs_chunks:
            _, full, short, _ = segments[last]
            done = (self.step if last == 0 else 0) + full + short
            examples = min(done * program.batch_size, program.count)
            self.callbacks.on_chunk_end(
                self.epoch + last, done, program.steps, examples, program.logs(rows[last])
            )

    def _plan(self, last: int) -> list[tuple[int, int, int, int]]:
        """The segments of the next call: up to the pace's steps, or to where the host must act."""
        program, left = self.program, self._pace.steps
        one_epoch = self.callbacks.needs_epochs or self.validate is not None or self._pace.single
        segments: list[tuple[int, int, int, int]] = []
        epoch, step = self.epoch, self.step
        while left > 0 and epoch < last and len(segments) < program.most_epochs:
            until = min(step + left, program.steps)
            full = min(until, program.full_steps) - min(step, program.full_steps)
            ends = until == program.steps
            short = int(ends and bool(program.remainder))
            start = len(segments) * program.count + step * program.batch_size
            segments.append((start, full, short, int(ends)))
            if one_epoch or not ends:
                break
            left, epoch, step = left - (until - step), epoch + 1, 0
        return segments

    def _order_of(self, epochs: int) -> np.ndarray | None:
        """The orders of the epochs from the current one, one after the other."""
        if self.order is None:
            return None
        if self._buffer is not None:
            first, known, buffer = self._buffer
            if first == self.epoch and known >= epochs:
                return buffer
        count = self.program.count
        buffer = np.zeros(self.program.most_epochs * count, np.int32)
        for i in range(epochs):
            buffer[i * count : (i + 1) * count] = self._order(self.epoch + i)
        self._buffer = (self.epoch, epochs, buffer)
        return buffer

    def _order(self, epoch: int) -> np.ndarray:
        if epoch not in self._orders:
            assert self.order is not None
            self._orders[epoch] = self.order(epoch)
        return self._orders[epoch]

    def _prepare_orders(self, upcoming: int, last: int) -> None:
        """Draw the orders of the epochs to come while the device is busy."""
        if self.order is not None:
            self._orders = {e: o for e, o in self._orders.items() if e >= self.epoch}
            for epoch in range(upcoming, min(upcoming + self.program.most_epochs, last)):
                self._order(epoch)

    def _begin_epoch(self, epoch: int) -> None:
        if self._begun != epoch:
            self._begun = epoch
            self.callbacks.on_epoch_begin(epoch, {})

    def _after_segment(self, steps: int, ends: bool, row: np.ndarray) -> None:
        if not row[0]:
            self.finite = False
            return
        logs = self.program.logs(row)
        self._begin_epoch(self.epoch)
        if self._pace.single:
            self.callbacks.on_train_batch_end(self.step, logs)
        self.step += steps
        if ends:
            self._end_epoch(logs)

    def _end_epoch(self, logs: dict[str, float]) -> None:
        if self.validate is not None:
            logs = {**logs, **{f"val_{k}": v for k, v in self.validate(self.carry).items()}}
        epoch, self.epoch, self.step = self.epoch, self.epoch + 1, 0
        if self.callbacks.needs_epochs:
            self.publish(self.carry)
        self.callbacks.on_epoch_end(epoch, logs)
        if self.callbacks.needs_epochs:
            self.carry = self.reload(self.carry)


def run_evaluation(
    program: Program, data: Any, carry: Carry, constants: Constants, callbacks: CallbackList | None
) -> dict[str, float]:
    """The metrics over all examples, in calls of limited length."""
    single = callbacks is not None and callbacks.needs_test_batches
    pace, step = Pace(single=single), 0
    row = np.zeros(0)
    shown = callbacks is not None and callbacks.needs_chunks
    if not single:
        pace.steps = 64
    while step < program.steps:
        if single and callbacks is not None:
            callbacks.on_test_batch_begin(step, {})
        until = min(step + pace.steps, program.steps)
        full = min(until, program.full_steps) - min(step, program.full_steps)
        short = int(until == program.steps and bool(program.remainder))
        started = time.perf_counter()
        carry, rows = program(
            carry, constants, data, None, [(step * program.batch_size, full, short, 0)]
        )
        row = np.asarray(rows)[0]
        pace.note(until - step, time.perf_counter() - started)
        if single and callbacks is not None:
            callbacks.on_test_batch_end(step, program.logs(row))
        step = until
        if shown and callbacks is not None:
            examples = min(step * program.batch_size, program.count)
            callbacks.on_chunk_end(0, step, program.steps, examples, program.logs(row))
    return program.logs(row)
