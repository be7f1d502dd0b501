"""The history of a training run."""

from __future__ import annotations

from typing import Any

from nacre.training.callbacks import Callback

__all__ = ["History"]


class History(Callback):
    """What ``fit`` returns: the figures of every epoch.

    Attributes:
        history: from a figure's name to its values, one for each epoch, as in
            ``history.history["val_loss"]``.
        epoch: the numbers of the epochs, counting from 0.
        params: the run's parameters.

    Example:
        >>> from nacre.callbacks import History
        >>> history = History()
        >>> history.on_epoch_end(0, {"loss": 0.5})
        >>> history.on_epoch_end(1, {"loss": 0.25})
        >>> history.history, history.epoch
        ({'loss': [0.5, 0.25]}, [0, 1])
    """

    at_chunk_ends = True

    def __init__(self) -> None:
        self.history: dict[str, list[Any]] = {}
        self.epoch: list[int] = []

    def set_model(self, model: Any) -> None:
        super().set_model(model)
        model.history = self

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        self.epoch = []

    def resume_from(self, history: dict[str, list[Any]], epochs: list[int]) -> None:
        """Put the epochs of an earlier run before those to come."""
        self.history, self.epoch = history, epochs

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self.epoch.append(epoch)
        history = self.history
        for name, value in (logs or {}).items():
            if name in history:
                history[name].append(value)
            else:
                history[name] = [value]
