"""A step that goes wrong: it is found in the layer it began in, and the model keeps its weights."""

import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import nacre
from nacre import layers, ops
from nacre.core.errors import ArgumentError
from nacre.kernels.update import all_finite
from nacre.models import NotFiniteWarning

pytestmark = pytest.mark.filterwarnings("ignore::nacre.core.errors.LearnerWarning")
X = np.abs(np.random.default_rng(0).normal(size=(24, 3))).astype(np.float32) + 0.1
Y = X[:, :1]


class Root(layers.Layer):
    """The square root, whose slope at zero is infinite; or of what is below, which is NaN."""

    def __init__(self, below=0.0, **options):
        super().__init__(**options)
        self.below = below

    def call(self, x):
        return jnp.sqrt(x - self.below)


class OwnCode(layers.Layer):
    """A layer that does something wrong itself, after a layer inside that does not."""

    def __init__(self, function, **options):
        super().__init__(**options)
        self.function = function
        self.inside = layers.Dense(2)

    def call(self, x):
        return self.function(self.inside(x))


def sequential(*middle):
    return nacre.Sequential([nacre.Input((3,)), *middle, layers.Dense(1, name="last")])


def with_a_function():
    x = nacre.Input((3,))
    hidden = layers.Dense(4, name="hidden", kernel_initializer="zeros")(x)
    return nacre.Model(x, layers.Dense(1, name="last")(ops.log(hidden)))


def with_branches():
    x = nacre.Input((3,))
    good, bad = layers.Dense(2, name="good")(x), Root(99.0, name="bad")(x)
    return nacre.Model(x, layers.Dense(1, name="last")(layers.Concatenate()([good, bad])))


WHERE = {
    "an output": (lambda: sequential(Root(99.0, name="root")), "output of Root 'root'"),
    "nested": (
        lambda: sequential(nacre.Sequential([layers.Dense(2), Root(99.0)], name="block")),
        "output of Root 'block/root'",
    ),
    "a layer's own code": (
        lambda: sequential(OwnCode(lambda x: jnp.log(x * 0 - 1), name="own")),
        "output of OwnCode 'own'",
    ),
    "a function": (with_a_function, "output of the function 'log'"),
    "one of two branches": (with_branches, "output of Root 'bad'"),
    "a gradient": (
        lambda: sequential(layers.Dense(2, kernel_initializer="zeros"), Root(name="root")),
        "gradient of Root 'root'",
    ),
    "the gradient of a layer's own code": (
        lambda: sequential(OwnCode(lambda x: jnp.sqrt(x * 0), name="own")),
        "gradient of OwnCode 'own'",
    ),
    "a recurrent layer": (
        lambda: sequential(
            layers.Reshape((3, 1)), layers.SimpleRNN(2, activation=jnp.log, name="rnn")
        ),
        "output of SimpleRNN 'rnn'",
    ),
}


@pytest.mark.parametrize("case", WHERE)
def test_the_layer_it_began_in_is_named(case):
    make, where = WHERE[case]
    model = make()
    model.compile(nacre.optimizers.SGD(0.125), "mse")
    before = model.get_weights()
    with pytest.warns(NotFiniteWarning) as caught:
        history = model.fit(X, Y, batch_size=8, epochs=3, verbose=0)
    message = str(caught[0].message)
    assert f"the {where} is the first that is not finite" in message
    assert "stopped in epoch 1, step 1 (update 1)" in message
    assert "its input ranges from " in message
    assert "the learning rate is 0.125" in message
    assert "learning rate (0.01)" in message
    assert history.history == {"loss": []}
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_the_range_is_that_of_the_layers_input():
    model = sequential(Root(99.0))
    model.compile("sgd", "mse")
    x = np.linspace(-2, 6, 24, dtype=np.float32).reshape(8, 3)
    with pytest.warns(NotFiniteWarning, match=r"its input ranges from -2 to 6;"):
        model.fit(x, Y[:8], batch_size=8, verbose=0)


def test_the_step_is_counted_in_its_epoch_and_over_all():
    model = sequential()
    model.compile(nacre.optimizers.SGD(0.01), "mse")
    model.fit(X, Y, batch_size=8, verbose=0)
    x = X.copy()
    x[17] = 1e30  # its square overflows
    model.fit(X[:16], Y[:16], batch_size=8, verbose=0)
    expected = sequential()
    expected.compile(nacre.optimizers.SGD(0.01), "mse")
    expected.set_weights(model.get_weights())
    expected.fit(X[:16], Y[:16], batch_size=8, shuffle=False, verbose=0)
    with pytest.warns(NotFiniteWarning, match=r"epoch 1, step 3 \(update 8\)") as caught:
        model.fit(x, Y, batch_size=8, epochs=4, shuffle=False, verbose=0)
    assert "the loss is infinity, of outputs that are finite; they range from" in str(
        caught[0].message
    )
    for old, new in zip(expected.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_allclose(old, new, rtol=1e-6)


def test_dropout_falls_as_it_did_in_the_step():
    """A layer that fails on the units that are kept only, here all but one in a thousand steps."""

    class Picky(layers.Layer):
        def call(self, x):
            return jnp.where(jnp.sum(x == 0, axis=1, keepdims=True) >= 6, jnp.nan, x)

    nacre.set_seed(3)
    try:
        model = nacre.Sequential([nacre.Input((8,)), layers.Dropout(0.3), Picky(), layers.Dense(1)])
        model.compile("sgd", "mse")
    finally:
        nacre.set_seed(None)
    x = np.ones((40, 8), np.float32)
    with pytest.warns(NotFiniteWarning, match="output of Picky 'picky' is the first"):
        model.fit(x, x[:, :1], batch_size=4, epochs=200, verbose=0)


def test_data_from_a_stream_are_looked_at():
    def batches():
        yield X[:8], Y[:8]
        yield np.where(X[8:16] > 0.5, np.nan, X[8:16]).astype(np.float32), Y[8:16]

    model = sequential()
    model.compile("sgd", "mse")
    with pytest.warns(NotFiniteWarning, match=r"step 2 .*\n.*inputs of the batch .* NaN of 24"):
        model.fit(batches(), verbose=0)


def test_weights_that_were_not_finite_before_are_named():
    model = sequential()
    model.compile("sgd", "mse")
    model.set_weights([np.full((3, 1), np.nan), np.zeros(1)])
    with pytest.warns(NotFiniteWarning, match="weights 'last/kernel' were not finite before"):
        model.fit(X, Y, verbose=0)


def test_such_steps_can_be_skipped():
    x = X.copy()
    x[10] = 1e30
    model, other = sequential(), sequential()
    other.set_weights(model.get_weights())
    model.compile("adam", "mse", on_nonfinite="skip")
    other.compile("adam", "mse")
    with pytest.warns(NotFiniteWarning, match="2 of 6 steps were skipped"):
        history = model.fit(x, Y, batch_size=8, epochs=2, shuffle=False, verbose=0).history
    rows = np.r_[0:8, 16:24]
    good = other.fit(x[rows], Y[rows], batch_size=8, epochs=2, shuffle=False, verbose=0).history
    np.testing.assert_allclose(history["loss"], good["loss"], rtol=1e-6)
    for a, b in zip(model.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6)


def test_an_epoch_of_which_every_step_was_skipped_has_no_loss():
    model = sequential(Root(99.0))
    model.compile("sgd", "mse", on_nonfinite="skip")
    with pytest.warns(NotFiniteWarning, match="3 of 3 steps were skipped"):
        assert np.isnan(model.fit(X, Y, batch_size=8, verbose=0).history["loss"][0])


def test_they_can_be_ignored():
    model = sequential(Root(99.0))
    model.compile("sgd", "mse", on_nonfinite="ignore")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        history = model.fit(X, Y, batch_size=8, epochs=2, verbose=0).history
    assert np.isnan(history["loss"]).all()
    assert np.isnan(model.get_weights()[0]).all()
    with pytest.raises(ArgumentError, match="on_nonfinite"):
        model.compile("sgd", "mse", on_nonfinite="warn")


def test_a_single_batch_says_so_too():
    model = sequential(Root(99.0))
    model.compile("sgd", "mse")
    before = model.get_weights()
    with pytest.warns(NotFiniteWarning, match="changed nothing.*\n.*output of Root 'root'"):
        model.train_on_batch(X, Y)
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_the_choice_is_saved_with_the_model(tmp_path):
    model = sequential()
    model.compile("sgd", "mse", on_nonfinite="skip")
    model.save(tmp_path / "m.nacre")
    assert nacre.models.load_model(tmp_path / "m.nacre").trainer.on_nonfinite == "skip"


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_one_number_among_many_is_seen(dtype, bad):
    largest = float(jnp.finfo(dtype).max)
    a, b = jnp.full((50, 20), largest, dtype), jnp.zeros((), dtype)
    finite = jax.jit(lambda *arrays: all_finite(arrays))
    assert finite(a, b)
    assert not finite(a.at[17, 3].set(bad), b)
    assert not finite(a, jnp.asarray(bad, dtype))
    assert finite(jnp.zeros((0, 3), dtype))
    assert all_finite([a]) and not all_finite([a, b + bad])
