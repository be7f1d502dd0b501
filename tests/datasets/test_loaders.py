"""The data sets themselves: the real files where they lie at hand, else small stand-ins."""

from __future__ import annotations

import gzip
import io
import os
import tarfile
import wave
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from nacre.core.errors import ArgumentError, BuildError, FileFormatError
from nacre.datasets import (
    airline_passengers,
    boston_housing,
    daily_min_temperatures,
    digits,
    fashion_mnist,
    imdb,
    iris,
    mnist,
    spoken_digits,
    titanic,
)
from nacre.datasets.download import Checksum

SHARED = Path(os.environ.get("NACRE_DATA") or Path(__file__).parents[3] / "shared" / "data")


def real(folder: str):
    return pytest.mark.skipif(
        not (SHARED / folder).is_dir(), reason=f"{SHARED}/{folder} is missing"
    )


@pytest.fixture
def shared(monkeypatch):
    monkeypatch.setenv("NACRE_DATA", str(SHARED))


@pytest.fixture
def own(monkeypatch, tmp_path):
    monkeypatch.setenv("NACRE_DATA", str(tmp_path))
    monkeypatch.setenv("NACRE_CACHE", str(tmp_path / "cache"))
    return tmp_path


def put(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def tar(members: dict[str, bytes]) -> bytes:
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode="w:gz") as archive:
        for name, content in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return written.getvalue()


@real("mnist")
def test_mnist(shared):
    (x_train, y_train), (x_test, y_test) = mnist.load_data()
    assert x_train.shape == (60000, 28, 28) and x_test.shape == (10000, 28, 28)
    assert x_train.dtype == y_train.dtype == np.uint8 and x_train.max() == 255
    assert y_train[:6].tolist() == [5, 0, 4, 1, 9, 2] and y_test[:4].tolist() == [7, 2, 1, 0]
    assert np.bincount(y_test).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    assert round(float(x_train.mean()) / 255, 4) == 0.1307  # the mean that tutorials subtract
    assert x_train.flags.writeable


@real("fashion_mnist")
def test_fashion_mnist(shared):
    (x_train, y_train), (x_test, _) = fashion_mnist.load_data()
    assert x_train.shape == (60000, 28, 28) and x_test.shape == (10000, 28, 28)
    assert fashion_mnist.CLASS_NAMES[y_train[0]] == "Ankle boot"
    assert np.bincount(y_train).tolist() == [6000] * 10
    assert round(float(x_train.mean()) / 255, 4) == 0.286


@pytest.mark.parametrize("data_set", [mnist, fashion_mnist])
def test_the_pinned_files_are_those_at_hand(data_set):
    for file in data_set.FILES:
        path = SHARED / file.folder / file.name
        if not path.exists():
            pytest.skip(f"{path} is missing")
        assert file.checksum.matches(path) and file.size == path.stat().st_size
        assert len(file.mirrors) >= 2 and all(url.endswith(file.name) for url in file.mirrors)


@real("tabular")
@pytest.mark.parametrize(
    "data_set", [boston_housing, iris, titanic, airline_passengers, daily_min_temperatures]
)
def test_the_pinned_tables_are_those_at_hand(data_set):
    path = SHARED / "tabular" / data_set.FILE.name
    assert data_set.FILE.checksum.matches(path) and data_set.FILE.size == path.stat().st_size


def test_pinned_checksums_are_whole():
    assert len(imdb.FILE.checksum.digest) == 64
    assert Checksum("sha256", "AB").digest == "AB"


def test_digits():
    (x_train, _), (x_test, y_test) = digits.load_data()
    assert x_train.shape == (1437, 8, 8) and x_test.shape == (360, 8, 8)
    assert x_train.dtype == np.uint8 and x_train.max() == 16
    assert set(y_test) == set(range(10))
    again = digits.load_data()[0][0]
    np.testing.assert_array_equal(x_train, again)
    assert digits.load_data(test_split=0)[0][0].shape == (1797, 8, 8)


def test_digits_need_scikit_learn(monkeypatch):
    def missing(name):
        raise ImportError(name)

    monkeypatch.setattr(digits.importlib, "import_module", missing)
    with pytest.raises(BuildError, match="pip install scikit-learn"):
        digits.load_data()


@real("tabular")
def test_boston_housing_splits_as_keras_does(shared):
    (x_train, y_train), (_, y_test) = boston_housing.load_data()
    assert x_train.shape == (404, 13) and y_test.shape == (102,)
    # The first prices and districts that Keras's loader is known to return.
    assert y_train[:5].tolist() == [15.2, 42.3, 50.0, 21.1, 17.7]
    assert x_train[0, :4].tolist() == [1.23247, 0.0, 8.14, 0.0]
    assert y_test[:3].tolist() == [7.2, 18.8, 19.0]
    assert not np.array_equal(boston_housing.load_data(seed=1)[0][1], y_train)


@pytest.mark.parametrize("split", [-0.1, 1.0, 2.0])
def test_a_split_out_of_range(own, split):
    put(own / "tabular/boston_housing.data", b"1 " * 28)
    with pytest.raises(ArgumentError, match="0 <= test_split < 1"):
        boston_housing.load_data(test_split=split)


@pytest.mark.parametrize("content", [b"", b"1 2 3", b"a " * 14, b"\xff" * 14, b"1" * (2 << 20)])
def test_boston_housing_refuses(own, content):
    put(own / "tabular/boston_housing.data", content)
    with pytest.raises(FileFormatError, match="is not the Boston housing table"):
        boston_housing.load_data()


@real("tabular")
def test_iris(shared):
    (x, y), (x_test, _) = iris.load_data(test_split=0)
    assert x.shape == (150, 4) and x.dtype == np.float32 and len(x_test) == 0
    assert np.bincount(y).tolist() == [50, 50, 50]
    np.testing.assert_allclose(x.mean(0), [5.8433, 3.0573, 3.758, 1.1993], rtol=1e-4)


@real("tabular")
def test_titanic(shared):
    columns, survived = titanic.load_data()
    assert len(survived) == 891 and survived.sum() == 342
    assert "alive" not in columns and "survived" not in columns
    assert np.isnan(columns["age"]).sum() == 177 and columns["adult_male"].dtype == bool
    assert (columns["sex"] == "female").sum() == 314


@real("tabular")
def test_time_series(shared):
    months, passengers = airline_passengers.load_data()
    assert len(months) == 144 and str(months[-1]) == "1960-12" and passengers[-1] == 432
    days, temperatures = daily_min_temperatures.load_data()
    assert len(days) == 3650 and str(days[-1]) == "1990-12-31"
    assert temperatures.dtype == np.float32 and temperatures.min() == 0


@pytest.mark.parametrize(
    ("data_set", "name", "content"),
    [
        (iris, "iris.csv", b""),
        (iris, "iris.csv", b"a,b\n1,2\n"),
        (iris, "iris.csv", ",".join((*iris.FEATURE_NAMES, "species")).encode() + b"\n1,2,3,4\n"),
        (iris, "iris.csv", ",".join((*iris.FEATURE_NAMES, "species")).encode() + b"\n1,2,3,4,x\n"),
        (airline_passengers, "airline-passengers.csv", b'"Month","Passengers"\nlater,3\n'),
        (airline_passengers, "airline-passengers.csv", b"\xff\xfe"),
        (daily_min_temperatures, "daily-min-temperatures.csv", b'"Date","Temp"\n1981-01-01,x\n'),
        (titanic, "titanic.csv", ",".join(titanic.COLUMNS).encode() + b"\n" + b"x," * 14 + b"x"),
    ],
)
def test_tables_refuse(own, data_set, name, content):
    put(own / "tabular" / name, content)
    with pytest.raises(FileFormatError, match="cannot be read"):
        data_set.load_data()


REVIEWS = {
    "aclImdb/train/pos/0_9.txt": b"A fine film, a FILM!",
    "aclImdb/train/neg/1_1.txt": b"It's a bad one.<br />A bad, bad one",
    "aclImdb/test/pos/0_8.txt": "A fine, fine Été unseen".encode(),
    "aclImdb/test/neg/1_2.txt": b"bad",
    "aclImdb/train/unsup/0_0.txt": b"left out left out left out left out",
    "aclImdb/train/urls_pos.txt": b"left out left out left out left out",
}


@pytest.fixture
def reviews(own):
    put(own / "imdb/aclImdb_v1.tar.gz", tar(REVIEWS))
    imdb._read_corpus.cache_clear()
    yield own
    imdb._read_corpus.cache_clear()


def test_imdb_ranks_the_words_of_the_training_reviews(reviews):
    # Counted by hand: a 4, bad 3, film 2, one 2, br 1, fine 1, it's 1.
    assert imdb.get_word_index() == {
        "a": 1,
        "bad": 2,
        "film": 3,
        "one": 4,
        "br": 5,
        "fine": 6,
        "it's": 7,
    }


def by_label(split):
    return {int(label): review for review, label in zip(*split)}


def test_imdb_numbers_the_reviews(reviews):
    train, test = imdb.load_data()
    assert by_label(train) == {1: [1, 4, 9, 6, 4, 6], 0: [1, 10, 4, 5, 7, 8, 4, 5, 5, 7]}
    assert by_label(test) == {1: [1, 4, 9, 9], 0: [1, 5]}  # words never trained on are left out
    assert train[0].dtype == object and isinstance(train[0][0], list)


@pytest.mark.parametrize(
    ("options", "praise"),
    [
        ({"num_words": 6}, [1, 4, 2, 2, 4, 2]),
        ({"num_words": 6, "oov_char": None}, [1, 4, 4]),
        ({"skip_top": 5}, [2, 2, 9, 6, 2, 6]),
        ({"start_char": None, "index_from": 0}, [1, 6, 3, 1, 3]),
        ({"index_from": 10}, [1, 11, 16, 13, 11, 13]),
    ],
)
def test_imdb_keywords(reviews, options, praise):
    assert by_label(imdb.load_data(**options)[0])[1] == praise


def test_imdb_leaves_out_long_reviews(reviews):
    (x_train, y_train), _ = imdb.load_data(maxlen=7)
    assert [len(review) for review in x_train] == [6] and y_train.tolist() == [1]
    with pytest.raises(ArgumentError, match="No review is that short"):
        imdb.load_data(maxlen=2)


def test_imdb_refuses_an_archive_without_reviews(own):
    put(own / "imdb/aclImdb_v1.tar.gz", tar({"aclImdb/train/pos/0_9.txt": b"fine"}))
    with pytest.raises(FileFormatError, match="1 in train/pos, 0 in test/neg"):
        imdb.load_data()
    put(own / "imdb/aclImdb_v1.tar.gz", tar(REVIEWS | {"aclImdb/test/neg/3_3.txt": b"\xff\xff"}))
    with pytest.raises(FileFormatError, match=r"3_3\.txt' is not UTF-8"):
        imdb.load_data()


@pytest.mark.slow
@real("imdb")
def test_imdb_real(shared):
    imdb._read_corpus.cache_clear()
    (x_train, y_train), (x_test, y_test) = imdb.load_data(num_words=10000)
    assert len(x_train) == len(x_test) == 25000
    assert y_train.sum() == y_test.sum() == 12500
    assert max(map(max, x_train)) == 9999 and all(review[0] == 1 for review in x_train)
    index = imdb.get_word_index()
    # Keras's ranks of these words; "and" and "a" change places with the way of splitting words.
    assert [index[word] for word in ("the", "of", "to", "is", "br", "in")] == [1, 4, 5, 6, 7, 8]


def recording(samples: np.ndarray, rate: int = 8000, channels: int = 1) -> bytes:
    written = io.BytesIO()
    with wave.open(written, "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(samples.astype("<i2").tobytes())
    return written.getvalue()


def test_spoken_digits_from_a_small_archive(own):
    loud, low = np.array([0, 16384, -32768]), np.array([8192])
    members = {
        "recordings/3_ada_0.wav": recording(loud),
        "recordings/4_ada_5.wav": recording(low),
        "recordings/notes.txt": b"left out",
    }
    put(own / "fsdd/recordings.tar.gz", tar(members))
    (x_train, y_train), (x_test, y_test) = spoken_digits.load_data()
    assert y_train.tolist() == [4] and y_test.tolist() == [3]
    np.testing.assert_array_equal(x_test[0], np.float32([0, 0.5, -1]))
    (x_train, _), (x_test, _) = spoken_digits.load_data(length=2)
    np.testing.assert_array_equal(x_train, np.float32([[0.25, 0]]))
    np.testing.assert_array_equal(x_test, np.float32([[0, 0.5]]))
    with pytest.raises(ArgumentError, match="a positive number"):
        spoken_digits.load_data(length=0)


GOOD = recording(np.arange(50))


@pytest.mark.parametrize(
    "content",
    [b"", b"RIFF", GOOD[:30], recording(np.arange(8), 44100), recording(np.arange(8), 8000, 2)],
)
def test_spoken_digits_refuse(own, content):
    put(own / "fsdd/recordings.tar.gz", tar({"recordings/3_ada_0.wav": content}))
    with pytest.raises(FileFormatError, match=r"3_ada_0\.wav' cannot be read"):
        spoken_digits.load_data()
    put(own / "fsdd/recordings.tar.gz", tar({"recordings/3_ada_0.wav": GOOD}))
    with pytest.raises(FileFormatError, match="0 to train on and 1 to test with"):
        spoken_digits.load_data()


def damaged_recording(data):
    content = bytearray(GOOD)
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, 47))] = data.draw(st.integers(0, 255))
    try:
        samples = spoken_digits._samples("x", bytes(content))
    except FileFormatError:
        return
    assert len(samples) <= len(content)


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_a_damaged_recording_is_read_or_refused(data):
    damaged_recording(data)


@pytest.mark.slow
@settings(max_examples=10_000, deadline=None)
@given(data=st.data())
def test_ten_thousand_damaged_recordings(data):
    damaged_recording(data)


@real("fsdd")
def test_spoken_digits_real(shared):
    (x_train, _), (x_test, y_test) = spoken_digits.load_data()
    assert len(x_train) == 2700 and len(x_test) == 300
    assert np.bincount(y_test).tolist() == [30] * 10
    assert max(np.abs(samples).max() for samples in x_test) <= 1


def test_gzip_is_not_trusted_by_name(own):
    put(own / "tabular/iris.csv", gzip.compress(b"x"))
    with pytest.raises(FileFormatError, match="cannot be read"):
        iris.load_data()
