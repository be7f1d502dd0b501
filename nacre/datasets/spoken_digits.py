"""Spoken digits: 3,000 recordings of six people who say a digit, 8,000 samples a second."""

from __future__ import annotations

import io
import re
import wave
from pathlib import Path

import numpy as np

from nacre.core.errors import ArgumentError, FileFormatError, explain
from nacre.datasets.files import DataFile
from nacre.datasets.splitting import Split
from nacre.datasets.tar import read_tar

__all__ = ["SAMPLE_RATE", "load_data"]

SAMPLE_RATE = 8000
NAME = re.compile(r"(?:.*/)?recordings/(\d)_([a-z]+)_(\d+)\.wav")
TEST_RECORDINGS = 5  # the data set's own split: the first five recordings of a digit by a person
MOST_BYTES = 1 << 28
MOST_FILE_BYTES = 1 << 20
FULL_SCALE = 32768
FILE = DataFile(
    folder="fsdd",
    name="recordings.tar.gz",
    homepage="https://github.com/Jakobovski/free-spoken-digit-dataset (its folder recordings)",
)


def load_data(length: int | None = None) -> tuple[Split, Split]:
    """Load the recordings: 2,700 to train on and 300 to test with.

    They are looked for in ``$NACRE_DATA/fsdd``, then in the user's cache; they are not downloaded.
    The split is the data set's own: the recordings 0 to 4 of a digit by a person are for testing.

    Args:
        length: the number of samples that each recording is cut or filled up with silence to; by
            default each keeps its own.

    Returns:
        ``(x_train, y_train), (x_test, y_test)``: waves, float32 from -1 to 1, as an array of shape
        ``(N, length)``, or without ``length`` as an object array of N arrays; and digits of shape
        ``(N,)``, uint8 from 0 to 9.

    Raises:
        ArgumentError: if ``length`` is not positive.
        DownloadError: if the file is nowhere.
        FileFormatError: if it is damaged.

    Example:
        >>> (x_train, y_train), _ = load_data(length=8000)  # doctest: +SKIP
        >>> x_train.shape  # doctest: +SKIP
        (2700, 8000)

    Reference:
        Z. Jackson and others: Free Spoken Digit Dataset (2018). Licence: CC BY-SA 4.0.
    """
    if length is not None and length <= 0:
        raise ArgumentError(
            explain("length is out of range.", expected="a positive number", received=length)
        )
    train, test = _read_recordings(FILE.fetch())
    return _arrays(train, length), _arrays(test, length)


Recordings = list[tuple[int, np.ndarray]]


def _read_recordings(path: Path) -> tuple[Recordings, Recordings]:
    train: Recordings = []
    test: Recordings = []
    files = read_tar(
        path,
        lambda name: NAME.fullmatch(name) is not None,
        most_bytes=MOST_BYTES,
        most_file_bytes=MOST_FILE_BYTES,
    )
    for name, content in sorted(files):
        found = NAME.fullmatch(name)
        assert found is not None
        part = test if int(found[3]) < TEST_RECORDINGS else train
        part.append((int(found[1]), _samples(name, content)))
    if not train or not test:
        raise FileFormatError(
            explain(
                f"{str(path)!r} does not hold the spoken digits.",
                expected="files named recordings/DIGIT_PERSON_NUMBER.wav",
                received=f"{len(train)} to train on and {len(test)} to test with",
            )
        )
    return train, test


def _samples(name: str, content: bytes) -> np.ndarray:
    try:
        with wave.open(io.BytesIO(content)) as recording:
            form = (recording.getnchannels(), recording.getsampwidth(), recording.getframerate())
            frames = recording.readframes(recording.getnframes())
        if form != (1, 2, SAMPLE_RATE):
            raise ValueError(f"{form[0]} channels of {form[1]} bytes at {form[2]} Hz")
        return np.frombuffer(frames, "<i2").astype(np.float32) / np.float32(FULL_SCALE)
    except (wave.Error, EOFError, ValueError, ArithmeticError, RuntimeError) as error:
        raise FileFormatError(
            explain(
                f"The recording {name!r} cannot be read: {error or 'it is cut short'}.",
                expected=f"16 bits, 1 channel, {SAMPLE_RATE} Hz",
                fix="replace the archive by an intact copy.",
            )
        ) from None


def _arrays(recordings: Recordings, length: int | None) -> Split:
    digits = np.array([digit for digit, _ in recordings], np.uint8)
    if length is None:
        waves = np.empty(len(recordings), object)
        waves[:] = [samples for _, samples in recordings]
        return waves, digits
    filled = np.zeros((len(recordings), length), np.float32)  # (N, T)
    for row, (_, samples) in zip(filled, recordings):
        row[: len(samples)] = samples[:length]
    return filled, digits
