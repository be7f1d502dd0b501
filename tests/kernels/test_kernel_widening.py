"""16-bit operands: computed with in float32, and rounded once."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from nacre.kernels import (
    average_pool,
    convolution,
    gru,
    linear,
    lstm,
    max_pool,
    selection,
    simple_rnn,
)

native_kernels = pytest.mark.skipif(
    selection.native().library is None, reason="the native kernels do not serve here"
)
narrow = pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
ROUNDING = {"bfloat16": 2.0**-8, "float16": 2.0**-11}  # at most, relative


def normal(dtype, *shape, seed=0):
    numbers = np.random.default_rng([seed, *shape]).normal(size=shape)
    return jnp.asarray(numbers / (1 + seed) ** 2, dtype)  # kernels, the second, are small


def assert_rounded(actual, exact):
    """Within one rounding, and what float32 loses in a sum, of the exact result."""
    unit = ROUNDING[str(actual.dtype)]
    actual = np.asarray(actual, np.float64)
    allowed = unit * np.abs(exact) + 1e-5 * np.abs(exact).max(initial=0)
    assert np.all(np.abs(actual - exact) <= allowed)


@narrow
@settings(max_examples=8, deadline=None)
@given(st.tuples(*[st.sampled_from([0, 1, 5, 64, 100, 257])] * 3))
def test_a_product_and_its_gradients_are_rounded_once(dtype, sizes):
    rows, depth, columns = sizes
    x, kernel = normal(dtype, rows, depth), normal(dtype, depth, columns)
    change = normal(dtype, rows, columns)
    y, transpose = jax.vjp(jax.jit(linear), x, kernel)
    of_x, of_kernel = transpose(change)
    x, kernel, change = (np.asarray(a, np.float64) for a in (x, kernel, change))
    assert_rounded(y, x @ kernel)
    assert_rounded(of_x, change @ kernel.T)
    assert_rounded(of_kernel, x.T @ change)


OPERATIONS = {
    "product": (linear, (100, 200), (200, 150)),
    "convolution": (convolution, (2, 9, 8, 17), (3, 3, 17, 20)),
    "convolution with bias": (
        functools.partial(convolution, activation="relu", padding="same"),
        *((2, 9, 8, 17), (3, 3, 17, 20), (20,)),
    ),
    "depthwise": (functools.partial(convolution, groups=18), (2, 7, 6, 18), (3, 3, 1, 18)),
    "sequence": (functools.partial(convolution, strides=2), (2, 20, 16), (3, 16, 5)),
    "max_pool": (functools.partial(max_pool, pool_size=3, strides=2), (2, 9, 9, 16)),
    "average_pool": (functools.partial(average_pool, pool_size=3, strides=2), (2, 9, 9, 16)),
    "simple": (lambda *a: simple_rnn(*a)[0], (3, 7, 5), (5, 20), (20, 20), (20,)),
    "lstm": (lambda *a: lstm(*a)[0], (3, 7, 5), (5, 80), (20, 80), (80,)),
    "gru": (lambda *a: gru(*a)[0], (3, 7, 5), (5, 60), (20, 60), (2, 60)),
}
operations = pytest.mark.parametrize("name", OPERATIONS)
# What units for bfloat16 take, if they are in use (test_bfloat16_kernels.py).
OF_UNITS = (
    {"product", "convolution", "convolution with bias"} if selection.native().bfloat16 else ()
)


def arrays(name, dtype):
    operation, *shapes = OPERATIONS[name]
    return operation, [normal(dtype, *s, seed=i) for i, s in enumerate(shapes)]


def value_and_gradients(operation, *operands):
    y, transpose = jax.vjp(operation, *operands)
    wave = jnp.cos(jnp.arange(y.size, dtype=jnp.float32)).reshape(y.shape)
    return y, *transpose(wave.astype("bfloat16").astype(y.dtype))


@native_kernels
@pytest.mark.parametrize("name", sorted(set(OPERATIONS) - set(OF_UNITS)))
@pytest.mark.parametrize("wide", [False, True], ids=["", "64 bits"])
def test_the_bits_are_those_of_float32_rounded(name, wide):
    with jax.enable_x64(wide):
        operation, operands = arrays(name, "bfloat16")
        run = jax.jit(functools.partial(value_and_gradients, operation))
        found = run(*operands)
        for actual, single in zip(found, run(*(a.astype("float32") for a in operands))):
            assert actual.dtype == "bfloat16" and single.dtype == "float32"
            np.testing.assert_array_equal(actual, single.astype("bfloat16"))
        for actual, same in zip(found, run(*operands)):
            np.testing.assert_array_equal(actual, same)


@operations
def test_every_way_of_calling_it(name):
    """Mapped, in a loop, and its derivative's derivative, all near those of float32."""
    operation, operands = arrays(name, "bfloat16")

    def curvature(*operands):
        def slope(x):
            return jax.grad(lambda x: jnp.sum(jnp.sin(0.1 * operation(x, *operands[1:]))))(x)

        return jax.jvp(slope, operands[:1], operands[:1])[1]

    def several(*operands):
        images = jnp.stack([operands[0], 2 * operands[0]])
        mapped = jax.vmap(lambda x: operation(x, *operands[1:]))(images)
        looped = jax.lax.map(lambda x: operation(x, *operands[1:]), images)
        return mapped, looped, curvature(*operands)

    for actual, single in zip(
        jax.jit(several)(*operands), jax.jit(several)(*(a.astype("float32") for a in operands))
    ):
        assert actual.dtype == "bfloat16"
        scale = float(jnp.abs(single).max())
        np.testing.assert_allclose(actual / scale, single / scale, rtol=0, atol=0.05)


@narrow
@pytest.mark.parametrize("layer", ["linear", "convolution", "relu"])
def test_the_gradient_of_a_bias_is_a_sum_in_float32(dtype, layer):
    activation = "relu" if layer == "relu" else None
    function = (
        linear if layer == "linear" else functools.partial(convolution, activation=activation)
    )
    kernel = jnp.ones((1,) * (3 if layer != "linear" else 2), dtype)
    x, bias = jnp.ones((4, 1000, 1), dtype), jnp.ones(1, dtype)
    gradient = jax.jit(jax.grad(lambda b: function(x, kernel, b).sum()))(bias)
    assert gradient.dtype == dtype
    assert float(gradient[0]) == 4000  # in bfloat16 it would stop at 256, in float16 at 2048


def test_an_average_of_whole_numbers_stays_one():
    pixels = jnp.arange(16, dtype=jnp.uint8).reshape(1, 4, 4, 1)
    np.testing.assert_array_equal(average_pool(pixels, 2)[0, :, :, 0], [[2, 4], [10, 12]])
