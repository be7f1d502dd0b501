"""What every update rule is written with: one set of equations, applied to each parameter.

A rule computes its scalars (the step's learning rate, the bias corrections) once, then hands the
equations for one parameter to :func:`per_parameter`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

__all__ = ["filled_like", "per_parameter", "scalar_dtype", "update_number"]


def per_parameter(
    equations: Callable[..., tuple[Any, ...]], *trees: Any, **scalars: jax.Array
) -> tuple[Any, ...]:
    """Apply ``equations`` to the arrays that belong to each parameter.

    Args:
        equations: takes one array from each tree, and the scalars by name; returns a tuple.
        trees: trees of one structure, such as ``dict[str, Array]`` with the same paths.
        scalars: passed on in the data type of the parameter's first array.

    Returns:
        A tuple of trees, one for each value that ``equations`` returns, in that same data type.

    Example:
        >>> import jax.numpy as jnp
        >>> double, = per_parameter(lambda g, k: (k * g,), {"a": jnp.ones(2)}, k=jnp.float32(2))
        >>> double["a"].tolist()
        [2.0, 2.0]
    """
    leaves, structure = jax.tree.flatten(trees[0])
    columns = [leaves, *(structure.flatten_up_to(tree) for tree in trees[1:])]
    cast = {
        dtype: {name: scalar.astype(dtype) for name, scalar in scalars.items()}
        for dtype in {leaf.dtype for leaf in leaves}
    }
    results = []
    for arrays in zip(*columns):
        dtype = arrays[0].dtype
        results.append([value.astype(dtype) for value in equations(*arrays, **cast[dtype])])
    return tuple(structure.unflatten(values) for values in zip(*results))


def scalar_dtype(tree: Any) -> Any:
    """The type for scalars that act on ``tree``: float32, or float64 if an array has that type.

    Half precision would round ``beta_2 = 0.999`` to 1.
    """
    has_float64 = any(leaf.dtype == jnp.float64 for leaf in jax.tree.leaves(tree))
    return jnp.float64 if has_float64 else jnp.float32


def update_number(step: Any, learning_rate: jax.Array) -> jax.Array:
    """The papers' ``t``, 1 in the first update, in the data type of the learning rate."""
    return jnp.asarray(step + 1).astype(learning_rate.dtype)


def filled_like(tree: Any, value: float) -> Any:
    """Arrays of ``value`` with the shapes, data types and placement of those in ``tree``."""
    return jax.tree.map(lambda array: _filled(array, value), tree)


def _filled(array: Any, value: float) -> jax.Array:
    if isinstance(array, Tracer):
        return jnp.full_like(array, value)
    # Filled on the host: jnp.full_like compiles a program for every shape.
    filled = np.full(array.shape, value, array.dtype)
    if isinstance(array, jax.Array) and len(array.sharding.device_set) > 1:
        return jax.device_put(filled, array.sharding)
    return jax.device_put(filled)
