"""Files from the network (here: from disk, by a file address), and archives that try to escape."""

from __future__ import annotations

import hashlib
import io
import os
import tarfile
import zipfile
from functools import partial
from pathlib import Path

import pytest

from nacre.core.errors import ArgumentError, FileFormatError
from nacre.datasets.download import DownloadError
from nacre.utils import get_file
from nacre.utils.archives import extract_archive

CONTENT = {"flowers/rose.txt": b"red", "flowers/deep/tulip.txt": b"yellow"}


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path):
    monkeypatch.setenv("NACRE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def tar_file(path: Path, members: dict[str, bytes], mode: str = "w:gz", **entry) -> Path:
    with tarfile.open(path, mode) as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            for key, value in entry.items():
                setattr(info, key, value)
            archive.addfile(info, io.BytesIO(content))
    return path


def zip_file(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def tree(folder: str | Path) -> dict[str, bytes]:
    files = (path for path in Path(folder).rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def test_a_file_comes_once(tmp_path, cache):
    (tmp_path / "a b.txt").write_bytes(b"first")
    origin = (tmp_path / "a b.txt").as_uri()
    path = get_file(origin=origin)
    assert path == str(cache / "datasets" / "a b.txt") and isinstance(path, str)
    (tmp_path / "a b.txt").write_bytes(b"second")
    assert Path(get_file(origin=origin)).read_bytes() == b"first"
    assert Path(get_file(origin=origin, force_download=True)).read_bytes() == b"second"


def test_names_and_folders(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"x")
    origin = (tmp_path / "a.txt").as_uri()
    path = get_file("b.txt", origin, cache_dir=tmp_path / "c", cache_subdir="d")
    assert path == str(tmp_path / "c" / "d" / "b.txt") and os.path.exists(path)


@pytest.mark.parametrize("keyword", ["file_hash", "md5_hash"])
def test_a_digest_is_checked(tmp_path, cache, keyword):
    (tmp_path / "a.txt").write_bytes(b"x")
    origin = (tmp_path / "a.txt").as_uri()
    right = (hashlib.md5 if keyword == "md5_hash" else hashlib.sha256)(b"x").hexdigest()
    with pytest.raises(DownloadError, match="checksum is"):
        get_file(origin=origin, **{keyword: "0" * len(right)})
    path = Path(get_file(origin=origin, **{keyword: right.upper()}))
    path.write_bytes(b"spoilt")
    get_file(origin=origin, **{keyword: right})
    assert path.read_bytes() == b"x"
    assert [file.name for file in (cache / "datasets").iterdir()] == ["a.txt"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "pass origin="),
        ({"origin": "https://127.0.0.1"}, "cannot tell what to call the file"),
        ({"origin": "https://127.0.0.1/a", "fname": "../a"}, "a plain file name without a folder"),
        ({"origin": "https://127.0.0.1/%2e%2e"}, "cannot tell what to call the file"),
        ({"origin": "https://127.0.0.1/a", "file_hash": "12"}, "cannot check this digest"),
        ({"origin": "https://127.0.0.1/a", "file_hash": "1", "hash_algorithm": "x"}, "hash_algo"),
        ({"origin": "ftp://127.0.0.1/a"}, "Cannot download"),
    ],
)
def test_arguments_are_explained(arguments, message):
    with pytest.raises(ArgumentError, match=message):
        get_file(**arguments)


@pytest.mark.parametrize(
    ("fname", "kept", "folder"),
    [
        (None, "flowers.tgz_archive", "flowers.tgz"),
        ("plants", "plants_archive", "plants"),
        ("plants.tar.gz", "plants.tar.gz", "plants_extracted"),
    ],
)
def test_an_archive_is_unpacked_where_keras_would(tmp_path, cache, fname, kept, folder):
    origin = tar_file(tmp_path / "flowers.tgz", CONTENT).as_uri()
    path = get_file(fname, origin, extract=True)
    assert path == str(cache / "datasets" / folder) and tree(path) == CONTENT
    assert sorted(entry.name for entry in (cache / "datasets").iterdir()) == sorted([kept, folder])


def test_unpacking_is_not_repeated_but_mended(tmp_path):
    origin = tar_file(tmp_path / "flowers.tgz", CONTENT).as_uri()
    path = Path(get_file(origin=origin, untar=True))
    (path / "own.txt").write_bytes(b"mine")
    get_file(origin=origin, untar=True)
    assert (path / "own.txt").exists()
    tar_file(tmp_path / "flowers.tgz", {"new.txt": b"new"})
    get_file(origin=origin, untar=True, force_download=True)
    assert tree(path) == {"new.txt": b"new"}


def test_what_is_no_archive_is_not_unpacked(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"x")
    with pytest.raises(FileFormatError, match="extract=False"):
        get_file(origin=(tmp_path / "a.txt").as_uri(), extract=True)
    origin = zip_file(tmp_path / "b.zip", CONTENT).as_uri()
    with pytest.raises(FileFormatError, match="format 'tar'"):
        get_file(origin=origin, extract=True, archive_format="tar")


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz"])
def test_every_kind_of_tar(tmp_path, mode):
    assert extract_archive(tar_file(tmp_path / "a", CONTENT, mode), tmp_path / "out")
    assert tree(tmp_path / "out") == CONTENT


def test_zip(tmp_path):
    assert extract_archive(zip_file(tmp_path / "a", CONTENT), tmp_path / "out", ["tar", "zip"])
    assert tree(tmp_path / "out") == CONTENT


@pytest.mark.parametrize("archive_format", [None, "", []])
def test_no_format_unpacks_nothing(tmp_path, archive_format):
    assert not extract_archive(zip_file(tmp_path / "a", CONTENT), tmp_path / "out", archive_format)
    assert not (tmp_path / "out").exists()


def test_an_unknown_format(tmp_path):
    with pytest.raises(ArgumentError, match="'rar'"):
        extract_archive(tmp_path / "a", tmp_path / "out", "rar")


ESCAPES = ["../out.txt", "a/../../out.txt", "/tmp/out.txt", "..\\out.txt", "C:\\out.txt", "C:out"]


@pytest.mark.parametrize("name", ESCAPES)
@pytest.mark.parametrize("make", [tar_file, zip_file])
def test_nothing_is_written_outside(tmp_path, make, name):
    folder = tmp_path / "deep" / "er"
    folder.mkdir(parents=True)
    archive = make(folder / "a", {"fine.txt": b"1", name: b"2"})
    with pytest.raises(FileFormatError, match="leads out of the folder"):
        extract_archive(archive, folder / "out")
    assert tree(tmp_path) == {"deep/er/a": archive.read_bytes()}


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE])
def test_links_and_devices_are_refused(tmp_path, kind):
    archive = tar_file(tmp_path / "a", {"link": b""}, type=kind, linkname="/etc/passwd")
    with pytest.raises(FileFormatError, match="'link' is a link or a device"):
        extract_archive(archive, tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_permissions_in_an_archive_are_not_followed(tmp_path):
    with tarfile.open(tmp_path / "a", "w") as archive:
        entry = tarfile.TarInfo("run")
        entry.mode = 0o6777
        archive.addfile(entry)
    extract_archive(tmp_path / "a", tmp_path / "out")
    assert (tmp_path / "out" / "run").stat().st_mode & 0o6111 == 0


@pytest.mark.parametrize("kind", ["gz", "xz", "zip"])
def test_a_damaged_archive_leaves_nothing(tmp_path, kind):
    members = {"1": os.urandom(40_000), "2": os.urandom(40_000)}
    make = zip_file if kind == "zip" else partial(tar_file, mode=f"w:{kind}")
    archive = make(tmp_path / "a", members)
    content = bytearray(archive.read_bytes())
    content[60_000:60_100] = bytes(100)
    archive.write_bytes(content)
    with pytest.raises(FileFormatError, match="is damaged"):
        extract_archive(archive, tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
