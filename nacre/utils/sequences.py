"""Sequences of different lengths into one array."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from nacre.core.errors import ArgumentError, DataError, explain

__all__ = ["pad_sequences"]

SIDES = ("pre", "post")


def pad_sequences(
    sequences: Sequence[Any],
    maxlen: int | None = None,
    dtype: Any = "int32",
    padding: str = "pre",
    truncating: str = "pre",
    value: Any = 0.0,
) -> np.ndarray:
    """Make sequences equally long: fill the short ones with ``value``, cut the long ones.

    Args:
        sequences: N sequences; each has shape ``(length, ...)``, and only the lengths may differ.
        maxlen: the length T of the result; by default that of the longest sequence.
        dtype: the data type of the result.
        padding: ``"pre"`` fills before a sequence, ``"post"`` after it.
        truncating: ``"pre"`` cuts the beginning of a sequence, ``"post"`` its end.
        value: what to fill with.

    Returns:
        A NumPy array of shape ``(N, T, ...)``.

    Raises:
        ArgumentError: for an unknown ``padding`` or ``truncating``.
        DataError: if something in ``sequences`` is not a sequence, or the shapes differ.

    Example:
        >>> pad_sequences([[1], [2, 3], [4, 5, 6]], maxlen=2).tolist()
        [[0, 1], [2, 3], [5, 6]]
    """
    for name, side in (("padding", padding), ("truncating", truncating)):
        if side not in SIDES:
            raise ArgumentError(
                explain(
                    f"pad_sequences has an unknown {name}.",
                    expected=" or ".join(map(repr, SIDES)),
                    received=repr(side),
                )
            )
    lengths = _lengths(sequences)
    longest = max(lengths, default=0) if maxlen is None else int(maxlen)
    first = next((np.asarray(s) for s, n in zip(sequences, lengths) if n), np.zeros(0))
    padded = np.full((len(lengths), longest, *first.shape[1:]), value, dtype)  # (N, T, ...)
    for row, (sequence, length) in enumerate(zip(sequences, lengths)):
        if length == 0 or longest == 0:
            continue
        kept = np.asarray(sequence[-longest:] if truncating == "pre" else sequence[:longest], dtype)
        if kept.shape[1:] != first.shape[1:]:
            raise DataError(
                explain(
                    f"pad_sequences: the steps of sequence {row} have another shape than those "
                    "before it.",
                    expected=first.shape[1:],
                    received=kept.shape[1:],
                )
            )
        where = slice(None, len(kept)) if padding == "post" else slice(longest - len(kept), None)
        padded[row, where] = kept
    return padded


def _lengths(sequences: Sequence[Any]) -> list[int]:
    lengths = []
    for row, sequence in enumerate(sequences):
        if not hasattr(sequence, "__len__"):
            raise DataError(
                explain(
                    "pad_sequences needs a list of sequences.",
                    expected="a list or array in each place",
                    received=f"{sequence!r} in place {row}",
                    fix="wrap a single sequence in a list: pad_sequences([sequence]).",
                )
            )
        lengths.append(len(sequence))
    return lengths
