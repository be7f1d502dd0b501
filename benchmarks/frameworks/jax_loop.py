"""JAX and Optax by hand: an epoch is one jitted scan that shuffles and keeps loss and accuracy.

With ``BENCHMARK_STEPS`` each step is a jitted call of its own, XLA's convolutions being as slow as
they are inside a loop.
"""

from __future__ import annotations

import os
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax

from benchmarks.workloads import Workload

ACTIVATIONS = {"relu": jax.nn.relu, "softmax": lambda x: x}  # the softmax is the loss's


def prepared(x: np.ndarray, labels: np.ndarray, classes: int) -> Any:
    return jax.device_put(x), jax.device_put(labels)


def initial_weights(layers: Any, shape: tuple[int, ...]) -> list[Any]:
    random = np.random.default_rng(0)
    weights: list[Any] = []

    def drawn(*shape: int) -> np.ndarray:
        scale = np.sqrt(6 / (np.prod(shape[:-1]) + shape[-1]))
        return random.uniform(-scale, scale, shape).astype(np.float32)

    for layer in layers:
        match layer:
            case "dense", units, _:
                weights.append((drawn(shape[-1], units), np.zeros(units, np.float32)))
                shape = (units,)
            case "conv", filters, width, _:
                kernel = drawn(width, width, shape[-1], filters)
                weights.append((kernel, np.zeros(filters, np.float32)))
                shape = (shape[0] - width + 1, shape[1] - width + 1, filters)
            case "pool", width:
                weights.append(())
                shape = (shape[0] // width, shape[1] // width, shape[2])
            case "lstm", units:
                kernels = drawn(shape[-1], 4 * units), drawn(units, 4 * units)
                weights.append((*kernels, np.zeros(4 * units, np.float32)))
                shape = (units,)
            case _:
                weights.append(())
                shape = (int(np.prod(shape)),)
    return weights


def lstm(x: jax.Array, kernel: jax.Array, recurrent: jax.Array, bias: jax.Array) -> jax.Array:
    inputs = jnp.swapaxes(x @ kernel + bias, 0, 1)  # (T, B, 4U)

    def step(carry: Any, z: jax.Array) -> Any:
        h, c = carry
        i, f, g, o = jnp.split(z + h @ recurrent, 4, -1)
        c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
        return (jax.nn.sigmoid(o) * jnp.tanh(c), c), None

    zeros = jnp.zeros((x.shape[0], recurrent.shape[0]), x.dtype)
    return lax.scan(step, (zeros, zeros), inputs)[0][0]


def logits(layers: Any, weights: list[Any], x: jax.Array) -> jax.Array:
    for layer, own in zip(layers, weights):
        match layer:
            case "dense", _, activation:
                x = ACTIVATIONS[activation](x @ own[0] + own[1])
            case "conv", _, _, activation:
                axes = ("NHWC", "HWIO", "NHWC")
                x = lax.conv_general_dilated(x, own[0], (1, 1), "VALID", dimension_numbers=axes)
                x = ACTIVATIONS[activation](x + own[1])
            case "pool", width:
                window = (1, width, width, 1)
                x = lax.reduce_window(x, -jnp.inf, lax.max, window, window, "VALID")
            case "lstm", _:
                x = lstm(x, *own)
            case _:
                x = x.reshape(len(x), -1)
    return x


class Network:
    def __init__(self, workload: Workload, input_shape: tuple[int, ...]) -> None:
        self.size = workload.batch_size
        self.layers = workload.layers
        rate, epsilon = 1e-3, 1e-7
        self.optimizer = (
            optax.adam(rate, eps=epsilon)
            if workload.optimizer == "adam"
            else optax.rmsprop(rate, decay=0.9, eps=epsilon)
        )
        weights = jax.tree.map(jnp.asarray, initial_weights(self.layers, input_shape))
        self.carry = (weights, self.optimizer.init(weights), jnp.zeros(()), jnp.zeros(()))
        self.key = jax.random.key(0)
        self.by_steps = "BENCHMARK_STEPS" in os.environ
        self._epoch = jax.jit(self.epoch, donate_argnums=0)
        self._step = jax.jit(self.step, donate_argnums=0)
        self._order = jax.jit(partial(jax.random.permutation), static_argnums=1)
        self._right = jax.jit(lambda w, x, y: jnp.sum(self.predicted(w, x) == y))
        self._outputs = jax.jit(lambda w, x: jax.nn.softmax(logits(self.layers, w, x)))

    def predicted(self, weights: Any, x: jax.Array) -> jax.Array:
        return logits(self.layers, weights, x).argmax(-1)

    def step(self, carry: Any, x: jax.Array, y: jax.Array, rows: jax.Array) -> Any:
        weights, slots, total, right = carry
        inputs, labels = x[rows], y[rows]

        def loss_of(weights: Any) -> Any:
            out = logits(self.layers, weights, inputs)
            losses = optax.softmax_cross_entropy_with_integer_labels(out, labels)
            return losses.mean(), out

        (loss, out), gradients = jax.value_and_grad(loss_of, has_aux=True)(weights)
        updates, slots = self.optimizer.update(gradients, slots, weights)
        weights = optax.apply_updates(weights, updates)
        right += jnp.sum(out.argmax(-1) == labels)
        return weights, slots, total + loss * len(rows), right

    def epoch(self, carry: Any, key: jax.Array, x: jax.Array, y: jax.Array) -> Any:
        order = jax.random.permutation(key, len(x))
        full = len(x) // self.size * self.size
        carry = (*carry[:2], jnp.zeros(()), jnp.zeros(()))
        rows = order[:full].reshape(-1, self.size)
        carry, _ = lax.scan(lambda c, r: (self.step(c, x, y, r), None), carry, rows)
        return self.step(carry, x, y, order[full:]) if full < len(x) else carry

    def fit(self, x: Any, y: Any, epochs: int, callback: bool = False) -> None:
        for epoch in range(epochs):
            self.key, key = jax.random.split(self.key)
            if self.by_steps:
                self._epoch_by_steps(key, x, y)
            else:
                self.carry = self._epoch(self.carry, key, x, y)
            self.history = float(self.carry[2]) / len(x), float(self.carry[3]) / len(x)
            if callback:
                self.on_epoch_end(epoch)

    def _epoch_by_steps(self, key: jax.Array, x: jax.Array, y: jax.Array) -> None:
        order = np.asarray(self._order(key, len(x)))
        self.carry = (*self.carry[:2], jnp.zeros(()), jnp.zeros(()))
        for start in range(0, len(x), self.size):
            self.carry = self._step(self.carry, x, y, order[start : start + self.size])

    def on_epoch_end(self, epoch: int) -> None:
        pass

    def evaluate(self, x: Any, y: Any) -> float:
        starts = range(0, len(x), self.size)
        slices = [slice(start, start + self.size) for start in starts]
        return float(sum(self._right(self.carry[0], x[s], y[s]) for s in slices)) / len(x)

    def predict(self, x: Any, batch_size: int) -> np.ndarray:
        weights = self.carry[0]
        if len(x) <= batch_size:
            return np.asarray(self._outputs(weights, x))
        starts = range(0, len(x), batch_size)
        return np.concatenate([self._outputs(weights, x[s : s + batch_size]) for s in starts])
