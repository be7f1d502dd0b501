"""How figures are taken, inside a framework's own process."""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from benchmarks import data
from benchmarks.frameworks import FRAMEWORKS
from benchmarks.workloads import Workload

__all__ = ["MEASURES"]

Figures = dict[str, float]


def seconds(function: Callable[[], Any]) -> float:
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def framework_module(name: str) -> Any:
    return importlib.import_module(f"benchmarks.frameworks.{FRAMEWORKS[name].module}")


def classes_of(workload: Workload) -> int:
    return workload.layers[-1][1]


def built(workload: Workload, framework: str, folder: Path) -> tuple[Any, Any, Any]:
    """The network and the training examples, as the framework likes them."""
    module = framework_module(framework)
    x, labels = data.load(workload.data, folder, workload.examples)["train"]
    network = module.Network(workload, x.shape[1:])
    return network, *module.prepared(x, labels, classes_of(workload))


def step_count(workload: Workload, examples: int) -> int:
    return -(-examples // workload.batch_size) * workload.epochs


def steps(workload: Workload, framework: str, folder: Path) -> Iterator[Figures]:
    """The time of a step of training, in runs of ``workload.epochs``; the first run warms up."""
    network, x, y = built(workload, framework, folder)
    count = step_count(workload, len(x))
    network.fit(x, y, workload.epochs)
    while True:
        yield {"ms a step": seconds(lambda: network.fit(x, y, workload.epochs)) / count * 1e3}


def steps_and_callback(workload: Workload, framework: str, folder: Path) -> Iterator[Figures]:
    network, x, y = built(workload, framework, folder)
    count = step_count(workload, len(x))
    network.fit(x, y, workload.epochs)
    network.fit(x, y, workload.epochs, callback=True)
    while True:
        plain = seconds(lambda: network.fit(x, y, workload.epochs))
        hooked = seconds(lambda: network.fit(x, y, workload.epochs, callback=True))
        yield {
            "µs a step": plain / count * 1e6,
            "µs a step with on_epoch_end": hooked / count * 1e6,
        }


def cold_start(workload: Workload, framework: str, folder: Path) -> Iterator[Figures]:
    start = time.perf_counter()
    module = framework_module(framework)
    imported = time.perf_counter()
    sets = {
        name: module.prepared(x, labels, classes_of(workload))
        for name, (x, labels) in data.load(workload.data, folder, workload.examples).items()
    }
    x, y = sets["train"]
    input_shape = tuple(x.shape[1:])
    loaded = time.perf_counter()
    network = module.Network(workload, input_shape)
    network.fit(x, y, workload.epochs)
    trained = time.perf_counter()
    accuracy = network.evaluate(*sets["test"])
    end = time.perf_counter()
    yield {
        "s in all": end - start,
        "s to import": imported - start,
        "s to load the data": loaded - imported,
        "s to train": trained - loaded,
        "s to evaluate": end - trained,
        "MiB at the peak": peak_memory(),
        "test accuracy": accuracy,
    }


def importing(workload: Workload, framework: str, folder: Path) -> Iterator[Figures]:
    package = FRAMEWORKS[framework].packages[0]
    yield {"s to import": seconds(lambda: importlib.import_module(package))}


def prediction(workload: Workload, framework: str, folder: Path) -> Iterator[Figures]:
    """One example at a time, then ten thousand in batches."""
    network, x, _ = built(workload, framework, folder)
    one = x[:1]
    size = workload.batch_size
    network.predict(x, size)
    network.predict(one, size)
    # As many calls as take a tenth of a second, so that slow frameworks do not hold up the rest.
    calls = max(3, int(0.1 / seconds(lambda: network.predict(one, size))))
    while True:
        alone = seconds(lambda: [network.predict(one, size) for _ in range(calls)])
        many = seconds(lambda: network.predict(x, size))
        yield {"µs for one example": alone / calls * 1e6, "ms for 10,000 examples": many * 1e3}


def depth(workload: Workload, framework: str, folder: Path) -> Iterator[Figures]:
    """The time to build a deep network, to make its first step, and of each step after that."""
    module = framework_module(framework)
    x, labels = data.load(workload.data, folder, workload.examples)["train"]
    # Building the first network of a process also starts the library; that is not of the depth.
    small = Workload(**{**vars(workload), "layers": workload.layers[-2:]})
    x, y = module.prepared(x, labels, classes_of(workload))
    shape = tuple(x.shape[1:])
    module.Network(small, shape).fit(x[:32], y[:32], 1)
    start = time.perf_counter()
    network = module.Network(workload, shape)
    build = time.perf_counter() - start
    batch = workload.batch_size
    first = seconds(lambda: network.fit(x[:batch], y[:batch], 1))
    network.fit(x, y, workload.epochs)
    run = seconds(lambda: network.fit(x, y, workload.epochs))
    yield {
        "s to build": build,
        "s to the first step": build + first,
        "ms a step": run / step_count(workload, len(x)) * 1e3,
    }


def peak_memory() -> float:
    """The most memory this process has held, in MiB; unlike rusage's, not the parent's too."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError("/proc/self/status does not tell the peak of memory")


MEASURES: dict[str, Callable[..., Iterator[Figures]]] = {
    function.__name__: function
    for function in (steps, steps_and_callback, cold_start, importing, prediction, depth)
}
