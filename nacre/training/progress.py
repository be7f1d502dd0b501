"""The progress bar: what ``fit``, ``evaluate`` and ``predict`` show while they run."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any, TextIO

from nacre.core.arguments import one_of
from nacre.core.configurable import Configurable
from nacre.training.callbacks import Callback
from nacre.training.progress_displays import Display, display_for
from nacre.training.progress_line import Line, figures, seconds_text, speed_text
from nacre.training.stopwatch import Lap, Stopwatch

__all__ = ["ProgressBar"]

REDRAW_INTERVAL = 0.1  # seconds; a redraw costs about half a millisecond

# Lines that stay: a run of up to LINES_AT_ONCE epochs shows them all however short they are, and
# epochs longer than LINE_INTERVAL are always shown. In between nobody could read them.
LINES_AT_ONCE = 40
LINE_INTERVAL = 0.2  # seconds


class ProgressBar(Configurable, Callback):
    """Show how a run goes.

    A terminal and a notebook show the epoch in progress (a bar, the figures so far, examples/s,
    the time left) and a line for each finished epoch. Where epochs are too short to be read, some
    get no line, and a last line says so. A log file gets one plain line for every epoch.

    An epoch's duration is that of its training and its validation. Examples/s are counted over the
    wall time of training alone; the compilation in the first epoch is part of it, but is left out
    of the estimates in the line of the epoch in progress as soon as there is more to go by.

    Args:
        verbose: 0 for nothing, 1 or ``"auto"`` for the above, 2 for plain lines everywhere.
        stream: where to write, standard output by default.
        clock: returns the time in seconds.

    Raises:
        ArgumentError: if ``verbose`` is none of these.

    Example:
        >>> from nacre.callbacks import ProgressBar
        >>> bar = ProgressBar(verbose=2, clock=lambda: 0.0)
        >>> bar.set_params({"epochs": 5, "steps": 10})
        >>> bar.on_train_begin()
        >>> bar.on_epoch_end(0, {"loss": 0.25, "val_loss": 0.5})
        Epoch 1/5  0 us  loss 0.2500  val_loss 0.5000
        >>> bar.on_train_end()
    """

    at_chunk_ends = True

    def __init__(
        self,
        verbose: int | str = "auto",
        stream: TextIO | None = None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.verbose = one_of("ProgressBar", "verbose", verbose, (0, 1, 2, "auto"))
        self.stream = stream
        self.clock = clock
        self._display: Display | None = None
        self._fitting = False
        self._validating = False

    # The run

    def _open(self, title: str, epochs: int) -> None:
        self._close()  # of a run that ended in an error, in a loop of the user's own
        if not self.verbose:
            return
        self._title = title
        self._epochs = epochs
        self._epoch: int | None = None  # the epoch in progress
        self._logs: dict[str, Any] = {}
        # The last epoch, if it has no line.
        self._waiting: tuple[int, Lap, dict[str, Any]] | None = None
        self._finished = self._kept = 0
        self._lines_allowed = float(LINES_AT_ONCE)
        self._kept_at = self._drawn_at = self._printed_at = self.clock()
        self._validating_drawn_at = -math.inf
        self._unprinted: list[Line] = []
        self._watch = Stopwatch(self.clock)
        self._display = display_for(self.stream, self.verbose, self.clock)

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        self._open("Epoch", (self.params or {}).get("epochs") or 1)
        self._fitting = True

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        self._close()

    def release(self) -> None:
        self._close()

    def _close(self) -> None:
        self._fitting = self._validating = False
        if self._display is None:
            return
        if self._waiting is not None:
            self._add(*self._waiting)
        if self._epoch is not None and self._epoch == self._watch.epoch and self._watch.steps_done:
            training, _ = figures(self._logs)
            stopped = Line(
                f"{self._epoch_title(self._epoch)} stopped",
                self._watch.steps_done,
                self._watch.steps_total,
                training=training,
            )
            self._unprinted.append(Line(stopped.plain()))
        if self._kept < self._finished:
            note = f"Showed {self._kept} of {self._finished} epochs; the history has them all."
            self._unprinted.append(Line(note))
        display, self._display = self._display, None
        try:
            if self._unprinted:
                display.keep(self._unprinted)
        finally:
            display.close()

    # Epochs

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if self._display is None:
            return
        self._watch.begin(epoch)
        self._turn_to(epoch)
        self._draw_if_due(at_once=self._finished == 0)

    def on_chunk_end(
        self,
        epoch: int,
        steps_done: int,
        steps_total: int | None,
        examples_done: int,
        logs: dict[str, Any],
    ) -> None:
        if self._display is None or self._validating:
            return
        self._watch.advance(epoch, steps_done, steps_total, examples_done)
        self._epoch = epoch
        self._logs = logs
        self._draw_if_due()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if self._display is None:
            return
        lap = self._watch.finish(epoch)
        self._finished += 1
        self._turn_to(epoch + 1 if epoch + 1 < self._epochs else None)
        if not self._display.live or self._has_room():
            self._add(epoch, lap, logs or {})
            self._print_if_due()
        else:
            self._waiting = (epoch, lap, logs or {})

    def _turn_to(self, epoch: int | None) -> None:
        """Show another epoch; after the fact, when steps of it may be done already."""
        self._epoch = epoch
        if epoch != self._watch.epoch:
            self._logs = {}

    def _has_room(self) -> bool:
        """Whether one more line may stay: as many as a screen at once, then a few a second."""
        now = self.clock()
        self._lines_allowed += (now - self._kept_at) / LINE_INTERVAL
        self._lines_allowed = min(self._lines_allowed, LINES_AT_ONCE)
        self._kept_at = now
        if self._lines_allowed < 1:
            return False
        self._lines_allowed -= 1
        return True

    def _add(self, epoch: int, lap: Lap, logs: dict[str, Any]) -> None:
        self._waiting = None
        self._kept += 1
        self._unprinted.append(self._finished_line(self._epoch_title(epoch), lap, logs))

    # Validation, evaluation, prediction

    def on_test_begin(self, logs: dict[str, Any] | None = None) -> None:
        if not self._fitting:
            self._open("Evaluate", 1)
        elif self._display is not None:
            self._watch.begin_validation()
            self._validating = True
            self._draw_validating_if_due()

    def on_test_end(self, logs: dict[str, Any] | None = None) -> None:
        if not self._fitting:
            self._end_single(logs or {})
        elif self._display is not None:
            self._watch.end_validation()
            self._validating = False

    def on_predict_begin(self, logs: dict[str, Any] | None = None) -> None:
        self._open("Predict", 1)

    def on_predict_end(self, logs: dict[str, Any] | None = None) -> None:
        self._end_single({})

    def _end_single(self, logs: dict[str, Any]) -> None:
        if self._display is None:
            return
        lap = self._watch.finish(0)
        self._epoch = None
        self._unprinted.append(self._finished_line(self._title, lap, logs))
        self._close()

    # What is drawn

    def _draw_if_due(self, at_once: bool = False) -> None:
        now = self.clock()
        if at_once or now - self._drawn_at >= REDRAW_INTERVAL:
            self._drawn_at = now
            line = self._live_line()
            if self._display is None or line is None:
                return
            if self._unprinted:
                self._print_if_due()
            else:
                self._display.draw(line)

    def _draw_validating_if_due(self) -> None:
        # Apart from other redraws: there was one just now, and validation may take long.
        now = self.clock()
        if now - self._validating_drawn_at >= REDRAW_INTERVAL:
            self._validating_drawn_at = now
            self._draw_if_due(at_once=True)

    def _print_if_due(self) -> None:
        # Lines wait for others to be printed with, as each print costs as much as a redraw; but
        # a line that comes alone appears at once.
        assert self._display is not None
        now = self.clock()
        if not self._display.live or now - self._printed_at >= REDRAW_INTERVAL:
            self._printed_at = now
            self._display.keep(self._unprinted, self._live_line())
            self._unprinted = []

    def _live_line(self) -> Line | None:
        epoch = self._epoch
        if epoch is None or self._display is None or not self._display.live:
            return None
        watch, notes = self._watch, []
        speed, left = watch.examples_per_second, watch.seconds_left(self._epochs)
        if self._validating:
            notes.append("validating")
        elif speed is not None:
            notes.append(speed_text(speed))
        elif self._compiles():
            notes.append("compiling")
        if left is not None:
            notes.append(f"{seconds_text(left)} left")
        done = watch.steps_done if watch.epoch == epoch else 0
        training, validation = figures(self._logs)
        total = watch.steps_total or (self.params or {}).get("steps")
        return Line(self._epoch_title(epoch), done, total, notes, training, validation)

    def _compiles(self) -> bool:
        """Whether the first step of a model is awaited."""
        trainer = getattr(self.model, "_trainer", None)
        return self._fitting and trainer is not None and trainer.step == 0

    def _finished_line(self, title: str, lap: Lap, logs: dict[str, Any]) -> Line:
        notes = [seconds_text(lap.seconds)]
        if lap.examples and lap.training_seconds > 0:
            notes.append(speed_text(lap.examples / lap.training_seconds))
        training, validation = figures(logs)
        return Line(title, notes=notes, training=training, validation=validation)

    def _epoch_title(self, epoch: int) -> str:
        if self._title != "Epoch":
            return self._title
        return f"Epoch {epoch + 1:>{len(str(self._epochs))}}/{self._epochs}"
