"""The demo's page: what it says, that it stands alone, and the run that makes it."""

from __future__ import annotations

import base64
import os
import re
import struct
import xml.etree.ElementTree as ElementTree
import zlib
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

import nacre
from nacre.datasets import mnist
from nacre.datasets.download import DownloadError
from nacre.demo import experiment
from nacre.demo.charts import Series, confusion_matrix, line_chart
from nacre.demo.png import encode_png
from nacre.demo.report import Outcome, render, write_report

SHARED = Path(os.environ.get("NACRE_DATA") or Path(__file__).parents[2] / "shared" / "data")


def outcome(**changes) -> Outcome:
    """Six digits; the network reads the fourth as a 7 (surely) and the last as a 1 (unsurely)."""
    truth = np.array([0, 1, 2, 3, 4, 5], np.uint8)
    probabilities = np.full((6, 10), 0.01)
    probabilities[np.arange(6), truth] = 0.91
    probabilities[3] = np.eye(10)[7]
    probabilities[5] = np.eye(10)[1] * 0.6 + np.eye(10)[5] * 0.4
    settings = {
        "data_set": "MNIST",
        "history": {"loss": [0.5, 0.25], "accuracy": [0.8, 0.9]},
        "test_loss": 0.125,
        "images": np.arange(6 * 16, dtype=np.uint8).reshape(6, 4, 4),
        "ink": 95,
        "truth": truth,
        "probabilities": probabilities,
        "facts": {"weights": "1,234"},
        "settings": {"optimizer": "<RMSprop>"},
        "timings": {"training": 1.5},
        "environment": {"jax": "0.10"},
        "program": "x < y",
    }
    return Outcome(**(settings | changes))


class Reader(HTMLParser):
    """Collects the page's text and addresses, and whether its elements are balanced."""

    EMPTY = frozenset({"meta", "img", "br"})

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.texts: list[str] = []
        self.addresses: list[str] = []
        self.tags: list[str] = []
        self.feed(page)
        self.close()
        assert self.open == []
        self.text = " ".join(" ".join(self.texts).split())

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.addresses += [value for name, value in attrs if name in ("src", "href")]
        if tag not in self.EMPTY:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if not self.open or self.open[-1] not in ("style", "title"):
            self.texts.append(data)


def test_the_page_says_what_was_measured():
    text = Reader(render(outcome())).text
    assert "66.66 % of 6 unseen digits read correctly" in text
    assert "It read 4 of them correctly and 2 wrongly." in text
    for expected in (
        "test accuracy 0.6667",
        "test loss 0.1250",
        "weights 1,234",
        "training 1.50 s",
    ):
        assert expected in text
    assert "<RMSprop>" in text and "x < y" in text and "jax 0.10" in text
    assert "Most often confused: 3 as 7 (1), 5 as 1 (1)." in text


def test_the_page_needs_nothing_else():
    page = render(outcome())
    read = Reader(page)
    assert read.addresses and all(a.startswith("data:image/png;base64,") for a in read.addresses)
    assert not {"script", "link", "iframe", "object"} & set(read.tags)
    assert not re.search(r"https?://|url\(|@import", page)
    assert "width=device-width" in page and "prefers-color-scheme: dark" in page


def test_the_worst_mistake_comes_first():
    text = Reader(render(outcome())).text
    first, second = text.index("3 read as 7"), text.index("5 read as 1")
    assert first < second
    assert "p(7) = 1.0000 p(3) < 0.0001 no. 3" in text
    assert "p(1) = 0.6000 p(5) = 0.4000 no. 5" in text


def test_the_pictures_are_ink_on_paper():
    page = render(outcome())
    pixels = [decode(base64.b64decode(a.partition(",")[2])) for a in Reader(page).addresses]
    images = outcome().images
    np.testing.assert_array_equal(pixels[0], np.round(255 * (1 - images[3] / 95.0)))
    np.testing.assert_array_equal(pixels[1], np.round(255 * (1 - images[5] / 95.0)))


def test_a_network_without_mistakes():
    text = Reader(render(outcome(probabilities=np.eye(10)[:6]))).text
    assert "100.00 % of 6 unseen digits" in text
    assert "None was misread." in text and "There are none." in text


def test_almost_all_is_not_all():
    truth = np.zeros(30_000, np.uint8)
    probabilities = np.zeros((30_000, 10))
    probabilities[:, 0] = 1
    probabilities[7] = np.eye(10)[1]
    images = np.zeros((30_000, 2, 2), np.uint8)
    text = Reader(render(outcome(truth=truth, probabilities=probabilities, images=images))).text
    assert "99.99 % of 30,000 unseen digits" in text


def test_validation_is_drawn_where_there_is_any():
    history = {"loss": [1.0, 0.5], "accuracy": [0.5, 0.6]}
    assert "validation" not in Reader(render(outcome(history=history))).text
    history |= {"val_loss": [1.0, 0.75], "val_accuracy": [0.5, 0.55]}
    text = Reader(render(outcome(history=history))).text
    assert "validation 0.750" in text and "validation 55.0 %" in text


def test_the_page_is_written_in_one_step(tmp_path):
    path = tmp_path / "report" / "index.html"
    write_report(outcome(), path)
    assert path.read_text("utf-8") == render(outcome())
    with pytest.raises(IndexError):
        write_report(outcome(images=np.zeros((0, 4, 4), np.uint8)), path)
    assert path.read_text("utf-8") == render(outcome())
    assert [entry.name for entry in path.parent.iterdir()] == ["index.html"]


def decode(content: bytes) -> np.ndarray:
    """Read a PNG as the standard describes it: chunks with checksums, rows with a filter of 0."""
    assert content.startswith(b"\x89PNG\r\n\x1a\n")
    chunks, place = {}, 8
    while place < len(content):
        (length,) = struct.unpack_from(">I", content, place)
        kind = content[place + 4 : place + 8]
        chunks[kind] = content[place + 8 : place + 8 + length]
        checked = content[place + 4 : place + 8 + length]
        assert struct.unpack_from(">I", content, place + 8 + length)[0] == zlib.crc32(checked)
        place += length + 12
    width, height, depth, colour = struct.unpack_from(">IIBB", chunks[b"IHDR"])
    assert (depth, colour) == (8, 0) and list(chunks) == [b"IHDR", b"IDAT", b"IEND"]
    rows = np.frombuffer(zlib.decompress(chunks[b"IDAT"]), np.uint8).reshape(height, width + 1)
    assert not rows[:, 0].any()
    return rows[:, 1:]


@pytest.mark.parametrize("shape", [(1, 1), (28, 28), (3, 7)])
def test_png(shape):
    image = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    np.testing.assert_array_equal(decode(encode_png(image)), image)


def test_a_line_lies_where_its_values_are():
    chart = line_chart([Series("training", [1.0, 0.0, 0.5], "train")], title="Loss")
    points = re.search(r'points="([^"]+)"', chart)
    assert points is not None
    places = [tuple(map(float, point.split(","))) for point in points[1].split()]
    (left, top), (middle, bottom), (right, between) = places
    assert middle - left == right - middle > 0
    assert between == (top + bottom) / 2 and top < bottom
    assert "Loss by epoch: training ends at 0.500" in chart


@settings(max_examples=200, deadline=None)
@given(
    values=st.lists(st.floats(-1e6, 1e6) | st.just(float("nan")), min_size=1, max_size=60),
    others=st.lists(st.floats(-1e6, 1e6) | st.just(float("inf")), max_size=60),
    percent=st.booleans(),
)
def test_any_history_can_be_drawn(values, others, percent):
    lines = [Series("training", values, "train"), Series("<test>", [0.5], "test")]
    lines += [Series("validation", others, "validation")] if others else []
    chart = ElementTree.fromstring(line_chart(lines, title="Loss & more", percent=percent))
    for dot in chart.iter("circle"):
        assert 0 <= float(dot.get("cx", "nan")) <= 480
        assert 15 <= float(dot.get("cy", "nan")) <= 257
    for label in chart.iter("text"):
        assert "nan" not in "".join(label.itertext()) and "inf" not in "".join(label.itertext())


@pytest.mark.parametrize(
    ("epochs", "shown"),
    [(1, [1]), (5, [1, 2, 3, 4, 5]), (20, [*range(1, 19, 2), 20]), (100, [*range(1, 91, 10), 100])],
)
def test_the_epochs_are_numbered_where_there_is_room(epochs, shown):
    chart = ElementTree.fromstring(line_chart([Series("x", [0.5] * epochs, "x")], title="Loss"))
    labels = [t for t in chart.iter("text") if t.get("text-anchor") == "middle"]
    assert [int(t.text or 0) for t in labels if (t.text or "").isdecimal()] == shown


def test_the_matrix_shows_every_count():
    counts = np.array([[50, 3], [0, 7]])
    matrix = ElementTree.fromstring(confusion_matrix(counts))
    titles = [title.text for title in matrix.iter("title")]
    assert titles == [
        "50 times a 0 was read as 0",
        "3 times a 0 was read as 1",
        "0 times a 1 was read as 0",
        "7 times a 1 was read as 1",
    ]
    shown = [text.text for text in matrix.iter("text") if text.get("class") == "count"]
    assert shown == ["50", "3", None, "7"]
    assert matrix.get("aria-label") == "Confusion matrix: 3 of 60 digits misread"


def check_run(result: Outcome, folder: Path, inputs: int) -> None:
    assert sorted(path.name for path in folder.iterdir()) == ["index.html", "model.nacre"]
    page = (folder / "index.html").read_text("utf-8")
    assert f"{result.right:,} of them correctly" in Reader(page).text
    loaded = nacre.models.load_model(folder / "model.nacre")
    scaled = result.images[:50].reshape(-1, inputs).astype(np.float32) / np.float32(result.ink)
    predicted = np.asarray(loaded.predict(scaled, verbose=0))
    np.testing.assert_allclose(predicted, result.probabilities[:50], rtol=1e-4, atol=1e-6)


@pytest.fixture
def unseeded():
    yield
    nacre.set_seed(None)


@pytest.mark.skipif(not (SHARED / "mnist").is_dir(), reason=f"{SHARED}/mnist is missing")
@pytest.mark.parametrize(
    ("epochs", "accuracy", "loss"),
    [(1, 0.95, 0.3), pytest.param(5, 0.975, 0.06, marks=pytest.mark.slow)],
)
def test_the_demo_reads_mnist(monkeypatch, tmp_path, capsys, unseeded, epochs, accuracy, loss):
    monkeypatch.setenv("NACRE_DATA", str(SHARED))
    result = experiment.run_demo(tmp_path / "report", epochs=epochs)
    assert result.accuracy >= accuracy and len(result.truth) == 10_000
    assert len(result.history["loss"]) == epochs and result.history["loss"][-1] < loss
    assert f"Test accuracy: {result.accuracy:.4f} ({result.right:,} of" in capsys.readouterr().out
    check_run(result, tmp_path / "report", 784)


def test_without_mnist_the_demo_says_so_and_goes_on(monkeypatch, tmp_path, capsys, unseeded):
    def missing():
        raise DownloadError("nowhere")

    monkeypatch.setattr(mnist, "load_data", missing)
    result = experiment.run_demo(tmp_path / "report", epochs=3)
    said = [line for line in capsys.readouterr().out.splitlines() if "scikit-learn" in line]
    assert said[0].startswith("MNIST is not on this machine and could not be downloaded: ")
    assert result.data_set == "the digits of scikit-learn" and len(result.truth) == 360
    assert result.accuracy > 0.85
    check_run(result, tmp_path / "report", 64)
