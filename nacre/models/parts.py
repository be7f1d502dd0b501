"""What a model is made of, in order: inputs, layers and functions, and what each is called on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import jax

from nacre.core.layer import Layer, layers_of
from nacre.core.symbolic import Node, SymbolicTensor
from nacre.models.graph import Graph

if TYPE_CHECKING:
    from nacre.models.model import Model

__all__ = ["Part", "is_chain", "layers_inside", "parts_of"]


@dataclass(frozen=True)
class Part:
    """A layer, an input, or a node that calls a function of the functional API.

    Attributes:
        name: its name in the model.
        what: the thing itself.
        sources: the names of the parts it is called on, each once.
    """

    name: str
    what: Layer | Node | SymbolicTensor
    sources: tuple[str, ...] = ()

    def covers(self) -> set[int]:
        """The identities of the thing and of all layers inside it."""
        if isinstance(self.what, Layer):
            return {id(layer) for layer in layers_of(self.what).values()}
        return {id(self.what)}


def layers_inside(layer: Layer) -> list[Part]:
    """The layers directly inside ``layer``, each once."""
    found: dict[int, Part] = {}
    for name, child in layer.children():
        found.setdefault(id(child), Part(name, child))
    return list(found.values())


def parts_of(model: Model) -> list[Part]:
    """The parts of a model; a functional model's in the order of their first call."""
    inside = layers_inside(model)
    if model._graph is None:
        return inside
    parts = _parts_of_graph(model._graph, {id(part.what): part.name for part in inside})
    called = {id(part.what) for part in parts}
    return parts + [part for part in inside if id(part.what) not in called]


def _parts_of_graph(graph: Graph, layer_names: dict[int, str]) -> list[Part]:
    taken = set(layer_names.values())
    names: dict[int, str] = {}  # of the tensors
    parts: dict[int, Part] = {}
    for tensor in graph.flat_inputs:
        names[id(tensor)] = _numbered(tensor.name or "input", taken)
        parts[id(tensor)] = Part(names[id(tensor)], tensor)
    for node in graph.nodes:
        what = node.operation if isinstance(node.operation, Layer) else node
        known = parts.get(id(what))
        if known is not None:
            name = known.name
        elif id(what) in layer_names:
            name = layer_names[id(what)]
        else:
            name = _numbered(_function_name(node), taken)
        sources = [*(known.sources if known else ()), *(names[id(t)] for t in node.inputs())]
        parts[id(what)] = Part(name, what, tuple(dict.fromkeys(sources)))
        outputs = jax.tree.leaves(node.outputs)
        for index, tensor in enumerate(outputs):
            names[id(tensor)] = name if len(outputs) == 1 else f"{name}[{index}]"
    return list(parts.values())


def _numbered(name: str, taken: set[str]) -> str:
    """``name``, with a number where it is taken already; takes it."""
    unique, count = name, 0
    while unique in taken:
        count += 1
        unique = f"{name}_{count}"
    taken.add(unique)
    return unique


def _function_name(node: Node) -> str:
    return getattr(node.operation, "__name__", type(node.operation).__name__)


def is_chain(graph: Graph) -> bool:
    """Whether a functional model is a stack: each layer is called on the output of the last."""
    tensors = graph.flat_inputs
    for node in graph.nodes:
        if len(tensors) != 1 or [id(t) for t in node.inputs()] != [id(tensors[0])]:
            return False
        tensors = jax.tree.leaves(node.outputs)
    return len({id(node.operation) for node in graph.nodes}) == len(graph.nodes)
