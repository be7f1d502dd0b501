"""Early stopping."""

from __future__ import annotations

from typing import Any

from nacre.core.configurable import Configurable
from nacre.training.callbacks import Callback
from nacre.training.monitoring import Monitor

__all__ = ["EarlyStopping"]


class EarlyStopping(Configurable, Callback):
    """Stop training when a figure has not improved for ``patience`` epochs.

    Args:
        monitor: the figure's name in the logs.
        min_delta: a change smaller than this is no improvement.
        patience: epochs without improvement after which training stops.
        verbose: 1 to say when it stops and which weights it restores.
        mode: ``"min"``, ``"max"``, or ``"auto"`` to know it from the figure's name.
        baseline: the figure must also be better than this value for the waiting to start anew.
        restore_best_weights: whether to end with the weights of the best epoch instead of the
            last one's.
        start_from_epoch: epochs that do not count, at the beginning.

    Attributes:
        stopped_epoch: the epoch at whose end it stopped training, 0 if it did not.
        best: the best value of the figure.
        best_epoch: its epoch, counting from 0.

    Raises:
        ArgumentError: if ``mode`` is unknown, or ``"auto"`` does not know the figure.

    Example:
        >>> from nacre.callbacks import EarlyStopping
        >>> stop = EarlyStopping(monitor="val_accuracy", patience=3, restore_best_weights=True)
        >>> stop.patience
        3

    Reference: Prechelt, "Early stopping - but when?", 1998.
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        min_delta: float = 0,
        patience: int = 0,
        verbose: int = 0,
        mode: str = "auto",
        baseline: float | None = None,
        restore_best_weights: bool = False,
        start_from_epoch: int = 0,
    ) -> None:
        self.monitor = monitor
        self.min_delta = min_delta
        self.patience = patience
        self.verbose = verbose
        self.mode = mode
        self.baseline = baseline
        self.restore_best_weights = restore_best_weights
        self.start_from_epoch = start_from_epoch
        self._figure = Monitor(type(self).__name__, monitor, mode, min_delta)
        self._begin()

    def _begin(self) -> None:
        self.wait = 0
        self.stopped_epoch = 0
        self.best: Any = None
        self.best_epoch = 0
        self.best_weights: Any = None
        self._figure.begin()

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        self._begin()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        value = self._figure.read(logs or {})
        if value is None or epoch < self.start_from_epoch:
            return
        self.wait += 1
        if self._figure.improved(value, self.best, self.model):
            self._remember(epoch, value)
            if self.baseline is None or self._figure.improved(value, self.baseline, self.model):
                self.wait = 0
        elif self.wait >= self.patience and epoch > 0:
            self.stopped_epoch = epoch
            self.model.stop_training = True

    def _remember(self, epoch: int, value: Any) -> None:
        self.best = value
        self.best_epoch = epoch
        if self.restore_best_weights:
            self.best_weights = self.model.get_weights()

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        if self.stopped_epoch > 0 and self.verbose > 0:
            print(f"Epoch {self.stopped_epoch + 1}: early stopping")
        if self.best_weights is not None:
            if self.verbose > 0:
                print(
                    "Restoring model weights from the end of the best epoch: "
                    f"{self.best_epoch + 1}."
                )
            self.model.set_weights(self.best_weights)
