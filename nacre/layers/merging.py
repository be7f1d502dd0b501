"""Layers with several inputs and one output."""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from nacre.core.errors import ShapeError, explain
from nacre.core.failures import shape_text
from nacre.core.layer import Layer
from nacre.core.registry import register

__all__ = [
    "Add",
    "Average",
    "Concatenate",
    "Maximum",
    "Minimum",
    "Multiply",
    "Subtract",
    "add",
    "average",
    "concatenate",
    "maximum",
    "minimum",
    "multiply",
    "subtract",
]


class Merge(Layer):
    """Base of the layers that take a list of inputs."""

    supports_masking = True

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        """A step counts where it counts in any input, so everywhere if one has no mask."""
        if not mask or any(m is None for m in mask):
            return None
        return functools.reduce(jnp.logical_or, mask)

    def check(self, inputs: Any, count: int = 1) -> None:
        if not isinstance(inputs, list | tuple) or len(inputs) < count:
            raise ShapeError(
                explain(
                    f"{self._where()} takes a list of {count} inputs or more.",
                    expected=f"{type(self).__name__}()([a, b])",
                    received=type(inputs).__name__,
                    fix="put the inputs in a list.",
                )
            )


class Elementwise(Merge):
    """Base of the merges that work on values in the same place."""

    combine: Callable[[Any, Any], Any]

    def call(self, inputs: Sequence[jax.Array]) -> jax.Array:
        self.check(inputs)
        rank = max(x.ndim for x in inputs)
        # (batch, ..., features): missing axes are inserted after the batch, as in Keras.
        lined_up = [x.reshape(x.shape[:1] + (1,) * (rank - x.ndim) + x.shape[1:]) for x in inputs]
        try:
            jnp.broadcast_shapes(*(x.shape for x in lined_up))
        except ValueError:
            raise ShapeError(
                explain(
                    f"{self._where()} cannot combine inputs of these shapes.",
                    expected="equal shapes, or sizes of 1",
                    received=", ".join(shape_text(x.shape) for x in inputs),
                    fix="bring them to one shape, with a Dense or a 1x1 convolution for instance.",
                )
            ) from None
        return functools.reduce(type(self).combine, lined_up)


@register("layer")
class Add(Elementwise):
    """The sum of the inputs: ``x1 + x2 + ...``.

    Shapes:
        A list of equal shapes, or of shapes with sizes of 1 in between, to their common shape.
    """

    combine = staticmethod(operator.add)


@register("layer")
class Subtract(Elementwise):
    """The difference of exactly two inputs: ``x1 - x2``.

    Shapes:
        A list of equal shapes, or of shapes with sizes of 1 in between, to their common shape.
    """

    combine = staticmethod(operator.sub)

    def call(self, inputs: Sequence[jax.Array]) -> jax.Array:
        self.check(inputs, count=2)
        if len(inputs) > 2:
            raise ShapeError(
                explain(
                    f"{self._where()} takes two inputs.",
                    expected="Subtract()([a, b])",
                    received=f"a list of {len(inputs)}",
                )
            )
        return super().call(inputs)


@register("layer")
class Multiply(Elementwise):
    """The product of the inputs, elementwise.

    Shapes:
        A list of equal shapes, or of shapes with sizes of 1 in between, to their common shape.
    """

    combine = staticmethod(operator.mul)


@register("layer")
class Average(Elementwise):
    """The mean of the inputs, elementwise.

    Shapes:
        A list of equal shapes, or of shapes with sizes of 1 in between, to their common shape.
    """

    combine = staticmethod(operator.add)

    def call(self, inputs: Sequence[jax.Array]) -> jax.Array:
        return super().call(inputs) / len(inputs)


@register("layer")
class Maximum(Elementwise):
    """The largest of the inputs, elementwise.

    Shapes:
        A list of equal shapes, or of shapes with sizes of 1 in between, to their common shape.
    """

    combine = staticmethod(jnp.maximum)


@register("layer")
class Minimum(Elementwise):
    """The smallest of the inputs, elementwise.

    Shapes:
        A list of equal shapes, or of shapes with sizes of 1 in between, to their common shape.
    """

    combine = staticmethod(jnp.minimum)


@register("layer")
class Concatenate(Merge):
    """Joins the inputs along an axis; their other sizes must agree.

    Args:
        axis: the axis to join along, the last by default.

    Shapes:
        ``[(batch, a), (batch, b)]`` to ``(batch, a + b)``.
    """

    def __init__(self, axis: int = -1, **options: Any) -> None:
        super().__init__(**options)
        self.axis = axis

    def call(self, inputs: Sequence[jax.Array]) -> jax.Array:
        self.check(inputs)
        kept = {tuple(s for i, s in enumerate(x.shape) if i != self.axis % x.ndim) for x in inputs}
        if len(kept) > 1:
            raise ShapeError(
                explain(
                    f"{self._where()} cannot join inputs of these shapes along axis {self.axis}.",
                    expected="equal sizes along every other axis",
                    received=", ".join(shape_text(x.shape) for x in inputs),
                    fix="bring the other sizes together first, or join along another axis.",
                )
            )
        return jnp.concatenate(inputs, axis=self.axis)

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        """Joined along time, the masks are joined too; otherwise a step counts if any does."""
        if not mask or all(m is None for m in mask):
            return None
        if self.axis % inputs[0].ndim != 1 or inputs[0].ndim == 2:
            return super().compute_mask(inputs, mask)
        filled = [jnp.ones(x.shape[:2], bool) if m is None else m for x, m in zip(inputs, mask)]
        return jnp.concatenate(filled, axis=1)


def _as_function(cls: type[Merge]) -> Callable[..., Any]:
    def function(inputs: Sequence[Any], **options: Any) -> Any:
        return cls(**options)(inputs)

    function.__name__ = function.__qualname__ = cls.__name__.lower()
    function.__doc__ = f"Call a new :class:`{cls.__name__}` layer on ``inputs``."
    return function


add = _as_function(Add)
subtract = _as_function(Subtract)
multiply = _as_function(Multiply)
average = _as_function(Average)
maximum = _as_function(Maximum)
minimum = _as_function(Minimum)
concatenate = _as_function(Concatenate)
