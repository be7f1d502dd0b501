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
        arguments: further keyword arguments of the function.
    """

    supports_masking = True

    def __init__(
        self,
        function: Callable[..., Any],
        output_shape: Any = None,
        arguments: dict[str, Any] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.function = function
        self.arguments = arguments

    def call(self, x: Any) -> Any:
        return self.function(x, **(self.arguments or {}))


@register("layer")
class Identity(Layer):
    """Returns its input."""

    supports_masking = True

    def call(self, x: Any) -> Any:
        return x
