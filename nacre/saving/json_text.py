"""JSON from files that are not trusted: strict, and bounded before anything is made of it."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

from nacre.core.errors import FileFormatError

__all__ = ["MOST_BYTES", "check_size", "parse_json"]

MOST_BYTES = 32 * 2**20
MOST_CONTAINERS = 2**20
MOST_STRINGS = 2**22


def check_size(text: bytes, what: str) -> None:
    """Raise if a text is longer, or has more parts, than would be read.

    Raises:
        FileFormatError: it is, or has.
    """
    if len(text) > MOST_BYTES:
        raise FileFormatError(f"{what} is {len(text)} bytes long; at most {MOST_BYTES} are read.")
    if text.count(b"[") + text.count(b"{") > MOST_CONTAINERS or text.count(b'"') > MOST_STRINGS:
        raise FileFormatError(f"{what} has more parts than any model needs.")


def parse_json(text: bytes, what: str) -> dict[str, Any]:
    """The dictionary that ``text`` holds.

    Raises:
        FileFormatError: it is not strict JSON, is too long, or has two entries of the same name.
    """
    check_size(text, what)  # for an empty list of two characters the parser takes 64 bytes
    try:
        value = json.loads(
            text.decode("utf-8"), object_pairs_hook=_without_repeats, parse_constant=_refuse
        )
    except RecursionError:
        raise FileFormatError(f"{what} is nested too deeply.") from None
    except FileFormatError as error:
        raise FileFormatError(f"{what} {error}") from None
    except ValueError as error:  # also of UnicodeDecodeError and of numbers with too many digits
        raise FileFormatError(f"{what} is not valid JSON: {error}.") from None
    if not isinstance(value, dict):
        raise FileFormatError(f"{what} is not a dictionary.")
    return value


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        counts = Counter(name for name, _ in pairs)
        repeated, _ = counts.most_common(1)[0]
        raise FileFormatError(f"has two entries named {repeated[:80]!r}.")
    return found


def _refuse(name: str) -> Any:
    raise FileFormatError(f"holds the number {name}, which JSON does not have.")
