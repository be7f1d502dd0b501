"""Losses against Keras and PyTorch: the same arguments give the same numbers."""

import jax
import keras
import numpy as np
import pytest
import torch

from nacre import losses

RANDOM = np.random.default_rng(0)
X = RANDOM.normal(0, 3, (8, 5)).astype(np.float32)
P = RANDOM.dirichlet(np.ones(5), 8).astype(np.float32)
P[0] = [0, 0, 0, 0, 1]  # clipping is part of the meaning
Q = RANDOM.uniform(size=(8, 5)).astype(np.float32)
Q[0, :2] = [0, 1]
T = RANDOM.normal(0, 3, (8, 5)).astype(np.float32)
BITS = RANDOM.integers(0, 2, (8, 5)).astype(np.float32)
LABELS = RANDOM.integers(0, 5, 8)
ONE_HOT = np.eye(5, dtype=np.float32)[LABELS]
W = RANDOM.uniform(size=8).astype(np.float32)

CASES = [
    ("MeanSquaredError", {}, T, X),
    ("MeanAbsoluteError", {}, T, X),
    ("MeanAbsolutePercentageError", {}, T, X),
    ("MeanSquaredLogarithmicError", {}, T, X),
    ("Huber", {}, T, X),
    ("Huber", {"delta": 2.5}, T, X),
    ("LogCosh", {}, T, X),
    ("Poisson", {}, np.abs(T), np.abs(X)),
    ("CosineSimilarity", {}, T, X),
    ("CosineSimilarity", {"axis": 0}, T, X),
    ("Hinge", {}, BITS, X),
    ("Hinge", {}, 2 * BITS - 1, X),
    ("SquaredHinge", {}, BITS, X),
    ("CategoricalHinge", {}, ONE_HOT, X),
    ("KLDivergence", {}, P[::-1], P),
    ("BinaryCrossentropy", {}, BITS, Q),
    ("BinaryCrossentropy", {"label_smoothing": 0.2}, BITS, Q),
    ("BinaryCrossentropy", {"from_logits": True}, BITS, X),
    ("BinaryFocalCrossentropy", {}, BITS, Q),
    ("BinaryFocalCrossentropy", {"apply_class_balancing": True, "gamma": 3.0}, BITS, Q),
    ("BinaryFocalCrossentropy", {"from_logits": True, "label_smoothing": 0.1}, BITS, X),
    ("CategoricalCrossentropy", {}, ONE_HOT, P),
    ("CategoricalCrossentropy", {}, ONE_HOT, 3 * P),
    ("CategoricalCrossentropy", {"label_smoothing": 0.2}, ONE_HOT, P),
    ("CategoricalCrossentropy", {"from_logits": True}, ONE_HOT, X),
    ("CategoricalCrossentropy", {"axis": 0}, ONE_HOT, P),
    ("SparseCategoricalCrossentropy", {}, LABELS, P),
    ("SparseCategoricalCrossentropy", {}, LABELS[:, None], 3 * P),
    ("SparseCategoricalCrossentropy", {"from_logits": True}, LABELS, X),
    ("SparseCategoricalCrossentropy", {"from_logits": True, "ignore_class": 2}, LABELS, X),
    ("SparseCategoricalCrossentropy", {"from_logits": True}, LABELS - 1, X),
]


def both(name, arguments):
    peer = getattr(keras.losses, name)(**arguments)
    ours = getattr(losses, name)(**arguments)
    assert ours.name == peer.name
    return ours, peer


def results_of_both():
    """Every case through both, in one program: compiled one by one they take minutes."""
    results = []
    for name, arguments, t, y in CASES:
        ours, peer = both(name, arguments)
        weights = W[:5] if arguments.get("axis") == 0 else W
        results.append(((ours(t, y), ours(t, y, weights)), (peer(t, y), peer(t, y, weights))))
    return results


@pytest.fixture(scope="module")
def results():
    return jax.jit(results_of_both)()


@pytest.mark.parametrize("case", range(len(CASES)), ids=[f"{c[0]}-{c[1]}" for c in CASES])
def test_same_numbers_as_keras(results, case):
    ours, peer = results[case]
    np.testing.assert_allclose(ours, peer, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(
    "reduction", ["sum_over_batch_size", "sum", "mean_with_sample_weight", None]
)
@pytest.mark.parametrize("weights", [None, W, W[:, None], 0 * W])
def test_reductions_of_keras(reduction, weights):
    ours, peer = both("MeanSquaredError", {"reduction": reduction})
    expected = np.asarray(peer(T, X, weights))
    value = np.asarray(ours(T, X, weights))
    if reduction is None:
        expected = expected.reshape(8, -1)[:, 0]  # Keras keeps the weights' extra axis
    np.testing.assert_allclose(value, expected, rtol=1e-5)


def test_same_numbers_as_pytorch():
    x, labels, t = torch.from_numpy(X), torch.from_numpy(LABELS), torch.from_numpy(T)
    peers = torch.nn.functional
    pairs = [
        (losses.SparseCategoricalCrossentropy(True)(LABELS, X), peers.cross_entropy(x, labels)),
        (
            losses.CategoricalCrossentropy(True, label_smoothing=0.1)(ONE_HOT, X),
            peers.cross_entropy(x, labels, label_smoothing=0.1),
        ),
        (
            losses.BinaryCrossentropy(True)(BITS, X),
            peers.binary_cross_entropy_with_logits(x, torch.from_numpy(BITS)),
        ),
        (losses.Huber(1.5)(T, X), peers.huber_loss(x, t, delta=1.5)),
        (losses.MeanAbsoluteError()(T, X), peers.l1_loss(x, t)),
    ]
    for ours, peer in pairs:
        np.testing.assert_allclose(ours, peer.numpy(), rtol=1e-5)
