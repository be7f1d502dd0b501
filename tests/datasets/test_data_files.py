"""Where data sets are looked for, and what is said when they are nowhere."""

from __future__ import annotations

import gzip
import hashlib
import sys
from pathlib import Path

import numpy as np
import pytest

from nacre.core.errors import FileFormatError
from nacre.datasets import folders, labelled_images, mnist
from nacre.datasets.download import Checksum, DownloadError
from nacre.datasets.files import DataFile

VARIABLES = ("NACRE_DATA", "NACRE_CACHE", "XDG_CACHE_HOME", "LOCALAPPDATA")


@pytest.fixture(autouse=True)
def places(monkeypatch, tmp_path):
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NACRE_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("NACRE_CACHE", str(tmp_path / "cache"))
    return tmp_path


def put(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def test_the_data_folder_is_what_the_variable_says(monkeypatch):
    monkeypatch.setenv("NACRE_DATA", "~/sets")
    assert folders.data_folder() == Path.home() / "sets"
    monkeypatch.setenv("NACRE_DATA", " ")
    assert folders.data_folder() is None
    monkeypatch.delenv("NACRE_DATA")
    assert folders.data_folder() is None


@pytest.mark.parametrize(
    ("platform", "variables", "expected"),
    [
        ("linux", {"NACRE_CACHE": "/own"}, "/own"),
        ("linux", {}, "~/.cache/nacre"),
        ("linux", {"XDG_CACHE_HOME": "/xdg"}, "/xdg/nacre"),
        ("linux", {"XDG_CACHE_HOME": "relative"}, "~/.cache/nacre"),
        ("darwin", {}, "~/Library/Caches/nacre"),
        ("win32", {}, "~/AppData/Local/nacre/Cache"),
        ("win32", {"LOCALAPPDATA": "/local"}, "/local/nacre/Cache"),
    ],
)
def test_the_cache_lies_where_the_platform_has_caches(monkeypatch, platform, variables, expected):
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.delenv("NACRE_CACHE")
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert folders.cache_folder() == Path(expected).expanduser()


def data_file(site, page: bytes = b"page", **changes) -> DataFile:
    settings = {
        "folder": "set",
        "name": "file.gz",
        "checksum": Checksum("sha256", hashlib.sha256(page).hexdigest()),
        "size": len(page),
        "mirrors": (site.url("lost"), site.url("file")),
    }
    return DataFile(**(settings | changes))


def test_the_users_folder_comes_before_the_cache_and_the_network(site, places):
    site.pages["file"] = b"page"
    file = data_file(site)
    downloaded = file.fetch()
    assert downloaded == places / "cache/set/file.gz" and downloaded.read_bytes() == b"page"
    assert file.fetch() == downloaded and len(site.requests) == 2
    own = put(places / "data/set/file.gz", b"own")
    assert file.fetch() == own
    assert not list((places / "data/set").glob("*.part"))


def test_an_unpacked_copy_is_found(site, places):
    own = put(places / "data/set/file", b"own")
    assert data_file(site).fetch() == own
    assert data_file(site, name="file.tar.gz").locate() is None


def test_the_error_says_what_was_tried_and_what_to_do(site, places):
    with pytest.raises(DownloadError) as caught:
        data_file(site, homepage="https://example.org").fetch()
    message = str(caught.value)
    assert "file.gz of the data set 'set' was not found" in message
    assert f"{places}/data/set/file.gz (not there)" in message
    assert f"{places}/cache/set/file.gz (not there)" in message
    assert f"{site.url('file')}: HTTP 404" in message
    assert "DATA/set/ (from https://example.org)" in message
    assert "export NACRE_DATA=/path/to/DATA" in message


def test_the_error_says_that_the_variable_is_not_set(site, monkeypatch):
    monkeypatch.delenv("NACRE_DATA")
    with pytest.raises(DownloadError, match=r"\$NACRE_DATA \(not set\)"):
        data_file(site).fetch()


def test_a_cache_that_cannot_be_written_to_is_explained(site, places):
    put(places / "cache", b"a file where the folder should be")
    with pytest.raises(DownloadError, match=r"File exists|Not a directory"):
        data_file(site).fetch()


def test_without_a_checksum_nothing_is_downloaded(site):
    site.pages["file"] = b"page"
    with pytest.raises(DownloadError, match="no address to download it from"):
        data_file(site, checksum=None).fetch()
    assert site.requests == []


def idx(array: np.ndarray) -> bytes:
    sizes = b"".join(size.to_bytes(4, "big") for size in array.shape)
    return gzip.compress(bytes([0, 0, 8, array.ndim]) + sizes + array.tobytes())


def images_on(site, arrays: list[np.ndarray]) -> tuple[DataFile, ...]:
    names = [file.name for file in mnist.FILES]
    pages = {name: idx(array) for name, array in zip(names, arrays)}
    site.pages.update(pages)
    pinned = {name: (len(page), hashlib.sha256(page).hexdigest()) for name, page in pages.items()}
    return labelled_images.pinned_files("images", (site.url(""),), pinned)


def test_images_and_labels_come_from_the_network_once(site):
    draw = np.random.default_rng(0)
    arrays = [draw.integers(0, 256, (n, 5, 4), np.uint8) for n in (7, 3)]
    labels = [draw.integers(0, 10, n, np.uint8) for n in (7, 3)]
    files = images_on(site, [arrays[0], labels[0], arrays[1], labels[1]])
    for _ in range(2):
        (x_train, y_train), (x_test, y_test) = labelled_images.load_images(files)
        np.testing.assert_array_equal(x_train, arrays[0])
        np.testing.assert_array_equal(y_train, labels[0])
        np.testing.assert_array_equal(x_test, arrays[1])
        np.testing.assert_array_equal(y_test, labels[1])
    assert len(site.requests) == 4


@pytest.mark.parametrize("labels", [np.zeros(6, np.uint8), np.full(7, 10, np.uint8)])
def test_images_without_fitting_labels_are_refused(site, labels):
    images = np.zeros((7, 5, 4), np.uint8)
    with pytest.raises(FileFormatError, match="do not hold images and their labels"):
        labelled_images.load_images(images_on(site, [images, labels, images, labels]))
