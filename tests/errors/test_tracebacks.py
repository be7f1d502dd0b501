"""A traceback shows the user's own lines; set_debug shows the rest."""

import inspect
import traceback
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import nacre
from nacre import layers
from nacre.callbacks import Callback
from nacre.core.errors import ShapeError
from nacre.core.failures import FunctionError, LayerError

LIBRARIES = (str(Path(nacre.__file__).parent), str(Path(jax.__file__).parents[1]))
X, Y = np.ones((8, 3), np.float32), np.ones((8, 2), np.float32)


class Fails(layers.Layer):
    """Raises what it is told to, but only in a compiled training step."""

    def __init__(self, error, when="always"):
        super().__init__()
        self.error = error
        self.when = when

    def call(self, x):
        if self.when == "always" or self.training:
            self.helper()
        return x

    def helper(self):
        raise self.error


def trained(*stack, loss="mse", **options):
    model = nacre.Sequential([layers.Dense(2), *stack])
    model.compile("sgd", loss)
    model.fit(X, Y, verbose=0, **options)


def raised(*args, **options):
    with pytest.raises(Exception) as caught:
        trained(*args, **options)
    return caught.value


def frames(error):
    """The functions in the traceback, and whether each is of a library."""
    found = traceback.extract_tb(error.__traceback__)
    return [(frame.name, frame.filename.startswith(LIBRARIES)) for frame in found]


@pytest.fixture
def debug():
    nacre.set_debug(True)
    yield
    nacre.set_debug(False)


@pytest.mark.parametrize("when", ["always", "training"])
def test_a_layers_error_shows_its_own_lines_and_no_others(when):
    error = raised(Fails(ValueError("no good"), when))
    assert isinstance(error, LayerError)
    assert frames(error) == [
        ("raised", False),
        ("trained", False),
        ("call", False),
        ("helper", False),
    ]
    assert error.__cause__ is None and error.__suppress_context__
    assert str(error).startswith("Fails 'fails' failed: no good.")
    assert not hasattr(error, "__notes__") or not error.__notes__


def test_debug_shows_all_and_what_led_to_what(debug):
    original = ValueError("no good")
    error = raised(Fails(original, "training"))
    names = [name for name, _ in frames(error)]
    assert error.__cause__ is original
    assert ("fit", True) in frames(error) and "trace_to_jaxpr" in names


def test_debug_is_undone():
    before = jax.config.jax_traceback_filtering
    nacre.set_debug(True)
    assert jax.config.jax_traceback_filtering == "off"
    nacre.set_debug(True)
    nacre.set_debug(False)
    assert jax.config.jax_traceback_filtering == before
    assert not any(library for _, library in frames(raised(Fails(ValueError("no good")))))


def test_other_errors_keep_their_type_and_gain_a_note():
    error = raised(Fails(KeyError("colour"), "training"))
    assert type(error) is KeyError
    assert [name for name, _ in frames(error)] == ["raised", "trained", "call", "helper"]
    assert error.__notes__ == [
        "This is in Fails 'fails', called on shape (8, 2) float32.",
        "nacre.set_debug(True) shows the lines of Nacre and JAX that are left out here.",
    ]


def test_errors_of_callbacks_are_left_as_they_are():
    class Breaks(Callback):
        def on_epoch_end(self, epoch, logs=None):
            raise RuntimeError("the disk is full")

    error = raised(callbacks=[Breaks()])
    assert type(error) is RuntimeError
    assert frames(error) == [("raised", False), ("trained", False), ("on_epoch_end", False)]


def test_the_library_shows_where_it_broke_itself(monkeypatch):
    def broken(*args):
        raise ZeroDivisionError

    monkeypatch.setattr(nacre.core.layer.Layer, "_note_mask", lambda *args: broken())
    error = raised()
    assert frames(error)[-1][0] == "broken"


def test_a_library_error_within_shows_one_line_of_the_library(monkeypatch):
    monkeypatch.setattr("nacre.models.trainer.check_data", None)
    error = raised()
    assert [library for _, library in frames(error)] == [False, False, True]


def test_what_led_to_an_error_is_shortened_too():
    class Converts(layers.Layer):
        def call(self, x):
            try:
                return x @ jnp.ones((7, 7))
            except TypeError as error:
                raise KeyError("seven") from error

    error = raised(Converts())
    files = [frame.filename for frame in traceback.extract_tb(error.__cause__.__traceback__)]
    assert files and not any(file.startswith(LIBRARIES) for file in files)


def test_where_names_the_path_from_the_root():
    class Block(layers.Layer):
        def __init__(self):
            super().__init__()
            self.inner = [layers.Dense(3), Fails(ValueError("no good"))]

        def call(self, x):
            for layer in self.inner:
                x = layer(x)
            return x

    class Net(nacre.Model):
        def __init__(self):
            super().__init__()
            self.block = Block()

        def call(self, x):
            return self.block(x)

    for run in (lambda: Net()(X), lambda: Net().predict(X), lambda: Net()(nacre.Input((3,)))):
        with pytest.raises(LayerError, match="Fails 'block/inner/1' failed"):
            run()


def test_losses_and_metrics_are_named():
    def picky(y_true, y_pred):
        return jnp.ones(3) + jnp.ones(4)

    with pytest.raises(FunctionError, match="The loss 'picky' failed: add got incompatible"):
        trained(loss=picky)
    model = nacre.Sequential([layers.Dense(2)])
    model.compile("sgd", "mse", metrics=[picky])
    with pytest.raises(FunctionError, match="The metric 'picky' failed: add got incompatible"):
        model.evaluate(X, Y, verbose=0)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda x: x if x.sum() > 0 else -x, "asks Python whether an array is true"),
        (lambda x: x * float(x.sum()), "makes a Python number of an array"),
        (lambda x: jnp.stack([x for _ in range(x.sum())]), "Python number of an array|integer"),
        (lambda x: x + x.numpy(), "asks an array for .numpy, which arrays do not have"),
        (lambda x: x + np.asarray(x), "hands an array to NumPy"),
        (lambda x: x @ jnp.ones((9, 9)), "a matrix product whose inner sizes are 2 and 9"),
    ],
)
def test_jaxs_words_are_translated(call, says):
    class Custom(layers.Layer):
        def call(self, x):
            return call(x)

    with pytest.raises(LayerError, match=says) as caught:
        trained(Custom())
    assert "racer" not in str(caught.value)
    assert "Received: shape (batch, 2) float32" in str(caught.value)


def test_errors_of_symbolic_calls_are_short():
    with pytest.raises(ShapeError) as caught:
        layers.Concatenate()([nacre.Input((2, 3)), nacre.Input((3, 3))])
    assert all(not library for _, library in frames(caught.value))


def test_signatures_stay():
    assert list(inspect.signature(nacre.Model.fit).parameters)[:4] == [
        "self",
        "x",
        "y",
        "batch_size",
    ]
