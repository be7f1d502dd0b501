"""A functional model's graph: which layer is called on what, in order."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import jax
import jax.numpy as jnp

from nacre.core.errors import ArgumentError, DataError, ShapeError, explain
from nacre.core.failures import shape_text
from nacre.core.layer import Layer
from nacre.core.scope import annotate, current_scope, mask_of, note_reader
from nacre.core.symbolic import Node, SymbolicTensor

__all__ = ["Graph", "fit_to_input"]


class Graph:
    """The nodes between some symbolic inputs and outputs.

    Args:
        inputs, outputs: symbolic tensors, or lists or dictionaries of them.

    Raises:
        ArgumentError: an output depends on an input that is not listed.
    """

    def __init__(self, inputs: Any, outputs: Any) -> None:
        self.inputs = inputs
        self.outputs = outputs
        self.flat_inputs: list[SymbolicTensor] = jax.tree.leaves(inputs)
        self.flat_outputs: list[SymbolicTensor] = jax.tree.leaves(outputs)
        for tensor in (*self.flat_inputs, *self.flat_outputs):
            if not isinstance(tensor, SymbolicTensor):
                raise ArgumentError(
                    explain(
                        "A functional model is made of symbolic tensors.",
                        expected="Model(inputs, outputs) with what Input(...) and layers returned",
                        received=f"{type(tensor).__name__}",
                        fix="pass the result of calling a layer, not the layer itself.",
                    )
                )
        self._check_inputs_are_distinct()
        self.nodes = self._nodes_in_order()
        self.readers: dict[int, list[Any]] = {id(tensor): [None] for tensor in self.flat_outputs}
        for node in self.nodes:
            for tensor in node.inputs():
                self.readers.setdefault(id(tensor), []).append(node.operation)

    def _check_inputs_are_distinct(self) -> None:
        names = [tensor.name for tensor in self.flat_inputs if tensor.name]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None or len(set(map(id, self.flat_inputs))) < len(self.flat_inputs):
            raise ArgumentError(
                explain(
                    "A model's inputs must be different tensors with different names.",
                    received=f"two inputs named {twice!r}" if twice else "one Input listed twice",
                    fix="make an Input(shape=..., name=...) for each.",
                )
            )

    def _nodes_in_order(self) -> list[Node]:
        given = {id(tensor) for tensor in self.flat_inputs}
        found: dict[int, Node] = {}
        waiting = [tensor for tensor in self.flat_outputs if id(tensor) not in given]
        while waiting:
            tensor = waiting.pop()
            node = tensor.node
            if node is None:
                raise ArgumentError(
                    explain(
                        "An output depends on an input that the model does not list.",
                        expected="every Input(...) on the way to the outputs among the inputs",
                        received=f"missing {tensor!r}"
                        + (f" named {tensor.name!r}" if tensor.name else ""),
                        fix="add it to Model(inputs=[...]).",
                    )
                )
            if node.number not in found:
                found[node.number] = node
                waiting += [t for t in node.inputs() if id(t) not in given]
        return [found[number] for number in sorted(found)]

    def layers(self) -> list[Layer]:
        """The layers of the graph, each once, in the order of their first call."""
        operations = [node.operation for node in self.nodes]
        return list({id(op): op for op in operations if isinstance(op, Layer)}.values())

    def run(self, inputs: Any, where: str) -> Any:
        """Compute the outputs from arrays in place of the inputs."""
        values: dict[int, Any] = {}
        for tensor, array in zip(self.flat_inputs, self._matched(inputs, where)):
            values[id(tensor)] = fit_to_input(tensor, array, where)

        def value(leaf: Any) -> Any:
            return values[id(leaf)] if isinstance(leaf, SymbolicTensor) else leaf

        for node in self.nodes:
            args, kwargs = jax.tree.map(value, (node.args, node.kwargs), is_leaf=_is_constant)
            outputs = _compute(node, args, kwargs)
            for tensor, array in zip(jax.tree.leaves(node.outputs), jax.tree.leaves(outputs)):
                values[id(tensor)] = array
                note_reader(node.operation, array, self._reader(tensor))
        return jax.tree.map(value, self.outputs)

    def _reader(self, tensor: SymbolicTensor) -> Any:
        """What reads a tensor, if it is read once."""
        readers = self.readers.get(id(tensor), [])
        return readers[0] if len(readers) == 1 else None

    def _matched(self, inputs: Any, where: str) -> list[Any]:
        """The arrays in the order of the inputs, from a list, or a dictionary by name."""
        if isinstance(inputs, dict) and not isinstance(self.inputs, dict):
            names = [tensor.name for tensor in self.flat_inputs]
            if set(names) - set(inputs):
                raise DataError(
                    explain(
                        f"{where} takes a dictionary with an array for each named input.",
                        expected=", ".join(str(name) for name in names),
                        received=", ".join(str(name) for name in inputs),
                        fix="name the inputs: Input(shape=..., name=...).",
                    )
                )
            return [inputs[name] for name in names]
        if isinstance(inputs, dict) and isinstance(self.inputs, dict):
            if set(self.inputs) - set(inputs):
                raise DataError(
                    explain(
                        f"{where} takes a dictionary with an array for each input.",
                        expected=", ".join(map(str, self.inputs)),
                        received=", ".join(map(str, inputs)),
                        fix="name the arrays as in Model(inputs={...}).",
                    )
                )
            inputs = {name: inputs[name] for name in self.inputs if name in inputs}
        arrays = jax.tree.leaves(inputs)
        if len(arrays) != len(self.flat_inputs):
            raise DataError(
                explain(
                    f"{where} has {len(self.flat_inputs)} input"
                    f"{'' if len(self.flat_inputs) == 1 else 's'}.",
                    expected=", ".join(shape_text(tensor.shape) for tensor in self.flat_inputs),
                    received=", ".join(shape_text(jnp.shape(array)) for array in arrays)
                    or "nothing",
                )
            )
        return arrays


def _compute(node: Node, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Call what a node calls; a probe sees functions as it sees layers."""
    scope = current_scope()
    if scope is None or scope.probe is None or isinstance(node.operation, Layer):
        return node.operation(*args, **kwargs)
    return scope.probe.leave(node, node.operation(*scope.probe.enter(node, args), **kwargs))


def _is_constant(leaf: Any) -> bool:
    return leaf is None


def fit_to_input(tensor: SymbolicTensor, array: Any, where: str) -> Any:
    """Bring an array to an input's type and rank, and check its shape.

    A last axis of size 1 is added or removed where that makes the ranks agree, as in Keras.

    Raises:
        ShapeError: the shape does not fit.
    """
    x, mask = jnp.asarray(array), mask_of(array)
    if x.dtype != tensor.dtype:
        x = x.astype(tensor.dtype)
    if x.ndim == tensor.ndim - 1 and tensor.shape[-1] == 1:
        x = x[..., None]
    elif x.ndim == tensor.ndim + 1 and x.shape[-1] == 1:
        x = x[..., 0]
    fits = x.ndim == tensor.ndim and all(
        want is None or want == have for want, have in zip(tensor.shape, x.shape)
    )
    if not fits:
        name = f" {tensor.name!r}" if tensor.name else ""
        raise ShapeError(
            explain(
                f"{where} does not take inputs{name} of this shape.",
                expected=shape_text(tensor.shape),
                received=shape_text(x.shape),
                fix=_advice(tensor.shape, x.shape),
            )
        )
    return annotate(x, mask=mask) if mask is not None else x


def _advice(want: tuple[int | None, ...], have: tuple[int, ...]) -> str:
    sizes_known = None not in want[1:]
    if tuple(want[1:]) == tuple(have[1:]):
        return f"give {want[0]} examples at a time, or leave batch_size out of the Input."
    if len(have) == len(want) - 1 and tuple(want[1:]) == tuple(have):
        return "this looks like one example: add a batch axis with x[None]."
    if want[1:] == (*have, 1):
        return "this looks like one example without its channel axis: x[None, ..., None]."
    if len(have) == len(want) - 1 and want[1:-1] == have[1:]:
        return "add the channel axis with x[..., None], and check how many channels there are."
    if len(have) > 3 and have[1] == want[-1] and have[2:] == want[1:-1]:
        axes = (0, *range(2, len(have)), 1)
        return f"the channels come last here: x.transpose{axes}."
    if sizes_known and _product(want[1:]) == _product(have[1:]):
        shape = ", ".join(str(size) for size in want[1:])
        if len(want) == 2:
            return f"flatten each example: x.reshape(len(x), {shape}), or begin with Flatten()."
        return f"reshape each example: x.reshape(len(x), {shape})."
    shape = f"({have[1]},)" if len(have) == 2 else f"({', '.join(map(str, have[1:]))})"
    return f"if the data are as they should be, begin the model with Input(shape={shape})."


def _product(sizes: Iterable[Any]) -> int:
    result = 1
    for size in sizes:
        result *= size
    return result
