"""The safetensors format: named arrays behind a JSON header.

A file is 8 bytes with the length of the header, the header, then the arrays' bytes. The header
gives each array's type, shape and place. The format is written out here, and not left to the
safetensors package, so that arrays stream into and out of an archive's entry, bfloat16 works in
NumPy, and everything the header claims is checked before memory is taken for it.

Reference: https://huggingface.co/docs/safetensors
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import BinaryIO, NamedTuple, Protocol

import jax.numpy as jnp
import numpy as np

from nacre.core.errors import ArgumentError, FileFormatError, explain
from nacre.saving.json_text import parse_json

__all__ = ["MOST_AXES", "TYPES", "TensorInfo", "TensorReader", "tensors_size", "write_tensors"]

TYPES = {
    "BOOL": "bool",
    "U8": "uint8",
    "I8": "int8",
    "F8_E5M2": "float8_e5m2",
    "F8_E4M3": "float8_e4m3fn",
    "U16": "uint16",
    "I16": "int16",
    "F16": "float16",
    "BF16": "bfloat16",
    "U32": "uint32",
    "I32": "int32",
    "F32": "float32",
    "U64": "uint64",
    "I64": "int64",
    "F64": "float64",
    "C64": "complex64",
}
CODES = {name: code for code, name in TYPES.items()}

MOST_AXES = 64  # NumPy's own limit
LARGEST_SIZE = 2**48
LONGEST_NAME = 4096


class Readable(Protocol):
    """What a reader needs of a file."""

    def read(self, size: int, /) -> bytes: ...


class TensorInfo(NamedTuple):
    """What a header says about one array."""

    dtype: np.dtype
    shape: tuple[int, ...]
    start: int
    end: int

    def __str__(self) -> str:
        return f"{self.dtype.name} {self.shape}"


# Writing


def write_tensors(
    file: BinaryIO, arrays: Mapping[str, np.ndarray], metadata: Mapping[str, str] | None = None
) -> None:
    """Write named arrays. The same arrays in the same order give the same bytes.

    Raises:
        ArgumentError: an array's data type is not one of the format's.
    """
    header = _header(arrays, metadata)
    file.write(len(header).to_bytes(8, "little"))
    file.write(header)
    for name in _aligned_order(arrays):
        flat = np.ascontiguousarray(arrays[name]).reshape(-1)
        file.write(flat.view(np.uint8).data)


def tensors_size(
    arrays: Mapping[str, np.ndarray], metadata: Mapping[str, str] | None = None
) -> int:
    """The number of bytes that :func:`write_tensors` writes."""
    return 8 + len(_header(arrays, metadata)) + sum(array.nbytes for array in arrays.values())


def _aligned_order(arrays: Mapping[str, np.ndarray]) -> list[str]:
    """The largest types first, so that each array is aligned for programs that map the file."""
    return sorted(arrays, key=lambda name: -arrays[name].dtype.itemsize)


def _header(arrays: Mapping[str, np.ndarray], metadata: Mapping[str, str] | None) -> bytes:
    entries: dict[str, object] = {"__metadata__": dict(metadata)} if metadata else {}
    offset = 0
    for name in _aligned_order(arrays):
        array = arrays[name]
        if array.dtype.name not in CODES:
            raise ArgumentError(
                explain(
                    f"The array {name!r} cannot be written to a file.",
                    expected=", ".join(CODES),
                    received=str(array.dtype),
                )
            )
        entries[name] = {
            "dtype": CODES[array.dtype.name],
            "shape": list(array.shape),
            "data_offsets": [offset, offset + array.nbytes],
        }
        offset += array.nbytes
    text = json.dumps(entries, separators=(",", ":"), ensure_ascii=False).encode()
    return text + b" " * (-len(text) % 8)


# Reading


class TensorReader:
    """Reads named arrays from a file of ``size`` bytes, the header first.

    Attributes:
        infos: what the header says about each array, in the order in which they lie in the file.
        metadata: the header's own remarks.

    Raises:
        FileFormatError: the header is malformed, or does not describe every byte exactly once.
    """

    def __init__(self, file: Readable, size: int, what: str) -> None:
        self._file = file
        self._what = what
        length = int.from_bytes(self._exactly(min(8, size)), "little")
        if size < 8 or length > size - 8:
            raise self._error("is truncated")
        header = parse_json(self._exactly(length), f"The header of {what}")
        self.metadata = header.pop("__metadata__", {})
        if not isinstance(self.metadata, dict):
            raise self._error("has remarks that are not a dictionary")
        infos = {name: self._info(name, entry) for name, entry in header.items()}
        self.infos = dict(sorted(infos.items(), key=lambda item: item[1][2:]))
        self._check_cover(size - 8 - length)

    def read(self) -> dict[str, np.ndarray]:
        """Every array by name. Can be called once."""
        return {name: self._array(name, info) for name, info in self.infos.items()}

    def _array(self, name: str, info: TensorInfo) -> np.ndarray:
        content = np.frombuffer(self._exactly(info.end - info.start), np.uint8)
        if info.dtype == np.bool_ and content.size and content.max() > 1:
            raise self._error(f"has other bytes than 0 and 1 in the truth values {name!r}")
        try:
            return content.view(info.dtype).reshape(info.shape)
        except ValueError as error:  # an empty array of an enormous shape
            raise self._error(f"has an impossible shape for {name!r}: {error}") from None

    def _info(self, name: str, entry: object) -> TensorInfo:
        if len(name) > LONGEST_NAME:
            raise self._error(f"has a name of {len(name)} characters")
        if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
            raise self._error(f"does not say where {name!r} is")
        code, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
        if not isinstance(code, str) or code not in TYPES:
            raise self._error(f"has an unknown data type for {name!r}: {code!r}"[:200])
        if not _are_sizes(shape) or len(shape) > MOST_AXES:
            raise self._error(f"has an impossible shape for {name!r}: {str(shape)[:80]}")
        if not _are_sizes(offsets) or len(offsets) != 2:
            raise self._error(f"has an impossible place for {name!r}: {str(offsets)[:80]}")
        dtype, (start, end) = np.dtype(jnp.dtype(TYPES[code])), offsets
        if math.prod(shape) * dtype.itemsize != end - start:
            raise self._error(
                f"declares {name!r} as {dtype.name} {tuple(shape)} and gives it {end - start} bytes"
            )
        return TensorInfo(dtype, tuple(shape), start, end)

    def _check_cover(self, size: int) -> None:
        position = 0
        for name, info in self.infos.items():
            if info.start != position:
                raise self._error(f"has a gap or an overlap before {name!r}")
            position = info.end
        if position != size:
            raise self._error(f"declares {position} bytes of arrays and has {size}")

    def _exactly(self, size: int) -> bytes:
        content = self._file.read(size)
        if len(content) != size:
            raise self._error("is truncated")
        return content

    def _error(self, problem: str) -> FileFormatError:
        return FileFormatError(f"{self._what} {problem}.")


def _are_sizes(values: object) -> bool:
    return isinstance(values, list) and all(
        type(value) is int and 0 <= value <= LARGEST_SIZE for value in values
    )
