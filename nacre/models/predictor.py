"""Prediction: the outputs for many inputs, or for one as fast as a bare compiled call."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from nacre.core.layer import structure_version, variables_of
from nacre.core.lift import lift
from nacre.data.arrays import Examples
from nacre.training.callbacks import CallbackList

if TYPE_CHECKING:
    from nacre.models.model import Model

__all__ = ["Predictor"]

# Small batches are computed so many to a call: a call for each would take as long as its work.
GROUP = 16
LARGEST_IN_GROUP = 2**20  # bytes of a batch


class Predictor:
    """A model's compiled forward pass, as long as the model's structure stays the same.

    Args:
        model: a model that has its weights.
        key: the random key of every call.
    """

    def __init__(self, model: Model, key: jax.Array) -> None:
        apply = lift(model).apply
        variables = variables_of(model)
        self._model = model
        self._version = structure_version()
        self._key = key
        self._params = [(path, v) for path, v in variables.items() if not v.is_state]
        self._state = [(path, v) for path, v in variables.items() if v.is_state]
        self._outputs = lambda params, state, x, key: apply(params, state, x, key=key)[0]
        self._apply = jax.jit(self._outputs)
        self._apply_to_group = jax.jit(self._group)
        self._seen: set[Any] = set()

    @property
    def holds(self) -> bool:
        """Whether no layer has been added, removed, frozen or freed since."""
        return self._version == structure_version()

    def knows(self, x: Any) -> bool:
        """Whether ``x`` is an array like one that has been checked and compiled for."""
        return type(x) is np.ndarray and (x.shape, x.dtype) in self._seen

    def compute(self, x: Any) -> Any:
        """The outputs on the device for a batch of checked inputs."""
        return self._apply(*self._weights(), x, self._key)

    def _weights(self) -> list[dict[str, jax.Array]]:
        both = self._params, self._state
        return [{path: variable.concrete() for path, variable in some} for some in both]

    def remember(self, x: Any) -> None:
        """Note that arrays like ``x`` have been checked and compiled for."""
        if type(x) is np.ndarray:
            self._seen.add((x.shape, x.dtype))

    def __call__(self, batches: Iterable[Any], callbacks: CallbackList) -> Any:
        """The outputs for all batches of inputs, as NumPy arrays."""
        parts = []
        for i, batch in enumerate(batches):
            callbacks.on_predict_batch_begin(i, {})
            parts.append(self.compute(batch))
            if callbacks.needs_predict_batches:
                callbacks.on_predict_batch_end(i, {"outputs": parts[-1]})
        return _joined(parts)

    def in_groups(self, examples: Examples, size: int, count: int) -> Any:
        """The outputs for ``count`` batches of ``size``, as NumPy arrays."""
        x, full = examples.arrays["x"], min(count, examples.count // size)
        bytes_of_batch = sum(a.nbytes for a in jax.tree.leaves(x)) // examples.count * size
        if full < GROUP or bytes_of_batch > LARGEST_IN_GROUP:
            return _joined([self.compute(batch) for batch in examples.inputs(size, count)])
        parts, weights = [], self._weights()
        for done in range(0, full, GROUP):
            # The last group begins among what is done, which it passes over.
            start = min(done, full - GROUP)
            rows = _rows(x, slice(start * size, (start + GROUP) * size))
            group = jax.tree.map(lambda a: a.reshape(GROUP, size, *a.shape[1:]), rows)
            passed = done - start
            outputs = self._apply_to_group(*weights, group, self._key, np.int32(passed))
            parts.append((outputs, passed))
        joined = [_after(passed, outputs) for outputs, passed in parts]
        if full < count:
            joined.append(self.compute(_rows(x, slice(full * size, None))))
        return _joined(joined)

    def _group(self, params: Any, state: Any, group: Any, key: jax.Array, first: jax.Array) -> Any:
        """The outputs for the batches of a group, from ``first`` on; zeros before."""

        def outputs_of(i: Any) -> Any:
            return self._outputs(params, state, jax.tree.map(lambda a: a[i], group), key)

        def put(i: jax.Array, outputs: Any) -> Any:
            new = outputs_of(i)
            return jax.tree.map(
                lambda a, b: lax.dynamic_update_index_in_dim(a, b, i, 0), outputs, new
            )

        empty = jax.tree.map(
            lambda a: jnp.zeros((GROUP, *a.shape), a.dtype), jax.eval_shape(outputs_of, 0)
        )
        return lax.fori_loop(first, GROUP, put, empty)


def _rows(x: Any, rows: slice) -> Any:
    return jax.tree.map(lambda a: a[rows], x)


def _after(passed: int, outputs: Any) -> Any:
    """The outputs for a group without its first batches, one after the other."""
    return jax.tree.map(lambda a: np.concatenate(np.asarray(a)[passed:]), outputs)


def _joined(parts: list[Any]) -> Any:
    return jax.tree.map(lambda *leaves: np.concatenate(leaves), *parts)
