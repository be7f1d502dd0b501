"""How figures are taken, inside a framework's own process."""

from __future__ import annotations

import gc
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
    if package != "nacre":
        yield {"s to import": seconds(lambda: importlib.import_module(package))}
        return
    below = seconds(lambda: importlib.import_module("jax"))
    own = seconds(lambda: importlib.import_module(package))
    yield {"s to import": below + own, "s to import, JAX being there": own}


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


def streamed_memory(workload: Workload, framework: str, folder: Path) -> Iterator[Figures]:
    """What a run over a file ten times the budget holds beyond the process at rest before it.

    A run over a few windows goes first, so that what is compiled for it is there already.
    """
    module = framework_module(framework)
    budget: Any = importlib.import_module("nacre.data.budget")
    x, labels = data.load(workload.data, folder, workload.examples)["train"]
    y = module.prepared(x, labels, classes_of(workload))[1]
    budget.set_data_budget(x.nbytes // 10)
    window = budget.chunk_size()
    network = module.Network(workload, x.shape[1:])
    rows = 3 * window // x[:1].nbytes
    network.fit(x[:rows], y[:rows], 1)
    gc.collect()
    forget_peak_memory()
    before = peak_memory()
    network.fit(x, y, workload.epochs)
    more = peak_memory() - before
    allowed = (budget.data_budget() + 2 * window) / 2**20
    yield {
        "MiB more than at rest": more,
        "share of the budget and two windows": more / allowed,
        "MiB at the peak": peak_memory(),
    }


def forget_peak_memory() -> None:
    """Let the peak begin anew, from what the process holds now."""
    Path("/proc/self/clear_refs").write_text("5")


def peak_memory() -> float:
    """The most memory this process has held, in MiB; unlike rusage's, not the parent's too."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError("/proc/self/status does not tell the peak of memory")


MEASURES: dict[str, Callable[..., Iterator[Figures]]] = {
    function.__name__: function
    for function in (
        steps,
        steps_and_callback,
        cold_start,
        importing,
        prediction,
        depth,
        streamed_memory,
    )
}
