"""The convolution kernel: values, derivatives of every kind, mapping, lowering."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st
from jax.test_util import check_grads

from nacre.core.errors import ArgumentError, ShapeError
from nacre.kernels import convolution, convolution_transpose, selection
from nacre.kernels.geometry import padding_amounts


def normal(*shape, seed=0, dtype=np.float32):
    return np.random.default_rng([seed, *shape]).normal(size=shape).astype(dtype)


def by_torch(x, kernel, strides, padding, dilation, groups):
    """The same by PyTorch, which has channels first and pads explicitly."""
    rank = x.ndim - 2
    amounts = padding_amounts(padding, x.shape[1:-1], kernel.shape[:-2], strides, dilation)
    x = torch.nn.functional.pad(
        torch.movedim(x, -1, 1), [n for pair in reversed(amounts) for n in pair]
    )
    convolve = getattr(torch.nn.functional, f"conv{rank}d")
    weight = torch.movedim(kernel, (-1, -2), (0, 1))
    y = convolve(x, weight, stride=strides, dilation=dilation, groups=groups)
    return torch.movedim(y, 1, -1)


@st.composite
def configurations(draw):
    rank = draw(st.sampled_from([1, 2, 2, 3]))
    per_axis = functools.partial(st.lists, min_size=rank, max_size=rank)
    window = draw(per_axis(st.integers(1, 3)))
    strides = draw(per_axis(st.integers(1, 3)))
    dilation = draw(per_axis(st.integers(1, 2)))
    reach = [(w - 1) * d + 1 for w, d in zip(window, dilation)]
    image = [r + draw(st.integers(0, 4)) for r in reach]
    padding = draw(st.sampled_from(["valid", "same"] + ["causal"] * (rank == 1)))
    groups = draw(st.sampled_from([1, 1, 2, 3, 6]))
    inputs, outputs = draw(st.integers(1, 3)), draw(st.sampled_from([1, 2, 5]))
    batch = draw(st.integers(1, 3))
    shapes = (batch, *image, groups * inputs), (*window, inputs, groups * outputs)
    return shapes, {
        "strides": tuple(strides),
        "padding": padding,
        "dilation": tuple(dilation),
        "groups": groups,
    }


@settings(max_examples=20, deadline=None, derandomize=True)
@given(configurations())
def test_value_and_gradients_are_those_of_pytorch(configuration):
    shapes, options = configuration
    x, kernel = (normal(*shape) for shape in shapes)

    @jax.jit
    def everything(x, kernel, seed):
        y, transpose = jax.vjp(lambda x, k: convolution(x, k, **options), x, kernel)
        change = jnp.sin(seed + jnp.arange(y.size, dtype=jnp.float32)).reshape(y.shape)
        return y, change, *transpose(change)

    y, change, x_gradient, kernel_gradient = everything(x, kernel, 0.0)
    tx, tk = (torch.tensor(a, requires_grad=True) for a in (x, kernel))
    expected = by_torch(tx, tk, **options)
    expected.backward(torch.tensor(np.asarray(change)))
    np.testing.assert_allclose(y, expected.detach(), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(x_gradient, tx.grad, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(kernel_gradient, tk.grad, rtol=1e-5, atol=1e-4)


KINDS = {
    "plain": ((2, 6, 5, 2), (3, 2, 2, 3), {"strides": (2, 1), "padding": "same"}),
    "dilated": ((2, 9, 2), (3, 2, 2), {"dilation": 2, "padding": "causal"}),
    "depthwise": ((2, 5, 5, 3), (2, 2, 1, 6), {"groups": 3}),
    "grouped": ((1, 5, 5, 4), (2, 2, 2, 10), {"groups": 2, "strides": 2}),
    "deep": ((1, 4, 4, 4, 2), (2, 2, 2, 2, 2), {"strides": 2, "padding": "same"}),
}
LONGER = [pytest.param(kind, marks=pytest.mark.slow) for kind in ("depthwise", "grouped", "deep")]


@pytest.mark.parametrize("kind", ["plain", "dilated", *LONGER])
def test_first_and_second_derivatives_by_finite_differences(kind):
    x_shape, kernel_shape, options = KINDS[kind]
    with jax.enable_x64(True):
        x, kernel = (normal(*s, dtype=np.float64) for s in (x_shape, kernel_shape))
        convolve = jax.jit(lambda x, k: jnp.sin(convolution(x, k, **options)))
        check_grads(convolve, (x, kernel), order=2, modes=["rev"])
        check_grads(convolve, (x, kernel), order=1, modes=["fwd"])


@pytest.mark.parametrize("kind", ["plain", "grouped", *LONGER[::2], "dilated"])
@pytest.mark.parametrize("axes", [(0, None), (None, 1), (-1, 0)], ids=str)
def test_mapping_is_a_loop_over_the_mapped_axis(kind, axes):
    x_shape, kernel_shape, options = KINDS[kind]
    shapes = list(x_shape), list(kernel_shape)
    for shape, axis in zip(shapes, axes):
        if axis is not None:
            shape.insert(axis % (len(shape) + 1), 3)
    x, kernel = (normal(*shape) for shape in shapes)

    def value_and_gradients(x, k):
        y, transpose = jax.vjp(lambda x, k: convolution(x, k, **options), x, k)
        return y, *transpose(jnp.cos(y))

    def one(index):
        picked = [
            a if axis is None else jnp.take(a, index, axis) for a, axis in zip((x, kernel), axes)
        ]
        return value_and_gradients(*picked)

    mapped = jax.jit(jax.vmap(value_and_gradients, axes))(x, kernel)
    looped = jax.jit(lambda indices: jax.lax.map(one, indices))(jnp.arange(3))
    for a, b in zip(mapped, looped):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)


def test_eager_jitted_and_inside_a_loop_are_the_same():
    x, kernel = normal(2, 6, 6, 3), normal(3, 3, 3, 4)
    eager = convolution(jnp.asarray(x), jnp.asarray(kernel), padding="same")

    @jax.jit
    def looped(x, kernel):
        def step(total, k):
            return total + convolution(x, k, padding="same"), None

        return (
            jax.lax.scan(step, jnp.zeros((2, 6, 6, 4), jnp.float32), jnp.stack([kernel, kernel]))[0]
            / 2
        )

    jitted = jax.jit(functools.partial(convolution, padding="same"))
    np.testing.assert_allclose(jitted(x, kernel), eager, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(looped(x, kernel), eager, rtol=1e-6, atol=1e-6)


def test_a_second_call_compiles_nothing(caplog):
    x, kernel = jnp.asarray(normal(2, 7, 2)), jnp.asarray(normal(3, 2, 2))
    gradient = jax.grad(lambda k: jnp.sum(convolution(x, k)))
    gradient(kernel)
    with jax.log_compiles(), caplog.at_level("WARNING"):
        gradient(kernel + 1)
    assert not [r for r in caplog.records if "convolution" in r.getMessage()]


def test_other_platforms_get_the_convolution_of_xla():
    x, kernel = (
        jax.ShapeDtypeStruct((2, 8, 8, 4), "float32"),
        jax.ShapeDtypeStruct((3, 3, 4, 4), "float32"),
    )
    loss = jax.grad(lambda x, k: jnp.sum(convolution(x, k) ** 2), (0, 1))
    traced = jax.jit(loss).trace(x, kernel)
    on_gpu = traced.lower(lowering_platforms=("cuda",)).as_text()
    on_cpu = traced.lower(lowering_platforms=("cpu",)).as_text()
    assert on_gpu.count("stablehlo.convolution") == 3 and "dot_general" not in on_gpu
    if selection.native().library is None:
        assert on_cpu.count("stablehlo.convolution") == 2 and "dot_general" in on_cpu
    else:
        assert on_cpu.count("@nacre_convolution") == 3 and "nacre" not in on_gpu


def test_16_bit_numbers_are_summed_in_32():
    ones = jnp.ones((1, 300, 1), jnp.bfloat16), jnp.ones((300, 1, 1), jnp.bfloat16)
    assert float(convolution(*ones)[0, 0, 0]) == 300  # summed in bfloat16, it would stop at 256
    gradient = jax.grad(lambda k: convolution(jnp.ones((1, 300, 1), jnp.bfloat16), k).sum())
    assert gradient(jnp.ones((1, 1, 1), jnp.bfloat16)).dtype == jnp.bfloat16


def test_a_kernel_shared_by_devices_gets_the_sum_of_their_gradients():
    x, kernel = normal(4, 6, 2), normal(3, 2, 2)
    mesh = jax.make_mesh((2,), ("batch",), axis_types=(jax.sharding.AxisType.Auto,))
    split, whole = jax.sharding.PartitionSpec("batch"), jax.sharding.PartitionSpec()

    def gradient(x, kernel):
        return jax.grad(lambda k: jnp.sum(convolution(x, k) ** 2))(kernel)

    shared = jax.jit(jax.shard_map(gradient, mesh=mesh, in_specs=(split, whole), out_specs=whole))(
        x, kernel
    )
    np.testing.assert_allclose(shared, gradient(x, kernel), rtol=1e-5)


@pytest.mark.parametrize("groups", [1, 2])
def test_an_empty_batch_gives_an_empty_result(groups):
    x, kernel = jnp.zeros((0, 6, 6, 2)), jnp.ones((3, 3, 2 // groups, 4))
    gradient = jax.grad(lambda k: jnp.sum(convolution(x, k, groups=groups)))(kernel)
    assert convolution(x, kernel, groups=groups).shape == (0, 4, 4, 4)
    assert not np.any(gradient)


def test_the_transpose_spreads_outputs_over_images():
    y, kernel = normal(2, 3, 3, 4), normal(2, 2, 3, 4)
    image = convolution_transpose(
        jnp.asarray(y), jnp.asarray(kernel), image=(6, 6), strides=2, padding="same"
    )
    expected = torch.nn.functional.conv_transpose2d(
        torch.movedim(torch.tensor(y), -1, 1),
        torch.movedim(torch.tensor(kernel), (-1, -2), (0, 1)),
        stride=2,
    )
    np.testing.assert_allclose(image, torch.movedim(expected, 1, -1), rtol=1e-5, atol=1e-5)


def test_errors_say_what_does_not_fit():
    x, kernel = jnp.ones((1, 4, 4, 2)), jnp.ones((5, 5, 2, 3))
    with pytest.raises(ShapeError, match=r"window is larger than the image(.|\n)*\(5, 5\)"):
        convolution(x, kernel)
    with pytest.raises(ShapeError, match=r"channels(.|\n)*x with 4 channels"):
        convolution(x, jnp.ones((1, 1, 4, 3)))
    with pytest.raises(ShapeError, match="same 1, 2 or 3 spatial axes"):
        convolution(x, jnp.ones((1, 2, 3)))
    with pytest.raises(TypeError, match=r"float(32|64) and bfloat16"):
        convolution(x, jnp.ones((1, 1, 2, 3), jnp.bfloat16))
    with pytest.raises(ArgumentError, match=r"Unknown padding(.|\n)*'full'"):
        convolution(x, kernel, padding="full")
    with pytest.raises(ShapeError, match=r"not the outputs(.|\n)*\(2, 2\)"):
        convolution_transpose(jnp.ones((1, 3, 3, 3)), jnp.ones((3, 3, 2, 3)), image=(4, 4))
