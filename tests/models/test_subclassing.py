"""Models as classes with a method call(self, x), and the three kinds of model in each other."""

import copy
import itertools
import json
import pickle

import jax
import jax.numpy as jnp
import keras
import numpy as np
import pytest

import nacre
from nacre import Input, Model, Sequential, layers, ops
from nacre.core.errors import ArgumentError, BuildError, NacreError, ShapeError
from nacre.models import clone_model, load_model

pytestmark = pytest.mark.usefixtures("compiled_quickly")

RNG = np.random.default_rng(0)
X = RNG.normal(size=(6, 4)).astype(np.float32)
Y = RNG.normal(size=(6, 2)).astype(np.float32)


@pytest.fixture
def as_in_keras():
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        yield


@pytest.fixture
def seed():
    nacre.set_seed(5)
    yield
    nacre.set_seed(None)


def close(one, two):
    np.testing.assert_allclose(one, two, rtol=1e-5, atol=1e-6)


def same_arrays(one, two):
    for a, b in zip(one, two, strict=True):
        np.testing.assert_array_equal(a, b)


def paths(model):
    lifted = nacre.lift(model)
    return [*lifted.params, *lifted.state]


class Perceptron(Model):
    """The short way: no **kwargs, no build, no get_config."""

    def __init__(self, width=3, units=2):
        super().__init__()
        self.hidden = layers.Dense(width, activation="tanh")
        self.out = layers.Dense(units)

    def call(self, x):
        return self.out(self.hidden(x))


def perceptron(weights, x):
    kernel, bias, kernel_out, bias_out = weights
    return np.tanh(x @ kernel + bias) @ kernel_out + bias_out


class Residual(layers.Layer):
    """A layer with layers inside."""

    def __init__(self, **options):
        super().__init__(**options)
        self.inside = layers.Dense(4)

    def call(self, x):
        return x + ops.relu(self.inside(x))


class Collections(Model):
    """Layers in lists, tuples and dictionaries, one in the other, and a variable of its own."""

    def __init__(self, depth=2, **options):
        super().__init__(**options)
        self.depth = depth
        self.stages = [[Residual() for _ in range(depth)], (Residual(),)]
        self.late = []
        self.late.append(Residual())
        self.heads = {"p": layers.Dense(1), "inner": {"q": layers.Dense(2)}}
        self.scale = nacre.Variable("ones", (1, 1))

    def call(self, x):
        for block in (*self.stages[0], *self.stages[1], *self.late):
            x = block(x)
        x = x * self.scale
        return {"p": self.heads["p"](x), "q": self.heads["inner"]["q"](x)}


def collections(weights, x):
    scale, *weights = weights
    for kernel, bias in zip(weights[:8:2], weights[1:8:2]):
        x = x + np.maximum(x @ kernel + bias, 0)
    x = x * scale
    return x @ weights[8] + weights[9], x @ weights[10] + weights[11]


# Making and building


def test_the_weights_are_made_on_the_first_call():
    model = Perceptron()
    assert (model.built, model.weights, model.count_params()) == (False, [], 0)
    assert model.layers == [model.hidden, model.out]
    outputs = model(X)
    assert model.built
    assert model.count_params() == 4 * 3 + 3 + 3 * 2 + 2
    close(outputs, perceptron(model.get_weights(), X))
    assert paths(model) == ["hidden/kernel", "hidden/bias", "out/kernel", "out/bias"]
    with pytest.raises(ShapeError, match=r"(?s)'hidden' was built for inputs of another size"):
        model(X[:, :3])


def test_or_by_build_fit_predict_or_a_symbolic_tensor():
    model = Perceptron()
    model.build((None, 4))
    assert (model.built, model.count_params()) == (True, 23)
    weights = model.get_weights()
    close(model(X[:2]), perceptron(weights, X[:2]))
    same_arrays(model.get_weights(), weights)
    predicting = Perceptron()
    outputs = predicting.predict(X)
    close(outputs, perceptron(predicting.get_weights(), X))
    fitting = Perceptron()
    fitting.compile("sgd", "mse")
    fitting.fit(X, Y, verbose=0)
    close(fitting.predict(X), perceptron(fitting.get_weights(), X))
    symbolic = Perceptron()
    assert symbolic(Input((4,))).shape == (None, 2)
    assert symbolic.count_params() == 23
    assert Perceptron().compute_output_shape((None, 4)) == (None, 2)


def test_the_numbers_of_training_are_those_of_the_same_stack():
    weights = [RNG.normal(size=s).astype(np.float32) for s in [(4, 3), (3,), (3, 2), (2,)]]
    stack = Sequential([Input((4,)), layers.Dense(3, activation="tanh"), layers.Dense(2)])
    histories = []
    for model in (Perceptron(), stack):
        model.build((None, 4))
        model.set_weights(weights)
        model.compile(nacre.optimizers.SGD(0.1, momentum=0.9), "mse", ["mae"])
        history = model.fit(X, Y, batch_size=4, epochs=3, shuffle=False, verbose=0)
        histories.append((history.history, model.evaluate(X, Y, verbose=0), model.get_weights()))
    (one, figures, ours), (two, others, theirs) = histories
    for name in ("loss", "mae"):
        np.testing.assert_allclose(one[name], two[name], rtol=1e-6)
    np.testing.assert_allclose(figures, others, rtol=1e-6)
    for a, b in zip(ours, theirs, strict=True):
        close(a, b)


def test_layers_are_found_in_lists_tuples_and_dictionaries():
    model = Collections()
    outputs = model(X)
    p, q = collections(model.get_weights(), X)
    close(outputs["p"], p)
    close(outputs["q"], q)
    assert model.count_params() == 4 * 20 + 5 + 10 + 1
    assert len(model.layers) == 6
    assert paths(model)[:3] == ["scale", "stages/0/0/inside/kernel", "stages/0/0/inside/bias"]
    assert paths(model)[-1] == "heads/inner/q/bias"
    assert model.get_layer("stages/1/0") is model.stages[1][0]
    before = model.get_weights()
    model.compile(nacre.optimizers.SGD(0.1), {"p": "mse", "q": "mse"})
    model.fit(X, {"p": Y[:, :1], "q": Y}, verbose=0)
    assert not any(np.array_equal(a, b) for a, b in zip(before, model.get_weights()))


def test_super_init_may_be_forgotten():
    class Forgetful(Model):
        def __init__(self):
            self.out = layers.Dense(2)

        def call(self, x):
            return self.out(x)

    model = Forgetful()
    model.compile("sgd", "mse")
    model.fit(X, Y, verbose=0)
    kernel, bias = model.get_weights()
    close(model.predict(X), X @ kernel + bias)


def test_a_layer_made_in_the_first_call_and_kept_is_trained():
    class Late(Model):
        def call(self, x):
            if not hasattr(self, "out"):
                self.out = layers.Dense(2)
            return self.out(x)

    model = Late()
    model.compile("sgd", "mse")
    model(X)
    before = model.get_weights()
    model.fit(X, Y, verbose=0)
    assert len(before) == 2
    assert not np.array_equal(before[0], model.get_weights()[0])


def test_several_inputs():
    class Named(Model):
        def __init__(self):
            super().__init__()
            self.out = layers.Dense(2)

        def call(self, inputs):
            return self.out(inputs["a"]) - self.out(inputs["b"])

    class Listed(Named):
        def call(self, inputs):
            a, b = inputs
            return self.out(a) - self.out(b)

    class Separate(Named):
        def call(self, a, b):
            return self.out(a) - self.out(b)

    other = X[::-1].copy()
    for model, data in [(Named(), {"b": other, "a": X}), (Listed(), [X, other])]:
        model.compile("sgd", "mse")
        model.fit(data, Y, verbose=0)
        close(model.predict(data), (X - other) @ model.get_weights()[0])
        close(model(data), (X - other) @ model.get_weights()[0])
    model = Separate()
    close(model(X, other), (X - other) @ model.get_weights()[0])
    a, b = Input((4,)), Input((4,))
    graph = Model([a, b], model(a, b))
    np.testing.assert_array_equal(graph([X, other]), model(X, other))


def test_eager_calls_take_what_numpy_can_read():
    model = Perceptron()
    model(X)
    expected = perceptron(model.get_weights(), X)
    for inputs in (X, jnp.asarray(X), X.astype(np.float64), X.tolist()):
        outputs = model(inputs)
        assert isinstance(outputs, jax.Array)
        assert outputs.dtype == np.float32
        close(outputs, expected)
    gradient = jax.grad(lambda x: model(x).sum())(jnp.asarray(X))
    kernel, bias, kernel_out, _ = model.get_weights()
    close(gradient, (kernel_out.sum(1) * (1 - np.tanh(X @ kernel + bias) ** 2)) @ kernel.T)


# The Keras way of writing


def keras_way(library):
    """The same source for both libraries, as scripts write it."""

    class Linear(library.layers.Layer):
        def __init__(self, units=32, **kwargs):
            super().__init__(**kwargs)
            self.units = units

        def build(self, input_shape):
            self.w = self.add_weight(
                shape=(input_shape[-1], self.units), initializer="random_normal", trainable=True
            )
            self.b = self.add_weight(shape=(self.units,), initializer="zeros", trainable=True)
            super().build(input_shape)

        def call(self, inputs):
            return library.ops.matmul(inputs, self.w) + self.b

        def get_config(self):
            config = super().get_config()
            config.update({"units": self.units})
            return config

    class Network(library.Model):
        def __init__(self, width=3, **kwargs):
            super().__init__(**kwargs)
            self.width = width
            self.first = Linear(width)
            self.norm = library.layers.BatchNormalization()
            self.drop = library.layers.Dropout(0.5)
            self.last = Linear(2)

        def call(self, x, training=False):
            x = library.ops.relu(self.first(x))
            x = self.norm(x, training=training)
            if training:
                x = self.drop(x, training=False)
            self.add_loss(0.1 * library.ops.mean(library.ops.square(x)))
            return self.last(x)

    return Linear, Network


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_what_is_written_for_keras_gives_the_numbers_of_keras(as_in_keras):
    def run(library):
        _, network = keras_way(library)
        model = network(name="network")
        model(X)
        by_name = {name: getattr(model, name) for name in ("first", "norm", "last")}
        for name, layer in by_name.items():
            layer.set_weights(weights[name])
        before = np.asarray(model(X))
        model.compile(library.optimizers.Adam(0.01), "mse", metrics=["mae"])
        history = model.fit(X, Y, epochs=3, batch_size=3, shuffle=False, verbose=0).history
        figures = model.evaluate(X, Y, verbose=0)
        values = [w for layer in by_name.values() for w in layer.get_weights()]
        return [before, history["loss"], history["mae"], figures, *values]

    shapes = {"first": [(4, 3), (3,)], "norm": [(3,)] * 4, "last": [(3, 2), (2,)]}
    weights = {
        name: [RNG.uniform(0.5, 1.5, s).astype(np.float32) for s in shape]
        for name, shape in shapes.items()
    }
    for one, two in zip(run(nacre), run(keras), strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-4, atol=1e-5)


def test_build_and_add_weight_name_the_weights_by_attribute(as_in_keras):
    linear, network = keras_way(nacre)
    model = network(5, name="network")
    model(X)
    assert model.name == "network"
    assert paths(model)[:2] == ["first/w", "first/b"]
    config = json.loads(json.dumps(model.first.get_config()))
    assert config["units"] == 5
    assert linear.from_config(config).units == 5
    assert network.from_config(model.get_config()).width == 5


def test_a_layer_that_was_built_by_hand_is_not_built_again(as_in_keras):
    linear, _ = keras_way(nacre)
    layer = linear(3)
    assert not layer.built
    layer.build((None, 4))
    assert layer.built
    weights = layer.get_weights()
    close(layer(X), X @ weights[0] + weights[1])
    assert [v.name for v in layer.weights] == ["w", "b"]
    same_arrays(layer.get_weights(), weights)


def test_a_build_that_fails_may_be_tried_again():
    class Fussy(layers.Layer):
        def build(self, input_shape):
            if input_shape[-1] != 4:
                raise RuntimeError("four, please")
            self.w = self.add_weight(shape=(4, 2), name="w")

        def call(self, x):
            return x @ self.w.value

    layer = Fussy()
    with pytest.raises(RuntimeError, match="four, please"):
        layer.build((None, 3))
    assert not layer.built
    close(layer(X), X @ layer.get_weights()[0])


@pytest.mark.parametrize("calls_super", [True, False])
def test_a_model_may_have_a_build(calls_super):
    class Built(Model):
        builds = 0

        def build(self, input_shape):
            self.builds += 1
            self.out = layers.Dense(2)
            self.w = self.add_weight(shape=(input_shape[-1], 2))
            if calls_super:
                super().build(input_shape)

        def call(self, x):
            return self.out(x) + x @ self.w.value

    by_hand, by_call, by_fit = Built(), Built(), Built()
    by_hand.build((None, 4))
    assert by_hand.built
    by_call(X)
    by_fit.compile("sgd", "mse")
    by_fit.fit(X, Y, verbose=0)
    for model in (by_hand, by_call, by_fit):
        outputs = model(X)
        assert model.builds == 1
        w, kernel, bias = model.get_weights()
        close(outputs, X @ (w + kernel) + bias)


def test_training_reaches_call_and_the_layers_inside():
    class Told(Model):
        def __init__(self):
            super().__init__()
            self.drop = layers.Dropout(0.5)

        def call(self, x, training=False):
            return self.drop(x) + (100.0 if training else 0.0)

    class Asks(Told):
        def call(self, x):
            return self.drop(x) + (100.0 if self.training else 0.0)

    ones = np.ones((3, 50), np.float32)
    for model in (Told(), Asks(), Sequential([Told()]), Sequential([Asks()])):
        for quiet in (model(ones), model(ones, training=False), model.predict(ones)):
            np.testing.assert_array_equal(quiet, ones)
        assert set(np.unique(model(ones, training=True))) == {100.0, 102.0}


def test_a_loss_added_in_call_is_part_of_the_loss():
    class Penalised(Perceptron):
        def call(self, x):
            y = super().call(x)
            self.add_loss(ops.mean(ops.square(y)))
            return y

    model = Penalised()
    model.compile("sgd", "mse")
    outputs = model.predict(X)
    expected = np.mean((outputs - Y) ** 2) + np.mean(outputs**2)
    assert model.evaluate(X, Y, verbose=0) == pytest.approx(expected, rel=1e-5)
    alone = Penalised()
    alone.compile("sgd")
    first, *_, last = alone.fit(X, epochs=5, verbose=0).history["loss"]
    assert last < first


def test_a_mask_reaches_a_call_that_asks_for_it():
    class Mean(layers.Layer):
        def call(self, x, mask=None):
            kept = ops.cast(mask, "float32")[..., None]
            return ops.sum(x * kept, axis=1) / ops.sum(kept, axis=1)

    class Words(Model):
        def __init__(self):
            super().__init__()
            self.table = layers.Embedding(10, 3, mask_zero=True)
            self.mean = Mean()

        def call(self, x):
            return self.mean(self.table(x))

    model = Words()
    words = np.array([[1, 2, 0], [3, 0, 0]])
    for outputs in (model(words), model.predict(words)):
        table = model.get_weights()[0]
        close(outputs, [table[[1, 2]].mean(0), table[3]])


def test_state_is_updated_by_training_and_stays_otherwise():
    class Counter(Model):
        def __init__(self):
            super().__init__()
            self.out = layers.Dense(2)

        def call(self, x):
            steps = self.state("steps", ())
            if self.training:
                steps.assign(steps.value + 1)
            return self.out(x)

    model = Counter()
    model.compile("sgd", "mse")
    model.fit(X, Y, batch_size=2, epochs=2, verbose=0)
    model.predict(X)
    model(X)
    assert list(nacre.lift(model).state.values()) == [6]
    assert [v.name for v in model.non_trainable_weights] == ["steps"]


# Weights


def test_what_is_frozen_does_not_move():
    model = Perceptron()
    model.hidden.trainable = False
    model(X)
    assert [v.name for v in model.trainable_weights] == ["kernel", "bias"]
    assert len(model.non_trainable_weights) == 2
    model.compile("adam", "mse")
    before = model.get_weights()
    model.fit(X, Y, verbose=0)
    same = [np.array_equal(a, b) for a, b in zip(before, model.get_weights())]
    assert same == [True, True, False, False]
    model.trainable = False
    assert (model.trainable_weights, model.out.trainable) == ([], False)
    model.trainable = True
    assert len(model.trainable_weights) == 4


def test_weights_are_set_in_the_order_in_which_they_are_got():
    model = Collections()
    with pytest.raises(ShapeError, match=r"the layer has no weights yet"):
        Perceptron().set_weights([X])
    model(X)
    weights = [RNG.normal(size=w.shape).astype(np.float32) for w in model.get_weights()]
    model.set_weights(weights)
    same_arrays(model.get_weights(), weights)
    np.testing.assert_allclose(model(X)["p"], collections(weights, X)[0], rtol=1e-4, atol=1e-4)


def test_initial_values_depend_on_the_seed_and_the_path_alone(seed):
    model = Perceptron()
    model(X)
    weights = model.get_weights()
    asked_inside = Perceptron()
    asked_inside.build((None, 4))
    asked_inside.out.get_weights()
    same_arrays(asked_inside.get_weights(), weights)
    fitted = Perceptron()
    fitted.compile(nacre.optimizers.SGD(0.0), "mse")
    fitted.fit(X, Y, verbose=0)
    same_arrays(fitted.get_weights(), weights)


# Making a model again


def again(model, way, tmp_path, classes):
    if way == "a file":
        model.save(tmp_path / "model.nacre")
        return load_model(tmp_path / "model.nacre", custom_objects=classes)
    if way == "clone_model":
        twin = clone_model(model, custom_objects=classes)
        assert not np.array_equal(twin.get_weights()[0], model.get_weights()[0])
        twin.set_weights(model.get_weights())
        return twin
    return copy.deepcopy(model) if way == "deepcopy" else pickle.loads(pickle.dumps(model))


WAYS = ["clone_model", "a file", "deepcopy", "pickle"]
CLASSES = {"Perceptron": Perceptron, "Collections": Collections, "Residual": Residual}


@pytest.mark.parametrize("way", WAYS)
def test_a_class_is_made_again(way, tmp_path):
    model = Perceptron(5)
    model(X)
    twin = again(model, way, tmp_path, CLASSES)
    assert type(twin) is Perceptron
    assert twin.hidden is not model.hidden
    np.testing.assert_array_equal(twin(X), model(X))
    many = Collections(3)
    many(X)
    many.scale.assign(np.full((1, 1), 2, np.float32))
    twin = again(many, way, tmp_path, CLASSES)
    assert twin.depth == 3
    same_arrays(twin(X).values(), many(X).values())


@pytest.mark.parametrize("way", ["a file", "deepcopy", "pickle"])
def test_a_copy_trains_on_as_the_original_would(way, tmp_path):
    model = Perceptron()
    model.compile(nacre.optimizers.Adam(0.01), "mse")
    model.fit(X, Y, batch_size=4, verbose=0)
    twin = again(model, way, tmp_path, CLASSES)
    before = model.get_weights()
    history = twin.fit(X, Y, batch_size=4, epochs=2, verbose=0).history
    same_arrays(model.get_weights(), before)
    assert model.fit(X, Y, batch_size=4, epochs=2, verbose=0).history == history
    same_arrays(model.get_weights(), twin.get_weights())


def test_a_copy_of_a_model_without_weights_has_none():
    model = copy.deepcopy(Perceptron(7))
    assert model.weights == []
    close(model(X), perceptron(model.get_weights(), X))


def test_a_class_may_have_a_graph(tmp_path):
    class Graph(Model):
        def __init__(self, width=3):
            x = Input((4,))
            super().__init__(inputs=x, outputs=layers.Dense(width)(x))
            self.width = width

    model = Graph(5)
    assert model.output_shape == (None, 5)
    for way in ("clone_model", "a file", "deepcopy"):
        twin = again(model, way, tmp_path, {"Graph": Graph})
        assert (type(twin), twin.width) == (Graph, 5)
        np.testing.assert_array_equal(twin(X), model(X))
    model.compile("sgd", "mse")
    model.fit(X, np.zeros((6, 5), np.float32), verbose=0)


# The three kinds in each other


class Around(Model):
    """A layer before and a layer behind another model."""

    def __init__(self, inner=None):
        super().__init__()
        self.before = layers.Dense(4)
        self.inner = inner
        self.behind = layers.Dense(4)

    def call(self, x):
        x = self.before(x)
        return self.behind(x if self.inner is None else self.inner(x))


def stack_around(inner=None):
    middle = [] if inner is None else [inner]
    return Sequential([Input((4,)), layers.Dense(4), *middle, layers.Dense(4)])


def unbuilt_stack_around(inner=None):
    middle = [] if inner is None else [inner]
    return Sequential([layers.Dense(4), *middle, layers.Dense(4)])


def graph_around(inner=None):
    x = Input((4,))
    h = layers.Dense(4)(x)
    return Model(x, layers.Dense(4)(h if inner is None else inner(h)))


KINDS = {
    "class": Around,
    "stack": stack_around,
    "unbuilt stack": unbuilt_stack_around,
    "graph": graph_around,
}


def three_affine(before, inner, behind):
    """What the layers of an outer and an inner model compute, with their gradients."""
    arrays = [*before, *inner, *behind]
    values, kernels = [X], arrays[::2]
    for kernel, bias in zip(kernels, arrays[1::2]):
        values.append(values[-1] @ kernel + bias)
    back = 2 * (values[-1] - Y4) / Y4.size
    gradients = []
    for kernel, value in zip(reversed(kernels), reversed(values[:-1])):
        gradients = [value.T @ back, back.sum(0), *gradients]
        back = back @ kernel.T
    return values[-1], [w - 0.1 * g for w, g in zip(arrays, gradients)]


Y4 = RNG.normal(size=(6, 4)).astype(np.float32)


PAIRS = [
    *itertools.product(["class", "stack", "graph"], repeat=2),
    ("class", "unbuilt stack"),
    ("unbuilt stack", "class"),
]


@pytest.mark.parametrize(("outside", "inside"), PAIRS)
def test_every_kind_of_model_trains_inside_every_other(outside, inside, tmp_path):
    inner = KINDS[inside]()
    outer = KINDS[outside](inner)
    outer.compile(nacre.optimizers.SGD(0.1), "mse")
    outputs = outer.predict(X)
    assert outer.count_params() == 4 * 20
    assert inner in outer.layers
    first, _, last = outer.layers
    expected, moved = three_affine(*(m.get_weights() for m in (first, inner, last)))
    close(outputs, expected)

    outer.fit(X, Y4, batch_size=6, verbose=0)
    new = [w for m in (first, inner, last) for w in m.get_weights()]
    for one, two in zip(new, moved, strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-4, atol=1e-5)
    close(last(inner(first(X))), outer.predict(X))

    twin = again(outer, "a file", tmp_path, {"Around": Around})
    np.testing.assert_array_equal(twin.predict(X), outer.predict(X))
    twin = copy.deepcopy(outer)
    before = outer.predict(X)
    twin.set_weights([0 * w for w in twin.get_weights()])
    np.testing.assert_array_equal(outer.predict(X), before)
    np.testing.assert_array_equal(twin(X), np.zeros((6, 4)))


@pytest.mark.parametrize(("outside", "inside"), list(itertools.product(KINDS, repeat=2)))
def test_the_inner_model_stands_on_its_own(outside, inside, tmp_path):
    inner = KINDS[inside]()
    outer = KINDS[outside](inner)
    outer(X)
    kernel, bias, kernel_behind, bias_behind = inner.get_weights()
    expected = (X @ kernel + bias) @ kernel_behind + bias_behind
    twins = [again(inner, way, tmp_path, {"Around": Around}) for way in WAYS]
    for one in (inner, *twins):
        close(one(X), expected)


def test_an_inner_model_is_made_again_for_any_length_and_with_its_mask(tmp_path):
    class Mean(Model):
        def __init__(self):
            super().__init__()
            self.hidden = layers.Dense(3)
            self.mean = layers.GlobalAveragePooling1D()

        def call(self, x):
            return self.mean(self.hidden(x))

    class Words(Model):
        def __init__(self):
            super().__init__()
            self.table = layers.Embedding(10, 4, mask_zero=True)
            self.inner = Mean()

        def call(self, x):
            return self.inner(self.table(x))

    words = np.array([[1, 2, 0], [3, 0, 0]])
    model = Words()
    x = Input((None,), dtype="int32")
    graph = Model(x, model(x))
    table, kernel, bias = graph.get_weights()
    expected = [(table[[1, 2]] @ kernel + bias).mean(0), table[3] @ kernel + bias]
    for one in (model, graph, again(graph, "a file", tmp_path, {"Mean": Mean, "Words": Words})):
        close(one(words), expected)
        close(one.predict(words), expected)
    for way in ("clone_model", "a file"):
        twin = again(model.inner, way, tmp_path, {"Mean": Mean})
        for length in (3, 5):
            series = RNG.normal(size=(2, length, 4)).astype(np.float32)
            close(twin(series), (series @ kernel + bias).mean(1))


def test_three_deep():
    inner = Around()
    model = graph_around(stack_around(Around(inner)))
    model.compile("adam", "mse")
    first, *_, last = model.fit(X, Y4, epochs=5, verbose=0).history["loss"]
    assert last < first
    assert model.count_params() == 8 * 20
    assert "sequential/around/inner/before/kernel" in paths(model)


# Mistakes


def refuses_a_class_without_call():
    class Idle(Model):
        def __init__(self):
            super().__init__()
            self.out = layers.Dense(2)

    Idle()(X)


def refuses_forward_for_call():
    class Torch(Model):
        def forward(self, x):
            return x

    Torch()(X)


def refuses_a_call_that_returns_nothing():
    class Silent(Perceptron):
        def call(self, x):
            self.hidden(x)

    Silent()(X)


def refuses_a_model_that_calls_itself():
    class Endless(Model):
        def __init__(self):
            super().__init__()
            self.out = layers.Dense(4)
            self.again = self

        def call(self, x):
            return self.out(self.again(x))

    Endless()(X)


def refuses_two_layers_that_call_each_other():
    class Ping(layers.Layer):
        def call(self, x):
            return self.other(x)

    one, two = Ping(name="ping"), Ping(name="pong")
    one.other, two.other = two, one
    Sequential([one])(X)


def refuses_a_stack_in_itself():
    model = Sequential([Input((4,)), layers.Dense(4)])
    model.add(Sequential([Input((4,)), model]))


def refuses_a_set_of_layers():
    class Unordered(Model):
        def __init__(self):
            super().__init__()
            self.blocks = {layers.Dense(2), layers.Dense(3)}

    Unordered()


def refuses_a_layer_made_in_every_call():
    class Leaky(Perceptron):
        def call(self, x):
            return layers.Dense(2)(super().call(x))

    model = Leaky()
    model.compile("sgd", "mse")
    model.fit(X, Y, verbose=0)


def refuses_a_layer_that_only_training_uses():
    class Sometimes(Perceptron):
        def call(self, x, training=False):
            return super().call(x) if training else self.hidden(x)[:, :2]

    model = Sometimes()
    model.compile("sgd", "mse")
    model.fit(X, Y, verbose=0)


def refuses_a_step_of_its_own():
    class Custom(Perceptron):
        def train_step(self, data):
            return {}

    Custom().compile("sgd", "mse")


def refuses_fit_before_compile():
    Perceptron().fit(X, Y)


def refuses_the_shape_of_what_was_never_called():
    _ = Perceptron().output_shape


def refuses_an_argument_that_is_misspelt():
    Perceptron(widht=3)


def refuses_a_question_to_an_array():
    class Asks(Model):
        def call(self, x):
            return x if ops.sum(x) > 0 else -x

    Asks().predict(X)


REFUSALS = {
    refuses_a_class_without_call: r"(?s)Idle has no method call.*write def call\(self, x\)",
    refuses_forward_for_call: r"rename the method forward to call",
    refuses_a_call_that_returns_nothing: r"(?s)Silent 'silent' returned nothing.*with return",
    refuses_a_model_that_calls_itself: r"(?s)Endless 'endless' calls itself without end",
    refuses_two_layers_that_call_each_other: r"(?s)without end.*ping -> pong",
    refuses_a_stack_in_itself: r"(?s)Sequential 'sequential' cannot contain itself",
    refuses_a_set_of_layers: r"(?s)Unordered.blocks is a set of layers.*make it a list",
    refuses_a_layer_made_in_every_call: r"(?s)new weight 'kernel'.*make the layer in __init__",
    refuses_a_layer_that_only_training_uses: r"(?s)'out'.*new weight.*model\(x, training=True\)",
    refuses_a_step_of_its_own: r"(?s)Custom has a method train_step.*nacre.lift",
    refuses_fit_before_compile: r"(?s)Perceptron 'perceptron' has not been compiled.*compile\(",
    refuses_the_shape_of_what_was_never_called: r"no symbolic input or output",
    refuses_an_argument_that_is_misspelt: r"did you mean 'width'",
    refuses_a_question_to_an_array: r"(?s)Asks 'asks'.*nacre.ops.where",
}


@pytest.mark.parametrize("mistake", REFUSALS, ids=lambda mistake: mistake.__name__)
def test_a_mistake_is_explained(mistake):
    with pytest.raises(NacreError, match=REFUSALS[mistake]):
        mistake()


def test_the_advice_about_a_layer_that_only_training_uses_helps():
    class Sometimes(Perceptron):
        def call(self, x, training=False):
            return super().call(x) if training else self.hidden(x)[:, :2]

    model = Sometimes()
    model(X)
    with pytest.raises(BuildError):
        model.compile("sgd", "mse")
        model.fit(X, Y, verbose=0)
    model(X, training=True)
    before = model.get_weights()
    assert len(before) == 4
    model.fit(X, Y, verbose=0)
    assert not any(np.array_equal(a, b) for a, b in zip(before, model.get_weights()))


def test_a_model_may_know_itself_and_its_owner():
    """References that lead back are no calls: nothing walks round in them."""

    class Knows(Perceptron):
        def __init__(self):
            super().__init__()
            self.me = self
            self.hidden.owner = self

    model = Knows()
    model(X)
    assert model.layers == [model.hidden, model.out]
    assert model.count_params() == 23
    model.trainable = False
    assert model.trainable_weights == []
    twin = copy.deepcopy(model)
    assert twin.me is twin
    np.testing.assert_array_equal(twin(X), model(X))


def test_misuse_of_get_layer_is_explained():
    with pytest.raises(ArgumentError, match="did you mean 'hidden'"):
        Perceptron().get_layer("hiden")
