"""The progress bar: its arithmetic with a clock of our own, and what each display shows."""

import io
import os
import re
import subprocess
import sys
import types

import pytest

from nacre.callbacks import CallbackList, ProgressBar
from nacre.core.errors import ArgumentError
from nacre.training.progress_displays import TerminalDisplay
from nacre.training.progress_line import Line, figures, seconds_text, speed_text
from nacre.training.stopwatch import Stopwatch


class Clock:
    """A clock that is moved by hand."""

    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now

    def wait(self, seconds):
        self.now += seconds


class Terminal(io.StringIO):
    encoding = "utf-8"

    def isatty(self):
        return True

    @property
    def text(self):
        """What was written, without colours and cursor movements."""
        return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", self.getvalue()).replace("\r", "\n")


@pytest.fixture(autouse=True)
def eighty_columns(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    yield
    TerminalDisplay.in_use = False  # where a test failed half-way


def started(stream, clock, epochs, steps=10, verbose=1):
    callbacks = CallbackList([ProgressBar(verbose, stream, clock)])
    callbacks.set_params({"epochs": epochs, "steps": steps, "verbose": verbose})
    callbacks.on_train_begin()
    return callbacks


# A log file


def test_a_log_file_gets_one_plain_line_for_each_epoch():
    stream, clock = io.StringIO(), Clock()
    callbacks = started(stream, clock, epochs=2)
    for epoch, (loss, validation_loss) in enumerate([(0.5, 0.6), (0.00025, 0.7)]):
        callbacks.on_epoch_begin(epoch)
        clock.wait(1)
        callbacks.on_chunk_end(epoch, 4, 10, 400, {"loss": 1.0})
        clock.wait(1)
        callbacks.on_chunk_end(epoch, 10, 10, 950, {"loss": loss})
        callbacks.on_test_begin()
        clock.wait(0.5)
        callbacks.on_test_end()
        callbacks.on_epoch_end(epoch, {"loss": loss, "val_loss": validation_loss})
    callbacks.on_train_end()
    assert stream.getvalue() == (
        "Epoch 1/2  2.5 s  475 examples/s  loss 0.5000  val_loss 0.6000\n"
        "Epoch 2/2  2.5 s  475 examples/s  loss 2.5000e-04  val_loss 0.7000\n"
    )


def test_every_epoch_has_its_line_in_a_log_file_however_short_it_is():
    stream, clock = io.StringIO(), Clock()
    callbacks = started(stream, clock, epochs=500)
    clock.wait(0.5)
    callbacks.on_chunk_end(499, 10, 10, 150, {"loss": 1.0})
    for epoch in range(500):
        callbacks.on_epoch_begin(epoch)
        callbacks.on_epoch_end(epoch, {"loss": 1.0})
    callbacks.on_train_end()
    lines = stream.getvalue().splitlines()
    assert len(lines) == 500
    assert lines[0] == "Epoch   1/500  1.0 ms  150,000 examples/s  loss 1.0000"
    assert len({line.split("/", 1)[-1] for line in lines}) == 1
    assert "\x1b" not in stream.getvalue()


def test_verbose_2_is_plain_even_in_a_terminal():
    stream, clock = Terminal(), Clock()
    callbacks = started(stream, clock, epochs=1, verbose=2)
    clock.wait(2)
    callbacks.on_chunk_end(0, 10, 10, 100, {"loss": 0.5})
    callbacks.on_epoch_end(0, {"loss": 0.5})
    callbacks.on_train_end()
    assert stream.getvalue() == "Epoch 1/1  2.0 s  50 examples/s  loss 0.5000\n"


def test_verbose_0_is_silent():
    stream, clock = Terminal(), Clock()
    callbacks = started(stream, clock, epochs=1, verbose=0)
    callbacks.on_epoch_begin(0)
    callbacks.on_chunk_end(0, 10, 10, 100, {"loss": 0.5})
    callbacks.on_test_begin()
    callbacks.on_test_end()
    callbacks.on_epoch_end(0, {"loss": 0.5})
    callbacks.on_train_end()
    assert stream.getvalue() == ""


def test_standard_output_is_looked_up_when_the_run_begins(capsys):
    bar = ProgressBar(clock=Clock())
    bar.set_params({"epochs": 1})
    bar.on_train_begin()
    bar.on_epoch_end(0, {"loss": 0.5})
    bar.on_train_end()
    assert capsys.readouterr().out == "Epoch 1/1  0 us  loss 0.5000\n"


def test_an_unknown_verbose_is_explained():
    with pytest.raises(ArgumentError, match="verbose"):
        ProgressBar(verbose="loud")


# A terminal


def test_a_terminal_shows_the_epoch_in_progress_and_keeps_a_line_for_each():
    stream, clock = Terminal(), Clock()
    callbacks = started(stream, clock, epochs=2)
    callbacks.on_epoch_begin(0)
    assert "Epoch 1/2" in stream.text
    assert "0/10" in stream.text
    clock.wait(5)  # the first call compiles
    callbacks.on_chunk_end(0, 1, 10, 100, {"loss": 2.0})
    assert "left" not in stream.text
    clock.wait(2)
    callbacks.on_chunk_end(0, 5, 10, 500, {"loss": 1.5, "accuracy": 0.25})
    assert " 5/10  200 examples/s  7.5 s left\n" in stream.text
    assert "loss 1.5000  accuracy 0.2500" in stream.text
    clock.wait(2.5)
    callbacks.on_chunk_end(0, 10, 10, 1000, {"loss": 1.25, "accuracy": 0.5})
    callbacks.on_test_begin()
    assert "validating" in stream.text
    clock.wait(1)
    callbacks.on_test_end()
    callbacks.on_epoch_end(0, {"loss": 1.25, "accuracy": 0.5, "val_loss": 1.0})
    kept = "Epoch 1/2  10 s  105 examples/s  loss 1.2500  accuracy 0.5000  val_loss 1.0000\n"
    assert kept in stream.text
    clock.wait(0.5)
    callbacks.on_chunk_end(1, 1, 10, 100, {"loss": 1.0})
    assert " 1/10  200 examples/s  5.5 s left  loss 1.0000\n" not in stream.text  # too long
    assert " 1/10  200 examples/s  5.5 s left\n" in stream.text
    callbacks.on_epoch_end(1, {"loss": 0.5})
    callbacks.on_train_end()
    assert stream.text.split("\n\n")[0].count("Epoch 1/2  10 s") == 1
    assert stream.text.strip().splitlines()[-1].startswith("Epoch 2/2  500 ms")
    assert "Showed" not in stream.text


def test_a_bar_fills():
    stream, clock = Terminal(), Clock()
    callbacks = started(stream, clock, epochs=1, steps=4)
    for done in range(1, 5):
        clock.wait(1)
        callbacks.on_chunk_end(0, done, 4, done, {})
    full = [m.group(1).count("━") for m in re.finditer("\x1b\\[32m(━+)\x1b", stream.getvalue())]
    assert full == [6, 12, 18, 24]
    callbacks.release()


def test_short_epochs_are_drawn_a_few_times_a_second_and_the_rest_is_owned_up_to():
    stream, clock = Terminal(), Clock()
    callbacks = started(stream, clock, epochs=100_000)
    for call in range(100):  # 5 seconds, 50 epochs a call
        clock.wait(0.05)
        callbacks.on_chunk_end(50 * call + 49, 10, 10, 150, {"loss": 1.0})
        for epoch in range(50 * call, 50 * call + 50):
            callbacks.on_epoch_begin(epoch)
            callbacks.on_epoch_end(epoch, {"loss": 1.0})
    callbacks.on_train_end()
    kept = set(re.findall(r"Epoch +(\d+)/100000  1\.0 ms", stream.text))
    assert {*map(str, range(1, 41)), "5000"} <= kept
    assert 41 + 20 <= len(kept) <= 41 + 28  # 40 at once, then five a second
    assert f"Showed {len(kept)} of 5000 epochs; the history has them all.\n" in stream.text
    assert stream.getvalue().count("Epoch") < 61 + 3 * len(kept)  # 50 redraws, at most, and lines


def test_epochs_that_can_be_read_are_all_kept():
    stream, clock = Terminal(), Clock()
    callbacks = started(stream, clock, epochs=100)
    for epoch in range(100):
        callbacks.on_epoch_begin(epoch)
        clock.wait(0.2)
        callbacks.on_chunk_end(epoch, 10, 10, 150, {"loss": 1.0})
        callbacks.on_epoch_end(epoch, {"loss": 1.0})
    callbacks.on_train_end()
    assert len(set(re.findall(r"Epoch +(\d+)/100  200 ms", stream.text))) == 100
    assert "Showed" not in stream.text


def test_an_error_leaves_a_clean_screen_and_says_how_far_it_came():
    stream, clock = Terminal(), Clock()
    with pytest.raises(KeyboardInterrupt), started(stream, clock, epochs=3) as callbacks:
        assert TerminalDisplay.in_use
        callbacks.on_epoch_begin(0)
        clock.wait(1)
        callbacks.on_chunk_end(0, 10, 10, 100, {"loss": 2.0})
        callbacks.on_epoch_end(0, {"loss": 2.0})
        callbacks.on_epoch_begin(1)
        clock.wait(1)
        callbacks.on_chunk_end(1, 4, 10, 40, {"loss": 1.0})
        raise KeyboardInterrupt
    assert stream.text.strip().splitlines()[-1] == "Epoch 2/3 stopped   4/10  loss 1.0000"
    assert stream.getvalue().rindex("\x1b[?25h") > stream.getvalue().rindex("\x1b[?25l")
    assert not TerminalDisplay.in_use


def test_an_early_stop_at_the_end_of_an_epoch_is_not_called_stopped():
    stream, clock = Terminal(), Clock()
    callbacks = started(stream, clock, epochs=3)
    callbacks.on_epoch_begin(0)
    clock.wait(1)
    callbacks.on_chunk_end(0, 10, 10, 100, {"loss": 2.0})
    callbacks.on_epoch_end(0, {"loss": 2.0})
    callbacks.on_train_end()
    assert "stopped" not in stream.text


def test_a_run_inside_a_run_leaves_the_screen_to_the_outer_one():
    outer_stream, inner_stream, clock = Terminal(), Terminal(), Clock()
    outer = started(outer_stream, clock, epochs=1)
    inner = started(inner_stream, clock, epochs=1)
    inner.on_epoch_end(0, {"loss": 1.0})
    inner.on_train_end()
    assert "\x1b" not in inner_stream.getvalue()
    assert TerminalDisplay.in_use
    outer.on_train_end()
    assert not TerminalDisplay.in_use


def test_metric_names_are_not_taken_for_markup():
    stream, clock = Terminal(), Clock()
    callbacks = started(stream, clock, epochs=1)
    callbacks.on_epoch_end(0, {"[red]x": 1.0})
    callbacks.on_train_end()
    assert "[red]x 1.0000" in stream.text


def test_a_terminal_without_unicode_gets_a_bar_too():
    stream, clock = Terminal(), Clock()
    stream.encoding = "ascii"
    callbacks = started(stream, clock, epochs=1)
    clock.wait(1)
    callbacks.on_chunk_end(0, 5, 10, 5, {})
    assert "============............" in stream.text
    callbacks.release()


def test_a_dumb_terminal_is_a_log_file(monkeypatch):
    monkeypatch.setenv("TERM", "dumb")
    stream, clock = Terminal(), Clock()
    callbacks = started(stream, clock, epochs=1)
    callbacks.on_epoch_end(0, {"loss": 1.0})
    callbacks.on_train_end()
    assert "\x1b" not in stream.getvalue()


@pytest.mark.parametrize("columns", [40, 50, 80, 120, 200])
def test_no_line_is_wider_than_the_terminal(columns):
    stream = Terminal()
    display = TerminalDisplay(stream, width=columns)
    training = ["loss 0.1234", "accuracy 0.9876", "precision 0.5000"]
    validation = [f"val_{figure}" for figure in training]
    notes = ["58,200 examples/s", "2.1 s left"]
    display.keep([Line("Epoch 3/5", None, None, notes, training, validation)])
    display.draw(Line("Epoch 4/5", 12, 469, notes, training))
    display.close()
    lines = stream.text.splitlines()
    parts = [*notes, *training, *validation, " 12/469"]
    assert max(map(len, lines)) < columns
    assert all(any(part in line for line in lines) for part in parts)  # none is torn apart


# Evaluation and prediction


def test_evaluation_and_prediction_have_one_line_each():
    stream, clock = io.StringIO(), Clock()
    bar = ProgressBar(1, stream, clock)
    bar.set_params({"steps": 10})
    bar.on_test_begin()
    clock.wait(1)
    bar.on_chunk_end(0, 5, 10, 50, {"loss": 3.0})
    clock.wait(1)
    bar.on_chunk_end(0, 10, 10, 100, {"loss": 2.0})
    bar.on_test_end({"loss": 2.0, "accuracy": 0.5})
    bar.on_predict_begin()
    clock.wait(4)
    bar.on_chunk_end(0, 10, 10, 100, {})
    bar.on_predict_end({"outputs": None})
    assert stream.getvalue() == (
        "Evaluate  2.0 s  50 examples/s  loss 2.0000  accuracy 0.5000\n"
        "Predict  4.0 s  25 examples/s\n"
    )


# A notebook


def test_a_notebook_shows_html(monkeypatch):
    shown = []

    class Handle:
        def update(self, html):
            shown.append(html)

    ipython = types.ModuleType("IPython")
    ipython.get_ipython = lambda: types.SimpleNamespace(kernel=object())
    ipython.display = types.ModuleType("IPython.display")
    ipython.display.HTML = str
    ipython.display.display = lambda html, display_id: Handle()
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    monkeypatch.setitem(sys.modules, "IPython.display", ipython.display)
    clock = Clock()
    callbacks = started(None, clock, epochs=2)
    callbacks.on_epoch_begin(0)
    clock.wait(1)
    callbacks.on_chunk_end(0, 5, 10, 50, {"<loss>": 2.0})
    assert '<progress value="5" max="10"></progress>' in shown[-1]
    assert "&lt;loss&gt; 2.0000" in shown[-1]
    callbacks.on_epoch_end(0, {"loss": 2.0})
    callbacks.on_train_end()
    assert shown[-1] == "<pre>Epoch 1/2  1.0 s  50 examples/s  loss 2.0000</pre>"


# The parts


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.00002, "20 us"),
        (0.0042, "4.2 ms"),
        (0.05, "50 ms"),
        (0.9996, "1.0 s"),
        (9.96, "10 s"),
        (59.4, "59 s"),
        (59.6, "1 min 00 s"),
        (3725, "1 h 02 min"),
    ],
)
def test_durations(seconds, text):
    assert seconds_text(seconds) == text


@pytest.mark.parametrize(
    ("speed", "text"),
    [
        (0.1234, "0.123 examples/s"),
        (99.9, "99.9 examples/s"),
        (58_234.0, "58,200 examples/s"),
        (1_234_567.0, "1,230,000 examples/s"),
    ],
)
def test_speeds(speed, text):
    assert speed_text(speed) == text


def test_figures_are_in_order_with_validation_last():
    logs = {"loss": 0.5, "val_loss": 0.25, "accuracy": 1, "note": "x", "nan": float("nan")}
    assert figures(logs) == (
        ["loss 0.5000", "accuracy 1.0000", "note x", "nan nan"],
        ["val_loss 0.2500"],
    )


def test_a_call_over_several_epochs_is_shared_out_by_steps():
    clock = Clock()
    watch = Stopwatch(clock)
    watch.begin(4)
    clock.wait(1)
    watch.advance(4, 5, 10, 50)
    clock.wait(12)
    watch.advance(6, 5, 10, 50)  # 5 steps of epoch 4, 10 of epoch 5, 5 of epoch 6
    assert watch.finish(4) == (4.0, 4.0, 100)
    assert watch.finish(5) == (6.0, 6.0, 100)
    assert watch.seconds_left(8) == pytest.approx(15 * 0.6)
    clock.wait(3)
    watch.advance(6, 10, 10, 90)
    assert watch.finish(6) == (6.0, 6.0, 90)


def test_validation_counts_for_the_duration_and_the_time_left_but_not_for_the_speed():
    clock = Clock()
    watch = Stopwatch(clock)
    for epoch in range(2):
        clock.wait(2)
        watch.advance(epoch, 10, 10, 100)
        watch.begin_validation()
        clock.wait(3)
        watch.end_validation()
        clock.wait(1)  # callbacks
        assert watch.finish(epoch) == (5.0, 2.0, 100)
    assert watch.examples_per_second == 50
    assert watch.seconds_left(3) == pytest.approx(2 + 3 + 1)


def test_an_unknown_number_of_steps_does_no_harm():
    stream, clock = Terminal(), Clock()
    callbacks = started(stream, clock, epochs=2, steps=None)
    callbacks.on_epoch_begin(0)
    clock.wait(1)
    callbacks.on_chunk_end(0, 3, None, 30, {"loss": 1.0})
    clock.wait(1)
    callbacks.on_chunk_end(0, 7, None, 70, {"loss": 1.0})
    assert "7 steps  40 examples/s" in stream.text
    callbacks.on_epoch_end(0, {"loss": 1.0})
    callbacks.on_train_end()
    assert "Epoch 1/2  2.0 s  35 examples/s  loss 1.0000" in stream.text


def test_importing_the_callbacks_does_not_import_rich():
    code = "import sys, nacre.callbacks; print('rich' in sys.modules)"
    environment = {**os.environ, "PYTHONWARNINGS": "ignore"}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True
    )
    assert done.stdout.strip() == "False"
