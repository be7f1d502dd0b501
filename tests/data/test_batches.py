import itertools

import jax.numpy as jnp
import numpy as np
import pytest
import torch

from nacre.core.errors import ArgumentError, DataError
from nacre.data import Dataset
from nacre.data.batches import Batches, nothing_beside, yields_batches

X = np.arange(12, dtype=np.float32).reshape(6, 2)


class ByIndex:
    """Like a Keras PyDataset."""

    def __init__(self):
        self.begun = self.ended = 0

    def __len__(self):
        return 3

    def __getitem__(self, number):
        return X[2 * number : 2 * number + 2], np.full(2, number)

    def on_epoch_begin(self):
        self.begun += 1

    def on_epoch_end(self):
        self.ended += 1


def pairs():
    for start in (0, 2, 4):
        yield X[start : start + 2], np.full(2, start // 2)


def numbers(batches, turn=0):
    return [int(batch["y"][0]) for batch in batches.begin(turn)]


def test_what_yields_batches_and_what_is_arrays():
    loader = torch.utils.data.DataLoader(torch.arange(4))
    for source in (pairs(), iter([]), zip(X, X), ByIndex(), loader, Dataset.from_iterable([X])):
        assert yields_batches(source)
    for arrays in (None, X, [X, X], (X,), {"a": X}, jnp.ones(3), torch.ones(3), 3.0, "abc"):
        assert not yields_batches(arrays)


def test_what_is_nearly_batches_is_explained():
    with pytest.raises(DataError, match=r"fit\(pairs\(\), steps_per_epoch"):
        yields_batches(pairs)
    with pytest.raises(DataError, match="DataLoader"):
        yields_batches(torch.utils.data.TensorDataset(torch.ones(3)))
    with pytest.raises(DataError, match=r"dataset\.batch\(32\)"):
        Batches(Dataset.from_arrays(X, X).shuffle(seed=1))
    with pytest.raises(ArgumentError, match="sample_weight cannot be given beside"):
        nothing_beside(y=None, sample_weight=X)


@pytest.mark.parametrize(
    ("batch", "names"),
    [
        (X, {"x"}),
        ((X,), {"x"}),
        ([X, X], {"x", "y"}),
        ((X, X, np.ones(6)), {"x", "y", "weight"}),
        ({"a": X}, {"x"}),
        ((X, None, np.ones(6)), {"x", "weight"}),
    ],
)
def test_the_parts_of_a_batch(batch, names):
    (arrays,) = Batches(iter([batch])).begin(0)
    assert set(arrays) == names


def test_batches_that_do_not_fit():
    with pytest.raises(DataError, match="a tuple of 4"):
        list(Batches(iter([(X, X, X, X)])).begin(0))
    with pytest.raises(DataError, match="different numbers of examples"):
        list(Batches(iter([(X, X[:3])])).begin(0))
    with pytest.raises(DataError, match="does not hold numbers"):
        list(Batches(iter([np.array(["a"])])).begin(0))


def test_tensors_and_wide_numbers_become_arrays_of_32_bits():
    batch = (torch.ones(2, 3, requires_grad=True), torch.tensor([1, 2]), jnp.ones(2))
    (arrays,) = Batches(iter([batch])).begin(0)
    assert all(isinstance(array, np.ndarray) for array in arrays.values())
    assert (arrays["x"].dtype, arrays["y"].dtype) == (np.float32, np.int32)


def test_a_generator_begins_once_and_others_again():
    assert Batches(pairs()).once
    for source in (ByIndex(), Dataset.from_generator(pairs), Dataset.from_iterable(list(pairs()))):
        batches = Batches(source)
        assert not batches.once
        assert numbers(batches) == numbers(batches, 1) == [0, 1, 2]


def test_the_number_of_batches_where_it_is_known():
    assert Batches(pairs()).count is None
    assert Batches(ByIndex()).count == 3
    assert Batches(torch.utils.data.DataLoader(torch.arange(5), batch_size=2)).count == 3
    assert Batches(Dataset.from_arrays(X, X).batch(4)).count == 2
    assert Batches(Dataset.from_generator(pairs)).count is None

    class Endless(ByIndex):
        num_batches = None

        def __getitem__(self, number):
            return super().__getitem__(number % 3)

    endless = Batches(Endless(), seed=1)
    assert endless.count is None
    labels = [int(batch["y"][0]) for batch in itertools.islice(endless.begin(0), 4)]
    assert labels == [0, 1, 2, 0]


def test_an_index_is_shuffled_and_told_of_epochs():
    source = ByIndex()
    batches = Batches(source, seed=1)
    orders = [numbers(batches, turn) for turn in range(6)]
    assert all(sorted(order) == [0, 1, 2] for order in orders)
    assert len({tuple(order) for order in orders}) > 1
    assert orders == [numbers(Batches(ByIndex(), seed=1), turn) for turn in range(6)]
    assert (source.begun, source.ended) == (6, 6)


def test_a_dataset_is_given_the_number_of_the_epoch():
    dataset = Dataset.from_arrays(X, np.arange(6)).shuffle(seed=1).batch(6)
    batches = Batches(dataset)
    for turn in (0, 4):
        (found,), (expected,) = batches.begin(turn), dataset.epoch(turn)
        np.testing.assert_array_equal(found["y"], expected[1])


def test_class_weights_multiply_the_weights_of_examples():
    labels = np.array([0, 1, 1])
    plain, weighted = (X[:3], labels), (X[:3], labels, np.array([1.0, 2.0, 3.0]))
    batches = Batches(iter([plain, weighted]), classes={1: 5})
    found = [batch["weight"].tolist() for batch in batches.begin(0)]
    assert found == [[1, 5, 5], [1, 10, 15]]
