"""Unpacking an archive without letting it write anywhere else."""

from __future__ import annotations

import lzma
import os
import shutil
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import IO

from nacre.core.errors import ArgumentError, FileFormatError, explain

__all__ = ["extract_archive"]

FORMATS = ("tar", "zip")
DAMAGE = (
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    NotImplementedError,
)
CHUNK = 1 << 20


def extract_archive(
    path: Path, folder: Path, archive_format: str | Sequence[str] | None = "auto"
) -> bool:
    """Unpack a tar archive (plain, gzip, bzip2 or xz) or a zip archive.

    The files appear in ``folder`` in one step when all are there. Only plain files and folders are
    written, with ordinary permissions.

    Args:
        path: the archive.
        folder: where its files go; made by this function.
        archive_format: ``"tar"``, ``"zip"``, several in a list, ``"auto"`` for both, or None.

    Returns:
        Whether ``path`` is an archive of one of the formats.

    Raises:
        ArgumentError: for an unknown format.
        FileFormatError: if the archive is damaged, or holds a link, a device, or a name that
            leads out of ``folder``. Nothing is left behind then.
    """
    found = _format_of(path, _formats(archive_format))
    if found is None:
        return False
    folder.parent.mkdir(parents=True, exist_ok=True)
    beside = Path(tempfile.mkdtemp(prefix=folder.name + ".", dir=folder.parent))
    beside.chmod(0o755)  # what mkdtemp makes is readable by its owner only
    try:
        for name, source in _open_tar(path) if found == "tar" else _open_zip(path):
            _write(path, name, source, beside)
        if folder.is_dir():
            shutil.rmtree(folder)
        os.replace(beside, folder)
    except DAMAGE as error:
        raise _damaged(path, error) from None
    except OSError as error:
        if error.errno is None:  # what gzip and bzip2 raise for damage; a full disk has a number
            raise _damaged(path, error) from None
        raise
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    return True


def _formats(archive_format: str | Sequence[str] | None) -> Sequence[str]:
    if not archive_format:
        return ()
    formats = [archive_format] if isinstance(archive_format, str) else archive_format
    formats = FORMATS if "auto" in formats else formats
    for name in formats:
        if name not in FORMATS:
            raise ArgumentError(
                explain("Unknown archive format.", expected="auto, tar or zip", received=repr(name))
            )
    return formats


def _format_of(path: Path, formats: Sequence[str]) -> str | None:
    tests = {"tar": tarfile.is_tarfile, "zip": zipfile.is_zipfile}
    return next((name for name in formats if tests[name](path)), None)


def _open_tar(path: Path) -> Iterator[tuple[str, IO[bytes] | None]]:
    with tarfile.open(path) as archive:
        for member in archive:
            if member.isdir():
                yield member.name, None
            elif member.isreg():
                yield member.name, archive.extractfile(member)
            else:
                raise _refused(path, member.name, "is a link or a device")
        while archive.fileobj is not None and archive.fileobj.read(CHUNK):
            pass  # to the end, where a compressed archive has its checksum


def _open_zip(path: Path) -> Iterator[tuple[str, IO[bytes] | None]]:
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            if member.flag_bits & 1:
                raise _refused(path, member.filename, "is encrypted")
            if member.is_dir():
                yield member.filename, None
            else:
                with archive.open(member) as source:
                    yield member.filename, source


def _write(path: Path, name: str, source: IO[bytes] | None, folder: Path) -> None:
    target = folder.joinpath(*_safe_parts(path, name))
    if source is None:
        target.mkdir(parents=True, exist_ok=True)
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    with open(target, "wb") as file:
        shutil.copyfileobj(source, file)


def _safe_parts(path: Path, name: str) -> tuple[str, ...]:
    inside, windows = PurePosixPath(name), PureWindowsPath(name)
    leaves = ".." in inside.parts or ".." in windows.parts or "\0" in name
    if leaves or inside.is_absolute() or windows.drive or windows.root:
        raise _refused(path, name, "leads out of the folder")
    return inside.parts


def _damaged(path: Path, error: Exception) -> FileFormatError:
    return FileFormatError(
        explain(
            f"The archive {str(path)!r} is damaged: {error or type(error).__name__}.",
            fix="delete it and download it again.",
        )
    )


def _refused(path: Path, name: str, problem: str) -> FileFormatError:
    return FileFormatError(
        explain(
            f"The archive {str(path)!r} was not unpacked: its entry {name!r} {problem}.",
            expected="plain files and folders, with names that stay inside",
        )
    )
