"""Batch normalization natively, against the formula and against PyTorch."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st
from jax.test_util import check_grads

from nacre.kernels import batch_normalization, normalization
from nacre.kernels.selection import native

pytestmark = pytest.mark.skipif(native().library is None, reason=f"{native().reason}")


def arrays(shape, seed=0, gamma=True, beta=True, residual=True):
    """x, gamma, beta and residual."""
    rng, channels = np.random.default_rng([seed, *shape]), shape[-1:]
    wanted = [(shape, True), (channels, gamma), (channels, beta), (shape, residual)]
    return [
        jnp.asarray(rng.normal(size=s).astype(np.float32)) + 1 if used else None
        for s, used in wanted
    ]


def normalized(x, gamma, beta, residual, **settings):
    return batch_normalization(x, gamma, beta, residual=residual, **settings)


def loss(operands, **settings):
    y, mean, variance = normalized(*operands, **settings)
    return jnp.sum(jnp.sin(y)) + jnp.sum(mean**3) + jnp.sum(jnp.cos(variance))


def portably(function, *operands):
    """The same by the formula."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(normalization, "_has_kernel", lambda operands: False)
        return jax.jit(lambda *operands: function(*operands))(*operands)


def assert_same(actual, expected, tolerance=1e-5):
    for a, b in zip(jax.tree.leaves(actual), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)


@settings(max_examples=12, deadline=None)
@given(
    st.lists(st.integers(1, 9), min_size=1, max_size=3),
    st.integers(8, 140),
    st.tuples(*[st.booleans()] * 4),
)
def test_values_and_gradients_are_those_of_the_formula(rows, channels, options):
    gamma, beta, residual, relu = options
    operands = arrays((*rows, channels), gamma=gamma, beta=beta, residual=residual)
    settings = {"relu": relu, "epsilon": 0.1}

    def both(o):
        return normalized(*o, **settings), jax.grad(functools.partial(loss, **settings))(o)

    # The formula's own gradients are up to 1e-4 from those in float64, the kernel's a fifth of it.
    assert_same(jax.jit(both)(operands), portably(both, operands), 3e-4)


def test_many_rows_far_from_zero_lose_no_digits():
    x = np.random.default_rng(0).normal(size=(5000, 24)).astype(np.float32) * 0.01 + 1000
    _, mean, variance = batch_normalization(jnp.asarray(x))
    np.testing.assert_allclose(mean, x.astype(np.float64).mean(0), rtol=1e-6)
    np.testing.assert_allclose(variance, x.astype(np.float64).var(0), rtol=1e-3)


def test_value_and_gradients_are_those_of_pytorch():
    x, gamma, beta, _ = arrays((4, 5, 6, 16))
    layer = torch.nn.BatchNorm2d(16, eps=1e-3)
    layer.weight.data, layer.bias.data = (torch.tensor(np.asarray(a)) for a in (gamma, beta))
    tx = torch.tensor(np.asarray(x), requires_grad=True)
    expected = torch.relu(layer(tx.permute(0, 3, 1, 2)))
    (expected**2).sum().backward()

    def squares(x, gamma, beta):
        return jnp.sum(batch_normalization(x, gamma, beta, relu=True)[0] ** 2)

    found = jax.jit(jax.grad(squares, (0, 1, 2)))(x, gamma, beta)
    for a, b in zip(found, (tx.grad, layer.weight.grad, layer.bias.grad)):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4)


def test_forward_mode_second_derivatives_mapping_and_loops():
    operands = arrays((3, 4, 8))
    f = functools.partial(loss, relu=False)
    ones = jax.tree.map(jnp.ones_like, operands)

    def derivatives(o):
        along = jax.jvp(f, (o,), (ones,))[1]
        again = jax.jvp(jax.grad(f), (o,), (ones,))[1]
        twice = jax.grad(lambda o: sum(jnp.sum(g**2) for g in jax.tree.leaves(jax.grad(f)(o))))(o)
        mapped = jax.vmap(lambda s: jax.grad(f)([s * a for a in o]))(jnp.arange(3.0))

        def step(o):
            return jax.tree.map(jnp.subtract, o, jax.grad(jax.checkpoint(f))(o))

        looped = jax.lax.fori_loop(0, 2, lambda _, o: step(o), o)
        return along, again, twice, mapped, looped

    assert_same(jax.jit(derivatives)(operands), portably(derivatives, operands), 1e-3)


@pytest.mark.slow
def test_derivatives_by_finite_differences():
    with jax.enable_x64(True):
        operands = [a.astype(jnp.float64) for a in arrays((5, 8))]
        check_grads(lambda *o: loss(o), operands, order=2, modes=["fwd", "rev"])


def test_what_runs_where_and_the_bits_are_the_same_each_time():
    operands = arrays((3, 70, 24))
    gradient = jax.jit(jax.grad(functools.partial(loss, relu=True)))
    traced = gradient.trace(operands)
    assert "nacre_normalization_backward" in traced.lower().as_text()
    assert "nacre_" not in traced.lower(lowering_platforms=("cuda",)).as_text()
    first = gradient(operands)
    for _ in range(5):
        for a, b in zip(first, gradient(operands)):
            np.testing.assert_array_equal(a, b)


def test_not_a_number_goes_through_and_empty_or_few_channels_are_left_to_xla():
    x, gamma, beta, _ = arrays((6, 9))
    y, mean, _ = batch_normalization(x.at[2, 3].set(jnp.nan), gamma, beta, relu=True)
    assert np.isnan(y[:, 3]).all() and np.isnan(mean).sum() == 1 and np.isnan(y).sum() == 6
    assert batch_normalization(x[:0], gamma, beta)[0].shape == (0, 9)
    y, _, _ = batch_normalization(x[:, :3])
    np.testing.assert_allclose(jnp.mean(y, 0), 0, atol=1e-6)


SCRIPT = """
import jax, jax.numpy as jnp, numpy as np
from nacre.kernels import batch_normalization, in_use
assert {expected!r} in in_use()["reason"], in_use()
x = np.random.default_rng(0).normal(size=(30, 21)).astype(np.float32)
f = lambda x: batch_normalization(x, relu=True)[0]
y, back = jax.vjp(jax.jit(f), jnp.asarray(x))
expected = np.maximum((x - x.mean(0)) / np.sqrt(x.var(0) + 1e-3), 0)
np.testing.assert_allclose(y, expected, rtol=1e-4, atol=1e-5)
assert y.dtype == back(y)[0].dtype == np.float32
"""


@pytest.mark.slow
def test_in_64_bit_mode_and_with_the_lesser_instructions(in_other_settings):
    in_other_settings(SCRIPT)
