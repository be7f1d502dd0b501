"""Making a model again from what it is made of."""

from __future__ import annotations

from typing import Any

from nacre.core.errors import FileFormatError
from nacre.models.model import Model
from nacre.saving.description import describe, rebuild
from nacre.saving.json_text import parse_json

__all__ = ["clone_model", "model_from_json"]


def clone_model(model: Model, custom_objects: dict[str, Any] | None = None) -> Any:
    """A model like ``model`` with layers and weights of its own, newly drawn, and not compiled.

    Args:
        model: any model.
        custom_objects: your own classes and functions by name, if they are not registered.

    Example:
        >>> import nacre
        >>> model = nacre.Sequential([nacre.Input((3,)), nacre.layers.Dense(2)])
        >>> copy = nacre.models.clone_model(model)
        >>> copy.set_weights(model.get_weights())
    """
    return rebuild(describe(model), custom_objects)


def model_from_json(json_string: str, custom_objects: dict[str, Any] | None = None) -> Any:
    """A model from what ``model.to_json()`` returned, with new weights.

    Args:
        json_string: the JSON.
        custom_objects: your own classes and functions by name, if they are not registered.

    Raises:
        ArgumentError: a class or function is not registered.
        FileFormatError: the JSON is malformed, or does not describe a model.
    """
    model = rebuild(parse_json(json_string.encode(), "The description"), custom_objects)
    if not isinstance(model, Model):
        raise FileFormatError(f"The description is of a {type(model).__name__}, not of a model.")
    return model
