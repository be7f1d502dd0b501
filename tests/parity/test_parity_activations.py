"""Activations against Keras and PyTorch."""

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


@pytest.mark.parametrize("name", SAME_NAME)
def test_same_numbers_as_keras(name):
    expected = getattr(keras.activations, name)(X)
    np.testing.assert_allclose(activations.get(name)(X), expected, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("negative_slope", [0.0, 0.3])
@pytest.mark.parametrize("max_value", [None, 2.0, 6])
@pytest.mark.parametrize("threshold", [0.0, 0.7, -1.0])
def test_relu_arguments_mean_what_they_mean_in_keras(negative_slope, max_value, threshold):
    arguments = {"negative_slope": negative_slope, "max_value": max_value, "threshold": threshold}
    expected = keras.activations.relu(X, **arguments)
    np.testing.assert_allclose(activations.relu(X, **arguments), expected, rtol=1e-5, atol=1e-7)


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
