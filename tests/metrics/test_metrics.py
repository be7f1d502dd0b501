"""Metrics: pure totals, Keras's face, and the ways of writing one."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from nacre import losses, metrics
from nacre.core.configurable import deserialize, serialize
from nacre.core.errors import ArgumentError, ShapeError
from nacre.core.scope import Scope, annotate

RANDOM = np.random.default_rng(0)
SCORES = RANDOM.uniform(size=(12, 4)).astype(np.float32)
LABELS = RANDOM.integers(0, 4, 12)
ONE_HOT = np.eye(4, dtype=np.float32)[LABELS]
RIGHT = SCORES.argmax(-1) == LABELS
W = RANDOM.uniform(size=12).astype(np.float32)


def test_pure_updates_run_compiled_inside_a_loop():
    metric = metrics.SparseCategoricalAccuracy()
    scores, labels = jnp.asarray(SCORES.reshape(4, 3, 4)), jnp.asarray(LABELS.reshape(4, 3))
    traces = []

    @jax.jit
    def run(scores, labels):
        traces.append(1)
        return jax.lax.scan(
            lambda state, batch: (metric.update(state, *batch), None),
            metric.init(),
            (labels, scores),
        )[0]

    for _ in range(2):
        state = run(scores, labels)
    assert len(traces) == 1
    assert {k: v.dtype.name for k, v in state.items()} == {"total": "float32", "count": "float32"}
    np.testing.assert_allclose(metric.result(state), RIGHT.mean(), rtol=1e-6)
    assert metric.result() == 0, "a pure update must leave the object alone"


@settings(max_examples=8, deadline=None)
@given(st.sets(st.sampled_from([3, 6, 9])))
def test_the_mean_does_not_depend_on_how_examples_are_batched(cuts):
    metric = metrics.MeanSquaredError()
    bounds = [0, *sorted(cuts), 12]
    for a, b in itertools.pairwise(bounds):
        metric.update_state(ONE_HOT[a:b], SCORES[a:b], W[a:b])
    expected = np.average(((ONE_HOT - SCORES) ** 2).mean(-1), weights=W)
    np.testing.assert_allclose(metric.result(), expected, rtol=1e-5)


def test_reset():
    metric = metrics.Mean()
    metric.update_state([1.0, 2.0])
    metric.reset_state()
    metric.update_state(7.0)
    assert metric.result() == 7
    metric.reset_state()
    assert metric.result() == 0


def test_mean_and_sum_with_weights():
    values = RANDOM.uniform(size=(5, 3)).astype(np.float32)
    for weights in [
        RANDOM.uniform(size=5),
        RANDOM.uniform(size=(5, 1)),
        RANDOM.uniform(size=(5, 3)),
    ]:
        full = np.broadcast_to(weights.reshape(5, -1), (5, 3))
        mean, total = metrics.Mean(), metrics.Sum()
        mean.update_state(values, sample_weight=weights)
        total.update_state(values, sample_weight=weights)
        np.testing.assert_allclose(mean.result(), np.average(values, weights=full), rtol=1e-5)
        np.testing.assert_allclose(total.result(), (values * full).sum(), rtol=1e-5)
    with pytest.raises(ShapeError, match="one weight for each example"):
        metrics.Mean().update_state(values, sample_weight=np.ones(4))


def test_masked_steps_do_not_count():
    y = RANDOM.uniform(size=(3, 5, 4)).astype(np.float32)
    t = RANDOM.integers(0, 4, (3, 5))
    mask = RANDOM.uniform(size=(3, 5)) > 0.4
    right = y.argmax(-1) == t
    metric = metrics.SparseCategoricalAccuracy()
    weights = RANDOM.uniform(size=3).astype(np.float32)
    with Scope():
        y = annotate(jnp.asarray(y), mask=jnp.asarray(mask))
        plain = metric.result(metric.update(metric.init(), t, y))
        weighted = metric.result(metric.update(metric.init(), t, y, weights))
        averaged = metrics.resolve_for(lambda t, y: jnp.mean(y), t.shape, y.shape)
        number = averaged.result(averaged.update(averaged.init(), t, y))
    np.testing.assert_allclose(plain, right[mask].mean(), rtol=1e-5)
    full = np.broadcast_to(weights[:, None], (3, 5))[mask]
    np.testing.assert_allclose(weighted, np.average(right[mask], weights=full), rtol=1e-5)
    np.testing.assert_allclose(number, np.mean(y), rtol=1e-5)


# Finding one


@pytest.mark.parametrize(
    "identifier, t, y, kind",
    [
        ("accuracy", (None, 1), (None, 1), metrics.BinaryAccuracy),
        ("acc", (None,), (None, 1), metrics.BinaryAccuracy),
        ("Accuracy", (None,), (None,), metrics.BinaryAccuracy),
        ("accuracy", (None,), (None, 3), metrics.SparseCategoricalAccuracy),
        ("accuracy", (None, 1), (None, 3), metrics.SparseCategoricalAccuracy),
        ("accuracy", (None, 7), (None, 7, 3), metrics.SparseCategoricalAccuracy),
        ("accuracy", (None, 3), (None, 3), metrics.CategoricalAccuracy),
        ("ce", (None, 3), (None, 3), metrics.CategoricalCrossentropy),
        ("crossentropy", (None,), (None, 3), metrics.SparseCategoricalCrossentropy),
        ("crossentropy", (None,), (None, 1), metrics.BinaryCrossentropy),
        ("mse", (None, 3), (None, 3), metrics.MeanSquaredError),
        ("mean_absolute_error", (None, 3), (None, 3), metrics.MeanAbsoluteError),
        ("AUC", (None, 1), (None, 1), metrics.AUC),
        ("huber", (None, 1), (None, 1), metrics.MeanMetricWrapper),
    ],
)
def test_names_keep_what_was_typed(identifier, t, y, kind):
    metric = metrics.resolve_for(identifier, t, y)
    assert type(metric) is kind and metric.name == identifier
    restored = deserialize(serialize(metric))
    assert type(restored) is kind and restored.name == identifier


def test_functions_losses_and_objects():
    def worst(y_true, y_pred):
        return jnp.abs(y_true - y_pred).max(-1)

    metric = metrics.resolve_for(worst, (12, 4), (12, 4))
    metric.update_state(ONE_HOT, SCORES)
    assert metric.name == "worst"
    np.testing.assert_allclose(metric.result(), np.abs(ONE_HOT - SCORES).max(-1).mean(), rtol=1e-6)
    loss = losses.Huber(delta=0.3)
    metric = metrics.resolve_for(loss, (12, 4), (12, 4))
    metric.update_state(ONE_HOT, SCORES)
    assert metric.name == "huber_loss"
    np.testing.assert_allclose(metric.result(), loss(ONE_HOT, SCORES), rtol=1e-6)
    mine = metrics.Precision(name="mine")
    assert metrics.resolve_for(mine, (1,), (1,)) is mine
    assert isinstance(metrics.resolve_for(metrics.Recall, (1,), (1,)), metrics.Recall)
    with pytest.raises(ArgumentError, match="did you mean 'accuracy'"):
        metrics.resolve_for("acuracy", (1,), (1,))


def test_wrapped_functions_survive_a_file():
    metric = metrics.MeanMetricWrapper(metrics.binary_accuracy, name="mine", threshold=0.9)
    restored = deserialize(serialize(metric))
    assert restored.get_config() == metric.get_config()
    assert restored([[1.0]], [[0.8]]) == 0
    assert metrics.MeanMetricWrapper(metrics.binary_accuracy)([[1.0]], [[0.8]]) == 1


# Writing one


class Largest(metrics.Metric):
    """In Keras's way: variables that are assigned to."""

    def __init__(self, name="largest", **kwargs):
        super().__init__(name=name, **kwargs)
        self.largest = self.add_variable(name="largest", shape=(), initializer="zeros")
        self.seen = self.add_weight(initializer="zeros")

    def update_state(self, y_true, y_pred, sample_weight=None):
        self.largest.assign(jnp.maximum(self.largest.value, jnp.max(y_pred)))
        self.seen.assign_add(1.0)

    def result(self):
        return self.largest


class Root(metrics.Mean):
    """In Keras's way, over a metric of ours."""

    def update_state(self, y_true, y_pred, sample_weight=None):
        super().update_state((y_true - y_pred) ** 2, sample_weight)

    def result(self):
        return jnp.sqrt(super().result())


@pytest.mark.parametrize(
    "make, expected",
    [
        (Largest, SCORES.max()),
        (Root, np.sqrt(((ONE_HOT - SCORES) ** 2).mean())),
        (metrics.RootMeanSquaredError, np.sqrt(((ONE_HOT - SCORES) ** 2).mean())),
    ],
)
def test_metrics_written_in_kerass_way_are_pure_too(make, expected):
    metric = make()
    for part in (slice(0, 6), slice(6, 12)):
        metric.update_state(ONE_HOT[part], SCORES[part])
    np.testing.assert_allclose(np.asarray(metric.result()), expected, rtol=1e-6)
    metric.reset_state()
    assert float(metric.result()) == 0

    @jax.jit
    def run(state, t, y):
        for part in (slice(0, 6), slice(6, 12)):
            state = metric.update(state, t[part], y[part])
        return state, metric.result(state)

    state, value = run(metric.init(), ONE_HOT, SCORES)
    np.testing.assert_allclose(value, expected, rtol=1e-6)
    assert set(state) == set(metric.init())
    assert float(metric.result()) == 0, "a pure update must leave the object alone"


def test_unwritten_metrics_say_so():
    class Nothing(metrics.Metric):
        pass

    with pytest.raises(NotImplementedError, match="Nothing defines neither update"):
        Nothing().update_state([1], [1])
    with pytest.raises(NotImplementedError, match="Nothing defines neither compute"):
        Nothing().result()


# Accuracy


def test_accuracies():
    np.testing.assert_array_equal(metrics.sparse_categorical_accuracy(LABELS, SCORES), RIGHT)
    np.testing.assert_array_equal(
        metrics.sparse_categorical_accuracy(LABELS[:, None], SCORES), RIGHT
    )
    np.testing.assert_array_equal(metrics.categorical_accuracy(ONE_HOT, SCORES), RIGHT)
    above = np.array([[0.2], [0.5], [0.7]], np.float32)
    found = metrics.binary_accuracy(np.array([0, 1, 1]), above)
    np.testing.assert_array_equal(found, [[1], [0], [1]])
    np.testing.assert_array_equal(metrics.accuracy([1, 2], [[1], [3]]), [[1], [0]])


@pytest.mark.parametrize("k", [1, 2, 4])
def test_top_k(k):
    expected = [label in np.argsort(-row)[:k] for label, row in zip(LABELS, SCORES)]
    found = metrics.sparse_top_k_categorical_accuracy(LABELS, SCORES, k)
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(metrics.top_k_categorical_accuracy(ONE_HOT, SCORES, k), expected)
    ids = np.argsort(-SCORES, axis=-1)
    found = metrics.sparse_top_k_categorical_accuracy(LABELS, ids, k, from_sorted_ids=True)
    np.testing.assert_array_equal(found, expected)


def test_labels_of_other_types():
    scores = np.zeros((2, 300), np.float32)
    scores[:, 257] = 1
    found = metrics.sparse_categorical_accuracy(np.array([1, 1], np.uint8), scores)
    np.testing.assert_array_equal(found, 0)  # 257 is 1 in a byte
    found = metrics.sparse_categorical_accuracy(np.array([257.0, 256.5]), scores)
    np.testing.assert_array_equal(found, [1, 0])
    bits = jnp.array([True, False])
    np.testing.assert_array_equal(metrics.binary_accuracy(bits, jnp.ones(2, "bfloat16")), [1, 0])


@pytest.mark.parametrize(
    "name, t, y, message",
    [
        ("categorical_accuracy", (5,), (5, 3), "'sparse_categorical_accuracy'"),
        ("top_k_categorical_accuracy", (5,), (5, 3), "'sparse_top_k_categorical_accuracy'"),
        ("sparse_categorical_accuracy", (5, 3), (5, 3), "'categorical_accuracy'"),
        ("binary_accuracy", (5,), (5, 3), "more than two classes"),
        ("accuracy", (5,), (5, 3), "one label with each prediction"),
    ],
)
def test_labels_that_do_not_fit(name, t, y, message):
    with pytest.raises(ShapeError, match=message):
        getattr(metrics, name)(np.zeros(t), np.zeros(y))


# Counting


def test_precision_and_recall_by_hand():
    t, y = [0, 1, 1, 1, 0], [0.9, 0.8, 0.3, 0.6, 0.1]
    np.testing.assert_allclose(metrics.Precision()(t, y), 2 / 3)
    np.testing.assert_allclose(metrics.Recall()(t, y), 2 / 3)
    np.testing.assert_allclose(metrics.Precision(thresholds=[0.2, 0.7])(t, y), [3 / 4, 1 / 2])
    np.testing.assert_allclose(metrics.Recall()(t, y, [1, 2, 0, 0, 1]), 1)
    assert metrics.Precision()([0, 1], [0, 0]) == 0


def test_area_under_the_curve_is_the_share_of_ordered_pairs():
    y = np.round(RANDOM.uniform(size=200), 2).astype(np.float32)
    t = RANDOM.integers(0, 2, 200)
    pairs = y[t == 1][:, None] - y[t == 0][None, :]
    expected = np.mean((pairs > 0) + 0.5 * (pairs == 0))
    # Predictions in steps of 0.01 fall between these thresholds, one value to a gap.
    metric = metrics.AUC(thresholds=np.arange(0.005, 1, 0.01).tolist())
    np.testing.assert_allclose(metric(t, y), expected, rtol=1e-5)
    logits = np.log(np.clip(y, 1e-3, 0.999) / (1 - np.clip(y, 1e-3, 0.999)))
    metric = metrics.AUC(thresholds=np.arange(0.005, 1, 0.01).tolist(), from_logits=True)
    np.testing.assert_allclose(metric(t, logits), expected, rtol=1e-5)


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: metrics.Precision(thresholds=1.5), "between 0 and 1"),
        (lambda: metrics.Recall(thresholds=[]), "between 0 and 1"),
        (lambda: metrics.AUC(curve="roc curve"), "no such curve"),
        (lambda: metrics.AUC(summation_method="x"), "no such summation_method"),
        (lambda: metrics.AUC(num_thresholds=1), "two thresholds"),
        (lambda: metrics.IoU(2, [2]), "numbers from 0 to 1"),
        (lambda: metrics.BinaryAccuracy(treshold=0.5), "did you mean 'threshold'"),  # pyright: ignore
        (lambda: metrics.Precision()([1, 0], [[0.1, 0.2, 0.3]] * 2), "one-hot first"),
        (lambda: metrics.MeanIoU(2)([0, 1], [[0.1, 0.9]] * 2), "sparse_y_pred=False"),
    ],
)
def test_arguments_that_cannot_be(make, message):
    with pytest.raises((ArgumentError, ShapeError), match=message):
        make()


def test_overlap_by_hand():
    t, y = np.array([[0, 0, 1], [2, 2, 255]]), np.array([[0, 1, 1], [2, 0, 2]])
    metric = metrics.MeanIoU(num_classes=4, ignore_class=255)
    np.testing.assert_allclose(metric(t, y), (1 / 3 + 1 / 2 + 1 / 2) / 3, rtol=1e-5)
    metric = metrics.IoU(num_classes=4, target_class_ids=[2])
    np.testing.assert_allclose(metric(t, y, np.array([[1.0], [3.0]])), 1 / 2, rtol=1e-5)
