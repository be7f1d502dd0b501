"""Operations that run functions: branches, loops, maps, derivatives of one's own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from nacre.core.variables import Variable
from nacre.ops.operation import transformation

__all__ = [
    "associative_scan",
    "cond",
    "custom_gradient",
    "fori_loop",
    "map",
    "scan",
    "switch",
    "vectorize",
    "vectorized_map",
    "while_loop",
]


@transformation
def cond(pred: Any, true_fn: Callable[[], Any], false_fn: Callable[[], Any]) -> Any:
    """``true_fn()`` if ``pred`` holds, else ``false_fn()``; both return arrays of one shape.

    Example:
        >>> float(cond(2 > 1, lambda: 1.0, lambda: 0.0))
        1.0
    """
    return jax.lax.cond(jnp.asarray(pred).astype(bool).reshape(()), true_fn, false_fn)


@transformation
def switch(index: Any, branches: Sequence[Callable[..., Any]], *operands: Any) -> Any:
    """``branches[index](*operands)``; an index out of range means the nearest branch.

    Example:
        >>> float(switch(1, [lambda x: x, lambda x: 2 * x], 3.0))
        6.0
    """
    return jax.lax.switch(jnp.asarray(index).astype("int32"), branches, *operands)


@transformation
def while_loop(
    cond: Callable[..., Any],
    body: Callable[..., Any],
    loop_vars: Any,
    maximum_iterations: int | None = None,
) -> Any:
    """``loop_vars = body(*loop_vars)`` for as long as ``cond(*loop_vars)`` holds.

    Args:
        cond: returns whether to go on.
        body: returns the loop's variables anew, in the same shapes and types.
        loop_vars: a tuple or list of them, or a single one.
        maximum_iterations: stop after so many.

    Example:
        >>> int(while_loop(lambda i: i < 10, lambda i: i + 3, 0))
        12
    """
    several = isinstance(loop_vars, list | tuple)
    limit = jnp.iinfo("int32").max if maximum_iterations is None else maximum_iterations
    pack: Callable[[Any], tuple[Any, ...]] = tuple if several else lambda value: (value,)

    def goes_on(carry: Any) -> Any:
        count, values = carry
        return jnp.logical_and(count < limit, jnp.asarray(cond(*values)).reshape(()))

    def step(carry: Any) -> Any:
        count, values = carry
        return count + 1, pack(body(*values))

    start = (jnp.zeros((), "int32"), jax.tree.map(jnp.asarray, pack(loop_vars)))
    _, values = jax.lax.while_loop(goes_on, step, start)
    return values if several else values[0]


@transformation
def fori_loop(lower: Any, upper: Any, body_fun: Callable[[Any, Any], Any], init_val: Any) -> Any:
    """``value = body_fun(i, value)`` for i from ``lower`` up to, not including, ``upper``.

    Example:
        >>> int(fori_loop(0, 4, lambda i, total: total + i, 0))
        6
    """
    return jax.lax.fori_loop(lower, upper, body_fun, init_val)


@transformation
def scan(
    f: Callable[[Any, Any], tuple[Any, Any]],
    init: Any,
    xs: Any = None,
    length: int | None = None,
    reverse: bool = False,
    unroll: int | bool = 1,
) -> tuple[Any, Any]:
    """``carry, y = f(carry, x)`` for each x along the first axis; the last carry and all the y.

    Example:
        >>> total, sums = scan(lambda c, x: (c + x, c + x), 0, jnp.arange(4))
        >>> int(total), sums.tolist()
        (6, [0, 1, 3, 6])
    """
    return jax.lax.scan(f, init, xs, length=length, reverse=reverse, unroll=unroll)


@transformation
def associative_scan(
    f: Callable[[Any, Any], Any], elems: Any, reverse: bool = False, axis: int = 0
) -> Any:
    """The running results of an associative ``f``, in parallel.

    Example:
        >>> associative_scan(jnp.maximum, jnp.array([1, 3, 2])).tolist()
        [1, 3, 3]
    """
    return jax.lax.associative_scan(f, elems, reverse, axis)


@transformation
def map(f: Callable[[Any], Any], xs: Any) -> Any:
    """``f(x)`` for each x along the first axis, one after the other.

    Example:
        >>> map(lambda x: x * x, jnp.arange(3)).tolist()
        [0, 1, 4]
    """
    return jax.lax.map(f, xs)


@transformation
def vectorized_map(function: Callable[[Any], Any], elements: Any) -> Any:
    """``function(element)`` for each element along the first axis, all at once.

    Example:
        >>> vectorized_map(lambda x: x * x, jnp.arange(3)).tolist()
        [0, 1, 4]
    """
    return jax.vmap(function)(jax.tree.map(jnp.asarray, elements))


def vectorize(
    pyfunc: Callable[..., Any],
    *,
    excluded: set[int | str] | None = None,
    signature: str | None = None,
) -> Callable[..., Any]:
    """A function that applies ``pyfunc`` along leading axes, which are broadcast.

    Args:
        pyfunc: a function of arrays.
        excluded: positions or names of arguments that are passed on as they are.
        signature: the inner axes, as in "(n),(n)->()".

    Example:
        >>> add = vectorize(lambda a, b: a + b)
        >>> add(jnp.arange(3), 1).tolist()
        [1, 2, 3]
    """
    return jnp.vectorize(pyfunc, excluded=frozenset(excluded or ()), signature=signature)


def custom_gradient(f: Callable[..., Any]) -> Callable[..., Any]:
    """Decorator: a function that returns its value and the function of its gradient.

    Example:
        >>> @custom_gradient
        ... def identity(x):
        ...     return x, lambda upstream: 10.0 * upstream
        >>> float(jax.grad(identity)(1.0))
        10.0
    """
    gradient = jax.custom_gradient(f)

    def with_values(*args: Any) -> Any:
        # custom_gradient would ask a variable for the value it has outside the running call.
        return gradient(*(arg.value if isinstance(arg, Variable) else arg for arg in args))

    return with_values
