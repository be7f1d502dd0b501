"""Training beside Keras on JAX: the same initial weights and batches give the same history."""

from __future__ import annotations

import functools
from contextlib import contextmanager

import jax
import keras
import numpy as np
import pytest

import nacre

RNG = np.random.default_rng(0)
X = RNG.normal(size=(26, 5)).astype(np.float32)
LABELS = (X @ RNG.normal(size=(5, 3))).argmax(-1).astype(np.int32)
AMOUNTS = (X @ RNG.normal(size=(5, 2)) + 0.3 * RNG.normal(size=(26, 2))).astype(np.float32)
YES = (AMOUNTS[:, :1] > 0).astype(np.float32)
WEIGHTS = RNG.uniform(0.2, 2, 26).astype(np.float32)
WORDS = RNG.integers(0, 6, (26, 4)).astype(np.int32)  # 0 is padding
TAGS = (WORDS % 3).astype(np.int32)
STEP_WEIGHTS = RNG.uniform(0.2, 2, (26, 4)).astype(np.float32)
TRAINED, HELD_OUT = slice(0, 18), slice(18, 26)  # batches of 8: the last one is short


def classifier(library):
    """Batch norm, weight and activity regularizers."""
    layers = library.layers
    return library.Sequential(
        [
            library.Input((5,)),
            layers.Dense(6, activation="relu", kernel_regularizer=library.regularizers.L2(0.02)),
            layers.BatchNormalization(momentum=0.8),
            layers.Dense(4, activation="tanh", activity_regularizer="l1"),
            layers.Dense(3, activation="softmax", bias_regularizer="l1"),
        ]
    )


def small(library, outputs, activation):
    return library.Sequential(
        [
            library.Input((5,)),
            library.layers.Dense(4, activation="tanh"),
            library.layers.Dense(outputs, activation=activation),
        ]
    )


def two_headed(library):
    layers = library.layers
    x = library.Input((5,), name="x")
    hidden = layers.Dense(6, activation="elu", name="hidden")(x)
    label = layers.Dense(3, activation="softmax", name="label")(hidden)
    amount = layers.Dense(2, name="amount")(layers.Concatenate(name="both")([hidden, x]))
    return library.Model(x, {"label": label, "amount": amount})


def tagger(library):
    """A mask from the words to the loss, through a layer that keeps it."""
    layers = library.layers
    return library.Sequential(
        [
            library.Input((4,), dtype="int32"),
            layers.Embedding(6, 4, mask_zero=True),
            layers.LayerNormalization(),
            layers.Dense(3, activation="softmax"),
        ]
    )


def by_layer(model):
    """The weights by layer: Keras's own order of branches depends on how it walks the graph."""
    in_order = isinstance(model, keras.Sequential | nacre.Sequential)
    with_weights = [layer for layer in model.layers if layer.weights]
    return {
        number if in_order else layer.name: [np.asarray(v.value) for v in layer.weights]
        for number, layer in enumerate(with_weights)
    }


def set_by_layer(model, weights):
    with_weights = [layer for layer in model.layers if layer.weights]
    for place, arrays in weights.items():
        layer = with_weights[place] if isinstance(place, int) else model.get_layer(place)
        layer.set_weights(arrays)


class Run:
    """One way to train: a network, what to compile it with, and what to fit it on.

    The ways cover each optimizer, weights of classes and examples, several outputs and masks.
    """

    def __init__(
        self, build, compile_with, x, y, fit_with=None, validation_weights=None, differs=()
    ):
        self.differs = differs
        self.build, self.compile_with, self.x, self.y = build, compile_with, x, y
        self.fit_with = fit_with or {}
        self.validation_weights = validation_weights

    def part(self, rows):
        return self.x[rows], jax.tree.map(lambda y: y[rows], self.y)

    def train(self, library, weights):
        """The history, the weights after three epochs, what evaluate says, and predictions."""
        model = self.build(library)
        if weights is not None:
            set_by_layer(model, weights)
        weights = by_layer(model)
        options = self.compile_with(library)
        model.compile(**options)
        held_out = self.part(HELD_OUT)
        if self.validation_weights is not None:
            held_out = (*held_out, self.validation_weights)
        x, y = self.part(TRAINED)
        history = model.fit(
            x,
            y,
            batch_size=8,
            epochs=3,
            shuffle=False,
            verbose=0,
            validation_data=held_out,
            **self.fit_with,
        )
        evaluated = model.evaluate(x, y, batch_size=8, verbose=0, return_dict=True)
        return weights, history.history, by_layer(model), evaluated


RUNS = {
    "adam": Run(
        classifier,
        lambda library: {
            "optimizer": library.optimizers.Adam(0.01),
            "loss": "sparse_categorical_crossentropy",
            "metrics": ["accuracy"],
        },
        X,
        LABELS,
    ),
    "sgd-class-weight": Run(
        lambda library: small(library, 3, "softmax"),
        lambda library: {
            "optimizer": library.optimizers.SGD(0.1, momentum=0.9, nesterov=True),
            "loss": "categorical_crossentropy",
            "metrics": ["accuracy", "mae"],
        },
        X,
        np.eye(3, dtype=np.float32)[LABELS],
        {"class_weight": {0: 0.5, 1: 2.0, 2: 1.0}},
    ),
    "rmsprop-sample-weight": Run(
        lambda library: small(library, 1, "sigmoid"),
        lambda library: {
            "optimizer": library.optimizers.RMSprop(0.01, momentum=0.5),
            "loss": "binary_crossentropy",
            "metrics": ["accuracy"],
            "weighted_metrics": ["mse"],
        },
        X,
        YES,
        {"sample_weight": WEIGHTS[TRAINED]},
        validation_weights=WEIGHTS[HELD_OUT],
    ),
    "two-outputs": Run(
        two_headed,
        lambda library: {
            "optimizer": "adam",
            "loss": {"label": "sparse_categorical_crossentropy", "amount": "mse"},
            "loss_weights": {"label": 0.7, "amount": 0.2},
            "metrics": {"label": ["accuracy"], "amount": ["mae"]},
        },
        X,
        {"label": LABELS, "amount": AMOUNTS},
    ),
    "masked": Run(
        tagger,
        lambda library: {
            "optimizer": library.optimizers.SGD(0.5),
            "loss": "sparse_categorical_crossentropy",
            "weighted_metrics": ["accuracy"],
        },
        WORDS,
        TAGS,
        {"sample_weight": STEP_WEIGHTS[TRAINED]},
        validation_weights=STEP_WEIGHTS[HELD_OUT],
        # Keras on JAX loses the mask on the way from the gradient to the metrics of training.
        differs=["accuracy"],
    ),
}


@contextmanager
def compiled_quickly():
    """Programs that run a few small steps are not worth the compiler's dear passes."""
    quickly = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jax, "jit", functools.partial(jax.jit, compiler_options=quickly))
        yield


LONGER = [
    pytest.param(name, marks=pytest.mark.slow) for name in ("rmsprop-sample-weight", "masked")
]


@pytest.fixture(scope="module", params=["adam", "sgd-class-weight", "two-outputs", *LONGER])
def both(request):
    run = RUNS[request.param]
    with compiled_quickly():
        with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
            weights, *theirs = run.train(keras, None)
        _, *ours = run.train(nacre, weights)
    for name in run.differs:
        del ours[0][name], theirs[0][name]
    return ours, theirs


def test_the_history_has_the_names_and_numbers_of_keras(both):
    (ours, _, _), (theirs, _, _) = both
    assert sorted(ours) == sorted(theirs)
    for name, numbers in theirs.items():
        assert len(numbers) == 3
        np.testing.assert_allclose(ours[name], numbers, rtol=2e-5, atol=2e-6, err_msg=name)


def test_the_weights_after_three_epochs_are_those_of_keras(both):
    (_, ours, _), (_, theirs, _) = both
    assert set(ours) == set(theirs)
    for layer, arrays in theirs.items():
        for one, two in zip(ours[layer], arrays, strict=True):
            np.testing.assert_allclose(one, two, rtol=1e-4, atol=1e-5, err_msg=layer)


def test_evaluate_says_what_keras_says(both):
    (_, _, ours), (_, _, theirs) = both
    assert sorted(ours) == sorted(theirs)
    for name, number in theirs.items():
        assert ours[name] == pytest.approx(number, rel=2e-5, abs=2e-6)
