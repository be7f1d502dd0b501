"""The functional API: several inputs and outputs, shared layers, parts of models, and mistakes."""

import copy
import json
import pickle

import jax
import jax.numpy as jnp
import keras
import numpy as np
import pytest

import nacre
from nacre import Input, Model, Sequential, layers, ops
from nacre.core.errors import ArgumentError, DataError, NacreError, ShapeError
from nacre.models import clone_model, load_model, model_from_json

pytestmark = pytest.mark.usefixtures("compiled_quickly")

RNG = np.random.default_rng(0)
X = RNG.normal(size=(6, 4)).astype(np.float32)
Z = RNG.normal(size=(6, 3)).astype(np.float32)
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


def names(model):
    return [name for name, _ in model.children()]


def close(one, two):
    np.testing.assert_allclose(one, two, rtol=1e-5, atol=1e-6)


def same_trees(one, two):
    assert jax.tree.structure(one) == jax.tree.structure(two)
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(two), strict=True):
        np.testing.assert_array_equal(a, b)


# The ways to make a model of one configuration again. All but the last know no values.
def from_config(model):
    return Model.from_config(json.loads(json.dumps(model.get_config())))


def through_a_file(model, tmp_path):
    model.save(tmp_path / "model.nacre")
    return load_model(tmp_path / "model.nacre")


MADE_AGAIN = {
    "from_config": from_config,
    "clone_model": clone_model,
    "to_json": lambda model: model_from_json(model.to_json()),
}
COPIED = {
    "deepcopy": copy.deepcopy,
    "pickle": lambda model: pickle.loads(pickle.dumps(model)),
}


# Several inputs and outputs


STRUCTURES = {
    "lists": (lambda a, b: [a, b], lambda p, q: [p, q]),
    "tuples": (lambda a, b: (a, b), lambda p, q: (p, q)),
    "dictionaries": (lambda a, b: {"b": b, "a": a}, lambda p, q: {"q": q, "p": p}),
    "a dictionary of pairs": (lambda a, b: [a, b], lambda p, q: {"pair": (p, q), "again": [p]}),
}


def two_in_two_out(structure):
    """``p`` is linear in both inputs, ``q`` is tanh of a linear function of the first."""
    pack_inputs, pack_outputs = STRUCTURES[structure]
    a, b = Input((4,), name="a"), Input((3,), name="b")
    p = layers.Dense(2, name="p")(layers.Concatenate()([a, b]))
    q = layers.Dense(1, name="q", activation="tanh")(a)
    model = Model(pack_inputs(a, b), pack_outputs(p, q))
    return model, pack_inputs, pack_outputs


def expected_of_two(model):
    kernel_p, bias_p = model.get_layer("p").get_weights()
    kernel_q, bias_q = model.get_layer("q").get_weights()
    return np.concatenate([X, Z], 1) @ kernel_p + bias_p, np.tanh(X @ kernel_q + bias_q)


@pytest.mark.parametrize("structure", STRUCTURES)
def test_inputs_and_outputs_have_the_structure_that_they_were_given(structure):
    model, pack_inputs, pack_outputs = two_in_two_out(structure)
    expected = pack_outputs(*expected_of_two(model))
    for outputs in (model(pack_inputs(X, Z)), model.predict(pack_inputs(X, Z), batch_size=4)):
        assert jax.tree.structure(outputs) == jax.tree.structure(expected)
        jax.tree.map(close, outputs, expected)
    shapes = jax.tree.map(lambda x: (None, *x.shape[1:]), pack_inputs(X, Z))
    assert model.input_shape == shapes
    assert [tensor.shape for tensor in model.inputs] == [(None, 4), (None, 3)]


@pytest.mark.parametrize("structure", STRUCTURES)
@pytest.mark.parametrize("way", [*MADE_AGAIN, *COPIED, "a file"])
def test_a_model_made_again_has_the_same_structure(structure, way, tmp_path):
    model, pack_inputs, _ = two_in_two_out(structure)
    if way == "a file":
        again = through_a_file(model, tmp_path)
    else:
        again = {**MADE_AGAIN, **COPIED}[way](model)
    assert names(again) == names(model)
    assert again.layers[0] is not model.layers[0]
    if way in MADE_AGAIN:
        assert not np.array_equal(again.get_weights()[0], model.get_weights()[0])
        again.set_weights(model.get_weights())
    same_trees(again(pack_inputs(X, Z)), model(pack_inputs(X, Z)))
    assert again.get_config() == model.get_config()


def test_inputs_may_come_as_any_of_list_tuple_and_dictionary_by_name():
    model, _, _ = two_in_two_out("lists")
    expected = model([X, Z])
    same_trees(model((X, Z)), expected)
    same_trees(model({"b": Z, "a": X}), expected)
    same_trees(model({"b": Z, "a": X, "not used": X}), expected)
    with pytest.raises(DataError, match=r"(?s)Expected: a, b.*Received: a, c"):
        model({"a": X, "c": Z})
    by_key, _, _ = two_in_two_out("dictionaries")
    with pytest.raises(DataError, match=r"(?s)an array for each input.*: b, a.*Received: b"):
        by_key({"b": Z})


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_training_sums_the_losses_of_the_outputs_as_keras_does(as_in_keras):
    def run(library):
        a, b = library.Input((4,), name="a"), library.Input((3,), name="b")
        both = library.layers.Concatenate()([a, b])
        p = library.layers.Dense(2, name="p")(both)
        q = library.layers.Dense(1, name="q", activation="tanh")(a)
        model = library.Model([a, b], {"p": p, "q": q})
        model.compile(
            library.optimizers.SGD(0.1),
            loss={"p": "mse", "q": "mae"},
            loss_weights={"p": 0.5, "q": 2.0},
            metrics={"q": ["mse"]},
        )
        model.set_weights(weights)
        data = ({"a": X, "b": Z}, {"p": Y, "q": X[:, :1]})
        history = model.fit(*data, epochs=3, batch_size=4, shuffle=False, verbose=0).history
        figures = model.evaluate(*data, verbose=0, return_dict=True)
        return history, figures, model.get_weights(), model.predict(data[0], verbose=0)

    weights = [RNG.normal(size=s).astype(np.float32) for s in [(7, 2), (2,), (4, 1), (1,)]]
    ours, theirs = run(nacre), run(keras)
    for one, two in zip(ours[:2], theirs[:2]):
        assert sorted(one) == sorted(two)
        for name in two:
            np.testing.assert_allclose(one[name], two[name], rtol=2e-5, err_msg=name)
    for one, two in zip(ours[2], theirs[2], strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-4, atol=1e-6)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6), *ours[3:], *theirs[3:]
    )


def test_one_input_and_output_may_stand_in_lists():
    x = Input((4,))
    model = Model(inputs=[x], outputs=[layers.Dense(2)(x)])
    model.compile("sgd", "mse")
    model.fit(X, Y, verbose=0)
    model.fit([X], [Y], verbose=0)
    [outputs] = model.predict([X])
    np.testing.assert_array_equal(model.predict(X)[0], outputs)
    assert model.evaluate(X, Y, verbose=0) == pytest.approx(np.mean((outputs - Y) ** 2), rel=1e-5)


def test_an_input_may_be_an_output_and_may_be_ignored():
    a, b = Input((4,)), Input((3,))
    model = Model([a, b], [a, a * 2.0])
    same, twice = model.predict([X, Z])
    np.testing.assert_array_equal(same, X)
    np.testing.assert_array_equal(twice, 2 * X)
    assert (model.layers, model.count_params()) == ([], 0)


# Shared layers


def test_a_layer_called_twice_has_one_set_of_weights_and_the_sum_of_both_gradients():
    dense = layers.Dense(2, activation="tanh")
    a, b = Input((4,)), Input((4,))
    model = Model([a, b], dense(a) + 3.0 * dense(b))
    assert model.layers == [dense]
    assert model.count_params() == 10
    other = X[::-1].copy()
    model.compile(nacre.optimizers.SGD(1.0), "mse")
    kernel, bias = model.get_weights()
    model.fit([X, other], Y, batch_size=6, verbose=0)

    one, two = np.tanh(X @ kernel + bias), np.tanh(other @ kernel + bias)
    error = 2 * (one + 3 * two - Y) / Y.size
    back_one, back_two = error * (1 - one**2), 3 * error * (1 - two**2)
    new_kernel, new_bias = model.get_weights()
    close(new_kernel, kernel - X.T @ back_one - other.T @ back_two)
    close(new_bias, bias - (back_one + back_two).sum(0))


@pytest.mark.parametrize("way", MADE_AGAIN)
def test_a_shared_layer_is_still_shared_when_made_again(way):
    dense = layers.Dense(4)
    x = Input((4,))
    model = Model(x, dense(ops.relu(dense(x))))
    again = MADE_AGAIN[way](model)
    assert len(again.layers) == 1
    again.set_weights(model.get_weights())
    kernel, bias = again.get_weights()
    close(again(X), np.maximum(X @ kernel + bias, 0) @ kernel + bias)


def test_two_models_share_a_layer():
    dense = layers.Dense(4)
    stack = Sequential([Input((4,)), dense])
    x = Input((4,))
    graph = Model(x, 2.0 * dense(x))
    for trained in (stack, graph):
        trained.compile("sgd", "mse")
        before = dense.get_weights()
        trained.fit(X, X, verbose=0)
        assert not np.array_equal(before[0], dense.get_weights()[0])
        np.testing.assert_array_equal(graph(X), 2 * stack(X))
        np.testing.assert_array_equal(graph.predict(X), 2 * stack.predict(X))
    both = copy.deepcopy([stack, graph])
    assert both[0].layers[0] is both[1].layers[0]
    assert both[0].layers[0] is not dense


def test_a_layer_frozen_in_one_model_is_frozen_in_the_other():
    x = Input((4,))
    base = Model(x, layers.Dense(4)(x))
    top = Model(x, layers.Dense(2)(base(x)))
    base.trainable = False
    assert [layer.trainable for layer in base.layers] == [False]
    assert [len(w) for w in (top.trainable_weights, top.non_trainable_weights)] == [2, 2]
    top.compile("adam", "mse")
    before = top.get_weights()
    top.fit(X, Y, verbose=0)
    same = [np.array_equal(one, two) for one, two in zip(before, top.get_weights())]
    assert same == [True, True, False, False]
    base.trainable = True
    top.fit(X, Y, verbose=0)
    assert not any(np.array_equal(one, two) for one, two in zip(before, top.get_weights()))


# Models as layers, and parts of models


def test_a_model_is_a_layer_and_may_be_called_twice():
    x = Input((4,))
    inner = Model(x, layers.Dense(4, name="mid")(x), name="inner")
    x = Input((4,))
    outer = Model(x, inner(ops.tanh(inner(x))))
    assert outer.layers == [inner]
    assert outer.count_params() == 20
    kernel, bias = inner.get_weights()
    close(outer(X), np.tanh(X @ kernel + bias) @ kernel + bias)
    assert inner.output_shape == (None, 4)
    assert list(nacre.lift(outer).params) == ["inner/mid/kernel", "inner/mid/bias"]


def test_siamese_towers():
    """Two inputs through one model: the distance of equal inputs is 0, and it is symmetric."""
    tower = Sequential([Input((4,)), layers.Dense(3, activation="relu"), layers.Dense(2)])
    a, b = Input((4,)), Input((4,))
    distance = ops.sum(ops.square(tower(a) - tower(b)), axis=-1, keepdims=True)
    model = Model([a, b], distance)
    other = X[::-1].copy()
    np.testing.assert_array_equal(model([X, X]), np.zeros((6, 1)))
    close(model([X, other]), model([other, X]))
    close(model([X, other])[:, 0], ((np.asarray(tower(X)) - np.asarray(tower(other))) ** 2).sum(1))
    model.compile("adam", "mse")
    first, *_, last = model.fit([X, other], Y[:, :1] * 0, epochs=10, verbose=0).history["loss"]
    assert last < first


def parts_of_a_model():
    x = Input((4,))
    h = layers.Dense(5, activation="relu", name="first")(x)
    h = layers.Dense(3, activation="tanh", name="second")(h)
    model = Model(x, layers.Dense(2, name="third")(h))
    head = Model(model.input, model.get_layer("first").output)
    tail = Model(model.get_layer("second").input, model.output)
    return model, head, tail


def test_a_model_is_cut_in_two_and_shares_its_weights():
    model, head, tail = parts_of_a_model()
    assert (head.output_shape, tail.input_shape) == ((None, 5), (None, 5))
    assert names(tail) == ["second", "third"]
    assert head.count_params() + tail.count_params() == model.count_params()
    kernel, bias = model.get_layer("first").get_weights()
    close(head(X), np.maximum(X @ kernel + bias, 0))
    np.testing.assert_array_equal(tail(head(X)), model(X))
    before = model(X)
    model.compile("sgd", "mse")
    model.fit(X, Y, verbose=0)
    assert not np.array_equal(before, model(X))
    np.testing.assert_array_equal(tail(head(X)), model(X))
    np.testing.assert_array_equal(tail.predict(head.predict(X)), model.predict(X))


def test_a_part_from_the_middle_is_made_again_without_the_rest(tmp_path):
    model, head, tail = parts_of_a_model()
    middle = Model(model.get_layer("second").input, model.get_layer("second").output)
    inside = head(X)
    for again in (clone_model(middle), through_a_file(middle, tmp_path), copy.deepcopy(middle)):
        assert names(again) == ["second"]
        again.set_weights(middle.get_weights())
        np.testing.assert_array_equal(again(inside), middle(inside))
    tail.compile("sgd", "mse")
    first = model.get_layer("first").get_weights()
    tail.fit(np.asarray(inside), Y, verbose=0)
    same_trees(model.get_layer("first").get_weights(), first)
    np.testing.assert_array_equal(tail(inside), model(X))


def test_every_layer_can_be_looked_into():
    model, head, _ = parts_of_a_model()
    looking = Model(model.input, [layer.output for layer in model.layers])
    first, _, last = looking(X)
    np.testing.assert_array_equal(first, head(X))
    np.testing.assert_array_equal(last, model(X))
    stack = Sequential([Input((4,)), layers.Dense(3), layers.ReLU()])
    inside = Model(stack.inputs, [layer.output for layer in stack.layers])
    before, after = inside.predict(X)
    np.testing.assert_array_equal(np.maximum(before, 0), after)
    np.testing.assert_array_equal(after, stack.predict(X))


def test_a_new_head_on_a_sequential():
    stack = Sequential([Input((4,)), layers.Dense(3, activation="relu"), layers.Dense(1)])
    model = Model(stack.input, layers.Dense(2, name="new")(stack.layers[-2].output))
    assert model.count_params() == 4 * 3 + 3 + 3 * 2 + 2
    assert model.layers[0] is stack.layers[0]
    assert model(X).shape == (6, 2)


# Functions on symbolic tensors


EXPRESSIONS = {
    "arithmetic": (lambda x: (1 - x) * 2 + x / 4 - x**2, lambda x: (1 - x) * 2 + x / 4 - x**2),
    "NumPy's arrays first": (
        lambda x: np.full((1, 4), 3, np.float32) * x + np.ones((1, 4), np.float32),
        lambda x: 3 * x + 1,
    ),
    "NumPy's matrix first": (
        lambda x: np.ones((2, 6), np.float32) @ x,
        lambda x: np.ones((2, 6)) @ x,
    ),
    "matrix product": (lambda x: x @ np.ones((4, 2), np.float32), lambda x: x @ np.ones((4, 2))),
    "index": (lambda x: x[:, 1:3], lambda x: x[:, 1:3]),
    "comparison": (lambda x: ops.where(x > 0, x, -0.5 * x), lambda x: np.where(x > 0, x, -0.5 * x)),
    "several results": (lambda x: ops.split(x, 2, axis=1)[1], lambda x: x[:, 2:]),
    "a list of arguments": (lambda x: ops.stack([x, -x], axis=1), lambda x: np.stack([x, -x], 1)),
    "reduction": (
        lambda x: ops.mean(abs(x), axis=-1, keepdims=True),
        lambda x: np.abs(x).mean(-1, keepdims=True),
    ),
    "shapes": (lambda x: ops.reshape(x, (-1, 2, 2)), lambda x: x.reshape(-1, 2, 2)),
}


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_functions_and_operators_on_symbolic_tensors(expression, tmp_path):
    ours, numpy = EXPRESSIONS[expression]
    fixed = 6 if expression == "NumPy's matrix first" else None
    x = Input((4,), batch_size=fixed)
    model = Model(x, ours(x))
    expected = numpy(X)
    close(model(X), expected)
    assert model.output_shape[1:] == expected.shape[1:]
    for again in (clone_model(model), copy.deepcopy(model), through_a_file(model, tmp_path)):
        np.testing.assert_array_equal(again(X), model(X))


def test_a_sum_in_place_becomes_symbolic():
    x = Input((4,))
    total = np.ones((1, 4), np.float32)
    total += x
    total -= np.float32(3)
    model = Model(x, total)
    close(model(X), X - 2)


def test_a_graph_may_be_deeper_than_python_can_recurse():
    x = h = Input((4,))
    for _ in range(400):
        h = layers.Identity()(h) + x
    model = Model(x, h)
    close(model(X), 401 * X)
    for again in (copy.deepcopy(model), pickle.loads(pickle.dumps(model)), clone_model(model)):
        assert len(again.layers) == 400
    np.testing.assert_array_equal(again(X), model(X))


def test_a_layer_may_return_a_tree():
    class Halves(layers.Layer):
        def call(self, x):
            return {"left": x[:, :2], "right": (x[:, 2:], 2 * x[:, 2:])}

    x = Input((4,))
    halves = Halves()(x)
    model = Model(x, [halves["right"][1], halves["left"]])
    again = clone_model(model, custom_objects={"Halves": Halves})
    for one in (model, again):
        right, left = one(X)
        np.testing.assert_array_equal(right, 2 * X[:, 2:])
        np.testing.assert_array_equal(left, X[:, :2])


# Keywords of layers: training and mask


def test_a_call_keeps_its_keywords():
    x = Input((100,))
    always = Model(x, layers.Dropout(0.5)(x, training=True))
    never = Model(x, layers.Dropout(0.5)(x, training=False))
    asked = Model(x, layers.Dropout(0.5)(x))
    ones = np.ones((3, 100), np.float32)

    def drops(outputs):
        outputs = np.asarray(outputs)
        assert set(np.unique(outputs)) <= {0, 1, 2}
        return bool((outputs == 0).any())

    for model in (always, clone_model(always)):
        assert drops(model(ones))
        assert drops(model.predict(ones))
    for model in (never, clone_model(never)):
        assert not drops(model(ones, training=True))
    assert not drops(asked(ones))
    assert drops(asked(ones, training=True))


def test_statistics_that_are_told_not_to_move_stay():
    x = Input((4,))
    frozen = layers.BatchNormalization(name="frozen")(x, training=False)
    model = Model(x, layers.BatchNormalization(name="moving")(frozen))
    model.compile("sgd", "mse")
    model.fit(X + 5, X, verbose=0)
    np.testing.assert_array_equal(model.get_layer("frozen").get_weights()[2], np.zeros(4))
    assert np.all(model.get_layer("moving").get_weights()[2] > 0)


WORDS = np.array([[1, 2, 0, 0, 0], [3, 0, 0, 0, 0], [4, 5, 6, 7, 8]])


def test_a_mask_flows_through_a_graph():
    words = Input((None,), dtype="int32")
    embedded = layers.Embedding(10, 4, mask_zero=True)(words)
    hidden = layers.Dense(3)(layers.Dropout(0.1)(embedded))
    model = Model(words, [layers.GlobalAveragePooling1D()(hidden), layers.LSTM(2)(hidden)])
    mean, last = model(WORDS)
    table, kernel, bias = model.get_weights()[:3]
    for row, length in enumerate([2, 1, 5]):
        alone = WORDS[row, :length]
        close(mean[row], (table[alone] @ kernel + bias).mean(0))
        close(last[row], model(alone[None])[1][0])


def test_a_mask_crosses_into_a_model_that_is_a_layer(tmp_path):
    steps = Input((None, 4))
    inner = Model(steps, layers.GlobalAveragePooling1D()(layers.Dense(3)(steps)))
    words = Input((None,), dtype="int32")
    outer = Model(words, inner(layers.Embedding(10, 4, mask_zero=True)(words)))
    stack = Sequential([layers.Embedding(10, 4, mask_zero=True), inner])
    stack(WORDS)
    stack.set_weights(outer.get_weights())
    table, kernel, bias = outer.get_weights()
    for model in (outer, stack, through_a_file(outer, tmp_path)):
        close(model(WORDS)[0], (table[WORDS[0, :2]] @ kernel + bias).mean(0))
        close(model.predict(WORDS)[1], table[3] @ kernel + bias)


def test_a_mask_may_be_an_input():
    x, mask = Input((5, 4)), Input((5,), dtype="bool")
    model = Model([x, mask], layers.SimpleRNN(3)(x, mask=mask))
    data = RNG.normal(size=(2, 5, 4)).astype(np.float32)
    kept = np.array([[1, 1, 0, 0, 0], [1, 1, 1, 0, 0]], bool)
    kernel, recurrent, bias = model.get_weights()
    again = clone_model(model)
    again.set_weights(model.get_weights())
    for one in (model, again, copy.deepcopy(model)):
        outputs = one([data, kept])
        for row, length in enumerate([2, 3]):
            state = np.zeros(3)
            for step in data[row, :length]:
                state = np.tanh(step @ kernel + state @ recurrent + bias)
            close(outputs[row], state)


# Sizes that are not known


def test_unknown_sizes_stay_unknown():
    images = Input((None, None, 3))
    h = layers.Conv2D(4, 3, padding="same")(images)
    assert h.shape == (None, None, None, 4)
    model = Model(images, layers.GlobalMaxPooling2D()(h))
    assert model.output_shape == (None, 4)
    for again in (model, clone_model(model)):
        assert again.input_shape == (None, None, None, 3)
        for size in [(2, 8, 9, 3), (1, 5, 4, 3)]:
            assert again(np.ones(size, np.float32)).shape == (size[0], 4)
    series = Input((None, 4))
    assert layers.MaxPooling1D()(series).shape == (None, None, 4)
    assert layers.Reshape((-1, 2))(series).shape == (None, None, 2)
    assert layers.Concatenate(axis=1)([series, Input((3, 4))]).shape == (None, None, 4)
    assert (series * series).shape == (None, None, 4)


def test_inputs_of_two_lengths():
    a, b = Input((None, 2)), Input((None, 2))
    model = Model([a, b], layers.Concatenate(axis=1)([a, b]))
    one, two = np.ones((2, 3, 2), np.float32), np.zeros((2, 5, 2), np.float32)
    np.testing.assert_array_equal(model([one, two]), np.concatenate([one, two], 1))
    np.testing.assert_array_equal(model.predict([one, two]), np.concatenate([one, two], 1))


def test_a_fixed_batch():
    x = Input((4,), batch_size=6)
    model = Model(x, layers.Dense(2)(x))
    assert model.output_shape == clone_model(model).output_shape == (6, 2)
    assert model(X).shape == (6, 2)
    with pytest.raises(ShapeError, match=r"(?s)\(6, 4\).*\(2, 4\).*give 6 examples at a time"):
        model(X[:2])


# Eager calls


def test_a_model_is_called_on_whatever_numpy_can_read():
    x = Input((4,))
    model = Model(x, layers.Dense(2)(x))
    kernel, bias = model.get_weights()
    expected = X @ kernel + bias
    for inputs in (X, jnp.asarray(X), X.astype(np.float64), X.tolist()):
        outputs = model(inputs)
        assert isinstance(outputs, jax.Array)
        assert outputs.dtype == np.float32
        close(outputs, expected)
    close(model(np.arange(4)[None]), np.arange(4)[None] @ kernel + bias)
    column = Input((1,))
    np.testing.assert_array_equal(Model(column, column * 2.0)(np.arange(3.0)), [[0], [2], [4]])


def test_a_model_is_differentiated_and_jitted_by_jax():
    x = Input((4,))
    model = Model(x, layers.Dense(1)(x))
    gradient = jax.grad(lambda inputs: model(inputs).sum())(jnp.asarray(X))
    close(gradient, np.repeat(model.get_weights()[0].T, 6, axis=0))
    close(jax.jit(lambda inputs: model(inputs))(jnp.asarray(X)), model(X))


def test_a_type_of_input_is_what_arrays_are_brought_to():
    x = Input((4,), dtype="int32")
    model = Model(x, ops.cast(x, "float32") * 0.5)
    close(model(np.array([[1, 2, 3, 4]], np.uint8)), [[0.5, 1, 1.5, 2]])
    assert model.input.dtype == clone_model(model).input.dtype == "int32"


# Names, seeds, weights, copies


def test_names_are_numbered_within_the_model():
    def build():
        x = Input((4,))
        return Model(
            x, layers.Dense(2, name="dense")(layers.ReLU()(layers.Dense(3)(x))), name="net"
        )

    for model in (build(), build()):
        assert model.name == "net"
        assert names(model) == ["dense_1", "re_lu", "dense"]
        assert model.get_layer("dense") is model.layers[2]
        assert model.get_layer(index=-1) is model.layers[2]
        assert list(nacre.lift(model).params) == [
            "dense_1/kernel",
            "dense_1/bias",
            "dense/kernel",
            "dense/bias",
        ]
    with pytest.raises(ArgumentError, match="did you mean 'dense'"):
        model.get_layer("dens")
    with pytest.raises(ArgumentError, match=r"(?s)an index below 3.*Received: 3"):
        model.get_layer(index=3)
    with pytest.raises(ArgumentError, match="needs the name of a layer"):
        model.get_layer()


def test_the_seed_fixes_the_initial_values_by_place(seed):
    def build():
        x = Input((4,))
        return Model(x, layers.Dense(4)(layers.Dense(4)(x)))

    one, two = build().get_weights(), build().get_weights()
    same_trees(one, two)
    assert not np.array_equal(one[0], one[2])


def test_weights_are_set_in_the_order_in_which_they_are_got():
    model, _, _ = two_in_two_out("lists")
    weights = [RNG.normal(size=w.shape).astype(np.float32) for w in model.get_weights()]
    model.set_weights(weights)
    same_trees(model.get_weights(), weights)
    p, q = expected_of_two(model)
    close(model([X, Z])[0], p)
    close(model([X, Z])[1], q)
    assert model.count_params() == sum(w.size for w in weights) == 7 * 2 + 2 + 4 + 1
    with pytest.raises(ShapeError, match=r"set_weights got arrays that do not fit"):
        model.set_weights(weights[::-1])


@pytest.mark.parametrize("way", [*COPIED, "a file"])
def test_a_copy_trains_on_as_the_original_would(way, tmp_path):
    model, _, _ = two_in_two_out("lists")
    model.compile(nacre.optimizers.Adam(0.01), ["mse", "mae"])
    data = ([X, Z], [Y, Y[:, :1]])
    model.fit(*data, batch_size=4, verbose=0)
    twin = through_a_file(model, tmp_path) if way == "a file" else COPIED[way](model)
    before = model.get_weights()
    history = twin.fit(*data, batch_size=4, epochs=2, verbose=0).history
    same_trees(model.get_weights(), before)
    assert model.fit(*data, batch_size=4, epochs=2, verbose=0).history == history
    same_trees(model.get_weights(), twin.get_weights())


# Mistakes


def refuses_two_layers_of_one_name():
    x = Input((4,))
    Model(x, layers.Dense(2, name="d")(layers.Dense(2, name="d")(x)))


def refuses_two_models_of_one_name():
    x = Input((4,))
    one, two = (Model(x, layers.Dense(4)(x), name="net") for _ in range(2))
    Model(x, two(one(x)))


def refuses_two_inputs_of_one_name():
    a, b = Input((4,), name="a"), Input((4,), name="a")
    Model([a, b], a + b)


def refuses_one_input_twice():
    x = Input((4,))
    Model([x, x], layers.Dense(2)(x))


def refuses_an_input_that_is_not_listed():
    a, b = Input((4,), name="left"), Input((4,), name="right")
    Model(a, layers.Add()([a, b]))


def refuses_an_inside_of_another_model():
    x = Input((4,), name="inner_input")
    inner = Model(x, layers.Dense(3, name="mid")(x))
    x = Input((4,))
    outer = Model(x, inner(x))
    Model(outer.input, inner.get_layer("mid").output)


def refuses_a_layer_as_output():
    Model(Input((4,)), layers.Dense(2))


def refuses_inputs_alone():
    Model(Input((4,)))


def refuses_too_few_arrays():
    two_in_two_out("lists")[0]([X])


def refuses_arrays_side_by_side():
    two_in_two_out("lists")[0](X, Z)


def refuses_arrays_in_the_wrong_order():
    two_in_two_out("lists")[0]([Z, X])


def refuses_too_few_arrays_to_fit():
    model, _, _ = two_in_two_out("lists")
    model.compile("sgd", "mse")
    model.fit([X], [Y, Y[:, :1]], verbose=0)


def refuses_nothing():
    x = Input((4,))
    Model(x, layers.Dense(2)(x))(None)


def refuses_a_symbolic_tensor_of_another_shape():
    x = Input((4,))
    Model(x, layers.Dense(2)(x))(Input((3,)))


def refuses_inputs_of_two_sizes_for_one_layer():
    dense = layers.Dense(2)
    dense(Input((4,)))
    dense(Input((5,)))


def refuses_a_layer_that_returns_nothing():
    class Forgetful(layers.Layer):
        def call(self, x):
            x * 2

    Forgetful()(Input((4,)))


def refuses_to_say_whether_a_tensor_is_true():
    return bool(Input((4,)) > 0)


def refuses_to_iterate_over_a_tensor():
    a, b = Input((2,))
    return a + b


def refuses_a_reduction_of_numpy():
    np.sum(Input((4,)))


def refuses_a_function_of_numpy():
    np.exp(Input((4,)))


def refuses_a_function_of_jax():
    jnp.tanh(Input((4,)))


def refuses_a_size_that_weights_depend_on():
    layers.Dense(2)(Input((None,)))


def refuses_a_tensor_for_a_constructor():
    layers.Dense(Input((4,)))


REFUSALS = {
    refuses_two_layers_of_one_name: r"Two layers are named 'd'",
    refuses_two_models_of_one_name: r"Two layers are named 'net'",
    refuses_two_inputs_of_one_name: r"(?s)different names.*two inputs named 'a'",
    refuses_one_input_twice: r"(?s)different tensors.*listed twice",
    refuses_an_input_that_is_not_listed: r"(?s)does not list.*named 'right'.*add it to Model",
    refuses_an_inside_of_another_model: r"(?s)does not list.*named 'inner_input'",
    refuses_a_layer_as_output: r"(?s)Received: Dense.*the result of calling a layer",
    refuses_inputs_alone: r"both inputs and outputs",
    refuses_too_few_arrays: r"(?s)has 2 inputs.*\(batch, 4\), \(batch, 3\).*Received: \(6, 4\)",
    refuses_arrays_side_by_side: r"put several inputs in one list",
    refuses_arrays_in_the_wrong_order: r"(?s)inputs 'a' of this shape.*\(batch, 4\).*\(6, 3\)",
    refuses_too_few_arrays_to_fit: r"(?s)2 inputs.*Received: ",
    refuses_nothing: r"(?s)has 1 input\..*Received: nothing",
    refuses_a_symbolic_tensor_of_another_shape: r"(?s)\(batch, 4\).*\(batch, 3\)",
    refuses_inputs_of_two_sizes_for_one_layer: r"(?s)another size.*\(4, 2\).*a second layer",
    refuses_a_layer_that_returns_nothing: r"(?s)Forgetful 'forgetful' returned nothing.*return",
    refuses_to_say_whether_a_tensor_is_true: r"(?s)neither true nor false.*nacre.ops.where",
    refuses_to_iterate_over_a_tensor: r"nacre.ops.unstack",
    refuses_a_reduction_of_numpy: r"(?s)has no values yet.*use nacre.ops",
    refuses_a_function_of_numpy: r"(?s)has no values yet.*use nacre.ops",
    refuses_a_function_of_jax: r"(?s)has no values yet.*use nacre.ops",
    refuses_a_size_that_weights_depend_on: r"(?s)size depends on one that is not known.*Input",
    refuses_a_tensor_for_a_constructor: r"(?s)made with a symbolic tensor.*Dense\(\.\.\.\)\(x\)",
}


@pytest.mark.parametrize("mistake", REFUSALS, ids=lambda mistake: mistake.__name__)
def test_a_mistake_is_explained(mistake):
    with pytest.raises(NacreError, match=REFUSALS[mistake]):
        mistake()


def test_a_missing_method_of_a_tensor_names_the_function():
    with pytest.raises(AttributeError, match=r"nacre\.ops, such as reshape\(x\)"):
        Input((4,)).reshape(2, 2)
