"""How a configuration refers to symbolic tensors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from nacre.core.configurable import Configurable
from nacre.core.errors import FileFormatError
from nacre.core.registry import register_serializable
from nacre.core.symbolic import SymbolicTensor
from nacre.saving.tensors import MOST_AXES, TYPES

__all__ = ["CallSpec", "TensorReference", "TensorSpec", "map_leaves"]

DATA_TYPES = frozenset(TYPES.values())


def map_leaves(change: Callable[[Any], Any], tree: Any) -> Any:
    """``change`` of everything in nested lists, tuples and dictionaries.

    Unlike ``jax.tree.map`` it keeps the order of dictionaries, in which losses are summed.
    """
    if isinstance(tree, dict):
        return {key: map_leaves(change, item) for key, item in tree.items()}
    if isinstance(tree, list):
        return [map_leaves(change, item) for item in tree]
    if isinstance(tree, tuple):
        return tuple(map_leaves(change, item) for item in tree)
    return change(tree)


@register_serializable("graph")
class TensorSpec(Configurable):
    """What a symbolic tensor is, apart from where it comes from.

    Args:
        shape: its sizes, None where unknown.
        dtype: the name of its data type.
        name: its name, if it is an input.
        masked: whether a mask comes with it.
    """

    def __init__(
        self,
        shape: Sequence[int | None],
        dtype: str,
        name: str | None = None,
        masked: bool = False,
    ) -> None:
        self.shape = shape
        self.dtype = dtype
        self.name = name
        self.masked = masked

    @classmethod
    def of(cls, tensor: Any) -> TensorSpec:
        """The specification of a symbolic tensor or of an array."""
        options: dict[str, Any] = {}
        if getattr(tensor, "name", None) is not None:
            options["name"] = tensor.name
        if getattr(tensor, "masked", False):
            options["masked"] = True
        return cls(list(tensor.shape), np.dtype(tensor.dtype).name, **options)

    def tensor(self) -> SymbolicTensor:
        """A new symbolic tensor like this.

        Raises:
            FileFormatError: there is no such tensor.
        """
        dtype = self.dtype if isinstance(self.dtype, str) else ""
        fits = len(self.shape) <= MOST_AXES and all(map(_is_size, self.shape))
        if dtype not in DATA_TYPES or not fits:
            shape = str(self.shape)[:200]
            raise FileFormatError(f"It has a tensor of type {dtype!r} and shape {shape}.")
        return SymbolicTensor(self.shape, dtype, name=self.name, masked=self.masked)


def _is_size(size: Any) -> bool:
    return size is None or (type(size) is int and size >= 0)


@register_serializable("graph")
class TensorReference(Configurable):
    """An output of a node of a graph.

    Args:
        node: the node's number, or None for the graph's inputs.
        index: the tensor's number among the node's outputs, or among the inputs.
    """

    def __init__(self, node: int | None, index: int) -> None:
        self.node = node
        self.index = index


@register_serializable("graph")
class CallSpec(Configurable):
    """The arguments of a call, with a specification in place of each array.

    A model that takes its shapes from the first data can be built from this instead.
    """

    def __init__(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.args = args
        self.kwargs = kwargs

    @classmethod
    def of(cls, args: tuple[Any, ...], kwargs: dict[str, Any]) -> CallSpec:
        """The specification of a call on arrays or symbolic tensors."""
        kwargs = {name: value for name, value in kwargs.items() if name != "training"}
        positional, named = map_leaves(
            lambda leaf: TensorSpec.of(leaf) if hasattr(leaf, "shape") else leaf, (args, kwargs)
        )
        return cls(args=positional, kwargs=named)

    def tensors(self) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The arguments, with a symbolic tensor in place of each array."""
        return map_leaves(
            lambda leaf: leaf.tensor() if isinstance(leaf, TensorSpec) else leaf,
            (tuple(self.args), dict(self.kwargs)),
        )
