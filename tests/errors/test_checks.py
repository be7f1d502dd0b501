"""What is looked at before training: found where it is wrong, and no false alarm where it is right.

Warnings are errors here, so code that is right need only run.
"""

import math
import warnings

import jax.numpy as jnp
import numpy as np
import pytest

import nacre
from nacre import Input, LearnerWarning, Model, Sequential, layers, losses
from nacre.core.errors import ArgumentError, BuildError, DataError
from nacre.data.arrays import examples_from
from nacre.models.checks import check_data
from nacre.training.rising_loss import RisingLoss

RANDOM = np.random.default_rng(0)
X = RANDOM.random((32, 6), dtype=np.float32)
CLASSES = RANDOM.integers(0, 3, 32)
BYTES = RANDOM.integers(0, 256, (32, 8, 8, 1), dtype=np.uint8)


def compiled(model, loss="sparse_categorical_crossentropy", **options):
    model.compile("sgd", loss, **options)
    return model


def stack(*items, loss="sparse_categorical_crossentropy", **options):
    return compiled(Sequential(items), loss, **options)


def look(model, x, y=None, weight=None):
    """What ``fit`` looks at before it compiles anything."""
    examples = examples_from(x, y, weight)
    trainer = model.trainer
    model.build_from(examples.arrays["x"])
    check_data(model, trainer._objective(examples.arrays), examples, training=True)


def dense(activation=None, units=3):
    return layers.Dense(units, activation=activation)


class Net(Model):
    """A model whose layers cannot be read off its structure."""

    def __init__(self, *items):
        super().__init__()
        self.items = list(items)

    def call(self, x):
        for layer in self.items:
            x = layer(x)
        return x


def functional(*items):
    x = tensor = Input((6,))
    for layer in items:
        tensor = layer(tensor)
    return Model(x, tensor)


# The last activation

FORMS = [
    lambda *items: Sequential([Input((6,)), *items]),
    lambda *items: Sequential(items),
    functional,
    Net,
    lambda *items: Sequential([Sequential([Input((6,)), *items])]),
    lambda *items: functional(functional(*items)),
    lambda *items: Net(Net(*items)),
]


@pytest.mark.parametrize("form", FORMS)
def test_a_missing_softmax_is_seen_in_every_form_of_model(form):
    with pytest.warns(LearnerWarning, match="Dense '.+' gives any numbers"):
        look(compiled(form(dense(units=4), dense())), X, CLASSES)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("last", [("softmax",), (None, layers.Softmax)])
def test_a_softmax_is_seen_too(form, last):
    items = [dense(last[0]), *(cls() for cls in last[1:])]
    look(compiled(form(*items)), X, CLASSES)


@pytest.mark.parametrize(
    ("loss", "right", "wrong"),
    [
        ("sparse_categorical_crossentropy", ["softmax"], [None, "relu", "tanh", "sigmoid"]),
        (losses.sparse_categorical_crossentropy, ["softmax"], [None, "elu"]),
        (losses.SparseCategoricalCrossentropy(), ["softmax"], [None, "log_softmax"]),
        (losses.SparseCategoricalCrossentropy(from_logits=True), [None], ["softmax", "relu"]),
    ],
)
def test_activations_for_classes(loss, right, wrong):
    for activation in right:
        look(stack(dense(activation), loss=loss), X, CLASSES)
    for activation in wrong:
        with pytest.warns(LearnerWarning):
            look(stack(dense(activation), loss=loss), X, CLASSES)


@pytest.mark.parametrize(
    ("loss", "right", "wrong"),
    [
        ("binary_crossentropy", ["sigmoid", "hard_sigmoid"], [None, "relu", "tanh", "softmax"]),
        (losses.BinaryCrossentropy(from_logits=True), [None, "tanh"], ["sigmoid"]),
        ("mse", [None, "relu", "sigmoid"], ["softmax"]),
        ("hinge", [None, "tanh"], ["softmax"]),
    ],
)
def test_activations_of_one_output(loss, right, wrong):
    for activation in right:
        look(stack(dense(activation, 1), loss=loss), X, CLASSES == 1)
    for activation in wrong:
        with pytest.warns(LearnerWarning):
            look(stack(dense(activation, 1), loss=loss), X, CLASSES == 1)


def test_what_is_not_known_is_not_judged():
    class Normalised(layers.Layer):
        activation = None

        def call(self, x):
            return nacre.ops.softmax(x)

    for last in (
        Normalised(),
        layers.Dense(3, activation=lambda x: nacre.ops.softmax(2 * x)),
        layers.Lambda(nacre.ops.softmax),
    ):
        look(stack(dense(), last), X, CLASSES)
    x = Input((6,))
    look(compiled(Model(x, nacre.ops.softmax(dense()(x)))), X, CLASSES)


def test_a_warning_comes_once_for_a_model_and_can_be_silenced():
    model = stack(dense())
    with pytest.warns(LearnerWarning):
        look(model, X, CLASSES)
    look(model, X, CLASSES)
    look(compiled(model), X, CLASSES)
    with pytest.warns(LearnerWarning):
        look(stack(dense()), X, CLASSES)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", category=nacre.LearnerWarning)
        look(stack(dense()), X, CLASSES)


def test_each_output_is_looked_at():
    x = Input((6,))
    model = Model(x, {"kind": dense("softmax")(x), "size": dense(None, 1)(x)})
    compiled(model, {"kind": "sparse_categorical_crossentropy", "size": "mse"})
    look(model, X, {"kind": CLASSES, "size": X[:, 0]})
    with pytest.raises(DataError, match="out of range"):
        look(model, X, {"kind": CLASSES + 1, "size": X[:, 0]})


# Labels


@pytest.mark.parametrize("convert", [np.asarray, jnp.asarray, np.ndarray.tolist, np.float32])
def test_class_numbers_of_every_kind(convert):
    look(stack(dense("softmax")), X, convert(CLASSES))
    with pytest.raises(DataError, match="numbered from 1"):
        look(stack(dense("softmax")), X, convert(CLASSES + 1))


def test_labels_that_do_not_count_may_be_anything():
    strange = np.where(CLASSES == 2, 99, CLASSES)
    look(stack(dense("softmax")), X, strange, CLASSES != 2)
    with pytest.raises(DataError, match="0 to 99"):
        look(stack(dense("softmax")), X, strange, np.ones(32))
    ignoring = losses.SparseCategoricalCrossentropy(ignore_class=99)
    look(stack(dense("softmax"), loss=ignoring), X, strange)


def test_labels_of_steps_that_a_mask_leaves_out_are_not_judged():
    words = RANDOM.integers(0, 5, (32, 4))
    tags = np.where(words == 0, -1, words % 3)
    for mask_zero in (True, False):
        model = stack(layers.Embedding(5, 2, mask_zero=mask_zero), dense("softmax"))
        if mask_zero:
            look(model, words, tags)
        else:
            with pytest.raises(DataError, match="out of range"):
                look(model, words, tags)


@pytest.mark.parametrize(
    ("labels", "says"),
    [
        (np.where(CLASSES == 1, 1, -1), "hinge"),
        (np.where(CLASSES == 1, 2, 1), "numbered from 1"),
        (np.where(CLASSES == 1, 255, 0), "y / 255"),
        (CLASSES, "for 3 classes"),
    ],
)
def test_labels_that_are_not_of_a_yes_or_no_question(labels, says):
    with pytest.raises(DataError, match=says):
        look(stack(dense("sigmoid", 1), loss="binary_crossentropy"), X, labels)


@pytest.mark.parametrize(
    "labels", [CLASSES == 1, (CLASSES == 1) * 1.05, 0.1 + 0.8 * (CLASSES == 1)]
)
def test_labels_that_are(labels):
    look(stack(dense("sigmoid", 1), loss="binary_crossentropy"), X, labels)


def test_targets_may_be_left_out_where_the_loss_is_ones_own():
    look(stack(dense(), loss=lambda y_true, y_pred: nacre.ops.square(y_pred)), X)
    with pytest.raises(DataError, match="'mean_squared_error' needs targets"):
        look(stack(dense(), loss="mean_squared_error"), X)


def test_a_loss_from_a_layer_is_a_loss():
    class Small(layers.Layer):
        def call(self, x):
            self.add_loss(nacre.ops.mean(nacre.ops.square(x)))
            return x

    stack(dense(), Small(), loss=None).fit(X, CLASSES, verbose=0)
    with pytest.raises(BuildError, match="no loss"):
        stack(dense(), loss=None).fit(X, CLASSES, verbose=0)


# Metrics


@pytest.mark.parametrize(
    ("y", "units", "loss", "alarm"),
    [
        (X[:, 0], 1, "mse", True),
        (CLASSES * 10, 1, "mse", True),
        (CLASSES == 1, 1, "mse", False),
        (np.float32(CLASSES == 1), 1, "mse", False),
        (X[:, :3], 3, "mse", False),
        (0.9 * (CLASSES == 1), 1, "binary_crossentropy", False),
    ],
)
def test_accuracy_of_quantities(y, units, loss, alarm):
    last = "sigmoid" if loss == "binary_crossentropy" else None
    model = stack(dense(last, units), loss=loss, metrics=["accuracy"])
    if alarm:
        with pytest.warns(LearnerWarning, match="the targets are quantities"):
            look(model, X, y)
    else:
        look(model, X, y)


# Numbers that are none


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_numbers_that_are_none(dtype, bad):
    x = X.astype(dtype)
    x[7, 2] = x[9, 0] = bad
    with pytest.warns(LearnerWarning, match=r"x holds 2 numbers(.|\n)*at x\[7, 2\]"):
        look(stack(dense("softmax")), x, CLASSES)


def test_numbers_that_are_none_in_targets_weights_and_several_inputs():
    bad = X[:, 0].copy()
    bad[3] = math.nan
    with pytest.warns(LearnerWarning, match=r"y holds 1 number that(.|\n)*y\[3\]"):
        look(stack(dense(None, 1), loss="mse"), X, bad)
    with pytest.warns(LearnerWarning, match="weight holds 1 number"):
        look(stack(dense(None, 1), loss="mse"), X, X[:, 0], bad)
    first, second = Input((6,), name="first"), Input((1,), name="second")
    model = compiled(
        Model([first, second], dense("softmax")(layers.Concatenate()([first, second])))
    )
    with pytest.warns(LearnerWarning, match=r"x\[1\] holds 1 number"):
        look(model, [X, bad[:, None]], CLASSES)


def test_large_numbers_are_numbers():
    look(stack(dense("softmax")), X * np.float32(3e38), CLASSES)
    look(stack(dense("softmax")), np.full((32, 6), 6e4, np.float16), CLASSES)


# Pixels


@pytest.mark.parametrize(
    ("x", "alarm"),
    [
        (BYTES, True),
        (BYTES.astype(np.float32), True),
        (BYTES.reshape(32, 64), True),
        (BYTES[..., 0].astype(np.float64), True),
        (BYTES.astype(np.float32) / 255, False),
        (BYTES.astype(np.float32) - 127.5, False),
        (BYTES // 255, False),
        (BYTES[:, :2, :2], False),
        (BYTES.astype(np.float32) + 0.5, False),
        (BYTES.astype(np.int32) * 3, False),
    ],
)
def test_pixels(x, alarm):
    model = stack(layers.Flatten(), dense("softmax"))
    if alarm:
        with pytest.warns(LearnerWarning, match="pixels in x run from 0 to 255"):
            look(model, x, CLASSES)
    else:
        look(model, x, CLASSES)


@pytest.mark.parametrize(
    "first",
    [
        layers.Lambda(lambda x: x / 255),
        layers.BatchNormalization(),
        layers.LayerNormalization(),
        Sequential([layers.Lambda(lambda x: x.astype("float32") / 127.5 - 1)]),
    ],
)
def test_a_model_may_scale_its_pixels_itself(first):
    look(stack(first, layers.Flatten(), dense("softmax")), BYTES, CLASSES)


def test_pixels_are_followed_to_the_layer_that_weighs_them():
    with pytest.warns(LearnerWarning, match="Conv2D 'inner/conv'"):
        inner = Sequential([layers.Conv2D(2, 3, name="conv")], name="inner")
        look(stack(inner, layers.Flatten(), dense("softmax")), BYTES, CLASSES)
    x = Input((8, 8, 1))
    flat = layers.Flatten()(layers.Dropout(0.1)(x))
    with pytest.warns(LearnerWarning, match="Dense 'dense'"):
        look(compiled(Model(x, dense("softmax")(flat))), BYTES, CLASSES)
    scaled = dense("softmax")(layers.Flatten()(x / 255.0))
    look(compiled(Model(x, scaled)), BYTES, CLASSES)


# Embeddings and arguments


def test_numbers_to_embed():
    words = RANDOM.integers(0, 5, (32, 4))
    items = [layers.Embedding(5, 2), layers.Flatten(), dense("softmax")]
    look(stack(*items), words, CLASSES)
    look(stack(*items), words.astype(np.float32), CLASSES)
    for wrong in (words + 1, words - 1):
        with pytest.raises(DataError, match="Embedding 'embedding' has no row"):
            look(stack(*items), wrong, CLASSES)
    shifted = stack(layers.Lambda(lambda x: x - 1), *items)
    look(shifted, words + 1, CLASSES)


@pytest.mark.parametrize("epochs", [0, -1, 1.0, "3", True, None])
def test_epochs(epochs):
    with pytest.raises(ArgumentError, match="epochs is not a number of epochs"):
        stack(dense("softmax")).fit(X, CLASSES, epochs=epochs, verbose=0)


def test_evaluation_is_looked_at_but_not_advised_on():
    model = stack(dense())
    model.evaluate(X, CLASSES, verbose=0)
    with pytest.raises(DataError, match="numbered from 1"):
        model.evaluate(X, CLASSES + 1, verbose=0)
    model = stack(dense("softmax"))
    with pytest.raises(DataError, match="numbered from 1"):
        model.train_on_batch(X, CLASSES + 1)
    with pytest.raises(DataError, match="numbered from 1"):
        model.fit(X, CLASSES, validation_data=(X, CLASSES + 1), verbose=0)


# The loss over the first epochs


def watched(*losses, guessing=None, first=None):
    """The messages for a run of these losses."""
    said = []
    watch = RisingLoss(said.append, guessing)
    watch.set_model(type("M", (), {"optimizer": nacre.optimizers.SGD(0.5)}))
    if first is not None:
        watch.on_chunk_end(0, 1, 10, 32, {"loss": first})
    for epoch, loss in enumerate(losses):
        watch.on_epoch_end(epoch, {"loss": loss})
    return said


@pytest.mark.parametrize(
    "run",
    [
        (2.3, 0.4, 0.3),
        (0.5, 0.6, 0.7),
        (1e-9, 2e-9, 1e-8),
        (1.0, 0.5, 9.0, 99.0, 999.0),
        (-1.0, -0.5, 2.0),
        (5.0, 50.0, 40.0),
        (math.nan, 1.0, 2.0),
    ],
)
def test_losses_that_are_no_cause_for_alarm(run):
    assert watched(*run) == []
    assert watched(*run, guessing=math.log(10), first=2.3) == []


def test_losses_that_rise():
    (message,) = watched(1.0, 2.0, 30.0, 40.0)
    assert "1 -> 2 -> 30 with learning_rate=0.5" in message
    (message,) = watched(80.0, 90.0, guessing=math.log(10), first=2.3)
    assert "2.3 -> 80 with learning_rate=0.5" in message
    assert watched(80.0, 50.0, guessing=math.log(10), first=90.0) == []


def test_fit_watches_the_first_run_only():
    model = stack(dense("softmax"))
    model.compile(nacre.optimizers.SGD(500.0), "sparse_categorical_crossentropy")
    with pytest.warns(LearnerWarning, match="The loss rises") as caught:
        model.fit(X, CLASSES, batch_size=4, epochs=3, verbose=0)
    assert caught[0].filename == __file__
    model.compile(nacre.optimizers.SGD(500.0), "sparse_categorical_crossentropy")
    model.fit(X, CLASSES, batch_size=4, epochs=3, verbose=0)
