"""Where a model begins."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax

from nacre.core.errors import ArgumentError, explain
from nacre.core.layer import Layer
from nacre.core.registry import register
from nacre.core.symbolic import SymbolicTensor, input_tensor

__all__ = ["Input", "InputLayer"]


def Input(
    shape: Sequence[int | None] | None = None,
    batch_size: int | None = None,
    dtype: Any = None,
    name: str | None = None,
    batch_shape: Sequence[int | None] | None = None,
) -> SymbolicTensor:
    """A symbolic tensor that stands for a model's input.

    Args:
        shape: the shape of one example, None for sizes that vary (time, for instance).
        batch_size: the number of examples, if it is fixed.
        dtype: the type that inputs are brought to, float32 by default.
        name: the input's name, by which a dictionary of inputs is matched.
        batch_shape: the whole shape, instead of ``shape`` and ``batch_size``.

    Example:
        >>> import nacre
        >>> x = nacre.Input(shape=(28, 28, 1))
        >>> nacre.layers.Flatten()(x).shape
        (None, 784)
    """
    if batch_shape is None:
        if shape is None or isinstance(shape, int):
            raise ArgumentError(
                explain(
                    "Input needs the shape of one example.",
                    expected="a tuple, for example Input(shape=(784,))",
                    received=repr(shape),
                    fix=f"write shape=({shape},)." if isinstance(shape, int) else None,
                )
            )
        batch_shape = (batch_size, *shape)
    return input_tensor(batch_shape, dtype, name)


@register("layer")
class InputLayer(Layer):
    """Says what a ``Sequential`` takes, as :func:`Input` does; passes its input on.

    Args:
        shape: the shape of one example, None for sizes that vary.
        batch_size: the number of examples, if it is fixed.
        dtype: the type that inputs are brought to, float32 by default.
        batch_shape: the whole shape, instead of ``shape`` and ``batch_size``.

    Shapes:
        ``(batch, *shape)``, kept.
    """

    autocast = False
    supports_masking = True

    def __init__(
        self,
        shape: Sequence[int | None] | None = None,
        batch_size: int | None = None,
        dtype: Any = None,
        batch_shape: Sequence[int | None] | None = None,
        **options: Any,
    ) -> None:
        if batch_shape is not None:
            batch_size, *shape = batch_shape
        if shape is not None:
            options["input_shape"] = shape
        super().__init__(dtype=dtype, **options)
        self.batch_size = batch_size
        self.input_dtype = dtype

    def call(self, x: jax.Array) -> jax.Array:
        return x
