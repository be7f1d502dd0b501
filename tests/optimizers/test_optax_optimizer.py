"""Optax transformations as optimizers, and what ``get`` accepts."""

from __future__ import annotations

import json

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from nacre import optimizers
from nacre.core.configurable import deserialize, serialize
from nacre.core.errors import ArgumentError
from nacre.core.registry import register_serializable

TRANSFORMATIONS = {
    "adam": lambda: optax.adam(0.1),
    "chain": lambda: optax.chain(optax.clip_by_global_norm(1.0), optax.sgd(0.1, momentum=0.9)),
    "schedule": lambda: optax.adamw(optax.cosine_decay_schedule(0.1, 10)),
    "injected": lambda: optax.inject_hyperparams(optax.rmsprop)(0.1),
    "injected schedule": lambda: optax.inject_hyperparams(optax.sgd)(
        optax.linear_schedule(1, 0, 5)
    ),
    "every third step": lambda: optax.MultiSteps(optax.adam(0.1), 3),
    "masked": lambda: optax.masked(optax.sgd(0.1), {"a": True, "b": False}),
}


def params_of():
    return {"a": jnp.float32([1.0, -2.0]), "b": jnp.float32(3.0)}


def loop(optimizer, params, rate=np.nan, steps=5):
    """Trained inside one program, as the engine does."""

    def body(step, carry):
        params, state = carry
        return optimizer.update(params, state, params, learning_rate=rate, step=step)

    start = (params, optimizer.init(params))
    return jax.jit(lambda start: jax.lax.fori_loop(0, steps, body, start))(start)


@pytest.mark.parametrize("make", TRANSFORMATIONS.values(), ids=TRANSFORMATIONS)
def test_a_transformation_does_what_it_does_in_optax(make):
    optimizer, transformation, params = optimizers.get(make()), make(), params_of()
    rate = optimizer.learning_rate_at(0)
    ours, _ = loop(optimizer, params, rate)
    with jax.numpy_dtype_promotion("standard"):
        state = transformation.init(params)
        for _ in range(5):
            updates, state = transformation.update(params, state, params)
            params = optax.apply_updates(params, updates)
    for path, expected in params.items():
        np.testing.assert_allclose(ours[path], expected, rtol=1e-6)


@pytest.mark.parametrize("name", ["adam", "schedule", "injected schedule", "masked"])
def test_a_learning_rate_in_code_is_not_known(name):
    optimizer = optimizers.get(TRANSFORMATIONS[name]())
    assert not optimizer.learning_rate_is_known and optimizer.schedule is None
    assert np.isnan(optimizer.learning_rate_at(3))
    with pytest.raises(ArgumentError, match=r"(?s)cannot be read.*inject_hyperparams.*nacre.optim"):
        _ = optimizer.learning_rate
    with pytest.raises(ArgumentError, match=r"(?s)cannot be set.*inject_hyperparams"):
        optimizer.learning_rate = 0.5


def test_a_learning_rate_in_the_state_is_readable_and_settable():
    optimizer = optimizers.get(optax.inject_hyperparams(optax.sgd)(0.5))
    assert optimizer.learning_rate_is_known and optimizer.learning_rate == 0.5
    params, state = loop(optimizer, params_of(), jnp.float32(0.25), steps=1)
    np.testing.assert_allclose(params["a"], 0.75 * params_of()["a"])
    assert float(state["slots"].hyperparams["learning_rate"]) == 0.25
    optimizer.learning_rate = 0.25
    assert optimizer.learning_rate == 0.25 and optimizer.learning_rate_at(0) == 0.25
    optimizer.learning_rate = optax.constant_schedule(0.125)
    assert float(optimizer.learning_rate_at(jnp.int32(0))) == 0.125


def test_more_arguments_reach_the_transformation():
    def update(updates, state, params=None, *, value, **_):
        return jax.tree.map(lambda g: -value * g, updates), state

    optimizer = optimizers.get(optax.GradientTransformationExtraArgs(lambda _: {}, update))
    params = params_of()
    after, _ = optimizer.update(
        params, optimizer.init(params), params, learning_rate=0.0, step=0, value=jnp.float32(0.5)
    )
    np.testing.assert_allclose(after["a"], 0.5 * params["a"])


def test_types_stay_as_they_are_with_64_bits_on():
    with jax.enable_x64(True):
        params = params_of() | {"half": jnp.ones(2, jnp.bfloat16)}
        for name in ("adam", "injected", "every third step"):
            optimizer = optimizers.get(TRANSFORMATIONS[name]())
            after, _ = loop(optimizer, params, jnp.float32(0.1))
            assert {p: w.dtype for p, w in after.items()} == {p: w.dtype for p, w in params.items()}


@register_serializable("test_optax_optimizer")
def lookahead_free_sgd():
    return optax.sgd(0.5)


def test_a_named_function_can_be_saved_and_a_closure_cannot():
    optimizer = optimizers.OptaxOptimizer(lookahead_free_sgd, name="mine")
    again = deserialize(json.loads(json.dumps(serialize(optimizer))))
    assert again.name == "mine"
    params, _ = loop(again, params_of(), steps=1)
    np.testing.assert_allclose(params["a"], 0.5 * params_of()["a"])
    with pytest.raises(ArgumentError, match=r"cannot be written to a file"):
        serialize(optimizers.get(optax.sgd(0.5)))


# What get accepts


@pytest.mark.parametrize(
    "name, cls",
    [
        ("rmsprop", "RMSprop"), ("RMSprop", "RMSprop"), ("RMSPROP", "RMSprop"), ("sgd", "SGD"),
        ("SGD", "SGD"), ("adam", "Adam"), ("adamw", "AdamW"), ("AdamW", "AdamW"),
        ("adagrad", "Adagrad"), ("adadelta", "Adadelta"), ("adamax", "Adamax"), ("nadam", "Nadam"),
        ("lion", "Lion"), ("lamb", "Lamb"), ("ftrl", "Ftrl"),
    ],
)  # fmt: skip
def test_optimizers_have_names(name, cls):
    assert type(optimizers.get(name)) is getattr(optimizers, cls)


def test_get_takes_objects_classes_and_configurations():
    adam = optimizers.Adam(0.5, beta_1=0.8)
    assert optimizers.get(adam) is adam
    assert type(optimizers.get(optimizers.Lion)) is optimizers.Lion
    for configuration in (
        serialize(adam),
        {"class_name": "Adam", "config": {"learning_rate": 0.5, "beta_1": 0.8}},
        {"class_name": "adam", "config": adam.get_config()},
    ):
        again = optimizers.get(configuration)
        assert type(again) is optimizers.Adam
        assert (again.learning_rate, again.beta_1) == (0.5, 0.8)


def test_get_says_what_it_takes():
    with pytest.raises(ArgumentError, match=r"(?s)Unknown optimizer 'rmsprob'.*mean 'rmsprop'"):
        optimizers.get("rmsprob")
    for wrong in (None, 3, {"lr": 0.1}, lambda: None):
        with pytest.raises(ArgumentError, match=r"(?s)not an optimizer.*nacre.optimizers.RMSprop"):
            optimizers.get(wrong)
    stranger = type("Adam", (), {})()
    with pytest.raises(ArgumentError, match=r"use nacre.optimizers.Adam, with the same arguments"):
        optimizers.get(stranger)
    with pytest.raises(ArgumentError, match=r"(?s)takes an Optax transformation.*optax.adam"):
        optimizers.OptaxOptimizer(3)
