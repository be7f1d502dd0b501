"""The parent of all processes: who runs when, and what becomes of the answers."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import tempfile
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

from benchmarks.frameworks import FRAMEWORKS
from benchmarks.workloads import Workload

__all__ = ["THREADS", "Process", "measure"]

THREADS = 2
PATIENCE = 180  # seconds that a measurement may take

Values = dict[str, dict[str, list[float]]]  # by figure, then by framework


def environment(framework: str, cache: str | None) -> dict[str, str]:
    """The variables of a process: the same threads for all, and no cache unless given one."""
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("JAX_", "XLA_", "KERAS_", "TF_", "TORCH", "OMP_", "MKL_", "NACRE_"))
        and name != "PYTHONDONTWRITEBYTECODE"  # else Nacre would be parsed anew at each start
    }
    count = str(THREADS)
    pools = ("OMP", "MKL", "TF_NUM_INTRAOP", "TF_NUM_INTEROP")
    names = [f"{pool}_THREADS" if "NUM" in pool else f"{pool}_NUM_THREADS" for pool in pools]
    threads = dict.fromkeys(names, count)
    caches = {}
    if cache is not None:
        caches = {
            "JAX_COMPILATION_CACHE_DIR": cache,
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
            "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
        }
    quiet = {"TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONWARNINGS": "ignore", "JAX_PLATFORMS": "cpu"}
    return inherited | threads | caches | quiet | FRAMEWORKS[framework].environment


class Process:
    """A framework at work on a workload, which answers one question at a time."""

    def __init__(
        self,
        workload: Workload,
        framework: str,
        folder: Path,
        settings: dict[str, Any],
        cache: str | None = None,
    ) -> None:
        self.scratch = tempfile.TemporaryDirectory()
        variables = environment(framework, cache)
        # Inductor keeps what it compiled; every run is to find that empty, like everyone's.
        variables["TORCHINDUCTOR_CACHE_DIR"] = self.scratch.name
        cores = sorted(os.sched_getaffinity(0))[:THREADS]
        command = [sys.executable, "-m", "benchmarks.worker"]
        self.process = subprocess.Popen(
            [*command, workload.name, framework, str(folder), json.dumps(settings)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=None if "BENCHMARK_DEBUG" in os.environ else subprocess.DEVNULL,
            text=True,
            env=variables,
            preexec_fn=lambda: os.sched_setaffinity(0, cores),
        )

    def ask(self) -> dict[str, Any]:
        """One measurement."""
        assert self.process.stdin is not None and self.process.stdout is not None
        with suppress(BrokenPipeError):
            self.process.stdin.write("\n")
            self.process.stdin.flush()
        if not select.select([self.process.stdout], [], [], PATIENCE)[0]:
            self.process.kill()
            return {"error": f"a measurement took more than {PATIENCE} s"}
        line = self.process.stdout.readline()
        if not line:
            return {"error": f"the process ended with status {self.process.wait()}"}
        return json.loads(line)

    def close(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        try:
            self.process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.scratch.cleanup()


def measure(
    workload: Workload, frameworks: list[str], folder: Path, rounds: int, settings: dict[str, Any]
) -> tuple[Values, dict[str, str]]:
    """All rounds of a workload: the figures, and why a framework was left out."""
    values: Values = {}
    left_out: dict[str, str] = {}
    with ExitStack() as stack:
        cache = None
        if workload.name == "warm_cache":
            cache = stack.enter_context(tempfile.TemporaryDirectory())

        def started(framework: str) -> Process:
            process = Process(workload, framework, folder, settings, cache)
            stack.callback(process.close)
            return process

        warm = {} if workload.fresh else {name: started(name) for name in frameworks}
        fills = 1 if cache is not None else 0
        for turn in range(-fills, rounds):
            for framework in frameworks:
                if framework in left_out:
                    continue
                process = warm[framework] if not workload.fresh else started(framework)
                answer = process.ask()
                if workload.fresh:
                    process.close()
                if "error" in answer:
                    left_out[framework] = answer["error"]
                elif turn >= 0:
                    for figure, value in answer.items():
                        values.setdefault(figure, {}).setdefault(framework, []).append(value)
            print(f"  round {turn + 1} of {rounds}", file=sys.stderr, flush=True)
    return values, left_out
