"""Layers that only rearrange: no weights, no arithmetic."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from nacre.core.arguments import positive_integer
from nacre.core.errors import ShapeError, explain
from nacre.core.layer import Layer
from nacre.core.registry import register

__all__ = ["Flatten", "Permute", "RepeatVector", "Reshape"]


@register("layer")
class Flatten(Layer):
    """Joins all axes but the batch: ``(batch, a, b, c)`` to ``(batch, a * b * c)``."""

    def call(self, x: jax.Array) -> jax.Array:
        return x.reshape(x.shape[0], math.prod(x.shape[1:]))


@register("layer")
class Reshape(Layer):
    """Gives each example another shape; one size may be -1, to be worked out.

    Args:
        target_shape: the new shape of one example, without the batch.

    Raises:
        ShapeError: the shapes hold different numbers of values.
    """

    def __init__(self, target_shape: Sequence[int], **options: Any) -> None:
        super().__init__(**options)
        self.target_shape = tuple(target_shape)

    def call(self, x: jax.Array) -> jax.Array:
        have, want = math.prod(x.shape[1:]), math.prod(s for s in self.target_shape if s != -1)
        exact = -1 not in self.target_shape
        if (exact and have != want) or (not exact and (want == 0 or have % want)):
            raise ShapeError(
                explain(
                    f"{self._where()} cannot give its input that shape.",
                    expected=f"{self.target_shape}, {want} values for each example"
                    + ("" if exact else " or a multiple"),
                    received=f"{x.shape[1:]}, {have} values for each example",
                )
            )
        return x.reshape(x.shape[0], *self.target_shape)


@register("layer")
class Permute(Layer):
    """Reorders the axes of each example; ``dims`` counts from 1, the batch being 0."""

    def __init__(self, dims: Sequence[int], **options: Any) -> None:
        super().__init__(**options)
        self.dims = tuple(dims)

    def call(self, x: jax.Array) -> jax.Array:
        return jnp.transpose(x, (0, *self.dims))


@register("layer")
class RepeatVector(Layer):
    """Repeats each vector ``n`` times: ``(batch, features)`` to ``(batch, n, features)``."""

    def __init__(self, n: int, **options: Any) -> None:
        super().__init__(**options)
        self.n = positive_integer("RepeatVector", "n", n)

    def call(self, x: jax.Array) -> jax.Array:
        return jnp.repeat(x[:, None], self.n, axis=1)
