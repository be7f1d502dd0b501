"""A run that is killed goes on where it was."""

from __future__ import annotations

import os
import warnings
from contextlib import suppress
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np

from nacre.core.configurable import Configurable
from nacre.core.errors import ArgumentError
from nacre.saving.atomic import remove_leftovers
from nacre.saving.model_file import named_leaves
from nacre.saving.run_file import Content, RunState, load_values, run_content, save_run, set_to_run
from nacre.training.callbacks import Callback
from nacre.training.model_checkpoint import CheckpointWarning, StepCounter

__all__ = ["BackupAndRestore"]

FILE = "run.nacre"


class BackupAndRestore(Configurable, Callback):
    """Write down where the run stands, so that the same script, started again, goes on from there.

    What is written is all that the run consists of: weights, the optimizer's state, the seed, the
    learning rate, the epoch and the step within it, the metrics' totals, the history. A run that is
    killed and resumed, be it in the middle of an epoch, therefore ends with the same bits and the
    same history as one that was not. The file appears as a whole or not at all. A file that cannot
    be written is a warning, and training goes on. What other callbacks remember is not kept.

    The file is written in the background while training goes on; a second backup waits for the
    first.

    Args:
        backup_dir: a folder for the file, of this run only. It is made where there is none.
        save_freq: ``"epoch"``, or the number of steps between two backups.
        delete_checkpoint: whether to delete the file when the run has come to its end. A run that
            is stopped by Ctrl-C, or by SIGTERM where :func:`nacre.config.handle_termination` is
            on, writes a last backup and keeps it.

    Raises:
        ArgumentError: if ``save_freq`` is neither, or a backup does not fit the run.
        FileFormatError: if there is a file that is not a backup.

    Example:
        >>> from nacre.callbacks import BackupAndRestore
        >>> backup = BackupAndRestore("backup", save_freq=500)

    Differences from Keras: the run goes on from the step, not only from the epoch, and the history
    has the epochs from before.
    """

    def __init__(
        self,
        backup_dir: str | os.PathLike[str],
        save_freq: str | int = "epoch",
        delete_checkpoint: bool = True,
    ) -> None:
        self.backup_dir = backup_dir
        self.save_freq = save_freq
        self.delete_checkpoint = delete_checkpoint
        if not os.fspath(backup_dir):
            raise ArgumentError("BackupAndRestore: backup_dir must name a folder, and is empty.")
        self._counter = StepCounter(type(self).__name__, save_freq)
        self._due = False
        self._interrupted = False
        self._writer: Thread | None = None
        self._error: Exception | None = None

    @property
    def path(self) -> Path:
        """The file of the backup."""
        return Path(self.backup_dir) / FILE

    @property
    def most_steps(self) -> int | None:
        """The steps until a backup is due."""
        return self._counter.left

    def resume(self, model: Any) -> RunState | None:
        remove_leftovers(self.path)
        return set_to_run(model, self.path) if self.path.exists() else None

    def restore(self, model: Any) -> None:
        load_values(model, self.path)

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        self._due = self._interrupted = False
        self._counter.begin()
        self._counter.advance(self.model.trainer.step)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._due = self._counter.every is None

    def on_pause(self, run: Any) -> None:
        self._interrupted = run.interrupted
        due = self._counter.advance(run.updates)
        if due or self._due or run.interrupted:
            self._due = False
            self._finish()
            content = run_content(self.model, _state(self.model, run))
            self._writer = Thread(target=self._write, args=(content,), name="backup")
            self._writer.start()

    def _write(self, content: Content) -> None:
        try:
            os.makedirs(self.backup_dir, exist_ok=True)
            save_run(self.path, content)
        except Exception as error:  # told to the thread that trains
            self._error = error

    def _finish(self) -> None:
        """Wait until the last backup is written, and say so if it could not be."""
        if self._writer is None:
            return
        self._writer.join()
        error, self._writer, self._error = self._error, None, None
        if error is None:
            return
        if not isinstance(error, OSError):
            raise error
        warnings.warn(
            f"No backup was written to {os.fspath(self.path)!r} ({error}). Training goes on; the "
            "backup before is unchanged.",
            CheckpointWarning,
            stacklevel=2,
        )

    def release(self) -> None:
        self._finish()

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        self._finish()
        if self.delete_checkpoint and not self._interrupted:
            with suppress(OSError):  # there may be none, and others may keep files there
                self.path.unlink()
                os.rmdir(self.backup_dir)


def _state(model: Any, run: Any) -> RunState:
    totals = {name: np.asarray(leaf) for name, leaf in named_leaves(run.carry.totals).items()}
    return RunState(
        run.epoch,
        run.step,
        run.feed.steps,
        totals,
        run.figures,
        model.history.history,
        list(model.history.epoch),  # which grows while the file is being written
    )
