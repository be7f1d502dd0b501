"""Configuration that is derived from the constructor, never written by hand.

``Configurable.__new__`` keeps the arguments of the call. ``get_config`` returns them,
``from_config`` calls the constructor with them, and ``serialize`` / ``deserialize`` turn them into
JSON and back.
"""

from __future__ import annotations

import functools
import inspect
from typing import Any

import numpy as np

from nacre.core.errors import ArgumentError, FileFormatError, explain, nearest
from nacre.core.registry import saved_name, saved_object

__all__ = ["Configurable", "deserialize", "serialize"]

TAG = "__nacre__"
MAXIMUM_DEPTH = 64


@functools.cache
def _constructor_signature(cls: type) -> inspect.Signature:
    return inspect.signature(cls.__init__)


class Configurable:
    """Base of everything that can be described by its constructor's arguments."""

    _constructor_arguments: dict[str, Any]

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        self = super().__new__(cls)
        self._constructor_arguments = {}
        if args or kwargs:  # copying and unpickling call __new__ without arguments
            self._constructor_arguments = _bind(cls, self, args, kwargs)
        return self

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments, as they were passed."""
        return dict(self._constructor_arguments)

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        """Build an object from what :meth:`get_config` returned."""
        return cls(**config)


def _bind(cls: type, self: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    signature = _constructor_signature(cls)
    parameters = signature.parameters
    known = _known_keywords(cls)
    for name in kwargs:
        if known is not None and name not in known:
            raise unknown_argument(cls.__name__, name, known)
    try:
        bound = signature.bind(self, *args, **kwargs)
    except TypeError as error:
        raise ArgumentError(
            explain(f"{cls.__name__}: {error}.", expected=f"{cls.__name__}{_shown(signature)}")
        ) from None
    arguments: dict[str, Any] = {}
    for name, value in list(bound.arguments.items())[1:]:
        kind = parameters[name].kind
        if kind is inspect.Parameter.VAR_KEYWORD:
            arguments.update(value)
        else:
            arguments[name] = value
    return arguments


@functools.cache
def _known_keywords(cls: type) -> list[str] | None:
    """Every keyword the constructor takes, following ``**kwargs`` up; None if it takes any."""
    names: list[str] = []
    for base in cls.__mro__:
        if "__init__" not in vars(base):
            continue
        parameters = inspect.signature(base.__init__).parameters.values()
        names += [p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
        if not any(p.kind is p.VAR_KEYWORD for p in parameters):
            return list(dict.fromkeys(name for name in names if name != "self"))
    return None


def unknown_argument(owner: str, name: str, known: list[str]) -> ArgumentError:
    """The error for a keyword that a constructor does not have."""
    guess = nearest(name, known)
    return ArgumentError(
        explain(
            f"{owner} has no argument {name!r}.",
            expected=", ".join(known),
            received=repr(name),
            fix=f"did you mean {guess!r}?" if guess else "remove it.",
        )
    )


def _shown(signature: inspect.Signature) -> str:
    parameters = [
        p.replace(annotation=inspect.Parameter.empty)
        for p in signature.parameters.values()
        if p.name != "self"
    ]
    return str(inspect.Signature(parameters))


def serialize(value: Any) -> Any:
    """Turn a configuration value into something that JSON can hold.

    Tuples, arrays, data types, registered functions and Configurable objects are tagged, so that
    :func:`deserialize` returns the same value.
    """
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, np.generic):
        return serialize(value.item()) if value.dtype.kind in "biuf" else str(value)
    if isinstance(value, list):
        return [serialize(item) for item in value]
    if isinstance(value, tuple):
        return {TAG: "tuple", "items": [serialize(item) for item in value]}
    if isinstance(value, dict):
        if TAG in value or not all(isinstance(key, str) for key in value):
            items = [[serialize(key), serialize(item)] for key, item in value.items()]
            return {TAG: "dict", "items": items}
        return {key: serialize(item) for key, item in value.items()}
    if isinstance(value, np.dtype) or (isinstance(value, type) and issubclass(value, np.generic)):
        return np.dtype(value).name
    if hasattr(value, "__array__") and hasattr(value, "dtype"):
        array = np.asarray(value)
        return {TAG: "array", "dtype": array.dtype.name, "items": array.tolist()}
    return _serialize_object(value)


def _serialize_object(value: Any) -> dict[str, Any]:
    if inspect.isfunction(value) or isinstance(value, type):
        name = saved_name(value)
        if name is not None:
            return {TAG: "reference", "name": name}
    elif hasattr(value, "get_config"):
        name = saved_name(type(value)) or f"Custom>{type(value).__name__}"
        return {TAG: "object", "name": name, "config": serialize(value.get_config())}
    shown = getattr(value, "__name__", repr(value))
    raise ArgumentError(
        explain(
            f"{shown} cannot be written to a file: a file holds names and numbers, never code.",
            expected="a registered class or function",
            received=f"{value!r} ({type(value).__name__})",
            fix="decorate it with @nacre.saving.register_serializable(), and pass a named function "
            "instead of a lambda.",
        )
    )


def deserialize(value: Any, custom_objects: dict[str, Any] | None = None, *, depth: int = 0) -> Any:
    """The inverse of :func:`serialize`. Builds registered objects only."""
    if depth > MAXIMUM_DEPTH:
        raise FileFormatError(f"The configuration is nested more than {MAXIMUM_DEPTH} levels deep.")

    def inner(item: Any) -> Any:
        return deserialize(item, custom_objects, depth=depth + 1)

    if isinstance(value, list):
        return [inner(item) for item in value]
    if not isinstance(value, dict):
        return value
    if TAG not in value:
        return {key: inner(item) for key, item in value.items()}
    try:
        match value[TAG]:
            case "tuple":
                return tuple(inner(item) for item in value["items"])
            case "dict":
                return {inner(key): inner(item) for key, item in value["items"]}
            case "array":
                return np.asarray(value["items"], dtype=np.dtype(value["dtype"]))
            case "reference":
                return saved_object(value["name"], custom_objects)
            case "object":
                cls = saved_object(value["name"], custom_objects)
                if not (isinstance(cls, type) and hasattr(cls, "from_config")):
                    raise FileFormatError(
                        f"{value['name']!r} is not a class that a file can build."
                    )
                return cls.from_config(inner(value["config"]))
    except (KeyError, TypeError, AttributeError) as error:
        raise FileFormatError(
            f"The configuration {_excerpt(value)} is malformed: {error}."
        ) from error
    raise FileFormatError(f"The configuration {_excerpt(value)} has an unknown tag.")


def _excerpt(value: Any, length: int = 80) -> str:
    text = repr(value)
    return text if len(text) <= length else text[:length] + "..."
