"""Weights alone: by path, strictly, between models, and from other programs' files."""

import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy

import nacre
from nacre import layers
from nacre.core.errors import ArgumentError, BuildError, FileFormatError


def network(last=2, hidden="hidden", extra=False):
    more = [layers.Dense(last, name="extra")] if extra else []
    return nacre.Sequential(
        [
            nacre.Input((4,)),
            layers.Dense(3, name=hidden),
            layers.BatchNormalization(),
            layers.Dense(last, name="last"),
            *more,
        ]
    )


@pytest.mark.parametrize("name", ["w.safetensors", "w.weights.h5", "w"])
def test_weights_and_state_come_back(tmp_path, name):
    model, other = network(), network()
    model.layers[1].weights[2].assign([1.0, 2.0, 3.0])
    model.save_weights(tmp_path / name)
    assert other.load_weights(tmp_path / name) == []
    for a, b in zip(model.get_weights(), other.get_weights()):
        np.testing.assert_array_equal(a, b)


def test_other_programs_read_them(tmp_path):
    model = network()
    model.save_weights(tmp_path / "w.safetensors")
    found = safetensors.numpy.load_file(tmp_path / "w.safetensors")
    assert sorted(found) == [
        "batch_normalization/beta",
        "batch_normalization/gamma",
        "batch_normalization/moving_mean",
        "batch_normalization/moving_variance",
        "hidden/bias",
        "hidden/kernel",
        "last/bias",
        "last/kernel",
    ]
    np.testing.assert_array_equal(found["last/kernel"], model.layers[2].get_weights()[0])


def test_the_weights_of_a_whole_model_file_can_be_loaded(tmp_path):
    model, other = network(), network()
    model.compile("adam", "mse")
    model.save(tmp_path / "m.nacre")
    other.load_weights(tmp_path / "m.nacre")
    np.testing.assert_array_equal(other.get_weights()[0], model.get_weights()[0])


def test_strict_loading_lists_what_is_missing_extra_and_of_another_shape(tmp_path):
    network(last=5, hidden="first").save_weights(tmp_path / "w")
    model = network(extra=True)
    before = model.get_weights()
    with pytest.raises(ArgumentError) as caught:
        model.load_weights(tmp_path / "w")
    text = str(caught.value)
    for line in (
        "does not fit Sequential 'sequential'",
        "hidden/kernel: missing in the file",
        "extra/bias: missing in the file",
        "first/kernel: in the file, and not in the model",
        "last/kernel: has the shape (3, 2), in the file (3, 5)",
        "skip_mismatch=True",
    ):
        assert line in text
    for a, b in zip(before, model.get_weights()):
        np.testing.assert_array_equal(a, b)


def test_skipping_loads_what_fits_and_says_what_it_left(tmp_path):
    source, model = network(last=5), network()
    source.layers[1].weights[2].assign([1.0, 2.0, 3.0])
    source.save_weights(tmp_path / "w")
    last = model.layers[2].get_weights()
    assert model.load_weights(tmp_path / "w", skip_mismatch=True) == ["last/kernel", "last/bias"]
    for i in (0, 1):
        for a, b in zip(source.layers[i].get_weights(), model.layers[i].get_weights()):
            np.testing.assert_array_equal(a, b)
    for a, b in zip(last, model.layers[2].get_weights()):
        np.testing.assert_array_equal(a, b)


def test_floating_point_types_stand_for_each_other_and_integers_do_not(tmp_path):
    model = network()
    arrays = {path: np.asarray(v) for path, v in _by_path(model).items()}
    halves = {path: a.astype(np.float16) for path, a in arrays.items()}
    safetensors.numpy.save_file(halves, tmp_path / "w")
    model.load_weights(tmp_path / "w")
    for path, variable in _by_path(model).items():
        assert variable.dtype == jnp.float32
        np.testing.assert_array_equal(np.asarray(variable), halves[path].astype(np.float32))
    whole = {**arrays, "last/bias": np.zeros(2, np.int32)}
    safetensors.numpy.save_file(whole, tmp_path / "w")
    with pytest.raises(ArgumentError, match="last/bias: has the type float32, in the file int32"):
        model.load_weights(tmp_path / "w")


def _by_path(model):
    return nacre.core.layer.variables_of(model)


def test_a_model_without_weights_says_so(tmp_path):
    network().save_weights(tmp_path / "w")
    unbuilt = nacre.Sequential([layers.Dense(3)])
    with pytest.raises(BuildError, match=r"no weights yet[\s\S]*nacre\.Input"):
        unbuilt.load_weights(tmp_path / "w")
    with pytest.raises(BuildError, match="nothing to save"):
        unbuilt.save_weights(tmp_path / "other")
    assert not (tmp_path / "other").exists()


def test_overwriting_can_be_ruled_out(tmp_path):
    network().save_weights(tmp_path / "w")
    before = (tmp_path / "w").read_bytes()
    with pytest.raises(ArgumentError, match="already"):
        network().save_weights(tmp_path / "w", overwrite=False)
    assert (tmp_path / "w").read_bytes() == before


def test_files_of_another_kind_are_refused(tmp_path):
    (tmp_path / "w").write_bytes(b"\x80\x04\x95 this could be a pickle")
    with pytest.raises(FileFormatError, match="truncated"):
        network().load_weights(tmp_path / "w")
    with pytest.raises(FileFormatError, match="not a file"):
        network().load_weights(tmp_path)
    with pytest.raises(FileNotFoundError):
        network().load_weights(tmp_path / "missing")
