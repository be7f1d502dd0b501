"""The host's side of training: how many steps to ask for, and what to do between calls."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from nacre.core.errors import ArgumentError, explain
from nacre.saving.run_file import RunState, resumed_totals
from nacre.training.callbacks import CallbackList
from nacre.training.feeds import Feed, Request, Segment
from nacre.training.interrupts import Interrupts
from nacre.training.step import Carry, Constants

__all__ = ["Fit", "Pace", "Validation", "run_evaluation"]

LONGEST_CALL = 0.4  # seconds: how long a Ctrl-C or a redraw of the progress bar may have to wait


class Pace:
    """How many steps to ask for in one call, so that a call takes about ``LONGEST_CALL``.

    Args:
        single: always one step, because a callback looks at every batch.
    """

    def __init__(self, single: bool = False) -> None:
        self.single = single
        self.steps = 1
        self._previous = 0.0  # seconds a step, in the call before the last
        self._calls = 0

    def note(self, steps: int, seconds: float) -> None:
        """Learn from a call of ``steps`` that took ``seconds``."""
        self._calls += 1
        if self.single or self._calls == 1:  # the first call compiles
            return
        pace = max(seconds / steps, 1e-9)
        fitting = LONGEST_CALL / max(pace, self._previous)
        self._previous = pace
        self.steps = int(max(1, min(fitting, self.steps * 16, 10**9)))


class Validation:
    """What is computed after some of the epochs.

    Args:
        compute: the figures for a carry; it may stop waiting for data when the function it is
            given says so, and then returns None.
        due: whether an epoch is followed by it.
    """

    def __init__(
        self,
        compute: Callable[[Carry, Callable[[], bool]], dict[str, float] | None],
        due: Callable[[int], bool],
    ) -> None:
        self.compute = compute
        self.due = due


class Fit:
    """A run of training.

    Args:
        feed: plans the calls.
        carry: what the steps start from.
        constants: what they read, asked for before each call, so that a new learning rate counts.
        callbacks: what to tell.
        validation: what to compute after epochs, or None.
        publish: give the model its weights from a carry, and the number of epochs that are done;
            this is called after every call.
        reload: the carry to go on with, since callbacks may have changed the model.
        stopped: whether a callback has asked to stop.

    Attributes:
        carry: what the last call left.
        epoch: the epoch that comes next, or is under way.
        step: the step of the epoch that comes next.
        finite: whether every loss and gradient was finite, or that did not matter.
        failed: the examples of the step in which one was not, or None.
        taken: the steps run so far, those that changed nothing among them.
        figures: the figures of the epoch so far, or of the last one.
        interrupted: whether the run was stopped by Ctrl-C.
        dry: whether it stopped because there were no more data.
    """

    def __init__(
        self,
        feed: Feed,
        carry: Carry,
        constants: Callable[[], Constants],
        callbacks: CallbackList,
        validation: Validation | None,
        publish: Callable[[Carry, int], None],
        reload: Callable[[Carry], Carry],
        stopped: Callable[[], bool],
    ) -> None:
        self.feed = feed
        self.carry = carry
        self.constants = constants
        self.callbacks = callbacks
        self.validation = validation
        self.publish = publish
        self.reload = reload
        self.stopped = stopped
        self.epoch = 0
        self.step = 0
        self.interrupted = False
        self.finite = True
        self.failed: Any = None
        self.dry = False
        self._begun: int | None = None
        self._first = int(carry.step)
        self.taken = 0
        self.figures: dict[str, float] = {}
        self._totals = carry.totals
        self._pace = Pace(single=callbacks.needs_batches)
        self._interrupts = Interrupts()

    @property
    def updates(self) -> int:
        """The updates of the weights made so far, over all runs."""
        return int(self.carry.step)

    @property
    def skipped(self) -> int:
        """The steps that changed nothing, because their loss or gradient was not finite."""
        return self._first + self.taken - self.updates

    def resume(self, state: RunState) -> None:
        """Go on in the middle of an epoch, where an earlier run stood."""
        self.step, self.figures = state.step, state.figures
        if state.step and self.feed.steps not in (None, state.steps):
            raise ArgumentError(
                explain(
                    "The run to resume stopped in the middle of an epoch of other data or batches.",
                    expected=f"an epoch of {state.steps} steps",
                    received=f"an epoch of {self.feed.steps} steps",
                    fix="pass fit what it was given before, or delete the backup to begin anew.",
                )
            )
        if state.step:
            self.carry = self.carry._replace(totals=resumed_totals(self.carry.totals, state.totals))

    def run(self, first: int, last: int) -> None:
        """Train from epoch ``first`` up to, and without, epoch ``last``."""
        self.epoch = first
        with self._interrupts as interrupts:
            while self.epoch < last and self.finite and not self.dry and not self.stopped():
                self._call(last)
                self.interrupted = interrupts.requested
                # A stop in the middle of a call leaves the weights ahead of the epoch and step.
                if self.finite and (self.callbacks.needs_epochs or not self.stopped()):
                    self.callbacks.on_pause(self)
                if self.interrupted:
                    break

    def _call(self, last: int) -> None:
        """One compiled call, and what the host does before and after it."""
        self._begin_epoch(self.epoch)
        interrupts = self._interrupts
        steps = min(self._pace.steps, self.callbacks.most_steps or self._pace.steps)
        call = self.feed.plan(
            Request(self.epoch, self.step, steps, last, self._pauses, interrupts.is_requested)
        )
        if call is None:
            if not interrupts.requested:
                self._out_of_data()
            return
        segments = call.segments
        if self._pace.single:
            self.callbacks.on_train_batch_begin(self.step, {})
        carry = self.reload(self.carry)
        started = time.perf_counter()
        carry, table = call.program(carry, self.constants(), call.data, call.order, segments)
        self.feed.prepare(self.epoch + len(segments), last)
        rows = np.asarray(table)
        with interrupts.held:  # so that the weights are all from one call
            self.carry = carry
            self.publish(carry, self.epoch)
        steps = sum(full + short for _, full, short, _ in segments)
        self._pace.note(steps, time.perf_counter() - started)
        logs = [call.program.logs(row) for row in rows[: len(segments)]]
        self._show(segments, rows, logs)
        before = self.taken
        for (_, full, short, ends), row, figures in zip(segments, rows, logs, strict=False):
            if not row[0]:
                good = self.updates - self._first
                self.finite, self.failed = False, call.batch(good - before)
                self.step += good - self.taken
                break
            self.taken += full + short
            self._after_segment(full + short, bool(ends), figures)
            if self.stopped():
                break

    def _pauses(self, epoch: int) -> bool:
        """Whether the host must act between an epoch and the next."""
        return (
            self.callbacks.needs_epochs
            or self._pace.single
            or (self.validation is not None and self.validation.due(epoch))
        )

    def _show(
        self, segments: list[Segment], rows: np.ndarray, logs: list[dict[str, float]]
    ) -> None:
        """Tell listeners how far the call has come: to its last segment that went well."""
        good = sum(1 for row in rows[: len(segments)] if row[0])
        if not good or not self.callbacks.needs_chunks:
            return
        epoch, step = self.epoch, self.step
        for i, (_, full, short, ends) in enumerate(segments[:good]):
            step += full + short
            if ends and i < good - 1:
                epoch, step = epoch + 1, 0
        examples = self.feed.examples(epoch, step)
        self.callbacks.on_chunk_end(epoch, step, self.feed.steps, examples, logs[good - 1])

    def _begin_epoch(self, epoch: int) -> None:
        if self._begun != epoch:
            self._begun = epoch
            self.callbacks.on_epoch_begin(epoch, {})

    def _after_segment(self, steps: int, ends: bool, logs: dict[str, float]) -> None:
        self._begin_epoch(self.epoch)
        if self._pace.single:
            self.callbacks.on_train_batch_end(self.step, logs)
        self.step += steps
        self.figures = logs
        if ends:
            self._end_epoch(logs)

    def _out_of_data(self) -> None:
        """The epoch had no more data than has been trained on."""
        steps, expected = self.step, self.feed.steps
        self.dry = steps == 0 or (self.feed.exhausted and expected is not None and steps < expected)
        if steps:
            self.carry = self.carry._replace(totals=self._totals)
            self._end_epoch(self.figures)

    def _end_epoch(self, logs: dict[str, float]) -> None:
        validation = self.validation
        if validation is not None and validation.due(self.epoch):
            figures = validation.compute(self.carry, self._interrupts.is_requested)
            logs = {**logs, **{f"val_{name}": value for name, value in (figures or {}).items()}}
        epoch, self.epoch, self.step = self.epoch, self.epoch + 1, 0
        if self.callbacks.needs_epochs:
            self.publish(self.carry, self.epoch)  # once more, since the epoch is another
        self.callbacks.on_epoch_end(epoch, logs)


def run_evaluation(
    feed: Feed,
    carry: Carry,
    constants: Constants,
    pace: Pace,
    callbacks: CallbackList | None = None,
    given_up: Callable[[], bool] = lambda: False,
) -> dict[str, float] | None:
    """The metrics over all examples, in calls of limited length.

    Args:
        feed: plans the calls.
        carry: what to evaluate; its totals are those of no examples.
        constants: what the steps read.
        pace: how many steps to run in a call.
        callbacks: what to tell, or None.
        given_up: whether to stop.

    Returns:
        The metrics; None if there were no examples, or it was given up.
    """
    step, ends = 0, 0
    logs: dict[str, float] | None = None
    feed.rewind()
    while not ends and not given_up():
        call = feed.plan(Request(step=step, steps=pace.steps, given_up=given_up))
        if call is None:
            break
        if pace.single and callbacks is not None:
            callbacks.on_test_batch_begin(step, {})
        _, full, short, ends = call.segments[0]
        started = time.perf_counter()
        carry, rows = call.program(carry, constants, call.data, call.order, call.segments)
        logs = call.program.logs(np.asarray(rows)[0])
        pace.note(full + short, time.perf_counter() - started)
        if pace.single and callbacks is not None:
            callbacks.on_test_batch_end(step, logs)
        step += full + short
        if callbacks is not None and callbacks.needs_chunks:
            callbacks.on_chunk_end(0, step, feed.steps, feed.examples(0, step), logs)
    return None if given_up() else logs
