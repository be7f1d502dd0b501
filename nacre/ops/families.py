"""Families of operations that share a signature: each member is a line in a table."""

from __future__ import annotations

import builtins
from collections.abc import Callable, Sequence
from typing import Any

import jax

from nacre.core.dtypes import floatx
from nacre.ops.operation import ArrayLike, DType, Floating, Operand, operation

__all__ = ["axes", "binary", "cumulative", "quantiles", "reduction", "segments", "unary", "window"]

Axis = int | Sequence[int] | None


def _named(
    operate: Callable[..., Any], function: Callable[..., Any], name: str | None, summary: str
) -> Any:
    """Make ``operate`` the operation called ``name``, by default as ``function`` is."""
    operate.__name__ = operate.__qualname__ = name or function.__name__
    operate.__module__ = "nacre.ops"
    arguments = (operate.__doc__ or "").strip()
    operate.__doc__ = f"{summary}\n\n    Args:\n        {arguments}\n    "
    return operation(operate)


def unary(
    function: Callable[..., Any], summary: str, *, floating: bool = False, name: str | None = None
) -> Callable[[Any], jax.Array]:
    """An operation on every element of one array."""

    def in_own_type(x: ArrayLike) -> jax.Array:
        """x: an array of any shape."""
        return function(x)

    def in_floating_type(x: Floating) -> jax.Array:
        """x: an array of any shape; integers are computed in the default floating-point type."""
        return function(x)

    return _named(in_floating_type if floating else in_own_type, function, name, summary)


def binary(
    function: Callable[..., Any], summary: str, *, floating: bool = False, name: str | None = None
) -> Callable[[Any, Any], jax.Array]:
    """An operation on the elements of two arrays, in their common type."""

    def in_common_type(x1: Operand, x2: Operand) -> jax.Array:
        """x1, x2: arrays whose shapes can be broadcast against each other."""
        return function(x1, x2)

    def in_floating_type(x1: Floating, x2: Floating) -> jax.Array:
        """x1, x2: arrays whose shapes can be broadcast; integers are computed as floats."""
        return function(x1, x2)

    return _named(in_floating_type if floating else in_common_type, function, name, summary)


def reduction(
    function: Callable[..., Any], summary: str, *, floating: bool = False, name: str | None = None
) -> Callable[..., jax.Array]:
    """An operation that takes axes away."""

    def in_own_type(x: ArrayLike, axis: Axis = None, keepdims: bool = False) -> jax.Array:
        """x: an array.
        axis: the axis or axes to take away, all by default.
        keepdims: whether they stay, with size 1.
        """
        return function(x, axis=axes(axis), keepdims=keepdims)

    def in_floating_type(x: Floating, axis: Axis = None, keepdims: bool = False) -> jax.Array:
        """x: an array; integers are computed in the default floating-point type.
        axis: the axis or axes to take away, all by default.
        keepdims: whether they stay, with size 1.
        """
        return function(x, axis=axes(axis), keepdims=keepdims)

    return _named(in_floating_type if floating else in_own_type, function, name, summary)


def axes(axis: Any) -> Any:
    """Axes as JAX takes them: several of them as a tuple."""
    return tuple(axis) if isinstance(axis, list) else axis


def cumulative(function: Callable[..., Any], summary: str) -> Callable[..., jax.Array]:
    """A running total of some kind."""

    def operate(x: ArrayLike, axis: int | None = None, dtype: DType = None) -> jax.Array:
        """x: an array.
        axis: the axis to run along; by default the array is flattened first.
        dtype: the data type of the result.
        """
        return function(x, axis=axis, dtype=dtype)

    return _named(operate, function, None, summary)


def quantiles(function: Callable[..., Any], summary: str) -> Callable[..., jax.Array]:
    """A quantile, by its position ``q``."""

    def operate(
        x: Floating,
        q: Floating,
        axis: Axis = None,
        method: str = "linear",
        keepdims: bool = False,
    ) -> jax.Array:
        """x: an array.
        q: one position or several: 0 to 1 for quantiles, 0 to 100 for percentiles.
        axis: the axis or axes to take away, all by default.
        method: between two elements, "linear", "lower", "higher", "midpoint" or "nearest".
        keepdims: whether the axes stay, with size 1.
        """
        return function(x, q, axis=axes(axis), method=method, keepdims=keepdims)

    return _named(operate, function, None, summary)


def segments(function: Callable[..., Any], summary: str) -> Callable[..., jax.Array]:
    """A reduction of the rows that belong to the same segment."""

    def operate(
        data: ArrayLike,
        segment_ids: ArrayLike,
        num_segments: int | None = None,
        sorted: bool = False,
    ) -> jax.Array:
        """data: an array; its first axis is taken apart into segments.
        segment_ids: the segment of each row.
        num_segments: how many there are; needed inside compiled code.
        sorted: whether the segments are in ascending order.
        """
        return function(
            data, segment_ids, num_segments=num_segments, indices_are_sorted=builtins.bool(sorted)
        )

    return _named(operate, function, None, summary)


def window(function: Callable[..., Any], summary: str) -> Callable[..., jax.Array]:
    """A tapering window of a given length."""

    def operate(x: int) -> jax.Array:
        """x: the length."""
        return function(x).astype(floatx())

    return _named(operate, function, None, summary)
