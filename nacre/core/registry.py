"""Names for objects: what a string argument or a saved file may refer to.

Two uses share one table. A *kind* ("activation", "loss", ...) lists what a user may ask for by
name, as in ``Dense(10, activation="relu")``. A *saved name* identifies a class or function in a
file; loading a file builds registered objects only, so it can never run code of the file's own.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, TypeVar

from nacre.core.errors import ArgumentError, explain, unknown_name

__all__ = [
    "known_names",
    "register",
    "register_serializable",
    "resolve",
    "saved_name",
    "saved_object",
    "snake_case",
]

T = TypeVar("T")

_kinds: dict[str, dict[str, Any]] = {}
_objects_by_saved_name: dict[str, Any] = {}
_saved_names_by_object: dict[Any, str] = {}


def snake_case(name: str) -> str:
    """``"MaxPooling2D"`` becomes ``"max_pooling2d"``, as in automatic layer names."""
    name = re.sub(r"(.)([A-Z][a-z0-9]+)", r"\1_\2", name)
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower()


def register(kind: str, *names: str) -> Callable[[T], T]:
    """Decorator: list a class or function under ``kind`` by its own name and by ``names``.

    It may also be saved to and loaded from files, as ``kind>name``.
    """

    def decorate(target: T) -> T:
        own_name: str = target.__name__  # type: ignore[attr-defined]
        table = _kinds.setdefault(kind, {})
        for name in (own_name, snake_case(own_name), *names):
            table[name] = target
        _remember(f"{kind}>{own_name}", target)
        return target

    return decorate


def register_serializable(package: str = "Custom", name: str | None = None) -> Callable[[T], T]:
    """Decorator: let files refer to a class or function of your own.

    Args:
        package: a prefix that keeps your names apart from other people's.
        name: the name in the file; the object's own by default.

    Example:
        >>> import nacre
        >>> @nacre.saving.register_serializable()
        ... class Twice(nacre.layers.Layer):
        ...     def call(self, x):
        ...         return 2 * x
    """

    def decorate(target: T) -> T:
        _remember(f"{package}>{name or target.__name__}", target)  # type: ignore[attr-defined]
        return target

    return decorate


def _remember(name: str, target: Any) -> None:
    _objects_by_saved_name[name] = target
    _saved_names_by_object[target] = name


def known_names(kind: str) -> list[str]:
    """The names registered under ``kind``, sorted."""
    return sorted(_kinds.get(kind, {}))


def resolve(kind: str, identifier: Any) -> Any:
    """Turn what a user passed into a function or an instance of ``kind``.

    None stays None; a name is looked up, and a class found by name is instantiated with its
    defaults; anything callable, or any instance, is returned as it is.
    """
    if identifier is None:
        return None
    if isinstance(identifier, str):
        table = _kinds.get(kind, {})
        if identifier not in table:
            raise unknown_name(kind, identifier, table)
        found = table[identifier]
        return found() if isinstance(found, type) else found
    if isinstance(identifier, type):
        return identifier()
    if callable(identifier) or hasattr(identifier, "get_config"):
        return identifier
    raise ArgumentError(
        explain(
            f"This is not {'an' if kind[0] in 'aeiou' else 'a'} {kind}.",
            expected="a name, a function or an object",
            received=f"{identifier!r} ({type(identifier).__name__})",
        )
    )


def saved_name(target: Any) -> str | None:
    """The name by which files refer to a class or function, or None."""
    try:
        return _saved_names_by_object.get(target)
    except TypeError:  # unhashable
        return None


def saved_object(name: str, custom_objects: dict[str, Any] | None = None) -> Any:
    """The class or function that a file calls ``name``.

    ``custom_objects`` maps bare or full names to objects and takes precedence.
    """
    custom_objects = custom_objects or {}
    bare = name.rpartition(">")[2]
    for key in (name, bare):
        if key in custom_objects:
            return custom_objects[key]
    if name in _objects_by_saved_name:
        return _objects_by_saved_name[name]
    raise ArgumentError(
        explain(
            f"The file refers to {name!r}, which is not registered here.",
            expected="a class or function of Nacre, or one of yours that is registered",
            received=repr(name),
            fix=f"pass custom_objects={{{bare!r}: {bare}}}, or decorate it with "
            "@nacre.saving.register_serializable() before loading.",
        )
    )
