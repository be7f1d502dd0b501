"""The pooling kernels against a loop over windows in NumPy."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from jax.test_util import check_grads

from nacre.core.errors import ShapeError
from nacre.kernels import average_pool, max_pool


def windows(image, size, strides, padding):
    """For each output position, the slices of the image that its window covers."""
    axes = []
    for n, width, stride in zip(image, size, strides):
        count = -(-n // stride) if padding == "same" else (n - width) // stride + 1
        missing = max((count - 1) * stride + width - n, 0) if padding == "same" else 0
        starts = [position * stride - missing // 2 for position in range(count)]
        axes.append([slice(max(start, 0), start + width) for start in starts])
    shape = tuple(len(axis) for axis in axes)
    return zip(itertools.product(*map(range, shape)), itertools.product(*axes)), shape


def by_loop(kind, x, size, strides, padding, change):
    """The pooled image, and the gradient that ``change`` gives the image."""
    found, shape = windows(x.shape[1:-1], size, strides, padding)
    y, gradient = np.zeros((x.shape[0], *shape, x.shape[-1])), np.zeros(x.shape)
    for position, window in found:
        for n, c in itertools.product(range(x.shape[0]), range(x.shape[-1])):
            seen, at = x[n, *window, c], (n, *position, c)
            share = np.zeros(seen.shape)
            if kind is max_pool:
                y[at], share.flat[np.argmax(seen)] = seen.max(), 1
            else:
                y[at], share[...] = seen.mean(), 1 / seen.size
            gradient[n, *window, c] += share * change(position)
    return y, gradient


@st.composite
def configurations(draw):
    rank = draw(st.sampled_from([1, 2, 2, 3]))
    size = tuple(draw(st.integers(1, 3)) for _ in range(rank))
    equal = draw(st.booleans())
    strides = size if equal else tuple(draw(st.integers(1, 3)) for _ in range(rank))
    image = tuple(s + draw(st.integers(0, 4)) for s in size)
    return image, size, strides, draw(st.sampled_from(["valid", "same"]))


@pytest.mark.parametrize("kind", [max_pool, average_pool])
@settings(max_examples=12, deadline=None, derandomize=True)
@given(configurations())
def test_value_and_gradient_are_those_of_a_loop(kind, configuration):
    image, size, strides, padding = configuration
    # Few different values, so that maxima are often tied: the first one has the gradient.
    x = np.random.default_rng(0).integers(0, 4, (2, *image, 2)).astype(np.float32)
    y, gradient = by_loop(kind, x, size, strides, padding, lambda position: 1 + sum(position))

    @jax.jit
    def pooled(x):
        result, transpose = jax.vjp(lambda x: kind(x, size, strides=strides, padding=padding), x)
        change = 1 + sum(
            jax.lax.broadcasted_iota(jnp.float32, result.shape, axis + 1)
            for axis in range(len(image))
        )
        return result, *transpose(change)

    for actual, expected in zip(pooled(x), (y, gradient)):
        np.testing.assert_allclose(actual, expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    "kind, strides",
    [
        (max_pool, 2),
        pytest.param(max_pool, 1, marks=pytest.mark.slow),
        (average_pool, 1),
    ],
)
def test_derivatives_by_finite_differences(kind, strides):
    with jax.enable_x64(True):
        x = np.random.default_rng(0).permutation(72).reshape(2, 6, 6, 1) / 10
        pool = jax.jit(lambda x: jnp.sin(kind(x, 2, strides=strides, padding="same")))
        check_grads(pool, (x,), order=2, modes=["fwd", "rev"], eps=1e-3)


@pytest.mark.parametrize("kind", [max_pool, average_pool])
def test_long_windows_are_left_to_xla_with_the_same_result(kind):
    x = np.random.default_rng(0).normal(size=(2, 140, 3)).astype(np.float32)
    y, gradient = by_loop(kind, x, (70,), (70,), "valid", lambda position: 1)
    np.testing.assert_allclose(kind(jnp.asarray(x), 70), y, rtol=1e-5)
    actual = jax.grad(lambda x: jnp.sum(kind(x, 70)))(jnp.asarray(x))
    np.testing.assert_allclose(actual, gradient, rtol=1e-5)


@pytest.mark.parametrize("strides", [1, 2])
def test_not_a_number_wins_the_maximum_wherever_it_stands(strides):
    for place in range(4):
        x = jnp.arange(8.0).reshape(1, 8, 1).at[0, place].set(jnp.nan)
        covered = np.isnan(np.asarray(max_pool(x, 2, strides=strides))[0, :, 0])
        starts = np.arange(len(covered)) * strides
        assert covered.tolist() == ((starts <= place) & (place < starts + 2)).tolist()


def test_mapped_eager_and_jitted_agree_and_the_second_call_traces_nothing():
    x = jnp.asarray(np.random.default_rng(0).normal(size=(3, 2, 5, 5, 2)).astype(np.float32))
    traces = []

    @jax.jit
    def gradient(x):
        traces.append(1)
        return jax.grad(lambda x: jnp.sum(max_pool(x, 2, padding="same") ** 2))(x)

    one_by_one = jnp.stack([gradient(image) for image in x])
    assert len(traces) == 1
    np.testing.assert_allclose(jax.vmap(gradient)(x), one_by_one, rtol=1e-6)
    with jax.disable_jit():
        np.testing.assert_allclose(gradient(x[0]), one_by_one[0], rtol=1e-6)


def test_on_a_cpu_nothing_of_the_choice_is_left_and_elsewhere_xla_reduces():
    x = jax.ShapeDtypeStruct((2, 8, 8, 3), "float32")

    def loop(x):
        step = jax.grad(lambda x: jnp.sum(max_pool(x, 2) ** 2))
        return jax.lax.while_loop(lambda c: c[0] < 3, lambda c: (c[0] + 1, step(c[1])), (0, x))

    traced = jax.jit(loop).trace(x)
    on_gpu = traced.lower(lowering_platforms=("cuda",)).as_text()
    assert "reduce_window" in on_gpu and "select_and_scatter" in on_gpu
    on_cpu = traced.lower().compile().as_text()
    for absent in ("reduce-window", "select-and-scatter", "conditional"):
        assert absent not in on_cpu


def test_integers_have_maxima_and_16_bit_means_are_summed_in_32():
    x = jnp.asarray([[[-3], [-7], [-2]]], jnp.int32)
    assert max_pool(x, 2, padding="same")[0, :, 0].tolist() == [-3, -2]
    ones = jnp.ones((1, 300, 1), jnp.bfloat16)
    assert float(average_pool(ones, 300)[0, 0, 0]) == 1


def test_a_window_larger_than_the_image_is_named():
    with pytest.raises(ShapeError, match=r"window is larger(.|\n)*\(3,\)"):
        max_pool(jnp.ones((1, 2, 1)), 3)
