"""The engine: many steps a call, whatever the chunk the same numbers, and compiled once."""

import ctypes
import functools
import gc
import os
import signal
import threading
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import nacre
from nacre import layers
from nacre.callbacks import Callback
from nacre.core.errors import ArgumentError, BuildError, DataError
from nacre.core.layer import variables_of
from nacre.training import loop

RNG = np.random.default_rng(0)
X = RNG.standard_normal((70, 5)).astype(np.float32)
Y = (X @ RNG.standard_normal((5, 3)) + 0.1 * RNG.standard_normal((70, 3))).argmax(-1)


def classifier(*, seed=1, optimizer="adam", dropout=0.3, metrics=("accuracy",), loss=None):
    nacre.set_seed(seed)
    try:
        model = nacre.Sequential(
            [
                nacre.Input((5,)),
                layers.Dense(8, activation="relu"),
                layers.BatchNormalization(),
                layers.Dropout(dropout),
                layers.Dense(3, activation="softmax"),
            ]
        )
        model.compile(optimizer, loss or "sparse_categorical_crossentropy", list(metrics))
    finally:
        nacre.set_seed(None)
    return model


class Compilations:
    """Counts the programs that XLA compiles while it is entered."""

    def __enter__(self):
        self.count = 0
        jax.monitoring.register_event_duration_secs_listener(self._listen)
        return self

    def _listen(self, event, duration, **_):
        if event == "/jax/core/compile/backend_compile_duration":
            self.count += 1

    def __exit__(self, *error):
        jax.monitoring.unregister_event_duration_listener(self._listen)


class EachBatch(Callback):
    def __init__(self):
        super().__init__()
        self.seen = []

    def on_train_batch_end(self, batch, logs=None):
        self.seen.append((batch, logs["loss"]))


class EachEpoch(Callback):
    def __init__(self):
        super().__init__()
        self.weights = []

    def on_epoch_end(self, epoch, logs=None):
        self.weights.append(self.model.get_weights())


def same(one, two):
    for a, b in zip(one, two, strict=True):
        np.testing.assert_array_equal(a, b)


def train(callbacks=(), epochs=4, **options):
    model = classifier()
    options = {"batch_size": 16, "verbose": 0, **options}
    history = model.fit(X, Y, epochs=epochs, callbacks=list(callbacks), **options)
    return history.history, model.get_weights()


@functools.cache
def five_epochs():
    """The history of a run of five epochs, and the weights after each."""
    each = EachEpoch()
    history, weights = train([each], epochs=5)
    same(weights, each.weights[-1])
    return history, each.weights


def begin_anew(model, weights):
    """The model as it was before its first fit, with the programs it has since compiled."""
    model.set_weights(weights)
    model.trainer.slots, model.trainer.step, model.trainer.epoch = None, 0, 0


def test_the_chunk_size_changes_no_bit_and_needs_no_other_program(monkeypatch):
    model, options = classifier(), {"epochs": 4, "batch_size": 16, "verbose": 0}
    first = model.get_weights()
    history = model.fit(X, Y, **options).history
    weights = model.get_weights()
    assert history["loss"] == five_epochs()[0]["loss"][:4]
    same(weights, five_epochs()[1][3])  # a program of its own, and stops after each epoch

    def again(callbacks=()):
        begin_anew(model, first)
        assert model.fit(X, Y, callbacks=list(callbacks), **options).history == history
        same(model.get_weights(), weights)

    again([EachEpoch()])  # compiles the copy that callbacks may change
    with Compilations() as compilations:
        again([EachBatch()])
        for seconds in (1e-9, 1e-3, 1e3):
            monkeypatch.setattr(loop, "LONGEST_CALL", seconds)
            again()
    assert compilations.count == 0


def test_another_seed_gives_another_run():
    other = classifier(seed=2).fit(X, Y, epochs=1, batch_size=16, verbose=0).history
    assert other["loss"] != five_epochs()[0]["loss"][:1]


def test_a_second_fit_compiles_nothing():
    model = classifier()
    validation = (X[:20], Y[:20])
    model.fit(X, Y, epochs=2, batch_size=16, verbose=0, validation_data=validation)
    model.evaluate(X, Y, verbose=0)
    model.predict(X)
    with Compilations() as compilations:
        model.fit(X, Y, epochs=7, batch_size=16, verbose=0, validation_data=validation)
        model.fit(X + 1, Y, epochs=1, batch_size=16, verbose=0)
        model.optimizer.learning_rate = 0.1
        model.fit(X, Y, epochs=1, batch_size=16, verbose=0, callbacks=[EachBatch()])
        model.evaluate(X, Y, verbose=0)
        model.predict(X)
    assert compilations.count == 0
    with Compilations() as compilations:
        model.fit(X, Y, epochs=1, batch_size=15, verbose=0)
    assert compilations.count > 0  # the counter does count


def test_a_run_in_two_parts_is_the_run_in_one():
    history, weights = five_epochs()
    model = classifier()
    first = model.fit(X, Y, epochs=2, batch_size=16, verbose=0).history
    second = model.fit(X, Y, epochs=5, initial_epoch=2, batch_size=16, verbose=0)
    assert first["loss"] + second.history["loss"] == history["loss"]
    assert second.epoch == [2, 3, 4]
    same(model.get_weights(), weights[4])


def test_steps_against_a_loop_written_by_hand():
    model = classifier(optimizer="sgd", dropout=0.0)
    apply, params, state = nacre.lift(model)
    losses = []

    def loss(params, state, x, y):
        outputs, new_state, _ = apply(params, state, x, training=True)
        return -jnp.mean(jnp.log(outputs[jnp.arange(len(y)), y])), new_state

    slope = jax.jit(jax.value_and_grad(loss, has_aux=True))
    for _ in range(2):
        for start in range(0, 70, 16):  # the last batch has 6 examples, and is not padded
            x, y = X[start : start + 16], Y[start : start + 16]

            (value, state), gradients = slope(params, state, x, y)
            params = jax.tree.map(lambda p, g: p - 0.01 * g, params, gradients)
            losses.append((float(value), len(x)))
    history = model.fit(X, Y, epochs=2, batch_size=16, shuffle=False, verbose=0).history
    for epoch in range(2):
        part = losses[5 * epoch : 5 * epoch + 5]
        mean = sum(value * n for value, n in part) / 70
        assert history["loss"][epoch] == pytest.approx(mean, rel=1e-5)
    values = {path: variable.numpy() for path, variable in variables_of(model).items()}
    for path, value in {**params, **state}.items():
        np.testing.assert_allclose(values[path], value, rtol=1e-4, atol=1e-6)


def test_every_example_is_seen_once_an_epoch():
    seen = []

    class Watch(layers.Layer):
        def call(self, x):
            jax.debug.callback(lambda a: seen.append(np.asarray(a)), x[:, 0])
            return x

    model = nacre.Sequential([nacre.Input((1,)), Watch(), layers.Dense(1)])
    model.compile("sgd", "mse")
    x = np.arange(23, dtype=np.float32)[:, None]
    model.fit(x, x, epochs=2, batch_size=4, verbose=0)
    jax.effects_barrier()
    assert [len(batch) for batch in seen] == [4, 4, 4, 4, 4, 3] * 2
    first, second = np.concatenate(seen[:6]), np.concatenate(seen[6:])
    assert sorted(first) == sorted(second) == list(range(23))
    assert list(first) != list(range(23))
    assert list(first) != list(second)


def test_images_of_bytes_stay_bytes_on_the_device(monkeypatch):
    kinds = []
    put = jax.device_put

    def watched(tree, *args, **options):
        kinds.extend(str(leaf.dtype) for leaf in jax.tree.leaves(tree) if np.ndim(leaf) == 4)
        return put(tree, *args, **options)

    monkeypatch.setattr(jax, "device_put", watched)
    model = nacre.Sequential([layers.Flatten(), layers.Dense(2)])
    model.compile("sgd", "mse")
    model.fit(np.zeros((8, 3, 3, 1), np.uint8), np.zeros((8, 2)), verbose=0)
    assert kinds == ["uint8"]


@pytest.mark.filterwarnings("ignore::nacre.core.errors.LearnerWarning")
def test_a_loss_that_is_not_finite_stops_and_keeps_the_last_good_weights():
    x = X.copy()
    x[40, 2] = np.nan  # in the third batch of the first epoch
    model = classifier(dropout=0.0)
    reference = classifier(dropout=0.0)
    reference.fit(X[:32], Y[:32], batch_size=16, shuffle=False, verbose=0)
    with pytest.warns(nacre.models.NotFiniteWarning, match=r"epoch 1, step 3 \(update 3\)"):
        history = model.fit(x[:64], Y[:64], epochs=3, batch_size=16, shuffle=False, verbose=0)
    assert history.history == {"loss": [], "accuracy": []}
    same(model.get_weights(), reference.get_weights())


def test_what_is_frozen_after_compile_stays_and_the_other_slots_are_kept():
    model = classifier()
    model.fit(X, Y, batch_size=14, verbose=0)
    before = model.get_weights()
    model.layers[0].trainable = False
    slots = jax.tree.map(np.asarray, model.trainer.slots)
    model.fit(X, Y, batch_size=14, verbose=0)
    after = model.get_weights()
    same(before[:2], after[:2])
    assert not np.array_equal(before[-2], after[-2])
    kept = jax.tree_util.tree_leaves_with_path(slots)
    old = {jax.tree_util.keystr(path): leaf for path, leaf in kept}
    model.layers[0].trainable = True
    fresh = model.trainer._current_slots(
        {path: v.concrete() for path, v in model.trainer.parts().trained.items()}
    )
    new = {
        jax.tree_util.keystr(path): leaf
        for path, leaf in jax.tree_util.tree_leaves_with_path(fresh)
    }
    assert set(old) == set(new)
    moved = [path for path in old if not np.array_equal(old[path], new[path])]
    assert moved  # the slots of the trained layers went on from where they were


def test_a_frozen_model_has_nothing_to_train():
    model = classifier()
    model.trainable = False
    with pytest.raises(ArgumentError, match="nothing to train"):
        model.fit(X, Y, verbose=0)


def test_a_callback_can_stop_the_run_and_change_weights_and_the_learning_rate():
    class Meddle(Callback):
        def on_epoch_end(self, epoch, logs=None):
            if epoch == 0:
                self.model.set_weights([np.zeros_like(w) for w in self.model.get_weights()])
                self.model.optimizer.learning_rate = 0.0
            if epoch == 2:
                self.model.stop_training = True

    model = classifier()
    history = model.fit(X, Y, epochs=9, batch_size=14, verbose=0, callbacks=[Meddle()])
    assert len(history.history["loss"]) == 3
    assert history.history["loss"][1] == pytest.approx(np.log(3), rel=1e-5)
    np.testing.assert_array_equal(model.get_weights()[0], 0)


def test_callbacks_see_and_may_change_the_weights_at_every_hook():
    class Watch(EachBatch):
        def on_train_begin(self, logs=None):
            self.model.set_weights([w * 0.5 for w in self.model.get_weights()])
            self.weights = []

        def on_train_batch_end(self, batch, logs=None):
            self.weights.append(self.model.get_weights())

    def network():
        model = nacre.Sequential([nacre.Input((5,)), layers.Dense(3, activation="softmax")])
        model.compile("sgd", "sparse_categorical_crossentropy")
        return model

    model, other, watch = network(), network(), Watch()
    other.set_weights([w * 0.5 for w in model.get_weights()])
    model.fit(X, Y, batch_size=14, shuffle=False, verbose=0, callbacks=[watch])
    for i, weights in enumerate(watch.weights):
        other.train_on_batch(X[14 * i : 14 * i + 14], Y[14 * i : 14 * i + 14])
        same(weights, other.get_weights())
    assert len(watch.weights) == 5


def test_a_call_that_fails_loses_no_weights():
    calls = []

    class Fails(layers.Layer):
        def call(self, x):
            def count(a):
                calls.append(1)
                if len(calls) > 7:
                    raise RuntimeError("the device is gone")
                return np.zeros_like(a)

            like = jax.ShapeDtypeStruct((), x.dtype)
            return x + jax.pure_callback(count, like, jax.lax.stop_gradient(x[0, 0]))

    model = nacre.Sequential([nacre.Input((5,)), layers.Dense(3, activation="softmax"), Fails()])
    model.compile("sgd", "sparse_categorical_crossentropy")
    after = []

    class Keep(Callback):
        def on_epoch_end(self, epoch, logs=None):
            after.append(self.model.get_weights())

    with pytest.raises(Exception, match="the device is gone"):
        model.fit(X, Y, batch_size=14, epochs=9, verbose=0, callbacks=[Keep()])
    assert len(after) == 1
    moved = [np.abs(a - b).max() for a, b in zip(after[0], model.get_weights(), strict=True)]
    assert max(moved) < 0.1  # one call at most lies between
    calls.clear()
    model.fit(X[:28], Y[:28], batch_size=14, verbose=0)


def test_a_callback_that_raises_leaves_a_usable_model():
    class Fail(Callback):
        def on_epoch_end(self, epoch, logs=None):
            if epoch == 1:
                raise RuntimeError("mine")

    _, weights = five_epochs()
    model = classifier()
    with pytest.raises(RuntimeError, match="mine"):
        model.fit(X, Y, epochs=9, batch_size=16, verbose=0, callbacks=[Fail()])
    same(model.get_weights(), weights[1])
    model.fit(X, Y, epochs=1, batch_size=16, verbose=0)


def test_ctrl_c_returns_a_usable_history_and_model():
    class Interrupt(Callback):
        def on_epoch_end(self, epoch, logs=None):
            if epoch == 1:
                os.kill(os.getpid(), signal.SIGINT)

    assert threading.current_thread() is threading.main_thread()
    _, weights = five_epochs()
    model = classifier()
    history = model.fit(X, Y, epochs=9, batch_size=16, verbose=0, callbacks=[Interrupt()])
    assert len(history.history["loss"]) == 2
    same(model.get_weights(), weights[1])
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_any_optax_transformation_as_it_is():
    model = classifier(optimizer=optax.chain(optax.clip(1.0), optax.adam(0.01)))
    history = model.fit(X, Y, epochs=20, batch_size=14, verbose=0).history
    assert history["loss"][-1] < 0.8 * history["loss"][0]


def test_a_schedule_runs_inside_the_program():
    schedule = nacre.optimizers.schedules.PiecewiseConstantDecay([5], [0.01, 0.0])
    model = classifier(optimizer=nacre.optimizers.SGD(schedule))
    model.fit(X, Y, batch_size=14, verbose=0)
    before = model.get_weights()
    model.fit(X, Y, batch_size=14, verbose=0)  # updates 5 to 9
    changed = [not np.array_equal(a, b) for a, b in zip(before, model.get_weights())]
    names = [v.name for v in model.weights]
    moved = {name for name, has in zip(names, changed) if has}
    assert "moving_mean" in moved
    assert moved <= {"kernel", "bias", "gamma", "beta", "moving_mean", "moving_variance"}


def test_several_outputs_have_losses_and_metrics_of_their_own():
    x = nacre.Input((5,), name="x")
    hidden = layers.Dense(6, activation="relu")(x)
    label = layers.Dense(3, activation="softmax", name="label")(hidden)
    size = layers.Dense(1, name="size")(hidden)
    model = nacre.Model(x, [label, size])
    model.compile(
        "adam",
        loss={"label": "sparse_categorical_crossentropy", "size": "mse"},
        loss_weights={"label": 1.0, "size": 0.5},
        metrics={"label": ["accuracy"], "size": ["mae"]},
    )
    targets = {"label": Y, "size": X[:, :1]}
    history = model.fit({"x": X}, targets, epochs=2, batch_size=14, verbose=0).history
    assert list(history) == ["loss", "label_loss", "size_loss", "label_accuracy", "size_mae"]
    total = np.array(history["label_loss"]) + 0.5 * np.array(history["size_loss"])
    np.testing.assert_allclose(history["loss"], total, rtol=1e-5)
    first, second = model.predict(X)
    assert (first.shape, second.shape) == ((70, 3), (70, 1))
    assert model.evaluate(X, [Y, X[:, :1]], verbose=0, return_dict=True).keys() == history.keys()


def test_train_on_batch_is_one_step():
    model, other = classifier(dropout=0.0), classifier(dropout=0.0)
    loss, accuracy = model.train_on_batch(X[:16], Y[:16])
    history = other.fit(X[:16], Y[:16], batch_size=16, shuffle=False, verbose=0).history
    assert loss == history["loss"][0]
    assert accuracy == history["accuracy"][0]
    same(model.get_weights(), other.get_weights())
    running = model.test_on_batch(X[16:32], Y[16:32], return_dict=True)
    assert running["loss"] != loss
    model.reset_metrics()
    alone = model.test_on_batch(X[16:32], Y[16:32], return_dict=True)
    expected = model.evaluate(X[16:32], Y[16:32], verbose=0, return_dict=True)
    assert alone == pytest.approx(expected, rel=1e-6)


def test_evaluate_does_not_depend_on_the_batch_size():
    model = classifier()
    whole = model.evaluate(X, Y, batch_size=70, verbose=0)
    np.testing.assert_allclose(model.evaluate(X, Y, batch_size=16, verbose=0), whole, rtol=1e-5)
    np.testing.assert_allclose(model.predict(X, batch_size=16), model.predict(X), rtol=1e-5)


def test_prediction_of_many_batches_takes_several_to_a_call():
    """The numbers are those of each batch by itself, and one program serves any number of them."""
    a = nacre.Input((3,), name="a")
    b = nacre.Input((2,), name="b")
    joined = layers.Concatenate()([a, b])
    model = nacre.Model([a, b], {"sum": layers.Dense(4)(joined), "norm": layers.Softmax()(a)})
    x = np.random.default_rng(1).standard_normal((130, 5)).astype(np.float32)
    inputs = {"a": x[:, :3], "b": x[:, 3:]}
    whole = model.predict(inputs, batch_size=130)
    batches = []
    each = nacre.callbacks.LambdaCallback(on_predict_batch_end=lambda i, logs: batches.append(i))
    for rows, steps in ((130, None), (128, None), (130, 16), (69, None)):
        some = {name: array[:rows] for name, array in inputs.items()}
        grouped = model.predict(some, batch_size=4, steps=steps)
        assert len(grouped["sum"]) == (rows if steps is None else steps * 4)
        alone = model.predict(some, batch_size=4, steps=steps, callbacks=[each])
        jax.tree.map(
            lambda g, a, w: (
                np.testing.assert_allclose(g, a, rtol=1e-6, atol=1e-6),  # sums may cancel
                np.testing.assert_allclose(g, w[: len(g)], rtol=1e-6, atol=1e-6),
            ),
            grouped,
            alone,
            whole,
        )
    assert len(batches) == 33 + 32 + 16 + 18
    with Compilations() as compilations:
        for rows in (64, 68, 96, 124):
            model.predict({name: array[:rows] for name, array in inputs.items()}, batch_size=4)
    assert compilations.count == 0


def test_mistakes_in_the_data_are_explained():
    model = classifier()
    with pytest.raises(DataError, match="x: 70, y: 69"):
        model.fit(X, Y[:-1], verbose=0)
    with pytest.raises(DataError, match="no examples"):
        model.fit(X[:0], Y[:0], verbose=0)
    with pytest.raises(DataError, match="does not hold numbers"):
        model.fit(np.array([["a"]]), Y[:1], verbose=0)
    with pytest.raises(BuildError, match="compile"):
        nacre.Sequential([nacre.Input((5,)), layers.Dense(1)]).fit(X, Y)
    with pytest.raises(ArgumentError, match="batch_size"):
        model.fit(X, Y, batch_size=0, verbose=0)


@pytest.mark.parametrize("cycles", [pytest.param(100, marks=pytest.mark.slow)])
def test_models_that_are_gone_leave_no_memory_behind(cycles):
    def cycle():
        model = classifier()
        model.fit(X, Y, batch_size=14, verbose=0)
        model.predict(X)

    def remaining():
        jax.clear_caches()  # JAX keeps the traces of its own helpers (argmax) for good
        gc.collect()
        give_back_free_memory()
        return len(jax.live_arrays()), len(gc.get_objects()), resident_bytes()

    cycle()
    arrays, objects, resident = remaining()
    for _ in range(cycles):
        cycle()
    arrays_after, objects_after, resident_after = remaining()
    assert arrays_after <= arrays
    assert objects_after <= objects + 200
    assert resident_after <= resident + 2**25  # however many cycles there were


def give_back_free_memory():
    """What the allocator keeps for later is not in use."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def test_the_data_leave_the_device_with_the_run():
    """At once, and not when Python happens to look for cycles."""
    x = np.ones((50, 999), np.float32)
    model = nacre.Sequential([nacre.Input((999,)), layers.Dense(2)])
    model.compile("sgd", "mse")
    callbacks = [EachEpoch()]
    gc.disable()
    try:
        model.fit(x, x[:, :2], validation_split=0.2, callbacks=callbacks, verbose=0)
        model.evaluate(x, x[:, :2], verbose=0)
        model.predict(x)
        assert [a.shape for a in jax.live_arrays() if 999 in a.shape and len(a) > 2] == [(999, 2)]
    finally:
        gc.enable()


def resident_bytes():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_warnings_of_the_engine_are_none():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        train(epochs=1, validation_split=0.2)
