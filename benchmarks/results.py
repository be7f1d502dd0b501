"""Results as they are kept: JSON with the figures, the goals, the machine and the versions."""

from __future__ import annotations

import datetime
import json
import os
import platform
import statistics
from importlib import metadata
from pathlib import Path
from typing import Any

from benchmarks.frameworks import FRAMEWORKS
from benchmarks.workloads import GOALS, WORKLOADS, Goal, Workload

__all__ = ["RESULTS", "describe", "goals_of", "groups", "in_words", "read_all", "spread", "write"]

RESULTS = Path(__file__).parent / "results"
SHARED_FACTS = ("date", "processor", "cores", "memory", "system", "versions", "command", "digits")


def spread(values: list[float]) -> dict[str, float]:
    """The median, the least and the most of some measurements."""
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def describe(threads: int) -> dict[str, Any]:
    """When, on what, and with which versions."""
    names = sorted({name for framework in FRAMEWORKS.values() for name in framework.packages})
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {
        "date": datetime.date.today().isoformat(),
        "processor": _processor(),
        "cores": threads,
        "memory": f"{memory:.0f} GiB",
        "load before": round(os.getloadavg()[0], 2),
        "system": f"{platform.system()} {platform.release()}",
        "versions": {"python": platform.python_version()} | {n: _version(n) for n in names},
    }


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    facts = dict(line.split(":", 1) for line in lines if ":" in line)
    facts = {name.strip(): value.strip() for name, value in facts.items()}
    units = [
        n
        for n in ("avx2", "avx512f", "avx512_bf16", "amx_tile")
        if n in facts.get("flags", "").split()
    ]
    return f"{facts.get('model name', platform.machine())} ({', '.join(units)})"


def _version(package: str) -> str:
    for name in (package, f"{package}-cpu"):
        try:
            return metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return "not installed"


def goals_of(workload: str, values: dict[str, dict[str, list[float]]]) -> list[dict[str, Any]]:
    """Each goal of a workload with the share that was measured, None if it was not."""
    return [
        measured(goal, values.get(goal.figure, {})) for goal in GOALS if goal.workload == workload
    ]


def measured(goal: Goal, by_framework: dict[str, list[float]]) -> dict[str, Any]:
    """A goal, the share of it that was measured, and whether that is within bounds."""
    medians = {name: statistics.median(runs) for name, runs in by_framework.items()}
    peers = {name: medians[name] for name in goal.peers if name in medians}
    best = min(peers, key=lambda name: peers[name]) if peers else None
    share = medians.get("nacre")
    if share is not None and goal.peers:
        share = None if best is None else share / peers[best]
    return {
        "figure": goal.figure,
        "peers": list(goal.peers),
        "best peer": best,
        "share": None if share is None else round(share, 4),
        "at most": goal.share,
        "reached": None if share is None else share <= goal.share,
    }


def in_words(goal: dict[str, Any]) -> str:
    """Whether a goal was reached, and by how much, as a line."""
    of = ""
    if goal["peers"]:
        peer = goal["best peer"] or goal["peers"][0]
        best = "the best peer, " if len(goal["peers"]) > 1 else ""
        of = f" of {best}{FRAMEWORKS[peer].label}"
    if goal["share"] is None:
        return f"not measured: {goal['figure']}"
    mark = "reached" if goal["reached"] else "MISSED"
    return f"{mark}: {goal['figure']}, {goal['share']:.4g}{of}; at most {goal['at most']:g}"


def groups(kept: dict[str, dict[str, Any]]) -> list[tuple[list[str], dict[str, Any]]]:
    """The workloads by where, when and with what they were measured, and one result of each."""
    found: dict[str, tuple[list[str], dict[str, Any]]] = {}
    for name, measured in kept.items():
        words = ["WORKLOAD" if w in WORKLOADS else w for w in measured["command"].split(" ")]
        words = [w for i, w in enumerate(words) if words[i - 1] != "WORKLOAD" or w != "WORKLOAD"]
        result = {**measured, "command": " ".join(words)}
        key = json.dumps([result[fact] for fact in SHARED_FACTS])
        found.setdefault(key, ([], result))[0].append(name)
    return list(found.values())


def write(
    workload: Workload,
    values: dict[str, dict[str, list[float]]],
    left_out: dict[str, str],
    circumstances: dict[str, Any],
    folder: Path = RESULTS,
) -> dict[str, Any]:
    """Keep one workload's results; returns what was written."""
    result = {
        "workload": workload.name,
        "title": workload.title,
        **circumstances,
        "left out": left_out,
        "goals": goals_of(workload.name, values),
        "figures": {
            figure: {
                name: {k: float(f"{v:.5g}") for k, v in spread(runs).items()}
                | {"runs": [float(f"{v:.5g}") for v in runs]}
                for name, runs in by_framework.items()
            }
            for figure, by_framework in values.items()
        },
    }
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(result, indent=1, ensure_ascii=False)
    (folder / f"{workload.name}.json").write_text(text + "\n", encoding="utf-8")
    return result


def read_all(folder: Path = RESULTS) -> dict[str, dict[str, Any]]:
    """The results that are kept, by workload, in the order of the workloads."""
    paths = {name: folder / f"{name}.json" for name in WORKLOADS}
    return {
        name: json.loads(path.read_text(encoding="utf-8"))
        for name, path in paths.items()
        if path.exists()
    }
