"""Checks of constructor arguments, with one message for each kind."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from nacre.core.errors import ArgumentError, explain, nearest

__all__ = ["fraction", "integers", "one_of", "positive_integer"]


def positive_integer(owner: str, argument: str, value: Any) -> Any:
    """``value`` itself if it is a whole number above 0."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value <= 0:
        raise ArgumentError(
            explain(
                f"{owner}: {argument} must be a positive whole number.",
                expected="an integer > 0",
                received=f"{value!r} ({type(value).__name__})",
                fix=f"write {int(value)}." if _is_whole_float(value) else f"{argument}=32, say.",
            )
        )
    return value


def _is_whole_float(value: Any) -> bool:
    return isinstance(value, float | np.floating) and bool(value > 0 and value % 1 == 0)


def integers(
    owner: str, argument: str, value: Any, count: int, minimum: int = 1
) -> tuple[int, ...]:
    """A tuple of ``count`` whole numbers, from one number or as many as there are axes."""
    values = (value,) * count if isinstance(value, int | np.integer) else value
    good = (
        isinstance(values, Sequence)
        and not isinstance(values, str)
        and len(values) == count
        and all(isinstance(v, int | np.integer) and v >= minimum for v in values)
    )
    if not good:
        raise ArgumentError(
            explain(
                f"{owner}: {argument} must be a whole number or {count} of them.",
                expected=f"integers >= {minimum}",
                received=repr(value),
            )
        )
    return tuple(int(v) for v in values)


def fraction(owner: str, argument: str, value: Any) -> Any:
    """``value`` itself if it is a number of at least 0 and below 1."""
    if not isinstance(value, int | float | np.number) or not 0 <= value < 1:
        raise ArgumentError(
            explain(
                f"{owner}: {argument} must be a fraction.",
                expected="a number >= 0 and < 1",
                received=repr(value),
                fix=_as_fraction(value),
            )
        )
    return value


def _as_fraction(value: Any) -> str | None:
    if isinstance(value, int | float) and 1 < value < 100:
        return f"for {value:g} percent write {value / 100:g}."
    return None


def one_of(owner: str, argument: str, value: Any, choices: Sequence[Any]) -> Any:
    """``value`` itself if it is among ``choices``."""
    if value not in choices:
        names = [choice for choice in choices if isinstance(choice, str)]
        guess = nearest(value, names) if isinstance(value, str) else None
        raise ArgumentError(
            explain(
                f"{owner}: {argument} has a value that is not known.",
                expected=", ".join(repr(choice) for choice in choices),
                received=repr(value),
                fix=f"did you mean {guess!r}?" if guess else None,
            )
        )
    return value
