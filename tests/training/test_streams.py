"""Any source of batches: the numbers, the order, what is drawn, and what happens when it breaks."""

import itertools
import linecache
import mmap
import os
import subprocess
import sys
import textwrap
import threading
import time
import traceback
from pathlib import Path

import jax
import numpy as np
import pytest
import torch

import nacre
from nacre import layers
from nacre.callbacks import Callback
from nacre.core.errors import ArgumentError, DataError, LearnerWarning
from nacre.data import Dataset, set_data_budget

ROOT = Path(__file__).parents[2]
RNG = np.random.default_rng(0)
X = RNG.standard_normal((70, 5)).astype(np.float32)
Y = (
    (X @ RNG.standard_normal((5, 3)) + 0.1 * RNG.standard_normal((70, 3)))
    .argmax(-1)
    .astype(np.int32)
)
TWO_STEPS = 2 * 16 * 24 * 2  # bytes: two windows, each of two steps of 16 examples of 24 bytes
COMPILED = "/jax/core/compile/backend_compile_duration"


@pytest.fixture(autouse=True)
def default_budget():
    yield
    set_data_budget(None)


def made(*hidden, optimizer):
    nacre.set_seed(1)
    try:
        output = layers.Dense(3, activation="softmax")
        model = nacre.Sequential([nacre.Input((5,)), *hidden, output])
        model.compile(optimizer, "sparse_categorical_crossentropy", ["accuracy"])
    finally:
        nacre.set_seed(None)
    return model


def beginner(model):
    """What gives the model back as it was before any training, with all that it has compiled."""
    weights = model.get_weights()

    def begin():
        model.set_weights(weights)
        model.trainer.slots, model.trainer.step, model.trainer.epoch = None, 0, 0
        return model

    return begin


@pytest.fixture(scope="module")
def fresh():
    return beginner(made(optimizer="sgd"))


@pytest.fixture(scope="module")
def fresh_with_state():
    """A model whose numbers depend on every step before: statistics, moments and random keys."""
    return beginner(
        made(layers.Dense(4), layers.BatchNormalization(), layers.Dropout(0.3), optimizer="adam")
    )


def run(model, *data, **options):
    options = {"verbose": 0, "epochs": 3, **options}
    history = model.fit(*data, **options)
    return history.history, model.get_weights()


def assert_same(one, two):
    assert one[0] == two[0]
    for a, b in zip(one[1], two[1], strict=True):
        np.testing.assert_array_equal(a, b)


def assert_close(one, two, name=""):
    assert one[0].keys() == two[0].keys()
    for key in one[0]:
        np.testing.assert_allclose(one[0][key], two[0][key], rtol=1e-5, err_msg=name)
    for a, b in zip(one[1], two[1], strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6, err_msg=name)


def cut(x=X, y=Y, size=16):
    return [(x[i : i + size], y[i : i + size]) for i in range(0, len(x), size)]


def loader(shuffle=False, dataset=None):
    dataset = dataset or torch.utils.data.TensorDataset(torch.tensor(X), torch.tensor(Y))
    return torch.utils.data.DataLoader(dataset, batch_size=16, shuffle=shuffle, num_workers=0)


class Again:
    """An iterable that is none of the known kinds."""

    def __init__(self, batches):
        self.batches = batches

    def __iter__(self):
        return iter(self.batches)


class ByIndex(Again):
    """Like a Keras PyDataset."""

    __iter__ = None

    def __len__(self):
        return len(self.batches)

    def __getitem__(self, number):
        return self.batches[number]


class Counted:
    """An iterator that counts how often it is asked, even for what it no longer has.

    Args:
        batches: how many it gives.
    """

    def __init__(self, batches=10**9, of=None):
        self.batches, self.asked, self.of = batches, 0, of or cut()

    def __iter__(self):
        return self

    def __next__(self):
        self.asked += 1
        if self.asked > self.batches:
            raise StopIteration
        return self.of[(self.asked - 1) % len(self.of)]


# Arrays larger than the budget, and arrays on disk


def check_streamed(fresh, folder, budget, shuffle):
    np.save(folder / "x.npy", X.astype(np.float64))
    on_disk = np.load(folder / "x.npy", mmap_mode="r")
    options = {"batch_size": 16, "shuffle": shuffle, "validation_data": (X, Y)}
    resident = run(fresh(), X, Y, **options)
    evaluated = fresh().evaluate(X, Y, batch_size=16, verbose=0)
    set_data_budget(budget)
    for x in (X, X.astype(np.float64), on_disk):
        assert_same(run(fresh(), x, Y, **options), resident)
    assert fresh().evaluate(on_disk, Y, batch_size=16, verbose=0) == evaluated


@pytest.mark.slow
def test_a_streamed_run_with_state_is_the_resident_one_to_the_bit(fresh_with_state, tmp_path):
    check_streamed(fresh_with_state, tmp_path, TWO_STEPS, True)


@pytest.mark.parametrize(("budget", "shuffle"), [(1, True), (TWO_STEPS, False)])
def test_a_streamed_run_is_the_resident_one_to_the_bit(fresh, tmp_path, budget, shuffle):
    check_streamed(fresh, tmp_path, budget, shuffle)


def test_weights_structures_and_a_split_are_streamed_to_the_bit():
    a, b = nacre.Input((3,), name="a"), nacre.Input((2,), dtype="uint8", name="b")
    words = layers.Flatten()(layers.Embedding(4, 2)(b))
    hidden = layers.Concatenate()([a, words])
    nacre.set_seed(1)
    model = nacre.Model([a, b], layers.Dense(3, activation="softmax")(hidden))
    model.compile("sgd", "sparse_categorical_crossentropy", weighted_metrics=["accuracy"])
    nacre.set_seed(None)
    begin = beginner(model)
    inputs = {"a": X[:, :3], "b": RNG.integers(0, 4, (70, 2)).astype(np.uint8)}
    options = {
        "batch_size": 16,
        "sample_weight": np.linspace(0.5, 2, 70),
        "class_weight": {0: 1.0, 2: 4.0},
        "validation_split": 0.3,  # 49 examples and 21: the last batches are short
    }
    resident = run(begin(), inputs, Y, **options)
    plain = run(begin(), inputs, Y, batch_size=16, validation_split=0.3)
    assert plain[0]["loss"] != resident[0]["loss"]
    set_data_budget(TWO_STEPS)
    assert_same(run(begin(), inputs, Y, **options), resident)


def test_what_is_streamed_passes_through_two_stretches_of_memory(fresh, monkeypatch):
    seen = []
    put = jax.device_put

    def watched(tree, *args, **options):
        if isinstance(tree, dict) and "y" in tree:
            seen.append((tree["x"].shape, tree["x"].ctypes.data))
        return put(tree, *args, **options)

    set_data_budget(TWO_STEPS)
    monkeypatch.setattr(jax, "device_put", watched)
    run(fresh(), X, Y, batch_size=16)
    assert {shape for shape, _ in seen} == {(2 * 16 + 6, 5)}  # with room for the short batch
    assert len({address for _, address in seen}) == 2
    assert len(seen) == 3 * 2


def test_streamed_in_single_steps_is_the_same(fresh):
    class EachBatch(Callback):
        def __init__(self):
            self.seen = []

        def on_train_batch_end(self, batch, logs=None):
            self.seen.append((batch, logs["loss"]))

    one, two = EachBatch(), EachBatch()
    resident = run(fresh(), X, Y, batch_size=16, callbacks=[one])
    set_data_budget(TWO_STEPS)
    assert_same(run(fresh(), X, Y, batch_size=16, callbacks=[two]), resident)
    assert one.seen == two.seen
    assert len(one.seen) == 15


def test_two_fits_go_on_as_one_whether_streamed_or_not(fresh):
    whole = run(fresh(), X, Y, batch_size=16, epochs=4)
    for budgets in ((TWO_STEPS, TWO_STEPS), (TWO_STEPS, None)):
        model = fresh()
        losses = []
        for budget in budgets:
            set_data_budget(budget)
            losses += run(model, X, Y, batch_size=16, epochs=2)[0]["loss"]
        assert_same(({"loss": losses}, model.get_weights()), ({"loss": whole[0]["loss"]}, whole[1]))


def test_64_bit_numbers_are_streamed_as_such_where_jax_has_them():
    with jax.enable_x64(True):
        x = RNG.standard_normal((20, 2))
        weights = []
        for budget in (None, 1):
            set_data_budget(budget)
            nacre.set_seed(1)
            model = nacre.Sequential([nacre.Input((2,), dtype="float64"), layers.Dense(1)])
            model.compile("sgd", "mse")
            nacre.set_seed(None)
            model.fit(x, x[:, :1], batch_size=8, epochs=2, verbose=0)
            weights.append(model.get_weights())
        for a, b in zip(*weights, strict=True):
            np.testing.assert_array_equal(a, b)


def test_memory_stays_within_the_budget_and_two_chunks(tmp_path):
    script = """
        import resource, numpy as np, nacre
        from nacre import layers
        from nacre.data import set_data_budget
        def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        x = np.memmap("x.bin", np.float32, "r", shape=(160_000, 256))
        y = np.zeros(160_000)
        model = nacre.Sequential([nacre.Input((256,)), layers.Dense(1)])
        model.compile("sgd", "mse")
        set_data_budget(16 * 2**20)
        def everything(x, y):
            model.fit(x, y, batch_size=500, verbose=0)
            model.fit(x, y, batch_size=500, verbose=0, shuffle=False)
            model.evaluate(x, y, batch_size=500, verbose=0)
            model.predict(x, batch_size=500)
        everything(x[:16_000], y[:16_000])  # two windows, and all that is compiled
        before = peak()
        everything(x, y)
        everything(x, y)
        print(peak() - before)
    """
    with open(tmp_path / "x.bin", "wb") as file:  # ten times the budget
        for _ in range(10):
            file.write(bytes(16 * 2**20))
    result = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert int(result.stdout) < 16 + 2 * 8  # MiB


# Batches that somebody else makes


def test_every_kind_of_source_gives_the_same_run(fresh):
    """The reference is a run over the arrays, in the order of the arrays."""
    expected = run(fresh(), X, Y, batch_size=16, shuffle=False, validation_data=(X, Y))
    examples = Dataset.from_arrays(X, Y)
    doubled = Dataset.from_arrays(X / 2, Y).map(lambda x, y: (2 * x, y)).batch(16).prefetch(2)
    sources = {
        "iterable": Again(cut()),
        "index": ByIndex(cut()),
        "Dataset": examples.batch(16),
        "mapped and prefetched": doubled,
        "of a generator": Dataset.from_generator(lambda: iter(cut())),
        "DataLoader": loader(),
        "generator": Counted(),
        "Dataset without end": examples.batch(16).repeat(),
    }
    for name, source in sources.items():
        endless = name in ("generator", "Dataset without end")
        steps = {"steps_per_epoch": 5, "validation_steps": 5} if endless else {}
        held_out = Counted() if name == "generator" else source
        options = {"shuffle": False, "validation_data": held_out, **steps}
        assert_close(run(fresh(), source, **options), expected, name)


def test_a_shuffled_dataset_has_an_order_for_each_epoch_and_resumes(fresh):
    def source():
        return Dataset.from_arrays(X, Y).shuffle(seed=3).batch(16)

    whole = run(fresh(), source(), epochs=4)
    model = fresh()
    first = run(model, source(), epochs=2)
    second = run(model, source(), epochs=4, initial_epoch=2)
    assert first[0]["loss"] + second[0]["loss"] == whole[0]["loss"]
    assert_same(({}, second[1]), ({}, whole[1]))
    batches = [batch for epoch in range(4) for batch in source().epoch(epoch)]
    assert_same(({}, run(fresh(), Again(batches), epochs=1)[1]), ({}, whole[1]))
    assert not np.array_equal(batches[0][0], batches[5][0])


def test_a_shuffled_loader_is_begun_anew_for_each_epoch(fresh):
    torch.manual_seed(5)
    found = run(fresh(), loader(shuffle=True), epochs=2)
    torch.manual_seed(5)
    again = loader(shuffle=True)
    batches = [tuple(part.numpy() for part in batch) for _ in range(2) for batch in again]
    assert not np.array_equal(batches[0][0], batches[5][0])
    assert_same(({}, run(fresh(), Again(batches), epochs=1)[1]), ({}, found[1]))


def test_batches_of_any_size_are_trained_on_as_they_are(fresh):
    sizes = [16, 6, 6, 16, 16, 6]
    ends = np.cumsum([0, *sizes])
    batches = [(X[a:b], Y[a:b]) for a, b in itertools.pairwise(ends)]
    model = fresh()
    for batch in batches:
        model.train_on_batch(*batch)
    expected = model.get_weights()
    for source in (Again(batches), Counted(6, batches)):
        found = run(fresh(), source, epochs=1)[1]
        assert_close(({}, found), ({}, expected))
    loss = model.evaluate(X[:66], Y[:66], batch_size=66, verbose=0)
    np.testing.assert_allclose(model.evaluate(Again(batches), verbose=0), loss, rtol=1e-5)


def test_how_a_stream_is_cut_into_windows_changes_no_bit(fresh):
    def slowly():
        for batch in cut() * 3:
            time.sleep(0.002)  # so every batch is waited for, and handed over on its own
            yield batch

    fast = run(fresh(), Counted(), steps_per_epoch=5)
    assert_same(run(fresh(), slowly(), steps_per_epoch=5), fast)
    set_data_budget(1)
    assert_same(run(fresh(), Counted(), steps_per_epoch=5), fast)


def test_a_second_fit_on_streams_compiles_nothing(fresh):
    model = fresh()

    def everything(x):
        model.fit(Again(cut(x)), epochs=2, verbose=0, validation_data=Again(cut(x)))
        model.fit(x, Y, batch_size=16, verbose=0, validation_data=(x, Y))
        model.evaluate(Again(cut(x)), verbose=0)
        model.predict(Again(cut(x)))

    count = 0

    def listen(event, duration, **_):
        nonlocal count
        count += event == COMPILED

    set_data_budget(TWO_STEPS)
    everything(X)
    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        everything(X + 1)
        assert count == 0
        model.fit(Again(cut(size=15)), verbose=0)
        assert count > 0  # the counter does count
    finally:
        jax.monitoring.unregister_event_duration_listener(listen)


def test_an_index_is_shuffled_and_a_generator_is_not(fresh):
    first = run(fresh(), ByIndex(cut()))
    assert_same(run(fresh(), ByIndex(cut())), first)
    unshuffled = run(fresh(), ByIndex(cut()), shuffle=False)
    assert unshuffled[0]["loss"] != first[0]["loss"]
    assert_same(run(fresh(), Again(cut())), unshuffled)


def test_class_and_sample_weights_in_batches(fresh):
    weights = np.linspace(0.5, 2, 70).astype(np.float32)
    expected = run(
        fresh(), X, Y, batch_size=16, shuffle=False, sample_weight=weights, class_weight={1: 3.0}
    )
    batches = [(*batch, weights[16 * i : 16 * i + 16]) for i, batch in enumerate(cut())]
    assert_close(run(fresh(), Again(batches), class_weight={1: 3.0}), expected)


def test_evaluate_and_predict_take_the_same_sources(fresh, tmp_path):
    model = fresh()
    loss = model.evaluate(X, Y, batch_size=16, verbose=0)
    part = model.evaluate(X[:32], Y[:32], batch_size=16, verbose=0)
    outputs = model.predict(X, batch_size=16)
    sources = [
        *(make(cut()) for make in (Again, ByIndex, Dataset.from_iterable)),
        loader(),
        Dataset.from_arrays(X, Y).batch(16).prefetch(),
    ]
    for source in sources:
        np.testing.assert_allclose(model.evaluate(source, verbose=0), loss, rtol=1e-5)
        np.testing.assert_allclose(model.predict(source), outputs, rtol=1e-5)
    np.testing.assert_allclose(model.evaluate(iter(cut()), verbose=0), loss, rtol=1e-5)
    np.testing.assert_allclose(model.predict(iter(cut())), outputs, rtol=1e-5)
    np.testing.assert_allclose(model.predict(Again([x for x, _ in cut()])), outputs, rtol=1e-5)
    assert model.evaluate(X, Y, batch_size=16, steps=2, verbose=0) == pytest.approx(part, rel=1e-5)
    np.testing.assert_allclose(model.evaluate(Counted(), steps=2, verbose=0), part, rtol=1e-5)
    np.testing.assert_allclose(model.predict(Counted(), steps=2), outputs[:32], rtol=1e-5)
    np.testing.assert_allclose(model.predict(X, batch_size=16, steps=2), outputs[:32], rtol=1e-5)
    np.save(tmp_path / "x.npy", X)
    set_data_budget(TWO_STEPS)
    on_disk = np.load(tmp_path / "x.npy", mmap_mode="r")
    assert model.evaluate(on_disk, Y, batch_size=16, verbose=0) == loss
    np.testing.assert_array_equal(model.predict(on_disk, batch_size=16), outputs)


def test_a_generator_may_write_every_batch_into_the_same_memory():
    def batches(buffer):
        for number in range(20):
            buffer[:] = number
            yield buffer

    wide = [layers.Dense(2048), layers.Dense(2048)]  # so that a batch takes a while
    model = nacre.Sequential([nacre.Input((1024,)), *wide, layers.Dense(1)])
    model.compile("sgd", "mse")
    pages = mmap.mmap(-1, 32 * 1024 * 4)  # aligned, so that the device reads it where it lies
    buffer = np.frombuffer(pages, np.float32).reshape(32, 1024)
    expected = model.predict(np.concatenate([b.copy() for b in batches(buffer)]))
    np.testing.assert_array_equal(model.predict(batches(buffer)), expected)
    pairs = ((x, x[:, :1]) for x in batches(buffer))
    loss = np.square(expected - np.repeat(np.arange(20), 32)[:, None]).mean()
    np.testing.assert_allclose(model.evaluate(pairs, verbose=0), loss, rtol=1e-4)


def test_what_has_been_drawn_is_trained_on_while_the_next_is_awaited(fresh):
    trained = threading.Event()

    class Watch(Callback):
        def on_chunk_end(self, epoch, steps_done, steps_total, examples_done, logs):
            if steps_done == 3:
                trained.set()

    def slow():
        yield from cut()[:3]
        assert trained.wait(60)  # it comes only when somebody has seen the three
        yield from cut()[3:]

    expected = run(fresh(), Again(cut()), epochs=1)
    assert_same(run(fresh(), slow(), epochs=1, callbacks=[Watch()]), expected)


# Steps


def test_a_generator_is_never_advanced_further_than_asked(fresh):
    source, held_out = Counted(), Counted()

    class Watch(Callback):
        def on_epoch_end(self, epoch, logs=None):
            time.sleep(0.01)  # what runs in the background has time to go too far
            assert source.asked == 4 * (epoch + 1)
            assert held_out.asked == 3 * (epoch + 1)
            self.model.stop_training = epoch == 1

    model = fresh()
    run(
        model,
        source,
        epochs=9,
        steps_per_epoch=4,
        validation_data=held_out,
        validation_steps=3,
        callbacks=[Watch()],
    )
    assert (source.asked, held_out.asked) == (8, 6)
    run(model, source, epochs=2, steps_per_epoch=3)  # without a callback, and where it stopped
    assert source.asked == 8 + 6
    model.evaluate(source, steps=2, verbose=0)
    model.predict(source, steps=3)
    assert source.asked == 14 + 2 + 3
    exact = Counted(12)
    run(model, exact, epochs=3, steps_per_epoch=4)
    assert exact.asked == 12  # not asked whether there is more


def test_a_dataset_draws_no_more_elements_than_its_batches_hold(fresh):
    drawn = 0

    def examples():
        nonlocal drawn
        for number in itertools.count():
            drawn += 1
            yield X[number % 70], Y[number % 70]

    source = Dataset.from_generator(examples).map(lambda x, y: (x, y)).batch(16)
    run(fresh(), source, epochs=3, steps_per_epoch=2)
    assert drawn == 3 * 2 * 16


def test_epochs_go_on_where_the_one_before_stopped(fresh):
    whole = run(fresh(), Counted(), epochs=1, steps_per_epoch=12)
    parts = run(fresh(), Counted(), epochs=4, steps_per_epoch=3)
    assert_same(run(fresh(), Again(cut()), epochs=4, steps_per_epoch=3), parts)
    assert_same(({}, whole[1]), ({}, parts[1]))


@pytest.mark.parametrize("steps", [3, 12])
def test_steps_per_epoch_of_arrays(fresh, steps):
    """Passes over the data follow one another, each in an order of its own."""
    expected = run(fresh(), X, Y, batch_size=16, epochs=12)[1]  # 60 steps
    options = {"batch_size": 16, "epochs": 60 // steps, "steps_per_epoch": steps}
    resident = run(fresh(), X, Y, **options)
    assert_same(({}, resident[1]), ({}, expected))
    assert len(resident[0]["loss"]) == 60 // steps
    set_data_budget(TWO_STEPS)
    assert_same(run(fresh(), X, Y, **options), resident)


def test_a_batch_size_follows_from_the_steps(fresh):
    expected = run(fresh(), X, Y, batch_size=18)
    assert_same(run(fresh(), X, Y, steps_per_epoch=4), expected)


def test_validation_frequency(fresh):
    class Watch(Callback):
        def __init__(self):
            self.seen = []

        def on_epoch_end(self, epoch, logs=None):
            if "val_loss" in logs:
                self.seen.append(epoch)

    options = {"epochs": 5, "batch_size": 16, "validation_data": (X, Y)}
    every = run(fresh(), X, Y, **options)[0]["val_loss"]
    for frequency, epochs in [(1, range(5)), (2, [1, 3]), ([1, 5], [0, 4]), (9, [])]:
        watch = Watch()
        options |= {"validation_freq": frequency, "callbacks": [watch]}
        history, _ = run(fresh(), X, Y, **options)
        assert watch.seen == list(epochs)
        assert history.get("val_loss", []) == [every[epoch] for epoch in epochs]
    held_out = Counted()
    run(
        fresh(),
        Again(cut()),
        epochs=5,
        validation_data=held_out,
        validation_steps=2,
        validation_freq=2,
    )
    assert held_out.asked == 2 * 2


def test_steps_are_known_after_the_first_epoch(fresh):
    seen = []

    class Watch(Callback):
        def on_chunk_end(self, epoch, steps_done, steps_total, examples_done, logs):
            seen.append((epoch, steps_done, steps_total, examples_done))

    run(fresh(), Again(cut()), epochs=2, callbacks=[Watch()])
    assert {total for epoch, _, total, _ in seen if epoch == 0} == {None}
    assert {total for epoch, _, total, _ in seen if epoch == 1} == {5}
    for epoch in (0, 1):
        assert [row for row in seen if row[0] == epoch][-1][1::2] == (5, 70)
    seen.clear()
    set_data_budget(TWO_STEPS)
    run(fresh(), X, Y, epochs=1, batch_size=16, callbacks=[Watch()])
    assert [row for row in seen if row[1] in (2, 5)][-1] == (0, 5, 5, 70)


# What goes wrong


def test_a_generator_that_runs_dry_ends_the_run_with_a_word(fresh):
    with pytest.warns(LearnerWarning, match="after epoch 1 of 3"):
        history, _ = run(fresh(), iter(cut()))
    assert len(history["loss"]) == 1
    with pytest.warns(LearnerWarning, match="after epoch 2 of 3"):
        history, _ = run(fresh(), iter(cut()), steps_per_epoch=3)
    assert len(history["loss"]) == 2
    history, _ = run(fresh(), iter(cut()), epochs=1)  # one epoch is all that was asked for
    assert len(history["loss"]) == 1


class Mine(Exception):
    """No exception of Python's or of the library's."""


def broken(good):
    yield from cut()[:good]
    raise Mine(good)  # the line that a traceback shows


def test_an_error_in_a_generator_reaches_the_user_and_leaves_the_model_usable(fresh):
    expected = run(fresh(), Again(cut()[:3]), epochs=1)[1]
    model = fresh()

    def fails(function, *data, **options):
        with pytest.raises(Mine) as caught:
            function(*data, **options)
        last = traceback.extract_tb(caught.value.__traceback__)[-1]
        assert last.name == "broken"
        assert "the line that a traceback shows" in linecache.getline(last.filename, last.lineno)

    fails(model.fit, broken(3), verbose=0)
    assert_same(({}, model.get_weights()), ({}, expected))
    fails(model.fit, broken(0), verbose=0)  # before anything has begun
    assert_same(({}, model.get_weights()), ({}, expected))
    fails(model.fit, Again(cut()), verbose=0, validation_data=broken(2), validation_steps=5)
    trained = run(fresh(), Again(cut()[:3] + cut()), epochs=1)[1]
    assert_close(({}, model.get_weights()), ({}, trained))
    fails(model.evaluate, broken(2), verbose=0)
    fails(model.predict, broken(2))
    fails(model.fit, Dataset.from_generator(lambda: broken(2)).prefetch(3), verbose=0)
    run(model, X, Y)
    assert np.isfinite(model.predict(X)).all()
    assert not [thread for thread in threading.enumerate() if "_run" in thread.name]


def test_an_error_in_a_later_epoch_keeps_the_epochs_before(fresh):
    def two_and_a_half():
        yield from cut() * 2
        yield from broken(2)

    expected = run(fresh(), Again(cut() * 2 + cut()[:2]), epochs=1)[1]
    model = fresh()
    with pytest.raises(Mine):
        model.fit(two_and_a_half(), steps_per_epoch=5, epochs=4, verbose=0)
    assert_same(({}, model.get_weights()), ({}, expected))
    assert len(model.history.history["loss"]) == 2


def test_errors_in_a_map_and_in_a_loader_keep_their_type(fresh):
    def fail(x, y):
        raise Mine(x)

    class Unreadable(torch.utils.data.Dataset):
        def __len__(self):
            return 70

        def __getitem__(self, number):
            if number == 20:
                raise Mine(number)
            return X[number], Y[number]

    with pytest.raises(Mine):
        run(fresh(), Dataset.from_arrays(X, Y).map(fail).batch(16))
    with pytest.raises(Mine):
        run(fresh(), loader(dataset=Unreadable()))


def test_mistakes_are_explained(fresh):
    model = fresh()
    for data, message in [
        ({"x": iter([])}, "gave no batches"),
        ({"x": broken, "steps_per_epoch": 2}, "call it"),
        ({"x": Again(cut()), "y": Y}, "y cannot be given beside"),
        ({"x": Again(cut()), "sample_weight": Y}, "sample_weight cannot be given beside"),
        ({"x": Again(cut()), "validation_split": 0.1}, "validation_split cannot be given beside"),
        ({"x": Dataset.from_arrays(X, Y)}, "single examples"),
        ({"x": X, "y": Y, "validation_data": iter([])}, "gave no batches"),
        ({"x": Again([(X, Y, Y, Y)])}, "a tuple of 4"),
    ]:
        with pytest.raises((DataError, ArgumentError), match=message):
            model.fit(**data, verbose=0)
    for name in ("steps_per_epoch", "validation_steps", "validation_freq"):
        with pytest.raises(ArgumentError, match=name):
            model.fit(X, Y, batch_size=16, validation_data=(X, Y), verbose=0, **{name: 0})
    with pytest.raises(ArgumentError, match="steps"):
        model.evaluate(X, Y, steps=1.5, verbose=0)
    with pytest.raises(DataError, match="gave no batches"):  # of the second validation
        model.fit(X, Y, batch_size=16, epochs=2, verbose=0, validation_data=iter(cut()))
