"""A stop when the loss is no longer a number."""

from __future__ import annotations

import math
from typing import Any

from nacre.core.configurable import Configurable
from nacre.core.errors import DataError, explain
from nacre.training.callbacks import Callback

__all__ = ["TerminateOnNaN"]


class TerminateOnNaN(Configurable, Callback):
    """Stop training when the loss is NaN or infinite.

    Args:
        raise_error: whether to raise an error instead of ending the run in good order.

    Raises:
        DataError: at such a loss, if ``raise_error``.

    Example:
        >>> from nacre.callbacks import TerminateOnNaN
        >>> terminate = TerminateOnNaN()

    Differences from Keras: the loss is looked at after each compiled call instead of each batch,
    so that training still runs many steps a call.
    """

    def __init__(self, raise_error: bool = False) -> None:
        self.raise_error = raise_error
        self._watching = False

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        self._watching = True

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        self._watching = False

    def on_chunk_end(
        self,
        epoch: int,
        steps_done: int,
        steps_total: int | None,
        examples_done: int,
        logs: dict[str, Any],
    ) -> None:
        self._check(logs, f"epoch {epoch + 1}, at or before step {steps_done}")

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._check(logs or {}, f"epoch {epoch + 1}")

    def _check(self, logs: dict[str, Any], place: str) -> None:
        loss = logs.get("loss")
        if not self._watching or loss is None or math.isfinite(loss):
            return
        self._watching = False
        problem = f"The loss became {loss} in {place}."
        if self.raise_error:
            fix = "lower the learning rate, scale the inputs, or clip the gradients (clipnorm=1)."
            raise DataError(explain(problem, expected="a finite loss", received=loss, fix=fix))
        print(f"{problem} Training stops.")
        self.model.stop_training = True
