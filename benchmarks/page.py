"""The page with plots, drawn from the results: ``python -m benchmarks.page [FOLDER]``."""

from __future__ import annotations

import sys
from html import escape
from pathlib import Path
from typing import Any

from benchmarks.frameworks import FRAMEWORKS
from benchmarks.notes import NOTES
from benchmarks.plots import PLOT_STYLE, dot_plot
from benchmarks.results import RESULTS, groups, in_words, read_all
from nacre.demo.style import STYLE

__all__ = ["render", "write"]

PAGE_STYLE = """
nav a { color: var(--ink); margin-right: .9rem; white-space: nowrap; }
.goals { list-style: none; padding: 0; margin: .5rem 0 1rem; max-width: 60rem; }
.goals li { margin: .25rem 0; padding-left: 7.6rem; text-indent: -7.6rem; }
.goals b { display: inline-block; width: 7rem; margin-right: .6rem; text-indent: 0; }
.goals .note { display: block; text-indent: 0; color: var(--quiet); }
.goals .reached b { color: var(--green); }
.goals .missed b, .goals .unknown b { color: var(--vermilion); }
.card td { font-variant-numeric: tabular-nums; }
"""


def write(folder: Path = RESULTS) -> Path:
    """Draw the page of the results in ``folder``, into that folder."""
    path = folder / "index.html"
    path.write_text(render(read_all(folder)), encoding="utf-8")
    return path


def render(kept: dict[str, dict[str, Any]]) -> str:
    """The page as HTML.

    Args:
        kept: the results by workload, as ``read_all`` gives them.
    """
    sections = [_headline(kept), *(_workload(result) for result in kept.values()), _machines(kept)]
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>Nacre, measured</title>\n<style>{STYLE}{PLOT_STYLE}{PAGE_STYLE}</style>\n"
        "</head>\n<body>\n" + "\n".join(sections) + "\n</body>\n</html>\n"
    )


def _headline(kept: dict[str, dict[str, Any]]) -> str:
    goals = [goal for result in kept.values() for goal in result["goals"]]
    reached = sum(goal["reached"] is True for goal in goals)
    missed = sum(goal["reached"] is False for goal in goals)
    unknown = len(goals) - reached - missed
    tiles = {"goals reached": reached, "goals missed": missed, "workloads": len(kept)}
    if unknown:
        tiles["goals not measured"] = unknown
    facts = "".join(f"<div><dt>{name}</dt><dd>{value}</dd></div>" for name, value in tiles.items())
    links = " ".join(f'<a href="#{name}">{name}</a>' for name in kept)
    return (
        "<header><h1>Nacre beside what people would use instead</h1>"
        '<p class="lead">Less is better in every plot. A dot is one measurement, a line the median '
        "of them; beside it stands the median, and what multiple of Nacre&rsquo;s it is. "
        'Colours: <b class="nacre-ink">Nacre</b>, <b class="high-ink">libraries of its kind</b>, '
        '<b class="low-ink">loops written by hand</b>.</p>'
        f'<dl class="facts">{facts}</dl><nav>{links}</nav></header>'
    )


def _workload(result: dict[str, Any]) -> str:
    name = result["workload"]
    cards = "".join(
        f'<div class="card"><h3>{escape(figure)}</h3>{dot_plot(figure, rows)}</div>'
        for figure, rows in result["figures"].items()
        if "accuracy" not in figure
    )
    return (
        f'<section id="{name}"><h2>{name}: {escape(result["title"])}</h2>{_goals(result)}'
        f'<div class="plots">{cards}</div>{_accuracies(result)}{_left_out(result)}'
        f'<p class="quiet">{result["date"]}, <code>{escape(result["command"])}</code>: '
        f"{result['rounds']} rounds in {result['seconds']:,} s; the machine&rsquo;s load before "
        f"was {result['load before']}.</p></section>"
    )


def _goals(result: dict[str, Any]) -> str:
    styles = {True: "reached", False: "missed", None: "unknown"}
    lines = []
    for goal in result["goals"]:
        mark, _, rest = in_words(goal).partition(":")
        note = NOTES.get((result["workload"], goal["figure"]), "") if not goal["reached"] else ""
        lines.append(
            f'<li class="{styles[goal["reached"]]}"><b>{mark}</b>{escape(rest.strip())}'
            + (f'<span class="note">{escape(note)}</span>' if note else "")
            + "</li>"
        )
    return f'<ul class="goals">{"".join(lines)}</ul>' if lines else ""


def _accuracies(result: dict[str, Any]) -> str:
    """Accuracies in words: they show that all did the same work, and are no race."""
    sentences = [
        f"<p>{escape(figure.capitalize())}, the median: "
        + ", ".join(f"{FRAMEWORKS[n].label} {row['median']:.4f}" for n, row in rows.items())
        + ".</p>"
        for figure, rows in result["figures"].items()
        if "accuracy" in figure
    ]
    return "".join(sentences)


def _left_out(result: dict[str, Any]) -> str:
    lines = "".join(
        f"<li>{FRAMEWORKS[name].label}: {escape(why)}</li>"
        for name, why in result["left out"].items()
    )
    return f"<p>Left out:</p><ul>{lines}</ul>" if lines else ""


def _machines(kept: dict[str, dict[str, Any]]) -> str:
    found = groups(kept)
    tables = []
    for names, result in found:
        versions = ", ".join(f"{name} {version}" for name, version in result["versions"].items())
        rows = {
            "workloads": ", ".join(names) if len(found) > 1 else "all",
            "date": result["date"],
            "command": result["command"],
            "processor": result["processor"],
            "threads": str(result["cores"]),
            "memory": result["memory"],
            "system": result["system"],
            "versions": versions,
            "digits": result["digits"],
        }
        cells = "".join(
            f'<tr><th scope="row">{name}</th><td>{escape(str(value))}</td></tr>'
            for name, value in rows.items()
        )
        tables.append(f'<div class="card"><table>{cells}</table></div>')
    return f"<section><h2>Machine and versions</h2>{''.join(tables)}</section>"


if __name__ == "__main__":
    print(write(Path(sys.argv[1]) if len(sys.argv) > 1 else RESULTS))
