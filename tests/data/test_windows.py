import itertools

import jax
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from nacre.data import set_data_budget
from nacre.data.arrays import examples_from
from nacre.data.batches import Batches
from nacre.data.order import EpochOrder
from nacre.data.windows import ALIGNMENT, ArraySource, BatchSource, Memory


@pytest.fixture(autouse=True)
def default_budget():
    yield
    set_data_budget(None)


def never():
    return False


def steps_of(window):
    """The rows of each step of a window."""
    rows = np.asarray(window.data["x"])
    order = np.arange(len(rows)) if window.order is None else window.order
    sizes = [window.size] * window.full + [window.remainder] * window.short
    ends = np.cumsum([0, *sizes])
    return [rows[order[a:b]] for a, b in itertools.pairwise(ends)]


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_windows_of_arrays_hold_the_steps_of_a_run_over_the_whole(data, tmp_path_factory):
    count = data.draw(st.integers(1, 40), "examples")
    size = data.draw(st.integers(1, 45), "batch size")
    steps = data.draw(st.none() | st.integers(1, 50), "steps in an epoch")
    shuffled = data.draw(st.booleans(), "shuffled")
    on_disk = data.draw(st.booleans(), "on disk")
    epoch = data.draw(st.integers(0, 3), "epoch")
    set_data_budget(data.draw(st.sampled_from([1, 200, 700, 10**6]), "budget"))

    x = np.arange(2 * count, dtype=np.float64).reshape(count, 2)
    if on_disk:
        path = tmp_path_factory.mktemp("array") / "x.npy"
        np.save(path, x)
        x = np.load(path, mmap_mode="r")
    order = EpochOrder(3, count) if shuffled else None
    source = ArraySource(examples_from(x), size, order, steps)

    size = min(size, count)
    per_pass = -(-count // size)
    length = steps or per_pass
    assert source.steps == length
    expected = []
    for number in range(epoch * length, (epoch + 1) * length):
        turn, within = divmod(number, per_pass)
        rows = np.arange(count) if order is None else order(turn)
        expected.append(np.asarray(x)[rows[within * size : (within + 1) * size]])

    first = data.draw(st.integers(0, length - 1), "first step")
    found, shapes = [], set()
    for window in source.windows(epoch, first, never):
        shapes.add(window.data["x"].shape)
        found += steps_of(window)
        assert window.ends == (len(found) == length - first)
        assert (window.order is None) == (order is None)
    assert len(shapes) == 1  # so one compiled program serves all windows
    assert len(found) == length - first
    for mine, theirs in zip(found, expected[first:], strict=True):
        np.testing.assert_array_equal(mine, theirs)


def batches_of(sizes, **more):
    numbers = itertools.count()
    made = [np.array([next(numbers) for _ in range(size)], np.float32) for size in sizes]
    return made, [(x, x * 2) for x in made]


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.integers(1, 4), min_size=1, max_size=15),
    st.sampled_from([1, 30, 64, 10**6]),
    st.booleans(),
)
def test_windows_of_batches_hold_every_batch_in_order(sizes, budget, hurry):
    set_data_budget(budget)
    made, pairs = batches_of(sizes)
    source = BatchSource(Batches(iter(pairs)))
    found = []
    for window in source.windows(0, 0, lambda: hurry):
        found += steps_of(window)
        assert window.full >= 1 and not window.short and not window.ends
        assert not hurry or window.full == 1
    assert source.exhausted
    for mine, theirs in zip(found, made, strict=True):
        np.testing.assert_array_equal(mine, theirs)


def test_no_batch_is_drawn_past_the_end_of_an_epoch():
    drawn = []

    def forever():
        for number in itertools.count():
            drawn.append(number)
            yield np.full((2, 1), number, np.float32)

    source = BatchSource(Batches(forever()), steps=3)
    for epoch in range(4):
        windows = list(source.windows(epoch, 0, never))
        assert len(drawn) == 3 * (epoch + 1)
        assert [window.ends for window in windows] == [False] * (len(windows) - 1) + [True]
    assert not source.exhausted


def test_batches_that_can_begin_anew_go_on_from_epoch_to_epoch():
    class Three:
        def __iter__(self):
            return iter([np.full((1, 1), number, np.float32) for number in range(3)])

    source = BatchSource(Batches(Three()), steps=2)
    seen = []
    for epoch in range(3):
        for window in source.windows(epoch, 0, never):
            seen += [int(step[0, 0]) for step in steps_of(window)]
    assert seen == [0, 1, 2, 0, 1, 2]


def test_what_came_before_an_error_is_handed_over_first():
    def broken():
        yield np.zeros((2, 1))
        yield np.ones((2, 1))
        raise LookupError("mine")

    windows = BatchSource(Batches(broken())).windows(0, 0, never)
    assert next(windows).full == 2
    with pytest.raises(LookupError, match="mine"):
        next(windows)


def test_what_has_been_gathered_can_be_had_before_its_time():
    asked = []

    def batches():
        for number in range(3):
            asked.append(source.partial() if number == 2 else None)
            yield np.full((2, 1), number, np.float32)

    source = BatchSource(Batches(batches()))
    assert source.partial() is None
    (rest,) = source.windows(0, 0, never)
    early = asked[2]
    assert [int(step[0, 0]) for step in steps_of(early)] == [0, 1]
    assert [int(step[0, 0]) for step in steps_of(rest)] == [2]
    assert (early.ends, rest.ends) == (False, False)
    assert source.partial() is None
    assert ArraySource(examples_from(np.zeros((3, 1))), 1, None).partial() is None


def test_memory_is_used_in_turn_and_aligned_for_the_device():
    memory = Memory()
    like = {"x": np.zeros((1, 5), np.uint8), "y": np.zeros(1, np.float32)}
    buffers = [memory.next(like, 7) for _ in range(4)]
    addresses = [buffer["x"].ctypes.data for buffer in buffers]
    assert addresses[0] == addresses[2] != addresses[1] == addresses[3]
    for buffer in buffers:
        for leaf in jax.tree.leaves(buffer):
            assert leaf.ctypes.data % ALIGNMENT == 0
    assert (buffers[0]["x"].shape, buffers[0]["x"].dtype) == ((7, 5), np.uint8)
    assert (buffers[0]["y"].shape, buffers[0]["y"].dtype) == ((7,), np.float32)
    if jax.default_backend() == "cpu":  # the device works on the same memory
        on_device = jax.device_put(buffers[0]["x"])
        assert on_device.unsafe_buffer_pointer() == addresses[0]
