"""Downloading a file: from several mirrors, resumed, checked, and put in place in one step.

The bytes gather in ``NAME.part`` beside the target. An interrupted download leaves that file, and
the next attempt asks a server for the rest only (an HTTP range). When the size and the checksum are
right, the file takes its name in one step (``os.replace``), so a file of that name is always whole.
"""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import os
import sys
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from nacre.core.errors import ArgumentError, NacreError, explain

try:
    import fcntl
except ImportError:  # Windows: two downloads of one file are kept apart by the checksum only
    fcntl = None

__all__ = ["Checksum", "DownloadError", "download", "file_digest", "print_progress"]

TIMEOUT = 15.0
ATTEMPTS = 3
CHUNK = 1 << 16
SCHEMES = ("http", "https", "file")
HEADERS = {"User-Agent": "nacre", "Accept-Encoding": "identity"}

Progress = Callable[[str, int, int | None], None]


class DownloadError(NacreError, OSError):
    """A file could not be downloaded. ``attempts`` says what was tried, one line each."""

    def __init__(self, message: str, attempts: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.attempts = list(attempts)


@dataclass(frozen=True)
class Checksum:
    """What a file's digest must be: ``algorithm`` is a name that :mod:`hashlib` knows."""

    algorithm: str
    digest: str

    def matches(self, path: Path) -> bool:
        """Whether the file has this digest."""
        return file_digest(path, self.algorithm) == self.digest.lower()


def file_digest(path: Path, algorithm: str) -> str:
    """The hexadecimal digest of a file."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, algorithm).hexdigest()


def download(
    mirrors: Sequence[str],
    target: Path,
    *,
    checksum: Checksum | None = None,
    size: int | None = None,
    replace: bool = False,
    timeout: float = TIMEOUT,
    progress: Progress | None = None,
) -> Path:
    """Download a file to ``target`` from the first mirror that delivers it.

    Args:
        mirrors: addresses of the same file (http, https or file), tried in order.
        target: where the file goes; its folder is made if need be.
        checksum: what the file's digest must be. Without one, an interrupted download starts
            anew, since the rest might come from another version of the file.
        size: the number of bytes, where it is known.
        replace: download even if ``target`` is there; it is kept until the new one is whole.
        timeout: seconds to wait for a connection, and for each piece of data.
        progress: called with the address, the bytes so far, and the bytes in all if known.

    Returns:
        ``target``.

    Raises:
        DownloadError: if no mirror delivers the file, with what was tried.
    """
    for address in mirrors:
        if urllib.parse.urlsplit(address).scheme not in SCHEMES:
            raise ArgumentError(
                explain("Cannot download.", expected=f"{SCHEMES} addresses", received=address)
            )
    attempts: list[str] = []
    target.parent.mkdir(parents=True, exist_ok=True)
    with _locked(target.with_name(target.name + ".part")) as part:
        there = target.exists() and not replace
        if there and (checksum is None or checksum.matches(target)):
            if fcntl is None:
                part.close()
            os.unlink(part.name)
            return target  # another process was faster
        transfer = _Transfer(part, checksum, size, timeout, progress)
        for address in mirrors:
            problem = transfer.run(address)
            if problem is None:
                break
            attempts.append(f"{address}: {problem}")
        else:
            raise DownloadError(
                explain(
                    f"{target.name} could not be downloaded.",
                    received="\n    ".join(["", *attempts]),
                    fix="check the network, or put the file at " + str(target),
                ),
                attempts,
            )
        part.flush()
        os.fsync(part.fileno())
        if fcntl is None:
            part.close()  # an open file cannot be renamed there
        os.replace(part.name, target)
    _sync_folder(target.parent)
    return target


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[IO[bytes]]:
    """Open the partial file; a second process waits here until the first has finished."""
    while True:
        with open(path, "ab") as file:
            if fcntl is not None:
                fcntl.flock(file, fcntl.LOCK_EX)
                # While this process waited, the other may have renamed what was opened here.
                if not (path.exists() and os.path.samestat(os.fstat(file.fileno()), path.stat())):
                    continue
            yield file
            return


def _sync_folder(folder: Path) -> None:
    """Make a rename in ``folder`` last through a loss of power, where the platform can."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


class _Problem(Exception):
    """Why one request did not deliver; ``final`` if asking this mirror again is pointless."""

    def __init__(self, text: str, final: bool = False) -> None:
        super().__init__(text)
        self.final = final


@dataclass
class _Transfer:
    """The state of one download: the bytes so far lie in ``part``."""

    part: IO[bytes]
    checksum: Checksum | None
    size: int | None
    timeout: float
    progress: Progress | None

    def run(self, address: str) -> str | None:
        """Try one mirror; returns what went wrong, or None when the file is whole and right."""
        problem = "no attempt was made"
        for _ in range(ATTEMPTS):
            if self.checksum is None:
                self._restart()
            start = self._received()
            try:
                if self.size is None or start != self.size:
                    self._request(address, start)
                self._check(resumed=start > 0)
                return None
            except _Problem as error:
                problem = str(error)
                if error.final:
                    break
            except urllib.error.HTTPError as error:
                error.close()
                problem = f"HTTP {error.code} {error.reason}"
                if error.code < 500:
                    break
            except (OSError, http.client.HTTPException) as error:
                problem = _reason(error)
                if self._received() == start:
                    break  # nothing came: the next mirror is the better bet
        return problem

    def _received(self) -> int:
        self.part.flush()
        return self.part.seek(0, os.SEEK_END)

    def _restart(self) -> None:
        self.part.truncate(0)

    def _request(self, address: str, start: int) -> None:
        headers = HEADERS | ({"Range": f"bytes={start}-"} if start else {})
        request = urllib.request.Request(address, headers=headers)
        try:
            response = urllib.request.urlopen(request, timeout=self.timeout)
        except urllib.error.HTTPError as error:
            if error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and start:
                error.close()
                self._restart()
                raise _Problem("the server has fewer bytes than were received before") from None
            raise
        with response:
            resumed = response.status == http.HTTPStatus.PARTIAL_CONTENT
            if resumed and not _begins_at(response.headers.get("Content-Range", ""), start):
                self._restart()
                raise _Problem("the server sent another range than it was asked for")
            if not resumed:
                self._restart()
            self._receive(address, response)

    def _receive(self, address: str, response: Any) -> None:
        begin = received = self._received()
        length = response.headers.get("Content-Length", "")
        promised = begin + int(length) if length.isdecimal() else None
        total = self.size if self.size is not None else promised
        while chunk := response.read(CHUNK):
            self.part.write(chunk)
            received += len(chunk)
            if self.size is not None and received > self.size:
                self._restart()
                raise _Problem(f"more than the expected {self.size:,} bytes came", final=True)
            if self.progress is not None:
                self.progress(address, received, total)
        if total is not None and received < total:
            raise _Problem(f"the connection ended after {received:,} of {total:,} bytes")

    def _check(self, resumed: bool) -> None:
        self.part.flush()
        if self.checksum is None or self.checksum.matches(Path(self.part.name)):
            return
        found = file_digest(Path(self.part.name), self.checksum.algorithm)
        self._restart()
        # What came before may be what is wrong, so a resumed download gets a second chance.
        raise _Problem(
            f"the {self.checksum.algorithm} checksum is {found[:12]}..., "
            f"not {self.checksum.digest[:12]}...",
            final=not resumed,
        )


def _begins_at(content_range: str, start: int) -> bool:
    return content_range.replace("=", " ").startswith(f"bytes {start}-")


def _reason(error: BaseException) -> str:
    reason = getattr(error, "reason", None) or error
    if isinstance(reason, TimeoutError):
        return "no answer in time"
    return str(reason) or type(reason).__name__


def print_progress(address: str, received: int, total: int | None) -> None:
    """Show a download on standard error: a line that moves in a terminal, nothing in a log."""
    if not sys.stderr.isatty():
        return
    host, name = urllib.parse.urlsplit(address).netloc, address.rpartition("/")[2]
    share = (
        f"{received / total:4.0%} of {total / 1e6:.1f} MB" if total else f"{received / 1e6:.1f} MB"
    )
    end = "\n" if received == total else ""
    print(f"\rDownloading {name} from {host}: {share}", end=end, file=sys.stderr, flush=True)
