"""A learning rate that is set anew for every epoch."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from nacre.core.configurable import Configurable
from nacre.core.errors import ArgumentError, explain
from nacre.training.callbacks import Callback

__all__ = ["LearningRateScheduler", "current_learning_rate"]


class LearningRateScheduler(Configurable, Callback):
    """Set the learning rate at the beginning of each epoch.

    ``learning_rate = schedule(epoch, learning_rate)``; the value used goes into the history as
    ``"learning_rate"``.

    Args:
        schedule: a function of the epoch, which counts from 0, and the current learning rate (or
            of the epoch alone) that returns the new learning rate.
        verbose: 1 to print each new value.

    Raises:
        ArgumentError: if ``schedule`` returns something that is not a number, or if the optimizer
            already has a schedule.

    Example:
        >>> from nacre.callbacks import LearningRateScheduler
        >>> halve = LearningRateScheduler(lambda epoch, lr: lr / 2 if epoch >= 10 else lr)
    """

    def __init__(self, schedule: Callable[..., Any], verbose: int = 0) -> None:
        self.schedule = schedule
        self.verbose = verbose
        self._takes_rate = _takes_two(schedule)

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        optimizer = self.model.optimizer
        rate = current_learning_rate(type(self).__name__, optimizer)
        rate = self.schedule(epoch, rate) if self._takes_rate else self.schedule(epoch)
        try:
            rate = float(rate)
        except (TypeError, ValueError):
            raise ArgumentError(
                explain(
                    f"LearningRateScheduler: the schedule returned no number in epoch {epoch}.",
                    expected="a float",
                    received=f"{rate!r} ({type(rate).__name__})",
                    fix="return the learning rate on every path through the function.",
                )
            ) from None
        optimizer.learning_rate = rate
        if self.verbose > 0:
            print(f"Epoch {epoch + 1}: LearningRateScheduler sets the learning rate to {rate:g}.")

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if logs is not None:
            rate = current_learning_rate(type(self).__name__, self.model.optimizer)
            logs["learning_rate"] = rate


def _takes_two(schedule: Callable[..., Any]) -> bool:
    try:
        signature = inspect.signature(schedule)
    except (TypeError, ValueError):  # some built-in functions have none
        return True
    try:
        signature.bind(0, 0.0)
    except TypeError:
        return False
    return True


def current_learning_rate(owner: str, optimizer: Any) -> float:
    """The learning rate that ``owner`` is about to change."""
    rate = optimizer.learning_rate
    if callable(rate):
        raise ArgumentError(
            explain(
                f"{owner} cannot change a learning rate that is a schedule.",
                expected="an optimizer whose learning_rate is a number",
                received=repr(rate),
                fix="leave out one of the two: give the optimizer a number, "
                f"or remove {owner} from the callbacks.",
            )
        )
    return float(rate)
