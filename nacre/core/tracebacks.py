"""What a traceback shows: the user's own lines, unless Nacre's and JAX's are asked for too."""

from __future__ import annotations

import functools
import os
import sys
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, NoReturn, TypeVar

import jax

from nacre.core.errors import LearnerWarning, NacreError

__all__ = ["advise", "hide_internals", "is_debug", "raise_instead", "readable_errors", "set_debug"]

F = TypeVar("F", bound=Callable[..., Any])

OURS = str(Path(__file__).parents[1]) + os.sep
JAXS = tuple(
    str(Path(jax.__file__).parents[1] / package) + os.sep for package in ("jax", "jaxlib", "optax")
)
SILENCE = 'warnings.filterwarnings("ignore", category=nacre.LearnerWarning)'
LEFT_OUT = "nacre.set_debug(True) shows the lines of Nacre and JAX that are left out here."

_debug = bool(os.environ.get("NACRE_DEBUG"))
_filtering_before: Any = None


def set_debug(on: bool = True) -> None:
    """Choose whether tracebacks show what happens inside of Nacre and JAX, and what led to what.

    Off, as it is unless the environment variable ``NACRE_DEBUG`` is set, a traceback shows the
    lines of your own code, and the message.

    Args:
        on: whether to show everything.

    Example:
        >>> import nacre
        >>> nacre.set_debug(True)
        >>> nacre.set_debug(False)
    """
    global _debug, _filtering_before
    if on and not _debug:
        _filtering_before = jax.config.jax_traceback_filtering  # type: ignore[attr-defined]
        jax.config.update("jax_traceback_filtering", "off")
    elif _debug and not on and _filtering_before is not None:
        jax.config.update("jax_traceback_filtering", _filtering_before)
    _debug = bool(on)


def is_debug() -> bool:
    """Whether tracebacks show everything."""
    return _debug


def readable_errors(function: F) -> F:
    """Decorator of what users call: errors that leave it show the user's lines only."""

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        except Exception as error:
            hide_internals(error)
            raise

    return call  # type: ignore[return-value]


def hide_internals(error: BaseException) -> None:
    """Take the frames of Nacre and JAX out of an error's traceback, and of those that led to it.

    The last frame stays if it is Nacre's and the error is not one that Nacre raises on purpose.
    Where a function re-raises the error after this, it leaves no frame of its own either.
    """
    if _debug:
        return
    seen: set[int] = set()
    part: BaseException | None = error
    while part is not None and id(part) not in seen:
        seen.add(id(part))
        _shorten(part)
        origin = part.__cause__ or (None if part.__suppress_context__ else part.__context__)
        if origin is not None and not any(_is_users(link) for link in _links(origin.__traceback__)):
            part.__cause__, origin = None, None  # nothing that the user wrote has a part in it
        part = origin


def _shorten(error: BaseException) -> None:
    links = [link for link in _links(error.__traceback__) if not _is_in(link, JAXS)]
    kept = [link for link in links if _is_users(link)]
    on_purpose = isinstance(error, NacreError | Warning)
    if not on_purpose and links and links[-1] not in kept:
        kept.append(links[-1])
    shortened = None
    for link in reversed(kept):
        shortened = TracebackType(shortened, link.tb_frame, link.tb_lasti, link.tb_lineno)
    error.__traceback__ = shortened
    notes = [note for note in getattr(error, "__notes__", ()) if "JAX has removed" not in note]
    if not on_purpose and LEFT_OUT not in notes:
        notes.append(LEFT_OUT)
    error.__notes__ = notes


def _links(chain: TracebackType | None) -> list[TracebackType]:
    links = []
    while chain is not None:
        links.append(chain)
        chain = chain.tb_next
    return links


def _is_users(link: TracebackType) -> bool:
    return not _is_in(link, (OURS, *JAXS))


def _is_in(link: TracebackType, folders: tuple[str, ...]) -> bool:
    return link.tb_frame.f_code.co_filename.startswith(folders)


def raise_instead(error: NacreError, cause: BaseException) -> NoReturn:
    """Raise ``error`` in place of ``cause``, from the lines of code that ``cause`` came from."""
    if _debug:
        raise error from cause
    raise error.with_traceback(cause.__traceback__) from None


def advise(message: str, category: type[Warning] = LearnerWarning) -> None:
    """Warn a learner, at the line of their own code that is running."""
    if category is LearnerWarning:
        message += f"\n  Silence: {SILENCE}"
    frames = [frame for frame, _ in traceback.walk_stack(sys._getframe())]
    levels = (
        level
        for level, frame in enumerate(frames, start=1)
        if not frame.f_code.co_filename.startswith((OURS, *JAXS))
    )
    warnings.warn(message, category, stacklevel=next(levels, 2))
