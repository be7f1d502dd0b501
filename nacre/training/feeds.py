"""What the next compiled call runs on: data that lies on the device, or one window of a stream.

A feed plans calls. It knows where in the data a step of an epoch is found; the loop that asks it
knows how many steps it wants, and where it must act between them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, Protocol

import jax
import numpy as np

from nacre.data.background import Ahead
from nacre.data.borrowed import Borrowed
from nacre.data.windows import Source, Window
from nacre.training.program import Program

__all__ = ["Call", "Feed", "Request", "Resident", "Segment", "Streamed", "segments_in_a_call"]

MOST_SEGMENTS = 64
MOST_INDICES = 2**18

Segment = tuple[int, int, int, int]


def segments_in_a_call(count: int, *, shuffled: bool) -> int:
    """How many passes over ``count`` examples a call may hold the orders of."""
    return max(1, min(MOST_SEGMENTS, MOST_INDICES // count)) if shuffled else 1


class Call(NamedTuple):
    """One call of a program."""

    program: Program
    data: Any
    order: np.ndarray | None
    segments: list[Segment]

    def batch(self, number: int) -> Any:
        """The examples of one of its steps."""
        program = self.program
        segments = iter(self.segments)
        start, full, short, _ = next(segments)
        while number >= full + short:
            number -= full + short
            start, full, short, _ = next(segments)
        first = start + number * program.batch_size
        last = first + (program.batch_size if number < full else program.remainder)
        rows = slice(first, last) if self.order is None else self.order[first:last]
        return jax.tree.map(
            lambda array: array[rows], self.data, is_leaf=lambda a: isinstance(a, Borrowed)
        )


class Request(NamedTuple):
    """What the loop asks for.

    Attributes:
        epoch: the epoch of the next step.
        step: its number within the epoch.
        steps: how many steps to run at most.
        last: the epoch to stop before.
        pauses: whether the host must act after an epoch.
        given_up: whether to stop waiting for data.
    """

    epoch: int = 0
    step: int = 0
    steps: int = 1
    last: int = 1
    pauses: Callable[[int], bool] = lambda epoch: True
    given_up: Callable[[], bool] = lambda: False


class Feed(Protocol):
    """What plans calls.

    Attributes:
        steps: the steps in an epoch, None if only the end will tell.
        exhausted: whether there will be no more data, in this epoch or another.
    """

    @property
    def steps(self) -> int | None: ...

    @property
    def exhausted(self) -> bool: ...

    def plan(self, request: Request) -> Call | None:
        """The next call; None if there is no data left in the epoch, or waiting was given up."""
        ...

    def prepare(self, epoch: int, last: int) -> None:
        """Work for the calls from ``epoch`` on, while the device is busy."""
        ...

    def examples(self, epoch: int, step: int) -> int:
        """The number of examples in the first ``step`` steps of an epoch."""
        ...

    def rewind(self) -> None:
        """Begin anew, with the first epoch."""
        ...

    def close(self) -> None:
        """Stop what runs in the background, and let go of the data."""
        ...


class Resident:
    """Examples that lie on the device: a call may take any part of an epoch, or several epochs.

    Args:
        program: the compiled steps.
        data: the examples, on the device.
        count: how many there are.
        order: the order of the examples in a pass over them, or None to take them as they lie.
        steps: the steps in an epoch, by default those of one pass. Passes follow one another.
        offset: what to add to an epoch's number, since epochs are counted on over several runs.
    """

    exhausted = False

    def __init__(
        self,
        program: Program,
        data: Any,
        count: int,
        order: Callable[[int], np.ndarray] | None,
        steps: int | None = None,
        offset: int = 0,
    ) -> None:
        self.program = program
        self.data = data
        self.count = count
        self.order = order
        self._offset = offset
        self._full_steps = count // program.batch_size
        self._pass_steps = self._full_steps + bool(program.remainder)
        self.steps: int = steps or self._pass_steps
        # Orders of passes, as many to a block as a call can take; a call takes them from one block.
        self._blocks: dict[int, np.ndarray] = {}
        self._drawn: int | None = None  # the first pass whose order has not been drawn

    def plan(self, request: Request) -> Call | None:
        program, (epoch, step, left, last, pauses, _) = self.program, request
        most, segments = program.most_segments, []
        first = latest = self._place(epoch, step)[0]
        while left > 0 and epoch < last and len(segments) < most:
            turn, within = self._place(epoch, step)
            if turn // most != first // most:
                break
            until = min(within + left, self._pass_steps, within + self.steps - step)
            full = min(until, self._full_steps) - min(within, self._full_steps)
            short = int(until == self._pass_steps and bool(program.remainder))
            ends = step + until - within == self.steps
            start = (turn % most) * self.count + within * program.batch_size
            segments.append((start, full, short, int(ends)))
            latest, left, step = turn, left - (until - within), step + until - within
            if ends:
                if pauses(epoch):
                    break
                epoch, step = epoch + 1, 0
        return Call(program, self.data, self._orders(first, latest), segments)

    def prepare(self, epoch: int, last: int) -> None:
        """Draw the orders to come."""
        if self.order is not None:
            (now, _), (end, rest) = self._place(epoch, 0), self._place(last, 0)
            self._draw_until(min(end + bool(rest), now + self.program.most_segments))

    def examples(self, epoch: int, step: int) -> int:
        first = (epoch + self._offset) * self.steps
        return self._examples_before(first + step) - self._examples_before(first)

    def rewind(self) -> None:
        pass

    def close(self) -> None:
        self.data = None

    def _place(self, epoch: int, step: int) -> tuple[int, int]:
        """The pass that a step of an epoch belongs to, and its number within the pass."""
        return divmod((epoch + self._offset) * self.steps + step, self._pass_steps)

    def _examples_before(self, step: int) -> int:
        turn, within = divmod(step, self._pass_steps)
        return turn * self.count + within * self.program.batch_size

    def _orders(self, first: int, last: int) -> np.ndarray | None:
        """The block that passes lie in, with the orders from ``first`` to ``last`` in it."""
        if self.order is None:
            return None
        if self._drawn is None:
            self._drawn = first
        self._draw_until(last + 1)
        block = first // self.program.most_segments
        self._blocks = {number: b for number, b in self._blocks.items() if number >= block}
        return self._blocks[block]

    def _draw_until(self, end: int) -> None:
        """Draw the orders of the passes before ``end`` that have not been drawn.

        A call that is running may read the block, but no order that is drawn meanwhile.
        """
        assert self.order is not None and self._drawn is not None
        count, most = self.count, self.program.most_segments
        for turn in range(self._drawn, end):
            number, place = divmod(turn, most)
            if number not in self._blocks:
                self._blocks[number] = np.zeros(most * count, np.int32)
            self._blocks[number][place * count : (place + 1) * count] = self.order(turn)
        self._drawn = max(end, self._drawn)


class Streamed:
    """Windows of a source: while a call runs on one, the next is prepared in the background.

    Args:
        source: what yields windows.
        program_for: the compiled steps for a window.
        offset: what to add to an epoch's number, since epochs are counted on over several runs.
    """

    def __init__(
        self, source: Source, program_for: Callable[[Window], Program], offset: int = 0
    ) -> None:
        self.source = source
        self._offset = offset
        self.program_for = program_for
        self._ahead: Ahead | None = None
        self._window: Window | None = None
        self._done = 0  # steps of the window that have been run
        self._seen = 0  # examples of the epoch that came before the window
        self._known: int | None = None

    @property
    def steps(self) -> int | None:
        return self._known if self.source.steps is None else self.source.steps

    @property
    def exhausted(self) -> bool:
        return getattr(self.source, "exhausted", False) and self._window is None

    def first(self, request: Request) -> Window | None:
        """The window of the first call; None if there is none."""
        if self._window is None:
            self._next(request)
        return self._window

    def plan(self, request: Request) -> Call | None:
        if self._window is None or self._done == self._window.steps:
            self._next(request)
        window = self._window
        if window is None:
            if not request.given_up():
                self._known = request.step
            return None
        first = self._done
        self._done = min(first + request.steps, window.steps)
        full = min(self._done, window.full) - min(first, window.full)
        short = int(self._done > window.full)
        ends = int(window.ends and self._done == window.steps)
        segment = (first * window.size, full, short, ends)
        return Call(self.program_for(window), window.data, window.order, [segment])

    def prepare(self, epoch: int, last: int) -> None:
        pass

    def examples(self, epoch: int, step: int) -> int:
        return self._seen + self._examples_of_window()

    def rewind(self) -> None:
        if self._window is None or self._done:  # else nothing has been run since the beginning
            self._stop()

    def close(self) -> None:
        self._stop()
        self.source.release()  # whoever still holds this object does not hold the memory

    def _stop(self) -> None:
        if self._ahead is not None:
            self._ahead.close()
        self._ahead = self._window = None

    def _examples_of_window(self) -> int:
        window = self._window
        if window is None:
            return 0
        short = window.remainder * (self._done > window.full)
        return min(self._done, window.full) * window.size + short

    def _next(self, request: Request) -> None:
        """Give the window back and take the next one."""
        self._seen = 0 if request.step == 0 else self._seen + self._examples_of_window()
        self._window, self._done = None, 0
        if self._ahead is None:
            self._ahead = self._begin(request.epoch, request.step, request.last)
        self._window = self._ahead.take(request.given_up, self.source.partial)

    def _begin(self, epoch: int, step: int, last: int) -> Ahead:
        source, offset = self.source, self._offset

        def windows() -> Iterator[Window | None]:
            """The windows of all epochs; None after an epoch whose last one did not know it was."""
            number, first = epoch, step
            while number < last:
                window = None
                for window in source.windows(number + offset, first, ahead.awaited):
                    yield window
                if window is None or not window.ends:
                    yield None
                number, first = number + 1, 0

        def pauses(window: Window | None) -> bool:
            return not source.looks_ahead and (window is None or window.ends)

        ahead = Ahead(windows(), pauses)
        return ahead
