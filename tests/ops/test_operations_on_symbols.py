"""Operations on symbolic tensors: what they promise, and what the operators mean."""

from __future__ import annotations

import operator

import jax
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from nacre import Input, Model, ops
from nacre.core.symbolic import SymbolicTensor, contains_symbolic

SHAPES = st.tuples(st.integers(4, 6), st.integers(1, 5), st.integers(1, 5))

# Each keeps the batch in the first axis.
ON_BATCHES = {
    "add": lambda x: ops.add(x, 1),
    "mean": lambda x: ops.mean(x, axis=-1),
    "sum_keepdims": lambda x: ops.sum(x, axis=1, keepdims=True),
    "reshape": lambda x: ops.reshape(x, (ops.shape(x)[0], -1)),
    "reshape_all": lambda x: ops.reshape(x, (-1,)),
    "transpose": lambda x: ops.transpose(x, (0, 2, 1)),
    "transpose_batch": lambda x: ops.transpose(x),
    "concatenate": lambda x: ops.concatenate([x, x], axis=-1),
    "stack": lambda x: ops.stack([x, x], axis=1),
    "expand_dims": lambda x: ops.expand_dims(x, 0),
    "matmul": lambda x: ops.matmul(x, ops.transpose(x, (0, 2, 1))),
    "einsum": lambda x: ops.einsum("bij,bik->bjk", x, x),
    "unstack": lambda x: ops.unstack(x, axis=1),
    "split": lambda x: ops.split(x, [1], axis=2),
    "max_pool": lambda x: ops.max_pool(x, 2, 1, padding="same"),
    "softmax": lambda x: ops.softmax(x, axis=1),
    "one_hot": lambda x: ops.one_hot(ops.argmax(x, axis=-1), 7),
    "top_k": lambda x: ops.top_k(x, 1),
    "item": lambda x: x[:, 0, None, ...],
    "slice": lambda x: x[..., ::2],
    "rest_of_batch": lambda x: x[1:],
    "where": lambda x: ops.where(x > 0, x, -x),
    "pad": lambda x: ops.pad(x, ((0, 0), (1, 2), (0, 0))),
    "repeat": lambda x: ops.repeat(x, 3, axis=1),
    "cast": lambda x: ops.cast(x, "int32"),
    "norm": lambda x: ops.linalg.norm(x, axis=-1),
}


@pytest.mark.parametrize("name", ON_BATCHES)
@given(shape=SHAPES)
@settings(max_examples=3, deadline=None)
def test_a_promised_shape_is_the_computed_one(name, shape):
    function = ON_BATCHES[name]
    x = SymbolicTensor((None, *shape[1:]), "float32")
    promised = jax.tree.leaves(function(x))
    computed = jax.tree.leaves(jax.eval_shape(function, np.ones(shape, "float32")))
    assert len(promised) == len(computed)
    for a, b in zip(promised, computed):
        assert a.dtype == b.dtype
        assert len(a.shape) == len(b.shape)
        assert all(m is None or m == n for m, n in zip(a.shape, b.shape))
        assert None in a.shape


def test_an_unknown_size_stays_unknown():
    x = SymbolicTensor((None, 4), "float32")
    assert ops.shape(x) == (None, 4)
    assert ops.size(x) is None
    assert (ops.ndim(x), ops.dtype(x), ops.is_tensor(x)) == (2, "float32", True)
    assert ops.matmul(x, ops.transpose(x)).shape == (None, None)
    assert ops.reshape(x, (None, 2, 2)).shape == (None, 2, 2)


BINARY = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "**": operator.pow,
    "%": operator.mod,
    "//": operator.floordiv,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def model_of(function):
    inputs = Input((3,))
    return Model(inputs, function(inputs))


@pytest.mark.parametrize("symbol", BINARY)
def test_operators(symbol):
    operate = BINARY[symbol]
    x = np.array([[0.5, 2.0, 3.5], [1.0, 2.5, 4.0]], "float32")
    for other in (2, 1.5, np.array([1.0, 2.0, 3.0], "float32")):
        result = model_of(lambda inputs, other=other: operate(inputs, other))(x)
        np.testing.assert_allclose(result, operate(x, other), 1e-6)
    for number in (2, 1.5):
        result = model_of(lambda inputs, number=number: operate(number, inputs))(x)
        np.testing.assert_allclose(result, operate(number, x), 1e-6)


def test_unary_operators_and_items():
    x = np.array([[-0.5, 2.0, 3.5], [1.0, -2.5, 4.0]], "float32")
    for function in (
        operator.neg,
        abs,
        lambda x: x[:, 1:],
        lambda x: x[..., None],
        lambda x: x[:, -1],
        lambda x: x @ np.ones((3, 2), "float32"),
    ):
        np.testing.assert_allclose(model_of(function)(x), function(x), 1e-6)


def test_a_model_of_operations_computes_what_they_do():
    def attention(x):
        query, key = ops.split(ops.matmul(x, np.eye(3, 6, dtype="float32") + 0.1), 2, axis=-1)
        weights = ops.softmax(ops.einsum("bi,bj->bij", query, key) / 3, axis=-1)
        return ops.concatenate([ops.sum(weights * ops.expand_dims(x, 1), axis=-1), x], axis=-1)

    x = np.random.default_rng(0).normal(size=(5, 3)).astype("float32")
    inputs = Input((3,))
    outputs = attention(inputs)
    assert outputs.shape == (None, 6)
    np.testing.assert_allclose(Model(inputs, outputs)(x), attention(x), 1e-5)


def test_results_of_several_arrays():
    inputs = Input((5,))
    values, positions = ops.top_k(inputs, 2)
    assert contains_symbolic(values)
    assert (values.shape, positions.dtype) == ((None, 2), "int32")
    x = np.array([[1.0, 5, 3, 2, 4]], "float32")
    first, second = Model(inputs, [values, positions])(x)
    assert first.tolist() == [[5, 4]]
    assert second.tolist() == [[1, 4]]
