"""The native pooling of overlapping windows against the portable form."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from nacre.kernels import average_pool, max_pool, pooling
from nacre.kernels.selection import native

pytestmark = pytest.mark.skipif(native().library is None, reason=f"{native().reason}")
each_kind = pytest.mark.parametrize("kind", [max_pool, average_pool])


def images(*shape, seed=0):
    """Few different values, so that maxima are often tied."""
    rng = np.random.default_rng([seed, *shape])
    return jnp.asarray(rng.integers(-3, 3, shape).astype(np.float32))


def portably(function, *operands):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pooling, "_has_kernel", lambda x, geometry: False)
        return jax.jit(lambda *operands: function(*operands))(*operands)


def assert_same(actual, expected):
    for a, b in zip(jax.tree.leaves(actual), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)


def value_and_gradient(kind, x, *geometry):
    size, strides, padding = geometry
    y, back = jax.vjp(lambda x: kind(x, size, strides=strides, padding=padding), x)
    return y, back(jnp.sin(jnp.arange(y.size, dtype=jnp.float32)).reshape(y.shape))


@st.composite
def configurations(draw):
    rank = draw(st.sampled_from([1, 2, 2, 3]))
    size = tuple(draw(st.integers(2, 4)) for _ in range(rank))
    strides = (1, *(draw(st.integers(1, 4)) for _ in range(rank - 1)))
    image = tuple(s + draw(st.integers(0, 5)) for s in size)
    batch, channels = draw(st.integers(1, 3)), draw(st.integers(8, 50))
    return (batch, *image, channels), size, strides, draw(st.sampled_from(["valid", "same"]))


@each_kind
@settings(max_examples=10, deadline=None)
@given(configurations())
def test_values_and_gradients_are_those_of_the_portable_form(kind, configuration):
    shape, *geometry = configuration
    x = images(*shape)
    actual = jax.jit(lambda x: value_and_gradient(kind, x, *geometry))(x)
    assert_same(actual, portably(lambda x: value_and_gradient(kind, x, *geometry), x))


@each_kind
def test_what_runs_where(kind):
    overlapping = jax.jit(lambda x: value_and_gradient(kind, x, 3, 2, "same"))
    apart = jax.jit(lambda x: value_and_gradient(kind, x, 2, 2, "same"))
    x = images(2, 7, 8, 9)
    assert "nacre_pool_backward" in overlapping.lower(x).as_text()
    assert "nacre_" not in apart.lower(x).as_text()
    assert "nacre_" not in overlapping.trace(x).lower(lowering_platforms=("cuda",)).as_text()
    assert "nacre_" not in overlapping.lower(x[..., :3]).as_text()


@each_kind
def test_forward_mode_second_derivatives_mapping_and_loops(kind):
    x = images(3, 2, 6, 7, 8) + images(3, 2, 6, 7, 8, seed=1) / 16

    def loss(x):
        return jnp.sum(jnp.sin(kind(x, 3, strides=2, padding="same")))

    def derivatives(x):
        one, ones = x[0], jnp.ones_like(x[0])
        along = jax.jvp(loss, (one,), (ones,))[1]
        again = jax.jvp(jax.grad(loss), (one,), (ones,))[1]
        twice = jax.grad(lambda x: jnp.sum(jax.grad(loss)(x) ** 2))(one)
        mapped = jax.vmap(jax.vmap(jax.grad(loss)), 1)(x[:, :, None])

        def step(x):
            return x - jax.grad(jax.checkpoint(loss))(x)

        return along, again, twice, mapped, jax.lax.fori_loop(0, 2, lambda _, x: step(x), one)

    assert_same(jax.jit(derivatives)(x), portably(derivatives, x))
    mapped = jax.jit(jax.vmap(jax.grad(loss))).lower(x).as_text()
    assert mapped.count("nacre_pool_backward") == 1 and "while" not in mapped


def test_not_a_number_wins_wherever_it_stands_and_least_values_have_maxima():
    x = np.full((1, 9, 8), -np.inf, np.float32)
    x[0, 4, ::2] = np.nan
    y = np.asarray(max_pool(jnp.asarray(x), 3, strides=1))[0]
    assert np.isnan(y[2:5, ::2]).all() and np.isnan(y).sum() == 12
    assert np.isneginf(y[:, 1::2]).all()


@each_kind
def test_the_bits_are_the_same_each_time_and_an_empty_batch_is_empty(kind):
    x = images(5, 20, 21, 24) / 7
    f = jax.jit(lambda x: value_and_gradient(kind, x, 3, 1, "same"))
    first = f(x)
    for _ in range(5):
        for a, b in zip(first, f(x)):
            np.testing.assert_array_equal(a, b)
    assert kind(x[:0], 3, strides=1).shape == (0, 18, 19, 24)


SCRIPT = """
import jax, jax.numpy as jnp, numpy as np
from nacre.kernels import max_pool, average_pool, in_use, pooling
assert {expected!r} in in_use()["reason"], in_use()
x = jnp.asarray(np.random.default_rng(0).normal(size=(2, 7, 6, 21)).astype(np.float32))
for kind in (max_pool, average_pool):
    f = lambda x: jnp.sum(jnp.sin(kind(x, 3, strides=2, padding="same")))
    native = jax.jit(jax.grad(f))(x)
    assert native.dtype == np.float32
    kernel, pooling._has_kernel = pooling._has_kernel, lambda x, geometry: False
    np.testing.assert_allclose(native, jax.jit(jax.grad(lambda x: f(x)))(x), atol=1e-6)
    pooling._has_kernel = kernel
"""


@pytest.mark.slow
def test_in_64_bit_mode_and_with_the_lesser_instructions(in_other_settings):
    in_other_settings(SCRIPT)
