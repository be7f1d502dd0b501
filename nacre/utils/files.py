"""A file from the network, kept in the cache."""

from __future__ import annotations

import os
import urllib.parse
from collections.abc import Sequence
from pathlib import Path

from nacre.core.errors import ArgumentError, FileFormatError, explain
from nacre.datasets.download import Checksum, download, print_progress
from nacre.datasets.folders import cache_folder
from nacre.utils.archives import extract_archive

__all__ = ["get_file"]

ALGORITHMS = {32: "md5", 40: "sha1", 64: "sha256", 128: "sha512"}


def get_file(
    fname: str | os.PathLike[str] | None = None,
    origin: str | None = None,
    untar: bool = False,
    md5_hash: str | None = None,
    file_hash: str | None = None,
    cache_subdir: str = "datasets",
    hash_algorithm: str = "auto",
    extract: bool = False,
    archive_format: str | Sequence[str] | None = "auto",
    cache_dir: str | os.PathLike[str] | None = None,
    force_download: bool = False,
) -> str:
    """Download a file unless the cache has it, check it, and unpack it if asked to.

    Args:
        fname: the name it gets; by default the last part of ``origin``. With ``extract``, the
            name of the folder it is unpacked to (``NAME_extracted`` if it has an extension).
        origin: the address: http, https or file.
        untar: unpack it as a tar archive; ``extract`` is the newer name.
        md5_hash: its MD5 digest; ``file_hash`` is the newer name.
        file_hash: its digest. An interrupted download is resumed only if this is given.
        cache_subdir: the folder within ``cache_dir``.
        hash_algorithm: ``"md5"``, ``"sha256"``, ``"sha1"``, ``"sha512"``, or
            ``"auto"`` to tell it by the digest's length.
        extract: unpack it.
        archive_format: ``"tar"``, ``"zip"``, several in a list, or ``"auto"``.
        cache_dir: the cache; by default Nacre's own (see ``nacre info``).
        force_download: download it even if the cache has it.

    Returns:
        The path of the file, or of the folder it was unpacked to.

    Raises:
        ArgumentError: if there is no address or name, or the algorithm is unknown.
        DownloadError: if it cannot be downloaded, or its digest is wrong.
        FileFormatError: if it is to be unpacked and is no archive, or an unsafe one.

    Example:
        >>> get_file(
        ...     origin="https://example.org/flowers.tgz", extract=True
        ... )  # doctest: +SKIP
        '/home/ada/.cache/nacre/datasets/flowers.tgz'
    """
    if not origin:
        raise ArgumentError(explain("get_file needs an address.", fix="pass origin='https://...'."))
    unpack = extract or untar
    name = _file_name(fname, origin)
    folder = Path(cache_dir or cache_folder()).expanduser() / cache_subdir
    target, unpacked = _places(folder, name, named=bool(fname)) if unpack else (folder / name, None)
    checksum = _checksum(file_hash or md5_hash, "md5" if not file_hash else hash_algorithm)

    fresh = force_download or not target.exists()
    fresh = fresh or (checksum is not None and not checksum.matches(target))
    if fresh:
        download([origin], target, checksum=checksum, replace=True, progress=print_progress)
    if unpacked is None:
        return str(target)
    if fresh or not unpacked.is_dir():
        _unpack(target, unpacked, "tar" if untar else archive_format)
    return str(unpacked)


def _file_name(fname: str | os.PathLike[str] | None, origin: str) -> str:
    name = os.fspath(fname) if fname else ""
    name = name or urllib.parse.unquote(urllib.parse.urlsplit(origin).path).rpartition("/")[2]
    if not name or name in (".", "..") or any(mark in name for mark in "/\\\0"):
        raise ArgumentError(
            explain(
                "get_file cannot tell what to call the file.",
                expected="fname: a plain file name without a folder",
                received=f"fname={fname!r}, origin={origin!r}",
                fix="pass fname='name', and the folder as cache_dir or cache_subdir.",
            )
        )
    return name


def _places(folder: Path, name: str, *, named: bool) -> tuple[Path, Path]:
    """Where an archive and what it holds go; the names are those that Keras gives them."""
    if named and "." in name:
        return folder / name, folder / f"{name.partition('.')[0]}_extracted"
    return folder / f"{name}_archive", folder / name


def _checksum(digest: str | None, algorithm: str) -> Checksum | None:
    if not digest:
        return None
    if algorithm == "auto":
        algorithm = ALGORITHMS.get(len(digest), "")
    if algorithm not in ALGORITHMS.values():
        raise ArgumentError(
            explain(
                "get_file cannot check this digest.",
                expected="hash_algorithm: " + ", ".join(ALGORITHMS.values()),
                received=f"{digest!r}",
            )
        )
    return Checksum(algorithm, digest)


def _unpack(target: Path, folder: Path, archive_format: str | Sequence[str] | None) -> None:
    if not extract_archive(target, folder, archive_format):
        raise FileFormatError(
            explain(
                f"{str(target)!r} cannot be unpacked.",
                expected=f"an archive of the format {archive_format!r}",
                fix="pass extract=False to keep the file as it is.",
            )
        )
