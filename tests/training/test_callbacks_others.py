"""LearningRateScheduler, TerminateOnNaN, CSVLogger."""

import math
from types import SimpleNamespace

import keras
import numpy as np
import pytest

from nacre import callbacks
from nacre.core.errors import ArgumentError, DataError


def model(learning_rate=0.1):
    return SimpleNamespace(
        stop_training=False, optimizer=SimpleNamespace(learning_rate=learning_rate)
    )


@pytest.mark.parametrize(
    "schedule",
    [
        lambda epoch, lr: lr * 0.5,
        lambda epoch, lr=0.0: lr + 0.25,
        lambda epoch: 1.0 / (epoch + 1),
        lambda epoch, lr: np.float32(lr) if epoch else lr / 4,
    ],
)
def test_learning_rate_scheduler_does_as_keras_does(schedule):
    rates = []
    for callback in (
        callbacks.LearningRateScheduler(schedule),
        keras.callbacks.LearningRateScheduler(schedule),
    ):
        owner = model()
        callback.set_model(owner)
        for epoch in range(3):
            logs = {"loss": 1.0}
            callback.on_epoch_begin(epoch)
            callback.on_epoch_end(epoch, logs)
            rates.append((owner.optimizer.learning_rate, logs["learning_rate"]))
    assert rates[:3] == rates[3:]
    assert isinstance(rates[0][0], float)


def test_learning_rate_scheduler_says_what_it_does(capsys):
    scheduler = callbacks.LearningRateScheduler(lambda epoch: 0.025, verbose=1)
    scheduler.set_model(model())
    scheduler.on_epoch_begin(4)
    assert "Epoch 5: LearningRateScheduler sets the learning rate to 0.025." in (
        capsys.readouterr().out
    )


def test_learning_rate_scheduler_explains_what_cannot_be():
    forgetful = callbacks.LearningRateScheduler(lambda epoch, lr: None)
    forgetful.set_model(model())
    with pytest.raises(ArgumentError, match="return the learning rate on every path"):
        forgetful.on_epoch_begin(0)
    forgetful.set_model(model(learning_rate=lambda step: 0.1))
    with pytest.raises(ArgumentError, match="cannot change a learning rate that is a schedule"):
        forgetful.on_epoch_begin(0)


def test_an_error_inside_a_schedule_is_not_hidden():
    def broken(epoch, lr):
        raise TypeError("inside the schedule")

    scheduler = callbacks.LearningRateScheduler(broken)
    scheduler.set_model(model())
    with pytest.raises(TypeError, match="inside the schedule"):
        scheduler.on_epoch_begin(0)


@pytest.mark.parametrize("loss", [math.nan, math.inf, -math.inf])
def test_terminate_on_nan_stops_at_the_end_of_the_call(loss, capsys):
    terminate, owner = callbacks.TerminateOnNaN(), model()
    both = callbacks.CallbackList([terminate], owner)
    both.on_train_begin()
    both.on_chunk_end(0, 5, 10, 80, {"loss": 0.5})
    assert not owner.stop_training
    both.on_chunk_end(0, 10, 10, 160, {"loss": loss})
    assert owner.stop_training
    both.on_epoch_end(0, {"loss": loss})
    assert capsys.readouterr().out.count("Training stops.") == 1
    assert both.needs_epochs
    assert not both.needs_batches


def test_terminate_on_nan_may_raise():
    terminate = callbacks.TerminateOnNaN(raise_error=True)
    terminate.on_train_begin()
    with pytest.raises(DataError, match=r"The loss became nan in epoch 3"):
        terminate.on_epoch_end(2, {"loss": math.nan})


def test_terminate_on_nan_does_not_mind_evaluation():
    terminate, owner = callbacks.TerminateOnNaN(), model()
    terminate.set_model(owner)
    terminate.on_chunk_end(0, 1, 1, 16, {"loss": math.nan})
    assert not owner.stop_training


RUNS = [
    [{"loss": 0.5, "accuracy": 0.75}, {"loss": 0.25, "accuracy": 1.0}],
    [{"loss": 0.5}, {"loss": 0.25, "val_loss": 0.3}, {"loss": 0.125}],
    [{"loss": 0.5, "val_loss": 0.6}, {"val_loss": 0.5, "loss": 0.25}],
    [{"loss": [1, 2]}],
]


@pytest.mark.parametrize("epochs", RUNS)
@pytest.mark.parametrize("options", [{}, {"separator": ";"}, {"append": True}])
def test_csv_logger_writes_the_file_that_keras_writes(epochs, options, tmp_path):
    files = []
    for name, cls in (("ours", callbacks.CSVLogger), ("theirs", keras.callbacks.CSVLogger)):
        for _ in range(2):
            logger = cls(str(tmp_path / name), **options)
            logger.on_train_begin()
            for epoch, logs in enumerate(epochs):
                logger.on_epoch_end(epoch, logs)
            logger.on_train_end()
        files.append((tmp_path / name).read_bytes())
    assert files[0] == files[1]


def test_csv_logger_makes_folders_and_writes_rows_at_once(tmp_path):
    path = tmp_path / "new" / "log.csv"
    with callbacks.CallbackList(callbacks.CSVLogger(path)) as both:
        both.on_train_begin()
        both.on_epoch_end(0, {"loss": 0.5, "val_loss": 0.25})
        assert path.read_text().splitlines() == ["epoch,loss,val_loss", "0,0.5,0.25"]
        both.on_train_begin()
    assert path.read_text() == ""
