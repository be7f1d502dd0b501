"""The kernels on AMX tiles, beside float64, on tiles that are emulated where there are none.

Which tiles a process uses is settled when it loads the library, so most of these run in another.
"""

import functools
import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from nacre.core.dtypes import DTypePolicy, in_precision
from nacre.kernels import (
    bfloat16_units,
    convolution,
    linear,
    native_convolution as native,
    portable,
    selection,
)
from nacre.kernels.geometry import Geometry

tiles = pytest.mark.skipif(not selection.native().tiles, reason="no tiles are in use")
precisions = pytest.mark.parametrize("precision", ["bfloat16", "bf16x3"])


@pytest.mark.skipif(
    bool(selection.native().tiles), reason="the tiles in use are tested by the others here"
)
def test_in_a_process_with_emulated_tiles():
    environment = {**os.environ, "NACRE_KERNELS": "amx-emulated"}
    script = "from nacre.kernels import bfloat16_units; print(bfloat16_units())"
    found = subprocess.check_output([sys.executable, "-c", script], env=environment, text=True)
    if "emulated" not in found:
        pytest.skip("this processor, or the compiler, lacks what packs the tiles")
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
    """What the kernels are given: numbers of bfloat16, or any."""
    numbers = normal(*shape, seed=seed)
    return np.asarray(jnp.asarray(numbers, "bfloat16"), "f") if precision == "bfloat16" else numbers


def assert_close(actual, exact):
    scale = max(np.abs(exact).max(initial=0), 1e-6)
    np.testing.assert_allclose(actual / scale, exact / scale, rtol=0, atol=2e-5)


@tiles
@settings(max_examples=20, deadline=None)
@given(
    st.tuples(*[st.sampled_from([1, 15, 16, 33, 64, 100, 257])] * 2),
    st.sampled_from([1, 15, 32, 33, 100, 513, 2100]),
    *[st.booleans()] * 2,
    st.sampled_from(["bfloat16", "bf16x3"]),
)
def test_products_of_matrices(size, depth, a_transposed, b_transposed, precision):
    rows, columns = size
    a, b = operand(precision, rows, depth), operand(precision, depth, columns, seed=1)
    product = jax.jit(
        functools.partial(
            selection.call,
            "product",
            jax.ShapeDtypeStruct((rows, columns), jnp.float32),
            a_transposed=a_transposed,
            b_transposed=b_transposed,
            parts=selection.PARTS[precision],
        )
    )
    stored = a.T.copy() if a_transposed else a, b.T.copy() if b_transposed else b
    found = product(*stored)
    assert_close(found, a.astype("f8") @ b.astype("f8"))
    np.testing.assert_array_equal(found, product(*stored))


@st.composite
def convolutions(draw):
    """Whatever the tiles serve, and some that they leave to the other kernels."""
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
        draw(st.sampled_from(["bfloat16", "bf16x3"])),
    )
    return draw(st.sampled_from([0, 1, 3, 30])), groups * inputs, groups * outputs, geometry


@tiles
@settings(max_examples=12, deadline=None)
@given(convolutions())
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
    for actual, same, expected in zip(found, again, products(portable, x, kernel, change)):
        assert_close(np.asarray(actual), np.asarray(expected))
        np.testing.assert_array_equal(actual, same)


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


@tiles
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


@tiles
def test_with_64_bits():
    with jax.enable_x64(True), in_precision(DTypePolicy("bf16x3")):
        a = normal(200, 200)
        found = jax.jit(lambda a: linear(a, a))(a)
        assert found.dtype == "float32"
        assert_close(np.asarray(found), a.astype("f8") @ a.astype("f8"))


@tiles
def test_nothing_is_rounded_unless_asked():
    a = normal(200, 200)
    found, exact = jax.jit(linear)(a, a), a.astype("f8") @ a.astype("f8")
    assert np.abs(found - exact).max() < 1e-6 * np.abs(exact).max()
    with in_precision(DTypePolicy("bf16x3")):
        loose = jax.jit(linear)(a, a)
    assert np.abs(loose - exact).max() > np.abs(found - exact).max()


@tiles
def test_relu_keeps_what_is_not_a_number():
    x = jnp.zeros((1, 3, 16)).at[0, :, 0].set(jnp.asarray([jnp.nan, -1.0, 2.0]))
    relu = functools.partial(convolution, activation="relu")
    with in_precision(DTypePolicy("bf16x3")):
        y = jax.jit(relu)(x, jnp.ones((1, 16, 16)))
    np.testing.assert_array_equal(y[0, :, 0], [np.nan, 0, 2])


@tiles
def test_what_serves_is_said():
    assert "AMX" in bfloat16_units()
