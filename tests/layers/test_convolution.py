"""Convolution layers: shapes, weights, configurations, and what their errors say."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nacre.core.errors import ArgumentError, ShapeError
from nacre.core.lift import lift
from nacre.layers.convolution import Conv1D, Conv2D, Conv3D, DepthwiseConv2D, SeparableConv2D
from nacre.layers.input import Input

KINDS = {
    Conv1D: ({"filters": 6, "kernel_size": 3}, (2, 9, 4)),
    Conv2D: ({"filters": 6, "kernel_size": (3, 2)}, (2, 9, 8, 4)),
    Conv3D: ({"filters": 6, "kernel_size": 2}, (2, 5, 4, 6, 4)),
    DepthwiseConv2D: ({"kernel_size": 3, "depth_multiplier": 2}, (2, 9, 8, 4)),
    SeparableConv2D: ({"filters": 6, "kernel_size": 3}, (2, 9, 8, 4)),
}
each_kind = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)


def image(*shape):
    return jnp.asarray(np.random.default_rng(0).normal(size=shape).astype(np.float32))


@each_kind
@pytest.mark.parametrize("padding, strides", [("valid", 1), ("same", 2)])
def test_the_inferred_shape_is_the_one_computed(kind, padding, strides):
    options, shape = KINDS[kind]
    layer = kind(**options, padding=padding, strides=strides)
    inferred = layer(Input((None,) * (len(shape) - 2) + shape[-1:])).shape
    y = layer(image(*shape))
    assert inferred == (None,) * (len(shape) - 1) + y.shape[-1:]
    if padding == "same":
        assert y.shape[1:-1] == tuple(-(-size // 2) for size in shape[1:-1])


@each_kind
def test_a_layer_from_its_configuration_computes_the_same(kind):
    options, shape = KINDS[kind]
    layer = kind(**options, activation="relu", padding="same")
    x = image(*shape)
    y = layer(x)
    copy = kind.from_config(layer.get_config())
    copy(x)
    copy.set_weights(layer.get_weights())
    np.testing.assert_array_equal(copy(x), y)


@each_kind
def test_channels_first_is_the_transpose_of_channels_last(kind):
    options, shape = KINDS[kind]
    last, first = kind(**options), kind(**options, data_format="channels_first")
    x = image(*shape)
    y = last(x)
    turned = jnp.moveaxis(x, -1, 1)
    first(turned)
    first.set_weights(last.get_weights())
    np.testing.assert_array_equal(first(turned), jnp.moveaxis(y, -1, 1))


@each_kind
def test_every_weight_gets_a_gradient_when_lifted(kind):
    options, shape = KINDS[kind]
    layer = kind(**options)
    layer(Input(shape[1:]))
    apply, params, state = lift(layer)
    gradients = jax.jit(jax.grad(lambda p: jnp.sum(apply(p, state, image(*shape))[0] ** 2)))(params)
    assert all(np.any(gradient != 0) for path, gradient in gradients.items() if "bias" not in path)


def test_a_causal_output_sees_nothing_later():
    layer = Conv1D(2, 3, padding="causal", dilation_rate=2)
    x = image(1, 8, 1)
    y, changed = layer(x), layer(x.at[0, 5].set(9.0))
    differs = np.any(np.asarray(y != changed)[0], axis=-1)
    assert differs.tolist() == [False] * 5 + [True, False, True]


def test_regularizers_and_a_16_bit_policy():
    layer = Conv2D(2, 3, kernel_regularizer="l2", dtype="mixed_bfloat16")
    x = image(1, 5, 5, 1)
    assert layer(x).dtype == jnp.bfloat16
    apply, params, state = lift(layer)
    penalties = apply(params, state, x)[2]
    assert params["kernel"].dtype == jnp.float32
    np.testing.assert_allclose(penalties[0], 0.01 * jnp.sum(params["kernel"] ** 2), rtol=1e-5)


@each_kind
def test_a_missing_axis_is_named(kind):
    options, shape = KINDS[kind]
    received = rf"shape \({', '.join(map(str, shape[1:]))}\), {len(shape) - 1} axes"
    message = rf"(.|\n)*Expected: \(batch, .*channels\)(.|\n)*{received}(.|\n)*Fix: add the axis"
    with pytest.raises(ShapeError, match=kind.__name__ + message):
        kind(**options)(image(*shape[1:]))


def test_errors_name_the_layer_and_the_fix():
    with pytest.raises(ShapeError, match=r"Conv2D 'conv2d'(.|\n)*at least \(5, 5\)(.|\n)*same"):
        Conv2D(2, 5)(image(1, 4, 4, 1))
    with pytest.raises(ShapeError, match=r"channels that are a multiple of groups=2"):
        Conv2D(4, 2, groups=2)(image(1, 4, 4, 3))
    with pytest.raises(ArgumentError, match=r"multiple of groups=2(.|\n)*filters=3"):
        Conv2D(3, 2, groups=2)
    with pytest.raises(ArgumentError, match=r"Conv2D: padding(.|\n)*did you mean 'same'"):
        Conv2D(3, 2, padding="sane")
    with pytest.raises(ArgumentError, match=r"Conv2D: padding"):
        Conv2D(3, 2, padding="causal")
    with pytest.raises(ArgumentError, match=r"Conv2D: kernel_size(.|\n)*\(3, 3, 3\)"):
        Conv2D(3, (3, 3, 3))
    with pytest.raises(ShapeError, match="built for inputs of another size"):
        layer = Conv1D(2, 2)
        layer(image(1, 4, 3))
        layer(image(1, 4, 2))
