"""Large arrays are read where they lie: the numbers are those of a copy, and the memory is safe."""

import gc
import weakref

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nacre import layers, models, set_seed
from nacre.data import borrowed
from nacre.data.borrowed import Borrowed, on_device, rows_of, stretch_of


@pytest.fixture
def even_small_ones(monkeypatch):
    monkeypatch.setattr(borrowed, "SMALLEST", 1)


def behind(count, dtype, before=16):
    """An array that begins so many bytes after a multiple of 64."""
    dtype = np.dtype(dtype)
    block = np.zeros(count * dtype.itemsize + 128, np.uint8)
    first = -block.ctypes.data % 64 + before
    array = block[first : first + count * dtype.itemsize].view(dtype)
    array[:] = np.arange(count) % 251
    return array


@pytest.mark.parametrize("dtype", ["float32", "uint8", "float16", "int32", "bool"])
@pytest.mark.parametrize("shape", [(7,), (7, 3), (7, 2, 3)])
@pytest.mark.parametrize("before", [4, 16, 60])
def test_rows_and_stretches_are_those_of_the_array(even_small_ones, dtype, shape, before):
    array = behind(np.prod(shape), dtype, before).reshape(shape)
    placed = on_device({"x": array})
    assert isinstance(placed["x"], Borrowed)
    assert placed["x"].flat.unsafe_buffer_pointer() == array.ctypes.data - before
    numbers = np.array([6, 0, 3, 3], np.int32)
    taken = jax.jit(rows_of)(placed, numbers)["x"]
    assert taken.dtype == array.dtype
    np.testing.assert_array_equal(taken, array[numbers])
    stretch = jax.jit(stretch_of, static_argnums=2)(placed, jnp.int32(2), 5)["x"]
    np.testing.assert_array_equal(stretch, array[2:7])
    np.testing.assert_array_equal(placed["x"][numbers], array[numbers])


def test_what_cannot_be_read_in_place_is_copied(even_small_ones):
    whole = behind(24, "float32").reshape(4, 6)
    assert isinstance(on_device(whole), Borrowed)
    for other in [whole[:, :3], whole.T, jnp.asarray(whole)]:
        placed = on_device(other)
        assert isinstance(placed, jax.Array)
        np.testing.assert_array_equal(placed, other)
    assert isinstance(on_device(behind(24, "float32", 2)), jax.Array)  # within a number


def test_the_memory_is_kept_as_long_as_it_is_read_and_no_longer(even_small_ones):
    class Watched(np.ndarray):
        pass

    array = behind(6, "float32").view(Watched)
    alive = weakref.ref(array)
    placed = on_device(array)
    del array
    gc.collect()
    assert alive() is not None
    np.testing.assert_array_equal(rows_of(placed, np.array([5])), [5.0])
    del placed
    gc.collect()
    assert alive() is None


def test_a_run_is_the_same_to_the_bit(monkeypatch):
    x = behind(40 * 6, "float32").reshape(40, 6)
    y = np.arange(40) % 3

    def run():
        set_seed(3)
        model = models.Sequential([layers.Dense(3, activation="softmax")])
        model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
        history = model.fit(x, y, batch_size=16, epochs=2, validation_split=0.2, verbose=0)
        return history.history, model.evaluate(x, y, verbose=0), model.get_weights()

    copied = run()
    monkeypatch.setattr(borrowed, "SMALLEST", 1)
    read_in_place = run()
    assert copied[:2] == read_in_place[:2]
    for a, b in zip(copied[2], read_in_place[2]):
        np.testing.assert_array_equal(a, b)
