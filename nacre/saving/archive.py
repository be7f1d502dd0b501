"""The file of a model: a zip archive with a JSON configuration and files of arrays.

Entries are stored uncompressed, so an archive is as fast to read as its disk, and no entry can
grow when it is read. The same content gives the same bytes.
"""

from __future__ import annotations

import json
import os
import struct
import zipfile
from collections.abc import Mapping
from types import TracebackType
from typing import Any, BinaryIO

import numpy as np

from nacre.core.errors import FileFormatError, explain
from nacre.saving.atomic import atomic_write
from nacre.saving.json_text import MOST_BYTES, check_size, parse_json
from nacre.saving.tensors import TensorReader, tensors_size, write_tensors

__all__ = ["Archive", "write_archive"]

CONFIG = "config.json"
TENSORS = ".safetensors"
MOST_ENTRIES = 16
MOST_DIRECTORY_BYTES = 64 * 2**10

# The last record of a zip file, and the two before it in a file of more than 2 GB.
END = struct.Struct("<4s4H2LH")
LOCATOR_SIZE = 20
END_64 = struct.Struct("<4sQ2H2L4Q")


# Writing


def write_archive(
    path: str | os.PathLike[str],
    config: Mapping[str, Any],
    arrays: Mapping[str, Mapping[str, np.ndarray]],
) -> None:
    """Write a configuration and groups of named arrays, atomically.

    Args:
        path: the file.
        config: what JSON can hold.
        arrays: for each group, such as ``"weights"``, its arrays by name.

    Raises:
        FileFormatError: the configuration is longer than what would be read.
    """
    text = json.dumps(config, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()
    check_size(text, "The configuration")
    with atomic_write(path) as file, zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        with archive.open(_entry(CONFIG, len(text)), "w") as entry:
            entry.write(text)
        for group, named in arrays.items():
            with archive.open(_entry(group + TENSORS, tensors_size(named)), "w") as entry:
                write_tensors(entry, named)  # type: ignore[arg-type]


def _entry(name: str, size: int) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
    info.create_system = 3  # the same bytes on every system
    info.external_attr = 0o644 << 16
    info.file_size = size
    return info


# Reading


class Archive:
    """Reads what :func:`write_archive` wrote. Everything declared is checked before it is read.

    Use it in a ``with`` statement.

    Args:
        path: the file.
        groups: the groups of arrays that it may hold.

    Raises:
        FileFormatError: it is another kind of file, or damaged, or not as it should be.
    """

    def __init__(self, path: str | os.PathLike[str], groups: tuple[str, ...]) -> None:
        self.path = os.fspath(path)
        self._file = _opened(self.path)
        try:
            self._size = os.fstat(self._file.fileno()).st_size
            _check_end(self._file, self._size, self.path)
            self._entries = self._checked({CONFIG, *(group + TENSORS for group in groups)})
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> Archive:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._file.close()

    def config(self) -> dict[str, Any]:
        """The configuration."""
        content = self._entry(CONFIG)
        if content.size > MOST_BYTES:
            raise self._error(f"has a configuration of {content.size} bytes")
        return parse_json(content.read(content.size), f"The configuration in {self.path!r}")

    def has(self, group: str) -> bool:
        """Whether there is a group of arrays of this name."""
        return group + TENSORS in self._entries

    def tensors(self, group: str) -> TensorReader:
        """A reader of the arrays of a group."""
        content = self._entry(group + TENSORS)
        return TensorReader(content, content.size, f"{group + TENSORS!r} in {self.path!r}")

    def _entry(self, name: str) -> Entry:
        if name not in self._entries:
            raise self._error(f"has no {name!r}")
        try:
            return Entry(self, self._archive.open(name), self._entries[name].file_size)
        except Exception as error:  # zipfile has many ways to say that a header is damaged
            raise self._error(f"is damaged: {error}") from error

    def _checked(self, known: set[str]) -> dict[str, zipfile.ZipInfo]:
        try:
            self._archive = zipfile.ZipFile(self._file)
        except Exception as error:
            raise self._error(f"is damaged: {error}") from error
        entries: dict[str, zipfile.ZipInfo] = {}
        for info in self._archive.infolist():
            name = info.filename
            if name not in known:
                raise self._error(f"has an entry that does not belong there, {name[:80]!r}")
            if name in entries:
                raise self._error(f"has two entries named {name!r}")
            if info.compress_type != zipfile.ZIP_STORED or info.flag_bits & ~0x800:
                raise self._error(f"has an entry that is compressed or encrypted, {name!r}")
            if info.file_size != info.compress_size or not 0 <= info.header_offset < self._size:
                raise self._error(f"contradicts itself about {name!r}")
            entries[name] = info
        if sum(info.file_size for info in entries.values()) > self._size:
            raise self._error("declares more than it holds")
        return entries

    def _error(self, problem: str) -> FileFormatError:
        return FileFormatError(f"The file {self.path!r} {problem}.")


class Entry:
    """One entry of an archive, read from its beginning. Its checksum is checked at its end."""

    def __init__(self, archive: Archive, file: Any, size: int) -> None:
        self.size = size
        self._archive = archive
        self._file = file

    def read(self, size: int, /) -> bytes:
        try:
            return self._file.read(size)
        except Exception as error:
            raise self._archive._error(f"is damaged: {error}") from error


def _opened(path: str) -> BinaryIO:
    if os.path.exists(path) and not os.path.isfile(path):
        raise FileFormatError(f"{path!r} is not a file.")  # a pipe would wait for ever
    return open(path, "rb")


def _check_end(file: BinaryIO, size: int, path: str) -> None:
    """Refuse other kinds of files, and too many entries, before zipfile reads them."""
    start = file.read(8)
    tail_size = min(size, END.size + LOCATOR_SIZE + END_64.size)
    file.seek(size - tail_size)
    tail = file.read(tail_size)
    whole_end = size >= END.size and tail[-END.size :][:4] == b"PK\x05\x06" and tail[-2:] == b"\0\0"
    if start[:4] != b"PK\x03\x04" or not whole_end:
        raise FileFormatError(_other_kind(path, start))
    _, _, _, _, count, directory, _, _ = END.unpack(tail[-END.size :])
    sizes = [(count, directory)]
    if len(tail) == END.size + LOCATOR_SIZE + END_64.size and tail[:4] == b"PK\x06\x06":
        fields = END_64.unpack(tail[: END_64.size])
        sizes.append((fields[7], fields[8]))
    elif tail[-END.size - LOCATOR_SIZE :][:4] == b"PK\x06\x07":
        raise FileFormatError(f"The file {path!r} is damaged at its end.")
    if any(n > MOST_ENTRIES or length > MOST_DIRECTORY_BYTES for n, length in sizes):
        raise FileFormatError(f"The file {path!r} is an archive of more than a model.")


def _other_kind(path: str, start: bytes) -> str:
    """What to say about a file that does not begin and end like an archive."""
    if start == b"\x89HDF\r\n\x1a\n":
        received = "an HDF5 file, as Keras writes it"
    elif start[:4] == b"PK\x03\x04":
        received = "a zip archive that is cut off, or followed by something else"
    else:
        received = f"a file that begins with {start!r}"
    return explain(
        f"{path!r} is not a file that Nacre wrote.",
        expected="a file written by model.save()",
        received=received,
    )
