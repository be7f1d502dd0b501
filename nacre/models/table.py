"""A table of text that fits a width: drawn with rich on a terminal, in plain lines elsewhere."""

from __future__ import annotations

import itertools
import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

__all__ = ["Column", "Table", "bytes_text", "count_text", "shorten", "shorten_label"]

GAP = 2
COMFORTABLE, NARROWEST = 16, 12  # what a column is narrowed to, and what if that does not do
DEFAULT_WIDTH = 100  # where the output is not a terminal
DOTS = "..."


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes:
        title: what stands above it.
        cells: the lines of each row's cell.
        right: whether to align to the right, as numbers are.
        shorten: makes a text fit a width, where the column may be narrowed; None where it may not.
    """

    title: str
    cells: list[list[str]]
    right: bool = False
    shorten: Callable[[str, int], str] | None = None

    def width(self) -> int:
        """The width it would like."""
        return max(len(text) for text in [self.title, *itertools.chain(*self.cells)])

    def fitted(self, width: int) -> list[list[str]]:
        """Its cells, no wider than ``width`` if it may be narrowed."""
        fit = self.shorten
        if fit is None:
            return self.cells
        return [[fit(line, width) for line in cell] for cell in self.cells]


@dataclass(frozen=True)
class Table:
    """Columns with a title above, and totals and notes below."""

    title: str
    columns: list[Column]
    totals: list[str]
    notes: list[str]

    def show(
        self, line_length: int | None = None, print_fn: Callable[[str], Any] | None = None
    ) -> None:
        """Print the table, or hand its lines to ``print_fn``."""
        if print_fn is None and _is_terminal():
            self._draw(line_length)
            return
        for line in self.lines(line_length):
            (print_fn or print)(line)

    def widths(self, line_length: int | None = None) -> list[int]:
        """The width of each column, narrowed from the right until the table fits."""
        limit = line_length or shutil.get_terminal_size((DEFAULT_WIDTH, 24)).columns
        widths = [column.width() for column in self.columns]
        for narrowest in (COMFORTABLE, NARROWEST):
            for i in reversed(range(len(widths))):
                excess = max(sum(widths) + GAP * (len(widths) - 1) - limit, 0)
                if self.columns[i].shorten and widths[i] > narrowest:
                    widths[i] = max(widths[i] - excess, narrowest)
        return widths

    def lines(self, line_length: int | None = None) -> list[str]:
        """The table in plain lines."""
        widths = self.widths(line_length)
        rule = "-" * (sum(widths) + GAP * (len(widths) - 1))
        cells = [column.fitted(width) for column, width in zip(self.columns, widths)]
        lines = [self.title, self._line([column.title for column in self.columns], widths), rule]
        for row in zip(*cells):
            lines += [
                self._line(line, widths) for line in itertools.zip_longest(*row, fillvalue="")
            ]
        return [*lines, rule, *self.totals, *self.notes]

    def _line(self, texts: Any, widths: list[int]) -> str:
        aligned = [
            text.rjust(width) if column.right else text.ljust(width)
            for text, width, column in zip(texts, widths, self.columns)
        ]
        return (" " * GAP).join(aligned).rstrip()

    def _draw(self, line_length: int | None) -> None:
        # rich takes tens of milliseconds to import, which only a terminal should pay.
        from rich import box
        from rich.console import Console
        from rich.table import Table as RichTable
        from rich.text import Text

        widths = self.widths(line_length)
        drawn = RichTable(
            box=box.SIMPLE_HEAD,
            show_edge=False,
            pad_edge=False,
            collapse_padding=True,
            header_style="bold",
            border_style="dim",
        )
        for column, width in zip(self.columns, widths):
            justify = "right" if column.right else "left"
            drawn.add_column(column.title, justify=justify, min_width=width, no_wrap=True)
        cells = [column.fitted(width) for column, width in zip(self.columns, widths)]
        for row in zip(*cells):
            drawn.add_row(*(Text("\n".join(cell)) for cell in row))
        console = Console(highlight=False, emoji=False, markup=False)
        console.print(self.title, style="bold")
        console.print(drawn)
        for line in ["", *self.totals]:
            console.print(line)
        for line in self.notes:
            console.print(line, style="yellow")


def _is_terminal() -> bool:
    is_terminal = getattr(sys.stdout, "isatty", bool)()
    return bool(is_terminal) and os.environ.get("TERM") != "dumb"


def shorten(text: str, width: int) -> str:
    """A text with its middle left out if it is wider than ``width``."""
    if len(text) <= width:
        return text
    kept = max(width - len(DOTS), 2)
    end = kept // 2
    return text[: kept - end] + DOTS + text[len(text) - end :]


def shorten_label(text: str, width: int) -> str:
    """The same for ``"name (Kind)"``, whose kind is kept if there is room for it."""
    name, bracket, kind = text.rpartition(" (")
    room = width - len(bracket + kind)
    if len(text) <= width or not bracket:
        return shorten(text, width)
    if room >= NARROWEST // 2 and room >= min(len(name), NARROWEST):
        return shorten(name, room) + bracket + kind
    return shorten(name, width)


def count_text(number: int) -> str:
    """A large number in three digits: 512, 15.7 K, 4.09 G."""
    for power, prefix in enumerate(["", "K", "M", "G", "T", "P", "E"]):
        value = number / 1000**power
        if float(f"{value:.3g}") < 1000 or prefix == "E":
            break
    if not prefix:
        return str(number)
    decimals = 2 if value < 9.995 else 1 if value < 99.95 else 0
    return f"{value:.{decimals}f} {prefix}"


def bytes_text(size: int) -> str:
    """An amount of memory: 96 B, 12.50 KB, 97.70 MB (1 KB is 1024 B)."""
    value = float(size)
    for unit in ["B", "KB", "MB", "GB"]:
        if value < 1024:
            return f"{size} B" if unit == "B" else f"{value:.2f} {unit}"
        value /= 1024
    return f"{value:.2f} TB"
