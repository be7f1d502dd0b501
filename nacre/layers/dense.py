"""The fully connected layer."""

from __future__ import annotations

from typing import Any

import jax

from nacre import activations
from nacre.core.arguments import positive_integer
from nacre.core.errors import ShapeError, explain
from nacre.core.failures import shape_text
from nacre.core.layer import Layer
from nacre.core.registry import register
from nacre.kernels.linear import linear

__all__ = ["Dense"]


@register("layer")
class Dense(Layer):
    """A fully connected layer: ``y = activation(x W + b)``.

    Args:
        units: the size of the output.
        activation: a name or function; None leaves the output linear.
        use_bias: whether to add b.
        kernel_initializer, bias_initializer: how W and b start.
        kernel_regularizer, bias_regularizer: penalties on W and b, added to the loss.
        **options: ``name``, ``trainable``, ``dtype``, ``activity_regularizer``, ``input_shape``.

    Shapes:
        ``(batch, ..., inputs)`` to ``(batch, ..., units)``; W is ``(inputs, units)``.

    Example:
        >>> import jax, nacre
        >>> nacre.layers.Dense(2, activation="relu")(jax.numpy.ones((4, 3))).shape
        (4, 2)

    Reference: Rumelhart, Hinton and Williams, "Learning representations by back-propagating
    errors", Nature 323, 1986.
    """

    supports_masking = True

    def __init__(
        self,
        units: int,
        activation: Any = None,
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.units = positive_integer("Dense", "units", units)
        self.activation = activations.get(activation)
        self.use_bias = use_bias
        self.kernel_initializer = kernel_initializer
        self.bias_initializer = bias_initializer
        self.kernel_regularizer = kernel_regularizer
        self.bias_regularizer = bias_regularizer

    def call(self, x: jax.Array) -> jax.Array:
        if x.ndim < 2:
            raise ShapeError(
                explain(
                    f"{self._where()} takes a batch of vectors.",
                    expected="shape (batch, ..., inputs)",
                    received=f"shape {shape_text(x.shape)}",
                    fix="add a batch axis: x[None] for one example, x[:, None] for one feature.",
                )
            )
        kernel = self.weight(
            "kernel",
            (x.shape[-1], self.units),
            self.kernel_initializer,
            regularizer=self.kernel_regularizer,
        )
        bias = None
        if self.use_bias:
            bias = self.weight(
                "bias", (self.units,), self.bias_initializer, regularizer=self.bias_regularizer
            )
        if x.dtype != kernel.dtype:
            x = x.astype(kernel.dtype)
        return self.activation(linear(x, kernel, bias))
