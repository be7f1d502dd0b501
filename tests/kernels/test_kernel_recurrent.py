"""The recurrent kernels against the equations in NumPy and against PyTorch."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st
from jax.test_util import check_grads

from nacre.kernels import gru, lstm, recurrent, simple_rnn

BATCH, TIME, FEATURES, UNITS = 3, 5, 4, 6

KERNELS = {
    "simple": simple_rnn,
    "lstm": lstm,
    "gru after": functools.partial(gru, reset_after=True),
    "gru before": functools.partial(gru, reset_after=False),
}
GATES = {"simple": 1, "lstm": 4, "gru after": 3, "gru before": 3}
STATES = {"simple": 1, "lstm": 2, "gru after": 1, "gru before": 1}


@pytest.fixture(params=["narrow", "wide"])
def width(request, monkeypatch):
    """Both ways of taking the gradient, whatever the number of units."""
    monkeypatch.setattr(recurrent, "WIDE", 1 if request.param == "wide" else 10**6)
    recurrent._run.clear_cache()
    return request.param


def arrays(name, dtype=np.float32, seed=0):
    """x, the weights and the first state."""
    rng, columns = np.random.default_rng(seed), GATES[name] * UNITS
    bias = (2, columns) if name == "gru after" else (columns,)
    shapes = [(BATCH, TIME, FEATURES), (FEATURES, columns), (UNITS, columns), bias]
    x, *weights = (rng.normal(size=shape).astype(dtype) * 0.5 for shape in shapes)
    state = tuple(rng.normal(size=(BATCH, UNITS)).astype(dtype) for _ in range(STATES[name]))
    return x, weights, state


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def next_state(name, x, state, kernel, recurrent_kernel, bias):
    h = state[0]
    if name == "simple":
        return (np.tanh(x @ kernel + h @ recurrent_kernel + bias),)
    if name == "lstm":
        i, f, g, o = np.split(x @ kernel + h @ recurrent_kernel + bias, 4, axis=1)
        c = sigmoid(f) * state[1] + sigmoid(i) * np.tanh(g)
        return sigmoid(o) * np.tanh(c), c
    after = name == "gru after"
    z, r, g = np.split(x @ kernel + (bias[0] if after else bias), 3, axis=1)
    u_z, u_r, u_h = np.split(recurrent_kernel, 3, axis=1)
    b_z, b_r, b_h = np.split(bias[1], 3) if after else (0, 0, 0)
    z, r = sigmoid(z + h @ u_z + b_z), sigmoid(r + h @ u_r + b_r)
    g = np.tanh(g + (r * (h @ u_h + b_h) if after else (r * h) @ u_h))
    return (z * h + (1 - z) * g,)


def by_loop(name, x, weights, state, mask, go_backwards):
    outputs = []
    for t in reversed(range(TIME)) if go_backwards else range(TIME):
        new = next_state(name, x[:, t], state, *weights)
        state = tuple(np.where(mask[:, t, None], n, old) for n, old in zip(new, state))
        outputs.append(state[0])
    return np.stack(outputs, axis=1), state


@pytest.mark.parametrize("name", KERNELS)
@settings(max_examples=6, deadline=None, derandomize=True)
@given(st.booleans(), st.integers(0, 9))
def test_outputs_and_states_are_those_of_the_equations(name, go_backwards, seed):
    x, weights, state = arrays(name, seed=seed)
    mask = np.random.default_rng(seed).random((BATCH, TIME)) < (1.1 if seed == 0 else 0.6)
    expected = by_loop(name, x.astype(np.float64), weights, state, mask, go_backwards)
    actual = KERNELS[name](
        jnp.asarray(x), *map(jnp.asarray, weights), state, mask=mask, go_backwards=go_backwards
    )
    for a, b in zip(jax.tree.leaves(actual), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "width"),
    [
        ("lstm", "wide"),
        pytest.param("gru after", "narrow", marks=pytest.mark.slow),
        pytest.param("simple", "wide", marks=pytest.mark.slow),
        pytest.param("gru before", "narrow", marks=pytest.mark.slow),
        *[pytest.param(name, "narrow", marks=pytest.mark.slow) for name in ("simple", "lstm")],
    ],
    indirect=["width"],
)
def test_derivatives_by_finite_differences(name, width):
    with jax.enable_x64(True):
        x, weights, state = arrays(name, np.float64)
        dropout = np.random.default_rng(1).integers(0, 2, (BATCH, UNITS)) * 2.0
        mask = np.random.default_rng(2).random((BATCH, TIME)) < 0.7

        @jax.jit
        def loss(x, weights, state):
            y, last = KERNELS[name](x, *weights, state, mask=mask, recurrent_dropout=dropout)
            return jnp.sum(jnp.sin(y)) + sum(jnp.sum(s**2) for s in last)

        primals = (x, weights, state)
        check_grads(loss, primals, order=1, modes=["fwd"], rtol=1e-4)
        check_grads(jax.jit(jax.grad(loss, 1)), primals, order=1, modes=["rev"], rtol=1e-4)


@pytest.mark.parametrize("name", ["simple", "lstm", "gru after"])
def test_value_and_gradients_are_those_of_pytorch(name, width):
    x, weights, state = arrays(name)
    layer = {"simple": torch.nn.RNN, "lstm": torch.nn.LSTM, "gru after": torch.nn.GRU}[name](
        FEATURES, UNITS, batch_first=True
    )
    bias = weights[2] if name == "gru after" else np.stack([weights[2], 0 * weights[2]])
    order = [1, 0, 2] if name == "gru after" else range(GATES[name])  # PyTorch has r before z

    def reordered(a):
        return np.concatenate([np.split(a, GATES[name], axis=-1)[i] for i in order], axis=-1)

    parts = [weights[0].T, weights[1].T, bias[0], bias[1]]
    for parameter, part in zip(layer.parameters(), parts):
        parameter.data = torch.tensor(reordered(part.T).T.copy())
    tx = torch.tensor(x, requires_grad=True)
    first = tuple(torch.tensor(s)[None] for s in state)
    expected, _ = layer(tx, first if name == "lstm" else first[0])
    expected.square().sum().backward()

    def loss(x, weights):
        y, _ = KERNELS[name](x, *weights, state)
        return jnp.sum(y**2), y

    gradients, y = jax.jit(jax.grad(loss, (0, 1), has_aux=True))(x, weights)
    np.testing.assert_allclose(y, expected.detach(), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(gradients[0], tx.grad, rtol=1e-4, atol=1e-5)
    found = [p.grad.numpy().T for p in layer.parameters()]
    np.testing.assert_allclose(reordered(gradients[1][0]), found[0], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(reordered(gradients[1][1]), found[1], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["lstm"])
def test_mapping_over_inputs_and_weights_is_a_loop(name, width):
    stacks = [arrays(name, seed=seed) for seed in range(3)]
    x, weights, state = jax.tree.map(lambda *a: jnp.stack(a), *stacks)

    def gradient(x, weights, state):
        return jax.grad(lambda w: jnp.sum(KERNELS[name](x, *w, state)[0] ** 2))(weights)

    mapped = jax.jit(jax.vmap(gradient))(x, weights, state)
    one_by_one = [jax.jit(gradient)(*stack) for stack in stacks]
    expected = jax.tree.map(lambda *a: jnp.stack(a), *one_by_one)
    for a, b in zip(jax.tree.leaves(mapped), jax.tree.leaves(expected)):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def test_a_second_eager_call_traces_nothing_and_equals_the_jitted_one():
    x, weights, state = arrays("lstm")
    activation = functools.partial(jnp.multiply, 2.0)
    first = lstm(x, *weights, state, activation=activation)
    compiled = recurrent._run._cache_size()
    second = lstm(x + 0, *weights, state, activation=activation)
    assert recurrent._run._cache_size() == compiled
    jitted = jax.jit(functools.partial(lstm, activation=activation))(x, *weights, state)
    for a, b, c in zip(*map(jax.tree.leaves, (first, second, jitted))):
        np.testing.assert_array_equal(a, b)
        np.testing.assert_allclose(a, c, rtol=1e-6, atol=1e-6)


def test_activations_that_mix_units_see_each_gate_by_itself():
    x, weights, state = arrays("gru after")
    y, _ = gru(x, *weights, state, recurrent_activation=jax.nn.softmax, activation=jnp.zeros_like)
    # With a candidate of 0, the output is z * h.
    z = (x[:, 0] @ weights[0] + weights[2][0] + state[0] @ weights[1] + weights[2][1])[:, :UNITS]
    np.testing.assert_allclose(y[:, 0], jax.nn.softmax(z) * state[0], rtol=1e-5)


def test_16_bit_stays_16_bit_and_an_empty_sequence_keeps_the_state():
    x, weights, state = jax.tree.map(lambda a: jnp.asarray(a, jnp.bfloat16), arrays("lstm"))
    y, last = lstm(x, *weights, state)
    assert y.dtype == last[1].dtype == jnp.bfloat16
    y, last = lstm(x[:, :0], *weights, state)
    assert y.shape == (BATCH, 0, UNITS)
    np.testing.assert_array_equal(last[0], state[0])
