"""The native convolution: its values beside the portable form, and every way of calling it."""

import functools
import os
import subprocess
import sys
import threading

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import example, given, settings, strategies as st
from jax.test_util import check_grads

from nacre.core.dtypes import DTypePolicy, in_precision
from nacre.kernels import convolution, native_convolution as native, portable, selection
from nacre.kernels.geometry import Geometry

pytestmark = pytest.mark.skipif(
    selection.native().library is None, reason="there is no native library here"
)


def normal(*shape, seed=0):
    return np.random.default_rng([seed, *shape]).normal(size=shape).astype(np.float32)


def assert_close(actual, expected):
    scale = max(np.abs(expected).max(initial=0), 1e-6)
    np.testing.assert_allclose(actual / scale, expected / scale, rtol=0, atol=2e-5)


@st.composite
def convolutions(draw):
    """An image, a kernel and a geometry of every kind that the native kernels tell apart."""
    rank = draw(st.sampled_from([1, 2, 2]))
    per_axis = functools.partial(st.lists, min_size=rank, max_size=rank)
    window = draw(per_axis(st.integers(1, 5)))
    strides = draw(per_axis(st.integers(1, 3)))
    dilation = draw(per_axis(st.integers(1, 2)))
    padding = draw(per_axis(st.tuples(st.integers(-2, 2), st.integers(-2, 2))))
    quads = rank == 2 and draw(st.integers(0, 3)) == 0
    if quads:
        window, strides, dilation = [3, 3], [1, 1], [1, 1]
    image = []
    for width, step, (before, after) in zip(window, dilation, padding):
        least = max(1, (width - 1) * step + 1 - before - after)
        image.append(least + draw(st.sampled_from([0, 1, 4, 7, 9, 17, 33])))
    if draw(st.integers(0, 9)) == 0:
        image[-1] += 600  # rows longer than a strip
    if quads:
        groups, inputs, outputs = 1, draw(st.sampled_from([32, 64, 80])), 64
    elif draw(st.booleans()):
        groups, inputs = draw(st.sampled_from([2, 16, 37])), draw(st.sampled_from([1, 1, 2, 4, 8]))
        outputs = inputs
    else:
        groups = draw(st.sampled_from([1, 1, 1, 2, 3]))
        inputs = draw(st.sampled_from([1, 2, 3, 6, 8, 15, 16, 17, 24, 33]))
        outputs = draw(st.sampled_from([1, 3, 6, 16, 17, 32, 40, 64, 65, 100]))
    batch = draw(st.sampled_from([0, 1, 2, 30]))
    geometry = Geometry(
        tuple(image),
        tuple(window),
        tuple(strides),
        tuple(padding),
        tuple(dilation),
        (1,) * rank,
        groups,
    )
    return batch, groups * inputs, groups * outputs, geometry


def plain(image, inputs, outputs, window, stride=1, padding=0, groups=1):
    """A case like those drawn, of two images with the same in both directions."""
    sides = ((padding, padding),) * 2
    geometry = Geometry((image,) * 2, (window,) * 2, (stride,) * 2, sides, (1, 1), (1, 1), groups)
    return 2, inputs, outputs, geometry


# What has a kernel of its own because channels are few, in the networks that are known for it.
@settings(max_examples=25, deadline=None)
@given(convolutions())
@example(plain(28, 1, 6, 5, padding=2))  # two pixels of the cotangent abreast; planes
@example(plain(21, 1, 3, 3, stride=2))  # four of them
@example(plain(14, 6, 16, 5))
@example(plain(14, 2, 6, 3, groups=2))
@example(plain(32, 3, 64, 3, padding=1))
@example(plain(37, 3, 64, 7, stride=2, padding=3))
@example((2, 1, 64, Geometry((4200,), (5,), (2,), ((2, 2),), (1,), (1,), 1)))  # a band of columns
@example(plain(32, 16, 16, 3, padding=1))  # tiles of 16 pixels; runs of 48 numbers
@example(plain(23, 32, 24, 3, stride=2, padding=1))
@example(plain(16, 128, 128, 3, padding=1, groups=4))
@example(plain(14, 96, 96, 5, padding=2, groups=96))
@example((30, 1, 16, Geometry((1,), (1,), (2,), ((1, 0),), (1,), (1,), 1)))  # padding alone
def test_the_three_products_are_those_of_the_portable_form(case):
    batch, inputs, outputs, geometry = case
    x = normal(batch, *geometry.image, inputs)
    kernel = normal(*geometry.window, inputs // geometry.groups, outputs)
    change = normal(batch, *geometry.output, outputs, seed=1)

    @functools.partial(jax.jit, static_argnums=0)
    def products(form, x, kernel, change):
        return (
            form.convolve(x, kernel, geometry),
            form.input_gradient(change, kernel, geometry),
            form.kernel_gradient(x, change, geometry),
        )

    found = products(native, x, kernel, change)
    again = products(native, x, kernel, change)
    for actual, same, expected in zip(found, again, products(portable, x, kernel, change)):
        assert_close(np.asarray(actual), np.asarray(expected))
        np.testing.assert_array_equal(actual, same)


# image with batch and channels, kernel, options
KINDS = {
    "dense": ((2, 7, 6, 17), (3, 3, 17, 20), {"padding": "same"}),
    "few channels": ((2, 9, 8, 3), (3, 3, 3, 5), {"strides": 2}),
    "depthwise": ((2, 7, 6, 18), (3, 3, 1, 18), {"groups": 18, "padding": "same"}),
    "small groups": ((2, 7, 6, 36), (3, 3, 4, 36), {"groups": 9, "padding": "same"}),
    "grouped": ((2, 7, 6, 32), (2, 2, 16, 6), {"groups": 2, "dilation": 2}),
    "sequence": ((2, 20, 16), (3, 16, 5), {"padding": "causal"}),
}
kinds = pytest.mark.parametrize("kind", KINDS)


def plainly(x, kernel, bias, relu, **options):
    y = convolution(x, kernel, **options)
    y = y + bias.reshape((1,) * (y.ndim - 1) + bias.shape)
    return jax.nn.relu(y) if relu else y


def arrays(kind, seed=0):
    x, kernel, options = KINDS[kind]
    return normal(*x, seed=seed), normal(*kernel, seed=seed), normal(kernel[-1], seed=seed), options


@kinds
@pytest.mark.parametrize("relu", [False, True])
def test_bias_and_activation_in_the_same_pass(kind, relu):
    x, kernel, bias, options = arrays(kind)

    def value_and_gradients(convolve):
        y, transpose = jax.vjp(convolve, x, kernel, bias)
        return y, *transpose(jnp.cos(y))

    activation = "relu" if relu else None
    at_once = functools.partial(convolution, activation=activation, **options)
    apart = functools.partial(plainly, relu=relu, **options)
    found = jax.jit(value_and_gradients, static_argnums=0)(at_once)
    for actual, expected in zip(found, jax.jit(value_and_gradients, static_argnums=0)(apart)):
        assert_close(actual, expected)


def test_relu_keeps_what_is_not_a_number_and_is_flat_at_zero():
    x = jnp.asarray([[[np.nan], [-1.0], [0.0], [2.0]]])
    relu = functools.partial(convolution, activation="relu")
    kernel, bias = jnp.ones((1, 1, 1)), jnp.zeros(1)
    np.testing.assert_array_equal(relu(x, kernel, bias)[0, :, 0], [np.nan, 0, 0, 2])
    gradient = jax.grad(lambda x: jnp.sum(relu(x, kernel, bias)))(x)
    np.testing.assert_array_equal(gradient[0, 1:, 0], [0, 0, 1])


@kinds
def test_second_derivatives_and_forward_mode(kind):
    x, kernel, bias, options = arrays(kind)

    def smooth(x, kernel, bias):
        return jnp.sum(jnp.sin(0.1 * convolution(x, kernel, bias, **options)))

    compiled = jax.jit(smooth)
    check_grads(compiled, (x, kernel, bias), order=2, modes=["rev"], atol=0.05, rtol=0.05)
    check_grads(compiled, (x, kernel, bias), order=1, modes=["fwd"], atol=0.05, rtol=0.05)


@kinds
def test_a_gradient_of_a_gradient_through_relu(kind):
    x, kernel, bias, options = arrays(kind)

    def penalty(convolve, kernel):
        slope = jax.grad(lambda x: jnp.sum(convolve(x, kernel, bias) ** 2))(x)
        return jnp.sum(slope**2)

    at_once = functools.partial(convolution, activation="relu", **options)
    apart = functools.partial(plainly, relu=True, **options)
    gradient = jax.jit(jax.grad(penalty, argnums=1), static_argnums=0)
    assert_close(gradient(at_once, kernel), gradient(apart, kernel))


@kinds
@pytest.mark.parametrize("axes", [(0, None, None), (None, 0, 0), (0, 0, None)], ids=str)
def test_mapped_over_images_kernels_and_both(kind, axes):
    x_shape, kernel_shape, options = KINDS[kind]
    shapes = x_shape, kernel_shape, kernel_shape[-1:]
    operands = [normal(*(3,) * (a is not None), *s) for a, s in zip(axes, shapes)]

    def value_and_gradients(*operands):
        convolve = functools.partial(convolution, activation="relu", **options)
        y, transpose = jax.vjp(convolve, *operands)
        return y, *transpose(jnp.cos(y))

    mapped = jax.jit(jax.vmap(value_and_gradients, axes))(*operands)
    one = jax.jit(value_and_gradients)
    for index in range(3):
        picked = [o if a is None else o[index] for o, a in zip(operands, axes)]
        for actual, expected in zip(mapped, one(*picked)):
            assert_close(actual[index], expected)


@kinds
def test_inside_loops_branches_and_rematerialised(kind):
    x, kernel, bias, options = arrays(kind)
    convolve = functools.partial(convolution, activation="relu", **options)

    def loss(kernel):
        return jnp.mean(convolve(x, kernel, bias) ** 2)

    def scanned(kernel):
        return jax.lax.scan(lambda total, b: (total + b * loss(kernel), None), 0.0, jnp.ones(3))[0]

    def looped(kernel):
        return jax.lax.while_loop(
            lambda c: c[0] < 3, lambda c: (c[0] + 1, c[1] + loss(kernel)), (0, jnp.float32(0))
        )[1]

    def branched(kernel):
        return 3 * jax.lax.cond(kernel[0, 0].sum() < 1e9, loss, lambda k: jnp.float32(0), kernel)

    once = 3 * np.asarray(jax.jit(loss)(kernel))
    gradient = 3 * np.asarray(jax.jit(jax.grad(loss))(kernel))
    assert_close(jax.jit(looped)(kernel), once)
    for wrapped in (scanned, branched, lambda k: 3 * jax.checkpoint(loss)(k)):
        value, slope = jax.jit(jax.value_and_grad(wrapped))(kernel)
        assert_close(value, once)
        assert_close(slope, gradient)


@pytest.mark.parametrize("outputs", [40, 64])
def test_calls_from_several_threads_at_once(outputs):
    x, kernel = normal(8, 16, 16, 64), normal(3, 3, 64, outputs)

    @jax.jit
    def products(x, kernel):
        y, transpose = jax.vjp(convolution, x, kernel)
        return y, *transpose(y)

    expected = [np.asarray(a) for a in products(x, kernel)]
    wrong = []

    def repeat():
        for _ in range(10):
            for actual, same in zip(products(x, kernel), expected):
                if not np.array_equal(actual, same):
                    wrong.append(threading.current_thread().name)

    threads = [threading.Thread(target=repeat) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


ELSEWHERE = """
import jax, numpy as np
from nacre.kernels import convolution, in_use
rng = np.random.default_rng(0)
x, kernel = (rng.normal(size=s).astype(np.float32) for s in ((2, 9, 9, 20), (3, 3, 20, 24)))
y, transpose = jax.vjp(lambda x, k: convolution(x, k, padding="same"), x, kernel)
wide = jax.vjp(lambda x, k: convolution(x, k, padding="same"), x.astype("f8"), kernel.astype("f8"))
assert y.dtype == np.float32, y.dtype
for narrow, exact in zip((y, *transpose(y)), (wide[0], *wide[1](wide[0]))):
    assert np.abs(narrow - exact).max() < 1e-4 * np.abs(exact).max()
print(wide[0].dtype, in_use()["reason"])
"""


@pytest.mark.parametrize(
    ("setting", "printed"),
    [
        ("JAX_ENABLE_X64=1", "float64 compiled C++"),
        ("NACRE_KERNELS=avx2", "compiled C++ for AVX2"),
        ("NACRE_KERNELS=off", "NACRE_KERNELS=off"),
    ],
)
def test_in_a_process_with_other_settings(setting, printed):
    name, value = setting.split("=")
    program = [sys.executable, "-c", ELSEWHERE]
    found = subprocess.run(
        program, env={**os.environ, name: value}, capture_output=True, text=True, check=False
    )
    assert found.returncode == 0, found.stderr
    assert printed in found.stdout


def test_an_infinity_reaches_the_outputs_of_small_windows_that_see_it():
    x = normal(2, 16, 16, 64)
    x[0, 4, 7, 3] = np.inf
    y = np.asarray(jax.jit(functools.partial(convolution, padding="same"))(x, normal(3, 3, 64, 64)))
    expected = np.zeros(y.shape, bool)
    expected[0, 3:6, 6:9] = True
    np.testing.assert_array_equal(~np.isfinite(y), expected)
    assert np.isnan(y).any()  # differences are taken of what four outputs see


@pytest.mark.parametrize(
    ("image", "inputs", "outputs", "padding"),
    [
        ((3, 15, 17), 64, 128, (1, 1)),  # quads that the edge cuts, two panels of outputs
        ((30, 5, 7), 192, 64, (2, 0)),
        ((9, 9, 8), 32, 64, (0, 2)),  # forward only: the image has too few channels
        ((16, 6, 6), 256, 576, (1, 1)),  # a kernel that is taken in pieces
        ((18, 5, 4), 512, 64, (1, 1)),  # one of which a task transforms its part
        ((150, 8, 8), 320, 64, (1, 1)),  # the same, with blocks of squares
    ],
)
@pytest.mark.parametrize(("precision", "most"), [("float32", 3e-6), ("bf16x3", 3e-5)])
def test_small_windows_by_fewer_multiplications_are_as_exact(
    image, inputs, outputs, padding, precision, most
):
    x, kernel = normal(*image, inputs), normal(3, 3, inputs, outputs)
    convolve = jax.jit(functools.partial(convolution, padding=(padding, padding)))
    with in_precision(DTypePolicy(precision)):
        y, transpose = jax.vjp(convolve, x, kernel)
        change = normal(*y.shape, seed=1)
        found = y, *transpose(change)
    with jax.enable_x64(True):
        numbers = [jnp.asarray(np.asarray(array), jnp.float64) for array in (x, kernel, change)]
        plain = functools.partial(
            jax.lax.conv_general_dilated,
            window_strides=(1, 1),
            padding=(padding, padding),
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
        )
        exact, exact_transpose = jax.vjp(plain, *numbers[:2])
        expected = exact, *exact_transpose(numbers[2])
    for actual, wanted in zip(found, expected):
        error = np.abs(np.asarray(actual) - np.asarray(wanted)).max() / np.abs(wanted).max()
        assert error < most
