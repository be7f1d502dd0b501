"""Initializers: moments, reach and independence of what they draw."""

from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from nacre import initializers
from nacre.core import random
from nacre.core.configurable import deserialize, serialize
from nacre.core.errors import ArgumentError, ShapeError

RANDOM = [
    "glorot_normal", "glorot_uniform", "he_normal", "he_uniform", "lecun_normal", "lecun_uniform",
    "orthogonal", "random_normal", "random_uniform", "truncated_normal", "variance_scaling",
]  # fmt: skip
ALL = [*RANDOM, "zeros", "ones", "constant", "identity"]


def draw(initializer, shape, dtype: Any = "float32", seed=0):
    return initializers.get(initializer).draw(shape, np.dtype(dtype), random.generator(seed, "w"))


@pytest.mark.parametrize(
    "name, stddev, reach",
    [
        ("random_normal", 0.05, None),
        ("truncated_normal", 0.05 * 0.87962566, 0.1),
        ("random_uniform", 0.05 / np.sqrt(3), 0.05),
        ("glorot_uniform", np.sqrt(2 / 700), np.sqrt(6 / 700)),
        ("glorot_normal", np.sqrt(2 / 700), 2 * np.sqrt(2 / 700) / 0.87962566),
        ("he_uniform", np.sqrt(2 / 300), np.sqrt(6 / 300)),
        ("he_normal", np.sqrt(2 / 300), 2 * np.sqrt(2 / 300) / 0.87962566),
        ("lecun_uniform", np.sqrt(1 / 300), np.sqrt(3 / 300)),
        ("lecun_normal", np.sqrt(1 / 300), 2 * np.sqrt(1 / 300) / 0.87962566),
    ],
)
def test_moments_and_reach(name, stddev, reach):
    w = draw(name, (300, 400)).astype(np.float64)
    # Four standard errors of the mean and of the standard deviation.
    assert abs(w.mean()) < 4 * stddev / np.sqrt(w.size)
    assert abs(w.std() / stddev - 1) < 4 / np.sqrt(2 * w.size)
    if reach is not None:
        assert 0.99 * reach < np.abs(w).max() <= reach * (1 + 1e-6)


@pytest.mark.parametrize(
    "shape, expected",
    [
        ((), (1, 1)),
        ((7,), (7, 7)),
        ((7, 5), (7, 5)),
        ((3, 7, 5), (21, 15)),
        ((3, 2, 7, 5), (42, 30)),
    ],
)
def test_fans(shape, expected):
    assert initializers.fans(shape) == expected


def test_fans_by_axes():
    assert initializers.fans((4, 5, 6), input_axes=[0], output_axes=[1, 2]) == (4, 30)


@pytest.mark.parametrize("mode, n", [("fan_in", 300), ("fan_out", 400), ("fan_avg", 350)])
@pytest.mark.parametrize("distribution", ["normal", "untruncated_normal", "uniform"])
def test_variance_scaling(mode, n, distribution):
    w = draw(initializers.VarianceScaling(3.0, mode, distribution), (300, 400))
    assert abs(w.var() * n / 3 - 1) < 0.02


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16", "float16"])
def test_shape_and_type(name, dtype):
    w = draw(name, (3, 4), jnp.dtype(dtype))
    assert isinstance(w, np.ndarray) and w.shape == (3, 4) and w.dtype == jnp.dtype(dtype)


@pytest.mark.parametrize("name", RANDOM)
def test_values_depend_on_the_generator_alone(name):
    np.testing.assert_array_equal(draw(name, (5, 6)), draw(name, (5, 6)))
    assert not np.array_equal(draw(name, (5, 6)), draw(name, (5, 6), seed=1))


@pytest.mark.parametrize("name", RANDOM)
def test_own_seed_overrules_the_generator(name):
    seeded = type(initializers.get(name))(seed=7)
    np.testing.assert_array_equal(draw(seeded, (5, 6), seed=0), draw(seeded, (5, 6), seed=1))
    np.testing.assert_array_equal(draw(seeded, (5, 6)), seeded((5, 6)))
    assert not np.array_equal(draw(seeded, (5, 6)), draw(type(seeded)(seed=8), (5, 6)))


def test_two_calls_without_a_seed_differ(monkeypatch):
    monkeypatch.setattr(random, "_seed", 3)
    initializer = initializers.GlorotUniform()
    assert not np.array_equal(initializer((4, 4)), initializer((4, 4)))


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(1, 6), min_size=2, max_size=4), st.floats(0.5, 2))
def test_orthogonal_rows_or_columns(shape, gain):
    w = draw(initializers.Orthogonal(gain), tuple(shape), "float64").reshape(-1, shape[-1])
    product = w.T @ w if w.shape[0] >= w.shape[1] else w @ w.T
    np.testing.assert_allclose(product, gain**2 * np.eye(len(product)), atol=1e-12)


def test_truncation_redraws_rather_than_clips():
    w = draw(initializers.TruncatedNormal(1.0, 1.0), (200_000,))
    assert np.abs(w - 1).max() <= 2
    assert np.mean(np.abs(w - 1) > 1.999) < 0.001  # clipping would pile up 4.6% there


def test_constants():
    np.testing.assert_array_equal(draw("zeros", (2,)), [0, 0])
    np.testing.assert_array_equal(draw("ones", (2,)), [1, 1])
    np.testing.assert_array_equal(draw(initializers.Constant(2.5), (2,)), [2.5, 2.5])
    np.testing.assert_array_equal(draw(initializers.Constant([1, 2]), (3, 2)), [[1, 2]] * 3)
    np.testing.assert_array_equal(draw(initializers.Identity(2.0), (2, 3)), [[2, 0, 0], [0, 2, 0]])


def test_names_of_keras():
    for alias, name in {
        "normal": "RandomNormal", "uniform": "RandomUniform", "zero": "Zeros", "one": "Ones",
        "OrthogonalInitializer": "Orthogonal", "glorot_uniform": "GlorotUniform",
    }.items():  # fmt: skip
        assert type(initializers.get(alias)).__name__ == name
    assert initializers.glorot_uniform is initializers.GlorotUniform
    assert initializers.get(None) is None


def test_configuration_survives_a_file():
    original = initializers.VarianceScaling(2.0, "fan_out", "uniform", seed=3)
    restored = deserialize(serialize(original))
    np.testing.assert_array_equal(draw(restored, (3, 3)), draw(original, (3, 3)))
    assert initializers.HeNormal(seed=4).get_config() == {"seed": 4}


def test_keras_style_subclass():
    class Twos(initializers.Initializer):
        def __call__(self, shape, dtype=None):
            return jnp.full(shape, 2.0, dtype)

    np.testing.assert_array_equal(draw(Twos(), (2,)), [2, 2])

    class Nothing(initializers.Initializer):
        pass

    with pytest.raises(NotImplementedError, match="Nothing defines neither"):
        Nothing()((2,))


def test_default_type():
    assert initializers.Zeros()((2,)).dtype == jnp.float32
    assert initializers.Zeros()((2,), dtype="int32").dtype == jnp.int32


@pytest.mark.parametrize(
    "make, error, message",
    [
        (lambda: initializers.get("he_norml"), ArgumentError, "did you mean 'he_normal'"),
        (lambda: initializers.HeNormal(seed=1.5), ArgumentError, "Received: 1.5"),
        (lambda: initializers.HeNormal(seed=-1), ArgumentError, "an integer >= 0"),
        (lambda: initializers.VarianceScaling(0.0), ArgumentError, "not positive"),
        (lambda: initializers.VarianceScaling(mode="fan"), ArgumentError, "no such mode"),
        (lambda: initializers.VarianceScaling(distribution="x"), ArgumentError, "distribution"),
        (lambda: initializers.Identity()((3,)), ShapeError, "Only a matrix"),
        (lambda: initializers.Orthogonal()((3,)), ShapeError, "needs two axes"),
        (lambda: initializers.Constant([1, 2])((3,)), ShapeError, "broadcasts to"),
    ],
)
def test_errors_teach(make, error, message):
    with pytest.raises(error, match=message):
        make()
