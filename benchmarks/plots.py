"""Drawings for the page, as SVG whose colours come from the page's style."""

from __future__ import annotations

import math
from collections.abc import Callable
from html import escape
from typing import Any

from benchmarks.frameworks import FRAMEWORKS
from benchmarks.workloads import HIGH_LEVEL

__all__ = ["PLOT_STYLE", "dot_plot", "number"]

WIDTH, LEFT, RIGHT = 600, 200, 158
MEDIANS = WIDTH - 74  # where the column of medians ends
ROW, TOP, BOTTOM = 30, 8, 30
WIDE = 12  # times: where the slowest is further than this from the fastest, the axis is logarithmic

PLOT_STYLE = """
.plots { display: grid; gap: 1rem;
  grid-template-columns: repeat(auto-fit, minmax(min(100%, 26rem), 1fr)); }
.plots .card { overflow-x: auto; }
.plots .card:only-child { max-width: 46rem; }
svg.dots { min-width: 24rem; max-width: 42rem; }
svg.dots .bar { fill-opacity: .16; }
svg.dots .run { fill-opacity: .75; }
svg.dots .median { stroke-width: 3; }
svg.dots .nacre { fill: var(--blue); stroke: var(--blue); }
svg.dots .high { fill: var(--vermilion); stroke: var(--vermilion); }
svg.dots .low { fill: var(--green); stroke: var(--green); }
svg.dots .bar, svg.dots .run, svg.dots text.name { stroke: none; }
svg.dots text.name { fill: var(--ink); }
svg.dots text.name.nacre { font-weight: 700; }
svg.dots .times { fill: var(--quiet); }
.nacre-ink { color: var(--blue); } .high-ink { color: var(--vermilion); }
.low-ink { color: var(--green); }
"""

Place = Callable[[float], float]


def number(value: float) -> str:
    """A figure with three digits that count, and no exponent."""
    if value == 0:
        return "0"
    rounded = float(f"{value:.3g}")  # so that 9.996 has the digits of 10
    digits = max(0, 2 - math.floor(math.log10(abs(rounded))))
    return f"{value:,.{digits}f}"


def dot_plot(figure: str, by_framework: dict[str, dict[str, Any]]) -> str:
    """All runs of each framework as dots, the median as a line, and its multiple of Nacre's."""
    ours = by_framework.get("nacre", {}).get("median")
    names = sorted(by_framework, key=lambda n: (n != "nacre", by_framework[n]["median"]))
    least = min(row["min"] for row in by_framework.values())
    most = max(row["max"] for row in by_framework.values())
    logarithmic = least > 0 and most / least > WIDE
    ticks = _powers(least, most) if logarithmic else _steps(most)
    x = _scale(ticks[0], ticks[-1], logarithmic)
    height = TOP + ROW * len(names) + BOTTOM
    parts = [_axis(ticks, x, height, logarithmic)]
    for place, name in enumerate(names):
        middle = TOP + ROW * place + ROW / 2
        row = by_framework[name]
        left = None if logarithmic else x(0)
        parts.append(_row(name, row, middle, x, left))
        parts.append(_figures(name, row["median"], ours, middle))
    label = f"{figure}: " + "; ".join(
        f"{FRAMEWORKS[name].label} {number(by_framework[name]['median'])}" for name in names
    )
    return (
        f'<svg class="dots" viewBox="0 0 {WIDTH} {height}" role="img" '
        f'aria-label="{escape(label, quote=True)}">{"".join(parts)}</svg>'
    )


def style_of(framework: str) -> str:
    """The class that gives a framework its colour."""
    return "nacre" if framework == "nacre" else "high" if framework in HIGH_LEVEL else "low"


def _row(name: str, row: dict[str, Any], middle: float, x: Place, zero: float | None) -> str:
    style, label = style_of(name), escape(FRAMEWORKS[name].label)
    parts = [
        f'<text class="name {style}" x="{LEFT - 12}" y="{middle + 5}" text-anchor="end">'
        f"{label}</text>"
    ]
    if zero is not None:
        parts.append(
            f'<rect class="bar {style}" x="{zero:.1f}" y="{middle - 9}" '
            f'width="{x(row["median"]) - zero:.1f}" height="18"/>'
        )
    parts += [
        f'<circle class="run {style}" cx="{x(value):.1f}" cy="{middle}" r="3.5">'
        f"<title>{label}: {number(value)}</title></circle>"
        for value in row["runs"]
    ]
    at = f"{x(row['median']):.1f}"
    parts.append(
        f'<line class="median {style}" x1="{at}" x2="{at}" y1="{middle - 10}" y2="{middle + 10}"/>'
    )
    return "".join(parts)


def _figures(name: str, median: float, ours: float | None, middle: float) -> str:
    ratio = "" if ours in (None, 0) or name == "nacre" else f"{number(median / ours)} &times;"
    return (
        f'<text x="{MEDIANS}" y="{middle + 5}" text-anchor="end">{number(median)}</text>'
        f'<text class="times" x="{WIDTH - 2}" y="{middle + 5}" text-anchor="end">{ratio}</text>'
    )


def _scale(low: float, high: float, logarithmic: bool) -> Place:
    of = math.log if logarithmic else float
    width = WIDTH - LEFT - RIGHT

    def place(value: float) -> float:
        return LEFT + (of(value) - of(low)) / (of(high) - of(low)) * width

    return place


def _axis(ticks: list[float], x: Place, height: float, logarithmic: bool) -> str:
    base = height - BOTTOM
    lines = "".join(
        f'<line class="grid" x1="{x(tick):.1f}" x2="{x(tick):.1f}" y1="{TOP}" y2="{base}"/>'
        f'<text class="tick" x="{x(tick):.1f}" y="{base + 17}" text-anchor="middle">'
        f"{_short(tick)}</text>"
        for tick in ticks
    )
    kind = "logarithmic" if logarithmic else ""
    return lines + (
        f'<text class="axis" x="{LEFT - 20}" y="{base + 17}" text-anchor="end">{kind}</text>'
        f'<text class="axis" x="{MEDIANS}" y="{base + 17}" text-anchor="end">median</text>'
        f'<text class="axis" x="{WIDTH - 2}" y="{base + 17}" text-anchor="end">to Nacre</text>'
    )


def _short(tick: float) -> str:
    """A tick's number, with k or M for what is large."""
    for size, letter in ((1e6, "M"), (1e3, "k")):
        if tick >= size:
            return f"{tick / size:g}{letter}"
    return f"{tick:g}"


def _steps(most: float) -> list[float]:
    """Round numbers from 0 to past the largest value, four or five of them."""
    rough = max(most, 1e-12) / 4
    power = 10 ** math.floor(math.log10(rough))
    step = next(s * power for s in (1, 2, 2.5, 5, 10) if s * power >= rough * (1 - 1e-9))
    return [round(step * i, 12) for i in range(math.ceil(most / step - 1e-9) + 1)]


def _powers(least: float, most: float) -> list[float]:
    """Powers of ten around the values; where they are few, threes between them."""
    first, last = math.floor(math.log10(least)), math.ceil(math.log10(most))
    ticks = [10.0**power for power in range(first, last + 1)]
    if len(ticks) <= 3:
        ticks = [t * f for t in ticks for f in (1, 3)]
        ticks = ticks[: next(i for i, t in enumerate(ticks) if t >= most) + 1]
        while ticks[1] <= least:
            ticks = ticks[1:]
    return ticks
