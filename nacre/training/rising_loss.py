"""A warning when the loss rises from the start: the learning rate is then too high."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from nacre.core.errors import explain
from nacre.training.callbacks import Callback

__all__ = ["RisingLoss"]

# A healthy run of cross-entropy stays below that of guessing, log(classes).
HOPELESS = 5.0
LEAST = 0.01  # losses below are noise


class RisingLoss(Callback):
    """Watches the first three epochs of a model's first run, at no cost to it.

    It warns where the loss rises from epoch to epoch to at least twice the first one's. Where the
    loss of guessing is known, it warns after the first epoch if the loss is far above that and has
    risen since the first step.

    Args:
        warn: called with the message.
        guessing: the loss of a model that guesses, log(classes) for a cross-entropy; or None.
    """

    at_chunk_ends = True

    def __init__(self, warn: Callable[[str], None], guessing: float | None) -> None:
        self._warn = warn
        self._guessing = guessing
        self._first_step: float | None = None
        self._losses: list[float] = []

    def on_chunk_end(
        self,
        epoch: int,
        steps_done: int,
        steps_total: int | None,
        examples_done: int,
        logs: dict[str, Any],
    ) -> None:
        if self._first_step is None:
            self._first_step = logs.get("loss", math.nan)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if len(self._losses) == 3:
            return
        self._losses.append((logs or {}).get("loss", math.nan))
        if self._is_hopeless() or self._rises():
            self._losses += [math.nan] * (3 - len(self._losses))
            self._warn(self._message())

    def _is_hopeless(self) -> bool:
        first, losses = self._first_step, self._losses
        if len(losses) != 1 or self._guessing is None or first is None:
            return False
        return losses[0] > HOPELESS * self._guessing and losses[0] > 2 * first

    def _rises(self) -> bool:
        if len(self._losses) != 3:
            return False
        first, second, third = self._losses
        return first < second < third and third > max(2 * first, LEAST) and first > 0

    def _message(self) -> str:
        losses = [loss for loss in self._losses if not math.isnan(loss)]
        if len(losses) == 1:
            losses = [self._first_step or 0.0, *losses]
        rate = getattr(self.model.optimizer, "learning_rate", None)
        known = isinstance(rate, int | float) or hasattr(rate, "__float__")
        shown = f"learning_rate={float(rate):g}" if known else "its learning rate"  # type: ignore
        return explain(
            "The loss rises from the start: the steps are too large.",
            expected="a loss that falls over the first epochs",
            received=f"{' -> '.join(f'{loss:.3g}' for loss in losses)} with {shown}",
            fix="try a learning rate ten times lower, and inputs scaled to about -1..1.",
        )
