"""A data set's file: found in the user's folder or the cache, else downloaded."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from nacre.core.errors import explain
from nacre.datasets import download
from nacre.datasets.folders import cache_folder, data_folder

__all__ = ["DataFile"]


@dataclass(frozen=True)
class DataFile:
    """One file of a data set.

    Args:
        folder: the data set's folder within ``NACRE_DATA`` and within the cache.
        name: the file's name.
        checksum: what a download must hash to; a file without one is not downloaded.
        size: the bytes of a download.
        mirrors: where it can be downloaded.
        homepage: where a person can get it.
    """

    folder: str
    name: str
    checksum: download.Checksum | None = None
    size: int | None = None
    mirrors: tuple[str, ...] = ()
    homepage: str = ""

    def locate(self) -> Path | None:
        """The file in ``NACRE_DATA`` or in the cache, or None."""
        return next((path for path in self.places() if path.is_file()), None)

    def places(self) -> list[Path]:
        """Where the file is looked for, in order; a gzip file may also lie there unpacked."""
        folders = [folder for folder in (data_folder(), cache_folder()) if folder is not None]
        names = [self.name, self.name.removesuffix(".gz")] if self._unpackable() else [self.name]
        return [folder / self.folder / name for folder in folders for name in names]

    def fetch(self) -> Path:
        """The file's place; downloads it to the cache if it is nowhere.

        Raises:
            DownloadError: if it is nowhere and cannot be downloaded, with what was tried.
        """
        found = self.locate()
        if found is not None:
            return found
        try:
            return download.download(
                self.mirrors if self.checksum is not None else (),
                cache_folder() / self.folder / self.name,
                checksum=self.checksum,
                size=self.size,
                progress=download.print_progress,
            )
        except OSError as error:
            tried = error.attempts if isinstance(error, download.DownloadError) else [str(error)]
            raise self._missing(tried) from None

    def _unpackable(self) -> bool:
        return self.name.endswith(".gz") and not self.name.endswith(".tar.gz")

    def _missing(self, tried: list[str]) -> download.DownloadError:
        named = data_folder()
        places = [f"{place} (not there)" for place in self.places()]
        if named is None:
            places.insert(0, "$NACRE_DATA (not set)")
        source = f" (from {self.homepage})" if self.homepage else ""
        message = explain(
            f"{self.name} of the data set {self.folder!r} was not found, and could not be "
            "downloaded.",
            expected="\n    ".join(["", *places]),
            received="\n    ".join(["", *(tried or ["no address to download it from"])]),
            fix=f"put the file into a folder DATA/{self.folder}/{source} and "
            "`export NACRE_DATA=/path/to/DATA`, or connect to the network and try again.",
        )
        return download.DownloadError(message, [*places, *tried])
