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
from benchmarks.workloads import GOALS, Workload

__all__ = ["RESULTS", "describe", "goals_of", "read_all", "spread", "write"]

RESULTS = Path(__file__).parent / "results"


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
    units = [n for n in ("avx2", "avx512f", "amx_tile") if n in facts.get("flags", "").split()]
    return f"{facts.get('model name', platform.machine())} ({', '.join(units)})"


def _version(package: str) -> str:
    for name in (package, f"{package}-cpu"):
        try:
            return metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return "not installed"


def goals_of(workload: str, values: dict[str, dict[str, list[float]]]) -> list[dict[str, Any]]:
    """Each goal of a workload with the share that was measured."""
    found = []
    for goal in GOALS:
        medians = {k: statistics.median(v) for k, v in values.get(goal.figure, {}).items()}
        peers = {name: medians[name] for name in goal.peers if name in medians}
        if goal.workload != workload or not peers or "nacre" not in medians:
            continue
        best = min(peers, key=lambda name: peers[name])
        share = medians["nacre"] / peers[best]
        found.append(
            {
                "figure": goal.figure,
                "peers": list(goal.peers),
                "best peer": best,
                "share": round(share, 4),
                "at most": goal.share,
                "reached": share <= goal.share,
            }
        )
    return found


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
    """The results that are kept, by workload."""
    return {
        path.stem: json.loads(path.read_text(encoding="utf-8"))
        for path in sorted(folder.glob("*.json"))
    }
