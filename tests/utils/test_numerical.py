"""One-hot labels, unit rows, padding and seeding, against Keras's and by property."""

from __future__ import annotations

import random

import jax
import jax.numpy as jnp
import keras
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from hypothesis.extra import numpy as arrays

import nacre.core.random
from nacre.core.errors import ArgumentError, DataError
from nacre.utils import normalize, pad_sequences, set_random_seed, to_categorical

shapes = arrays.array_shapes(min_dims=1, max_dims=3, max_side=5)


@settings(max_examples=100, deadline=None)
@given(x=arrays.arrays(np.int64, shapes, elements=st.integers(0, 6)), more=st.integers(0, 3))
def test_to_categorical_is_what_keras_returns(x, more):
    for classes in (None, int(x.max()) + 1 + more):
        ours, theirs = to_categorical(x, classes), keras.utils.to_categorical(x, classes)
        np.testing.assert_array_equal(ours, theirs)
        assert ours.dtype == theirs.dtype


def test_to_categorical_takes_what_labels_come_as():
    expected = [[0.0, 1.0], [1.0, 0.0]]
    for labels in ([1, 0], [1.0, 0.0], np.uint8([1, 0]), [[1], [0]], np.array([True, False])):
        np.testing.assert_array_equal(to_categorical(labels), expected)
    assert to_categorical(3).tolist() == [0, 0, 0, 1]
    assert to_categorical([], 3).shape == (0, 3)


def test_to_categorical_of_a_jax_array_is_one():
    rows = to_categorical(jnp.array([1, 0]), 3)
    assert isinstance(rows, jax.Array) and rows.dtype == jnp.float32
    np.testing.assert_array_equal(rows, [[0, 1, 0], [1, 0, 0]])


@pytest.mark.parametrize("labels", [[0, 3], [-1, 0]])
def test_to_categorical_explains_a_class_out_of_range(labels):
    with pytest.raises(DataError, match="whole numbers from 0 to 2"):
        to_categorical(labels, 3)


def test_to_categorical_cannot_guess_the_classes_of_nothing():
    with pytest.raises(ArgumentError, match="pass num_classes"):
        to_categorical([])


@settings(max_examples=100, deadline=None)
@given(
    x=arrays.arrays(np.float32, (3, 4), elements=st.floats(-8, 8, width=32)),
    axis=st.sampled_from([-1, 1]),
    order=st.sampled_from([1, 2, 3, np.inf]),
)
def test_normalize_is_what_keras_returns(x, axis, order):
    expected = keras.utils.normalize(x, axis, order)
    np.testing.assert_allclose(normalize(x, axis, order), expected, rtol=1e-6)
    tiny = np.abs(x)[x != 0].min(initial=1) < 1e-12  # its cube vanishes in float32
    if not tiny:
        np.testing.assert_allclose(normalize(jnp.array(x), axis, order), expected, rtol=1e-5)


def test_normalize_along_the_first_axis_and_of_zeros():
    np.testing.assert_allclose(normalize([[3.0, 0.0], [4.0, 0.0]], axis=0), [[0.6, 0], [0.8, 0]])


sequences = st.lists(st.lists(st.integers(-9, 9), max_size=6), min_size=1, max_size=5)
sides = st.sampled_from(["pre", "post"])


@settings(max_examples=200, deadline=None)
@given(
    sequences=sequences,
    maxlen=st.one_of(st.none(), st.integers(1, 7)),
    padding=sides,
    truncating=sides,
    value=st.integers(-3, 3),
    dtype=st.sampled_from(["int32", "float32", "int64"]),
)
def test_pad_sequences_is_what_keras_returns(sequences, **options):
    ours, theirs = (
        pad_sequences(sequences, **options),
        keras.utils.pad_sequences(sequences, **options),
    )
    np.testing.assert_array_equal(ours, theirs)
    assert ours.dtype == theirs.dtype


def test_pad_sequences_of_vectors_and_texts():
    vectors = [np.ones((2, 3)), np.ones((1, 3))]
    np.testing.assert_array_equal(
        pad_sequences(vectors, dtype="float32"), keras.utils.pad_sequences(vectors, dtype="float32")
    )
    texts = [["a"], ["b", "c"]]
    assert pad_sequences(texts, dtype=object, value="").tolist() == [["", "a"], ["b", "c"]]
    assert pad_sequences([]).shape == (0, 0)
    assert pad_sequences([[1, 2]], maxlen=0).shape == (1, 0)


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ([[1]], {"padding": "before"}, "unknown padding"),
        ([[1]], {"truncating": "after"}, "unknown truncating"),
    ],
)
def test_pad_sequences_explains_unknown_sides(arguments, options, message):
    with pytest.raises(ArgumentError, match=message):
        pad_sequences(arguments, **options)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([1, 2], "wrap a single sequence"),
        ([[[1, 2]], [[1, 2, 3]]], "sequence 1 have another shape"),
    ],
)
def test_pad_sequences_explains_what_is_no_sequence(arguments, message):
    with pytest.raises(DataError, match=message):
        pad_sequences(arguments)


def test_set_random_seed_seeds_everything():
    before = nacre.core.random.current_seed()
    python_state, numpy_state = random.getstate(), np.random.get_state()
    try:
        drawn = []
        for _ in range(2):
            set_random_seed(7)
            drawn.append((random.random(), np.random.rand(), nacre.core.random.fresh_seed()))
        assert drawn[0] == drawn[1] and drawn[0][2] == 7
        keras_drawn = np.random.RandomState(7).rand()
        assert drawn[0][1] == keras_drawn
        with pytest.raises(ArgumentError):
            set_random_seed(-1)
    finally:
        nacre.core.random.set_seed(before)
        random.setstate(python_state)
        np.random.set_state(numpy_state)
