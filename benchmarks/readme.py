"""The README's table, written from the results: ``python -m benchmarks.readme``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.frameworks import FRAMEWORKS
from benchmarks.notes import NOTES
from benchmarks.plots import number
from benchmarks.results import RESULTS, groups, read_all
from benchmarks.workloads import HIGH_LEVEL, TORCH

__all__ = ["BEGIN", "END", "README", "between", "table", "write"]

README = Path(__file__).parent.parent / "README.md"
BEGIN, END = "<!-- benchmarks:begin -->\n", "<!-- benchmarks:end -->"
JAX = ("jax", "jax_steps")
HEADINGS = (
    "", "", "Nacre", "best high-level peer", "Nacre / it", "PyTorch", "Nacre / it",
    "JAX by hand", "Nacre / it",
)  # fmt: skip


def write(path: Path = README, folder: Path = RESULTS) -> None:
    """Put the table between the markers."""
    text = path.read_text(encoding="utf-8")
    before, rest = text.split(BEGIN)
    after = rest.split(END)[1]
    path.write_text(before + BEGIN + table(read_all(folder)) + END + after, encoding="utf-8")


def between(text: str) -> str:
    """What stands between the markers."""
    return text.split(BEGIN)[1].split(END)[0]


def table(kept: dict[str, dict[str, Any]]) -> str:
    """The table with what it needs to be understood; nothing where there are no results."""
    if not kept:
        return ""
    lines = ["Medians; less is better, and so is a ratio below 1.", ""]
    lines += [_line(HEADINGS), _line(("---", "---", *["--:"] * 7))]
    for result in kept.values():
        lines += _rows(result)
    lines += ["", *_missed(kept), "", *_circumstances(kept)]
    return "\n".join(lines) + "\n"


def _line(cells: tuple[str, ...] | list[str]) -> str:
    return f"| {' | '.join(cells)} |".replace("|  |", "| |").replace("|  |", "| |")


def _rows(result: dict[str, Any]) -> list[str]:
    """A row for the first figure and for each that there is a goal for."""
    lines = []
    goals = [goal["figure"] for goal in result["goals"]]
    for figure in dict.fromkeys([*list(result["figures"])[:1], *goals]):
        by_framework = result["figures"].get(figure, {})
        medians = {name: row["median"] for name, row in by_framework.items()}
        ours = medians.get("nacre")
        cells = [result["title"] if not lines else "", figure]
        cells.append("not measured" if ours is None else f"**{number(ours)}**")
        for peers in (HIGH_LEVEL, TORCH, JAX):
            cells += _beside(ours, {name: medians[name] for name in peers if name in medians})
        lines.append(_line(cells))
    return lines


def _beside(ours: float | None, peers: dict[str, float]) -> list[str]:
    """The best of some peers, with its name, and Nacre's share of it."""
    if not peers:
        return ["", ""]
    best = min(peers, key=lambda name: peers[name])
    name = "" if best in ("torch", "jax") else f" ({FRAMEWORKS[best].label})"
    return [number(peers[best]) + name, "" if ours is None else number(ours / peers[best])]


def _missed(kept: dict[str, dict[str, Any]]) -> list[str]:
    goals = [(name, goal) for name, result in kept.items() for goal in result["goals"]]
    lines = [_sentence(name, goal) for name, goal in goals if not goal["reached"]]
    count = f"{len(goals) - len(lines)} of {len(goals)}" if lines else f"All {len(goals)}"
    were = "was" if len(goals) - len(lines) == 1 and lines else "were"
    return [f"{count} goals {were} reached.{' These were not:' if lines else ''}", *lines]


def _sentence(workload: str, goal: dict[str, Any]) -> str:
    """A goal that was not reached, with the figure that was."""
    bound, figure = goal["at most"], f"- `{workload}`, {goal['figure']}: "
    if goal["share"] is None:
        return f"{figure}not measured."
    if goal["peers"]:
        best = "the best of its peers, " if len(goal["peers"]) > 1 else ""
        reached = f"{goal['share']:.4g} times {best}{FRAMEWORKS[goal['best peer']].label}"
    else:
        reached = f"{goal['share']:.4g}"
    note = NOTES.get((workload, goal["figure"]), "")
    return f"{figure}{reached}; the goal is {bound:g} at most.{' ' + note if note else ''}"


def _circumstances(kept: dict[str, dict[str, Any]]) -> list[str]:
    found = groups(kept)
    lines = []
    for names, result in found:
        which = f" ({', '.join(names)})" if len(found) > 1 else ""
        rounds = sorted({kept[name]["rounds"] for name in names})
        runs = str(rounds[0]) if len(rounds) == 1 else f"{rounds[0]} to {rounds[-1]}"
        versions = ", ".join(
            f"{name} {version}"
            for name, version in result["versions"].items()
            if version != "not installed"
        )
        lines.append(
            f"Measured on {result['date']}{which} by `{result['command']}`, {runs} rounds, on "
            f"{result['processor']}, {result['cores']} threads, {result['memory']}, "
            f"{result['system']}, with {versions}."
        )
    return lines


if __name__ == "__main__":
    write()
