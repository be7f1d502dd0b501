"""Random arrays: Keras's numbers for a seed, new ones for each use of a generator."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import keras
import numpy as np
import pytest

import nacre
from nacre import ops, random
from nacre.core.errors import ArgumentError, PurityError

LOGITS = np.log(np.array([[0.2, 0.3, 0.5], [0.9, 0.05, 0.05]], "float32"))
X = np.arange(24, dtype="float32").reshape(4, 6)
CASES = [
    ("uniform", ((3, 4),), {}),
    ("uniform", ((3, 4), -2, 5), {"dtype": "float16"}),
    ("normal", ((3, 4), 1.5, 2.0), {}),
    ("truncated_normal", ((3, 4), 0.0, 3.0), {}),
    ("randint", ((5,), 2, 9), {}),
    ("categorical", (LOGITS, 7), {}),
    ("dropout", (X, 0.4), {}),
    ("dropout", (X, 0.4, (None, 1)), {}),
    ("shuffle", (X,), {"axis": 1}),
]
# Rejection sampling compiles slowly.
SLOW_CASES = [("gamma", ((3, 4), 1.5), {}), ("beta", ((3,), 1.5, 2.5), {})]


@pytest.mark.parametrize(
    "cases", [CASES, pytest.param(SLOW_CASES, marks=pytest.mark.slow)], ids=["fast", "slow"]
)
def test_the_same_numbers_as_keras(cases):
    @jax.jit  # one program for all compiles faster
    def draw():
        ours = [getattr(random, name)(*a, seed=1337, **k) for name, a, k in cases]
        with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
            return ours, [getattr(keras.random, name)(*a, seed=1337, **k) for name, a, k in cases]

    for (name, _, _), ours, theirs in zip(cases, *draw()):
        assert ours.dtype == theirs.dtype, name
        np.testing.assert_allclose(ours, theirs, 1e-6, err_msg=name)


def test_a_generator_gives_the_sequence_that_keras_gives():
    ours, theirs = random.SeedGenerator(5), keras.random.SeedGenerator(5)
    for _ in range(3):
        expected = keras.random.uniform((4,), seed=theirs)
        np.testing.assert_allclose(random.uniform((4,), seed=ours), expected, 1e-6)


def test_without_a_seed_every_call_differs_and_set_seed_repeats_them():
    nacre.set_seed(3)
    first = [random.uniform((4,)).tolist() for _ in range(2)]
    nacre.set_seed(3)
    second = [random.uniform((4,)).tolist() for _ in range(2)]
    nacre.set_seed(None)
    assert first == second
    assert first[0] != first[1]


class Noise(nacre.layers.Layer):
    def __init__(self, seed):
        super().__init__()
        self.generator = random.SeedGenerator(seed)

    def call(self, x):
        one = random.uniform(x.shape, seed=self.generator)
        two = random.uniform(x.shape, seed=self.generator)
        three = random.uniform(x.shape)
        return ops.stack([one, two, three])


def test_in_a_model_the_numbers_depend_on_its_key_alone():
    model = nacre.Sequential([nacre.Input((5,)), Noise(1)])
    apply, params, state = nacre.lift(model)
    x = jnp.zeros((2, 5))

    compiled = jax.jit(lambda x, key: apply(params, state, x, key=key)[0])

    def run(seed):
        return np.asarray(compiled(x, jax.random.key(seed)))

    assert np.array_equal(run(0), run(0))
    samples = [*run(0), *run(1)]
    for i, a in enumerate(samples):
        for b in samples[:i]:
            assert not np.isclose(a, b).any()
    with pytest.raises(PurityError, match="random key"):
        apply(params, state, x)


def test_a_generator_is_described_by_its_seed():
    assert random.SeedGenerator(4).get_config() == {"seed": 4}


@pytest.mark.parametrize("seed", [-1, 1.5, "x", True])
def test_seeds_that_are_not(seed):
    with pytest.raises(ArgumentError, match="seed"):
        random.uniform((2,), seed=seed)
    with pytest.raises(ArgumentError, match="seed"):
        random.SeedGenerator(seed)


def test_a_rate_that_is_not():
    with pytest.raises(ArgumentError, match="0 <= rate <= 1"):
        random.dropout(X, 1.5)


@pytest.mark.slow
def test_binomial_has_its_mean_and_variance():
    x = np.asarray(random.binomial((2000,), 10, 0.3, seed=0))
    assert abs(x.mean() - 3) < 0.15
    assert abs(x.var() - 2.1) < 0.3


def test_dropout_on_symbolic_tensors():
    x = nacre.Input((3,))
    assert random.dropout(x, 0.5, seed=1).shape == (None, 3)
    assert random.categorical(x, 2, seed=1).shape == (None, 2)
