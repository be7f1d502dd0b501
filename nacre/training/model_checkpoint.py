"""The model written to a file while it is trained."""

from __future__ import annotations

import os
import re
import warnings
from typing import Any

from nacre.core.arguments import positive_integer
from nacre.core.configurable import Configurable
from nacre.core.errors import ArgumentError, explain
from nacre.saving.atomic import remove_leftovers
from nacre.training.callbacks import Callback
from nacre.training.monitoring import Monitor

__all__ = ["CheckpointWarning", "ModelCheckpoint", "StepCounter"]


class CheckpointWarning(RuntimeWarning):
    """A checkpoint could not be written; training goes on, and the one before is still there."""


class StepCounter:
    """When the next of something that comes after every so many steps is due.

    Args:
        owner: the callback's name, for messages.
        save_freq: ``"epoch"``, or the number of steps.
    """

    def __init__(self, owner: str, save_freq: Any) -> None:
        if save_freq != "epoch":
            positive_integer(owner, "save_freq", save_freq)
        self.every = None if save_freq == "epoch" else int(save_freq)
        self.begin()

    def begin(self) -> None:
        """Count from here."""
        self._seen = 0
        self._last: int | None = None

    @property
    def left(self) -> int | None:
        """The steps until it is due; None if it is due at the end of epochs."""
        return None if self.every is None else self.every - self._seen

    def advance(self, updates: int) -> bool:
        """Note that ``updates`` have been made since training began; whether it is due now."""
        if self.every is None:
            return False
        if self._last is not None:
            self._seen += updates - self._last
        self._last = updates
        due = self._seen >= self.every
        if due:
            self._seen = 0
        return due


class ModelCheckpoint(Configurable, Callback):
    """Save the model, or its weights, at the end of epochs or after every so many steps.

    A file appears as a whole or not at all: when the process is killed, or the disk is full, what
    was there before is still there. A file that cannot be written is a warning, and training goes
    on.

    Args:
        filepath: the file. It may hold names of figures to format, ``epoch`` (which counts from 1)
            and, where steps are counted, ``batch``: ``"{epoch:02d}-{val_loss:.2f}.nacre"``. A
            folder that does not exist is made.
        monitor: the figure's name in the logs, for ``save_best_only``.
        verbose: 1 to say what is saved and why.
        save_best_only: whether to save only when the figure is better than ever before.
        save_weights_only: whether to write only the weights, as ``model.save_weights`` does.
        mode: ``"min"``, ``"max"``, or ``"auto"`` to know it from the figure's name.
        save_freq: ``"epoch"``, or the number of steps between two checkpoints.
        initial_value_threshold: the figure must be better than this to be saved at all.

    Attributes:
        best: the best value of the figure that has been saved.

    Raises:
        ArgumentError: if ``mode`` is unknown, ``save_freq`` is neither, or ``filepath`` names a
            figure that there is not.

    Example:
        >>> from nacre.callbacks import ModelCheckpoint
        >>> best = ModelCheckpoint("best.nacre", monitor="val_accuracy", save_best_only=True)
        >>> best.best is None
        True

    Differences from Keras: any name will do for a file, and an error of the disk does not end the
    run. Steps between two checkpoints still share compiled calls.
    """

    def __init__(
        self,
        filepath: str | os.PathLike[str],
        monitor: str = "val_loss",
        verbose: int = 0,
        save_best_only: bool = False,
        save_weights_only: bool = False,
        mode: str = "auto",
        save_freq: str | int = "epoch",
        initial_value_threshold: float | None = None,
    ) -> None:
        self.filepath = filepath
        self.monitor = monitor
        self.verbose = verbose
        self.save_best_only = save_best_only
        self.save_weights_only = save_weights_only
        self.mode = mode
        self.save_freq = save_freq
        self.initial_value_threshold = initial_value_threshold
        self.best: Any = initial_value_threshold
        self._figure = Monitor(type(self).__name__, monitor, mode, 0)
        self._counter = StepCounter(type(self).__name__, save_freq)
        self._latest: tuple[int, int, dict[str, Any]] = (0, 0, {})

    @property
    def most_steps(self) -> int | None:
        """The steps until a checkpoint is due."""
        return self._counter.left

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        self._figure.begin()
        self._counter.begin()
        self._counter.advance(self.model.trainer.step)
        remove_leftovers(re.sub(r"\{.*?\}", "*", os.fspath(self.filepath)))

    def on_chunk_end(
        self,
        epoch: int,
        steps_done: int,
        steps_total: int | None,
        examples_done: int,
        logs: dict[str, Any],
    ) -> None:
        self._latest = (epoch, steps_done, logs)

    def on_pause(self, run: Any) -> None:
        if self._counter.advance(run.updates):
            epoch, steps, logs = self._latest
            self._save(epoch, logs, batch=steps)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if self._counter.every is None:
            self._save(epoch, logs or {})

    def _save(self, epoch: int, logs: dict[str, Any], **more: int) -> None:
        value = None
        if self.save_best_only:
            value = self._figure.read(logs)
            if value is None or not self._is_better(epoch, value):
                return
        path = self._path(epoch, logs, more)
        try:
            os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
            if self.save_weights_only:
                self.model.save_weights(path)
            else:
                self.model.save(path)
        except OSError as error:
            _warn(epoch, path, error)
            return
        if self.verbose > 0:
            print(f"Epoch {epoch + 1}: {self._reason(value)}saved the model to {path}.")
        if value is not None:
            self.best = value

    def _is_better(self, epoch: int, value: Any) -> bool:
        better = self._figure.improved(value, self.best, self.model)
        if not better and self.verbose > 0:
            print(f"Epoch {epoch + 1}: {self.monitor} did not improve from {self.best:.5f}.")
        return better

    def _reason(self, value: Any) -> str:
        if value is None:
            return ""
        if self.best is None:
            return f"{self.monitor} is {value:.5f}, "
        return f"{self.monitor} improved from {self.best:.5f} to {value:.5f}, "

    def _path(self, epoch: int, logs: dict[str, Any], more: dict[str, int]) -> str:
        names = {"epoch": epoch + 1, **more, **logs}
        try:
            return os.fspath(self.filepath).format(**names)
        except (KeyError, IndexError, ValueError) as error:
            raise ArgumentError(
                explain(
                    f"ModelCheckpoint cannot make a file's name of {self.filepath!r}: {error!r}.",
                    expected=f"names among {', '.join(names)}",
                    received=os.fspath(self.filepath),
                )
            ) from error


def _warn(epoch: int, path: str, error: OSError) -> None:
    warnings.warn(
        f"Epoch {epoch + 1}: no checkpoint was written to {path!r} ({error}). Training goes on; "
        "what was there before is unchanged.",
        CheckpointWarning,
        stacklevel=2,
    )
