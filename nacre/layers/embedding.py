"""Embedding: a vector for each whole number."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from nacre.core.arguments import positive_integer
from nacre.core.layer import Layer
from nacre.core.registry import register
from nacre.core.scope import annotate

__all__ = ["Embedding"]


@register("layer")
class Embedding(Layer):
    """Looks up a vector for each whole number: ``y = E[x]``.

    Args:
        input_dim: how many numbers there are; inputs run from 0 to ``input_dim - 1``.
        output_dim: the size of a vector.
        embeddings_initializer, embeddings_regularizer: for E.
        mask_zero: whether 0 is padding. If so, later layers skip the steps where the input is 0.
        input_length: accepted for older scripts; not needed.

    Shapes:
        ``(batch, ...)`` of whole numbers to ``(batch, ..., output_dim)``. A number outside the
        range reads the nearest row, as compiled code cannot raise; ``fit`` checks in-memory data.

    Reference: Bengio et al., "A neural probabilistic language model", JMLR 3, 2003.
    """

    autocast = False  # 16-bit floating-point numbers cannot tell large whole numbers apart

    def __init__(
        self,
        input_dim: int,
        output_dim: int,
        embeddings_initializer: Any = "uniform",
        embeddings_regularizer: Any = None,
        mask_zero: bool = False,
        input_length: int | None = None,
        **options: Any,
    ) -> None:
        if input_length is not None:
            options.setdefault("input_shape", (input_length,))
        super().__init__(**options)
        self.input_dim = positive_integer("Embedding", "input_dim", input_dim)
        self.output_dim = positive_integer("Embedding", "output_dim", output_dim)
        self.embeddings_initializer = embeddings_initializer
        self.embeddings_regularizer = embeddings_regularizer
        self.mask_zero = mask_zero

    def call(self, x: jax.Array) -> jax.Array:
        table = self.weight(
            "embeddings",
            (self.input_dim, self.output_dim),
            self.embeddings_initializer,
            regularizer=self.embeddings_regularizer,
        )
        indices = x.astype(jnp.int32)
        y = jnp.take(table, indices, axis=0, mode="clip")  # (..., output_dim)
        return annotate(y, mask=indices != 0) if self.mask_zero else y
