"""Ctrl-C while training: the first finishes the running call, the second stops at once."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Any

__all__ = ["Interrupts", "handle_termination", "handles_termination"]

_termination = False


def handle_termination(enabled: bool = True) -> None:
    """Set whether ``fit`` treats SIGTERM like Ctrl-C: it finishes the running call and returns.

    A cluster's scheduler sends SIGTERM some seconds before it ends a process; with this, a script
    can save the model in that time. Off by default.

    Example:
        >>> handle_termination(True)
        >>> handles_termination()
        True
        >>> handle_termination(False)
    """
    global _termination
    _termination = bool(enabled)


def handles_termination() -> bool:
    """Whether ``fit`` treats SIGTERM like Ctrl-C; see :func:`handle_termination`."""
    return _termination


class Interrupts:
    """While it is entered, the first Ctrl-C only sets ``requested``; the second one raises.

    Does nothing outside the main thread, where Python delivers no signals.

    Attributes:
        requested: whether the run should end.
        held: a context in which the second Ctrl-C waits until the context is left, so that what
            is done there is done whole.
    """

    def __init__(self) -> None:
        self.requested = False
        self.held = Hold()
        self._before: dict[int, Any] = {}

    def is_requested(self) -> bool:
        """Whether the run should end."""
        return self.requested

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.requested and not self.held.postpones():
            raise KeyboardInterrupt
        self.requested = True

    def __enter__(self) -> Interrupts:
        if threading.current_thread() is threading.main_thread():
            if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
                self._before[signal.SIGINT] = signal.signal(signal.SIGINT, self._handle)
            if _termination:
                self._before[signal.SIGTERM] = signal.signal(signal.SIGTERM, self._handle)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before.clear()


class Hold:
    """A stretch of work that an interrupt must not cut in two."""

    def __init__(self) -> None:
        self._entered = False
        self._postponed = False

    def postpones(self) -> bool:
        """Whether an interrupt that has just come is put off."""
        self._postponed = self._entered
        return self._entered

    def __enter__(self) -> None:
        self._entered = True

    def __exit__(self, kind: object, error: object, traceback: object) -> None:
        self._entered = False
        if self._postponed:
            self._postponed = False
            if error is None:
                raise KeyboardInterrupt
