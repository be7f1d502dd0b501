"""Pooling layers: shapes, masks, configurations, and what their errors say."""

import jax.numpy as jnp
import numpy as np
import pytest

from nacre.core.errors import ArgumentError, ShapeError
from nacre.layers import pooling
from nacre.layers.embedding import Embedding
from nacre.layers.input import Input
from nacre.models.sequential import Sequential

SHAPES = {1: (2, 7, 3), 2: (2, 7, 6, 3), 3: (2, 7, 6, 5, 3)}
WINDOWED = [(f"{kind}Pooling{rank}D", rank) for kind in ("Max", "Average") for rank in SHAPES]
GLOBAL = [(f"Global{name}", rank) for name, rank in WINDOWED]


def image(rank):
    return jnp.asarray(np.random.default_rng(0).normal(size=SHAPES[rank]).astype(np.float32))


@pytest.mark.parametrize("name, rank", WINDOWED)
@pytest.mark.parametrize("padding", ["valid", "same"])
def test_the_inferred_shape_is_the_one_computed(name, rank, padding):
    layer = getattr(pooling, name)(2, padding=padding)
    y = layer(image(rank))
    halves = [-(-n // 2) if padding == "same" else n // 2 for n in SHAPES[rank][1:-1]]
    assert y.shape == (2, *halves, 3)
    assert layer(Input((None,) * rank + (3,))).shape == (None,) * (rank + 1) + (3,)
    assert layer(Input(SHAPES[rank][1:])).shape == (None, *y.shape[1:])


@pytest.mark.parametrize("name, rank", GLOBAL)
def test_global_pooling_reduces_all_positions(name, rank):
    x, layer = np.asarray(image(rank)), getattr(pooling, name)()
    reduce = np.max if "Max" in name else np.mean
    expected = reduce(x, axis=tuple(range(1, rank + 1)))
    np.testing.assert_allclose(layer(x), expected, rtol=1e-5, atol=1e-6)
    kept = getattr(pooling, name)(keepdims=True, data_format="channels_first")
    np.testing.assert_allclose(
        kept(np.moveaxis(x, -1, 1)), expected.reshape(2, 3, *[1] * rank), rtol=1e-5, atol=1e-6
    )


@pytest.mark.parametrize("name, rank", [*WINDOWED, *GLOBAL])
def test_a_layer_from_its_configuration_computes_the_same(name, rank):
    options = {} if "Global" in name else {"pool_size": 3, "strides": 2, "padding": "same"}
    layer = getattr(pooling, name)(**options)
    copy = type(layer).from_config(layer.get_config())
    np.testing.assert_array_equal(copy(image(rank)), layer(image(rank)))


def test_the_mean_over_time_skips_masked_steps():
    model = Sequential([Embedding(5, 2, mask_zero=True), pooling.GlobalAveragePooling1D()])
    words = np.array([[1, 2, 0, 0], [3, 4, 1, 2]])
    y = np.asarray(model(words))
    table = model.get_weights()[0]
    np.testing.assert_allclose(y, [table[[1, 2]].mean(0), table[[3, 4, 1, 2]].mean(0)], rtol=1e-5)


@pytest.mark.parametrize("name, rank", [*WINDOWED, *GLOBAL])
def test_a_missing_axis_is_named(name, rank):
    with pytest.raises(ShapeError, match=rf"{name} (.|\n)*Expected: \(batch, (.|\n)*Fix: add the"):
        getattr(pooling, name)()(image(rank)[0])


def test_errors_name_the_layer_and_the_fix():
    with pytest.raises(ShapeError, match=r"MaxPooling2D(.|\n)*window is larger(.|\n)*\(8, 8\)"):
        pooling.MaxPooling2D(8)(image(2))
    with pytest.raises(ArgumentError, match=r"MaxPooling1D: pool_size(.|\n)*>= 1"):
        pooling.MaxPooling1D(0)
    with pytest.raises(ArgumentError, match=r"data_format(.|\n)*did you mean 'channels_last'"):
        pooling.MaxPooling1D(2, data_format="channel_last")
