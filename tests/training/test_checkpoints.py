"""Checkpoints: what is saved when, that a killed run loses nothing, and that it goes on exactly."""

import functools
import os
import random
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import jax
import keras
import numpy as np
import pytest

import nacre
from nacre import layers, models, optimizers
from nacre.callbacks import (
    BackupAndRestore,
    Callback,
    CheckpointWarning,
    LambdaCallback,
    ModelCheckpoint,
)
from nacre.core.errors import ArgumentError, FileFormatError
from nacre.saving.run_file import load_values, set_to_run

rng = np.random.default_rng(1)
X = rng.normal(size=(70, 6)).astype(np.float32)
Y = rng.integers(0, 3, 70)
HOW: dict[str, Any] = {"batch_size": 16, "verbose": 0}
STEPS = 5  # in an epoch; the last one is short


@functools.cache
def compiled(metrics=("accuracy",)):
    """One with everything that training could forget: moving averages, dropout."""
    nacre.set_seed(7)
    model = nacre.Sequential(
        [
            nacre.Input((6,)),
            layers.Dense(8, activation="relu"),
            layers.BatchNormalization(),
            layers.Dropout(0.4),
            layers.Dense(3, activation="softmax"),
        ]
    )
    optimizer = optimizers.SGD(0.05, momentum=0.9, use_ema=True, ema_momentum=0.9)
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=list(metrics))
    return model, model.get_weights(), model.trainer.seed


def network(shift=0, **options):
    """The model as a new process makes it, or with other weights and another seed.

    It is always the same one, so that it is compiled once.
    """
    model, weights, seed = compiled(**options)
    model.set_weights([w + np.float32(shift) for w in weights])
    trainer = model.trainer
    trainer.seed, trainer.step, trainer.epoch, trainer.slots = seed + shift, 0, 0, None
    trainer.forget_key()
    trainer.optimizer.learning_rate = 0.05
    return model


def state_of(model):
    """Every number that training has: the model's and the optimizer's."""
    return [*model.get_weights(), *map(np.asarray, jax.tree.leaves(model.trainer.slots))]


def assert_identical(first, second):
    assert [(a.dtype, a.tobytes()) for a in first] == [(b.dtype, b.tobytes()) for b in second]


def outcome(model, history):
    """All that must be the same when a run has been resumed."""
    trainer = model.trainer
    numbers = [(a.dtype, a.tobytes()) for a in state_of(model)]
    counts = (trainer.seed, trainer.step, trainer.epoch, trainer.optimizer.learning_rate)
    return history.history, history.epoch, counts, numbers


def run(*callbacks, shift=0, epochs=4, **how: Any):
    model = network(shift)
    history = model.fit(X, Y, epochs=epochs, callbacks=list(callbacks), **{**HOW, **how})
    return outcome(model, history)


class Crash(Exception):
    pass


class CrashAt(Callback):
    """Ends the run as soon as it has come to a step of an epoch, or past it."""

    most_steps = 1  # so that the run pauses after each step

    def __init__(self, epoch, step):
        self.at = (epoch, step)

    def on_pause(self, run):
        if (run.epoch, run.step) >= self.at:
            raise Crash


# Resuming


@pytest.mark.parametrize(
    ("save_freq", "crash", "stands_at"),
    [(3, (2, 2), (1, 4)), (1, (1, 4), (1, 3)), (4, (3, 0), (2, 2)), ("epoch", (2, 1), (2, 0))],
)
def test_a_run_that_crashed_goes_on_to_the_same_bits(tmp_path, save_freq, crash, stands_at):
    whole = run()
    backup = BackupAndRestore(tmp_path / "backup", save_freq)
    with pytest.raises(Crash):
        run(CrashAt(*crash), backup)  # a crash comes before the backup of the same step
    assert os.listdir(tmp_path / "backup") == ["run.nacre"]
    state = set_to_run(network(), backup.path)
    assert (state.epoch, state.step) == stands_at
    assert run(BackupAndRestore(tmp_path / "backup", save_freq), shift=1) == whole
    assert not (tmp_path / "backup").exists()


def test_the_learning_rate_and_validation_figures_are_resumed(tmp_path):
    def halve(epoch, rate):
        return rate / 2 if epoch == 1 else rate

    schedule = nacre.callbacks.LearningRateScheduler(halve)
    how: dict[str, Any] = {"validation_split": 0.3}
    whole = run(schedule, **how)
    backup = BackupAndRestore(tmp_path / "b", save_freq=2)
    with pytest.raises(Crash):
        run(backup, CrashAt(2, 1), schedule, **how)
    assert run(backup, schedule, shift=1, **how) == whole
    assert whole[0]["learning_rate"] == pytest.approx([0.05, 0.025, 0.025, 0.025])


def test_a_second_fit_counts_its_epochs_on_after_a_crash(tmp_path):
    def two(*callbacks):
        model = network()
        model.fit(X, Y, epochs=2, **HOW)
        return outcome(model, model.fit(X, Y, epochs=3, callbacks=list(callbacks), **HOW))

    whole = two()
    backup = BackupAndRestore(tmp_path / "b", save_freq=3)
    with pytest.raises(Crash):
        two(backup, CrashAt(1, 1))
    # The script begins anew: its first fit runs again, its second one is resumed.
    assert two(backup) == whole


def test_a_model_without_weights_is_resumed(tmp_path):
    def train(*callbacks):
        nacre.set_seed(3)
        model = nacre.Sequential([layers.Dense(1)])
        model.compile("sgd", "mse")
        y = Y.astype(np.float32)
        return outcome(model, model.fit(X, y, epochs=3, callbacks=list(callbacks), **HOW))

    whole = train()
    with pytest.raises(Crash):
        train(BackupAndRestore(tmp_path / "b", save_freq=2), CrashAt(1, 2))
    assert train(BackupAndRestore(tmp_path / "b", save_freq=2)) == whole


class InterruptAt(CrashAt):
    """Does what Ctrl-C does."""

    on_pause = Callback.on_pause

    def on_chunk_end(self, epoch, steps_done, steps_total, examples_done, logs):
        if (epoch, steps_done) == self.at:
            signal.raise_signal(signal.SIGINT)


def test_an_interrupted_run_keeps_a_backup_of_where_it_stopped(tmp_path):
    whole = run()
    backup = BackupAndRestore(tmp_path / "b")
    run(backup, InterruptAt(1, 3))
    state = set_to_run(network(), backup.path)
    assert (state.epoch, state.step) == (1, 3)
    assert run(backup, shift=1) == whole


def test_a_finished_run_that_keeps_its_backup_has_nothing_left_to_do(tmp_path):
    def keeping(epochs):
        backup = BackupAndRestore(tmp_path / "b", delete_checkpoint=False)
        return run(backup, epochs=epochs)

    def but_averages(outcome):
        return outcome[:3]

    first = keeping(2)
    assert but_averages(keeping(2)) == but_averages(first)
    assert keeping(3) == run(epochs=3)


def test_another_model_other_metrics_and_other_batches_are_refused(tmp_path):
    backup = BackupAndRestore(tmp_path / "b", save_freq=1)
    with pytest.raises(Crash):
        run(backup, CrashAt(1, 2))
    other = nacre.Sequential([nacre.Input((6,)), layers.Dense(3, activation="softmax")])
    other.compile("sgd", "sparse_categorical_crossentropy")
    with pytest.raises(ArgumentError, match="one of another model"):
        other.fit(X, Y, epochs=3, callbacks=[backup], **HOW)
    with pytest.raises(ArgumentError, match="had other metrics"):
        network(metrics=()).fit(X, Y, epochs=3, callbacks=[backup], **HOW)
    with pytest.raises(ArgumentError, match="other data or batches"):
        run(backup, batch_size=8)
    backup.path.write_bytes(backup.path.read_bytes()[:-40])
    with pytest.raises(FileFormatError):
        run(backup)
    network().save(backup.path)
    with pytest.raises(FileFormatError, match="does not hold a run"):
        run(backup)


@pytest.mark.parametrize("save_freq", [0, -1, 2.5, True, "epochs", None])
def test_other_frequencies_are_refused(save_freq):
    with pytest.raises(ArgumentError, match="save_freq"):
        BackupAndRestore("b", save_freq)
    with pytest.raises(ArgumentError, match="save_freq"):
        ModelCheckpoint("m", save_freq=save_freq)


def test_a_backup_needs_a_folder():
    with pytest.raises(ArgumentError, match="backup_dir"):
        BackupAndRestore("")


# ModelCheckpoint


LOGS = [{"loss": a, "val_loss": b, "acc": c} for a, b, c in zip([4, 3, 5], [2, 2, 1], [0, 2, 1])]


class Saves:
    """Stands in for a model: writes down what it is asked to save, as empty files."""

    optimizer = None
    trainer = type("Trainer", (), {"step": 0})()

    def __init__(self):
        self.saved = []

    def save(self, path, **_):
        self.saved.append(("model", os.path.basename(path).partition(".")[0]))

    def save_weights(self, path, **_):
        self.saved.append(("weights", os.path.basename(path).partition(".")[0]))


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"save_best_only": True},
        {"save_best_only": True, "monitor": "loss", "mode": "max"},
        {"save_best_only": True, "monitor": "acc", "mode": "max"},
        {"save_best_only": True, "initial_value_threshold": 1.5},
        {"save_weights_only": True},
    ],
    ids=str,
)
def test_the_same_epochs_are_saved_as_by_keras(tmp_path, options):
    ours, theirs = Saves(), Saves()
    ending = ".weights.h5" if options.get("save_weights_only") else ".keras"
    path = str(tmp_path / ("{epoch:02d}-{val_loss:.2f}-{acc}" + ending))
    for model, kind in ((ours, ModelCheckpoint), (theirs, keras.callbacks.ModelCheckpoint)):
        callback = kind(path.replace(".2f", "d"), **options)
        callback.set_model(model)
        callback.on_train_begin()
        for epoch, logs in enumerate(LOGS):
            callback.on_epoch_end(epoch, dict(logs))
        callback.on_train_end()
    assert ours.saved == theirs.saved
    assert ours.saved


def test_the_saved_model_trains_on_from_where_it_was_saved(tmp_path):
    path = tmp_path / "new" / "{epoch:02d}-{loss:.3f}.nacre"
    history, _, _, numbers = run(ModelCheckpoint(path))
    names = [f"{i + 1:02d}-{loss:.3f}.nacre" for i, loss in enumerate(history["loss"])]
    assert sorted(os.listdir(tmp_path / "new")) == names
    loaded = models.load_model(tmp_path / "new" / names[1])
    assert (loaded.trainer.epoch, loaded.trainer.step) == (2, 2 * STEPS)
    end = loaded.fit(X, Y, epochs=4, initial_epoch=2, **HOW)
    assert {name: values[2:] for name, values in history.items()} == end.history
    assert outcome(loaded, end)[3] == numbers


def test_steps_are_counted_over_epochs(tmp_path):
    model = network()
    path = tmp_path / "{epoch}-{batch}-{loss:.1f}.nacre"
    model.fit(X, Y, epochs=3, callbacks=[ModelCheckpoint(path, save_freq=4)], **HOW)
    found = sorted(name.rpartition("-")[0] for name in os.listdir(tmp_path))
    assert found == ["1-4", "2-3", "3-2"]  # updates 4, 8 and 12
    steps = {models.load_model(tmp_path / name).trainer.step for name in os.listdir(tmp_path)}
    assert steps == {4, 8, 12}


def test_checkpoints_change_nothing_in_training(tmp_path):
    callbacks = [
        ModelCheckpoint(tmp_path / "m.nacre", save_freq=2),
        ModelCheckpoint(tmp_path / "m.safetensors", save_weights_only=True),
        BackupAndRestore(tmp_path / "b", save_freq=3),
    ]
    assert run(*callbacks) == run()


def test_weights_only_load_into_the_same_model(tmp_path):
    model = network()
    seen = []
    callbacks = [
        ModelCheckpoint(tmp_path / "w.safetensors", save_weights_only=True),
        LambdaCallback(on_epoch_end=lambda epoch, logs: seen.append(model.get_weights())),
    ]
    model.fit(X, Y, epochs=2, callbacks=callbacks, **HOW)
    other = network(shift=1)
    other.load_weights(tmp_path / "w.safetensors")
    assert_identical(other.get_weights(), seen[-1])


def test_it_says_what_it_does(tmp_path, capsys):
    callback = ModelCheckpoint(tmp_path / "m", save_best_only=True, verbose=1)
    callback.set_model(Saves())
    for epoch, logs in enumerate(LOGS):
        callback.on_epoch_end(epoch, logs)
    first, second, third = capsys.readouterr().out.splitlines()
    assert first == (f"Epoch 1: val_loss is 2.00000, saved the model to {tmp_path / 'm'}.")
    assert second == "Epoch 2: val_loss did not improve from 2.00000."
    assert "improved from 2.00000 to 1.00000" in third


def test_a_figure_that_is_not_there(tmp_path):
    with pytest.raises(ArgumentError, match=r"KeyError.*val_loss(.|\n)*epoch, loss"):
        network().fit(X, Y, callbacks=[ModelCheckpoint(tmp_path / "{val_loss}.nacre")], **HOW)
    callback = ModelCheckpoint(tmp_path / "m.nacre", save_best_only=True)
    with pytest.warns(UserWarning, match="ModelCheckpoint watches 'val_loss'"):
        network().fit(X, Y, epochs=2, callbacks=[callback], **HOW)
    assert os.listdir(tmp_path) == []


# A full disk


class FullDisk(Callback):
    """From the beginning of one epoch to that of another, no file may grow over 1,000 bytes."""

    def __init__(self, first, last):
        self.first, self.last = first, last
        self.before = resource.getrlimit(resource.RLIMIT_FSIZE)

    def on_epoch_begin(self, epoch, logs=None):
        if epoch == self.first:
            resource.setrlimit(resource.RLIMIT_FSIZE, (1000, self.before[1]))
        elif epoch == self.last:
            self.release()

    def release(self):
        resource.setrlimit(resource.RLIMIT_FSIZE, self.before)


def test_a_full_disk_loses_neither_training_nor_the_last_good_checkpoint(tmp_path):
    found = []
    backup = BackupAndRestore(tmp_path / "b", delete_checkpoint=False)

    class Look(Callback):
        def on_pause(self, run):
            if run.step:
                return
            backup._finish()
            saved = models.load_model(tmp_path / "m.nacre")
            backed_up = set_to_run(saved, backup.path).epoch
            found.append((backed_up, models.load_model(tmp_path / "m.nacre").trainer.epoch))

    whole = run()
    callbacks = [FullDisk(1, 3), ModelCheckpoint(tmp_path / "m.nacre"), backup, Look()]
    with pytest.warns(CheckpointWarning) as warned:
        assert run(*callbacks) == whole
    assert found == [(1, 1), (1, 1), (1, 1), (4, 4)]
    assert sum("No backup was written" in str(w.message) for w in warned) == 2
    assert sum("no checkpoint was written" in str(w.message) for w in warned) == 2
    assert sorted(os.listdir(tmp_path)) == ["b", "m.nacre"]
    assert os.listdir(tmp_path / "b") == ["run.nacre"]


def test_a_place_that_cannot_be_written_to_is_a_warning(tmp_path):
    (tmp_path / "file").write_text("not a folder")
    callbacks = [
        ModelCheckpoint(tmp_path / "file" / "m.nacre"),
        BackupAndRestore(tmp_path / "file" / "b"),
    ]
    for callback in callbacks:
        model = network()
        with pytest.warns(CheckpointWarning, match=r"Training goes on"):
            model.fit(X, Y, epochs=2, callbacks=[callback], **HOW)
        assert model.trainer.step == 2 * STEPS


def test_the_best_model_is_tried_again_after_a_write_that_failed(tmp_path):
    class Failing(Saves):
        def save(self, path, **_):
            if not self.saved:
                self.saved.append("failed")
                raise OSError("full")
            super().save(path)

    callback = ModelCheckpoint(tmp_path / "{epoch}", monitor="loss", save_best_only=True)
    callback.set_model(model := Failing())
    with pytest.warns(CheckpointWarning, match="full"):
        callback.on_epoch_end(0, {"loss": 1.0})
    callback.on_epoch_end(1, {"loss": 2.0})
    assert model.saved == ["failed", ("model", "2")]


def test_what_killed_writers_left_behind_is_removed(tmp_path):
    for name in (".run.nacre.0123.part", ".03.nacre.0123.part", ".03.other.0123.part"):
        (tmp_path / name).write_bytes(b"half")
    callbacks = [BackupAndRestore(tmp_path), ModelCheckpoint(tmp_path / "{epoch:02d}.nacre")]
    network().fit(X, Y, callbacks=callbacks, **HOW)
    assert sorted(os.listdir(tmp_path)) == [".03.other.0123.part", "01.nacre"]


# A disk of 200 kB in a mount namespace of its own, filled to the last byte between two runs.
DISK = """
import subprocess, sys, warnings
from pathlib import Path
sys.path.insert(0, sys.argv[1])
folder = Path(sys.argv[2])
subprocess.run(["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", str(folder)], check=True)
from test_checkpoints import HOW, X, Y, BackupAndRestore, ModelCheckpoint, models, network
from nacre.training.model_checkpoint import CheckpointWarning

def train(model):
    backup = BackupAndRestore(folder / "b", save_freq=1, delete_checkpoint=False)
    checkpoint = ModelCheckpoint(folder / "m.nacre")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        history = model.fit(X, Y, epochs=2, callbacks=[checkpoint, backup], **HOW).history
    assert len(history["loss"]) == 2
    return [w.category for w in caught]

assert train(network()) == []
good = {path: path.read_bytes() for path in (folder / "m.nacre", folder / "b" / "run.nacre")}
with open(folder / "ballast", "wb", buffering=0) as ballast:
    try:
        while ballast.write(bytes(1000)):
            pass
    except OSError:
        pass
(folder / "b" / "run.nacre").rename(folder / "kept")  # or there would be nothing left to do
said = train(network())
assert CheckpointWarning in said and set(said) == {CheckpointWarning}, said
assert (folder / "m.nacre").read_bytes() == good[folder / "m.nacre"]
assert not list(folder.rglob("*.part"))
(folder / "kept").rename(folder / "b" / "run.nacre")
assert models.load_model(folder / "m.nacre").trainer.epoch == 2
(folder / "ballast").unlink()
(folder / "b" / "run.nacre").unlink()
assert train(network()) == []
assert (folder / "b" / "run.nacre").exists()
"""


def can_mount():
    unshare = ["unshare", "--map-root-user", "--mount", "true"]
    try:
        return subprocess.run(unshare, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


@pytest.mark.slow
@pytest.mark.skipif(not can_mount(), reason="needs a mount namespace of one's own")
def test_a_disk_with_no_byte_left(tmp_path):
    command = [sys.executable, "-c", DISK, str(Path(__file__).parent), str(tmp_path)]
    ended = subprocess.run(
        ["unshare", "--map-root-user", "--mount", *command],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert ended.returncode == 0, ended.stderr


# SIGKILL

# One process that has imported everything, and started nothing of XLA's, forks another for each
# command. The child says when it has written its first backup of its own.
SERVER = """
import os, resource, sys
sys.path.insert(0, sys.argv[1])
import numpy as np
from test_checkpoints import HOW, X, Y, BackupAndRestore, Callback, ModelCheckpoint, network

class Ready(Callback):
    pauses = 0
    def on_pause(self, run):
        self.pauses += 1
        if self.pauses == 2:
            os.write(1, b"ready\\n")

def train(folder, epochs, full):
    if full:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
    model = network()
    callbacks = [
        ModelCheckpoint(folder + "/m.nacre", save_freq=3),
        BackupAndRestore(folder + "/b", save_freq=1),
        Ready(),
    ]
    history = model.fit(X, Y, epochs=epochs, callbacks=callbacks, **HOW).history
    np.savez(folder + "/end.npz", *model.get_weights(), **history)

for line in sys.stdin:
    epochs, full = map(int, line.split())
    child = os.fork()
    if child == 0:
        try:
            train(sys.argv[2], epochs, full)
            os.write(1, b"end\\n")
        finally:
            os._exit(0)
    os.write(1, f"{child}\\n".encode())
    os.waitpid(child, 0)
    os.write(1, b"gone\\n")
"""


# What one child has compiled, the next one reads.
CACHE = {
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
}


class Server:
    """Starts runs that can be killed."""

    def __init__(self, folder):
        place = str(Path(__file__).parent)
        self.process = subprocess.Popen(
            [sys.executable, "-c", SERVER, place, str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, **CACHE, "JAX_COMPILATION_CACHE_DIR": str(folder / "compiled")},
            text=True,
            bufsize=1,
        )

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.process.kill()
        self.process.communicate()

    def start(self, epochs, full=False):
        """Start a run, and wait until it has saved something. Returns its process's number."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{epochs} {int(full)}\n")
        number = int(self.said())
        assert self.said() == "ready"
        return number

    def said(self):
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()


@pytest.mark.parametrize("kills", [3, pytest.param(200, marks=pytest.mark.slow)])
def test_a_run_killed_at_random_moments_loses_nothing_and_ends_the_same(tmp_path, kills):
    chance = random.Random(kills)
    epochs = 20 * kills
    folder, reader = tmp_path / "run", network()
    folder.mkdir()
    stands = [(0, 0)]
    with Server(folder) as server:
        for i in range(kills):
            number = server.start(epochs, full=i % 5 == 2)
            time.sleep(chance.uniform(0, 0.1))
            os.kill(number, 9)
            assert server.said() == "gone"
            state = set_to_run(reader, folder / "b" / "run.nacre")
            load_values(reader, folder / "b" / "run.nacre")
            assert reader.trainer.step == state.epoch * STEPS + state.step
            stands.append((state.epoch, state.step))
            if (folder / "m.nacre").exists():
                assert models.load_model(folder / "m.nacre").trainer.step >= 3
        assert stands == sorted(stands)
        assert stands[-1] > stands[1]
        end = stands[-1][0] + 2
        server.start(end)
        assert [server.said(), server.said()] == ["end", "gone"]
    whole = network()
    expected = whole.fit(X, Y, epochs=end, **HOW).history
    with np.load(folder / "end.npz") as result:
        assert {name: result[name].tolist() for name in expected} == expected
        found = [result[f"arr_{i}"] for i in range(len(whole.get_weights()))]
    assert_identical(found, whole.get_weights())
