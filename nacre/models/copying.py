"""Copies of models, as ``copy.deepcopy`` and pickling make them.

A symbolic tensor refers to the call it came from, which refers to its inputs, and so on: to copy
that as it stands takes as many nested calls as the network is deep. So the state of a model has its
graph in the flat form that files have; the copy is connected anew. Compiled programs stay behind.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nacre.models.graph import Graph
from nacre.models.graph_config import graph_config, tensors_from_config
from nacre.models.trainer import Trainer

if TYPE_CHECKING:
    from nacre.models.model import Model

__all__ = ["restore", "state_for_copy"]

CONNECTED = ("inputs", "outputs")
PROGRESS = ("seed", "step", "epoch", "slots", "_slot_paths")


def state_for_copy(state: dict[str, Any]) -> dict[str, Any]:
    """The attributes of a model in a form that can be copied and pickled."""
    graph, trainer = state.get("_graph"), state.get("_trainer")
    state = {name: value for name, value in state.items() if name != "_untrained"}
    if graph is not None:
        arguments = state["_constructor_arguments"]
        state["_graph"] = graph_config(graph)
        state["_constructor_arguments"] = {
            name: None if name in CONNECTED else value for name, value in arguments.items()
        }
    if trainer is not None:
        state["_trainer"] = {
            "compiled_with": {**trainer.compiled_with, "optimizer": trainer.optimizer},
            "progress": {name: getattr(trainer, name) for name in PROGRESS},
        }
    return state


def restore(model: Model, state: dict[str, Any]) -> None:
    """Give a new model the attributes that :func:`state_for_copy` returned for another."""
    graph, trainer = state.get("_graph"), state.get("_trainer")
    vars(model).update(state, _graph=None, _trainer=None)
    if graph is not None:
        model._graph = Graph(*tensors_from_config(graph))
        tensors: dict[str, Any] = dict(zip(CONNECTED, (model._graph.inputs, model._graph.outputs)))
        model._constructor_arguments = {
            name: tensors.get(name, value) for name, value in model._constructor_arguments.items()
        }
    if trainer is not None:
        model._trainer = Trainer(model, **trainer["compiled_with"])
        for name, value in trainer["progress"].items():
            setattr(model._trainer, name, value)
