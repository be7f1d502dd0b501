"""Prediction: the outputs for many inputs, or for one as fast as a bare compiled call."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from nacre.core.layer import structure_version, variables_of
from nacre.core.lift import lift
from nacre.training.callbacks import CallbackList

if TYPE_CHECKING:
    from nacre.models.model import Model

__all__ = ["Predictor"]


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
        self._apply = jax.jit(lambda params, state, x, key: apply(params, state, x, key=key)[0])
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
        params = {path: variable.concrete() for path, variable in self._params}
        state = {path: variable.concrete() for path, variable in self._state}
        return self._apply(params, state, x, self._key)

    def remember(self, x: Any) -> None:
        """Note that arrays like ``x`` have been checked and compiled for."""
        if type(x) is np.ndarray:
            self._seen.add((x.shape, x.dtype))

    def __call__(self, batches: Iterable[Any], callbacks: CallbackList) -> Any:
        """The outputs for all batches of inputs, as NumPy arrays."""
        parts = []
        callbacks.on_predict_begin({})
        for i, batch in enumerate(batches):
            callbacks.on_predict_batch_begin(i, {})
            parts.append(self.compute(batch))
            if callbacks.needs_predict_batches:
                callbacks.on_predict_batch_end(i, {"outputs": parts[-1]})
        callbacks.on_predict_end({})
        return jax.tree.map(lambda *leaves: np.concatenate(leaves), *parts)
