"""What a model is, without its values: the part of a file that is JSON.

A description has the class and configuration of the model; the call it was built with, if its
shapes came from data; and what may have been changed on its layers after they were made.
"""

from __future__ import annotations

from typing import Any

from nacre.core import symbolic
from nacre.core.configurable import deserialize, serialize
from nacre.core.dtypes import as_policy, dtype_policy, set_dtype_policy
from nacre.core.errors import BuildError, FileFormatError, NacreError, explain
from nacre.core.layer import Layer, layers_of, variables_of
from nacre.saving.bounds import check_bounds, require_registered
from nacre.saving.graph_tensors import CallSpec

__all__ = ["describe", "rebuild"]


def describe(model: Layer) -> dict[str, Any]:
    """What :func:`rebuild` needs to make a model like this one. JSON can hold it.

    Raises:
        ArgumentError: a part of the model has no name that a file could refer to.
        BuildError: the model has weights, but what they were built with is not known.
        FileFormatError: the model is too large or too deeply nested to be read again.
    """
    description = serialize(
        {
            "model": model,
            "dtype": model.dtype_policy.name,
            "built_with": _built_with(model),
            "layers": [_changeable(path, layer) for path, layer in layers_of(model).items()],
            "frozen_variables": [
                path
                for path, variable in variables_of(model).items()
                if not variable.trainable and not variable.is_state
            ],
        }
    )
    check_bounds(description)
    if description["built_with"] is None and not model._internals.complete and model.weights:
        _require_rebuildable(model, description)
    return description


def _built_with(model: Layer) -> CallSpec | None:
    """The first call of a model that took its shapes from it."""
    first: Any = getattr(model, "_built_on", None)
    if first is None and model._internals.nodes:
        node = model._internals.nodes[0]
        first = (node.args, node.kwargs)
    return None if first is None else CallSpec.of(*first)


def _changeable(path: str, layer: Layer) -> dict[str, Any]:
    own = layer._internals
    return {
        "path": path,
        "name": own.name,
        "trainable": own.trainable,
        "dtype": own.policy.name,
    }


def _require_rebuildable(model: Layer, description: dict[str, Any]) -> None:
    """A model that was only ever called inside of another may not know its own input."""
    again = variables_of(rebuild(description))
    if {path: v.shape for path, v in again.items()} != {
        path: v.shape for path, v in variables_of(model).items()
    }:
        raise BuildError(
            explain(
                f"{model._where()} was only called inside of another model, so a file could not "
                "say how to build it.",
                fix="call it once on an example, or begin it with nacre.Input(shape=...).",
            )
        )


def rebuild(description: Any, custom_objects: dict[str, Any] | None = None) -> Any:
    """A model from what :func:`describe` returned. No value of a weight is drawn.

    Raises:
        ArgumentError: a class or function is not registered, nor in ``custom_objects``.
        FileFormatError: the description is malformed, or of something that cannot be built.
    """
    require_registered(check_bounds(description), custom_objects)
    before = dtype_policy()
    try:
        set_dtype_policy(as_policy(description["dtype"]))
        return _rebuilt(description, custom_objects)
    except Exception as error:  # a description that is malformed can make any layer fail anyhow
        kind = "" if isinstance(error, NacreError) else f"{type(error).__name__}: "
        raise FileFormatError(f"The model cannot be built as described. {kind}{error}") from error
    finally:
        set_dtype_policy(before)


def _rebuilt(description: dict[str, Any], custom_objects: dict[str, Any] | None) -> Layer:
    parts = deserialize(
        {"model": description["model"], "built_with": description["built_with"]}, custom_objects
    )
    model, call = parts["model"], parts["built_with"]
    if not isinstance(model, Layer):
        raise FileFormatError(f"It describes a {type(model).__name__}, which is not a model.")
    if isinstance(call, CallSpec) and not model._internals.complete:
        args, kwargs = call.tensors()
        _make_weights(model, args, kwargs)
    _restore_changes(model, description)
    return model


def _make_weights(model: Layer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """Give a model its variables by one abstract call, as its first real call would."""
    make = getattr(model, "_complete_abstractly", None)
    if make is not None:
        make(args, kwargs)
    else:
        symbolic.infer(model._call_in_current, args, kwargs)
        model._internals.complete = True


def _restore_changes(model: Layer, description: dict[str, Any]) -> None:
    layers, saved = layers_of(model), description["layers"]
    if len(layers) != len(saved):
        raise FileFormatError(f"It has {len(layers)} layers, and {len(saved)} are described.")
    for layer, changed in zip(layers.values(), saved):
        own = layer._internals
        own.name = _checked_name(changed["name"])
        own.trainable = bool(changed["trainable"])
        if own.policy.name != changed["dtype"]:
            own.policy = as_policy(changed["dtype"])
        own.initial_weights = None  # their place is taken by the values in the file
    variables = variables_of(model)
    for path in description["frozen_variables"]:
        variables[path].trainable = False


def _checked_name(name: Any) -> str | None:
    if name is not None and (not isinstance(name, str) or not name or "/" in name):
        raise FileFormatError(f"It names a layer {str(name)[:80]!r}.")
    return name
