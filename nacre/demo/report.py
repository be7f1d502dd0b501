"""The report: one page that needs nothing else, made from what a run measured."""

from __future__ import annotations

import math
import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

import numpy as np

from nacre.demo.charts import Series, confusion_matrix, line_chart
from nacre.demo.png import data_address
from nacre.demo.style import STYLE

__all__ = ["Outcome", "render", "write_report"]

WORST = 24
CONFUSIONS = 5


@dataclass(frozen=True)
class Outcome:
    """What a run of the demo leaves to tell.

    Args:
        data_set: its name, as in a sentence: "MNIST".
        history: the values of each epoch by name, as in ``History.history``.
        test_loss: the loss on the test digits.
        images: the test digits, shape ``(N, height, width)``, 0 for paper, ``ink`` for ink.
        ink: the darkest value.
        truth: the digit on each image, shape ``(N,)``.
        probabilities: what the network gave each digit, shape ``(N, 10)``.
        facts: short figures for the top of the page, by label.
        settings: how the network was made and trained, by label.
        timings: wall-clock seconds by what took them.
        environment: versions and machine, by label.
        program: the lines of code that the run amounts to.
    """

    data_set: str
    history: Mapping[str, Sequence[float]]
    test_loss: float
    images: np.ndarray
    ink: int
    truth: np.ndarray
    probabilities: np.ndarray
    facts: Mapping[str, str]
    settings: Mapping[str, str]
    timings: Mapping[str, float]
    environment: Mapping[str, str]
    program: str

    @property
    def guesses(self) -> np.ndarray:
        """The digit that the network finds likeliest, shape ``(N,)``."""
        return self.probabilities.argmax(-1)

    @property
    def right(self) -> int:
        """How many test digits were read correctly."""
        return int((self.guesses == self.truth).sum())

    @property
    def accuracy(self) -> float:
        """The share of the test digits that were read correctly."""
        return self.right / len(self.truth)


def write_report(outcome: Outcome, path: Path) -> None:
    """Write the page to ``path`` in one step."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, beside = tempfile.mkstemp(prefix=path.name, dir=path.parent)
    try:
        with open(descriptor, "w", encoding="utf-8") as file:
            file.write(render(outcome))
        os.chmod(beside, 0o644)  # what mkstemp makes is readable by its owner only
        os.replace(beside, path)
    except BaseException:
        os.unlink(beside)
        raise


def render(outcome: Outcome) -> str:
    """The page as HTML."""
    title = f"Nacre reads {outcome.data_set}"
    sections = (
        _headline(outcome),
        _curves(outcome),
        _matrix(outcome),
        _worst_digits(outcome),
        _program(outcome),
        _conditions(outcome),
    )
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n"
        + "\n".join(sections)
        + "\n</body>\n</html>\n"
    )


def _headline(outcome: Outcome) -> str:
    count = len(outcome.truth)
    facts = {
        "test accuracy": f"{outcome.accuracy:.4f}",
        "test loss": f"{outcome.test_loss:.4f}",
    } | dict(outcome.facts)
    tiles = "".join(
        f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>"
        for name, value in facts.items()
    )
    return (
        f"<header><h1>{_percent(outcome.accuracy)} of {count:,} unseen digits read correctly</h1>"
        f'<p class="lead">A small network was trained on handwritten digits '
        f"({escape(outcome.data_set)}), then shown {count:,} others once. It read "
        f"{outcome.right:,} of them correctly and {count - outcome.right:,} wrongly.</p>"
        f'<dl class="facts">{tiles}</dl></header>'
    )


def _curves(outcome: Outcome) -> str:
    cards = [
        _curve(outcome, "loss", "Loss", outcome.test_loss, percent=False),
        _curve(outcome, "accuracy", "Accuracy", outcome.accuracy, percent=True),
    ]
    return (
        "<section><h2>Learning curves</h2>"
        "<p>The training values are means over each epoch, taken while the weights were changing; "
        "the test value is that of the finished network. The test digits had no part in the "
        f'training.</p><div class="pair">{"".join(cards)}</div></section>'
    )


def _curve(outcome: Outcome, name: str, title: str, tested: float, *, percent: bool) -> str:
    series = [
        Series(label, outcome.history[key], style)
        for key, label, style in (
            (name, "training", "train"),
            (f"val_{name}", "validation", "validation"),
        )
        if outcome.history.get(key)
    ]
    series.append(Series("test", [tested], "test"))
    chart = line_chart(series, title=title, percent=percent)
    return f'<div class="card"><h3>{title}</h3>{chart}</div>'


def _matrix(outcome: Outcome) -> str:
    classes = outcome.probabilities.shape[1]
    counts = np.zeros((classes, classes), np.int64)
    np.add.at(counts, (outcome.truth.astype(int), outcome.guesses), 1)
    wrong = counts - np.diag(np.diag(counts))
    order = np.argsort(-wrong, axis=None, kind="stable")[:CONFUSIONS]
    found = [(int(place) // classes, int(place) % classes) for place in order]
    common = [
        f"{true} as {guess} ({wrong[true, guess]})" for true, guess in found if wrong[true, guess]
    ]
    sentence = f"Most often confused: {', '.join(common)}." if common else "None was misread."
    return (
        "<section><h2>What was taken for what</h2>"
        "<p>Each row is a true digit, each column what the network read. Right answers lie on the "
        f"diagonal, in blue; misreadings are vermilion. {sentence}</p>"
        f'<div class="card">{confusion_matrix(counts)}</div></section>'
    )


def _worst_digits(outcome: Outcome) -> str:
    wrong = np.flatnonzero(outcome.guesses != outcome.truth)
    if len(wrong) == 0:
        return "<section><h2>The worst mistakes</h2><p>There are none.</p></section>"
    believed = outcome.probabilities[wrong, outcome.truth[wrong].astype(int)]
    worst = wrong[np.argsort(believed, kind="stable")[:WORST]]
    figures = "".join(_digit(outcome, int(place)) for place in worst)
    return (
        "<section><h2>The worst mistakes</h2>"
        f"<p>The {len(worst)} test digits to whose true reading the network gave the least "
        "probability, the worst first, with the probabilities p of both readings and the digit's "
        "number among the test digits. Some would puzzle a person too.</p>"
        f'<div class="digits">{figures}</div></section>'
    )


def _digit(outcome: Outcome, place: int) -> str:
    true, guess = int(outcome.truth[place]), int(outcome.guesses[place])
    given = outcome.probabilities[place]
    ink = outcome.images[place].astype(np.float32) / outcome.ink
    picture = data_address(np.round(255 * (1 - ink)).astype(np.uint8))
    return (
        f'<figure><img src="{picture}" alt="a handwritten {true}, read as {guess}">'
        f'<figcaption><b>{true}</b> read as <span class="misread">{guess}</span><br>'
        f"p({guess}) {_probability(given[guess])}<br>p({true}) {_probability(given[true])}<br>"
        f"no. {place:,}</figcaption></figure>"
    )


def _program(outcome: Outcome) -> str:
    return (
        "<section><h2>The program</h2><p>What the demo did, and how to go on with the saved "
        f"network.</p><pre><code>{escape(outcome.program)}</code></pre></section>"
    )


def _conditions(outcome: Outcome) -> str:
    seconds = {name: f"{value:.2f} s" for name, value in outcome.timings.items()}
    return (
        '<section><div class="pair">'
        f'<div><h2>Settings</h2><div class="card">{_table(outcome.settings)}</div></div>'
        f'<div><h2>Time</h2><div class="card">{_table(seconds)}</div>'
        '<p class="quiet">Wall-clock time of this one run, measured inside the process. Whatever '
        "else the machine was doing is in it, so compare it with nothing but itself.</p></div>"
        '</div><h2>Machine and versions</h2><div class="card">'
        f"{_table(outcome.environment)}</div></section>"
    )


def _table(rows: Mapping[str, str]) -> str:
    cells = "".join(
        f'<tr><th scope="row">{escape(name)}</th><td>{escape(value)}</td></tr>'
        for name, value in rows.items()
    )
    return f"<table>{cells}</table>"


def _percent(share: float) -> str:
    """A share in percent, rounded down so that 99.996 % does not become 100 %."""
    return f"{math.floor(share * 10000 + 1e-9) / 100:.2f} %"


def _probability(value: float) -> str:
    return "&lt; 0.0001" if value < 0.0001 else f"= {value:.4f}"
