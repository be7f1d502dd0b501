"""Regularizers against their formulas and Keras."""

import jax
import jax.numpy as jnp
import keras
import numpy as np
import pytest

from nacre import regularizers
from nacre.core.configurable import deserialize, serialize
from nacre.core.errors import ArgumentError
from nacre.core.variables import Variable

X = np.random.default_rng(0).normal(size=(4, 5)).astype(np.float32)


@pytest.mark.parametrize("name, arguments", [
    ("L1", {}), ("L1", {"l1": 0.3}), ("L2", {}), ("L2", {"l2": 0.3}),
    ("L1L2", {}), ("L1L2", {"l1": 0.2, "l2": 0.3}),
])  # fmt: skip
def test_same_numbers_as_keras(name, arguments):
    penalty = getattr(regularizers, name)(**arguments)
    expected = getattr(keras.regularizers, name)(**arguments)(X)
    np.testing.assert_allclose(penalty(X), expected, rtol=1e-6)
    np.testing.assert_allclose(jax.jit(penalty)(X), expected, rtol=1e-6)
    assert deserialize(serialize(penalty)).get_config() == penalty.get_config() == arguments


def test_gradients():
    slope = jax.grad(regularizers.L1L2(l1=0.2, l2=0.3))(X)
    np.testing.assert_allclose(slope, 0.2 * np.sign(X) + 0.6 * X, rtol=1e-6)


def test_type_and_variables():
    assert regularizers.L2()(jnp.ones(3, jnp.bfloat16)).dtype == jnp.bfloat16
    np.testing.assert_allclose(regularizers.L2(0.5)(Variable([1.0, 2.0])), 2.5)


def test_names_of_keras():
    assert regularizers.get("l1").get_config() == {}
    assert isinstance(regularizers.get("l1_l2"), regularizers.L1L2)
    assert regularizers.l2(0.1).l2 == 0.1
    assert regularizers.get(None) is None
    with pytest.raises(ArgumentError, match="Unknown regularizer 'l3'"):
        regularizers.get("l3")


@pytest.mark.parametrize("factor", [-0.1, float("nan"), float("inf"), "0.1", None])
@pytest.mark.parametrize("make", [regularizers.L1, regularizers.L2, regularizers.L1L2])
def test_unusable_factors(make, factor):
    with pytest.raises(ArgumentError, match="finite number >= 0"):
        make(factor)
