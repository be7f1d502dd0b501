"""How long training takes: seconds of each epoch, examples a second, time left."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

__all__ = ["Lap", "Stopwatch"]


class Lap(NamedTuple):
    """What an epoch took.

    Attributes:
        seconds: of training and validation.
        training_seconds: of training alone.
        examples: the examples trained on.
    """

    seconds: float
    training_seconds: float
    examples: int


class Stopwatch:
    """Wall time, shared out among epochs by their steps, with validation kept apart.

    A compiled call may run several epochs, so nobody is there to look at the clock between them;
    each gets its share of the call's seconds. What callbacks take at the end of an epoch counts
    for the time left only.

    Args:
        clock: returns the time in seconds.

    Attributes:
        epoch: the epoch of the last step that is known of.
        steps_done: steps done in that epoch.
        steps_total: steps in an epoch, None while unknown.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._mark = clock()
        self.epoch = 0
        self.steps_done = 0
        self.steps_total: int | None = None
        self._examples_done = 0
        self._whole_epoch = 0.0  # examples; an estimate until an end of an epoch was seen
        self._seconds: dict[int, float] = {}
        self._validation_began = 0.0
        self._validation_seconds = 0.0  # of the epoch in progress
        self._aside_seconds = 0.0  # of validations and callbacks
        self._epochs_finished = 0
        self._first_epoch = 0
        self._calls = 0
        # Since the end of the first call, which compiles and so tells little about the pace.
        self._pace_seconds = self._pace_steps = self._pace_examples = 0.0

    def begin(self, epoch: int) -> None:
        """An epoch begins; the first one may have any number."""
        if not self._calls:
            self.epoch = self._first_epoch = epoch

    def _lap(self) -> float:
        now = self._clock()
        seconds, self._mark = now - self._mark, now
        return seconds

    def advance(
        self, epoch: int, steps_done: int, steps_total: int | None, examples_done: int
    ) -> None:
        """Training has come to ``steps_done`` steps of ``epoch``."""
        seconds = self._lap()
        self.steps_total = steps_total
        if steps_done == steps_total:
            self._whole_epoch = examples_done
        elif steps_total and steps_done and not self._whole_epoch:
            self._whole_epoch = examples_done * steps_total / steps_done
        steps = self._steps_by_epoch(epoch, steps_done)
        examples = self._examples_since(epoch, examples_done)
        total = sum(steps.values())
        for e, count in steps.items():
            share = count / total if total else float(e == epoch)
            self._seconds[e] = self._seconds.get(e, 0.0) + seconds * share
        self._calls += 1
        if self._calls <= 2:  # the first call, or the first after it
            self._pace_seconds = self._pace_steps = self._pace_examples = 0.0
        self._pace_seconds += seconds
        self._pace_steps += total
        self._pace_examples += examples
        self.epoch, self.steps_done, self._examples_done = epoch, steps_done, examples_done

    def _steps_by_epoch(self, epoch: int, steps_done: int) -> dict[int, int]:
        """The steps of each epoch since the last look."""
        total = self.steps_total
        if total is None or epoch <= self.epoch:
            before = self.steps_done if epoch == self.epoch else 0
            return {epoch: max(0, steps_done - before)}
        steps = {self.epoch: max(0, total - self.steps_done)}
        steps |= dict.fromkeys(range(self.epoch + 1, epoch), total)
        steps[epoch] = steps_done
        return steps

    def _examples_since(self, epoch: int, examples_done: int) -> float:
        if epoch <= self.epoch:
            return examples_done - (self._examples_done if epoch == self.epoch else 0)
        return (epoch - self.epoch) * self._whole_epoch - self._examples_done + examples_done

    def finish(self, epoch: int) -> Lap:
        """An epoch is over."""
        since = self._lap()
        if epoch in self._seconds:
            self._aside_seconds += since
        seconds = self._seconds.pop(epoch, since)
        validation, self._validation_seconds = self._validation_seconds, 0.0
        self._aside_seconds += validation
        self._epochs_finished += 1
        examples = self._examples_done if epoch == self.epoch else round(self._whole_epoch)
        return Lap(seconds + validation, seconds, examples)

    def begin_validation(self) -> None:
        """What follows is not training."""
        self._aside_seconds += self._lap()
        self._validation_began = self._mark

    def end_validation(self) -> None:
        """Training goes on."""
        self._lap()
        self._validation_seconds += self._mark - self._validation_began

    @property
    def examples_per_second(self) -> float | None:
        """The pace in wall time, without validation and, once possible, without compilation."""
        if not self._pace_examples or self._pace_seconds <= 0:
            return None
        return self._pace_examples / self._pace_seconds

    def seconds_left(self, epochs: int) -> float | None:
        """Estimated seconds to the end of ``epochs`` epochs, None while nothing is known.

        Validations and callbacks count with their mean duration so far.
        """
        if not self.steps_total or self._calls < 2 or not self._pace_steps:
            return None
        steps_left = (epochs - self.epoch) * self.steps_total - self.steps_done
        seconds = steps_left * self._pace_seconds / self._pace_steps
        if self._epochs_finished:
            epochs_left = epochs - self._first_epoch - self._epochs_finished
            seconds += epochs_left * self._aside_seconds / self._epochs_finished
        return max(0.0, seconds)
