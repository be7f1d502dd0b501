"""The roofline as a drawing: what a machine can do, and points for what was done."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from html import escape
from typing import NamedTuple

from benchmarks.plots import number
from nacre.demo.style import COLOURS

__all__ = ["Point", "Roof", "draw"]

WIDTH, HEIGHT = 760, 470
LEFT, RIGHT, TOP, BOTTOM = 66, 24, 64, 62
LETTER, LINE = 9.5, 17  # pixels that a letter and a line of a label take, at most
ROOM_ACROSS, ROOM_UP = 2.5, 1.5  # times: how far the axes go beyond what is drawn

STYLE = """
svg { font: 14px system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
text { fill: var(--ink); } .quiet { fill: var(--quiet); font-size: 13px; }
.title { font-size: 16px; font-weight: 600; }
.paper { fill: var(--paper); } .grid { stroke: var(--rule); }
.roof { fill: none; stroke: var(--ink); stroke-width: 2.5; stroke-linejoin: round; }
.ridge { stroke: var(--quiet); stroke-dasharray: 5 5; }
.point { fill: var(--blue); } .name { font-weight: 600; } .leader { stroke: var(--quiet); }
"""


class Roof(NamedTuple):
    """What a machine can do: operations, and bytes from and to its memory, a second."""

    operations: float
    bytes: float

    @property
    def ridge(self) -> float:
        """The operations a byte from which on arithmetic is what bounds."""
        return self.operations / self.bytes

    def at(self, intensity: float) -> float:
        """Operations a second, at most, of what makes ``intensity`` operations a byte."""
        return min(self.operations, intensity * self.bytes)


class Point(NamedTuple):
    """What a program does: its operations, the bytes they read and write, and its seconds."""

    name: str
    operations: float
    bytes: float
    seconds: float

    @property
    def intensity(self) -> float:
        return self.operations / self.bytes

    @property
    def rate(self) -> float:
        return self.operations / self.seconds


class Box(NamedTuple):
    """A rectangle of the drawing: its left, upper, right and lower edge."""

    left: float
    top: float
    right: float
    bottom: float

    def meets(self, other: Box) -> bool:
        return (
            self.left < other.right
            and other.left < self.right
            and self.top < other.bottom
            and other.top < self.bottom
        )

    def within(self, other: Box) -> bool:
        across = other.left <= self.left and self.right <= other.right
        return across and other.top <= self.top and self.bottom <= other.bottom

    @classmethod
    def around(cls, x: float, y: float, across: float, up: float) -> Box:
        return cls(x - across, y - up, x + across, y + up)


Place = Callable[[float], float]


def draw(roof: Roof, points: list[Point], title: str, subtitle: str) -> str:
    """The roofline with its points as an SVG, readable on light and dark pages.

    Args:
        roof: what the machine can do.
        points: what was done; labels keep clear of each other, of points and of the roof.
        title, subtitle: the lines above the drawing.
    """
    intensities = [roof.ridge, *(point.intensity for point in points)]
    rates = [roof.operations, *(point.rate for point in points)]
    low, high = min(intensities) / ROOM_ACROSS, max(intensities) * ROOM_ACROSS
    least, most = min(*rates, roof.at(low)) / ROOM_UP, max(rates) * ROOM_UP
    x, y = _scale(low, high, LEFT, WIDTH - RIGHT), _scale(least, most, HEIGHT - BOTTOM, TOP)
    alternative = f"{title}. " + "; ".join(
        f"{p.name} {number(p.rate / 1e9)} GFLOP/s at {number(p.intensity)} operations a byte"
        for p in points
    )
    parts = [
        f'<rect class="paper" width="{WIDTH}" height="{HEIGHT}" rx="8"/>',
        f'<text class="title" x="{LEFT}" y="26">{escape(title)}</text>',
        f'<text class="quiet" x="{LEFT}" y="46">{escape(subtitle)}</text>',
        *_grid(low, high, least, most, x, y),
        *_roof(roof, low, high, x, y),
        *_points(points, _along(roof, low, high, x, y), x, y),
    ]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-label="{escape(alternative, quote=True)}">\n<style>{COLOURS}{STYLE}</style>\n'
        + "\n".join(parts)
        + "\n</svg>\n"
    )


def _scale(low: float, high: float, start: float, end: float) -> Place:
    """From a value to its place, logarithmically."""
    return lambda value: start + math.log(value / low) / math.log(high / low) * (end - start)


def _ticks(low: float, high: float) -> list[float]:
    """1, 2 and 5 times powers of ten that lie between two values."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    ticks = [float(f"{digit}e{power}") for power in powers for digit in (1, 2, 5)]
    return [tick for tick in ticks if low <= tick <= high]


def _grid(low: float, high: float, least: float, most: float, x: Place, y: Place) -> Iterator[str]:
    base, right = HEIGHT - BOTTOM, WIDTH - RIGHT
    for tick in _ticks(low, high):
        at = f"{x(tick):.1f}"
        yield (
            f'<line class="grid" x1="{at}" x2="{at}" y1="{TOP}" y2="{base}"/>'
            f'<text class="quiet" x="{at}" y="{base + 18}" text-anchor="middle">{tick:g}</text>'
        )
    for tick in _ticks(least, most):
        at = y(tick)
        yield (
            f'<line class="grid" x1="{LEFT}" x2="{right}" y1="{at:.1f}" y2="{at:.1f}"/>'
            f'<text class="quiet" x="{LEFT - 8}" y="{at + 4:.1f}" text-anchor="end">'
            f"{tick / 1e9:g}</text>"
        )
    middle = (TOP + base) / 2
    yield (
        f'<text class="quiet" x="{(LEFT + right) / 2}" y="{base + 42}" text-anchor="middle">'
        "floating-point operations for each byte read or written</text>"
        f'<text class="quiet" text-anchor="middle" transform="translate(20 {middle}) rotate(-90)">'
        "GFLOP/s</text>"
    )


def _roof(roof: Roof, low: float, high: float, x: Place, y: Place) -> Iterator[str]:
    ridge, flat, base = x(roof.ridge), y(roof.operations), HEIGHT - BOTTOM
    foot = y(roof.at(low))
    lean = math.degrees(math.atan2(flat - foot, ridge - LEFT))
    yield (
        f'<line class="ridge" x1="{ridge:.1f}" x2="{ridge:.1f}" y1="{flat:.1f}" y2="{base}"/>'
        f'<text class="quiet" x="{ridge - 10:.1f}" y="{base - 10}" text-anchor="end">'
        "&#8592; bound by memory</text>"
        f'<text class="quiet" x="{ridge + 10:.1f}" y="{base - 10}">'
        "bound by arithmetic &#8594;</text>"
        f'<path class="roof" d="M{LEFT} {foot:.1f}L{ridge:.1f} {flat:.1f}H{x(high):.1f}"/>'
        f'<text x="{ridge + 10:.1f}" y="{flat + 20:.1f}">'
        f"products in the cache: {number(roof.operations / 1e9)} GFLOP/s</text>"
        '<text text-anchor="middle" transform="translate('
        f'{(LEFT + ridge) / 2:.1f} {(foot + flat) / 2:.1f}) rotate({lean:.1f}) translate(0 -9)">'
        f"memory: {number(roof.bytes / 1e9)} GB/s</text>"
    )


def _along(roof: Roof, low: float, high: float, x: Place, y: Place) -> list[Box]:
    """Boxes that cover the roof, the words on it, and those at the foot of the ridge."""
    steps = 80
    along = [low * (high / low) ** (step / steps) for step in range(steps + 1)]
    beside = [8 if i > roof.ridge else -8 for i in along]  # where the words are
    boxes = [Box.around(x(i), y(roof.at(i)) + b, 12, 14) for i, b in zip(along, beside)]
    return [*boxes, Box.around(x(roof.ridge), HEIGHT - BOTTOM - 14, 165, 12)]


def _points(points: list[Point], taken: list[Box], x: Place, y: Place) -> Iterator[str]:
    places = [(x(point.intensity), y(point.rate)) for point in points]
    boxes = labelled([point.name for point in points], places, taken)
    for point, (across, down), box in zip(points, places, boxes):
        shown = f"{number(point.rate / 1e9)} GFLOP/s at {number(point.intensity)} a byte"
        end = min(max(across, box.left), box.right), min(max(down, box.top), box.bottom)
        if math.dist(end, (across, down)) > 12:
            yield (
                f'<line class="leader" x1="{across:.1f}" y1="{down:.1f}" '
                f'x2="{end[0]:.1f}" y2="{end[1]:.1f}"/>'
            )
        anchor = "start" if box.left > across else "end" if box.right < across else "middle"
        yield (
            f'<circle class="point" cx="{across:.1f}" cy="{down:.1f}" r="5.5">'
            f"<title>{escape(point.name)}: {shown}</title></circle>"
            f'<text class="name" x="{end[0]:.1f}" y="{box.bottom - 4:.1f}" '
            f'text-anchor="{anchor}">{escape(point.name)}</text>'
        )


def labelled(names: list[str], places: list[tuple[float, float]], taken: list[Box]) -> list[Box]:
    """Where each label stands: as near to its point as nothing else is.

    Args:
        names: the labels.
        places: the points they belong to.
        taken: what they must keep clear of, apart from the points and each other.
    """
    taken = [*taken, *(Box.around(x, y, 7, 7) for x, y in places)]
    drawing = Box(LEFT, TOP, WIDTH - RIGHT, HEIGHT - BOTTOM)
    for name, (x, y) in zip(names, places):
        boxes = list(_candidates(x, y, len(name) * LETTER / 2, LINE / 2))
        free = (b for b in boxes if b.within(drawing) and not any(b.meets(t) for t in taken))
        taken.append(next(free, boxes[0]))
    return taken[-len(names) :] if names else []


def _candidates(x: float, y: float, across: float, up: float) -> Iterator[Box]:
    """Boxes of a size around a point, the nearest first: right, left, above, below, corners."""
    sides = ((1, 0), (-1, 0), (0, -1), (0, 1), (1, -1), (-1, -1), (1, 1), (-1, 1))
    for gap in range(9, 120, 6):
        for right, down in sides:
            yield Box.around(x + right * (across + gap), y + down * (up + gap), across, up)
