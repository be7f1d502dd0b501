"""The idx and tar readers: what they read, and what they refuse, within bounded memory."""

from __future__ import annotations

import contextlib
import gzip
import io
import struct
import tarfile
import tracemalloc
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from nacre.core.errors import FileFormatError
from nacre.datasets.idx import read_idx
from nacre.datasets.inflate import Inflated
from nacre.datasets.tar import read_tar

CODES = {"u1": 0x08, "i1": 0x09, "i2": 0x0B, "i4": 0x0C, "f4": 0x0D, "f8": 0x0E}
PEAK = 8 << 20  # the bytes that reading a hostile file may take

RELAXED = {"deadline": None, "suppress_health_check": list(HealthCheck)}
files = settings(max_examples=300, **RELAXED)


def idx_bytes(array: np.ndarray) -> bytes:
    code = CODES[array.dtype.newbyteorder("=").str[1:]]
    header = bytes([0, 0, code, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    return header + array.astype(array.dtype.newbyteorder(">")).tobytes()


def tar_bytes(members: dict[str, bytes], form: int = tarfile.GNU_FORMAT) -> bytes:
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode="w", format=form) as archive:
        for name, content in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return written.getvalue()


def write(folder: Path, content: bytes) -> Path:
    path = folder / "file"
    path.write_bytes(content)
    return path


def read_all(path: Path, **limits: int) -> dict[str, bytes]:
    limits = {"most_bytes": 1 << 20, "most_file_bytes": 1 << 16} | limits
    return dict(read_tar(path, lambda name: True, **limits))


IMAGES = np.arange(2 * 3 * 4, dtype=np.uint8).reshape(2, 3, 4)


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("compress", [bytes, gzip.compress])
def test_idx_reads_every_type(tmp_path, code, compress):
    array = (np.arange(24) - 3).astype(code).reshape(2, 3, 4)
    read = read_idx(write(tmp_path, compress(idx_bytes(array))))
    np.testing.assert_array_equal(read, array)
    assert read.dtype == np.dtype(code) and read.dtype.isnative
    read[0] = 0  # writable


def test_idx_in_several_gzip_members(tmp_path):
    content = idx_bytes(IMAGES)
    path = write(tmp_path, gzip.compress(content[:20]) + gzip.compress(content[20:]))
    np.testing.assert_array_equal(read_idx(path), IMAGES)


def test_idx_of_no_examples(tmp_path):
    assert read_idx(write(tmp_path, idx_bytes(IMAGES[:0]))).shape == (0, 3, 4)


def header(*dimensions: int, code: int = 8) -> bytes:
    count = len(dimensions)
    return bytes([0, 0, code, count]) + struct.pack(f">{count}I", *dimensions)


HOSTILE = {
    "empty": (b"", "ends 4 bytes too early, inside the header"),
    "magic": (b"PK\3\4" + bytes(20), "is not an idx file: it begins with the bytes 50 4b 03 04"),
    "type": (header(1, code=7) + b"1", "is not an idx file"),
    "no dimensions": (bytes([0, 0, 8, 0]), "array of 0 dimensions"),
    "many dimensions": (bytes([0, 0, 8, 200]), "array of 200 dimensions"),
    "half a header": (header(5, 5)[:7], "inside the header"),
    "truncated": (idx_bytes(IMAGES)[:-1], "ends after 23 of the 24 bytes"),
    "trailing": (idx_bytes(IMAGES) + b"1", "goes on after the array"),
    "huge": (header(2**32 - 1, 2**32 - 1, 8), "which it cannot"),
    "huge, yet empty": (header(2**32 - 1, 2**32 - 1, 2**32 - 1, 0), "which it cannot"),
    "larger than gzip could hold": (header(1 << 30) + b"1", "which it cannot"),
}


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("compress", [bytes, gzip.compress])
def test_idx_refuses(tmp_path, name, compress):
    content, message = HOSTILE[name]
    with pytest.raises(FileFormatError, match=message):
        read_idx(write(tmp_path, compress(content)))


def test_idx_says_how_to_fix_it(tmp_path):
    path = write(tmp_path, b"1234")
    with pytest.raises(FileFormatError) as caught:
        read_idx(path)
    assert str(path) in str(caught.value)
    assert "Fix: delete the file and load the data set again" in str(caught.value)


COMPRESSED = gzip.compress(idx_bytes(IMAGES), mtime=0)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (COMPRESSED[:-4], "its end is missing"),
        (COMPRESSED[:5], "its end is missing"),
        (COMPRESSED[:-8] + bytes(8), "incorrect data check"),
        (COMPRESSED + b"more", "cannot be decompressed"),
        (COMPRESSED[:10] + b"\x07" + COMPRESSED[11:], "invalid block type"),
    ],
)
def test_damaged_gzip(tmp_path, content, message):
    with pytest.raises(FileFormatError, match=message):
        read_idx(write(tmp_path, content))


def bomb(beginning: bytes, size: int) -> bytes:
    """A gzip file that unpacks to ``beginning`` and then ``size`` zeros."""
    packer = zlib.compressobj(9, wbits=31)
    block = bytes(1 << 20)
    packed = [packer.compress(beginning)]
    packed += [packer.compress(block) for _ in range(size >> 20)]
    return b"".join([*packed, packer.flush()])


def peak_of(call) -> int:
    tracemalloc.start()
    try:
        with pytest.raises(FileFormatError):
            call()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_gzip_bombs_take_no_memory(tmp_path):
    path = write(tmp_path, bomb(header(100), 64 << 20))
    assert peak_of(lambda: read_idx(path)) < PEAK
    path = write(tmp_path, bomb(b"", 64 << 20))
    with Inflated(path, 1 << 20) as stream:
        assert peak_of(lambda: stream.skip(1 << 40, "it")) < PEAK


def test_a_claimed_size_takes_no_memory(tmp_path):
    # 50 kB of noise could unpack to 50 MB, so that much may be claimed; the limit is lower here.
    path = write(tmp_path, header(40 << 20) + np.random.default_rng(0).bytes(50_000))
    assert peak_of(lambda: read_idx(path, most_bytes=1 << 20)) < PEAK


def any_bytes_as_idx(tmp_path, data, compressed):
    content = data.draw(st.binary(max_size=64))
    path = write(tmp_path, gzip.compress(content) if compressed else content)
    with contextlib.suppress(FileFormatError):
        read_idx(path, most_bytes=1 << 20)


def damaged_idx(tmp_path, data, compressed):
    content = bytearray(COMPRESSED if compressed else idx_bytes(IMAGES))
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(content) - 1))
        content[place] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(content)))
    path = write(tmp_path, bytes(content[:cut]))
    try:
        read = read_idx(path, most_bytes=1 << 20)
    except FileFormatError:
        return
    assert read.nbytes <= len(content) * 1032


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
@pytest.mark.parametrize("compress", [bytes, gzip.compress])
def test_tar_reads_what_tarfile_wrote(tmp_path, form, compress):
    members = {"a/b.txt": b"hello", "empty": b"", "block": b"x" * 512, "more": b"y" * 1025}
    assert read_all(write(tmp_path, compress(tar_bytes(members, form)))) == members


def test_tar_reads_long_names(tmp_path):
    members = {"folder/" * 18 + "name.txt": b"hello"}
    assert read_all(write(tmp_path, tar_bytes(members, tarfile.USTAR_FORMAT))) == members


def test_tar_reads_only_what_is_wanted(tmp_path):
    path = write(tmp_path, tar_bytes({"a": b"1", "b": b"2", "large": b"3" * 9999}))
    read = read_tar(path, lambda name: name == "b", most_bytes=1 << 20, most_file_bytes=10)
    assert dict(read) == {"b": b"2"}


def test_tar_leaves_out_links(tmp_path):
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode="w") as archive:
        link = tarfile.TarInfo("link")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    assert read_all(write(tmp_path, written.getvalue())) == {}


SMALL = tar_bytes({"a": b"1" * 2000})


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "ends 512 bytes too early, inside a file's header"),
        (b"x" * 600, "is not a tar archive"),
        (SMALL[:700], "inside 'a'"),
        (SMALL[: 5 * 512], "inside a file's header"),
        (SMALL[:3] + b"x" + SMALL[4:], "checksum is wrong"),
        (tar_bytes({"a": b"1" * (1 << 17)}), "claims that 'a' has 131,072 bytes"),
        (tar_bytes({str(n): b"1" * 60_000 for n in range(20)}), "holds more than the 1,048,576"),
    ],
)
def test_tar_refuses(tmp_path, content, message):
    with pytest.raises(FileFormatError, match=message):
        read_all(write(tmp_path, content))


def test_tar_compares_the_checksum_at_the_end(tmp_path):
    packed = gzip.compress(SMALL)
    with pytest.raises(FileFormatError, match="incorrect data check"):
        read_all(write(tmp_path, packed[:-8] + bytes(4) + packed[-4:]))


def with_size(text: bytes) -> bytes:
    block = bytearray(SMALL[:512])
    block[124:136] = text.ljust(12, b"\0")
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block) + SMALL[512:]


@pytest.mark.parametrize("text", [b"77777777777", b"-1", b"9", b"\x80" + b"\xff" * 11])
def test_tar_refuses_impossible_sizes(tmp_path, text):
    path = write(tmp_path, with_size(text))
    assert peak_of(lambda: read_all(path)) < PEAK


def damaged_tar(tmp_path, data, compressed):
    content = bytearray(gzip.compress(SMALL) if compressed else SMALL)
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, min(len(content), 1024) - 1))
        content[place] = data.draw(st.integers(0, 255))
    path = write(tmp_path, bytes(content[: data.draw(st.integers(0, len(content)))]))
    try:
        read = read_all(path)
    except FileFormatError:
        return
    assert sum(map(len, read.values())) <= 1 << 20


ATTACKS = [any_bytes_as_idx, damaged_idx, damaged_tar]


@pytest.mark.parametrize("attempt", ATTACKS, ids=lambda attempt: attempt.__name__)
@files
@given(data=st.data(), compressed=st.booleans())
def test_hostile_files_are_read_or_refused(tmp_path, attempt, data, compressed):
    attempt(tmp_path, data, compressed)


@pytest.mark.slow
@pytest.mark.parametrize("attempt", ATTACKS, ids=lambda attempt: attempt.__name__)
@settings(max_examples=10_000, **RELAXED)
@given(data=st.data(), compressed=st.booleans())
def test_ten_thousand_hostile_files(tmp_path, attempt, data, compressed):
    attempt(tmp_path, data, compressed)
