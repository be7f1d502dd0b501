"""Configuration that is derived from the constructor, never written by hand.

``Configurable.__new__`` keeps the arguments of the call. ``get_config`` returns them,
``from_config`` calls the constructor with them, and ``serialize`` / ``deserialize`` turn them into
JSON and back.
"""

from __future__ import annotations

import base64
import functools
import inspect
import math
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

import numpy as np

from nacre.core.errors import ArgumentError, FileFormatError, explain, nearest
from nacre.core.registry import saved_name, saved_object

__all__ = ["MAXIMUM_DEPTH", "TAG", "Configurable", "Serialized", "deserialize", "serialize"]

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


class Serialized(dict[str, Any]):
    """A part of a configuration that is in the form of a file already."""


# What the serialization, or its inverse, that is running has met so far. An object that is met
# twice is written once, so that a layer shared by two models is still shared after loading.
_written: ContextVar[dict[int, tuple[Any, int, Serialized]] | None] = ContextVar(
    "written", default=None
)
_read: ContextVar[dict[int, Any] | None] = ContextVar("read", default=None)


def serialize(value: Any) -> Any:
    """Turn a configuration value into something that JSON can hold.

    Tuples, slices, arrays, data types, registered functions and Configurable objects are tagged, so
    that :func:`deserialize` returns the same value. An object that occurs twice is written once.

    Raises:
        ArgumentError: something in it has no name that a file could refer to.
    """
    if _written.get() is not None:  # called by the get_config of a model, as part of a larger whole
        return _serialized(value)
    token = _written.set({})
    try:
        return _serialized(value)
    finally:
        _written.reset(token)


def _serialized(value: Any) -> Any:
    if value is None or isinstance(value, bool | int | str | Serialized):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else Serialized({TAG: "float", "value": repr(value)})
    if isinstance(value, np.generic):
        return _serialized(value.item()) if value.dtype.kind in "biuf" else str(value)
    if isinstance(value, list):
        return [_serialized(item) for item in value]
    if isinstance(value, tuple):
        return Serialized({TAG: "tuple", "items": [_serialized(item) for item in value]})
    if isinstance(value, slice):
        items = [_serialized(item) for item in (value.start, value.stop, value.step)]
        return Serialized({TAG: "slice", "items": items})
    if value is Ellipsis:
        return Serialized({TAG: "ellipsis"})
    if isinstance(value, dict):
        if TAG in value or not all(isinstance(key, str) for key in value):
            items = [[_serialized(key), _serialized(item)] for key, item in value.items()]
            return Serialized({TAG: "dict", "items": items})
        return {key: _serialized(item) for key, item in value.items()}
    if isinstance(value, np.dtype) or (isinstance(value, type) and _is_data_type(value)):
        return np.dtype(value).name
    if hasattr(value, "__array__") and hasattr(value, "dtype"):
        return _serialized_array(np.asarray(value))
    return _serialized_object(value)


def _is_data_type(cls: type) -> bool:
    """Whether ``cls`` is a data type of NumPy's or of JAX's."""
    return issubclass(cls, np.generic) or isinstance(getattr(cls, "dtype", None), np.dtype)


def _serialized_array(array: np.ndarray) -> Serialized:
    content = base64.b64encode(array.tobytes())
    return Serialized(
        {
            TAG: "array",
            "dtype": array.dtype.name,
            "shape": list(array.shape),
            "data": content.decode(),
        }
    )


def _serialized_object(value: Any) -> Serialized:
    if inspect.isfunction(value) or isinstance(value, type):
        name = saved_name(value)
        if name is None and "<" not in value.__qualname__:  # custom_objects can name it on loading
            name = f"Custom>{value.__name__}"
        if name is not None:
            return Serialized({TAG: "reference", "name": name})
    elif hasattr(value, "get_config"):
        return _serialized_once(value)
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


def _serialized_once(value: Any) -> Serialized:
    written = _written.get()
    assert written is not None
    if id(value) in written:
        _, number, first = written[id(value)]
        if "config" not in first:
            raise ArgumentError(f"{value!r} cannot be written to a file: it contains itself.")
        first["id"] = number
        return Serialized({TAG: "shared", "id": number})
    name = saved_name(type(value)) or f"Custom>{type(value).__name__}"
    described = Serialized({TAG: "object", "name": name})
    written[id(value)] = (value, len(written), described)
    described["config"] = _serialized(value.get_config())
    return described


def deserialize(value: Any, custom_objects: dict[str, Any] | None = None) -> Any:
    """The inverse of :func:`serialize`. Builds registered objects only.

    Args:
        value: what ``serialize`` returned, or JSON made from it.
        custom_objects: classes and functions by name, besides the registered ones.

    Raises:
        ArgumentError: a class or function is not registered.
        FileFormatError: ``value`` is malformed.
    """
    if _read.get() is not None:  # called by the from_config of a model, as part of a larger whole
        return _deserialized(value, custom_objects, 0)
    token = _read.set({})
    try:
        return _deserialized(value, custom_objects, 0)
    finally:
        _read.reset(token)


def _deserialized(value: Any, custom_objects: dict[str, Any] | None, depth: int) -> Any:
    if depth > MAXIMUM_DEPTH:
        raise FileFormatError(f"The configuration is nested more than {MAXIMUM_DEPTH} levels deep.")

    def inner(item: Any) -> Any:
        return _deserialized(item, custom_objects, depth + 1)

    if isinstance(value, list):
        return [inner(item) for item in value]
    if not isinstance(value, dict):
        return value
    if TAG not in value:
        return {key: inner(item) for key, item in value.items()}
    try:
        match value[TAG]:
            case "float" if value["value"] in ("nan", "inf", "-inf"):
                return float(value["value"])
            case "tuple":
                return tuple(inner(item) for item in value["items"])
            case "slice":
                start, stop, step = (inner(item) for item in value["items"])
                return slice(start, stop, step)
            case "ellipsis":
                return Ellipsis
            case "dict":
                return {inner(key): inner(item) for key, item in value["items"]}
            case "array":
                return _deserialized_array(value)
            case "reference":
                return saved_object(value["name"], custom_objects)
            case "shared":
                return _known()[value["id"]]
            case "object":
                return _deserialized_object(value, custom_objects, inner)
    except (KeyError, TypeError, AttributeError) as error:
        raise FileFormatError(
            f"The configuration {_excerpt(value)} is malformed: {error}."
        ) from error
    raise FileFormatError(f"The configuration {_excerpt(value)} has an unknown tag.")


def _known() -> dict[int, Any]:
    known = _read.get()
    assert known is not None
    return known


def _deserialized_array(value: dict[str, Any]) -> np.ndarray:
    shape, dtype = tuple(value["shape"]), np.dtype(value["dtype"])
    try:
        content = base64.b64decode(value["data"], validate=True)
    except ValueError as error:
        raise FileFormatError(f"The content of an array is malformed: {error}.") from error
    if dtype.hasobject or not all(type(size) is int and size >= 0 for size in shape):
        raise TypeError(f"an array of type {dtype} and shape {shape}")
    if math.prod(shape) * dtype.itemsize != len(content):
        raise FileFormatError(
            f"An array of shape {shape} and type {dtype} does not have {len(content)} bytes."
        )
    return np.frombuffer(content, dtype).reshape(shape)


def _deserialized_object(
    value: dict[str, Any], custom_objects: dict[str, Any] | None, inner: Callable[[Any], Any]
) -> Any:
    cls = saved_object(value["name"], custom_objects)
    if not (isinstance(cls, type) and hasattr(cls, "from_config")):
        raise FileFormatError(f"{value['name']!r} is not a class that a file can build.")
    built = cls.from_config(inner(value["config"]))  # type: ignore[attr-defined]
    if "id" in value:
        _known()[value["id"]] = built
    return built


def _excerpt(value: Any, length: int = 80) -> str:
    text = repr(value)
    return text if len(text) <= length else text[:length] + "..."
