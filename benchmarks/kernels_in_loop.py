"""Convolution, pooling and recurrence inside a compiled loop: Nacre's kernels beside XLA's own.

    python benchmarks/kernels_in_loop.py [convolution | pooling | recurrent] [--repeats 5]

Every row is one shape and one pass (forward, gradient of the input, gradient of the kernel). The
columns are milliseconds a call: XLA's own operation called by itself, the same inside a
``while_loop``, and Nacre's kernel by itself and inside the loop; then how many times faster the
kernel is inside the loop. Runs are interleaved, and each figure is a median. For recurrence, a
training step stands beside Keras on JAX.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

os.environ.setdefault("KERAS_BACKEND", "jax")

import jax
import jax.numpy as jnp
import keras
import numpy as np
from jax import lax

from nacre import kernels

Function = Callable[..., Any]

STEPS = 3

# (image with batch and channels, filters, window, stride, padding, groups)
CONVOLUTIONS = [
    ((128, 28, 28, 1), 32, 3, 1, "valid", 1),  # MNIST
    ((128, 13, 13, 32), 64, 3, 1, "valid", 1),
    ((32, 32, 32, 3), 64, 3, 1, "same", 1),  # ResNet for CIFAR
    ((32, 32, 32, 64), 64, 3, 1, "same", 1),
    ((32, 32, 32, 64), 128, 3, 2, "same", 1),
    ((32, 32, 32, 64), 128, 1, 2, "same", 1),
    ((32, 16, 16, 128), 128, 3, 1, "same", 1),
    ((32, 8, 8, 256), 256, 3, 1, "same", 1),
    ((32, 4, 4, 512), 512, 3, 1, "same", 1),
    ((8, 112, 112, 3), 64, 7, 2, "same", 1),  # the first layer of ResNet for ImageNet
    ((32, 32, 32, 64), 64, 3, 1, "same", 64),  # depthwise
    ((32, 16, 16, 128), 128, 3, 1, "same", 4),  # grouped
    ((32, 200, 64), 64, 5, 1, "same", 1),  # one axis
    ((4, 16, 16, 16, 16), 32, 3, 1, "same", 1),  # three axes
]
# (image with batch and channels, window, stride, padding)
POOLINGS = [
    ((128, 26, 26, 32), 2, 2, "valid"),
    ((128, 11, 11, 64), 2, 2, "valid"),
    ((32, 56, 56, 64), 3, 2, "same"),
]
# (batch, time, features, units)
RECURRENCES = [(64, 50, 32, 64), (32, 100, 128, 256)]


def random(*shape: int) -> jax.Array:
    values = np.random.default_rng(len(shape)).standard_normal(shape) * 0.1
    return jnp.asarray(values, jnp.float32)


def alone(function: Function) -> Function:
    return jax.jit(function)


def in_loop(function: Function) -> Function:
    """The mean of STEPS calls inside a while_loop, each of which depends on the one before."""

    def run(*arrays: jax.Array) -> jax.Array:
        def body(carry: Any) -> Any:
            step, total, arrays = carry
            # Nothing may be hoisted out of the loop or simplified into the sum that follows.
            inputs = jax.tree.map(lambda a: a + total * 0, arrays)
            result = lax.optimization_barrier(function(*inputs))
            total = total + sum(jnp.sum(r * r) for r in jax.tree.leaves(result)) * 1e-9
            return step + 1, total, arrays

        return lax.while_loop(lambda c: c[0] < STEPS, body, (0, jnp.float32(0), arrays))[1]

    return jax.jit(run)


def interleaved(programs: dict[str, tuple[Function, int]], arrays: Any, repeats: int) -> dict:
    """The median milliseconds of one call; each program makes the given number of them."""
    for run, _ in programs.values():
        jax.block_until_ready(run(*arrays))
    times: dict[str, list[float]] = {name: [] for name in programs}
    for _ in range(repeats):
        for name, (run, calls) in programs.items():
            start = time.perf_counter()
            jax.block_until_ready(run(*arrays))
            times[name].append((time.perf_counter() - start) / calls * 1e3)
    return {name: statistics.median(values) for name, values in times.items()}


def compare(label: str, xla: Function, ours: Function, arrays: Any, repeats: int) -> None:
    programs = {
        "xla": (alone(xla), 1),
        "xla in loop": (in_loop(xla), STEPS),
        "nacre": (alone(ours), 1),
        "nacre in loop": (in_loop(ours), STEPS),
    }
    found = interleaved(programs, arrays, repeats)
    ratio = found["xla in loop"] / found["nacre in loop"]
    figures = "".join(f"{value:15.2f}" for value in found.values())
    print(f"{label:46}{figures}{ratio:10.1f}", flush=True)


def heading(columns: Sequence[str]) -> None:
    print(f"\n{'':46}" + "".join(f"{column:>15}" for column in columns) + f"{'faster':>10}")


def xla_convolution(x: jax.Array, kernel: jax.Array, stride: int, padding: str, groups: int) -> Any:
    axes = "DHW"[-(x.ndim - 2) :]
    return lax.conv_general_dilated(
        x,
        kernel,
        (stride,) * (x.ndim - 2),
        padding.upper(),
        dimension_numbers=(f"N{axes}C", f"{axes}IO", f"N{axes}C"),
        feature_group_count=groups,
    )


def convolutions(repeats: int) -> None:
    heading(("xla", "xla in loop", "nacre", "nacre in loop"))
    for shape, filters, width, stride, padding, groups in CONVOLUTIONS:
        x = random(*shape)
        kernel = random(*[width] * (x.ndim - 2), shape[-1] // groups, filters)

        def xla(x: Any, k: Any, at: Any = (stride, padding, groups)) -> Any:
            return xla_convolution(x, k, *at)

        def ours(x: Any, k: Any, at: Any = (stride, padding, groups)) -> Any:
            return kernels.convolution(x, k, strides=at[0], padding=at[1], groups=at[2])

        change = random(*jax.eval_shape(xla, x, kernel).shape)
        label = f"{shape} -> {filters}, {width} / {stride} {padding} {groups if groups > 1 else ''}"
        for name, of in PASSES.items():
            arrays = (x, kernel, change)
            compare(f"{label} {name}", of(xla), of(ours), arrays, repeats)


PASSES: dict[str, Callable[[Function], Function]] = {
    "forward": lambda f: lambda x, k, change: f(x, k),
    "input": lambda f: lambda x, k, change: jax.vjp(lambda x: f(x, k), x)[1](change),
    "kernel": lambda f: lambda x, k, change: jax.vjp(lambda k: f(x, k), k)[1](change),
}


def poolings(repeats: int) -> None:
    heading(("xla", "xla in loop", "nacre", "nacre in loop"))
    for shape, width, stride, padding in POOLINGS:

        def xla(x: Any, at: Any = (width, stride, padding)) -> Any:
            window, steps = (1, at[0], at[0], 1), (1, at[1], at[1], 1)
            return lax.reduce_window(x, -jnp.inf, lax.max, window, steps, at[2].upper())

        def ours(x: Any, at: Any = (width, stride, padding)) -> Any:
            return kernels.max_pool(x, at[0], strides=at[1], padding=at[2])

        def both(f: Function) -> Function:
            return lambda x: jax.value_and_grad(lambda x: jnp.sum(f(x) ** 2))(x)

        label = f"max {shape}, {width} / {stride} {padding}, and gradient"
        compare(label, both(xla), both(ours), (random(*shape),), repeats)


def keras_loss(name: str, units: int, x: jax.Array) -> tuple[Function, Any]:
    layer = getattr(keras.layers, name)(units)
    layer(x)
    state = [v.value for v in layer.non_trainable_variables]
    weights = [v.value for v in layer.trainable_variables]
    return lambda w, x: jnp.mean(layer.stateless_call(w, state, x)[0] ** 2), weights


def recurrences(repeats: int) -> None:
    ours = {"LSTM": kernels.lstm, "GRU": kernels.gru, "SimpleRNN": kernels.simple_rnn}
    heading(("keras in loop", "nacre in loop"))
    for batch, steps, features, units in RECURRENCES:
        x = random(batch, steps, features)
        for name, kernel in ours.items():
            theirs, weights = keras_loss(name, units, x)

            def loss(w: Any, x: Any, kernel: Any = kernel) -> Any:
                return jnp.mean(kernel(x, *w)[1][0] ** 2)

            programs = {
                "keras in loop": (in_loop(jax.grad(theirs)), STEPS),
                "nacre in loop": (in_loop(jax.grad(loss)), STEPS),
            }
            found = interleaved(programs, (weights, x), repeats)
            figures = "".join(f"{value:15.2f}" for value in found.values())
            ratio = found["keras in loop"] / found["nacre in loop"]
            label = f"{name} {units} on ({batch}, {steps}, {features}), training step"
            print(f"{label:46}{figures}{ratio:10.1f}", flush=True)


TABLES = {"convolution": convolutions, "pooling": poolings, "recurrent": recurrences}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("tables", nargs="*", choices=[*TABLES, []], default=list(TABLES))
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    print(f"milliseconds a call, medians of {options.repeats}, jax {jax.__version__}")
    for table in options.tables or list(TABLES):
        TABLES[table](options.repeats)


if __name__ == "__main__":
    main()
