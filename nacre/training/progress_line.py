"""What a line of progress says, in words and figures."""

from __future__ import annotations

import math
import numbers
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Line", "figures", "seconds_text", "speed_text"]


@dataclass(frozen=True)
class Line:
    """The parts of a line, from left to right.

    Attributes:
        title: such as ``"Epoch 3/5"``.
        done: steps done, for a bar; None without one.
        total: steps in all, None if that is not known.
        notes: times and speed.
        training: names and values of training's figures.
        validation: names and values of validation's figures.
    """

    title: str
    done: int | None = None
    total: int | None = None
    notes: list[str] = field(default_factory=list)
    training: list[str] = field(default_factory=list)
    validation: list[str] = field(default_factory=list)

    @property
    def steps(self) -> list[str]:
        """How far it is, if there is a bar."""
        if self.done is None:
            return []
        if self.total is None:
            return [f"{self.done} steps"]
        return [f"{self.done:>{len(str(self.total))}}/{self.total}"]

    def plain(self) -> str:
        """The line as text."""
        return "  ".join([self.title, *self.steps, *self.notes, *self.training, *self.validation])


def figures(logs: dict[str, Any]) -> tuple[list[str], list[str]]:
    """Names with values: training's, then validation's."""
    training, validation = [], []
    for name, value in logs.items():
        text = f"{name} {_number(value)}"
        (validation if name.startswith("val_") else training).append(text)
    return training, validation


def _number(value: Any) -> str:
    if not isinstance(value, float | numbers.Real):  # float first: it is quick to tell
        return str(value)
    value = float(value)
    if value and math.isfinite(value) and not 1e-3 <= abs(value) < 1e6:
        return f"{value:.4e}"
    return f"{value:.4f}"


def seconds_text(seconds: float) -> str:
    """A duration that reads well: ``"35 ms"``, ``"2.1 s"``, ``"1 min 05 s"``, ``"2 h 03 min"``."""
    if seconds < 0.0009995:
        return f"{seconds * 1e6:.0f} us"
    if seconds < 0.9995:
        return f"{seconds * 1000:.{1 if seconds < 0.00995 else 0}f} ms"
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, whole = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {whole:02d} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min"


def speed_text(examples_per_second: float) -> str:
    """A speed with three digits that mean something: ``"58,200 examples/s"``."""
    if examples_per_second < 100:
        return f"{examples_per_second:.3g} examples/s"
    digits = 2 - math.floor(math.log10(examples_per_second))
    return f"{round(examples_per_second, digits):,.0f} examples/s"
