"""Sequential: how it is put together, when it knows its shapes, and what it may contain."""

import copy
import itertools
import json
import pickle

import numpy as np
import pytest

import nacre
from nacre import layers, models
from nacre.core.errors import ArgumentError, BuildError, ShapeError
from nacre.models import clone_model
from nacre.utils import to_categorical

pytestmark = pytest.mark.usefixtures("compiled_quickly")

X = np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32)


@pytest.fixture
def seed():
    nacre.set_seed(5)
    yield
    nacre.set_seed(None)


def names(model):
    return [name for name, _ in model.children()]


WAYS_TO_SAY_THE_INPUT = {
    "Input": lambda: nacre.Sequential([nacre.Input((4,)), layers.Dense(3), layers.Dense(2)]),
    "layers.Input": lambda: nacre.Sequential(
        [layers.Input(shape=(4,)), layers.Dense(3), layers.Dense(2)]
    ),
    "InputLayer": lambda: nacre.Sequential(
        [layers.InputLayer(shape=(4,)), layers.Dense(3), layers.Dense(2)]
    ),
    "input_shape": lambda: nacre.Sequential([layers.Dense(3, input_shape=(4,)), layers.Dense(2)]),
    "input_dim": lambda: nacre.Sequential([layers.Dense(3, input_dim=4), layers.Dense(2)]),
    "a model first": lambda: nacre.Sequential(
        [nacre.Sequential([nacre.Input((4,)), layers.Dense(3)]), layers.Dense(2)]
    ),
    "a functional model first": lambda: nacre.Sequential(
        [nacre.Model(x := nacre.Input((4,)), layers.Dense(3)(x)), layers.Dense(2)]
    ),
}


@pytest.mark.parametrize("way", WAYS_TO_SAY_THE_INPUT)
def test_the_input_is_known_before_any_data(way):
    model = WAYS_TO_SAY_THE_INPUT[way]()
    assert (model.input_shape, model.output_shape) == ((None, 4), (None, 2))
    assert model.count_params() == 4 * 3 + 3 + 3 * 2 + 2
    assert len(model.layers) == 2
    weights = model.get_weights()
    assert model(X).shape == (6, 2)
    for before, after in zip(weights, model.get_weights()):
        np.testing.assert_array_equal(before, after)


def test_the_shapes_may_come_with_the_first_call():
    model = nacre.Sequential([layers.Dense(3), layers.Dense(2)])
    assert model.weights == []
    with pytest.raises(BuildError, match=r"does not know the shape of its input yet"):
        _ = model.output
    assert model(X).shape == (6, 2)
    assert model.output_shape == (None, 2)
    assert model(X[:2]).shape == (2, 2)
    with pytest.raises(ShapeError, match=r"(?s)'sequential' does not take.*\(batch, 4\)"):
        model(X[:, :3])
    built = nacre.Sequential([layers.Dense(3)])
    built.build((None, 7))
    assert built.count_params() == 24


def test_or_with_the_first_fit_or_inside_a_functional_model():
    model = nacre.Sequential([layers.Dense(2)])
    model.compile("sgd", "mse")
    model.fit(X, X[:, :2], verbose=0)
    assert model.output_shape == (None, 2)
    inner = nacre.Sequential([layers.Dense(3, name="first"), layers.Dense(2)])
    x = nacre.Input((4,))
    outer = nacre.Model(x, inner(x))
    assert inner.get_layer("first").output.shape == (None, 3)
    np.testing.assert_array_equal(inner(X), outer(X))


def test_layers_are_added_and_popped():
    model = nacre.Sequential(name="stack")
    model.add(nacre.Input((4,)))
    model.add(layers.Dense(3, name="hidden"))
    last = layers.Dense(2)
    model.add(last)
    assert names(model) == ["hidden", "dense"]
    before = model(X)
    assert model.pop() is last
    assert model.output_shape == (None, 3)
    assert len(model.get_weights()) == 2
    model.add(last)
    np.testing.assert_array_equal(model(X), before)
    model.pop()
    model.add(layers.Dense(5))
    assert model(X).shape == (6, 5)
    while model.layers:
        model.pop()
    with pytest.raises(ArgumentError, match="no layers to pop"):
        model.pop()


def test_what_was_compiled_forgets_a_layer_that_is_popped():
    inner = nacre.Sequential([nacre.Input((4,)), layers.Dense(4), layers.Activation("relu")])
    for model in (inner, nacre.Sequential([nacre.Input((4,)), inner])):
        assert model.predict(X).min() == 0
        inner.pop()
        assert model.predict(X).min() < 0
        inner.add(layers.Activation("relu"))
        assert model.predict(X).min() == 0


def test_what_is_no_layer_is_refused():
    for wrong, match in [
        (layers.Dense, r"write Dense\(\.\.\.\)"),
        ("dense", "made of layers"),
        (3, r"3 \(int\)"),
    ]:
        with pytest.raises(ArgumentError, match=match):
            nacre.Sequential([wrong])
    dense = layers.Dense(4)
    with pytest.raises(ArgumentError, match="in this Sequential already"):
        nacre.Sequential([dense, dense])
    with pytest.raises(ArgumentError, match="Two layers are named 'a'"):
        nacre.Sequential([layers.Dense(4, name="a"), layers.Dense(4, name="a")])
    with pytest.raises(ArgumentError, match="can only come first"):
        nacre.Sequential([layers.Dense(4), nacre.Input((4,))])


def test_names_are_numbered_within_the_model():
    model = nacre.Sequential([layers.Dense(1), layers.ReLU(), layers.Dense(1, name="dense")])
    assert names(model) == ["dense_1", "re_lu", "dense"]
    assert model.get_layer("dense") is model.layers[2]
    assert model.get_layer(index=1) is model.layers[1]
    with pytest.raises(ArgumentError, match="did you mean 're_lu'"):
        model.get_layer("relu_")
    again = nacre.Sequential([layers.Dense(1), layers.Dense(1)])
    assert names(again) == ["dense", "dense_1"]


def test_the_type_of_the_first_data_binds_no_later_data():
    """A model that was built on bytes must not round numbers between 0 and 1 to bytes."""
    model = nacre.Sequential([layers.Flatten(), layers.Dense(2)])
    model(np.zeros((1, 2, 2), np.uint8))
    halves = np.full((3, 2, 2), 0.5, np.float32)
    again = clone_model(model)
    again.set_weights(model.get_weights())
    for one in (model, again, copy.deepcopy(model)):
        assert np.abs(one(halves)).max() > 0
        np.testing.assert_array_equal(one(halves), model(halves))
    said = nacre.Sequential([nacre.Input((1,), dtype="int32"), layers.Dense(1)])
    np.testing.assert_array_equal(said(np.array([[1.5]], np.float32)), said(np.array([[1]])))


def test_an_input_layer_says_the_type():
    model = nacre.Sequential([layers.InputLayer(shape=(3,), dtype="int32"), layers.Embedding(5, 2)])
    assert (model.input.dtype, model.input.shape) == ("int32", (None, 3))
    fixed = nacre.Sequential([layers.InputLayer(batch_shape=(2, 3)), layers.Dense(1)])
    assert fixed.input_shape == (2, 3)


def test_word_numbers_survive_mixed_precision():
    """A 16-bit float cannot tell 1000 from 1001, and the input is a float unless told otherwise."""
    words = np.arange(1000, 1008)
    policy = "mixed_bfloat16"
    embedding = layers.Embedding(1010, 1, dtype=policy, input_shape=(), name="table")
    model = nacre.Sequential([layers.Embedding(1010, 1, dtype=policy, input_length=1)])
    model.set_weights([np.arange(1010, dtype=np.float32)[:, None] % 8])
    np.testing.assert_array_equal(np.asarray(model(words[:, None]))[:, 0, 0], words % 8)
    assert embedding.compute_dtype == "bfloat16"


def test_initial_values_do_not_depend_on_who_asks_first(seed):
    def build():
        return nacre.Sequential(
            [
                nacre.Input((4,)),
                layers.Dense(4),
                nacre.Sequential([layers.Dense(4), layers.Dense(4)], name="inner"),
                layers.Dense(4, name="last"),
            ]
        )

    def one_by_one(model):
        for layer in reversed(model.layers):
            layer.get_weights()

    asked = [
        lambda model: model(X),
        lambda model: model.predict(X),
        lambda model: [v.numpy() for v in reversed(model.weights)],
        lambda model: model.get_layer("inner").layers[1].get_weights(),
        lambda model: model.get_layer("inner")(X),
        one_by_one,
    ]
    expected = build().get_weights()
    kernels = [w for w in expected if w.ndim == 2]
    assert not any(np.array_equal(a, b) for a, b in itertools.pairwise(kernels))
    for ask in asked:
        model = build()
        ask(model)
        for one, two in zip(model.get_weights(), expected, strict=True):
            np.testing.assert_array_equal(one, two)


def test_what_an_outer_model_freezes():
    inner = nacre.Sequential([layers.Dense(3), layers.BatchNormalization()])
    outer = nacre.Sequential([nacre.Input((4,)), inner, layers.Dense(1)])
    assert (len(outer.trainable_weights), len(outer.non_trainable_weights)) == (6, 2)
    inner.trainable = False
    assert [layer.trainable for layer in inner.layers] == [False, False]
    assert (len(outer.trainable_weights), len(outer.non_trainable_weights)) == (2, 6)
    outer.trainable = True
    inner.layers[0].trainable = False
    assert (len(outer.trainable_weights), len(outer.non_trainable_weights)) == (4, 4)
    outer.compile("sgd", "mse")
    before = outer.get_weights()
    outer.fit(X, X[:, :1], verbose=0)
    moved = [not np.array_equal(a, b) for a, b in zip(before, outer.get_weights())]
    assert moved == [False, False, True, True, True, True, True, True]


def trained(dropout=0.3):
    model = nacre.Sequential(
        [
            nacre.Input((4,)),
            layers.Dense(3, activation="tanh"),
            layers.BatchNormalization(),
            layers.Dropout(dropout),
            layers.Dense(1),
        ]
    )
    model.compile(nacre.optimizers.Adam(0.01), "mse", ["mae"])
    model.fit(X, X[:, :1], batch_size=4, verbose=0)
    return model


@pytest.mark.parametrize(
    "duplicate",
    [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))],
    ids=["deepcopy", "pickle"],
)
def test_a_copy_stands_alone_and_trains_on_as_the_original_would(duplicate):
    model = trained()
    weights = model.get_weights()
    twin = duplicate(model)
    assert twin.layers[0] is not model.layers[0]
    assert names(twin) == names(model)
    np.testing.assert_array_equal(twin.predict(X), model.predict(X))
    model.optimizer.learning_rate = 0.5
    assert twin.optimizer.learning_rate == pytest.approx(0.01)
    model.optimizer.learning_rate = 0.01
    history = twin.fit(X, X[:, :1], batch_size=4, epochs=2, verbose=0).history
    for one, two in zip(weights, model.get_weights()):
        np.testing.assert_array_equal(one, two)
    assert model.fit(X, X[:, :1], batch_size=4, epochs=2, verbose=0).history == history
    for one, two in zip(twin.get_weights(), model.get_weights()):
        np.testing.assert_array_equal(one, two)


def test_a_copy_of_one_layer_is_a_layer_of_its_own():
    model = trained()
    dense = model.layers[0]
    twin = copy.deepcopy(dense)
    np.testing.assert_array_equal(twin(X), dense(X))
    twin.set_weights([w + 1 for w in twin.get_weights()])
    assert not np.array_equal(twin(X), dense(X))
    with pytest.raises(BuildError, match="no symbolic input or output"):
        _ = twin.output
    fresh = copy.deepcopy(layers.Dense(2))
    assert fresh(X).shape == (6, 2)


def test_the_same_seed_gives_the_same_training(seed):
    def run():
        nacre.set_seed(7)
        model = trained()
        return model.get_weights(), model.predict(X)

    (weights, outputs), (others, other_outputs) = run(), run()
    np.testing.assert_array_equal(outputs, other_outputs)
    for one, two in zip(weights, others):
        np.testing.assert_array_equal(one, two)


def test_the_configuration_makes_the_same_stack_again():
    model = trained()
    config = json.loads(json.dumps(model.get_config()))
    again = nacre.Sequential.from_config(config)
    assert names(again) == names(model)
    assert again.get_config() == model.get_config()
    again.set_weights(model.get_weights())
    np.testing.assert_array_equal(again(X), model(X))


def test_wrong_weights_are_refused():
    model = trained()
    weights = model.get_weights()
    with pytest.raises(ShapeError, match=r"(?s)set_weights.*dense/kernel \(4, 3\)"):
        model.set_weights(weights[:-1])
    with pytest.raises(ShapeError, match=r"\(3, 4\)"):
        model.set_weights([weights[0].T, *weights[1:]])
    model.set_weights([0 * w for w in weights])
    assert np.all(model.predict(X) == 0)


def test_several_inputs_where_the_first_layer_takes_them():
    model = nacre.Sequential([layers.Add(), layers.Dense(2)])
    assert model([X, X]).shape == (6, 2)
    kernel, bias = model.get_weights()
    np.testing.assert_allclose(model([X, X]), 2 * X @ kernel + bias, rtol=1e-5, atol=1e-5)


def test_the_first_lesson_on_digits():
    """The classic script, on made-up digits: each a bright bar whose place tells its class."""
    rng = np.random.default_rng(1)

    def digits(count):
        labels = rng.integers(0, 10, count)
        images = rng.integers(0, 60, (count, 28, 28)).astype("uint8")
        for image, label in zip(images, labels):
            image[2 * label : 2 * label + 4] = 255
        return images, labels.astype("uint8")

    (train_images, train_labels), (test_images, test_labels) = digits(600), digits(100)
    network = models.Sequential()
    network.add(layers.Dense(512, activation="relu", input_shape=(28 * 28,)))
    network.add(layers.Dense(10, activation="softmax"))
    network.compile(optimizer="rmsprop", loss="categorical_crossentropy", metrics=["accuracy"])
    train_images = train_images.reshape((600, 28 * 28)).astype("float32") / 255
    test_images = test_images.reshape((100, 28 * 28)).astype("float32") / 255
    history = network.fit(
        train_images, to_categorical(train_labels), epochs=3, batch_size=128, verbose=0
    )
    test_loss, test_acc = network.evaluate(test_images, to_categorical(test_labels), verbose=0)
    assert list(history.history) == ["loss", "accuracy"]
    assert test_acc > 0.9
    assert test_loss < history.history["loss"][0]
