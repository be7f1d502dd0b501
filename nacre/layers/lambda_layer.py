"""A function as a layer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from nacre.core.layer import Layer
from nacre.core.registry import register

__all__ = ["Identity", "Lambda"]


@register("layer")
class Lambda(Layer):
    """Applies ``function`` to its input.

    A model with one can be saved only if the function is registered with
    ``@nacre.saving.register_serializable()``: a file never holds code.

    Args:
        function: a function of one array.
        output_shape: accepted for older scripts; the shape is found by abstract evaluation.
        mask: the mask of the output, or a function of the input and its mask; none by default,
            since nobody knows which axes the function keeps.
        arguments: further keyword arguments of the function.

    Shapes:
        Whatever the function takes and returns.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        output_shape: Any = None,
        mask: Any = None,
        arguments: dict[str, Any] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.function = function
        self.output_mask = mask
        self.arguments = arguments

    def call(self, x: Any) -> Any:
        return self.function(x, **(self.arguments or {}))

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        """The mask that was given, or what the function given for it makes of the input's."""
        return self.output_mask(inputs, mask) if callable(self.output_mask) else self.output_mask


@register("layer")
class Identity(Layer):
    """Returns its input.

    Shapes:
        Any, kept.
    """

    supports_masking = True

    def call(self, x: Any) -> Any:
        return x
