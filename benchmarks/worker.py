"""A framework's process: ``python -m benchmarks.worker WORKLOAD FRAMEWORK FOLDER SETTINGS``.

It answers each line on its input with a line of JSON: figures, or an error.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import replace
from pathlib import Path

from benchmarks.measures import MEASURES
from benchmarks.workloads import WORKLOADS


def main() -> None:
    workload_name, framework, folder, settings = sys.argv[1:]
    # Libraries print to the standard output as they please; only answers may go to the runner.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    workload = replace(WORKLOADS[workload_name], **json.loads(settings))
    figures = MEASURES[workload.measure](workload, framework, Path(folder))
    for _ in sys.stdin:
        try:
            answer = next(figures)
        except Exception as error:
            answer = {"error": f"{type(error).__name__}: {error}".split("\n")[0]}
        print(json.dumps(answer), file=answers, flush=True)
        if "error" in answer:
            return


if __name__ == "__main__":
    main()
