"""Optimizer trajectories and learning rate schedules against Keras on JAX and PyTorch."""

from __future__ import annotations

import inspect
from contextlib import contextmanager

import jax
import jax.numpy as jnp
import keras
import numpy as np
import pytest
import torch

import nacre
from nacre import optimizers
from nacre.optimizers import schedules

STEPS = 32
SHAPES = {"large": (5,), "wide": (6, 7)}
EXPONENTS = {"large": (1, 3), "wide": (-6, 3)}


@contextmanager
def keras_rules():
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        yield


def gradients_of(step: int, unused: float = 0.0) -> dict[str, np.ndarray]:
    """Gradients from 1e-6 to 1e3; each element keeps its magnitude, but not its sign.

    The first row of ``wide`` gets ``unused`` as its gradient.
    """
    gradients = {}
    for number, (path, (low, high)) in enumerate(EXPONENTS.items()):
        magnitude = 10 ** np.random.default_rng(number).uniform(low, high, SHAPES[path])
        noise = np.random.default_rng([number, step]).uniform(-0.5, 1.0, SHAPES[path])
        gradients[path] = (magnitude * noise).astype(np.float32)
    gradients["wide"][0] = unused
    return gradients


def initial_params() -> dict[str, np.ndarray]:
    """Half of them zeros, so that the smallest change counts in full."""
    draw = np.random.default_rng(7).normal
    params = {path: draw(size=shape).astype(np.float32) for path, shape in SHAPES.items()}
    params["wide"][:, ::2] = 0
    return params


def nacre_trajectory(optimizer, finalize=False, unused=0.0):
    params = {path: jnp.asarray(value) for path, value in initial_params().items()}
    state = optimizer.init(params)

    @jax.jit
    def update(gradients, state, params, step):
        rate = optimizer.learning_rate_at(step)
        return optimizer.update(gradients, state, params, learning_rate=rate, step=step)

    trajectory = []
    for step in range(STEPS):
        params, state = update(gradients_of(step, unused), state, params, jnp.int32(step))
        trajectory.append({path: np.asarray(value) for path, value in params.items()})
    if finalize:
        trajectory.append(
            {path: np.asarray(v) for path, v in optimizer.finalize(params, state).items()}
        )
    return trajectory


def keras_trajectory(optimizer, finalize=False):
    trajectory = []
    with keras_rules():
        variables = {
            path: keras.Variable(value, name=path) for path, value in initial_params().items()
        }
        in_order = list(variables.values())
        optimizer.build(in_order)
        arrays = [v.value for v in in_order], [v.value for v in optimizer.variables]
        apply = jax.jit(lambda slots, g, values: optimizer.stateless_apply(slots, g, values))
        values, slots = arrays
        for step in range(STEPS):
            gradients = gradients_of(step)
            values, slots = apply(slots, [gradients[path] for path in variables], values)
            trajectory.append({path: np.asarray(v) for path, v in zip(variables, values)})
        if finalize:
            for variable, value in zip((*in_order, *optimizer.variables), (*values, *slots)):
                variable.assign(value)
            optimizer.finalize_variable_values(in_order)
            trajectory.append({path: np.asarray(v.value) for path, v in variables.items()})
    return trajectory


def assert_same_trajectory(ours, theirs):
    """To 1e-5 of the value, and of the way travelled where values pass through zero."""
    assert len(ours) == len(theirs)
    start = initial_params()
    for step, (here, there) in enumerate(zip(ours, theirs)):
        for path, expected in there.items():
            travelled = np.abs(expected - start[path]) + np.abs(start[path])
            tolerance = 1e-5 * np.maximum(np.abs(expected), travelled) + 1e-6 * travelled.mean()
            worst = np.abs(here[path] - expected) - tolerance
            assert np.isfinite(here[path]).all()
            assert (worst <= 0).all(), (step, path, here[path], expected)


def assert_differ(ours, theirs):
    with pytest.raises(AssertionError):
        assert_same_trajectory(ours, theirs)


RULES = {
    "sgd": ("SGD", {}),
    "sgd_momentum": ("SGD", {"momentum": 0.9}),
    "sgd_nesterov": ("SGD", {"momentum": 0.9, "nesterov": True}),
    "rmsprop": ("RMSprop", {}),
    "rmsprop_rho_epsilon": ("RMSprop", {"rho": 0.7, "epsilon": 1e-3}),
    "rmsprop_momentum": ("RMSprop", {"momentum": 0.8}),
    "rmsprop_centered": ("RMSprop", {"centered": True, "rho": 0.95, "epsilon": 1e-4}),
    "rmsprop_centered_momentum": (
        "RMSprop",
        {"centered": True, "momentum": 0.5, "rho": 0.95, "epsilon": 1e-4},
    ),
    "adagrad": ("Adagrad", {}),
    "adagrad_start": ("Adagrad", {"initial_accumulator_value": 0.0, "epsilon": 1e-5}),
    "adadelta": ("Adadelta", {}),
    "adadelta_options": ("Adadelta", {"learning_rate": 1.0, "rho": 0.8, "epsilon": 1e-4}),
    "adam": ("Adam", {}),
    "adam_options": ("Adam", {"beta_1": 0.7, "beta_2": 0.95, "epsilon": 1e-3}),
    "adam_amsgrad": ("Adam", {"amsgrad": True, "beta_2": 0.9}),
    "adamw": ("AdamW", {}),
    "adamw_options": ("AdamW", {"learning_rate": 0.1, "weight_decay": 0.3, "amsgrad": True}),
    "adamax": ("Adamax", {}),
    "adamax_options": ("Adamax", {"beta_1": 0.7, "beta_2": 0.9, "epsilon": 1e-3}),
    "nadam": ("Nadam", {}),
    "nadam_options": ("Nadam", {"beta_1": 0.8, "beta_2": 0.95, "epsilon": 1e-3}),
    "lion": ("Lion", {}),
    "lion_options": ("Lion", {"beta_1": 0.5, "beta_2": 0.8}),
    "lamb": ("Lamb", {"weight_decay": 0.1}),
    "ftrl": ("Ftrl", {}),
    "ftrl_options": (
        "Ftrl",
        {
            "learning_rate": 0.1,
            "learning_rate_power": -0.3,
            "initial_accumulator_value": 0.2,
            "l1_regularization_strength": 0.05,
            "l2_regularization_strength": 0.02,
            "l2_shrinkage_regularization_strength": 0.01,
            "beta": 0.3,
        },
    ),
    "clipnorm": ("Adam", {"clipnorm": 0.01}),
    "clipnorm_sgd": ("SGD", {"clipnorm": 2.0, "momentum": 0.9}),
    "clipvalue": ("RMSprop", {"clipvalue": 0.05}),
    "global_clipnorm": ("SGD", {"global_clipnorm": 3.0, "learning_rate": 1.0}),
    "global_clipnorm_unreached": ("SGD", {"global_clipnorm": 1e6}),
    "weight_decay": ("SGD", {"weight_decay": 0.5, "momentum": 0.9, "learning_rate": 0.05}),
    "everything": (
        "Adam",
        {"weight_decay": 0.1, "global_clipnorm": 1.0, "loss_scale_factor": 64.0, "use_ema": True},
    ),
    "accumulation": ("Adam", {"gradient_accumulation_steps": 3, "clipnorm": 5.0}),
}


@pytest.mark.parametrize("name, options", RULES.values(), ids=RULES)
def test_trajectory_is_that_of_keras(name, options):
    ours = nacre_trajectory(getattr(optimizers, name)(**options))
    theirs = keras_trajectory(getattr(keras.optimizers, name)(**options))
    assert_same_trajectory(ours, theirs)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"ema_momentum": 0.7, "ema_overwrite_frequency": 4},
        {"ema_overwrite_frequency": 1},
        {"gradient_accumulation_steps": 4, "ema_overwrite_frequency": 3},
    ],
)
def test_averages_of_the_parameters_are_those_of_keras(options):
    options = {"momentum": 0.9, "use_ema": True, **options}
    ours = nacre_trajectory(optimizers.SGD(**options), finalize=True)
    theirs = keras_trajectory(keras.optimizers.SGD(**options), finalize=True)
    assert_same_trajectory(ours, theirs)


def test_parameters_are_spared_the_decay_as_in_keras():
    ours, theirs = (o.optimizers.AdamW(0.1, weight_decay=0.5) for o in (nacre, keras))
    for optimizer in (ours, theirs):
        optimizer.exclude_from_weight_decay(var_names=["lar", "never"])
    assert_same_trajectory(nacre_trajectory(ours), keras_trajectory(theirs))
    assert_differ(nacre_trajectory(ours), nacre_trajectory(optimizers.AdamW(0.1, weight_decay=0.5)))


def test_a_schedule_acts_at_the_same_steps_as_in_keras():
    for accumulation in (None, 4):
        ours, theirs = (
            o.optimizers.Adam(
                o.optimizers.schedules.ExponentialDecay(0.1, 5, 0.5),
                gradient_accumulation_steps=accumulation,
            )
            for o in (nacre, keras)
        )
        assert_same_trajectory(nacre_trajectory(ours), keras_trajectory(theirs))


TORCH_RULES = {
    "sgd": (lambda: optimizers.SGD(0.1), lambda p: torch.optim.SGD(p, 0.1)),
    "momentum": (
        lambda: optimizers.SGD(0.1, momentum=0.9),
        lambda p: torch.optim.SGD(p, 0.1, momentum=0.9),
    ),
    "nesterov": (
        lambda: optimizers.SGD(0.1, momentum=0.9, nesterov=True),
        lambda p: torch.optim.SGD(p, 0.1, momentum=0.9, nesterov=True),
    ),
    "adagrad": (
        lambda: optimizers.Adagrad(0.1, epsilon=0.0),
        lambda p: torch.optim.Adagrad(p, 0.1, initial_accumulator_value=0.1, eps=0.0),
    ),
    "rmsprop": (
        lambda: optimizers.RMSprop(0.1, rho=0.9, momentum=0.5, epsilon=0.0),
        lambda p: torch.optim.RMSprop(p, 0.1, alpha=0.9, momentum=0.5, eps=0.0),
    ),
    # With β₂ = 0.5, 1 - β₂ᵗ is exact in float32; with 0.999, Keras and Nacre lose 2e-5 there.
    "adam": (
        lambda: optimizers.Adam(0.1, 0.75, 0.5, epsilon=0.0),
        lambda p: torch.optim.Adam(p, 0.1, (0.75, 0.5), eps=0.0),
    ),
    "adamw": (
        lambda: optimizers.AdamW(0.1, 0.3, 0.75, 0.5, epsilon=0.0),
        lambda p: torch.optim.AdamW(p, 0.1, (0.75, 0.5), eps=0.0, weight_decay=0.3),
    ),
    "adamax": (
        lambda: optimizers.Adamax(0.1, 0.75, 0.5, epsilon=0.0),
        lambda p: torch.optim.Adamax(p, 0.1, (0.75, 0.5), eps=0.0),
    ),
}


@pytest.mark.parametrize("ours, theirs", TORCH_RULES.values(), ids=TORCH_RULES)
def test_trajectory_is_that_of_pytorch(ours, theirs):
    """Epsilon is 0 where its place differs, so that no gradient may be 0."""
    tensors = {path: torch.tensor(v, requires_grad=True) for path, v in initial_params().items()}
    peer, trajectory = theirs(list(tensors.values())), []
    for step in range(STEPS):
        for path, tensor in tensors.items():
            tensor.grad = torch.tensor(gradients_of(step, unused=0.5)[path])
        peer.step()
        trajectory.append({path: t.detach().numpy().copy() for path, t in tensors.items()})
    assert_same_trajectory(nacre_trajectory(ours(), unused=0.5), trajectory)


SCHEDULES = {
    "exponential": ("ExponentialDecay", (0.3, 7, 0.6), {}),
    "exponential_stairs": ("ExponentialDecay", (0.3, 7, 0.6), {"staircase": True}),
    "inverse_time": ("InverseTimeDecay", (0.3, 7, 0.6), {}),
    "inverse_time_stairs": ("InverseTimeDecay", (0.3, 7, 0.6), {"staircase": True}),
    "polynomial": ("PolynomialDecay", (0.3, 40), {}),
    "polynomial_power": ("PolynomialDecay", (0.3, 40, 0.01), {"power": 2.5}),
    "polynomial_cycle": ("PolynomialDecay", (0.3, 16, 0.01), {"power": 0.5, "cycle": True}),
    "piecewise": ("PiecewiseConstantDecay", ([5, 9, 30], [0.3, 0.2, 0.5, 0.1]), {}),
    "piecewise_one": ("PiecewiseConstantDecay", ([5], [0.3, 0.2]), {}),
    "cosine": ("CosineDecay", (0.3, 40), {}),
    "cosine_alpha": ("CosineDecay", (0.3, 40, 0.2), {}),
    "cosine_warmup": ("CosineDecay", (0.1, 40, 0.2), {"warmup_target": 0.4, "warmup_steps": 9}),
    "cosine_target_only": ("CosineDecay", (0.1, 40, 0.2), {"warmup_target": 0.4}),
    "restarts": ("CosineDecayRestarts", (0.3, 9), {}),
    "restarts_equal": ("CosineDecayRestarts", (0.3, 9, 1.0, 0.7, 0.1), {}),
    "restarts_options": ("CosineDecayRestarts", (0.3, 9, 1.5, 0.7, 0.1), {}),
}


@pytest.mark.parametrize("name, arguments, options", SCHEDULES.values(), ids=SCHEDULES)
def test_schedule_is_that_of_keras(name, arguments, options):
    ours = jax.jit(getattr(schedules, name)(*arguments, **options))
    theirs = getattr(keras.optimizers.schedules, name)(*arguments, **options)
    steps = [*range(64), 100, 1000]
    rates = [ours(jnp.int32(step)) for step in steps]
    assert {rate.dtype.name for rate in rates} == {"float32"}
    with keras_rules():
        # Keras's own branches are slow unless compiled; its other schedules are right only if not.
        evaluate = jax.jit(lambda step: theirs(step)) if "Cosine" in name else theirs
        expected = [float(evaluate(jnp.int32(step))) for step in steps]
    np.testing.assert_allclose([float(rate) for rate in rates], expected, rtol=1e-5, atol=1e-7)


def defaults_of(cls):
    parameters = {}
    for base in reversed(cls.__mro__):
        if "__init__" in vars(base):
            parameters.update(inspect.signature(vars(base)["__init__"]).parameters)
    return {name: p.default for name, p in parameters.items() if p.default is not p.empty}


@pytest.mark.parametrize(
    "name",
    ["SGD", "RMSprop", "Adagrad", "Adadelta", "Adam", "AdamW", "Adamax", "Nadam", "Lion", "Lamb",
     "Ftrl"],
)  # fmt: skip
def test_defaults_are_those_of_keras(name):
    theirs = defaults_of(getattr(keras.optimizers, name))
    ours = defaults_of(getattr(optimizers, name))
    assert theirs.items() <= ours.items()


@pytest.mark.parametrize("name", schedules.__all__)
def test_defaults_of_schedules_are_those_of_keras(name):
    theirs = inspect.signature(getattr(keras.optimizers.schedules, name).__init__).parameters
    ours = inspect.signature(getattr(schedules, name).__init__).parameters
    assert [(p.name, p.default) for p in theirs.values()] == [
        (p.name, p.default) for p in ours.values()
    ]
