"""Pooling layers against Keras."""

import itertools

import numpy as np
import pytest
from layer_parity import assert_same, both

from nacre.layers import pooling as layers

SHAPES = {1: (2, 7, 3), 2: (2, 7, 6, 3), 3: (1, 5, 6, 4, 2)}
WINDOWS = [
    {"pool_size": 2},
    {"pool_size": 3, "strides": 2, "padding": "same"},
    {"pool_size": 2, "padding": "same", "data_format": "channels_first"},
]

CASES = [
    *(
        (f"{kind}Pooling{rank}D", options, SHAPES[rank])
        for kind, rank in itertools.product(["Max", "Average"], [1, 2, 3])
        for options in WINDOWS[: 4 - rank]
    ),
    *(
        (f"Global{kind}Pooling{rank}D", options, SHAPES[rank])
        for kind, rank in itertools.product(["Max", "Average"], [1, 2, 3])
        for options in [{"keepdims": True}, {"data_format": "channels_first"}][: 4 - rank]
    ),
    (
        "GlobalAveragePooling1D",
        {},
        (2, 4, 3),
        {"mask": np.array([[1, 1, 0, 1], [0, 1, 0, 0]], bool)},
    ),
]


@pytest.fixture(scope="module")
def results():
    return both(vars(layers), CASES)


@pytest.mark.parametrize("case", range(len(CASES)), ids=lambda i: f"{CASES[i][0]}-{i}")
def test_outputs_and_gradients_are_those_of_keras(results, case):
    assert_same(results[case])


@pytest.mark.parametrize("kind", ["Max", "Avg"])
@pytest.mark.parametrize("rank", [1, 2, 3])
def test_the_short_names_are_the_same_classes(kind, rank):
    full = {"Max": "Max", "Avg": "Average"}[kind]
    assert getattr(layers, f"{kind}Pool{rank}D") is getattr(layers, f"{full}Pooling{rank}D")
    short, long = f"Global{kind}Pool{rank}D", f"Global{full}Pooling{rank}D"
    assert getattr(layers, short) is getattr(layers, long)
