"""EarlyStopping and ReduceLROnPlateau, epoch by epoch beside Keras's."""

import inspect
from types import SimpleNamespace

import keras
import pytest
from hypothesis import given, settings, strategies as st

from nacre import callbacks
from nacre.core.errors import ArgumentError
from nacre.training.monitoring import Monitor

# Coarse values, so that ties and differences of exactly min_delta happen; NaN now and then.
values = st.lists(
    st.sampled_from([0.1, 0.2, 0.3, 0.7, 0.8, 0.9, 1.0, float("nan")]), min_size=1, max_size=12
)


class Model:
    """Its weights are the number of the epoch."""

    def __init__(self, learning_rate=0.1):
        self.stop_training = False
        self.weights = -1
        self.optimizer = SimpleNamespace(learning_rate=learning_rate)

    def get_weights(self):
        return self.weights

    def set_weights(self, weights):
        self.weights = weights


def run(callback, sequence, name, first=0):
    """What a callback does to a model over a run; the rows of its state, epoch by epoch."""
    model, rows = Model(), []
    callback.set_model(model)
    callback.on_train_begin()
    for epoch, value in enumerate(sequence, first):
        model.weights = epoch
        logs = {name: value}
        callback.on_epoch_end(epoch, logs)
        rows.append(
            [callback.wait, repr(callback.best), model.optimizer.learning_rate, model.stop_training]
        )
        if model.stop_training:
            break
    callback.on_train_end()
    return rows, model.weights, logs


@settings(max_examples=150, deadline=None)
@given(
    values,
    st.fixed_dictionaries(
        {
            "patience": st.integers(0, 3),
            "min_delta": st.sampled_from([0, 0.1, -0.1]),
            "mode": st.sampled_from(["min", "max"]),
            "baseline": st.sampled_from([None, 0.2, 0.8]),
            "restore_best_weights": st.booleans(),
            "start_from_epoch": st.integers(0, 3),
        }
    ),
    st.integers(0, 2),
)
def test_early_stopping_does_as_keras_does(sequence, options, first):
    ours = callbacks.EarlyStopping(monitor="val_loss", **options)
    theirs = keras.callbacks.EarlyStopping(monitor="val_loss", **options)
    assert run(ours, sequence, "val_loss", first) == run(theirs, sequence, "val_loss", first)
    assert (ours.stopped_epoch, ours.best_epoch) == (theirs.stopped_epoch, theirs.best_epoch)


@settings(max_examples=150, deadline=None)
@given(
    values,
    st.fixed_dictionaries(
        {
            "patience": st.integers(0, 3),
            "min_delta": st.sampled_from([0, 1e-4, 0.1]),
            "mode": st.sampled_from(["min", "max"]),
            "cooldown": st.integers(0, 3),
            "factor": st.sampled_from([0.1, 0.5]),
            "min_lr": st.sampled_from([0.0, 0.003]),
        }
    ),
)
def test_reduce_lr_on_plateau_does_as_keras_does(sequence, options):
    ours = callbacks.ReduceLROnPlateau(monitor="loss", **options)
    theirs = keras.callbacks.ReduceLROnPlateau(monitor="loss", **options)
    ours, theirs = run(ours, sequence, "loss"), run(theirs, sequence, "loss")
    assert repr(ours) == repr(theirs)  # NaN is equal to nothing, itself included


def test_the_defaults_are_keras_defaults():
    for name in ("EarlyStopping", "ReduceLROnPlateau"):
        ours, theirs = (
            {
                parameter.name: parameter.default
                for parameter in inspect.signature(getattr(module, name)).parameters.values()
                if parameter.kind is not parameter.VAR_KEYWORD
            }
            for module in (callbacks, keras.callbacks)
        )
        assert ours == theirs


def test_the_direction_is_that_of_keras_metrics():
    known = 0
    for name in dir(keras.metrics):
        cls = getattr(keras.metrics, name)
        if not (isinstance(cls, type) and issubclass(cls, keras.metrics.Metric)):
            continue
        try:
            metric = cls()
        except (TypeError, ValueError):
            continue
        direction = getattr(metric, "_direction", None)
        if direction in ("up", "down") and metric.name != "metric":
            monitor = Monitor("EarlyStopping", f"val_{metric.name}", "auto", 0)
            assert monitor.improved(2.0, 1.0) == (direction == "up"), metric.name
            known += 1
    assert known > 25


@pytest.mark.parametrize(
    ("name", "higher_is_better"),
    [
        ("loss", False),
        ("val_digit_loss", False),
        ("acc", True),
        ("val_digit_accuracy", True),
        ("accuracy_1", True),
        ("mae", False),
        ("iou", True),
    ],
)
def test_the_direction_of_other_names(name, higher_is_better):
    assert Monitor("EarlyStopping", name, "auto", 0).improved(2.0, 1.0) == higher_is_better


def test_the_direction_of_a_metric_with_a_name_of_its_own():
    class F1Score:
        name = "score"

    model = SimpleNamespace(metrics=[F1Score()])
    assert Monitor("EarlyStopping", "val_score", "auto", 0).improved(2.0, 1.0, model)


def test_an_unknown_direction_is_explained():
    stop = callbacks.EarlyStopping(monitor="reward")
    with pytest.raises(ArgumentError, match=r"mode='max'\) if higher is better"):
        run(stop, [1.0, 2.0], "reward")
    run(callbacks.EarlyStopping(monitor="reward", mode="max"), [1.0, 2.0], "reward")


def test_a_missing_figure_is_explained_once_in_a_run():
    stop = callbacks.EarlyStopping(monitor="val_accuracy")
    with pytest.warns(UserWarning, match="Fix: pass validation_data to fit") as caught:
        run(stop, [1.0, 2.0, 3.0], "accuracy")
    assert len(caught) == 1
    assert "Expected: accuracy" in str(caught[0].message)
    with pytest.warns(UserWarning, match="did you mean 'val_loss'"):
        run(callbacks.EarlyStopping(monitor="val_los"), [1.0], "val_loss")
    with pytest.warns(UserWarning, match="EarlyStopping watches 'val_los'"):
        run(callbacks.EarlyStopping(monitor="val_los"), [1.0], "val_loss")


def test_a_change_too_small_for_float32_is_none_and_huge_values_do_no_harm():
    monitor = Monitor("EarlyStopping", "loss", "min", 0.1)
    assert not monitor.improved(0.7, 0.8)
    assert monitor.improved(0.69, 0.8)
    assert not monitor.improved(1e300, 1.0)


def test_early_stopping_says_what_it_does(capsys):
    stop = callbacks.EarlyStopping("loss", patience=1, verbose=1, restore_best_weights=True)
    _, weights, _ = run(stop, [2.0, 1.0, 3.0, 4.0], "loss")
    assert weights == 1
    printed = capsys.readouterr().out
    assert "Epoch 3: early stopping" in printed
    assert "best epoch: 2." in printed


def test_reduce_lr_on_plateau_puts_the_rate_into_the_logs(capsys):
    reduce = callbacks.ReduceLROnPlateau("loss", factor=0.5, patience=1, verbose=1)
    rows, _, logs = run(reduce, [1.0, 1.0, 0.5], "loss")
    assert [row[2] for row in rows] == [0.1, 0.05, 0.05]
    assert logs["learning_rate"] == 0.05
    assert "Epoch 2: ReduceLROnPlateau lowers the learning rate to 0.05." in capsys.readouterr().out


def test_arguments_are_checked():
    with pytest.raises(ArgumentError, match="did you mean 'min'"):
        callbacks.EarlyStopping(mode="minn")
    with pytest.raises(ArgumentError, match="did you mean 'patience'"):
        callbacks.EarlyStopping(patiance=3)
    with pytest.raises(ArgumentError, match="a number below 1"):
        callbacks.ReduceLROnPlateau(factor=1.0)
    reduce = callbacks.ReduceLROnPlateau("loss")
    reduce.set_model(Model(learning_rate=lambda step: 0.1))
    with pytest.raises(ArgumentError, match="leave out one of the two"):
        reduce.on_epoch_end(0, {"loss": 1.0})
