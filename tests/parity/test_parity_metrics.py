"""Metrics against Keras: a batch without weights, then one with."""

import warnings

import jax
import keras
import numpy as np
import pytest

from nacre import metrics

RANDOM = np.random.default_rng(0)
X = RANDOM.normal(0, 2, (20, 5)).astype(np.float32)
T = RANDOM.normal(0, 2, (20, 5)).astype(np.float32)
P = RANDOM.dirichlet(np.ones(5), 20).astype(np.float32)
Q = RANDOM.uniform(size=(20, 5)).astype(np.float32)
BITS = RANDOM.integers(0, 2, (20, 5)).astype(np.float32)
LABELS = RANDOM.integers(0, 5, 20)
GUESSES = RANDOM.integers(0, 5, 20)
ONE_HOT = np.eye(5, dtype=np.float32)[LABELS]
W = RANDOM.uniform(size=20).astype(np.float32)

CASES = [
    ("Accuracy", {}, LABELS, GUESSES),
    ("BinaryAccuracy", {}, BITS, Q),
    ("BinaryAccuracy", {"threshold": 0.3}, BITS, Q),
    ("CategoricalAccuracy", {}, ONE_HOT, P),
    ("SparseCategoricalAccuracy", {}, LABELS, P),
    ("SparseCategoricalAccuracy", {}, LABELS[:, None], P),
    ("TopKCategoricalAccuracy", {"k": 2}, ONE_HOT, P),
    ("SparseTopKCategoricalAccuracy", {"k": 2}, LABELS, P),
    ("MeanSquaredError", {}, T, X),
    ("RootMeanSquaredError", {}, T, X),
    ("MeanAbsoluteError", {}, T, X),
    ("MeanAbsolutePercentageError", {}, T, X),
    ("MeanSquaredLogarithmicError", {}, T, X),
    ("LogCoshError", {}, T, X),
    ("CosineSimilarity", {}, T, X),
    ("Hinge", {}, BITS, X),
    ("SquaredHinge", {}, BITS, X),
    ("CategoricalHinge", {}, ONE_HOT, X),
    ("KLDivergence", {}, P[::-1], P),
    ("Poisson", {}, np.abs(T), np.abs(X)),
    ("BinaryCrossentropy", {}, BITS, Q),
    ("BinaryCrossentropy", {"from_logits": True, "label_smoothing": 0.2}, BITS, X),
    ("CategoricalCrossentropy", {}, ONE_HOT, P),
    ("CategoricalCrossentropy", {"from_logits": True, "label_smoothing": 0.2}, ONE_HOT, X),
    ("SparseCategoricalCrossentropy", {"from_logits": True}, LABELS, X),
    ("TruePositives", {}, BITS, Q),
    ("FalsePositives", {"thresholds": [0.2, 0.6]}, BITS, Q),
    ("TrueNegatives", {}, BITS, Q),
    ("FalseNegatives", {}, BITS, Q),
    ("Precision", {}, BITS, Q),
    ("Precision", {"thresholds": [0.2, 0.6]}, BITS, Q),
    ("Precision", {"top_k": 2}, BITS, Q),
    ("Precision", {"class_id": 3}, BITS, Q),
    ("Recall", {}, BITS, Q),
    ("Recall", {"top_k": 2, "class_id": 1}, BITS, Q),
    ("AUC", {}, BITS, Q),
    ("AUC", {"curve": "PR"}, BITS, Q),
    ("AUC", {"num_thresholds": 20, "summation_method": "minoring"}, BITS, Q),
    ("AUC", {"curve": "PR", "summation_method": "majoring"}, BITS, Q),
    ("AUC", {"thresholds": [0.3, 0.1, 0.8]}, BITS, Q),
    ("AUC", {"from_logits": True}, BITS, X),
]


OVERLAPS = [
    ("IoU", {"num_classes": 5, "target_class_ids": [0, 3]}, LABELS, GUESSES),
    ("IoU", {"num_classes": 5, "target_class_ids": [1], "ignore_class": 2}, LABELS, GUESSES),
    ("MeanIoU", {"num_classes": 5, "sparse_y_true": False, "sparse_y_pred": False}, ONE_HOT, P),
    ("BinaryIoU", {"threshold": 0.4}, BITS, Q),
]
ALL = CASES + OVERLAPS


def results_of_both():
    """Every case through both, in one program: compiled one by one they take minutes."""
    results = []
    for name, arguments, t, y in ALL:
        peer = getattr(keras.metrics, name)(**arguments)
        ours = getattr(metrics, name)(**arguments)
        assert ours.name == peer.name.rstrip("_0123456789")
        theirs = [variable.value for variable in peer.variables]
        state = ours.init()
        is_weighted = name not in {
            c[0] for c in OVERLAPS
        }  # Keras would round the weights of overlaps
        for part, weights in ((slice(0, 10), None), (slice(10, 20), W[:10])):
            w = weights if is_weighted else None
            theirs = peer.stateless_update_state(theirs, t[part], y[part], w)
            state = ours.update(state, t[part], y[part], w)
        results.append((ours.result(state), peer.stateless_result(theirs)))
    return results


@pytest.fixture(scope="module")
def results():
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Explicitly requested dtype int64")  # of Keras's own
        return jax.jit(results_of_both)()


@pytest.mark.parametrize("case", range(len(ALL)), ids=[f"{c[0]}-{c[1]}" for c in ALL])
def test_same_numbers_as_keras(results, case):
    ours, peer = results[case]
    np.testing.assert_allclose(ours, peer, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("shape", [(), (6,), (6, 1), (6, 4)])
def test_weights_of_a_mean(shape):
    values, weights = RANDOM.uniform(size=(6, 4)), RANDOM.uniform(size=shape)
    for name in ("Mean", "Sum"):
        peer, ours = getattr(keras.metrics, name)(), getattr(metrics, name)()
        for factor in (1, 3):
            peer.update_state(factor * values, weights / factor)
            ours.update_state(factor * values, weights / factor)
        np.testing.assert_allclose(ours.result(), peer.result(), rtol=1e-5)
