"""Layers that only rearrange: no weights, no arithmetic."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from nacre.core.arguments import one_of, positive_integer
from nacre.core.errors import ArgumentError, ShapeError, explain
from nacre.core.layer import Layer, check_rank
from nacre.core.registry import register

__all__ = ["Flatten", "Permute", "RepeatVector", "Reshape"]


@register("layer")
class Flatten(Layer):
    """Joins all axes but the batch.

    Args:
        data_format: ``"channels_first"`` moves the first axis of each example to the end before, so
            that the order is that of ``"channels_last"``, the default.

    Shapes:
        ``(batch, a, b, c)`` to ``(batch, a * b * c)``.
    """

    def __init__(self, data_format: str | None = None, **options: Any) -> None:
        super().__init__(**options)
        choices = (None, "channels_last", "channels_first")
        self.data_format = one_of("Flatten", "data_format", data_format, choices)

    def call(self, x: jax.Array) -> jax.Array:
        if self.data_format == "channels_first" and x.ndim > 1:
            x = jnp.moveaxis(x, 1, -1)
        return x.reshape(x.shape[0], math.prod(x.shape[1:]))


@register("layer")
class Reshape(Layer):
    """Gives each example another shape.

    Args:
        target_shape: the new shape of one example, without the batch; one size may be -1, to be
            worked out.

    Shapes:
        ``(batch, ...)`` to ``(batch, *target_shape)``.

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
                    fix="choose sizes with that product, or write -1 for one of them.",
                )
            )
        inferred = have // max(want, 1)  # -1 itself would not say how large it is without examples
        return x.reshape(x.shape[0], *(inferred if s == -1 else s for s in self.target_shape))


@register("layer")
class Permute(Layer):
    """Reorders the axes of each example.

    Args:
        dims: the axes in their new order; they count from 1, the batch being 0.

    Raises:
        ArgumentError: an axis is missing, or named twice.

    Shapes:
        With ``dims=(2, 1)``, ``(batch, a, b)`` to ``(batch, b, a)``.
    """

    def __init__(self, dims: Sequence[int], **options: Any) -> None:
        super().__init__(**options)
        self.dims = tuple(dims)
        if sorted(self.dims) != list(range(1, len(self.dims) + 1)):
            raise ArgumentError(
                explain(
                    "Permute: dims must name each axis once.",
                    expected="1 to the number of axes without the batch, in any order",
                    received=repr(dims),
                )
            )

    def call(self, x: jax.Array) -> jax.Array:
        names = ", ".join(["batch", *(f"axis {i + 1}" for i in range(len(self.dims)))])
        check_rank(self, x, len(self.dims) + 1, f"({names})", "name every axis in dims.")
        return jnp.transpose(x, (0, *self.dims))


@register("layer")
class RepeatVector(Layer):
    """Repeats each vector ``n`` times.

    Args:
        n: how often.

    Shapes:
        ``(batch, features)`` to ``(batch, n, features)``.
    """

    def __init__(self, n: int, **options: Any) -> None:
        super().__init__(**options)
        self.n = positive_integer("RepeatVector", "n", n)

    def call(self, x: jax.Array) -> jax.Array:
        check_rank(self, x, 2, "(batch, features)", "put a Flatten before it.")
        return jnp.repeat(x[:, None], self.n, axis=1)  # (B, F) -> (B, n, F)
