"""Convolutions one by one: Nacre's native kernels beside PyTorch's, on this machine's CPU.

    python -m benchmarks.operations [pattern ...] [--repeats 7] [--threads 2] [--dtype bfloat16]

Every row is one layer and one pass (forward, gradient of the input, gradient of the kernel). The
columns are milliseconds a call of each, Nacre's GFLOP/s, their share of the peak that a float32
product of matrices in the cache reaches here, and Nacre's time over PyTorch's (below 1: Nacre is
faster).
Operations are those of windows one by one, so what makes do with fewer can exceed the peak.
PyTorch runs eagerly on channels_last tensors. The two take turns, and each figure is a median.

On a machine that is busy with other things, compare the processor time of one thread instead::

    NACRE_THREADS=1 python -m benchmarks.operations --threads 1 --processor-time
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import torch

from nacre.kernels import convolution, linear, selection

Run = Callable[[], Any]

SHORTEST = 0.02  # seconds that one measurement takes at least
SETTLING = 0.02  # seconds of calls before it: so long OpenMP's threads, PyTorch's, wait in a loop
clock = time.perf_counter


class Case(NamedTuple):
    """A convolution of images of (batch, height, width, inputs), or of sequences: height 1."""

    name: str
    batch: int
    height: int
    width: int
    inputs: int
    outputs: int
    window: int
    stride: int = 1
    same: bool = True
    groups: int = 1

    @property
    def windows(self) -> tuple[int, int]:
        return min(self.window, self.height), self.window

    @property
    def padding(self) -> tuple[int, int]:
        down, across = (size // 2 if self.same else 0 for size in self.windows)
        return down, across

    def label(self) -> str:
        image = f"{self.batch}x{self.height}x{self.width}x{self.inputs}"
        window = f"{self.windows[0]}x{self.windows[1]}" + f"/{self.stride}" * (self.stride > 1)
        return f"{self.name:15}{image:>17} -> {self.outputs:<5}{window:6}"


CASES = [
    Case("lenet 1", 128, 28, 28, 1, 32, 3, same=False),
    Case("lenet 2", 128, 13, 13, 32, 64, 3, same=False),
    Case("lenet 5x5 1", 128, 28, 28, 1, 6, 5),
    Case("lenet 5x5 2", 128, 14, 14, 6, 16, 5, same=False),
    Case("vgg 1", 8, 64, 64, 3, 64, 3),
    Case("vgg 2", 8, 64, 64, 64, 64, 3),
    Case("vgg 3", 8, 32, 32, 64, 128, 3),
    Case("vgg 4", 8, 32, 32, 128, 128, 3),
    Case("vgg 6", 8, 16, 16, 256, 256, 3),
    Case("vgg 9", 8, 8, 8, 512, 512, 3),
    Case("vgg 12", 8, 4, 4, 512, 512, 3),
    Case("cifar stem", 32, 32, 32, 3, 64, 3),
    Case("resnet18 1", 32, 32, 32, 64, 64, 3),
    Case("resnet18 2/2", 32, 32, 32, 64, 128, 3, 2),
    Case("resnet18 2", 32, 16, 16, 128, 128, 3),
    Case("resnet18 3/2", 32, 16, 16, 128, 256, 3, 2),
    Case("resnet18 3", 32, 8, 8, 256, 256, 3),
    Case("resnet18 4/2", 32, 8, 8, 256, 512, 3, 2),
    Case("resnet18 4", 32, 4, 4, 512, 512, 3),
    Case("shortcut 2", 32, 32, 32, 64, 128, 1, 2),
    Case("shortcut 4", 32, 8, 8, 256, 512, 1, 2),
    Case("resnet50 stem", 8, 224, 224, 3, 64, 7, 2),
    Case("resnet50 1", 8, 56, 56, 64, 64, 3),
    Case("resnet50 1a", 8, 56, 56, 256, 64, 1),
    Case("resnet50 1c", 8, 56, 56, 64, 256, 1),
    Case("resnet50 2a", 8, 28, 28, 512, 128, 1),
    Case("resnet50 2", 8, 28, 28, 128, 128, 3),
    Case("resnet50 3", 8, 14, 14, 256, 256, 3),
    Case("resnet50 3c", 8, 14, 14, 256, 1024, 1),
    Case("resnet50 4", 8, 7, 7, 512, 512, 3),
    Case("resnet50 4a", 8, 7, 7, 2048, 512, 1),
    Case("mobilenet stem", 8, 128, 128, 3, 32, 3, 2),
    Case("depthwise 1", 8, 112, 112, 32, 32, 3, groups=32),
    Case("depthwise 2/2", 8, 56, 56, 128, 128, 3, 2, groups=128),
    Case("depthwise 3", 8, 28, 28, 256, 256, 3, groups=256),
    Case("depthwise 4", 8, 14, 14, 512, 512, 3, groups=512),
    Case("depthwise 5x5", 8, 14, 14, 480, 480, 5, groups=480),
    Case("resnext 32x4", 8, 56, 56, 128, 128, 3, groups=32),
    Case("grouped 4", 32, 16, 16, 128, 128, 3, groups=4),
    Case("sequence", 32, 1, 200, 64, 64, 5),
    Case("16 channels", 32, 32, 32, 16, 16, 3),
    Case("24 channels", 32, 32, 32, 24, 48, 3),
]


def nacre_passes(case: Case, x: Any, kernel: Any, change: Any) -> dict[str, Run]:
    padding = tuple((n, n) for n in case.padding)
    options: Any = {"strides": case.stride, "padding": padding, "groups": case.groups}

    def convolve(x: Any, kernel: Any) -> Any:
        return convolution(x, kernel, **options)

    forward = jax.jit(convolve)
    to_input = jax.jit(lambda x, k, dy: jax.vjp(lambda x: convolve(x, k), x)[1](dy)[0])
    to_kernel = jax.jit(lambda x, k, dy: jax.vjp(lambda k: convolve(x, k), k)[1](dy)[0])
    return {
        "forward": lambda: forward(x, kernel).block_until_ready(),
        "input": lambda: to_input(x, kernel, change).block_until_ready(),
        "kernel": lambda: to_kernel(x, kernel, change).block_until_ready(),
    }


def torch_passes(case: Case, x: Any, kernel: Any, change: Any) -> dict[str, Run]:
    pair, padding = (case.stride,) * 2, case.padding

    def gradient(*wanted: bool) -> Any:
        return torch.ops.aten.convolution_backward(
            change, x, kernel, None, pair, padding, (1, 1), False, (0, 0), case.groups, wanted
        )

    return {
        "forward": lambda: torch.nn.functional.conv2d(
            x, kernel, None, pair, padding, 1, case.groups
        ),
        "input": lambda: gradient(True, False, False),
        "kernel": lambda: gradient(False, True, False),
    }


def channels_last(array: Any, order: tuple[int, ...], dtype: str) -> torch.Tensor:
    tensor = torch.from_numpy(np.array(array)).permute(order).to(getattr(torch, dtype))
    return tensor.contiguous(memory_format=torch.channels_last)


def seconds(run: Run, calls: int) -> float:
    start = clock()
    for _ in range(calls):
        run()
    return (clock() - start) / calls


def in_turns(runs: list[Run], repeats: int) -> list[float]:
    """The median seconds of a call of each.

    A turn begins with calls that do not count: the other library's threads may still be waiting for
    work in a loop, and its numbers are in the cache.
    """
    calls = []
    for run in runs:
        run()
        calls.append(max(1, int(SHORTEST / max(seconds(run, 1), 1e-6))))

    def turn(run: Run, count: int) -> float:
        settled = time.perf_counter() + SETTLING
        while time.perf_counter() < settled:
            run()
        return seconds(run, count)

    times = [[turn(run, n) for run, n in zip(runs, calls)] for _ in range(repeats)]
    return [statistics.median(column) for column in zip(*times)]


def peak() -> float:
    """GFLOP/s of products of matrices that stay in the cache, by whichever library is best."""
    size = 768
    a = torch.rand(size, size)
    b = jnp.asarray(a.numpy())
    by_xla, by_nacre = jax.jit(lambda b: b @ b), jax.jit(lambda b: linear(b, b))
    runs: list[Run] = [
        lambda: a @ a,
        lambda: by_xla(b).block_until_ready(),
        lambda: by_nacre(b).block_until_ready(),
    ]
    best = min(seconds(run, 3) for _ in range(20) for run in runs)
    return 2 * size**3 / best / 1e9


def measure(case: Case, passes: list[str], dtype: str, best: float, repeats: int) -> list[float]:
    """Print a row for each pass; the ratios."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((case.batch, case.height, case.width, case.inputs), np.float32)
    depth = case.inputs // case.groups
    kernel = rng.standard_normal((*case.windows, depth, case.outputs), np.float32)
    size = [
        (n + 2 * before - window) // case.stride + 1
        for n, before, window in zip(x.shape[1:3], case.padding, case.windows)
    ]
    change = rng.standard_normal((case.batch, *size, case.outputs), np.float32)
    flops = 2 * case.batch * np.prod(size) * np.prod(kernel.shape[:-1]) * case.outputs
    ours = nacre_passes(case, *(jnp.asarray(a, dtype) for a in (x, kernel, change)))
    theirs = torch_passes(
        case,
        channels_last(x, (0, 3, 1, 2), dtype),
        channels_last(kernel, (3, 2, 0, 1), dtype),
        channels_last(change, (0, 3, 1, 2), dtype),
    )
    ratios = []
    for name in passes:
        a, b = in_turns([ours[name], theirs[name]], repeats)
        ratios.append(a / b)
        rate = flops / a / 1e9
        print(
            f"{case.label():47}{name:8}{a * 1e3:9.3f}{b * 1e3:9.3f}{rate:9.1f}{rate / best:9.0%}"
            f"{a / b:9.2f}",
            flush=True,
        )
    return ratios


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("patterns", nargs="*", help="parts of the names of the rows to measure")
    parser.add_argument("--passes", nargs="+", default=["forward", "input", "kernel"])
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--threads", type=int, default=2, help="for PyTorch")
    parser.add_argument("--processor-time", action="store_true")
    parser.add_argument("--dtype", default="float32", choices=["float32", "bfloat16"])
    options = parser.parse_args()
    global clock
    clock = time.process_time if options.processor_time else time.perf_counter
    torch.set_num_threads(options.threads)
    torch.set_grad_enabled(False)
    best = peak()
    print(f"{selection.in_use()}, torch {torch.__version__}, peak {best:.0f} GFLOP/s")
    columns = ("nacre ms", "torch ms", "GFLOP/s", "peak", "ratio")
    print(" " * 55 + "".join(f"{column:>9}" for column in columns))
    ratios = []
    for case in CASES:
        if not options.patterns or any(p in case.label() for p in options.patterns):
            ratios += measure(case, options.passes, options.dtype, best, options.repeats)
    slow = sum(ratio > 1.2 for ratio in ratios)
    median, worst = statistics.median(ratios), max(ratios)
    print(f"{len(ratios)} ratios: median {median:.2f}, worst {worst:.2f}, {slow} above 1.2")


if __name__ == "__main__":
    main()
