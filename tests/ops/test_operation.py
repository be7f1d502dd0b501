"""What every operation has in common: conversion, promotion, recording, errors, names."""

from __future__ import annotations

import doctest
import importlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from nacre import Variable, ops
from nacre.core.configurable import deserialize, serialize
from nacre.core.errors import ArgumentError, NacreError
from nacre.core.registry import resolve, saved_name, saved_object
from nacre.core.symbolic import SymbolicTensor
from nacre.ops.operation import OperationError, promote, to_array

NAMES = (
    "control creation elementwise image indexing linalg nn products reductions shaping signal "
    "windows"
)
MODULES = [importlib.import_module(f"nacre.ops.{name}") for name in NAMES.split(" ")]
TYPES = ["bool", "uint8", "int32", "float16", "bfloat16", "float32"]


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__)
def test_examples_in_docstrings(module):
    finder, runner = doctest.DocTestFinder(recurse=False), doctest.DocTestRunner()
    for name in module.__all__:
        function = getattr(module, name)
        assert function.__doc__, name
        for test in finder.find(function, name, module=False, globs=dict(vars(module))):
            runner.run(test)
    assert runner.summarize(verbose=False).failed == 0


@pytest.mark.parametrize(
    "value, dtype",
    [
        (True, "bool"),
        (3, "int32"),
        (1.5, "float32"),
        (1j, "complex64"),
        ([1, 2], "int32"),
        ([1, 2.5], "float32"),
        ([], "float32"),
        ([[True], [False]], "bool"),
        (np.float64(2), "float32"),
        (np.arange(3), "int32"),
        (np.uint8(7), "uint8"),
        (Variable([1.0, 2.0]), "float32"),
        ([jnp.ones(2, "float32"), jnp.zeros(2, "float32")], "float32"),
        ([Variable([1.0]), Variable([2.0])], "float32"),
    ],
    ids=str,
)
def test_anything_becomes_an_array(value, dtype):
    array = to_array(value)
    assert isinstance(array, jax.Array)
    if not (jax.config.jax_enable_x64 and isinstance(value, np.ndarray | np.float64)):
        assert array.dtype == dtype


def test_an_array_is_passed_on_as_it_is():
    x = jnp.ones(3, "float32")
    assert to_array(x) is x
    assert ops.convert_to_tensor(x) is x
    assert ops.cast(x, "float32") is x


@given(st.lists(st.sampled_from(TYPES), min_size=1, max_size=3), st.sampled_from([2, 2.5, None]))
@settings(max_examples=60, deadline=None)
def test_promotion_is_that_of_jax_with_its_default_settings(types, number):
    arrays = [jnp.ones((), dtype) for dtype in types]
    values = arrays if number is None else [*arrays, number]
    with jax.enable_x64(False), jax.numpy_dtype_promotion("standard"):
        expected = jnp.result_type(*values)
    assert {x.dtype for x in promote(*values)} == {expected}


@pytest.mark.parametrize(
    "x1, x2, dtype",
    [
        ("int32", "float32", "float32"),
        ("uint8", 3, "uint8"),
        ("int32", 0.5, "float32"),
        ("float16", 0.5, "float16"),
        ("bfloat16", 2, "bfloat16"),
        ("bool", 2, "int32"),
        ("int32", True, "int32"),
    ],
)
def test_arguments_of_different_types(x1, x2, dtype):
    left = jnp.ones((2, 3), x1)
    right = jnp.ones(3, x2) if isinstance(x2, str) else x2
    for name in ("add", "multiply", "maximum"):
        y = getattr(ops, name)(left, right)
        assert (y.shape, y.dtype) == ((2, 3), dtype)
    assert ops.less(left, right).dtype == bool


def test_whole_numbers_are_computed_in_the_default_type():
    assert ops.divide(1, 2).dtype == "float32"
    assert float(ops.divide(1, 2)) == 0.5
    assert ops.mean([1, 2]).dtype == "float32"
    with jax.enable_x64(True):
        assert ops.sqrt(jnp.arange(3)).dtype == "float32"
        assert ops.add(jnp.ones(3), 1.5).dtype == "float64"
        assert ops.zeros(2).dtype == "float32"


def test_the_settings_of_jax_are_left_as_they_were():
    ops.add(jnp.ones((2, 3)), [1, 2, 3])
    assert jax.config.jax_numpy_dtype_promotion == "strict"
    assert jax.config.jax_numpy_rank_promotion == "raise"


def test_64_bit_types_are_accepted_silently():
    expected = "int64" if jax.config.jax_enable_x64 else "int32"
    assert ops.cast([1.5], "int64").dtype == expected
    assert ops.cast([1.5], int).dtype == "int32"
    assert ops.cast([1], float).dtype == "float32"
    assert ops.dtype(np.zeros(2)) == ("float64" if jax.config.jax_enable_x64 else "float32")


def test_compiled_and_eager_values_agree_and_the_second_call_does_not_trace():
    traced = []

    @jax.jit
    def f(x, y):
        traced.append(1)
        return ops.softmax(ops.add(ops.matmul(x, y), [1, 2, 3]), axis=-1)

    x, y = jnp.ones((2, 4)), jnp.ones((4, 3))
    np.testing.assert_allclose(f(x, y), ops.softmax(ops.add(ops.matmul(x, y), [1, 2, 3])), 1e-6)
    f(x, y)
    assert len(traced) == 1


# Names


def test_every_operation_can_be_saved_by_its_own_name():
    for module in MODULES:
        for name in module.__all__:
            function = getattr(module, name)
            saved = saved_name(function)
            if saved is not None:
                assert saved_object(saved) is function
                assert resolve("operation", function.__name__) is function


def test_a_recorded_call_can_be_written_down():
    x = SymbolicTensor((None, 3), "float32")
    y = ops.cast(ops.add(ops.sum(x, axis=np.int64(1)), np.ones(1)), np.dtype("float16"))
    node = y.node
    assert node.operation is ops.cast
    assert node.args[1] == "float16"
    total = node.args[0].node
    assert deserialize(serialize(total.operation)) is ops.add
    assert deserialize(serialize(total.args[1])).dtype == jnp.ones(1).dtype
    assert type(total.args[0].node.kwargs["axis"]) is int


# Errors


@pytest.mark.parametrize(
    "call, parts",
    [
        (
            lambda: ops.add(np.ones((2, 3)), np.ones((2, 4))),
            ["ops.add failed", "incompatible shapes", "Received: shape (2, 3)", "shape (2, 4)"],
        ),
        (lambda: ops.sqrt("four"), ["ops.sqrt failed", "Received: 'four'"]),
        (lambda: ops.sum([1], axes=0), ["ops.sum failed", "'axes'", "sum(x, axis, keepdims)"]),
        (lambda: ops.sqrt(), ["missing 1 required", "sqrt(x)", "no arguments"]),
        (lambda: ops.cast([1], "flot32"), ["not a data type", "'flot32'"]),
        (lambda: ops.add(jnp.ones(1, "uint8"), 300), ["ops.add failed", "out of bounds"]),
        (lambda: ops.reshape(np.ones(4), (3, -1)), ["ops.reshape failed", "shape (4,)", "(3, -1)"]),
        (lambda: jax.jit(ops.nonzero)(np.ones(3)), ["ops.nonzero failed", "Fix: call it outside"]),
        (lambda: ops.where([True], 1), ["both x1 and x2"]),
        (lambda: ops.one_hot([1], 2, sparse=True), ["no sparse arrays"]),
        (lambda: ops.unstack(np.ones((2, 3)), num=4), ["axis 0", "Expected: 4"]),
        (lambda: ops.image.resize(np.ones((4, 4)), (2, 2)), ["resize takes", "expand_dims"]),
        (lambda: ops.image.resize(np.ones((4, 4, 1)), (2, 2), "linear"), ["'bilinear'"]),
        (lambda: ops.image.pad_images(np.ones((4, 4, 1)), 1), ["along the height", "two numbers"]),
        (
            lambda: ops.image.crop_images(
                np.ones((4, 4, 1)), 1, target_height=9, right_cropping=0, left_cropping=0
            ),
            ["do not fit", "-6 after, of 4"],
        ),
        (
            lambda: ops.image.crop_images(np.ones((4, 4, 1)), 1, 1, 5, 1),
            ["would leave nothing", "5 rows"],
        ),
        (lambda: ops.conv(np.ones((1, 4, 4, 3)), np.ones((2, 2, 2, 4))), ["3 channels"]),
        (lambda: ops.max_pool(np.ones((1, 4, 1)), 2, padding="sane"), ["padding", "'same'"]),
        (lambda: ops.scatter_update([0], [[0]], [1], "sum"), ["reduction", "'add'"]),
        (lambda: ops.stft(np.ones(8), 8, 2, 4), ["shorter than the window"]),
        (lambda: ops.fft(np.ones((3, 4))), ["(real part, imaginary part)"]),
        (
            lambda: ops.sparse_categorical_crossentropy([1, 2], [[0.5, 0.5]]),
            ["do not fit", "(1,)", "(2,)"],
        ),
    ],
)
def test_errors_teach(call, parts):
    with pytest.raises(NacreError) as caught:
        call()
    for part in parts:
        assert part in str(caught.value)


def test_errors_on_symbolic_tensors_show_the_unknown_sizes():
    x = SymbolicTensor((None, 4), "float32")
    with pytest.raises(OperationError, match=r"shape \(None, 4\) float32"):
        ops.add(x, np.ones(3))
    with pytest.raises(OperationError, match="needs to see values"):
        ops.unique(x)
    with pytest.raises(ArgumentError, match="no values yet"):
        ops.convert_to_numpy(x)


def test_an_error_is_a_value_error_and_a_type_error():
    for kind in (ValueError, TypeError):
        with pytest.raises(kind):
            ops.add(np.ones(2), np.ones(3))
