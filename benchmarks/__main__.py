"""Measure Nacre beside its peers: ``python -m benchmarks [WORKLOAD ...]``.

Each framework runs in a process of its own, with the same data, batch size, optimizer, precision
and threads; the processes take turns. Figures are medians. Results go to ``benchmarks/results``,
from which a page with plots and the README's table are drawn.
"""

from __future__ import annotations

import argparse
import shlex
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks import data, page, readme, results
from benchmarks.frameworks import FRAMEWORKS
from benchmarks.results import in_words
from benchmarks.runner import THREADS, measure
from benchmarks.workloads import WORKLOADS


def parsed(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("workloads", nargs="*", metavar="WORKLOAD", help=", ".join(WORKLOADS))
    parser.add_argument("--only", help="frameworks to run, separated by commas")
    parser.add_argument("--rounds", type=int, help="measurements of each framework")
    parser.add_argument(
        "--quick", action="store_true", help="two rounds of little data: to see whether it runs"
    )
    parser.add_argument("--output", type=Path, help="folder for the results")
    options = parser.parse_args(arguments)
    for name in options.workloads:
        if name not in WORKLOADS:
            parser.error(f"no workload {name!r}; there are {', '.join(WORKLOADS)}")
    return options


def settings_of(workload: Any, quick: bool) -> dict[str, Any]:
    if not quick:
        return {}
    examples = min(workload.examples or 3840, 3840)
    return {"examples": examples, "epochs": min(workload.epochs, 20)}


def show(result: dict[str, Any]) -> None:
    """The table of one workload."""
    print(f"\n{result['title']}")
    for figure, by_framework in result["figures"].items():
        ours = by_framework.get("nacre", {}).get("median")
        print(f"  {figure:40}{'median':>10}{'min':>10}{'max':>10}{'nacre/it':>10}")
        for name, row in by_framework.items():
            ratio = f"{ours / row['median']:10.3f}" if ours is not None else ""
            columns = "".join(f"{row[key]:10.4g}" for key in ("median", "min", "max"))
            print(f"    {FRAMEWORKS[name].label:38}{columns}{ratio}")
    for name, why in result["left out"].items():
        print(f"  left out: {FRAMEWORKS[name].label}: {why}")
    for goal in result["goals"]:
        print(f"  {in_words(goal)}")
    sys.stdout.flush()


def main(arguments: list[str] | None = None) -> None:
    options = parsed(sys.argv[1:] if arguments is None else arguments)
    only = options.only.split(",") if options.only else list(FRAMEWORKS)
    output = options.output.resolve() if options.output else None
    if output is None:
        output = Path(tempfile.mkdtemp()) if options.quick or options.only else results.RESULTS
    circumstances = results.describe(THREADS)
    command = shlex.join(["python", "-m", "benchmarks", *(arguments or sys.argv[1:])])
    with tempfile.TemporaryDirectory() as folder:
        source = data.prepare(Path(folder))
        for name in options.workloads or WORKLOADS:
            workload = WORKLOADS[name]
            frameworks = [f for f in workload.frameworks if f in only]
            rounds = options.rounds or (2 if options.quick else workload.rounds)
            settings = settings_of(workload, options.quick)
            print(f"{name}: {', '.join(frameworks)}", file=sys.stderr)
            began = time.perf_counter()
            values, left_out = measure(workload, frameworks, Path(folder), rounds, settings)
            facts = circumstances | {
                "command": command,
                "digits": source,
                "rounds": rounds,
                "seconds": round(time.perf_counter() - began),
            }
            show(results.write(workload, values, left_out, facts, output))
    page.write(output)
    if output == results.RESULTS:
        readme.write()
    print(f"\nResults: {output}, drawn in index.html")


if __name__ == "__main__":
    main()
