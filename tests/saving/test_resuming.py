"""Training resumed from a file goes on to the last bit as if it had never stopped."""

import subprocess
import sys

import jax
import numpy as np
import optax
import pytest

import nacre
from nacre import layers, models, optimizers
from nacre.saving import register_serializable

rng = np.random.default_rng(1)
X = rng.normal(size=(70, 6)).astype(np.float32)
Y = rng.integers(0, 3, 70)
TARGETS = rng.normal(size=(70, 3)).astype(np.float32)
HOW = {"batch_size": 16, "verbose": 0}


@register_serializable("tests")
def injected_adam():
    return optax.inject_hyperparams(optax.adam)(0.01)


def network(optimizer):
    """One with everything that training could forget: moving averages, dropout, a penalty."""
    model = nacre.Sequential(
        [
            nacre.Input((6,)),
            layers.Dense(8, activation="relu", kernel_regularizer="l2"),
            layers.BatchNormalization(),
            layers.Dropout(0.4),
            layers.Dense(3, activation="softmax"),
        ]
    )
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def small_network(optimizer):
    model = nacre.Sequential([nacre.Input((6,)), layers.Dense(3), layers.Dropout(0.4)])
    model.compile(optimizer, "mse")
    return model


def decaying_adam():
    return optimizers.Adam(optimizers.schedules.ExponentialDecay(0.02, 5, 0.9))


def state_of(model):
    """Every number that training has: the model's and the optimizer's."""
    return [*model.get_weights(), *map(np.asarray, jax.tree.leaves(model.trainer.slots))]


def assert_identical(first, second):
    assert len(first) == len(second)
    for a, b in zip(first, second):
        assert a.dtype == b.dtype
        assert a.tobytes() == b.tobytes()


PROGRAM = """
import sys
import numpy as np
import nacre
data = np.load(sys.argv[2])
model = nacre.models.load_model(sys.argv[1])
history = model.fit(data["x"], data["y"], epochs=4, initial_epoch=2, batch_size=16, verbose=0)
np.savez(sys.argv[3], *model.get_weights(), **{k: np.array(v) for k, v in history.history.items()})
"""


def test_a_resumed_run_is_the_whole_run_here_and_in_another_process(tmp_path):
    paths = [str(tmp_path / name) for name in ("m.nacre", "data.npz", "result.npz")]
    nacre.set_seed(7)
    whole = network(decaying_adam())
    expected = whole.fit(X, Y, epochs=4, **HOW).history

    nacre.set_seed(7)
    first = network(decaying_adam())
    beginning = first.fit(X, Y, epochs=2, **HOW).history
    first.save(paths[0])
    nacre.set_seed(None)
    np.savez(paths[1], x=X, y=Y)
    other = subprocess.Popen([sys.executable, "-c", PROGRAM, *paths])
    second = models.load_model(paths[0])
    end = second.fit(X, Y, epochs=4, initial_epoch=2, **HOW).history

    assert {name: beginning[name] + end[name] for name in expected} == expected
    assert_identical(state_of(second), state_of(whole))

    assert other.wait(timeout=300) == 0
    with np.load(paths[2]) as result:
        for name, values in end.items():
            assert result[name].tolist() == values
        found = [result[f"arr_{i}"] for i in range(len(whole.get_weights()))]
    assert_identical(found, whole.get_weights())


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(
            lambda: optimizers.SGD(0.05, momentum=0.9, nesterov=True), marks=pytest.mark.slow
        ),
        lambda: optimizers.AdamW(0.01, use_ema=True, ema_momentum=0.9),
        pytest.param(
            lambda: optimizers.Adam(0.01, gradient_accumulation_steps=3), marks=pytest.mark.slow
        ),
        lambda: optimizers.OptaxOptimizer(injected_adam),
    ],
    ids=["momentum", "average", "accumulation", "optax"],
)
def test_a_loaded_model_trains_on_as_the_saved_one_does(make, tmp_path):
    model = small_network(make())
    model.fit(X, TARGETS, epochs=1, **HOW)
    model.optimizer.learning_rate = 0.003
    model.save(tmp_path / "m.nacre")
    loaded = models.load_model(tmp_path / "m.nacre")
    assert_identical(state_of(loaded), state_of(model))
    expected = model.fit(X, TARGETS, epochs=2, **HOW).history
    assert loaded.fit(X, TARGETS, epochs=2, **HOW).history == expected
    assert_identical(state_of(loaded), state_of(model))


def test_frozen_layers_and_their_slots_are_kept(tmp_path):
    model = small_network(optimizers.Adam(0.01))
    model.add(layers.Dense(3))
    model.fit(X, TARGETS, epochs=1, **HOW)
    model.layers[0].trainable = False
    model.fit(X, TARGETS, epochs=1, **HOW)
    model.save(tmp_path / "m.nacre")
    loaded = models.load_model(tmp_path / "m.nacre")
    expected = model.fit(X, TARGETS, epochs=1, **HOW).history
    assert loaded.fit(X, TARGETS, epochs=1, **HOW).history == expected
    assert_identical(state_of(loaded), state_of(model))


def test_a_compiled_model_that_was_never_trained(tmp_path):
    model = small_network(optimizers.Adam(0.01))
    model.save(tmp_path / "m.nacre")
    loaded = models.load_model(tmp_path / "m.nacre")
    assert loaded.trainer.slots is None
    expected = model.fit(X, TARGETS, epochs=1, **HOW).history
    assert loaded.fit(X, TARGETS, epochs=1, **HOW).history == expected
