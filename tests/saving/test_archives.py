"""The archive of a model: the same content gives the same bytes; other archives are refused."""

import struct
import zipfile

import numpy as np
import pytest

from nacre.core.errors import FileFormatError
from nacre.saving.archive import Archive, write_archive

CONFIG = {"a": [1, 2.5, None], "b": "ü"}
ARRAYS = {"weights": {"w": np.arange(6, dtype=np.float32)}, "optimizer": {}}


def opened(path):
    with Archive(path, ("weights", "optimizer")) as archive:
        groups = [name for name in ("weights", "optimizer") if archive.has(name)]
        return archive.config(), {name: archive.tensors(name).read() for name in groups}


def zipped(path, entries, method=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in entries:
            archive.writestr(name, content)


def test_content_comes_back_and_other_programs_read_it_too(tmp_path):
    path = tmp_path / "m"
    write_archive(path, CONFIG, ARRAYS)
    config, arrays = opened(path)
    assert config == CONFIG
    np.testing.assert_array_equal(arrays["weights"]["w"], ARRAYS["weights"]["w"])
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == ["config.json", "weights.safetensors", "optimizer.safetensors"]


def test_the_same_content_gives_the_same_bytes(tmp_path):
    for name in "ab":
        write_archive(tmp_path / name, CONFIG, ARRAYS)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_configuration_too_long_to_be_read_is_not_written(tmp_path):
    with pytest.raises(FileFormatError, match="more parts"):
        write_archive(tmp_path / "m", {"a": [[] for _ in range(2**20 + 1)]}, {})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "name",
    ["../config.json", "/tmp/config.json", "a/b", "config.json/", "..", "C:\\x", "other.json"],
)
def test_names_that_do_not_belong_there_are_refused(tmp_path, name):
    zipped(tmp_path / "m", [("config.json", "{}"), (name, "x")])
    with pytest.raises(FileFormatError, match="does not belong there"):
        opened(tmp_path / "m")


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_two_entries_of_one_name_are_refused(tmp_path):
    zipped(tmp_path / "m", [("config.json", "{}"), ("config.json", '{"other": 1}')])
    with pytest.raises(FileFormatError, match="two entries named"):
        opened(tmp_path / "m")


def test_compressed_entries_are_refused_so_that_none_can_grow(tmp_path):
    zipped(tmp_path / "m", [("config.json", "{}" + " " * 10**7)], zipfile.ZIP_DEFLATED)
    assert (tmp_path / "m").stat().st_size < 20_000
    with pytest.raises(FileFormatError, match="compressed or encrypted"):
        opened(tmp_path / "m")


def test_a_missing_configuration_is_named(tmp_path):
    zipped(tmp_path / "m", [("weights.safetensors", "x")])
    with pytest.raises(FileFormatError, match=r"has no 'config.json'"):
        opened(tmp_path / "m")


def test_a_changed_byte_of_an_array_is_noticed(tmp_path):
    path = tmp_path / "m"
    write_archive(path, CONFIG, ARRAYS)
    content = bytearray(path.read_bytes())
    content[content.index(ARRAYS["weights"]["w"].tobytes()) + 5] ^= 1
    path.write_bytes(content)
    with pytest.raises(FileFormatError, match="damaged"):
        opened(path)


@pytest.mark.parametrize("kept", [0, 3, 30, 200, -1, -22, -60])
def test_a_file_cut_off_anywhere_is_refused(tmp_path, kept):
    path = tmp_path / "m"
    write_archive(path, CONFIG, ARRAYS)
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(FileFormatError):
        opened(path)


def test_something_after_the_archive_is_refused(tmp_path):
    path = tmp_path / "m"
    write_archive(path, CONFIG, ARRAYS)
    path.write_bytes(path.read_bytes() + b"more")
    with pytest.raises(FileFormatError, match="followed by something else"):
        opened(path)


def test_too_many_entries_are_refused_before_they_are_listed(tmp_path):
    path = tmp_path / "m"
    zipped(path, [(f"{i}", "") for i in range(100)])
    with pytest.raises(FileFormatError, match="more than a model"):
        opened(path)


def test_a_declared_size_beyond_the_file_is_refused(tmp_path):
    path = tmp_path / "m"
    write_archive(path, CONFIG, ARRAYS)
    content = bytearray(path.read_bytes())
    directory = content.index(b"PK\x01\x02")
    struct.pack_into("<2L", content, directory + 20, 2**31, 2**31)
    path.write_bytes(content)
    with pytest.raises(FileFormatError, match=r"declares more than it holds|damaged"):
        opened(path)


def test_other_files_are_named_for_what_they_are(tmp_path):
    (tmp_path / "h5").write_bytes(b"\x89HDF\r\n\x1a\n" + b"\0" * 100)
    with pytest.raises(FileFormatError, match="HDF5"):
        opened(tmp_path / "h5")
    (tmp_path / "text").write_text("hello, this is not a model")
    with pytest.raises(FileFormatError, match="begins with b'hello, t'"):
        opened(tmp_path / "text")
    with pytest.raises(FileFormatError, match="is not a file"):
        opened(tmp_path)
    with pytest.raises(FileNotFoundError):
        opened(tmp_path / "missing")
