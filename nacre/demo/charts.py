"""Drawings for the report, as SVG whose colours come from the page's style."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

import numpy as np

__all__ = ["Series", "confusion_matrix", "line_chart"]

WIDTH, HEIGHT = 480, 300
LEFT, RIGHT, TOP, BOTTOM = 56, 104, 16, 44
TICKS = 5
LABEL_HEIGHT = 38  # a name and a value, and air
CELL = 38
MARGIN = 58

Place = Callable[[float], float]


@dataclass(frozen=True)
class Series:
    """A line: one value for each epoch, or a single mark at the last epoch."""

    name: str
    values: Sequence[float]
    style: str  # the class that gives it its colour: "train", "validation" or "test"


def line_chart(series: Sequence[Series], *, title: str, percent: bool = False) -> str:
    """A chart of values by epoch, each line labelled at its end."""
    epochs = max(len(line.values) for line in series)
    finite = [value for line in series for value in line.values if math.isfinite(value)]
    ticks = _ticks(min(finite, default=0.0), max(finite, default=1.0))
    low, high = ticks[0], ticks[-1]

    def x(epoch: float) -> float:
        share = (epoch - 1) / (epochs - 1) if epochs > 1 else 0.5
        return LEFT + share * (WIDTH - LEFT - RIGHT)

    def y(value: float) -> float:
        return HEIGHT - BOTTOM - (value - low) / (high - low) * (HEIGHT - TOP - BOTTOM)

    parts = [_horizontal_grid(ticks, y, percent), _epoch_labels(epochs, x)]
    ends: list[tuple[float, Series, float]] = []
    for line in series:
        first = epochs - len(line.values) + 1  # a single value belongs to the last epoch
        points = [
            (x(first + place), y(value), value)
            for place, value in enumerate(line.values)
            if math.isfinite(value)
        ]
        parts.append(_line(line, points))
        if points:
            ends.append((points[-1][1], line, points[-1][2]))
    parts.append(_end_labels(ends, x(epochs), percent))
    label = f"{title} by epoch: " + "; ".join(
        f"{line.name} ends at {_show(value, percent)}" for _, line, value in ends
    )
    return _svg(WIDTH, HEIGHT, label, parts, "chart")


def confusion_matrix(counts: np.ndarray) -> str:
    """A table of counts: rows are the true classes, columns what the network read.

    Right answers have one colour, wrong ones another that is the stronger the more there are.
    """
    classes = len(counts)
    wrong = counts.copy()
    np.fill_diagonal(wrong, 0)
    side = MARGIN + classes * CELL
    middle = MARGIN + classes * CELL / 2
    parts = [
        f'<text class="axis" x="{middle}" y="14" text-anchor="middle">read as</text>',
        f'<text class="axis" transform="translate(14 {middle}) rotate(-90)" text-anchor="middle">'
        "true digit</text>",
    ]
    for number in range(classes):
        place = MARGIN + number * CELL + CELL / 2
        parts.append(f'<text class="class" x="{place}" y="{MARGIN - 10}">{number}</text>')
        parts.append(f'<text class="class" x="{MARGIN - 14}" y="{place + 5}">{number}</text>')
    for row in range(classes):
        total = max(int(counts[row].sum()), 1)
        for column in range(classes):
            count = int(counts[row, column])
            if row == column:
                style, strength = "right", 0.25 + 0.45 * count / total
            else:
                style, strength = "wrong", math.sqrt(count / max(int(wrong.max()), 1)) * 0.7
            parts.append(_cell(row, column, count, style, strength))
    label = f"Confusion matrix: {int(wrong.sum())} of {int(counts.sum())} digits misread"
    return _svg(side + 2, side + 2, label, parts, "matrix")


def _cell(row: int, column: int, count: int, style: str, strength: float) -> str:
    left, top = MARGIN + column * CELL, MARGIN + row * CELL
    meaning = f"{count} times a {row} was read as {column}"
    text = "" if count == 0 else str(count)
    return (
        f'<g><title>{meaning}</title><rect class="cell {style}" x="{left + 1}" y="{top + 1}" '
        f'width="{CELL - 2}" height="{CELL - 2}" rx="4" style="fill-opacity:{strength:.2f}"/>'
        f'<text class="count" x="{left + CELL / 2}" y="{top + CELL / 2 + 5}">{text}</text></g>'
    )


def _svg(width: float, height: float, label: str, parts: list[str], style: str) -> str:
    return (
        f'<svg class="{style}" viewBox="0 0 {width:g} {height:g}" role="img" '
        f'aria-label="{escape(label, quote=True)}">' + "".join(parts) + "</svg>"
    )


def _ticks(low: float, high: float) -> list[float]:
    """About TICKS round numbers that enclose the range."""
    if high - low < 1e-9:
        low, high = low - 0.05, high + 0.05
    rough = (high - low) / (TICKS - 1)
    power = 10 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= rough * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [number * step for number in range(first, last + 1)]


def _show(value: float, percent: bool) -> str:
    return f"{value:.1%}".replace("%", " %") if percent else f"{value:.3f}"


def _horizontal_grid(ticks: list[float], y: Place, percent: bool) -> str:
    digits = max(0, math.ceil(-math.log10(ticks[1] - ticks[0]) - 1e-9))
    lines = []
    for tick in ticks:
        shown = f"{round(tick * 100, 6):g} %" if percent else f"{tick:.{digits}f}"
        lines.append(
            f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y(tick):.1f}" '
            f'y2="{y(tick):.1f}"/><text class="tick" x="{LEFT - 8}" y="{y(tick) + 4:.1f}" '
            f'text-anchor="end">{shown}</text>'
        )
    return "".join(lines)


def _epoch_labels(epochs: int, x: Place) -> str:
    stride = max(1, math.ceil(epochs / 10))
    shown = sorted({epochs, *range(1, epochs + 1, stride)})
    if len(shown) > 1 and shown[-1] - shown[-2] < stride:
        del shown[-2]
    base = HEIGHT - BOTTOM
    labels = [
        f'<text class="tick" x="{x(epoch):.1f}" y="{base + 18}" text-anchor="middle">{epoch}</text>'
        for epoch in shown
    ]
    middle = (LEFT + WIDTH - RIGHT) / 2
    labels.append(
        f'<text class="axis" x="{middle}" y="{HEIGHT - 6}" text-anchor="middle">epoch</text>'
    )
    return "".join(labels)


def _line(line: Series, points: list[tuple[float, float, float]]) -> str:
    path = " ".join(f"{left:.1f},{top:.1f}" for left, top, _ in points)
    drawn = f'<polyline class="line {line.style}" points="{path}"/>' if len(points) > 1 else ""
    if len(points) > 30:
        points = points[-1:]
    return drawn + "".join(
        f'<circle class="dot {line.style}" cx="{left:.1f}" cy="{top:.1f}" r="4">'
        f"<title>{escape(line.name)}: {value:.4f}</title></circle>"
        for left, top, value in points
    )


def _end_labels(ends: list[tuple[float, Series, float]], right: float, percent: bool) -> str:
    """The names of the lines beside their ends, moved apart where they would overlap."""
    tops: list[float] = []
    ends = sorted(ends, key=lambda end: end[0])
    for top, _, _ in ends:
        tops.append(max(top, tops[-1] + LABEL_HEIGHT) if tops else top)
    below = max(0.0, max(tops, default=0.0) - (HEIGHT - LABEL_HEIGHT))
    left = f"{right + 12:.1f}"
    return "".join(
        f'<text class="end {line.style}" x="{left}" y="{top - below:.1f}">{escape(line.name)}'
        f'<tspan x="{left}" dy="16">{_show(value, percent)}</tspan></text>'
        for top, (_, line, value) in zip(tops, ends)
    )
