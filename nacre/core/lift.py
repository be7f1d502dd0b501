"""The waist: a model as a pure function of flat dictionaries of arrays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax

from nacre.core.errors import BuildError, explain
from nacre.core.layer import Layer, draw_values, frozen_variables, layers_of, variables_of
from nacre.core.scope import Scope

__all__ = ["Lifted", "lift"]

Arrays = dict[str, jax.Array]


class Lifted(NamedTuple):
    """A pure function, and the values to start from.

    Attributes:
        apply: ``apply(params, state, inputs, *, training=False, key=None)`` returns
            ``(outputs, new_state, added_losses)``.
        params: the weights by path, those that are frozen among them.
        state: what layers update themselves by path, such as moving averages.
    """

    apply: Callable[..., tuple[Any, Arrays, list[jax.Array]]]
    params: Arrays
    state: Arrays


def lift(model: Layer, function: Callable[[Any], Any] | None = None) -> Lifted:
    """Turn a model into a pure function of its parameters, its state and its inputs.

    The function can be jitted, differentiated, mapped over a stack of parameters, put in a scan or
    sharded. It reads nothing from the model's variables and leaves nothing behind.

    Args:
        model: a model or layer that has its weights.
        function: what to compute from the inputs with the layers of ``model``; by default
            ``model(inputs)``. What layers know about arrays (masks, logits) can be read in it.

    Returns:
        The triple ``(apply, params, state)``; see :class:`Lifted`.

    Raises:
        BuildError: the model has no weights yet.

    Example:
        >>> import jax, nacre
        >>> model = nacre.Sequential([nacre.Input((3,)), nacre.layers.Dense(2)])
        >>> apply, params, state = nacre.lift(model)
        >>> sorted(params)
        ['dense/bias', 'dense/kernel']
        >>> outputs, state, losses = jax.jit(apply)(params, state, jax.numpy.ones((4, 3)))
        >>> outputs.shape
        (4, 2)
    """
    own = model._internals
    if not (own.complete or own.built or variables_of(model)):
        raise BuildError(
            explain(
                f"{model._where()} has no weights yet, so it cannot be lifted.",
                expected="a model that knows the shape of its inputs",
                fix="start it with nacre.Input(shape=...), or call it once on an example.",
            )
        )
    draw_values(model)
    variables = variables_of(model)
    params = {path: v for path, v in variables.items() if not v.is_state}
    state = {path: v for path, v in variables.items() if v.is_state}
    compute = model if function is None else function

    def apply(
        params_: Arrays,
        state_: Arrays,
        inputs: Any,
        *,
        training: bool = False,
        key: jax.Array | None = None,
    ) -> tuple[Any, Arrays, list[jax.Array]]:
        scope = Scope(
            bindings={
                **{id(v): params_[path] for path, v in params.items()},
                **{id(v): state_[path] for path, v in state.items()},
            },
            training=training,
            key=key,
            paths={id(layer): path for path, layer in layers_of(model).items()},
        )
        with scope:
            outputs = compute(inputs)
            losses = scope.losses + penalties(model, params)
            new_state = {path: scope.read(v) for path, v in state.items()}
        return outputs, new_state, losses

    return Lifted(
        apply,
        {path: v.concrete() for path, v in params.items()},
        {path: v.concrete() for path, v in state.items()},
    )


def penalties(model: Layer, params: dict[str, Any]) -> list[jax.Array]:
    """What the regularizers of the trainable weights add to the loss."""
    frozen = frozen_variables(model)
    return [
        variable.regularizer(variable.value)
        for variable in params.values()
        if variable.regularizer is not None and id(variable) not in frozen
    ]
