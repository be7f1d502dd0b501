"""The update of all parameters in one pass, and whether all gradients are finite before it.

Both take every parameter of a network at once. As operations of XLA they would be several for each
parameter, which a deep network would be long compiled for; natively each is one call.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir

from nacre.kernels import selection
from nacre.kernels.operation import vary_alike

__all__ = ["Rule", "all_finite", "update"]

Arrays = Sequence[jax.Array]

# More arrays in one call take XLA longer to compile: its time grows with the square of them.
MOST_IN_CALL = 32


class Rule(NamedTuple):
    """An update rule that there is a kernel for; ``src/update.h`` has the equations.

    Attributes:
        kernel: its name.
        settings: the numbers in its equations.
        scale: ``(learning_rate, step)`` to the factor that changes from step to step.
        weight_decay: in units of the learning rate, taken off before.
        decayed: for each parameter, in the order of their paths, whether it decays.
    """

    kernel: str
    settings: tuple[float, ...]
    scale: Callable[[jax.Array, jax.Array], jax.Array]
    weight_decay: float = 0.0
    decayed: tuple[bool, ...] = ()


def update(
    rule: Rule | None,
    meaning: Callable[..., tuple[Any, Any]],
    gradients: Any,
    slots: Any,
    params: Any,
    learning_rate: jax.Array,
    step: jax.Array,
    condition: jax.Array | None,
) -> tuple[Any, Any]:
    """New parameters and slots.

    They are ``meaning(gradients, slots, params, learning_rate, step, condition)``. In a compiled
    program, on a CPU, ``rule`` does the same in one pass if all numbers are float32.

    Args:
        rule: the kernel's, or None.
        meaning: the equations in the operations of JAX.
        gradients: by path.
        slots: a dictionary by name, in the kernel's order, of arrays by path.
        params: by path.
        learning_rate, step: scalars.
        condition: a boolean scalar, whether to update at all, or None for always.
    """
    leaves, structure = jax.tree.flatten((gradients, params, slots))
    fits = all(leaf.dtype == jnp.float32 for leaf in leaves)
    if rule is None or not fits or not isinstance(leaves[0], Tracer):
        return meaning(gradients, slots, params, learning_rate, step, condition)

    def of_leaves(*arrays: Any) -> list[jax.Array]:
        gradients, params, slots = structure.unflatten(arrays[3:])
        return jax.tree.leaves(meaning(gradients, slots, params, *arrays[:3]))

    if condition is None:
        condition = jnp.asarray(True)
    operands = vary_alike([learning_rate, step, condition, *leaves])
    results = _update.bind(*operands, rule=rule, meaning=of_leaves, count=len(params))
    return jax.tree.unflatten(jax.tree.structure((params, slots)), results)


def all_finite(arrays: Iterable[jax.Array]) -> jax.Array:
    """Whether every number in some arrays is finite."""
    some = [array for array in arrays if array.size]
    native = [a for a in some if a.dtype == jnp.float32 and isinstance(a, Tracer)]
    others = [a for a in some if not any(a is b for b in native)]
    finite = _sums_are_finite(*others)[0]
    return finite & _all_finite.bind(*vary_alike(native))[0] if native else finite


def _sums_are_finite(*arrays: jax.Array) -> list[jax.Array]:
    """A sum shows what is not finite among its terms, and is the cheapest look at all of them.

    They are made small before, so that it cannot overflow. Sums along the first axis run in
    parallel.
    """
    sums = [
        jnp.sum(jnp.sum(jnp.atleast_1d(array) * jnp.asarray(1e-20, array.dtype), axis=0))
        for array in arrays
    ]
    return [jnp.isfinite(sum((part.astype(jnp.float32) for part in sums), jnp.float32(0)))]


def _update_on_cpu(
    *arrays: jax.Array, rule: Rule, meaning: Callable[..., list[jax.Array]], count: int
) -> list[jax.Array]:
    if selection.native().library is None:
        return meaning(*arrays)
    learning_rate, step, condition, *leaves = arrays
    factors = jnp.stack([rule.scale(learning_rate, step), learning_rate * rule.weight_decay])
    decayed = np.asarray(rule.decayed or (False,) * count, np.int32)
    columns = [leaves[first : first + count] for first in range(0, len(leaves), count)]
    results: list[list[jax.Array]] = [[] for _ in columns[1:]]
    for first in range(0, count, MOST_IN_CALL):
        gradients, *old = (column[first : first + MOST_IN_CALL] for column in columns)
        kept = [a for column in old for a in column]
        new = selection.call(
            "update",
            [jax.ShapeDtypeStruct(a.shape, a.dtype) for a in kept],
            factors.astype(jnp.float32),
            condition,
            *gradients,
            *kept,
            aliases={2 + len(gradients) + i: i for i in range(len(kept))},
            rule=rule.kernel,
            settings=np.asarray(rule.settings, np.float32),
            decayed=decayed[first : first + MOST_IN_CALL],
        )
        for number, column in enumerate(results):
            column += new[number * len(gradients) : (number + 1) * len(gradients)]
    return [a for column in results for a in column]


def _finite_on_cpu(*arrays: jax.Array) -> list[jax.Array]:
    if selection.native().library is None:
        return _sums_are_finite(*arrays)
    return selection.call("all_finite", [jax.ShapeDtypeStruct((), jnp.bool_)], *arrays)


def _primitive(
    name: str, shapes: Callable[..., Any], meaning: Callable[..., Any], on_cpu: Callable[..., Any]
) -> Primitive:
    """A primitive that is differentiated and mapped as its meaning is."""
    primitive = Primitive(name)
    primitive.multiple_results = True
    primitive.def_abstract_eval(shapes)
    primitive.def_impl(meaning)
    mlir.register_lowering(primitive, mlir.lower_fun(meaning, multiple_results=True))
    mlir.register_lowering(primitive, mlir.lower_fun(on_cpu, multiple_results=True), platform="cpu")

    def change(operands: Arrays, changes: Sequence[Any], **settings: Any) -> tuple[Any, Any]:
        tangents = tuple(ad.instantiate_zeros(c) for c in changes)
        return jax.jvp(functools.partial(meaning, **settings), tuple(operands), tangents)

    def mapped(operands: Arrays, axes: Sequence[Any], **settings: Any) -> tuple[Any, Any]:
        results = jax.vmap(functools.partial(meaning, **settings), tuple(axes))(*operands)
        return results, [0] * len(results)

    ad.primitive_jvps[primitive] = change
    batching.primitive_batchers[primitive] = mapped
    return primitive


_update = _primitive(
    "parameter_update",
    lambda *arrays, count, **_: [a.update(weak_type=False) for a in arrays[3 + count :]],
    lambda *arrays, meaning, **_: meaning(*arrays),
    _update_on_cpu,
)
_all_finite = _primitive(
    "all_finite",
    lambda *arrays: [arrays[0].update(shape=(), dtype=np.dtype(bool), weak_type=False)],
    _sums_are_finite,
    _finite_on_cpu,
)
