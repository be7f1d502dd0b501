"""Products made of bfloat16 numbers, beside exact ones: in AVX-512's registers, and on tiles of
AMX, emulated where there are none.

Which units a process uses is settled when it loads the library, so some of these run in another.
"""

import functools
import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import example, given, settings, strategies as st

from nacre.core.dtypes import DTypePolicy, in_precision
from nacre.kernels import (
    bfloat16_units,
    convolution,
    linear,
    native_convolution as native,
    pooled_convolution,
    portable,
    selection,
)
from nacre.kernels.geometry import Geometry

UNITS = selection.native().bfloat16
PRECISIONS = [*(["bfloat16"] if UNITS else []), *(["bf16x3"] if selection.native().bf16x3 else [])]
units = pytest.mark.skipif(not UNITS, reason="no units for bfloat16 are in use")
three_products = pytest.mark.skipif(
    "bf16x3" not in PRECISIONS, reason="float32's kernels serve bf16x3"
)
precisions = pytest.mark.parametrize("precision", PRECISIONS)


@pytest.mark.skipif(
    os.environ.get("NACRE_KERNELS", "") != "", reason="this process was told what to use"
)
@pytest.mark.parametrize("asked", ["avx512bf16", "amx-emulated"])
def test_in_a_process_with_other_units(asked):
    environment = {**os.environ, "NACRE_KERNELS": asked}
    script = "from nacre.kernels.selection import native; print(native().bfloat16)"
    command = [sys.executable, "-c", script]
    found = subprocess.check_output(command, env=environment, text=True).strip()
    if not found:
        pytest.skip("this processor, or the compiler, lacks what they need")
    if found == UNITS:
        pytest.skip("the other tests here use these")
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", __file__],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout


def normal(*shape, seed=0):
    return np.random.default_rng([seed, *shape]).normal(size=shape).astype(np.float32)


def operand(precision, *shape, seed=0):
    """What the kernels are given: numbers of bfloat16, or of float32."""
    return jnp.asarray(normal(*shape, seed=seed), "bfloat16" if precision == "bfloat16" else "f4")


def exact(a):
    return np.asarray(a, np.float64)


def assert_close(actual, expected):
    """Within what float32's sums lose, and a rounding to bfloat16 where that is the type."""
    unit = 2.0**-8 if actual.dtype == jnp.bfloat16 else 0
    expected = exact(expected)
    allowed = unit * np.abs(expected) + 2e-5 * max(np.abs(expected).max(initial=0), 1e-6)
    assert np.all(np.abs(exact(actual) - expected) <= allowed)


@units
@settings(max_examples=20, deadline=None)
@given(
    st.tuples(*[st.sampled_from([1, 15, 16, 33, 64, 100, 257])] * 2),
    st.sampled_from([1, 15, 32, 33, 100, 513, 2100]),
    *[st.booleans()] * 3,
    st.sampled_from(PRECISIONS or [None]),
)
def test_products_of_matrices(size, depth, a_transposed, b_transposed, rounded, precision):
    rows, columns = size
    a, b = operand(precision, rows, depth), operand(precision, depth, columns, seed=1)
    unrounded = precision == "bfloat16" and not rounded
    product = jax.jit(
        functools.partial(
            selection.call,
            "sums" if unrounded else "product",
            jax.ShapeDtypeStruct((rows, columns), "float32" if unrounded else a.dtype),
            a_transposed=a_transposed,
            b_transposed=b_transposed,
            bf16x3=precision == "bf16x3",
        )
    )
    stored = a.T if a_transposed else a, b.T if b_transposed else b
    found = product(*stored)
    assert_close(found, exact(a) @ exact(b))
    np.testing.assert_array_equal(found, product(*stored))


@st.composite
def convolutions(draw):
    """Whatever the units serve, and some that they leave to the other kernels."""
    if draw(st.integers(0, 3)) == 0:
        return draw(by_squares())
    pairs = functools.partial(st.lists, min_size=2, max_size=2)
    window, strides = draw(pairs(st.integers(1, 3))), draw(pairs(st.integers(1, 3)))
    dilation = draw(pairs(st.integers(1, 2)))
    padding = draw(pairs(st.tuples(st.integers(-1, 2), st.integers(-1, 2))))
    image = []
    for width, step, (before, after) in zip(window, dilation, padding):
        least = max(1, (width - 1) * step + 1 - before - after)
        image.append(least + draw(st.integers(0, 8)))
    groups = draw(st.sampled_from([1, 1, 1, 1, 2]))
    inputs, outputs = (draw(st.sampled_from([8, 16, 17, 33, 70])) for _ in range(2))
    if draw(st.integers(0, 9)) == 0:
        inputs = 520  # deeper than a piece
    geometry = Geometry(
        *map(tuple, (image, window, strides, padding, dilation)),
        (1, 1),
        groups,
        draw(st.sampled_from(PRECISIONS or ["bfloat16"])),
    )
    return draw(st.sampled_from([0, 1, 3, 30])), groups * inputs, groups * outputs, geometry


def squares(batch, inputs, outputs, image, *padding):
    """Windows of 3 x 3 over enough pixels to be convolved by squares of outputs."""
    ones = (1, 1)
    geometry = Geometry(
        image, (3, 3), ones, padding, ones, ones, 1, (PRECISIONS or ["bfloat16"])[0]
    )
    return batch, inputs, outputs, geometry


@st.composite
def by_squares(draw):
    padding = [(draw(st.integers(-1, 2)), draw(st.integers(-1, 2))) for _ in range(2)]
    image = tuple(draw(st.integers(6, 13)) for _ in range(2))
    inputs, outputs = draw(st.sampled_from([32, 48])), draw(st.sampled_from([32, 64, 96, 128]))
    return squares(draw(st.integers(8, 30)), inputs, outputs, image, *padding)


@units
@settings(max_examples=16, deadline=None)
@given(convolutions())
@example(squares(30, 64, 64, (8, 8), (1, 1), (1, 1)))  # whole squares, both gradients too
@example(squares(30, 64, 32, (9, 11), (1, 1), (1, 1)))  # some partly beside the image
def test_the_three_products_of_a_convolution(case):
    batch, inputs, outputs, geometry = case
    make = functools.partial(operand, geometry.precision)
    x = make(batch, *geometry.image, inputs)
    kernel = make(*geometry.window, inputs // geometry.groups, outputs)
    change = make(batch, *geometry.output, outputs, seed=1)

    @functools.partial(jax.jit, static_argnums=0)
    def products(form, x, kernel, change):
        return (
            form.convolve(x, kernel, geometry),
            form.input_gradient(change, kernel, geometry),
            form.kernel_gradient(x, change, geometry),
        )

    found = products(native, x, kernel, change)
    again = products(native, x, kernel, change)
    wide = [a.astype("float32") for a in (x, kernel, change)]
    for actual, same, expected in zip(found, again, products(portable, *wide)):
        assert actual.dtype == x.dtype
        assert_close(actual, expected)
        np.testing.assert_array_equal(actual, same)


POOLED = {  # inputs, outputs, image, window, pool
    "squares": (32, 64, (10, 12), 3, 2),
    "some images at a time": (17, 32, (9, 9), 3, 2),
    "one by one": (20, 16, (7, 8), 1, 3),
    "few channels": (3, 32, (9, 10), 3, 2),
    "odd channels": (16, 20, (8, 8), 3, 2),
}


@units
@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("case", POOLED)
def test_convolution_and_pool(case, relu):
    inputs, outputs, image, window, pool = POOLED[case]
    x = operand("bfloat16", 24, *image, inputs)
    kernel = operand("bfloat16", window, window, inputs, outputs)
    bias = operand("bfloat16", outputs)
    at = {"pool_size": pool, "activation": "relu" if relu else None}

    def pooled(x, kernel, bias):
        return pooled_convolution.convolution_max_pool(x, kernel, bias, **at)

    def windows(x, kernel, bias):
        y = convolution(x, kernel, bias, activation=at["activation"])
        n, height, width, channels = y.shape
        height, width = height // pool, width // pool
        y = y[:, : height * pool, : width * pool].reshape(n, height, pool, width, pool, channels)
        return y.transpose(0, 1, 3, 5, 2, 4).reshape(n, height, width, channels, pool**2)

    y, transpose = jax.vjp(jax.jit(pooled), x, kernel, bias)
    wide = [a.astype("float32") for a in (x, kernel, bias)]
    expected, transpose_apart = jax.vjp(lambda *a: windows(*a).max(-1), *wide)
    assert y.dtype == jnp.bfloat16
    assert_close(y, expected)
    # Which of two that round to the same number is the greater, nobody can say.
    second, first = np.moveaxis(np.sort(windows(*wide), -1)[..., -2:], -1, 0)
    decided = (first - second > 2.0**-6 * np.abs(first)) & (np.abs(first) > 1e-3)
    assert decided.mean() > 0.5
    change = jnp.where(decided, operand("bfloat16", *y.shape, seed=1), 0)
    for found, gradient in zip(transpose(change), transpose_apart(change.astype("float32"))):
        assert_close(found, gradient)


FUNCTIONS = {
    "product": (linear, (130, 140), (140, 150)),
    "convolution": (functools.partial(convolution, padding="same"), (2, 7, 8, 17), (3, 3, 17, 20)),
    "with bias": (
        functools.partial(convolution, activation="relu", strides=2),
        *((2, 7, 8, 17), (3, 3, 17, 20), (20,)),
    ),
    "sequence": (convolution, (2, 20, 16), (3, 16, 33)),
}
functions = pytest.mark.parametrize("name", FUNCTIONS)


@units
@precisions
@functions
def test_every_way_of_calling_them(name, precision):
    """Gradients, mapped, and in a loop."""
    function, *shapes = FUNCTIONS[name]
    operands = [jnp.asarray(operand(precision, *s, seed=i)) for i, s in enumerate(shapes)]

    def several(x, *others):
        def near(x):
            return function(x, *others)

        y, transpose = jax.vjp(function, x, *others)
        images = jnp.stack([x, 2 * x])
        tangent = jax.jvp(near, (x,), (x,))[1]
        looped = jax.lax.scan(lambda total, x: (total + near(x), None), jnp.zeros_like(y), images)
        return y, *transpose(y), jax.vmap(near)(images), looped[0], tangent

    expected = jax.jit(several)(*operands)
    policy = "bf16x3" if precision == "bf16x3" else "float32"
    with in_precision(DTypePolicy(policy)):
        if precision == "bfloat16":
            operands = [a.astype("bfloat16") for a in operands]
        found = jax.jit(several)(*operands)
    for actual, exact in zip(found, expected):
        scale = float(jnp.abs(exact).max())
        close = 5e-5 if precision == "bf16x3" else 0.03
        np.testing.assert_allclose(actual / scale, exact / scale, rtol=0, atol=close)


@units
@precisions
def test_with_64_bits(precision):
    policy = "bf16x3" if precision == "bf16x3" else "float32"
    with jax.enable_x64(True), in_precision(DTypePolicy(policy)):
        a = operand(precision, 200, 200)
        found = jax.jit(lambda a: linear(a, a))(a)
        assert found.dtype == a.dtype
        assert_close(found, exact(a) @ exact(a))


@units
def test_nothing_is_rounded_unless_asked():
    a = normal(200, 200)
    found, sums = jax.jit(linear)(a, a), exact(a) @ exact(a)
    assert np.abs(found - sums).max() < 1e-6 * np.abs(sums).max()
    with in_precision(DTypePolicy("bf16x3")):
        loose = jax.jit(linear)(a, a)
    error = np.abs(loose - sums).max()
    assert (
        error > np.abs(found - sums).max() if selection.native().bf16x3 else (loose == found).all()
    )


@three_products
def test_relu_keeps_what_is_not_a_number():
    x = jnp.zeros((1, 3, 16)).at[0, :, 0].set(jnp.asarray([jnp.nan, -1.0, 2.0]))
    relu = functools.partial(convolution, activation="relu")
    with in_precision(DTypePolicy("bf16x3")):
        y = jax.jit(relu)(x, jnp.ones((1, 16, 16)))
    np.testing.assert_array_equal(y[0, :, 0], [np.nan, 0, 2])


@units
def test_numbers_too_small_count_as_zero_and_others_are_kept():
    """As the processor's own product has it."""
    a = jnp.full((256, 256), 1e-39, "bfloat16")
    b = jnp.full((256, 256), 1e30, "bfloat16")
    assert float(jax.jit(linear)(a, b).max()) == 0
    special = jnp.eye(256, dtype="bfloat16").at[0, 0].set(jnp.inf).at[1, 1].set(jnp.nan)
    y = jax.jit(linear)(special, jnp.ones((256, 256), "bfloat16"))
    assert np.isinf(float(y[0, 5])) and np.isnan(float(y[1, 5])) and float(y[2, 5]) == 1


@units
def test_what_serves_is_said():
    assert bfloat16_units()["bfloat16"] == UNITS
