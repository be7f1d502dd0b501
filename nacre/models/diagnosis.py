"""Where a step of training went wrong: the first layer whose output or gradient is not finite.

The step is taken once more, outside of compiled code and with the same random key, and looked at
from layer to layer. This happens after a run has stopped, so it costs a run that goes well nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from nacre.core.layer import Layer, variables_of
from nacre.core.lift import lift
from nacre.core.scope import Scope, current_scope
from nacre.training.objective import Objective
from nacre.training.step import Carry, Constants, forward

if TYPE_CHECKING:
    from nacre.models.model import Model

__all__ = ["Cause", "cause_of_nonfinite"]

FIRST = "the {} of {} is the first that is not finite"


class Look:
    """One call of a layer or function, as a pass over the model saw it."""

    def __init__(self, callee: Any, where: str, args: Any) -> None:
        self.callee = callee
        self.where = where
        self.args = args
        self.outputs: Any = None
        self.offsets_in: list[int] = []
        self.offsets_out: list[int] = []

    def paths(self, known: dict[int, str]) -> list[str]:
        """The paths of the layer's own weights, given those of all."""
        if not isinstance(self.callee, Layer):
            return []
        return [known[id(variable)] for variable in self.callee._internals.variables.values()]


class Looks:
    """A probe that notes each call, and adds an offset to each array on its way.

    The offsets are zeros. The gradient with respect to one is that with respect to the array it
    was added to.

    Args:
        offsets: what to add, or None in the first pass, which makes the zeros.
    """

    def __init__(self, scope: Scope, offsets: list[jax.Array] | None = None) -> None:
        self.begun: list[Look] = []
        self.ended: list[Look] = []
        self.offsets: list[jax.Array] = [] if offsets is None else offsets
        self._first = offsets is None
        self._used = 0
        self._running: list[Look] = []
        self._scope = scope

    def enter(self, callee: Any, args: tuple[Any, ...]) -> tuple[Any, ...]:
        look = Look(callee, self._name(callee), args)
        self.begun.append(look)
        self._running.append(look)
        return jax.tree.map(lambda x: self._offset(x, look.offsets_in), args)

    def leave(self, callee: Any, outputs: Any) -> Any:
        look = self._running.pop()
        look.outputs = outputs
        self.ended.append(look)
        return jax.tree.map(lambda x: self._offset(x, look.offsets_out), outputs)

    def _name(self, callee: Any) -> str:
        if isinstance(callee, Layer):
            return self._scope.where(callee)
        return f"the function {getattr(callee.operation, '__name__', 'lambda')!r}"

    def _offset(self, x: Any, numbers: list[int]) -> Any:
        if not isinstance(x, jax.Array) or not jnp.issubdtype(x.dtype, jnp.floating):
            return x
        if self._first:
            self.offsets.append(jnp.zeros(x.shape, x.dtype))
        offset = self.offsets[self._used]
        numbers.append(self._used)
        self._used += 1
        return self._scope.know_as(x, x + offset)


class Cause(NamedTuple):
    """What in a step was the first not to be finite, and whether it was there before the step."""

    what: str
    given: bool


def cause_of_nonfinite(
    model: Model, objective: Objective, carry: Carry, constants: Constants, batch: dict[str, Any]
) -> Cause:
    """What in a step of training was the first not to be finite.

    Args:
        model: the model.
        objective: its losses and metrics.
        carry: what the step started from.
        constants: what it read.
        batch: the examples it was taken on.
    """
    given = _in_data(batch) or _in_weights(carry, constants)
    if given is not None:
        return Cause(given, True)
    return Cause(_in_step(model, objective, carry, constants, batch), False)


def _in_data(batch: dict[str, Any]) -> str | None:
    for key, name in (("x", "inputs"), ("y", "targets"), ("weight", "sample weights")):
        bad = _not_finite(batch.get(key))
        if bad:
            return f"the {name} of the batch hold what is not finite: {bad}"
    return None


def _in_weights(carry: Carry, constants: Constants) -> str | None:
    for path, value in {**carry.params, **constants.frozen, **carry.state}.items():
        bad = _not_finite(value)
        if bad:
            return f"the weights {path!r} were not finite before the step: {bad}"
    return None


def _in_step(
    model: Model, objective: Objective, carry: Carry, constants: Constants, batch: dict[str, Any]
) -> str:
    compute = forward(model, objective)
    key = jax.random.fold_in(constants.key, carry.step)

    def run(params: Any, offsets: list[jax.Array] | None) -> tuple[Any, Looks, Any, list[Any]]:
        found: list[Any] = []

        def probed(batch: dict[str, Any]) -> Any:
            scope = current_scope()
            assert scope is not None
            scope.probe = looks = Looks(scope, offsets)
            found.append(looks)
            return compute(batch)

        (outputs, _, losses), _, added = lift(model, probed).apply(
            {**constants.frozen, **params}, carry.state, batch, training=True, key=key
        )
        total = objective.total(losses) + sum(loss.astype(jnp.float32) for loss in added)
        return total, found[0], outputs, added

    total, looks, outputs, added = run(carry.params, None)
    paths = {id(variable): path for path, variable in variables_of(model).items()}
    return (
        _in_outputs(looks)
        or _in_loss(total, outputs, added)
        or _in_gradients(lambda *at: run(*at)[0], looks, carry.params, paths)
    )


def _in_outputs(looks: Looks) -> str | None:
    """The first call to end that made something that is not finite, of numbers that were."""
    for look in looks.ended:
        bad = _not_finite(look.outputs)
        if bad and not _not_finite(look.args):
            return f"{FIRST.format('output', look.where)}: {bad}; {_range(look.args)}"
    return None


def _in_loss(total: jax.Array, outputs: Any, added: list[Any]) -> str | None:
    bad = _not_finite(total)
    if bad is None:
        return None
    if _not_finite(added):
        return "a regularizer, or add_loss() in a layer, is the first that is not finite: " + bad
    return f"the loss is {bad}, of outputs that are finite; {_range(outputs, 'they')}"


def _in_gradients(
    loss: Callable[..., jax.Array], looks: Looks, params: dict[str, Any], paths: dict[int, str]
) -> str:
    """The last call to begin that got finite gradients, and passed on others."""
    gradients, at = jax.grad(loss, argnums=(0, 1))(params, looks.offsets)
    for look in reversed(looks.begun):
        before = [at[number] for number in look.offsets_in]
        before += [gradients[path] for path in look.paths(paths) if path in gradients]
        bad = _not_finite(before)
        if bad and not _not_finite([at[number] for number in look.offsets_out]):
            return f"{FIRST.format('gradient', look.where)}: {bad}; {_range(look.args)}"
    bad = _not_finite(gradients)
    if bad:
        return f"{FIRST.format('gradient', 'the loss')}: {bad}"
    return "the step is finite when it is taken once more by itself, so it was close to overflow"


def _not_finite(tree: Any) -> str | None:
    """How many of the numbers in some arrays are not finite, in words; None if all are."""
    arrays = [np.asarray(x, np.float32) for x in jax.tree.leaves(tree) if _is_floating(x)]
    count = sum(array.size for array in arrays)
    nans = sum(int(np.isnan(array).sum()) for array in arrays)
    infinite = sum(int(np.isinf(array).sum()) for array in arrays)
    if not nans + infinite:
        return None
    if count == 1:
        return "NaN" if nans else "infinity"
    kinds = [
        f"{number} {kind}" for number, kind in ((nans, "NaN"), (infinite, "infinite")) if number
    ]
    return f"{' and '.join(kinds)} of {count} numbers"


def _range(tree: Any, what: str = "its input") -> str:
    """Between which numbers some arrays lie."""
    arrays = [np.asarray(x, np.float32) for x in jax.tree.leaves(tree) if hasattr(x, "dtype")]
    arrays = [array for array in arrays if array.size]
    if not arrays:
        return f"{what} is empty"
    low, high = min(a.min() for a in arrays), max(a.max() for a in arrays)
    verb = "range" if what == "they" else "ranges"
    return f"{what} {verb} from {low:.4g} to {high:.4g}"


def _is_floating(x: Any) -> bool:
    """Whether it is an array of real numbers whose values are known."""
    known = hasattr(x, "dtype") and not isinstance(x, Tracer)
    return known and jnp.issubdtype(x.dtype, jnp.floating)
