"""The roofline of this machine with the workloads on it: ``python -m benchmarks.roofline``.

What bounds a program: arithmetic, or the memory? The machine's peak (GFLOP/s) is that of products
of matrices in the cache, its bandwidth (GB/s) that of ``a += s b`` with arrays much larger than the
caches, on all threads; both are medians. The point of a workload is made of three numbers for a
training step:

- *Seconds*: the median in ``benchmarks/results``. Workloads without a result are left out, and so
  are those measured on another processor.
- *Operations*: those of the forward pass (``summary()``) for each example, times the batch, times
  3: forward, the gradient in the inputs, the gradient in the weights. That is an upper bound, as
  nobody computes the first layer's gradient in its inputs, and as convolutions with windows of
  3 x 3 may make do with fewer multiplications: a point may lie above the level line too.
- *Bytes*: what the operations of the compiled step read and write. XLA's count leaves out what it
  does not know, the native kernels: their operands and results are added here. Not in it are
  temporaries inside a kernel and the gathering of the batch. Bytes that stay in the cache from one
  operation to the next are in it, so a point may lie above what memory alone allows.

It prints the table of these numbers and draws ``docs/roofline.svg``.
"""

from __future__ import annotations

import math
import os
import re
import statistics
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import jax
import torch

from benchmarks import data, measures, operations
from benchmarks.plots import number
from benchmarks.results import describe, read_all
from benchmarks.roofline_plot import Point, Roof, draw
from benchmarks.workloads import WORKLOADS, Workload
from nacre.kernels import selection
from nacre.models.summary import summarise
from nacre.training.program import Program

__all__ = ["kernel_bytes", "main"]

DRAWING = Path(__file__).parents[1] / "docs" / "roofline.svg"
SHOWN = ("mlp", "convnet", "lstm", "lstm_wide", "gru", "separable", "resnet18", "vgg16")
LARGE = 2**27  # numbers of float32: two arrays of 512 MiB, larger than any cache
REPEATS = 9
WIDTHS = {"pred": 1, "s8": 1, "u8": 1, "bf16": 2, "f16": 2, "s64": 8, "u64": 8, "f64": 8}


def measured_roof() -> Roof:
    """This machine's operations and bytes a second."""
    a, b = torch.zeros(LARGE), torch.ones(LARGE)
    runs = [operations.seconds(lambda: a.add_(b, alpha=0.5), 1) for _ in range(REPEATS)]
    peak = statistics.median(operations.peak() for _ in range(REPEATS))
    return Roof(peak * 1e9, 3 * 4 * LARGE / statistics.median(runs))


class Compiled(Exception):
    """Carries a compiled step out of the ``fit`` that would have run it."""


def step_of(workload: Workload, folder: Path) -> tuple[int, Any]:
    """The operations of a training step, and the step as XLA has compiled it for one batch."""
    one_batch = replace(workload, examples=workload.batch_size)
    network, x, y = measures.built(one_batch, "nacre", folder)

    def compile_only(program: Any, carry: Any, constants: Any, batch: Any, *_: Any) -> None:
        step = jax.jit(program._step, donate_argnums=0)  # so that weights change in place
        raise Compiled(step.lower(carry, batch, constants).compile())

    with mock.patch.object(Program, "__call__", compile_only):
        try:
            network.fit(x, y, 1)
        except Compiled as found:
            (compiled,) = found.args
    cost = summarise(network.model).cost
    if cost is None or cost.uncounted:
        raise ValueError(f"the operations of {workload.name} cannot be counted: {cost}")
    return 3 * workload.batch_size * cost.operations, compiled


def kernel_bytes(program: str) -> int:
    """The bytes of the operands and results of all calls of native kernels.

    Args:
        program: the text of a compiled program.
    """
    shapes, total = {}, 0
    for line in program.splitlines():
        if found := re.match(r"\s+(?:ROOT )?%?([\w.-]+) = (.*?) ([\w-]+)\((.*?)\)", line):
            name, shapes[name], operation, operands = found.groups()
            if operation == "custom-call":
                named = re.findall(r"%([\w.-]+)", operands)
                total += sum(_size(shape) for shape in (shapes[name], *(shapes[n] for n in named)))
    return total


def _size(shape: str) -> int:
    """The bytes of a shape as XLA writes it, or of a tuple of them."""
    return sum(
        WIDTHS.get(kind, 4) * math.prod(int(length) for length in lengths.split(",") if length)
        for kind, lengths in re.findall(r"\b([a-z]+\d*)\[([\d,]*)\]", shape)
    )


def point(workload: Workload, result: dict[str, Any], folder: Path) -> Point:
    operations, compiled = step_of(workload, folder)
    others = compiled.cost_analysis()["bytes accessed"]
    moved = others + kernel_bytes(compiled.as_text())
    milliseconds = result["figures"]["ms a step"]["nacre"]["median"]
    return Point(workload.name, operations, moved, milliseconds / 1e3)


def points_of(kept: dict[str, dict[str, Any]], processor: str, folder: Path) -> list[Point]:
    """A point for each workload that has a result from this processor; says which have none."""
    found = []
    for name in SHOWN:
        if name not in kept:
            print(f"{name} is left out: it has not been measured")
        elif kept[name]["processor"] != processor:
            print(f"{name} is left out: it was measured on {kept[name]['processor']}")
        else:
            found.append(point(WORKLOADS[name], kept[name], folder))
    return found


def show(roof: Roof, points: list[Point]) -> None:
    """Print the numbers that are drawn."""
    columns = ("ms a step", "GFLOP", "MB", "FLOP/byte", "GFLOP/s", "of roof")
    print(f"{'':12}" + "".join(f"{column:>11}" for column in columns) + "  bound by")
    for point in points:
        figures = (
            point.seconds * 1e3, point.operations / 1e9, point.bytes / 1e6,
            point.intensity, point.rate / 1e9,
        )  # fmt: skip
        share = point.rate / roof.at(point.intensity)
        bound = "memory" if point.intensity < roof.ridge else "arithmetic"
        print(
            f"{point.name:12}" + "".join(f"{number(figure):>11}" for figure in figures)
            + f"{share:>11.0%}  {bound}"
        )  # fmt: skip


def main() -> None:
    if selection.in_use()["name"] != "native":
        sys.exit("The native kernels are not in use (see `nacre info`): there is nothing to place.")
    os.environ["BENCHMARK_API"] = "nacre"  # what `measures.built` builds with
    machine = describe(torch.get_num_threads())
    roof = measured_roof()
    print(
        f"{machine['processor']}, {machine['cores']} threads: {number(roof.operations / 1e9)} "
        f"GFLOP/s, {number(roof.bytes / 1e9)} GB/s, the ridge at {number(roof.ridge)} FLOP/byte"
    )
    with tempfile.TemporaryDirectory() as folder:
        data.prepare(Path(folder))
        points = points_of(read_all(), machine["processor"], Path(folder))
    show(roof, points)
    if above := [point.name for point in points if point.rate > roof.operations]:
        print(f"above the peak: {', '.join(above)}. The machine is busy: draw again when it is not")
    subtitle = (
        f"{machine['processor']}, {machine['cores']} threads, {machine['date']}; "
        f"load before: {machine['load before']}"
    )
    drawing = draw(roof, points, "A step of training under this machine's roofline", subtitle)
    DRAWING.write_text(drawing, encoding="utf-8")
    print(DRAWING.relative_to(Path.cwd()) if DRAWING.is_relative_to(Path.cwd()) else DRAWING)


if __name__ == "__main__":
    main()
