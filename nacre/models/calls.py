"""The calls of layers that a model's forward pass is made of: their shapes and what they cost."""

from __future__ import annotations

import contextlib
import copy
import itertools
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp

from nacre.core.layer import Layer
from nacre.core.scope import Scope, annotate, current_scope
from nacre.core.symbolic import BATCH_SIZES, OTHER_SIZES, Node, SymbolicTensor
from nacre.models.cost import Cost, Item, itemise, total

if TYPE_CHECKING:
    from nacre.models.model import Model

__all__ = ["ASSUMED_SIZE", "Call", "ForwardPass", "example_of", "trace"]

Shape = tuple[int | None, ...]

# An unknown size that is not the batch is counted as this.
ASSUMED_SIZE = max(OTHER_SIZES)

_numbers = itertools.count()


@dataclass(eq=False)
class Call:
    """One call of a layer, or of a function of the functional API.

    Attributes:
        callee: the layer, or the node that calls the function.
        parent: the call inside which it was made, None for the outermost.
        shapes: the shapes of its outputs, None where unknown.
        items: the operations it takes apart from those of the calls inside it.
    """

    callee: Layer | Node
    parent: Call | None
    number: int = field(default_factory=lambda: next(_numbers))
    shapes: list[Shape] = field(default_factory=list)
    items: list[Item] = field(default_factory=list)

    def chain(self) -> list[Call]:
        """The calls around this one and itself, from the outermost."""
        return [*(self.parent.chain() if self.parent else []), self]


@dataclass
class ForwardPass:
    """What one forward pass does.

    Attributes:
        calls: every call, in the order in which they began.
        outside: the operations outside all calls.
        batch: how many examples the pass was traced for.
        has_assumed_size: whether a size other than the batch is unknown.
    """

    calls: list[Call]
    outside: list[Item]
    batch: int
    has_assumed_size: bool

    def cost(self, calls: list[Call] | None = None) -> Cost:
        """What ``calls`` take for one example, apart from those inside them; all of it if None."""
        items = [item for call in (self.calls if calls is None else calls) for item in call.items]
        cost = total(items + (self.outside if calls is None else []))
        return Cost(cost.operations // self.batch, cost.uncounted)


def example_of(model: Model) -> tuple[tuple[Any, ...], dict[str, Any]] | None:
    """Symbolic arguments that ``model`` can be called on, or None if it has met none yet."""
    if model._graph is not None:
        return (model._graph.inputs,), {}
    if model._internals.nodes:
        node = model._internals.nodes[0]
        return node.args, node.kwargs
    if model.has_known_input:
        return (model.input,), {}
    return model._built_on


def trace(model: Model, args: tuple[Any, ...], kwargs: dict[str, Any]) -> ForwardPass:
    """Trace a forward pass of ``model`` without running it.

    It is done for two sizes of every unknown dimension: what differs is unknown in the result. The
    operations are those for the first, a batch of two and :data:`ASSUMED_SIZE` elsewhere.

    Args:
        model: a model that has its weights.
        args, kwargs: what to call it on, with symbolic tensors in place of arrays.
    """
    tensors = [t for t in jax.tree.leaves((args, kwargs)) if isinstance(t, SymbolicTensor)]
    jaxpr, calls = _traced(model, args, kwargs, (BATCH_SIZES[0], OTHER_SIZES[1]))
    _, others = _traced(model, args, kwargs, (BATCH_SIZES[1], OTHER_SIZES[0]))
    if [call.callee for call in calls] == [call.callee for call in others]:
        for call, other in zip(calls, others):
            call.shapes = [_common(a, b) for a, b in zip(call.shapes, other.shapes)]
    outside = _assign(itemise(jaxpr), {call.number: call for call in calls})
    batch = next((t.shape[0] for t in tensors if t.shape), None) or BATCH_SIZES[0]
    has_assumed_size = any(None in tensor.shape[1:] for tensor in tensors)
    return ForwardPass(calls, outside, batch, has_assumed_size)


def _traced(
    model: Model, args: tuple[Any, ...], kwargs: dict[str, Any], sizes: tuple[int, int]
) -> tuple[Any, list[Call]]:
    """The jaxpr of a forward pass for a batch and another unknown size, and the calls in it."""
    leaves, structure = jax.tree.flatten((args, kwargs))
    symbolic = {i: leaf for i, leaf in enumerate(leaves) if isinstance(leaf, SymbolicTensor)}
    stack = NamedStack()

    def run(arrays: dict[int, Any]) -> list[Any]:
        for i, array in arrays.items():
            if symbolic[i].masked:
                annotate(array, mask=jnp.ones(array.shape[:2], bool))
        filled = [arrays.get(i, leaf) for i, leaf in enumerate(leaves)]
        positional, named = jax.tree.unflatten(structure, filled)
        outputs = _forward(model, stack)(*positional, **named)
        return [leaf for leaf in jax.tree.leaves(outputs) if hasattr(leaf, "shape")]

    scope = Scope(building=True)
    scope.stack = stack
    with scope:
        jaxpr = jax.make_jaxpr(run)({i: _at(t, sizes) for i, t in symbolic.items()})
    for call, (_, _, outputs) in zip(stack.finished, scope.records):
        call.shapes = [tuple(x.shape) for x in jax.tree.leaves(outputs) if hasattr(x, "shape")]
    return jaxpr, stack.calls


class NamedStack(list[Any]):
    """A scope's stack of running layers that notes each call and names it in the jaxpr.

    So each operation of the jaxpr says which call it was made in.
    """

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[Call] = []
        self.finished: list[Call] = []  # in the order of the scope's records
        self._running: list[tuple[Call, contextlib.ExitStack]] = []

    def append(self, callee: Any) -> None:
        call = Call(callee, self._running[-1][0] if self._running else None)
        name = contextlib.ExitStack()
        name.enter_context(jax.named_scope(f"nacre_call_{call.number}"))
        self.calls.append(call)
        self._running.append((call, name))
        super().append(callee)

    def pop(self, index: Any = -1) -> Any:
        call, name = self._running.pop()
        name.close()
        self.finished.append(call)
        return super().pop(index)


def _forward(model: Model, stack: NamedStack) -> Callable[..., Any]:
    """``model`` itself; or its graph, in which functions are noted as calls just as layers are."""
    graph = model._graph
    if graph is None:
        return model
    noted = copy.copy(graph)
    noted.nodes = [_noted(node, stack) for node in graph.nodes]
    return lambda inputs: noted.run(inputs, model._where())


def _noted(node: Node, stack: NamedStack) -> Node:
    if isinstance(node.operation, Layer):
        return node

    def operate(*args: Any, **kwargs: Any) -> Any:
        scope = current_scope()
        assert scope is not None
        stack.append(node)
        try:
            outputs = node.operation(*args, **kwargs)
        finally:
            stack.pop()
        scope.records.append((node, args, outputs))
        return outputs

    noted = copy.copy(node)
    noted.operation = operate
    return noted


def _at(tensor: SymbolicTensor, sizes: tuple[int, int]) -> jax.ShapeDtypeStruct:
    batch, other = sizes
    shape = [size or (other if axis else batch) for axis, size in enumerate(tensor.shape)]
    return jax.ShapeDtypeStruct(tuple(shape), tensor.dtype)


def _common(a: Shape, b: Shape) -> Shape:
    return tuple(m if m == n else None for m, n in zip(a, b))


def _assign(items: Iterator[Item], calls: dict[int, Call]) -> list[Item]:
    """Give each operation to the innermost call it was made in; returns those outside of all."""
    outside = []
    for item in items:
        numbers = [int(number) for number in re.findall(r"nacre_call_(\d+)", item.where)]
        call = next((calls[n] for n in reversed(numbers) if n in calls), None)
        (outside if call is None else call.items).append(item)
    return outside
