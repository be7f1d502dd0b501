"""Convolution and maximum over windows in one native pass, against the two one after the other."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import example, given, settings, strategies as st

from nacre.kernels import convolution, convolution_max_pool, max_pool, pooled_convolution
from nacre.kernels.selection import native

pytestmark = pytest.mark.skipif(native().library is None, reason=f"{native().reason}")


def at_once(x, kernel, bias, *, pool, pool_padding="valid", **options):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pooled_convolution, "LEAST_INSIDE", 0)  # also where it is not faster
        y = convolution_max_pool(
            x, kernel, bias, pool_size=pool, pool_padding=pool_padding, **options
        )
    assert y is not None
    return y


def apart(x, kernel, bias, *, pool, pool_padding="valid", **options):
    return max_pool(convolution(x, kernel, bias, **options), pool, padding=pool_padding)


def whole_numbers(*shape, seed=0):
    """Few different values, whose sums are exact, so that maxima are often tied."""
    return np.random.default_rng([seed, *shape]).integers(-2, 3, shape).astype(np.float32)


def normal(*shape, seed=0):
    return np.random.default_rng([seed, *shape]).normal(size=shape).astype(np.float32)


def assert_close(actual, expected, tolerance=1e-5):
    for a, b in zip(jax.tree.leaves(actual), jax.tree.leaves(expected), strict=True):
        scale = max(float(np.abs(b).max(initial=0)), 1e-6)
        np.testing.assert_allclose(a / scale, b / scale, rtol=0, atol=tolerance)


@functools.partial(jax.jit, static_argnums=(0, 4))
def value_and_gradients(function, x, kernel, bias, options=()):
    y, transpose = jax.vjp(lambda *operands: function(*operands, **dict(options)), x, kernel, bias)
    quarters = jnp.round(4 * jnp.sin(jnp.arange(y.size, dtype=y.dtype))) / 4  # their sums are exact
    return y, *transpose(quarters.reshape(y.shape))


@st.composite
def cases(draw):
    rank = draw(st.sampled_from([1, 2, 2]))
    per_axis = functools.partial(st.lists, min_size=rank, max_size=rank)
    window = tuple(draw(per_axis(st.integers(1, 3))))
    pool = tuple(draw(st.sampled_from([(2, 2), (2, 2), (3, 2), (1, 4)]))[:rank])
    strides = tuple(draw(per_axis(st.integers(1, 2))))
    dilation = (1,) * rank if max(strides) > 1 else tuple(draw(per_axis(st.integers(1, 2))))
    image = [(w - 1) * d + p * s for w, d, p, s in zip(window, dilation, pool, strides)]
    image = [least + draw(st.integers(0, 9)) for least in image]
    if draw(st.integers(0, 9)) == 0:
        image[-1] += 2000  # rows longer than what is computed together
    inputs = draw(st.sampled_from([1, 2, 3, 17, 33]))
    outputs = draw(st.sampled_from([8, 13, 16, 40, 64, 70, 130]))
    options = {
        "pool": pool,
        "pool_padding": draw(st.sampled_from(["valid", "same"])),
        "strides": strides,
        "dilation": dilation,
        "padding": draw(st.sampled_from(["valid", "same"])),
        "activation": draw(st.sampled_from(["relu", "relu", None])),
    }
    batch = draw(st.sampled_from([1, 2, 30]))
    return (batch, *image, inputs), (*window, inputs, outputs), tuple(options.items())


def quads(padding, activation, **more):
    options = {"pool": (2, 2), "padding": padding, "activation": activation, **more}
    return (4, 13, 13, 32), (3, 3, 32, 64), tuple(options.items())


@settings(max_examples=10, deadline=None)
@given(cases())
@example(quads("valid", "relu"))
@example(quads("same", None))
@example(quads("same", "relu", pool_padding="same"))
def test_values_and_gradients_are_those_of_the_two_operations(case):
    x, kernel, options = case
    operands = whole_numbers(*x), whole_numbers(*kernel), whole_numbers(kernel[-1])
    found = value_and_gradients(at_once, *operands, options)
    again = value_and_gradients(at_once, *operands, options)
    assert_close(found, value_and_gradients(apart, *operands, options))
    for a, b in zip(found, again):
        np.testing.assert_array_equal(a, b)


def operands(seed=0):
    return normal(2, 9, 8, 5, seed=seed), normal(3, 3, 5, 9, seed=seed), normal(9, seed=seed)


relu = {"pool": 2, "activation": "relu", "padding": "same"}


def test_second_derivatives_forward_mode_loops_and_rematerialisation():
    x, kernel, bias = operands()

    def derivatives(function):
        def loss(kernel, x=x):
            return jnp.sum(function(x, kernel, bias, **relu) ** 2)

        along = jax.jvp(loss, (kernel,), (jnp.ones_like(kernel),))[1]
        curvature = jax.jvp(jax.grad(loss), (kernel,), (jnp.ones_like(kernel),))[1]
        penalty = jax.grad(lambda k: jnp.sum(jax.grad(loss, 1)(k, x) ** 2))(kernel)
        again = jax.grad(jax.checkpoint(loss))(kernel)
        scanned = jax.grad(
            lambda k: jax.lax.scan(lambda total, b: (total + b * loss(k), None), 0.0, jnp.ones(2))[
                0
            ]
        )(kernel)
        return along, curvature, penalty, again, scanned

    found = jax.jit(derivatives, static_argnums=0)
    assert_close(found(at_once), found(apart), 1e-4)


@pytest.mark.parametrize("axes", [(0, None, None), (None, 0, None), (0, 0, 0)], ids=str)
def test_mapped_over_images_kernels_and_all(axes):
    several = [np.stack([a, b, a - b]) for a, b in zip(operands(0), operands(1))]
    mapped = [s if axis == 0 else s[0] for s, axis in zip(several, axes)]

    def gradients(function, *mapped):
        gradient = jax.grad(lambda *o: jnp.sum(jnp.sin(function(*o, **relu))), (0, 1, 2))
        return jax.vmap(gradient, axes)(*mapped)

    found = jax.jit(gradients, static_argnums=0)
    assert_close(found(at_once, *mapped), found(apart, *mapped))
    calls = found.lower(at_once, *mapped).as_text().count("nacre_max_unpool")
    assert calls == (1 if axes == (0, None, None) else 0)


def test_the_first_of_equal_maxima_has_the_gradient_and_none_where_relu_cut():
    x = np.zeros((1, 2, 6, 8), np.float32)
    x[0, :, 0:2] = 1  # all four are the maximum
    x[0, :, 2:4] = -1  # cut
    kernel, bias = np.eye(8, dtype=np.float32)[None, None], np.zeros(8, np.float32)
    for function in (at_once, apart):
        for activation, places in (("relu", 1), (None, 3)):
            options = (("pool", 2), ("activation", activation))
            y, dx, *_ = value_and_gradients(function, x, kernel, bias, options)
            np.testing.assert_array_equal(y[0, 0, :, 0], [1, -1 if activation is None else 0, 0])
            assert np.count_nonzero(dx[..., 1]) == places
            assert dx[0, 0, 0, 1] != 0


def test_not_a_number_is_the_maximum_and_has_no_gradient_after_relu():
    x = normal(1, 4, 6, 8)
    x[0, 1, 1] = np.nan
    kernel, bias = np.eye(8, dtype=np.float32)[None, None], np.zeros(8, np.float32)
    for activation in ("relu", None):
        options = (("pool", 2), ("activation", activation))
        found = value_and_gradients(at_once, x, kernel, bias, options)
        expected = value_and_gradients(apart, x, kernel, bias, options)
        assert np.isnan(found[0][0, 0, 0]).all()
        assert np.isnan(found[0]).sum() == 8
        np.testing.assert_array_equal(found[1], expected[1])


def test_what_no_kernel_computes_at_once():
    x, kernel, bias = operands()

    def served(x, kernel, pool_size=2, **options):
        return convolution_max_pool(x, kernel, bias, pool_size=pool_size, **options) is not None

    assert served(x, kernel)
    assert not served(x, kernel, pool_strides=1)
    assert not served(x[:, :4, :4], kernel, padding="same")
    assert not served(x[:0], kernel)
    assert not served(x, kernel[..., :3])
    with jax.enable_x64(True):
        assert not served(jnp.asarray(x, "float64"), jnp.asarray(kernel, "float64"))
    assert not served(normal(2, 9, 8, 16), normal(3, 3, 8, 16), groups=2)
    lowered = jax.jit(functools.partial(at_once, **relu)).trace(x, kernel, bias)
    assert "nacre_" not in lowered.lower(lowering_platforms=("cuda",)).as_text()


def test_16_bit_operands_are_rounded_once():
    """Of whole numbers, which bfloat16 holds: then rounding moves no maximum."""
    wide = [
        whole_numbers(*shape) for shape in ((2, 9, 8, 16), (3, 3, 16, 32), (32,), (2, 4, 4, 32))
    ]

    @jax.jit
    def everything(x, kernel, bias, change):
        y, transpose = jax.vjp(functools.partial(at_once, **relu), x, kernel, bias)
        return y, *transpose(change)

    found = everything(*(jnp.asarray(a, jnp.bfloat16) for a in wide))
    for narrow, exact in zip(found, everything(*wide), strict=True):
        np.testing.assert_array_equal(narrow, exact.astype(jnp.bfloat16))


SCRIPT = """
import sys
sys.path.insert(0, "tests/kernels")
from test_native_pooled_convolution import *
from nacre.kernels import in_use
assert {expected!r} in in_use()["reason"], in_use()
for options in (relu, dict(pool=(3, 2), pool_padding="same", activation="relu")):
    options = tuple(options.items())
    arguments = [jnp.asarray(a) for a in operands()]
    found = value_and_gradients(at_once, *arguments, options)
    assert found[0].dtype == np.float32
    assert_close(found, value_and_gradients(apart, *arguments, options))
"""


@pytest.mark.slow
def test_in_64_bit_mode_and_with_the_lesser_instructions(in_other_settings):
    in_other_settings(SCRIPT)
