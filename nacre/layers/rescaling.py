"""Inputs brought to another scale."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp

from nacre.core.layer import Layer
from nacre.core.registry import register

__all__ = ["Rescaling"]


@register("layer")
class Rescaling(Layer):
    """Multiplies its input by a number and adds another: ``scale * x + offset``.

    At the beginning of a model it lets images of bytes be given as they are:
    ``Rescaling(1 / 255)`` brings them to 0..1, ``Rescaling(1 / 127.5, offset=-1)`` to -1..1.

    Args:
        scale: the factor, or one for each place of the last axes.
        offset: what is added after that, likewise.

    Shapes:
        In: any. Out: the same, as floating-point numbers.

    Example:
        >>> import numpy as np
        >>> from nacre import layers
        >>> layers.Rescaling(1 / 255)(np.array([0, 255], np.uint8)).tolist()
        [0.0, 1.0]
    """

    supports_masking = True

    def __init__(
        self,
        scale: float | Sequence[Any],
        offset: float | Sequence[Any] = 0.0,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.scale = scale
        self.offset = offset

    def call(self, x: Any) -> Any:
        x = x.astype(self.compute_dtype)
        scale, offset = jnp.asarray(self.scale, x.dtype), jnp.asarray(self.offset, x.dtype)
        if scale.ndim or offset.ndim:
            scale, offset = jnp.broadcast_to(scale, x.shape), jnp.broadcast_to(offset, x.shape)
        return x * scale + offset
