"""A thread that works ahead of whoever takes its items."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

import jax

__all__ = ["Ahead"]

POLL = 0.05  # seconds between looks at whether waiting has been given up
PATIENCE = 0.2  # seconds to wait for the thread at the end; it may be in the user's own code


class Ahead:
    """Draws items in the background: while one is in use, the next is prepared.

    Work on an item begins when fewer than ``depth`` are ready. So with a depth of 1 no more than
    two exist: the one that was taken last, and one that is prepared or ready. An error in the
    thread is raised where the item would have been taken, with its own traceback. The thread
    starts when the first item is asked for.

    Args:
        items: what to draw from. It runs in the thread, with the caller's JAX settings.
        pauses: whether to wait, after an item, until the next one is asked for.
        depth: how many items may be ready.

    Example:
        >>> squares = Ahead(n * n for n in range(3))
        >>> [squares.take() for _ in range(4)]
        [0, 1, 4, None]
    """

    def __init__(
        self,
        items: Iterator[Any],
        pauses: Callable[[Any], bool] = lambda item: False,
        depth: int = 1,
    ) -> None:
        self._items = items
        self._pauses = pauses
        self._depth = depth
        self._changed = threading.Condition()
        self._ready: deque[Any] = deque()
        self._error: BaseException | None = None
        self._ended = False
        self._closed = False
        self._awaited = False
        self._thread: threading.Thread | None = None

    def awaited(self) -> bool:
        """Whether somebody is waiting for the next item."""
        return self._awaited

    def take(
        self,
        given_up: Callable[[], bool] = lambda: False,
        instead: Callable[[], Any] = lambda: None,
    ) -> Any:
        """The next item; None after the last, or when waiting has been given up.

        Args:
            given_up: whether to wait no longer; looked at now and then.
            instead: what to take when the item keeps us waiting, or None to go on waiting.
        """
        if self._thread is None:
            self._start()
        with self._changed:
            self._awaited = True
            self._changed.notify_all()
            item = None
            while not self._ready and not self._ended and not given_up() and item is None:
                if not self._changed.wait(POLL):
                    item = instead()
            self._awaited = False
            if item is not None:
                return item
            if self._ready:
                item = self._ready.popleft()
                self._changed.notify_all()
                return item
        if self._ended and self._error is not None:
            error, self._error = self._error, None
            raise error
        return None

    def close(self) -> None:
        """Let the thread end, as soon as it comes back from what it is doing."""
        with self._changed:
            self._closed = True
            self._ready.clear()
            self._changed.notify_all()
        self._items = iter(())  # they may refer to this object, and hold large arrays
        if self._thread is not None:
            self._thread.join(PATIENCE)

    def _start(self) -> None:
        config: Any = jax.config
        settings = config.jax_enable_x64, config.jax_default_device
        self._thread = threading.Thread(target=self._run, args=settings, daemon=True)
        self._thread.start()

    def _run(self, x64: bool, device: Any) -> None:
        items, self._items = self._items, iter(())
        try:
            # JAX's settings belong to a thread.
            with jax.enable_x64(x64), jax.default_device(device):
                for item in items:
                    if not self._hand_over(item):
                        break
        except BaseException as error:
            self._error = error
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def _hand_over(self, item: Any) -> bool:
        """Offer an item, and wait until the next may be begun. Returns whether to go on."""
        pauses = self._pauses(item)
        with self._changed:
            if not self._closed:
                self._ready.append(item)
                self._changed.notify_all()
            self._changed.wait_for(lambda: self._closed or len(self._ready) < self._depth)
            if pauses:
                self._changed.wait_for(lambda: self._closed or (self._awaited and not self._ready))
            return not self._closed
