"""Losses against NumPy, with weights, masks, logits and the errors that teach."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from nacre import activations, losses
from nacre.core.configurable import deserialize, serialize
from nacre.core.errors import ArgumentError, ShapeError
from nacre.core.scope import Scope, annotate

RANDOM = np.random.default_rng(0)
X = RANDOM.normal(0, 2, (6, 4))
P = np.exp(X) / np.exp(X).sum(-1, keepdims=True)
LABELS = np.array([0, 3, 1, 1, 2, 0])
ONE_HOT = np.eye(4)[LABELS]
BITS = RANDOM.integers(0, 2, (6, 4)).astype(float)
T = RANDOM.normal(0, 2, (6, 4))


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


# name: (targets, predictions, the value for each example)
EXAMPLES = {
    "mean_squared_error": (T, X, ((T - X) ** 2).mean(-1)),
    "mean_absolute_error": (T, X, np.abs(T - X).mean(-1)),
    "mean_absolute_percentage_error": (T, X, 100 * np.abs((T - X) / T).mean(-1)),
    "mean_squared_logarithmic_error": (
        abs(T), abs(X), ((np.log1p(abs(T)) - np.log1p(abs(X))) ** 2).mean(-1),
    ),
    "huber": (
        T, X, np.where(abs(T - X) <= 1, (T - X) ** 2 / 2, abs(T - X) - 0.5).mean(-1),
    ),
    "log_cosh": (T, X, np.log(np.cosh(X - T)).mean(-1)),
    "poisson": (abs(T), abs(X), (abs(X) - abs(T) * np.log(abs(X) + 1e-7)).mean(-1)),
    "cosine_similarity": (
        T, X, -(T * X).sum(-1) / np.linalg.norm(T, axis=-1) / np.linalg.norm(X, axis=-1),
    ),
    "hinge": (BITS, X, np.maximum(1 - (2 * BITS - 1) * X, 0).mean(-1)),
    "squared_hinge": (BITS, X, (np.maximum(1 - (2 * BITS - 1) * X, 0) ** 2).mean(-1)),
    "categorical_hinge": (
        ONE_HOT, X, np.maximum(1 + ((1 - ONE_HOT) * X).max(-1) - (ONE_HOT * X).sum(-1), 0),
    ),
    "kl_divergence": (P[::-1], P, (P[::-1] * np.log(P[::-1] / P)).sum(-1)),
    "binary_crossentropy": (
        BITS, sigmoid(X),
        -(BITS * np.log(sigmoid(X)) + (1 - BITS) * np.log(sigmoid(-X))).mean(-1),
    ),
    "binary_focal_crossentropy": (
        BITS, sigmoid(X),
        -np.where(BITS == 1, sigmoid(-X) ** 2 * np.log(sigmoid(X)),
                  sigmoid(X) ** 2 * np.log(sigmoid(-X))).mean(-1),
    ),
    "categorical_crossentropy": (ONE_HOT, P, -np.log(P[np.arange(6), LABELS])),
    "sparse_categorical_crossentropy": (LABELS, P, -np.log(P[np.arange(6), LABELS])),
}  # fmt: skip


def float32(array):
    return array.astype(np.float32) if array.dtype.kind == "f" else array


@pytest.fixture(scope="module")
def compiled():
    pairs = {name: (float32(t), float32(y)) for name, (t, y, _) in EXAMPLES.items()}
    return jax.jit(lambda pairs: {n: losses.get(n)(*pair) for n, pair in pairs.items()})(pairs)


@pytest.mark.parametrize("name", sorted(EXAMPLES))
def test_value_for_each_example_eagerly_and_compiled(compiled, name):
    t, y, expected = EXAMPLES[name]
    value = losses.get(name)(float32(t), float32(y))
    np.testing.assert_allclose(value, expected, rtol=2e-5, atol=1e-6)
    np.testing.assert_allclose(compiled[name], expected, rtol=2e-5, atol=1e-6)


def test_gradients_match_finite_differences():
    direction, step = RANDOM.normal(size=(6, 4)), 1e-6

    def slopes(examples):
        found = {}
        for name, (t, y, _) in examples.items():

            def rise(y, step, name=name, t=t):
                return jnp.sum(losses.get(name)(t, y + step * direction))

            exact = jax.grad(rise, argnums=1)(y, 0.0)
            found[name] = (exact, (rise(y, step) - rise(y, -step)) / (2 * step))
        return found

    with jax.enable_x64(True):
        for name, (exact, numerical) in jax.jit(slopes)(EXAMPLES).items():
            np.testing.assert_allclose(exact, numerical, rtol=1e-6, err_msg=name)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_sixteen_bits_are_computed_in_float32(dtype):
    def everything(examples):
        return {name: losses.get(name)(t, y) for name, (t, y) in examples.items()}

    targets = {name: float32(t) for name, (t, _, _) in EXAMPLES.items()}
    rounded = {name: jnp.asarray(float32(y), dtype) for name, (_, y, _) in EXAMPLES.items()}
    narrow = jax.jit(everything)({name: (targets[name], rounded[name]) for name in EXAMPLES})
    widened = {name: (targets[name], rounded[name].astype(jnp.float32)) for name in EXAMPLES}
    for name, expected in jax.jit(everything)(widened).items():
        assert narrow[name].dtype == jnp.float32, name
        np.testing.assert_allclose(narrow[name], expected, rtol=1e-6, err_msg=name)


@pytest.mark.parametrize("dtype", ["uint8", "int64", "int32", "float32", "float16"])
def test_labels_of_any_type(dtype):
    y = float32(P)
    expected = EXAMPLES["sparse_categorical_crossentropy"][2]
    value = losses.sparse_categorical_crossentropy(LABELS.astype(dtype), y)
    np.testing.assert_allclose(value, expected, rtol=1e-5)
    loss = losses.SparseCategoricalCrossentropy()(LABELS.astype(dtype)[:, None], y)
    np.testing.assert_allclose(loss, expected.mean(), rtol=1e-5)
    value = losses.categorical_crossentropy(ONE_HOT.astype(dtype), y)
    np.testing.assert_allclose(value, expected, rtol=1e-5)
    value = losses.binary_crossentropy(BITS.astype(bool), float32(sigmoid(X)))
    np.testing.assert_allclose(value, EXAMPLES["binary_crossentropy"][2], rtol=1e-5)


# Logits


def test_gradient_of_the_sparse_loss_is_softmax_minus_one_hot():
    def total(x):
        return jnp.sum(losses.sparse_categorical_crossentropy(LABELS, x, from_logits=True))

    np.testing.assert_allclose(jax.grad(total)(float32(X)), P - ONE_HOT, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "activation, name, t",
    [
        ("softmax", "categorical_crossentropy", np.array([[0.0, 1.0], [1.0, 0.0]])),
        ("softmax", "sparse_categorical_crossentropy", np.array([1, 0])),
        ("sigmoid", "binary_crossentropy", np.array([[0.0, 1.0], [1.0, 0.0]])),
        ("sigmoid", "binary_focal_crossentropy", np.array([[0.0, 1.0], [1.0, 0.0]])),
    ],
)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_known_logits_are_used(activation, name, t, dtype):
    x = jnp.asarray([[200.0, -200.0], [-200.0, 200.0]], dtype)  # every example is badly wrong
    loss = losses.get(name.title().replace("_", ""))

    def of_probabilities(x):
        with Scope():
            return loss(t, activations.get(activation)(x))

    function = losses.get(name)
    expected = jnp.mean(function(t, x, from_logits=True))
    np.testing.assert_allclose(expected, 400 if activation == "softmax" else 200)
    value, slope = jax.jit(jax.value_and_grad(of_probabilities))(x)
    np.testing.assert_allclose(value, expected)
    assert np.abs(np.asarray(slope, np.float32)).min() > 0.1
    # Without them the loss is what clipped probabilities give, and the gradient is lost.
    clipped = loss(t, activations.get(activation)(x))
    np.testing.assert_allclose(clipped, -np.log(1e-7), rtol=1e-2)


def test_known_logits_survive_a_last_axis_of_one():
    x = jnp.full((2, 3, 1), 100.0)
    with Scope():
        loss = losses.BinaryCrossentropy()(np.zeros((2, 3)), activations.sigmoid(x))
    np.testing.assert_allclose(loss, 100)


def test_logits_of_another_axis_are_not_used():
    x = jnp.asarray(float32(X))
    with Scope():
        y = activations.softmax(x)
        value = losses.categorical_crossentropy(ONE_HOT, y, axis=0)
    np.testing.assert_allclose(
        value, losses.categorical_crossentropy(ONE_HOT, P, axis=0), rtol=1e-5
    )


@jax.jit
def sparse_and_dense(labels, one_hot, x, shift):
    return (
        losses.sparse_categorical_crossentropy(labels, x + shift, from_logits=True),
        losses.categorical_crossentropy(one_hot, x, from_logits=True),
    )


@settings(max_examples=25, deadline=None)
@given(st.sampled_from([2, 5]), st.integers(-1000, 1000), st.integers(0, 2**31))
def test_losses_of_logits_do_not_change_with_a_shift(classes, shift, seed):
    generator = np.random.default_rng(seed)
    x = generator.normal(0, 3, (2, classes)).astype(np.float32)
    labels = generator.integers(0, classes, 2)
    one_hot = np.eye(classes, dtype=np.float32)[labels]
    sparse, dense = sparse_and_dense(labels, one_hot, x, np.float32(shift))
    assert (np.asarray(dense) >= 0).all()
    np.testing.assert_allclose(sparse, dense, rtol=1e-3, atol=2e-3)


def test_classes_on_another_axis():
    expected = EXAMPLES["sparse_categorical_crossentropy"][2]
    value = losses.sparse_categorical_crossentropy(LABELS, float32(P.T), axis=0)
    np.testing.assert_allclose(value, expected, rtol=1e-5)
    value = losses.categorical_crossentropy(ONE_HOT.T, float32(P.T), axis=0)
    np.testing.assert_allclose(value, expected, rtol=1e-5)


def test_labels_outside_the_classes_count_for_nothing():
    t, y = np.array([-1, 4, 2, -7]), float32(P[:4])
    value, pull = jax.vjp(lambda y: losses.sparse_categorical_crossentropy(t, y), y)
    np.testing.assert_allclose(value, [0, 0, -np.log(P[2, 2]), 0], rtol=1e-5)
    assert not np.any(np.asarray(pull(jnp.ones_like(value))[0])[[0, 1, 3]])


def test_ignored_class():
    t = np.array([0, 3, 1, 255, 2, 255], np.uint8)
    loss = losses.SparseCategoricalCrossentropy(ignore_class=255)
    expected = EXAMPLES["sparse_categorical_crossentropy"][2][[0, 1, 2, 4]]
    np.testing.assert_allclose(loss(t, float32(P)), expected.mean(), rtol=1e-5)
    gradient = jax.grad(lambda y: loss(t, y))(float32(P))
    assert np.isfinite(gradient).all() and not np.any(np.asarray(gradient)[[3, 5]])


# Reduction, weights and masks

E = EXAMPLES["mean_squared_error"][2]
W = np.array([1.0, 0.0, 2.0, 0.5, 0.0, 3.0])


@pytest.mark.parametrize(
    "reduction, expected",
    [
        ("sum_over_batch_size", (E * W).mean()),
        ("mean", (E * W).mean()),
        ("sum", (E * W).sum()),
        ("mean_with_sample_weight", (E * W).sum() / W.sum()),
        ("none", E * W),
        (None, E * W),
    ],
)
@pytest.mark.parametrize("shape", [(6,), (6, 1)])
def test_reductions(reduction, expected, shape):
    loss = losses.MeanSquaredError(reduction=reduction)
    value = loss(float32(T), float32(X), sample_weight=W.reshape(shape))
    np.testing.assert_allclose(value, expected, rtol=1e-5)


def test_weights_of_examples_reach_all_their_values():
    t, y = RANDOM.normal(size=(2, 3, 5, 4)).astype(np.float32)
    values = ((t - y) ** 2).mean(-1)
    loss = losses.MeanSquaredError(reduction="none")
    for shape in [(3,), (3, 1), (3, 5)]:
        weights = RANDOM.uniform(size=shape)
        expected = values * weights.reshape(shape + (1,) * (2 - len(shape)))
        np.testing.assert_allclose(loss(t, y, weights), expected, rtol=1e-5)
    np.testing.assert_allclose(loss(t, y, 2.0), 2 * values, rtol=1e-5)


def test_weights_that_sum_to_zero_give_zero():
    loss = losses.MeanSquaredError(reduction="mean_with_sample_weight")
    assert loss(float32(T), float32(X), np.zeros(6)) == 0
    slope = jax.grad(lambda x: loss(float32(T), x, np.zeros(6)))(float32(X))
    assert not np.any(slope)


def test_masked_steps_do_not_count():
    t, y = RANDOM.normal(size=(2, 3, 5, 4)).astype(np.float32)
    mask = RANDOM.uniform(size=(3, 5)) > 0.4
    values = ((t - y) ** 2).mean(-1)
    weights = RANDOM.uniform(size=3)
    with Scope():
        y = annotate(jnp.asarray(y), mask=jnp.asarray(mask))
        plain = losses.MeanSquaredError()(t, y)
        weighted = losses.MeanSquaredError()(t, y, weights)
        total = losses.MeanSquaredError(reduction="sum")(t, y)
        half = losses.MeanSquaredError(dtype="float16")(t, y)
    np.testing.assert_allclose(plain, values[mask].mean(), rtol=1e-5)
    weighted_values = (values * weights[:, None])[mask]
    np.testing.assert_allclose(weighted, weighted_values.mean(), rtol=1e-5)
    np.testing.assert_allclose(total, values[mask].sum(), rtol=1e-5)
    np.testing.assert_allclose(half, values[mask].mean(), rtol=1e-2)


def test_everything_masked_gives_zero():
    with Scope():
        y = annotate(jnp.ones((2, 3, 1)), mask=jnp.zeros((2, 3), bool))
        assert losses.MeanSquaredError()(np.zeros((2, 3, 1)), y) == 0


# Shapes


@pytest.mark.parametrize("name", ["mean_squared_error", "binary_crossentropy", "hinge", "huber"])
def test_a_last_axis_of_one_is_added_or_dropped(name):
    t, y = RANDOM.integers(0, 2, 5).astype(np.float32), RANDOM.uniform(size=5).astype(np.float32)
    function = losses.get(name)
    expected = function(t[:, None], y[:, None])
    assert expected.shape == (5,)
    np.testing.assert_array_equal(function(t, y[:, None]), expected)
    np.testing.assert_array_equal(function(t[:, None], y), expected)
    t, y = t.reshape(1, 5), y.reshape(1, 5)
    np.testing.assert_array_equal(function(t[..., None], y), function(t, y))
    np.testing.assert_array_equal(function(t, y[..., None]), function(t, y))


def zeros(*shape):
    return np.zeros(shape, np.float32)


@pytest.mark.parametrize(
    "name, t, y, message",
    [
        (
            "categorical_crossentropy",
            (5,),
            (5, 3),
            "use the loss 'sparse_categorical_crossentropy'",
        ),
        ("categorical_crossentropy", (5, 1), (5, 3), "to_categorical.y, num_classes=3."),
        ("categorical_crossentropy", (5, 4), (5, 3), r"Dense\(4\)"),
        ("categorical_crossentropy", (5, 1), (5, 1), "Dense.1, activation='sigmoid'."),
        ("sparse_categorical_crossentropy", (5, 3), (5, 3), "use the loss 'categorical_crossent"),
        ("sparse_categorical_crossentropy", (4,), (5, 3), "as many targets as predictions"),
        ("sparse_categorical_crossentropy", (5,), (5, 1), "nothing to learn"),
        ("sparse_categorical_crossentropy", (5,), (5, 7, 3), "return_sequences"),
        ("sparse_categorical_crossentropy", (5,), (5,), "class numbers|one class number"),
        ("binary_crossentropy", (5,), (5, 2), "one output: end with Dense.1, activation='sigmoid'"),
        ("binary_crossentropy", (5, 1), (5, 2), "For 2 classes keep the outputs"),
        (
            "mean_squared_error",
            (5,),
            (5, 3),
            r"one target is compared with 3 outputs: .* Dense\(1\)",
        ),
        ("mean_squared_error", (5, 2), (5, 3), r"Dense\(2\)"),
        ("mean_squared_error", (4, 3), (5, 3), "as many targets as predictions"),
        ("mean_squared_error", (5, 2), (5, 7, 7, 3), "Flatten or global pooling"),
        ("mean_squared_error", (), (5, 3), "at least one axis"),
        ("mean_squared_error", (), (), "at least one axis"),
    ],
)
def test_shapes_that_do_not_fit(name, t, y, message):
    with pytest.raises(ShapeError, match=message) as error:
        losses.get(name)(zeros(*t), zeros(*y))
    assert name in str(error.value) and str(y) in str(error.value)


@pytest.mark.parametrize("weights", [(4,), (6, 4), (6, 1, 1), (1, 6)])
def test_weights_that_do_not_fit(weights):
    with pytest.raises(ShapeError, match="one weight for each example"):
        losses.MeanSquaredError()(float32(T), float32(X), zeros(*weights))


def test_weights_of_a_loss_without_examples():
    with pytest.raises(ShapeError, match=r"y\[:, None\]"):
        losses.MeanSquaredError()(zeros(5), zeros(5), zeros(5))


# Objects


@pytest.mark.parametrize("name", sorted(EXAMPLES))
def test_objects_average_their_functions_and_survive_a_file(name):
    t, y, expected = EXAMPLES[name]
    cls = {"huber": "Huber", "kl_divergence": "KLDivergence", "log_cosh": "LogCosh"}.get(
        name, name.title().replace("_", "")
    )
    loss = losses.get(cls)
    assert loss.name == ("huber_loss" if name == "huber" else name)
    found = losses.resolve_for(name, t.shape, y.shape)
    assert found is not None and found.name == name
    assert type(deserialize(serialize(loss))) is type(loss)
    for one in (loss, found):
        np.testing.assert_allclose(one(float32(t), float32(y)), expected.mean(), rtol=2e-5)


def test_arguments_survive_a_file():
    loss = losses.CategoricalCrossentropy(label_smoothing=0.1, from_logits=True, reduction="sum")
    restored = deserialize(serialize(loss))
    assert restored.get_config() == loss.get_config()
    np.testing.assert_array_equal(restored(ONE_HOT, X), loss(ONE_HOT, X))
    wrapped = losses.LossFunctionWrapper(losses.huber, delta=2.0, name="mine")
    restored = deserialize(serialize(wrapped))
    assert restored.name == "mine"
    np.testing.assert_array_equal(restored(T, X), losses.Huber(2.0)(T, X))


def test_a_plain_function_becomes_a_loss():
    def asymmetric(y_true, y_pred):
        return jnp.mean(jnp.where(y_true > y_pred, 2.0, 1.0) * abs(y_true - y_pred), axis=-1)

    loss = losses.resolve_for(asymmetric, (6,), (6, 1))
    assert loss is not None and loss.name == "asymmetric"
    np.testing.assert_allclose(loss(np.array([1, 3]), np.array([[2.0], [2.0]])), 1.5)


def test_a_subclass_gets_targets_it_can_compute_with():
    class Difference(losses.Loss):
        def call(self, y_true, y_pred):
            return y_true["a"] - y_pred["a"]

    t, y = {"a": np.array([3, 4])}, {"a": jnp.asarray([1.0, 1.0])}
    np.testing.assert_allclose(Difference()(t, y), 2.5)
    assert Difference().name == "difference"


@pytest.mark.parametrize(
    "t, y, name",
    [
        ((None,), (None, 1), "binary_crossentropy"),
        ((None, 1), (None, 3), "sparse_categorical_crossentropy"),
        ((None,), (None, 3), "sparse_categorical_crossentropy"),
        ((None, 3), (None, 3), "categorical_crossentropy"),
        ((None, 7), (None, 7, 3), "sparse_categorical_crossentropy"),
        ((None,), (None,), "binary_crossentropy"),
    ],
)
def test_crossentropy_by_shape(t, y, name):
    for identifier in ("crossentropy", "ce"):
        loss = losses.resolve_for(identifier, t, y)
        assert loss is not None and loss.name == name


def test_names_of_keras():
    assert losses.get("mse") is losses.get("mean_squared_error") is losses.mean_squared_error
    assert losses.get("MAE") is losses.mean_absolute_error
    assert losses.get(None) is None and losses.resolve_for(None, (1,), (1,)) is None
    mine = losses.Huber()
    assert losses.resolve_for(mine, (1,), (1,)) is mine


def test_wrong_names_and_reductions():
    with pytest.raises(ArgumentError, match="did you mean 'mean_squared_error'"):
        losses.get("mean_square_error")
    with pytest.raises(ArgumentError, match="sum_over_batch_size"):
        losses.MeanSquaredError(reduction="average")
    with pytest.raises(ArgumentError, match="did you mean 'from_logits'"):
        losses.BinaryCrossentropy(from_logit=True)  # pyright: ignore[reportCallIssue]


def test_second_call_does_not_trace_again():
    traces = []

    @jax.jit
    def value(t, y):
        traces.append(1)
        return losses.SparseCategoricalCrossentropy()(t, y)

    for _ in range(2):
        value(LABELS, float32(P))
    assert len(traces) == 1
