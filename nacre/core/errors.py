"""The errors Nacre raises, and how their messages are put together.

Every message answers four questions: what was wrong and where, what was expected, what was
received, and how to fix it.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = [
    "ArgumentError",
    "BuildError",
    "DataError",
    "FileFormatError",
    "LearnerWarning",
    "NacreError",
    "PurityError",
    "ShapeError",
    "explain",
    "nearest",
    "unknown_name",
]


class NacreError(Exception):
    """Base class of every error that Nacre raises on purpose."""

    def add_note(self, note: str) -> None:
        """Add a note, but for what JAX notes about its own frames."""
        if "JAX has removed" not in note:
            super().add_note(note)


class ArgumentError(NacreError, ValueError):
    """An argument has a value that cannot be used."""


class ShapeError(NacreError, ValueError):
    """An array has a shape that does not fit."""


class DataError(NacreError, ValueError):
    """The data handed to a model does not fit it, or does not fit together."""


class BuildError(NacreError, RuntimeError):
    """A model or layer is used before it has its weights, its loss or its optimizer."""


class PurityError(NacreError, RuntimeError):
    """State or randomness was asked for where a pure function cannot give it."""


class FileFormatError(NacreError, ValueError):
    """A file is not what it claims to be."""


class LearnerWarning(UserWarning):
    """Something that runs but is most likely a mistake; said once for a model.

    ``warnings.filterwarnings("ignore", category=nacre.LearnerWarning)`` silences it.
    """


def explain(
    problem: str, *, expected: object = None, received: object = None, fix: str | None = None
) -> str:
    """Join the parts of an error message, one line each."""
    lines = [problem]
    if expected is not None:
        lines.append(f"  Expected: {expected}")
    if received is not None:
        lines.append(f"  Received: {received}")
    if fix is not None:
        lines.append(f"  Fix: {fix}")
    return "\n".join(lines)


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name most like ``name``, or None when nothing is close."""
    by_lowercase = {candidate.lower(): candidate for candidate in known}
    found = difflib.get_close_matches(name.lower(), by_lowercase, n=1, cutoff=0.6)
    return by_lowercase[found[0]] if found else None


def unknown_name(kind: str, name: str, known: Iterable[str]) -> ArgumentError:
    """The error for a name that is not registered, with the nearest one that is."""
    names = sorted(name for name in known if not name.lower().endswith("wrapper"))
    guess = nearest(name, names)
    fix = f"did you mean {guess!r}?" if guess else f"pass a name above or your own {kind}."
    return ArgumentError(
        explain(f"Unknown {kind} {name!r}.", expected=_listed(names), received=repr(name), fix=fix)
    )


def _listed(names: list[str]) -> str:
    """Some names in a line: those in lower case, where a name is known in several spellings."""
    flat = {name.replace("_", "").lower() for name in names if name.islower()}
    shown = [name for name in names if name.islower() or name.lower() not in flat]
    return ", ".join(shown)
