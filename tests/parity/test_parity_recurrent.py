"""Recurrent layers against Keras."""

import keras
import numpy as np
import pytest
from layer_parity import assert_same, both, normal

from nacre.core.random import generator
from nacre.layers import recurrent as layers

X = (3, 5, 4)
ALL = {"return_sequences": True, "return_state": True}
MASK = {"mask": np.array([[0, 1, 0, 1, 1], [1, 1, 1, 1, 1], [0, 0, 0, 0, 0]], bool)}
STATES = {"LSTM": [normal(3, 6, seed=1), normal(3, 6, seed=2)]}
ONE_STATE = [normal(3, 6, seed=1)]

CASES = [
    case
    for name in ("SimpleRNN", "GRU", "LSTM")
    for case in [
        (name, {"units": 6}, X),
        (name, {"units": 6, "use_bias": False, "activation": "relu", **ALL}, X),
        (name, {"units": 6, **ALL}, X, MASK),
        (name, {"units": 6, "go_backwards": True, "unroll": True, **ALL}, X),
        (name, {"units": 6, **ALL}, X, {"initial_state": STATES.get(name, ONE_STATE), **MASK}),
    ]
] + [
    ("GRU", {"units": 6, "reset_after": False, **ALL}, X, MASK),
    ("GRU", {"units": 6, "recurrent_activation": "hard_sigmoid"}, X),
    ("LSTM", {"units": 256, "return_sequences": True}, (2, 3, 4)),
]


@pytest.fixture(scope="module")
def results():
    return both(vars(layers), CASES)


@pytest.mark.parametrize("case", range(len(CASES)), ids=lambda i: f"{CASES[i][0]}-{i}")
def test_outputs_and_gradients_are_those_of_keras(results, case):
    assert_same(results[case])


@pytest.mark.parametrize("forget", [True, False])
def test_the_forget_gate_starts_as_in_keras(forget):
    layer = layers.LSTM(3, unit_forget_bias=forget)
    layer(normal(*X))
    other = keras.layers.LSTM(3, unit_forget_bias=forget, recurrent_initializer="zeros")
    other.build((None, *X[1:]))
    np.testing.assert_array_equal(layer.get_weights()[2], other.weights[2].value)


def test_other_gates_keep_their_own_bias_initializer():
    drawn = layers.ForgetBias("random_normal").draw((12,), "float32", generator(0))
    assert drawn[3:6].tolist() == [1, 1, 1]
    assert len(set(drawn.tolist())) == 10
