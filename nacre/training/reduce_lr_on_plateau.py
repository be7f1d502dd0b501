"""A learning rate that falls when training no longer gets better."""

from __future__ import annotations

from typing import Any

import numpy as np

from nacre.core.configurable import Configurable
from nacre.core.errors import ArgumentError, explain
from nacre.training.callbacks import Callback
from nacre.training.learning_rate_scheduler import current_learning_rate
from nacre.training.monitoring import Monitor

__all__ = ["ReduceLROnPlateau"]


class ReduceLROnPlateau(Configurable, Callback):
    """Lower the learning rate when a figure has not improved for ``patience`` epochs.

    ``learning_rate = max(factor * learning_rate, min_lr)``; the value used goes into the history
    as ``"learning_rate"``.

    Args:
        monitor: the figure's name in the logs.
        factor: what the learning rate is multiplied by, below 1.
        patience: epochs without improvement after which it is lowered.
        verbose: 1 to say when it is lowered.
        mode: ``"min"``, ``"max"``, or ``"auto"`` to know it from the figure's name.
        min_delta: a change smaller than this is no improvement.
        cooldown: epochs after a change during which the waiting does not start anew.
        min_lr: the learning rate never falls below this.

    Raises:
        ArgumentError: if ``factor`` is not below 1, ``mode`` is unknown, ``"auto"`` does not know
            the figure, or the optimizer has a schedule.

    Example:
        >>> from nacre.callbacks import ReduceLROnPlateau
        >>> reduce = ReduceLROnPlateau(monitor="val_loss", factor=0.2, patience=5, min_lr=1e-5)
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        factor: float = 0.1,
        patience: int = 10,
        verbose: int = 0,
        mode: str = "auto",
        min_delta: float = 1e-4,
        cooldown: int = 0,
        min_lr: float = 0.0,
    ) -> None:
        if factor >= 1:
            raise ArgumentError(
                explain(
                    "ReduceLROnPlateau: factor must make the learning rate smaller.",
                    expected="a number below 1",
                    received=repr(factor),
                )
            )
        self.monitor = monitor
        self.factor = factor
        self.patience = patience
        self.verbose = verbose
        self.mode = mode
        self.min_delta = min_delta
        self.cooldown = cooldown
        self.min_lr = min_lr
        self._figure = Monitor(type(self).__name__, monitor, mode, min_delta)
        self._begin()

    def _begin(self) -> None:
        self.best: Any = None
        self.wait = 0
        self.cooldown_counter = 0
        self._figure.begin()

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        self._begin()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        logs = {} if logs is None else logs
        logs["learning_rate"] = current_learning_rate(type(self).__name__, self.model.optimizer)
        value = self._figure.read(logs)
        if value is None:
            return
        if self.in_cooldown():
            self.cooldown_counter -= 1
            self.wait = 0
        if self._figure.improved(value, self.best, self.model):
            self.best = value
            self.wait = 0
        elif not self.in_cooldown():
            self.wait += 1
            if self.wait >= self.patience:
                self._reduce(epoch)

    def _reduce(self, epoch: int) -> None:
        optimizer = self.model.optimizer
        rate = float(optimizer.learning_rate)
        if rate <= np.float32(self.min_lr):
            return
        rate = max(rate * self.factor, self.min_lr)
        optimizer.learning_rate = rate
        self.cooldown_counter = self.cooldown
        self.wait = 0
        if self.verbose > 0:
            print(f"Epoch {epoch + 1}: ReduceLROnPlateau lowers the learning rate to {rate:g}.")

    def in_cooldown(self) -> bool:
        """Whether a recent change is still being given time."""
        return self.cooldown_counter > 0
