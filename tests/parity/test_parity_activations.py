"""Activations against Keras and PyTorch."""

import itertools

import jax
import keras
import numpy as np
import pytest
import torch

from nacre import activations

SAME_NAME = [
    "celu", "elu", "exponential", "gelu", "hard_sigmoid", "hard_silu", "hard_tanh", "leaky_relu",
    "linear", "log_sigmoid", "log_softmax", "mish", "relu", "relu6", "selu", "sigmoid", "silu",
    "softmax", "softplus", "softsign", "tanh",
]  # fmt: skip

X = np.random.default_rng(0).normal(0, 4, (6, 9)).astype(np.float32)


RELU = list(itertools.product([0.0, 0.3], [None, 2.0, 6], [0.0, 0.7, -1.0]))


def results_of_both():
    """Everything through both, in one program: compiled one by one they take longer."""
    results = {}
    for name in SAME_NAME:
        results[name] = activations.get(name)(X), getattr(keras.activations, name)(X)
    for arguments in RELU:
        results[arguments] = activations.relu(X, *arguments), keras.activations.relu(X, *arguments)
    return list(results.values())


@pytest.fixture(scope="module")
def results():
    return dict(zip([*SAME_NAME, *RELU], jax.jit(results_of_both)()))


@pytest.mark.parametrize("name", [*SAME_NAME, *RELU])
def test_same_numbers_as_keras(results, name):
    ours, peer = results[name]
    np.testing.assert_allclose(ours, peer, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(
    "name, peer",
    [
        ("elu", torch.nn.ELU()), ("gelu", torch.nn.GELU()), ("softmax", torch.nn.Softmax(-1)),
        ("hard_sigmoid", torch.nn.Hardsigmoid()), ("hard_silu", torch.nn.Hardswish()),
        ("mish", torch.nn.Mish()), ("relu", torch.nn.ReLU()),
        ("selu", torch.nn.SELU()), ("sigmoid", torch.nn.Sigmoid()), ("silu", torch.nn.SiLU()),
        ("softsign", torch.nn.Softsign()),
    ],
)  # fmt: skip
def test_same_numbers_as_pytorch(name, peer):
    expected = peer(torch.from_numpy(X)).numpy()
    np.testing.assert_allclose(activations.get(name)(X), expected, rtol=1e-5, atol=1e-6)
