import itertools

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

import nacre
from nacre.core.errors import ArgumentError, DataError
from nacre.data import Dataset


def flat(elements):
    return [np.asarray(element).tolist() for element in elements]


def epochs(dataset, count=3):
    return [flat(dataset.epoch(number)) for number in range(count)]


# A pipeline against the same thing done to lists

OPERATIONS = {
    "map": (lambda d, n: d.map(lambda v: 2 * v + n), lambda a, n: [2 * v + n for v in a]),
    "take": (lambda d, n: d.take(n), lambda a, n: a[:n]),
    "skip": (lambda d, n: d.skip(n), lambda a, n: a[n:]),
    "repeat": (lambda d, n: d.repeat(n % 3 + 1), lambda a, n: a * (n % 3 + 1)),
    "prefetch": (lambda d, n: d.prefetch(n + 1), lambda a, n: a),
}


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(0, 99), min_size=1, max_size=12),
    st.lists(st.tuples(st.sampled_from(sorted(OPERATIONS)), st.integers(0, 5)), max_size=4),
    st.sampled_from(["arrays", "sequence", "generator"]),
    st.integers(1, 5),
    st.booleans(),
)
def test_a_pipeline_against_lists(values, operations, source, size, drop):
    given = list(values)
    dataset = {
        "arrays": lambda: Dataset.from_arrays(np.array(given)),
        "sequence": lambda: Dataset.from_iterable(given),
        "generator": lambda: Dataset.from_generator(lambda: iter(given)),
    }[source]()
    for name, n in operations:
        ours, theirs = OPERATIONS[name]
        dataset, values = ours(dataset, n), theirs(values, n)
    assert flat(dataset) == values
    batches = [values[i : i + size] for i in range(0, len(values), size)]
    if drop:
        batches = [batch for batch in batches if len(batch) == size]
    batched = dataset.batch(size, drop_remainder=drop)
    assert flat(batched) == batches
    if source != "generator":
        assert (len(dataset), len(batched)) == (len(values), len(batches))
    else:
        with pytest.raises(TypeError):
            len(dataset)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Dataset.from_arrays(np.arange(20)).shuffle(seed=3),
        lambda: Dataset.from_iterable(range(20)).shuffle(seed=3),
        lambda: Dataset.from_generator(lambda: iter(range(20))).shuffle(8, seed=3),
        lambda: Dataset.from_arrays(np.arange(20)).map(lambda n: n).shuffle(seed=3).prefetch(2),
    ],
)
def test_the_order_is_a_function_of_seed_and_epoch(make):
    first, again = epochs(make()), epochs(make())
    assert first == again
    assert all(sorted(epoch) == list(range(20)) for epoch in first)
    assert len({tuple(epoch) for epoch in first}) == 3
    dataset = make()
    assert [flat(dataset) for _ in range(3)] == first  # iterating goes from epoch to epoch


def test_the_order_never_changes_from_version_to_version():
    order = flat(Dataset.from_arrays(np.arange(8)).shuffle(seed=5).epoch(2))
    assert order == [4, 0, 1, 2, 5, 6, 7, 3]


def test_a_position_is_enough_to_go_on_from():
    dataset = Dataset.from_arrays(np.arange(30)).shuffle(seed=1).batch(4).repeat(2)
    for epoch in (0, 3):
        whole = flat(dataset.epoch(epoch))
        assert flat(dataset.skip(5).epoch(epoch)) == whole[5:]
    assert sorted(itertools.chain(*flat(dataset.take(8)))) == list(range(30))
    first, second = flat(dataset.epoch(0))[:8], flat(dataset.epoch(0))[8:]
    assert first != second


def test_the_seed_of_the_library_is_the_default():
    nacre.set_seed(4)
    try:
        one = Dataset.from_arrays(np.arange(20)).shuffle()
        two = Dataset.from_arrays(np.arange(20)).shuffle(seed=4)
    finally:
        nacre.set_seed(None)
    assert epochs(one) == epochs(two)


def test_a_buffer_mixes_only_what_it_holds():
    order = flat(Dataset.from_generator(lambda: iter(range(100))).shuffle(10, seed=1))
    assert order != sorted(order)
    assert all(number < place + 10 for place, number in enumerate(order))


def test_trees_of_arrays_are_gathered_by_row(tmp_path):
    x, y = np.arange(12.0).reshape(6, 2), np.arange(6)
    np.save(tmp_path / "x.npy", x)
    for inputs in (x, np.load(tmp_path / "x.npy", mmap_mode="r")):
        dataset = Dataset.from_arrays({"a": inputs}, y).shuffle(seed=2).batch(4)
        for batch, labels in dataset:
            np.testing.assert_array_equal(batch["a"], x[labels])
            assert batch["a"].dtype == np.float32
    with pytest.raises(DataError, match="different numbers of examples"):
        Dataset.from_arrays(x, y[:5])


def test_arrays_are_gathered_and_not_read_one_by_one():
    reads = []

    class Watched:
        def __init__(self, values):
            self.values = values

        def __len__(self):
            return len(self.values)

        def __getitem__(self, index):
            reads.append(index)
            return self.values[index]

    node = nacre.data.nodes.Arrays(Watched(np.arange(10)), 10)
    assert flat(Dataset(node).skip(2).take(7).batch(4)) == [[2, 3, 4, 5], [6, 7, 8]]
    assert len(reads) == 2


def test_maps_take_the_items_of_a_tuple():
    pairs = Dataset.from_arrays(np.arange(3), np.arange(3) * 10)
    assert flat(pairs.map(lambda a, b: a + b)) == [0, 11, 22]
    assert flat(pairs.batch(2).map(lambda a, b: a + b)) == [[0, 11], [22]]


def test_zips_end_with_the_shortest():
    letters = Dataset.from_iterable("abcd")
    numbers = Dataset.from_generator(lambda: itertools.count(1))
    assert list(Dataset.zip(letters, numbers)) == list(zip("abcd", itertools.count(1)))
    short = Dataset.from_arrays(np.arange(3))
    both = Dataset.zip(short, Dataset.from_arrays(np.arange(9)))
    assert len(both) == 3
    assert [x.tolist() for x, _ in both.batch(2)] == [[0, 1], [2]]


def test_without_end():
    forever = Dataset.from_arrays(np.arange(3)).shuffle(seed=1).repeat()
    with pytest.raises(TypeError):
        len(forever)
    values = flat(itertools.islice(forever, 9))
    assert [sorted(values[i : i + 3]) for i in (0, 3, 6)] == [[0, 1, 2]] * 3
    assert list(Dataset.from_iterable([]).repeat()) == []


def test_an_iterable_is_begun_anew_for_each_epoch():
    class Again:
        begun = 0

        def __iter__(self):
            self.begun += 1
            return iter([self.begun])

    dataset = Dataset.from_iterable(Again())
    assert [list(dataset), list(dataset)] == [[1], [2]]


def test_it_is_lazy():
    calls = []
    dataset = Dataset.from_iterable(range(5)).map(lambda n: calls.append(n) or n).batch(2)
    assert calls == []
    next(iter(dataset))
    assert calls == [0, 1]


def test_what_cannot_be_is_explained():
    with pytest.raises(ArgumentError, match="a function that returns an iterator"):
        Dataset.from_generator(iter([1]))
    with pytest.raises(ArgumentError, match="buffer_size=1000"):
        Dataset.from_generator(lambda: iter([1])).shuffle()
    with pytest.raises(ArgumentError, match="batch_size"):
        Dataset.from_iterable([1]).batch(0)
    with pytest.raises(ArgumentError, match="take takes a number"):
        Dataset.from_iterable([1]).take(-1)
    ragged = Dataset.from_iterable([np.zeros(2), np.zeros(3)]).batch(2)
    with pytest.raises(DataError, match=r"\(2,\) and \(3,\)"):
        list(ragged)
