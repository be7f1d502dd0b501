"""A functional model's graph as a configuration, and back.

Layers stand in it once each, by name, so that a layer that is called twice is still shared. Nodes
stand in the order of their calls; where an argument was a symbolic tensor, they refer to the node
that it came from.
"""

from __future__ import annotations

from typing import Any

import jax

from nacre.core.errors import FileFormatError
from nacre.core.layer import unique_names
from nacre.core.symbolic import SymbolicTensor, contains_symbolic
from nacre.models.graph import Graph
from nacre.saving.graph_tensors import TensorReference, TensorSpec, map_leaves

__all__ = ["graph_config", "tensors_from_config"]


def graph_config(graph: Graph) -> dict[str, Any]:
    """What :func:`tensors_from_config` needs to make the same graph again."""
    layers = graph.layers()
    names = {id(layer): name for name, layer in zip(unique_names(layers), layers)}
    places = {
        id(tensor): (number, index)
        for number, node in enumerate(graph.nodes)
        for index, tensor in enumerate(jax.tree.leaves(node.outputs))
    }
    places |= {id(tensor): (None, index) for index, tensor in enumerate(graph.flat_inputs)}

    def referred(tree: Any) -> Any:
        return map_leaves(
            lambda leaf: (
                TensorReference(*places[id(leaf)]) if isinstance(leaf, SymbolicTensor) else leaf
            ),
            tree,
        )

    nodes = []
    for node in graph.nodes:
        called = node.operation
        what = {"layer": names[id(called)]} if id(called) in names else {"operation": called}
        nodes.append({**what, "args": referred(node.args), "kwargs": referred(node.kwargs)})
    return {
        "layers": {names[id(layer)]: layer for layer in layers},
        "inputs": map_leaves(TensorSpec.of, graph.inputs),
        "nodes": nodes,
        "outputs": referred(graph.outputs),
    }


def tensors_from_config(config: dict[str, Any]) -> tuple[Any, Any]:
    """The symbolic inputs and outputs of the graph that ``config`` describes.

    Raises:
        FileFormatError: a node refers to what is not there.
    """
    inputs = map_leaves(lambda spec: spec.tensor(), config["inputs"])
    known: dict[Any, Any] = {
        (None, index): tensor
        for index, tensor in enumerate(jax.tree.leaves(inputs))
        if isinstance(tensor, SymbolicTensor)
    }

    def resolved(tree: Any) -> Any:
        return map_leaves(
            lambda leaf: _tensor(known, leaf) if isinstance(leaf, TensorReference) else leaf, tree
        )

    for number, node in enumerate(config["nodes"]):
        called = config["layers"][node["layer"]] if "layer" in node else node["operation"]
        args, kwargs = resolved(tuple(node["args"])), resolved(dict(node["kwargs"]))
        # Without a symbolic tensor this would be a computation, and a file asks for none.
        if not contains_symbolic((args, kwargs)):
            raise FileFormatError(f"Node {number} of the graph has no input.")
        outputs = called(*args, **kwargs)
        for index, tensor in enumerate(jax.tree.leaves(outputs)):
            known[number, index] = tensor
    return inputs, resolved(config["outputs"])


def _tensor(known: dict[Any, Any], reference: TensorReference) -> SymbolicTensor:
    place = (reference.node, reference.index)
    if place not in known:
        raise FileFormatError(f"The graph refers to a tensor that it does not have: {place}.")
    return known[place]
