"""Where progress is shown: a terminal, a notebook, or a log file."""

from __future__ import annotations

import html
import importlib
import os
import sys
import time
from collections.abc import Callable
from typing import Any, Protocol, TextIO

from nacre.training.progress_line import Line

__all__ = ["Display", "NotebookDisplay", "PlainDisplay", "TerminalDisplay", "display_for"]

BAR_WIDTH = 24
MOST_NOTEBOOK_LINES = 200  # all of them are sent again with every redraw
FLUSH_INTERVAL = 0.1  # seconds; a system call for each line would be felt by very short epochs


class Display(Protocol):
    """Something to draw on.

    Attributes:
        live: whether it shows a line that changes.
    """

    live: bool

    def draw(self, line: Line) -> None:
        """Replace the line that changes."""
        ...

    def keep(self, lines: list[Line], live: Line | None = None) -> None:
        """Add lines that stay, and replace the line that changes."""
        ...

    def close(self) -> None:
        """Remove the line that changes, and give back the screen."""
        ...


def display_for(stream: TextIO | None, verbose: Any, clock: Callable[[], float]) -> Display | None:
    """The display that suits the place the output goes to, None if it goes nowhere."""
    if stream is None and verbose != 2 and _in_notebook():
        return NotebookDisplay()
    stream = stream or sys.stdout
    if stream is None:  # a program without a console
        return None
    is_terminal = getattr(stream, "isatty", bool)() and os.environ.get("TERM") != "dumb"
    # A run inside another run's callback must not fight with it over the screen.
    if verbose != 2 and is_terminal and not TerminalDisplay.in_use:
        return TerminalDisplay(stream)
    return PlainDisplay(stream, clock)


def _in_notebook() -> bool:
    ipython = sys.modules.get("IPython")
    return ipython is not None and hasattr(ipython.get_ipython(), "kernel")


class PlainDisplay:
    """Lines of text without control characters, for log files.

    Args:
        stream: where they are written.
        clock: returns the time in seconds.
    """

    live = False

    def __init__(self, stream: TextIO, clock: Callable[[], float] = time.perf_counter) -> None:
        self._stream = stream
        self._clock = clock
        self._flushed_at = clock()

    def draw(self, line: Line) -> None:
        pass

    def keep(self, lines: list[Line], live: Line | None = None) -> None:
        for line in lines:
            self._stream.write(line.plain() + "\n")
        now = self._clock()
        if now - self._flushed_at >= FLUSH_INTERVAL:
            self._stream.flush()
            self._flushed_at = now

    def close(self) -> None:
        self._stream.flush()


class TerminalDisplay:
    """A live line under the lines that stay, by rich.

    While it is open, what is printed appears above the live line.

    Args:
        stream: a terminal.
        width: its width in characters, asked of the terminal unless given.
    """

    live = True
    in_use = False

    def __init__(self, stream: TextIO, width: int | None = None) -> None:
        # rich takes 40 ms to import, which only those who look at a terminal should pay.
        from rich.console import Console
        from rich.live import Live

        is_stdout = stream is sys.stdout
        self._console = Console(file=stream, width=width, highlight=False, emoji=False)
        self._live = Live(
            console=self._console,
            auto_refresh=False,
            transient=True,
            redirect_stdout=is_stdout,
            redirect_stderr=is_stdout,
        )
        encoding = getattr(stream, "encoding", None) or "ascii"
        self._full, self._empty = ("━", "━") if _can_encode("━", encoding) else ("=", ".")
        self._live.start()
        self._open = TerminalDisplay.in_use = True

    def draw(self, line: Line) -> None:
        self._live.update(self._markup(line), refresh=True)

    def keep(self, lines: list[Line], live: Line | None = None) -> None:
        with self._console:  # written to the terminal in one go
            self._live.update(self._markup(live) if live else "", refresh=True)
            self._console.print("\n".join(self._markup(line) for line in lines))

    def close(self) -> None:
        if self._open:
            self._open = TerminalDisplay.in_use = False
            self._live.stop()

    def _markup(self, line: Line) -> str:
        """The line in rich's markup, broken where it is too long: first before the figures."""
        head, bar = [*line.steps, *line.notes], self._bar(line)
        indent = len(line.title) + 2
        room = self._console.width - 1 - indent - (BAR_WIDTH + 2 if bar else 0)
        rows = _rows([head, line.training, line.validation], room, self._console.width - 1 - indent)
        texts = ["  ".join(_dimmed(part) for part in row) for row in rows]
        first = "  ".join(filter(None, [f"[bold]{_escaped(line.title)}[/bold]", bar, texts[0]]))
        return ("\n" + " " * indent).join([first, *texts[1:]])

    def _bar(self, line: Line) -> str:
        if line.done is None or not line.total:
            return ""
        done = min(BAR_WIDTH, BAR_WIDTH * line.done // line.total)
        rest = self._empty * (BAR_WIDTH - done)
        return f"[green]{self._full * done}[/green][bright_black]{rest}[/bright_black]"


def _can_encode(text: str, encoding: str) -> bool:
    try:
        text.encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def _rows(groups: list[list[str]], first_room: int, room: int) -> list[list[str]]:
    """Groups of parts in as few rows as fit; a group that fits in a row is not torn apart."""
    rows: list[list[str]] = [[]]

    def make_room_for(parts: list[str]) -> None:
        available = first_room if len(rows) == 1 else room
        is_fresh = len(rows) > 1 and not rows[-1]
        if parts and not is_fresh and len("  ".join([*rows[-1], *parts])) > available:
            rows.append([])

    for group in groups:
        make_room_for(group)
        for part in group:
            make_room_for([part])
            rows[-1].append(part)
    return rows


def _escaped(text: str) -> str:
    return text.replace("[", r"\[")


def _dimmed(part: str) -> str:
    """A figure's value stands out from its name."""
    name, _, value = part.rpartition(" ")
    is_figure = name and not name[0].isdigit()
    return f"[dim]{_escaped(name)}[/dim] {_escaped(value)}" if is_figure else _escaped(part)


class NotebookDisplay:
    """One output cell that is replaced as the run goes on."""

    live = True

    def __init__(self) -> None:
        module = importlib.import_module("IPython.display")  # there is one: we are in it
        self._html = module.HTML
        self._kept: list[str] = []
        self._live = ""
        self._handle = module.display(self._html(""), display_id=True)

    def draw(self, line: Line) -> None:
        self._live = self._drawn(line)
        self._show()

    def _drawn(self, line: Line) -> str:
        bar = ""
        if line.done is not None and line.total:
            bar = f'<progress value="{line.done}" max="{line.total}"></progress>'
        return bar + f"<pre>{html.escape(line.plain())}</pre>"

    def keep(self, lines: list[Line], live: Line | None = None) -> None:
        self._kept += [html.escape(line.plain()) for line in lines]
        if len(self._kept) > MOST_NOTEBOOK_LINES:
            self._kept = ["(earlier lines left out)", *self._kept[1 - MOST_NOTEBOOK_LINES :]]
        self._live = self._drawn(live) if live else ""
        self._show()

    def close(self) -> None:
        self._live = ""
        self._show()

    def _show(self) -> None:
        self._handle.update(self._html("<pre>" + "\n".join(self._kept) + "</pre>" + self._live))
