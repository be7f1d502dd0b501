"""Convolution layers against Keras."""

import pytest
from layer_parity import assert_same, both

from nacre.layers import convolution as layers

LAST, FIRST = (2, 9, 8, 4), (2, 4, 9, 8)
FIRST_OPTION = {"data_format": "channels_first"}

CASES = [
    ("Conv1D", {"filters": 3, "kernel_size": 3}, (2, 9, 4)),
    (
        "Conv1D",
        {"filters": 3, "kernel_size": 3, "padding": "causal", "dilation_rate": 2},
        (2, 9, 4),
    ),
    (
        "Conv1D",
        {"filters": 4, "kernel_size": 4, "strides": 2, "groups": 2, "padding": "same"},
        (2, 9, 4),
    ),
    ("Conv2D", {"filters": 3, "kernel_size": 3, "activation": "relu"}, LAST),
    ("Conv2D", {"filters": 3, "kernel_size": (3, 2), "padding": "same", "use_bias": False}, LAST),
    ("Conv2D", {"filters": 3, "kernel_size": 3, "strides": (2, 1), "padding": "same"}, LAST),
    ("Conv2D", {"filters": 3, "kernel_size": 2, "dilation_rate": (2, 3)}, LAST),
    ("Conv2D", {"filters": 8, "kernel_size": 3, "groups": 4, "activation": "softmax"}, LAST),
    ("Conv2D", {"filters": 3, "kernel_size": 3, "padding": "same", **FIRST_OPTION}, FIRST),
    ("Conv3D", {"filters": 3, "kernel_size": 2, "strides": 2, "padding": "same"}, (1, 5, 4, 6, 2)),
    ("DepthwiseConv2D", {"kernel_size": 3, "padding": "same"}, LAST),
    ("DepthwiseConv2D", {"kernel_size": (3, 2), "depth_multiplier": 2, "strides": 2}, LAST),
    ("DepthwiseConv2D", {"kernel_size": 2, "dilation_rate": 2}, LAST),
    ("SeparableConv2D", {"filters": 5, "kernel_size": 3, "activation": "tanh"}, LAST),
    (
        "SeparableConv2D",
        {"filters": 5, "kernel_size": 3, "depth_multiplier": 2, "strides": 2},
        LAST,
    ),
    ("SeparableConv2D", {"filters": 5, "kernel_size": 3, "padding": "same", **FIRST_OPTION}, FIRST),
]


@pytest.fixture(scope="module")
def results():
    return both(vars(layers), CASES)


@pytest.mark.parametrize("case", range(len(CASES)), ids=lambda i: f"{CASES[i][0]}-{i}")
def test_outputs_and_gradients_are_those_of_keras(results, case):
    assert_same(results[case])
