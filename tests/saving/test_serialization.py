"""Configurations through JSON: the same values, the same sharing."""

import json

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, strategies as st

import nacre
from nacre import layers
from nacre.core.errors import ArgumentError, FileFormatError
from nacre.saving import deserialize, serialize

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False),
    st.text(),
    st.just(Ellipsis),
    st.builds(slice, st.none() | st.integers(), st.none() | st.integers(), st.none()),
)
KEYS = st.one_of(st.text(), st.just("__nacre__"), st.integers(), st.booleans(), st.none())
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.tuples(inner, inner),
        st.dictionaries(KEYS, inner, max_size=3),
    ),
    max_leaves=10,
)


def through_json(value):
    return deserialize(json.loads(json.dumps(serialize(value), allow_nan=False)))


@given(VALUES)
def test_nested_values_come_back_with_their_types(value):
    found = through_json(value)
    assert found == value
    assert repr(found) == repr(value)  # also tells tuples from lists and 1 from 1.0 and True


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_numbers_that_json_does_not_have(value):
    assert repr(through_json(value)) == repr(value)


@pytest.mark.parametrize(
    "array",
    [
        np.arange(6, dtype=np.int16).reshape(2, 3).T,
        np.array([np.nan, -0.0, 1e-45], np.float32),
        np.zeros((0, 3)),
        np.array(True),
        np.asarray(jnp.array([0.1, 3.0], jnp.bfloat16)),
        jnp.arange(3),
    ],
    ids=["transposed", "special", "empty", "scalar", "bfloat16", "jax"],
)
def test_arrays_come_back_to_the_bit(array):
    found = through_json([array])[0]
    expected = np.asarray(array)
    assert found.dtype == expected.dtype
    assert found.shape == expected.shape
    assert found.tobytes() == expected.tobytes()


def test_data_types_become_their_names():
    assert through_json([np.float32, jnp.bfloat16, np.dtype("int8")]) == [
        "float32",
        "bfloat16",
        "int8",
    ]


def test_an_object_that_occurs_twice_is_one_object_again():
    shared, other = layers.Dense(2), layers.Dense(2)
    found = through_json({"a": [shared, other], "b": (shared,)})
    assert found["a"][0] is found["b"][0]
    assert found["a"][0] is not found["a"][1]
    assert "id" not in serialize(other)


def test_sharing_reaches_into_models():
    shared = layers.Dense(2)
    first, second = nacre.Sequential([shared]), nacre.Sequential([layers.Flatten(), shared])
    first_again, second_again = through_json([first, second])
    assert first_again.layers[0] is second_again.layers[1]
    assert first_again.layers[0] is not shared


def test_what_contains_itself_cannot_be_written():
    inner = nacre.Sequential([layers.Dense(2)])
    inner._stack.append(inner)
    with pytest.raises(ArgumentError, match="contains itself"):
        serialize(inner)


def test_functions_without_a_name_of_their_own_cannot_be_written():
    def local(x):
        return x

    for function in (local, lambda x: x):
        with pytest.raises(ArgumentError, match="never code"):
            serialize(function)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"__nacre__": "unheard"}, "unknown tag"),
        ({"__nacre__": "float", "value": "1e5"}, "unknown tag"),
        ({"__nacre__": "tuple"}, "malformed"),
        ({"__nacre__": "slice", "items": 3}, "malformed"),
        ({"__nacre__": "shared", "id": 5}, "malformed"),
        ({"__nacre__": "array", "dtype": "float32", "shape": [1], "data": "!"}, "malformed"),
        ({"__nacre__": "array", "dtype": "float32", "shape": [-1], "data": ""}, "malformed"),
        ({"__nacre__": "array", "dtype": "float32", "shape": [2], "data": ""}, "0 bytes"),
        ({"__nacre__": "array", "dtype": "object", "shape": [], "data": ""}, "malformed"),
    ],
)
def test_malformed_configurations_are_refused(value, message):
    with pytest.raises(FileFormatError, match=message):
        deserialize(value)


def test_nesting_is_limited():
    value = []
    for _ in range(100):
        value = [value]
    with pytest.raises(FileFormatError, match="levels deep"):
        deserialize(value)
