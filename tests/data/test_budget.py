import numpy as np
import pytest

from nacre.core.errors import ArgumentError, DataError
from nacre.data import data_budget, set_data_budget
from nacre.data.arrays import Rows, examples_from, split
from nacre.data.budget import LARGEST_CHUNK, chunk_size


@pytest.fixture(autouse=True)
def default_budget():
    yield
    set_data_budget(None)


def test_the_default_is_a_share_of_the_memory():
    with open("/proc/meminfo") as lines:
        total = int(next(line for line in lines if line.startswith("MemTotal")).split()[1]) * 1024
    assert 0 < data_budget() <= total / 3
    assert chunk_size() == LARGEST_CHUNK


def test_two_chunks_fit_in_the_budget():
    for budget in (2, 1001, 10**6, 10**12):
        set_data_budget(budget)
        assert data_budget() == budget
        assert 2 * chunk_size() <= budget
    set_data_budget(1)
    assert chunk_size() == 1


@pytest.mark.parametrize("size", [0, -5, 1.5, True])
def test_what_is_no_number_of_bytes(size):
    with pytest.raises(ArgumentError, match="number of bytes"):
        set_data_budget(size)


def test_what_is_streamed(tmp_path):
    array = np.zeros((10, 25), np.float32)  # 1,000 bytes
    labels = np.zeros(10, np.int64)  # 40 bytes as int32
    set_data_budget(1040)
    assert not examples_from(array, labels).streamed
    set_data_budget(1039)
    assert examples_from(array, labels).streamed

    np.save(tmp_path / "x.npy", array)
    on_disk = np.load(tmp_path / "x.npy", mmap_mode="r")
    set_data_budget(2080)  # a chunk holds it all
    assert not examples_from(on_disk, labels).streamed
    set_data_budget(2078)
    assert examples_from(on_disk, labels).streamed
    assert not examples_from(array, labels).streamed


def test_arrays_on_disk_are_read_in_part_and_narrowed(tmp_path):
    values = np.arange(60, dtype=np.float64).reshape(20, 3)
    np.save(tmp_path / "x.npy", values)
    for mode in ("r", "r+", "c"):
        on_disk = np.load(tmp_path / "x.npy", mmap_mode=mode)
        rows = examples_from(on_disk).arrays["x"]
        assert isinstance(rows, Rows)
        assert (rows.shape, rows.dtype, len(rows), rows.nbytes) == ((20, 3), np.float32, 20, 240)
        np.testing.assert_array_equal(rows[3:5], values[3:5].astype(np.float32))
        np.testing.assert_array_equal(rows[np.array([7, 1])], values[[7, 1]])
        into = np.zeros((2, 3), np.float32)
        rows.read(np.array([19, 0]), into)
        np.testing.assert_array_equal(into, values[[19, 0]])
        rows.read(slice(4, 6), into)
        np.testing.assert_array_equal(into, values[4:6])
        kept, held_out = split(examples_from(on_disk), 0.25)
        assert isinstance(held_out.arrays["x"], Rows)
        np.testing.assert_array_equal(held_out.arrays["x"], values[15:])
        assert kept.count == 15


def test_what_was_written_to_a_mapped_array_is_kept(tmp_path):
    np.save(tmp_path / "x.npy", np.zeros((1000, 8), np.float32))
    for mode in ("c", "r+"):
        on_disk = np.load(tmp_path / "x.npy", mmap_mode=mode)
        on_disk[5] = 7
        rows = examples_from(on_disk).arrays["x"]
        assert rows[5:6].sum() == 56
        assert on_disk[5].sum() == 56


def test_whole_numbers_on_disk_that_do_not_fit_32_bits(tmp_path):
    np.save(tmp_path / "x.npy", np.array([1, 2**40]))
    rows = examples_from(np.load(tmp_path / "x.npy", mmap_mode="r")).arrays["x"]
    assert rows[:1].dtype == np.int32
    with pytest.raises(DataError, match="do not fit 32 bits"):
        rows[:]
