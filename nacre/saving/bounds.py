"""What a description may ask for, checked before anything of it is built.

Building a model costs time for each call of a layer, and names add up along paths, so a small file
could ask for hours of work or gigabytes of names. Nothing here depends on what layers do.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from nacre.core.configurable import MAXIMUM_DEPTH, TAG
from nacre.core.errors import ArgumentError, FileFormatError, explain
from nacre.core.registry import saved_object

__all__ = ["check_bounds", "require_registered"]

MOST_CALLS = 10_000
LONGEST_NAME = 512


def check_bounds(description: Any) -> dict[str, None]:
    """Raise unless a description is of reasonable size.

    Returns:
        The names of the classes and functions in it.

    Raises:
        FileFormatError: it is too deep, has too many calls of layers, or too long names.
    """
    count = Count()
    calls = count.calls(description)
    if calls > MOST_CALLS:
        raise FileFormatError(
            f"The description calls {calls} layers; at most {MOST_CALLS} are built."
        )
    return count.names


def require_registered(names: Iterable[str], custom_objects: dict[str, Any] | None) -> None:
    """Raise unless every class and function is registered, or in ``custom_objects``.

    Raises:
        ArgumentError: some are not; the message lists them.
    """
    missing = []
    for name in names:
        try:
            saved_object(name, custom_objects)
        except ArgumentError:
            missing.append(name)
    if not missing:
        return
    bare = missing[0].rpartition(">")[2]
    raise ArgumentError(
        explain(
            "The file refers to classes or functions that are not registered here.",
            expected="those of Nacre, and those of yours that are registered",
            received=", ".join(repr(name) for name in missing[:10]),
            fix=f"pass custom_objects={{{bare!r}: {bare}}}, or decorate it with "
            "@nacre.saving.register_serializable() before loading.",
        )
    )


class Count:
    """Counts the calls that building takes: those of a nested model once for each of its own.

    Attributes:
        names: the saved names of classes and functions that were met.
    """

    def __init__(self) -> None:
        self.names: dict[str, None] = {}
        self._known: dict[int, int] = {}

    def calls(self, value: Any, level: int = 0) -> int:
        """The number of calls that building ``value`` takes."""
        if level > MAXIMUM_DEPTH:
            raise FileFormatError(
                f"The description is nested more than {MAXIMUM_DEPTH} levels deep."
            )
        if isinstance(value, list):
            return self._sum(value, level)
        if not isinstance(value, dict):
            return 0
        self._check_names(value)
        tag = value.get(TAG)
        if tag == "shared":
            return self._known.get(_number(value.get("id")), 0)
        if tag in ("object", "reference"):
            self.names[_name(value)] = None
        if isinstance(value.get("layers"), dict) and isinstance(value.get("nodes"), list):
            return self._graph(value, level)
        total = self._sum(value.values(), level) + (tag == "object")
        if tag == "object" and "id" in value:
            self._known[_number(value["id"])] = total
        return total

    def _sum(self, values: Any, level: int) -> int:
        return sum(self.calls(item, level + 1) for item in values)

    def _graph(self, graph: dict[str, Any], level: int) -> int:
        each = {name: self.calls(layer, level + 2) for name, layer in graph["layers"].items()}
        total = 0
        for node in graph["nodes"]:
            self.calls(node, level + 2)  # for what its arguments name
            name = node.get("layer") if isinstance(node, dict) else None
            total += each.get(name, 1) if isinstance(name, str) else 1
        others = [item for key, item in graph.items() if key not in ("layers", "nodes")]
        self._sum(others, level)
        return max(total, sum(each.values()))

    def _check_names(self, value: dict[str, Any]) -> None:
        names = [*value, value.get("name")]
        for name in names:
            if isinstance(name, str) and len(name) > LONGEST_NAME:
                raise FileFormatError(f"The description has a name of {len(name)} characters.")


def _name(value: dict[str, Any]) -> str:
    name = value.get("name")
    if not isinstance(name, str):
        raise FileFormatError(f"The description names a class by {str(name)[:80]!r}.")
    return name


def _number(value: Any) -> int:
    if type(value) is not int:
        raise FileFormatError(f"The description numbers an object by {str(value)[:80]!r}.")
    return value
