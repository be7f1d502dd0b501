"""Activations against NumPy, with gradients against finite differences."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from nacre import activations
from nacre.core.errors import ArgumentError
from nacre.core.scope import Scope, logits_of

_erf = np.vectorize(math.erf)


def _sigmoid(x):
    return 1 / (1 + np.exp(-x))


EQUATIONS = {
    "linear": lambda x: x,
    "step": lambda x: (x >= 0) * 1.0,
    "sigmoid": _sigmoid,
    "log_sigmoid": lambda x: np.log(_sigmoid(x)),
    "tanh": np.tanh,
    "relu": lambda x: np.maximum(x, 0),
    "relu6": lambda x: np.clip(x, 0, 6),
    "leaky_relu": lambda x: np.where(x > 0, x, 0.2 * x),
    "elu": lambda x: np.where(x > 0, x, np.exp(x) - 1),
    "celu": lambda x: np.where(x > 0, x, np.exp(x) - 1),
    "selu": lambda x: 1.05070098 * np.where(x > 0, x, 1.67326324 * (np.exp(x) - 1)),
    "gelu": lambda x: x * 0.5 * (1 + _erf(x / np.sqrt(2))),
    "silu": lambda x: x * _sigmoid(x),
    "softplus": lambda x: np.log(1 + np.exp(x)),
    "softsign": lambda x: x / (1 + np.abs(x)),
    "exponential": np.exp,
    "hard_sigmoid": lambda x: np.clip(x / 6 + 0.5, 0, 1),
    "hard_silu": lambda x: x * np.clip(x / 6 + 0.5, 0, 1),
    "hard_tanh": lambda x: np.clip(x, -1, 1),
    "mish": lambda x: x * np.tanh(np.log(1 + np.exp(x))),
    "softmax": lambda x: np.exp(x) / np.exp(x).sum(-1, keepdims=True),
    "log_softmax": lambda x: x - np.log(np.exp(x).sum(-1, keepdims=True)),
}


def points():
    # None lies on a kink, so finite differences are meaningful.
    return np.random.default_rng(0).normal(0, 3, (4, 7))


@pytest.fixture(scope="module")
def compiled():
    x = points().astype(np.float32)
    return jax.jit(lambda x: {name: activations.get(name)(x) for name in EQUATIONS})(x)


@pytest.mark.parametrize("name", sorted(EQUATIONS))
def test_value_matches_the_equation_eagerly_and_compiled(compiled, name):
    expected = EQUATIONS[name](points())
    value = activations.get(name)(points().astype(np.float32))
    np.testing.assert_allclose(value, expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(compiled[name], expected, rtol=1e-5, atol=1e-6)


def test_gradients_match_finite_differences():
    direction, weights = np.random.default_rng(1).normal(size=(2, 4, 7))
    step = 1e-5

    def slopes(x, weights):
        found = {}
        for name in EQUATIONS:
            function = activations.get(name)
            rise = function(x + step * direction) - function(x - step * direction)
            _, pull = jax.vjp(function, x)
            exact = jnp.sum(pull(weights)[0] * direction)
            found[name] = (exact, jnp.sum(weights * rise) / (2 * step))
        return found

    with jax.enable_x64(True):
        for name, (exact, numerical) in jax.jit(slopes)(points(), weights).items():
            np.testing.assert_allclose(exact, numerical, rtol=1e-6, atol=1e-8, err_msg=name)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
def test_type_is_kept_and_extremes_stay_finite(dtype):
    def everything(x):
        values, gradients = {}, {}
        for name in EQUATIONS:
            limited = jnp.minimum(x, 1.0) if name == "exponential" else x
            values[name], pull = jax.vjp(activations.get(name), limited)
            gradients[name] = pull(jnp.ones_like(x))[0]
        return values, gradients

    x = jnp.asarray([-3e4, -1.0, 0.0, 1.0, 3e4], dtype)
    values, gradients = jax.jit(everything)(x)
    for name in EQUATIONS:
        assert values[name].dtype == x.dtype and values[name].shape == x.shape
        assert np.isfinite(np.asarray(values[name], np.float64)).all(), name
        assert np.isfinite(np.asarray(gradients[name], np.float64)).all(), name


def test_nan_is_not_hidden():
    names = sorted(set(EQUATIONS) - {"step"})
    x = jnp.array([jnp.nan, 1.0])
    values = jax.jit(lambda x: {name: activations.get(name)(x) for name in names})(x)
    for name in names:
        assert np.isnan(values[name][0]), name


def test_gradient_of_relu_at_zero_is_zero():
    assert jax.grad(activations.relu)(0.0) == 0


@pytest.mark.parametrize("negative_slope", [0.0, 0.3])
@pytest.mark.parametrize("max_value", [None, 2.0])
@pytest.mark.parametrize("threshold", [0.0, 0.7])
def test_relu_in_general(negative_slope, max_value, threshold):
    x = points()
    expected = np.where(x > threshold, x, negative_slope * (x - threshold))
    if max_value is not None:
        expected = np.minimum(expected, max_value)
    y = activations.relu(x.astype(np.float32), negative_slope, max_value, threshold)
    np.testing.assert_allclose(y, expected, rtol=1e-5, atol=1e-6)


def test_gelu_approximation():
    x = points()
    expected = x / 2 * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))
    y = activations.gelu(x.astype(np.float32), approximate=True)
    np.testing.assert_allclose(y, expected, rtol=1e-5, atol=1e-6)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.floats(-(2.0**100), 2.0**100, width=32), min_size=4, max_size=4))
def test_softmax_sums_to_one(values):
    x = np.array([values, values[::-1]], np.float32)
    for axis in (0, 1):
        y = np.asarray(activations.softmax(x, axis=axis))
        assert (y >= 0).all()
        np.testing.assert_allclose(y.sum(axis), 1, rtol=1e-5)


def test_softmax_over_two_axes():
    y = activations.softmax(points().astype(np.float32), axis=(0, 1))
    np.testing.assert_allclose(jnp.sum(y), 1, rtol=1e-5)


def test_logits_are_noted_for_the_loss():
    x = jnp.ones((2, 3))
    with Scope():
        assert logits_of(activations.softmax(x), "softmax") is x
        assert logits_of(activations.softmax(x, axis=1), "softmax") is x
        assert logits_of(activations.softmax(x, axis=0), "softmax") is None
        assert logits_of(activations.sigmoid(x), "sigmoid") is x
        assert logits_of(activations.sigmoid(x), "softmax") is None


def test_get():
    assert activations.get(None) is activations.linear
    assert activations.get("swish") is activations.silu
    assert activations.get("hard_swish") is activations.hard_silu
    assert activations.get(np.tanh) is np.tanh
    with pytest.raises(ArgumentError, match="did you mean 'sigmoid'"):
        activations.get("sigmod")


def test_integers_and_lists_are_welcome():
    np.testing.assert_allclose(activations.sigmoid([0, 0]), [0.5, 0.5])
    np.testing.assert_allclose(activations.softmax(np.array([[1, 1]])), [[0.5, 0.5]])
    assert activations.step([-1, 2]).dtype == jnp.float32
