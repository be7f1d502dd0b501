"""Ctrl-C, SIGTERM and crashes while training: the model keeps the weights of the last call."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import numpy as np
import pytest

import nacre
from nacre import layers
from nacre.callbacks import Callback
from nacre.training.interrupts import Interrupts, handle_termination, handles_termination
from nacre.training.program import Program

ROOT = Path(__file__).parents[2]
RNG = np.random.default_rng(0)
X = RNG.standard_normal((70, 5)).astype(np.float32)
Y = (X @ RNG.standard_normal((5, 3))).argmax(-1)

# What runs in a process of its own, and gets its signals from outside. A line "send 2" asks for
# one; a line "found {...}" tells what came of it.
SCRIPT = """
    import json, signal, sys, threading, time
    import numpy as np
    import nacre
    from nacre import layers
    from nacre.callbacks import Callback
    from nacre.training import loop
    from nacre.training.interrupts import handle_termination

    x = np.random.default_rng(0).standard_normal((4_000, 100)).astype(np.float32)
    y = np.arange(4_000) % 10
    nacre.set_seed(1)
    model = nacre.Sequential(
        [nacre.Input((100,)), layers.Dense(200, activation="relu"), layers.Dense(10)]
    )
    loss = nacre.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(nacre.optimizers.SGD(1e-3), loss)
    start = model.get_weights()
    forever = {"epochs": 10**6, "batch_size": 100, "verbose": 0}

    calls = 0
    note = loop.Pace.note

    def counted(*arguments):
        global calls
        calls += 1
        note(*arguments)

    loop.Pace.note = counted

    def say(*words):
        print(*words, flush=True)

    def send(number):
        say("send", int(number))

    def send_when_under_way(number=signal.SIGINT, least=3):
        first = calls
        def wait():
            while calls < first + least:
                time.sleep(0.01)
            send(number)
        threading.Thread(target=wait, daemon=True).start()

    def begin():
        model.set_weights(start)
        model.trainer.slots, model.trainer.step, model.trainer.epoch = None, 0, 0

    def batches(good, then):
        for number in range(good):
            rows = slice(number % 40 * 100, number % 40 * 100 + 100)
            yield x[rows], y[rows]
        then()
        time.sleep(10**6)

    def outcome(function, *data, **options):
        try:
            result = function(*data, **options)
        except KeyboardInterrupt:
            return {"raised": True}
        return {"raised": False, "result": result}

    def report(name, found, replay=None):
        steps, weights = model.trainer.step, model.get_weights()
        history = getattr(found.pop("result", None), "history", None)
        found |= {
            "name": name,
            "steps": steps,
            "history": history,
            "finite": all(bool(np.isfinite(w).all()) for w in weights),
            "moved": not np.array_equal(weights[0], start[0]),
            "restored": signal.getsignal(signal.SIGINT) is signal.default_int_handler,
        }
        if replay is not None:  # the same number of steps, without an interrupt
            begin()
            replay(steps)
            pairs = zip(weights, model.get_weights())
            found["is a state of the run"] = all(np.array_equal(a, b) for a, b in pairs)
            found["replayed"] = model.trainer.step
        say("found", json.dumps(found))

    def replay_arrays(steps):
        model.fit(x, y, steps_per_epoch=steps, **{**forever, "epochs": 1})

    def replay_batches(steps):
        model.fit(batches(steps, lambda: None), steps_per_epoch=steps, verbose=0)

    # One Ctrl-C in a long call; then SIGTERM, handled alike.
    begin()
    send_when_under_way()
    report("arrays", outcome(model.fit, x, y, **forever), replay_arrays)
    handle_termination(True)
    begin()
    send_when_under_way(signal.SIGTERM)
    report("termination", outcome(model.fit, x, y, **forever), replay_arrays)
    handle_termination(False)

    # A second Ctrl-C while user code takes its time.
    class Slow(Callback):
        def on_epoch_end(self, epoch, logs=None):
            if epoch == 3:
                interrupts = signal.getsignal(signal.SIGINT).__self__
                send(signal.SIGINT)
                while not interrupts.requested:
                    time.sleep(0.01)
                send(signal.SIGINT)
                time.sleep(10**6)

    begin()
    report("twice", outcome(model.fit, x, y, callbacks=[Slow()], **forever), replay_arrays)

    # A source that blocks for ever: after some batches, at once, and in validation.
    def interrupt():
        send(signal.SIGINT)

    begin()
    send_when_under_way(least=1)
    found = outcome(model.fit, batches(3, lambda: None), verbose=0)
    report("blocked", found, replay_batches)
    begin()
    report("blocked at once", outcome(model.fit, batches(0, interrupt), verbose=0))
    begin()
    options = {**forever, "validation_data": batches(2, lambda: None), "validation_steps": 9}
    watch = nacre.callbacks.LambdaCallback(
        on_test_begin=lambda logs=None: send_when_under_way(least=1)
    )
    found = outcome(model.fit, x, y, callbacks=[watch], **options)
    report("validation", found, replay_arrays)

    # Evaluation and prediction.
    begin()
    send_when_under_way()
    report("evaluate", outcome(model.evaluate, x, y, steps=10**8, batch_size=100, verbose=0))
    found = outcome(model.evaluate, batches(3, interrupt), verbose=0)
    report("evaluate a source", found)
    report("predict", outcome(model.predict, batches(3, interrupt)))

    # The model still works; and without the setting SIGTERM ends the process.
    model.evaluate(x, y, verbose=0)
    model.predict(x)
    send_when_under_way(signal.SIGTERM)
    model.fit(x, y, **forever)
    say("found", json.dumps({"name": "not ended"}))
"""


@pytest.fixture(scope="module")
def found():
    """What the script found, by name; and how the process ended."""
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(SCRIPT)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu"},
    )
    assert process.stdout is not None
    too_long = threading.Timer(120, process.kill)
    too_long.start()
    results = {}
    for line in process.stdout:
        word, rest = line.split(" ", 1)
        if word == "send":
            process.send_signal(int(rest))
        else:
            result = json.loads(rest)
            results[result.pop("name")] = result
    _, errors = process.communicate()
    too_long.cancel()
    return {**results, "end": process.returncode, "errors": errors}


@pytest.mark.parametrize("name", ["arrays", "termination"])
def test_the_first_signal_returns_a_usable_history_and_model(found, name):
    result = found[name]
    assert not result["raised"]
    assert result["moved"] and result["finite"] and result["restored"]
    assert result["steps"] == result["replayed"] > 0
    assert result["is a state of the run"]
    losses = result["history"]["loss"]
    assert len(losses) == result["steps"] // 40  # the epochs that were finished
    assert np.isfinite(losses).all()


def test_a_second_ctrl_c_raises_at_once_and_keeps_the_last_call(found):
    result = found["twice"]
    assert result["raised"]
    assert result["steps"] == 4 * 40
    assert result["is a state of the run"] and result["finite"] and result["restored"]


def test_a_source_that_blocks_does_not_hold_ctrl_c_up(found):
    result = found["blocked"]
    assert not result["raised"]
    assert result["history"] == {"loss": []}  # no epoch was finished
    assert 1 <= result["steps"] <= 3
    assert result["is a state of the run"] and result["restored"]
    assert found["blocked at once"]["raised"]  # there is nothing to return yet
    assert not found["blocked at once"]["moved"]
    result = found["validation"]
    assert not result["raised"]
    assert result["steps"] == 40
    assert result["is a state of the run"]
    assert list(result["history"]) == ["loss"]  # the epoch is there, its validation is not


def test_evaluate_and_predict_are_interrupted_as_any_other_code(found):
    for name in ("evaluate", "evaluate a source", "predict"):
        assert found[name]["raised"]
        assert found[name]["restored"]
        assert not found[name]["moved"]


def test_without_the_setting_a_termination_ends_the_process(found):
    assert "not ended" not in found
    assert found["end"] == -signal.SIGTERM, found["errors"]


# In this process


@pytest.fixture(scope="module")
def shared():
    nacre.set_seed(1)
    model = nacre.Sequential([nacre.Input((5,)), layers.Dense(3, activation="softmax")])
    model.compile("sgd", "sparse_categorical_crossentropy")
    nacre.set_seed(None)
    return model, model.get_weights()


@pytest.fixture
def fresh(shared):
    """Gives the model back as it was before any training, with all that it has compiled."""
    model, weights = shared

    def begin():
        model.set_weights(weights)
        model.trainer.slots, model.trainer.step, model.trainer.epoch = None, 0, 0
        return model

    return begin


def after(model, steps):
    """The weights after some steps."""
    if steps:
        model.fit(X, Y, batch_size=14, steps_per_epoch=steps, verbose=0)
    return model.get_weights()


def assert_same(one, two):
    for a, b in zip(one, two, strict=True):
        np.testing.assert_array_equal(a, b)


def press():
    os.kill(os.getpid(), signal.SIGINT)


@pytest.mark.parametrize(
    ("hook", "steps"),
    [
        ("on_train_begin", 0),
        ("on_epoch_begin", 5),
        ("on_train_batch_begin", 7),
        ("on_train_batch_end", 8),
        ("on_chunk_end", None),
        ("on_test_begin", 10),
        ("on_test_end", 10),
        ("on_epoch_end", 10),
        ("on_train_end", 15),
    ],
)
def test_a_crash_in_any_hook_of_a_callback_leaves_the_last_weights(fresh, hook, steps):
    """In the second epoch, and there in the third batch."""

    class Crash(Callback):
        at_chunk_ends = hook == "on_chunk_end"
        epoch = 0

        def on_epoch_begin(self, epoch, logs=None):
            self.epoch = epoch
            if hook == "on_epoch_begin" and epoch == 1:
                raise LookupError("mine")

    def crash(self, *arguments, logs=None):
        batch = arguments[0] if "batch" in hook else 2
        if (self.epoch == 1 and batch == 2) or hook in ("on_train_begin", "on_train_end"):
            raise LookupError("mine")

    if hook != "on_epoch_begin":
        setattr(Crash, hook, crash)
    model = fresh()
    data = {"batch_size": 14, "epochs": 3, "validation_data": (X, Y)}
    with pytest.raises(LookupError, match="mine"):
        model.fit(X, Y, verbose=0, callbacks=[Crash()], **data)
    weights, trained = model.get_weights(), model.trainer.step
    assert trained == steps or steps is None
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    model.fit(X, Y, verbose=0, **data)  # it still works
    assert_same(weights, after(fresh(), trained))


def test_two_signals_in_one_call_keep_weights_that_belong_together(fresh, monkeypatch):
    call = Program.__call__
    made = []

    def interrupted(*arguments):
        carry, rows = call(*arguments)
        made.append(int(carry.step))
        if len(made) == 3:
            press()
            press()
        return carry, rows

    model = fresh()
    monkeypatch.setattr(Program, "__call__", interrupted)
    with pytest.raises(KeyboardInterrupt):
        model.fit(X, Y, batch_size=14, epochs=10**6, verbose=0)
    monkeypatch.undo()
    weights, trained = model.get_weights(), model.trainer.step
    assert trained in made
    assert_same(weights, after(fresh(), trained))


def test_a_third_signal_does_not_tear_what_is_being_kept(fresh):
    """The model is given its weights whole, however often the keys are pressed."""

    class Thrice(Callback):
        def on_epoch_end(self, epoch, logs=None):
            self.model.trainer.optimizer.finalize = finalize
            press()
            press()

    model = fresh()
    keep = model.optimizer.finalize

    def finalize(params, slots):
        press()
        return keep(params, slots)

    try:
        with pytest.raises(KeyboardInterrupt):
            model.fit(X, Y, batch_size=14, epochs=3, verbose=0, callbacks=[Thrice()])
    finally:
        del model.optimizer.finalize
    assert_same(model.get_weights(), after(fresh(), 5))


def test_a_handler_of_the_users_own_stays_in_place(fresh):
    seen = []

    class Press(Callback):
        def on_epoch_end(self, epoch, logs=None):
            press()

    before = signal.signal(signal.SIGINT, lambda number, frame: seen.append(number))
    try:
        history = fresh().fit(X, Y, batch_size=14, epochs=3, verbose=0, callbacks=[Press()])
    finally:
        signal.signal(signal.SIGINT, before)
    assert seen == [signal.SIGINT] * 3
    assert len(history.history["loss"]) == 3


def test_a_model_can_be_trained_in_another_thread(fresh):
    model, histories = fresh(), []

    def train():
        histories.append(model.fit(X, Y, batch_size=14, epochs=2, verbose=0))

    thread = threading.Thread(target=train)
    thread.start()
    thread.join()
    assert len(histories[0].history["loss"]) == 2


def test_termination_is_handled_while_a_run_lasts_and_only_if_asked():
    assert not handles_termination()
    usual = signal.getsignal(signal.SIGTERM)
    with Interrupts():
        assert signal.getsignal(signal.SIGTERM) is usual
    handle_termination()
    try:
        assert handles_termination()
        with Interrupts() as interrupts:
            assert not interrupts.is_requested()
            os.kill(os.getpid(), signal.SIGTERM)
            assert interrupts.is_requested()
            with pytest.raises(KeyboardInterrupt):
                press()
        assert signal.getsignal(signal.SIGTERM) is usual
    finally:
        handle_termination(False)


def test_what_is_held_is_done_whole():
    done = []
    with Interrupts() as interrupts:
        press()
        with pytest.raises(KeyboardInterrupt), interrupts.held:
            press()
            done.append("whole")
        with pytest.raises(LookupError), interrupts.held:  # an error goes before an interrupt
            press()
            raise LookupError
        with interrupts.held:
            done.append("again")
    assert done == ["whole", "again"]
