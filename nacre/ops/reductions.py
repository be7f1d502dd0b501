"""Operations that take axes away, and running totals."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from nacre.ops.families import axes as as_axes, cumulative, quantiles, reduction, segments
from nacre.ops.operation import ArrayLike, DType, Floating, OperationError, operation

__all__ = [
    "all",
    "amax",
    "amin",
    "any",
    "argmax",
    "argmin",
    "average",
    "bincount",
    "count_nonzero",
    "cumprod",
    "cumsum",
    "histogram",
    "logsumexp",
    "max",
    "mean",
    "median",
    "min",
    "moments",
    "nanargmax",
    "nanargmin",
    "nancumprod",
    "nancumsum",
    "nanmax",
    "nanmean",
    "nanmedian",
    "nanmin",
    "nanpercentile",
    "nanprod",
    "nanquantile",
    "nanstd",
    "nansum",
    "nanvar",
    "percentile",
    "prod",
    "ptp",
    "quantile",
    "segment_max",
    "segment_min",
    "segment_prod",
    "segment_sum",
    "std",
    "sum",
    "trapezoid",
    "var",
]

sum = reduction(jnp.sum, "The sum.")
mean = reduction(jnp.mean, "The mean.", floating=True)
var = reduction(jnp.var, "The variance: the mean of (x - mean(x))**2.", floating=True)
std = reduction(jnp.std, "The standard deviation: sqrt(var(x)).", floating=True)
median = reduction(jnp.median, "The median.", floating=True)
amax = reduction(jnp.amax, "The largest element.", name="amax")
amin = reduction(jnp.amin, "The smallest element.", name="amin")
ptp = reduction(jnp.ptp, "The largest element minus the smallest.")
all = reduction(jnp.all, "Whether every element is true (not zero).")
any = reduction(jnp.any, "Whether some element is true (not zero).")
argmax = reduction(jnp.argmax, "The position of the largest element.")
argmin = reduction(jnp.argmin, "The position of the smallest element.")
logsumexp = reduction(jax.nn.logsumexp, "log(sum(exp(x))), without overflow.", floating=True)

# The same, as if NaN were not there

nansum = reduction(jnp.nansum, "The sum of what is not NaN.")
nanprod = reduction(jnp.nanprod, "The product of what is not NaN.")
nanmean = reduction(jnp.nanmean, "The mean of what is not NaN.", floating=True)
nanvar = reduction(jnp.nanvar, "The variance of what is not NaN.", floating=True)
nanstd = reduction(jnp.nanstd, "The standard deviation of what is not NaN.", floating=True)
nanmedian = reduction(jnp.nanmedian, "The median of what is not NaN.", floating=True)
nanmax = reduction(jnp.nanmax, "The largest element that is not NaN.")
nanmin = reduction(jnp.nanmin, "The smallest element that is not NaN.")
nanargmax = reduction(jnp.nanargmax, "The position of the largest element that is not NaN.")
nanargmin = reduction(jnp.nanargmin, "The position of the smallest element that is not NaN.")

cumsum = cumulative(jnp.cumsum, "The sum of the elements so far.")
cumprod = cumulative(jnp.cumprod, "The product of the elements so far.")
nancumsum = cumulative(jnp.nancumsum, "The sum of the elements so far that are not NaN.")
nancumprod = cumulative(jnp.nancumprod, "The product of the elements so far that are not NaN.")

quantile = quantiles(jnp.quantile, "The value that a part ``q`` of the elements are below.")
percentile = quantiles(jnp.percentile, "The value that ``q`` percent of the elements are below.")
nanquantile = quantiles(jnp.nanquantile, "The quantile of what is not NaN.")
nanpercentile = quantiles(jnp.nanpercentile, "The percentile of what is not NaN.")

segment_sum = segments(jax.ops.segment_sum, "The sum of each segment.")
segment_prod = segments(jax.ops.segment_prod, "The product of each segment.")
segment_max = segments(jax.ops.segment_max, "The largest element of each segment.")
segment_min = segments(jax.ops.segment_min, "The smallest element of each segment.")

Axis = int | Sequence[int] | None


@operation
def max(
    x: ArrayLike, axis: Axis = None, keepdims: bool = False, initial: float | None = None
) -> jax.Array:
    """The largest element, ``initial`` included.

    Example:
        >>> max([[1, 5], [3, 2]], axis=0).tolist()
        [3, 5]
    """
    return jnp.max(x, axis=as_axes(axis), keepdims=keepdims, initial=initial)


@operation
def min(
    x: ArrayLike, axis: Axis = None, keepdims: bool = False, initial: float | None = None
) -> jax.Array:
    """The smallest element, ``initial`` included.

    Example:
        >>> min([[1, 5], [3, 2]], axis=0).tolist()
        [1, 2]
    """
    return jnp.min(x, axis=as_axes(axis), keepdims=keepdims, initial=initial)


@operation
def prod(x: ArrayLike, axis: Axis = None, keepdims: bool = False, dtype: DType = None) -> jax.Array:
    """The product of the elements.

    Example:
        >>> int(prod([2, 3, 4]))
        24
    """
    return jnp.prod(x, axis=as_axes(axis), keepdims=keepdims, dtype=dtype)


@operation
def average(x: Floating, axis: Axis = None, weights: Floating = None) -> jax.Array:
    """The weighted mean: sum(x * weights) / sum(weights).

    Example:
        >>> float(average([1.0, 2.0], weights=[3.0, 1.0]))
        1.25
    """
    return jnp.average(x, axis=as_axes(axis), weights=weights)


@operation
def count_nonzero(x: ArrayLike, axis: Axis = None) -> jax.Array:
    """The number of elements that are not zero."""
    return jnp.count_nonzero(x, axis=as_axes(axis)).astype("int32")


@operation
def moments(
    x: Floating, axes: Axis, keepdims: bool = False, synchronized: bool = False
) -> tuple[jax.Array, jax.Array]:
    """The mean and the variance. 16-bit numbers are summed in 32 bits.

    Example:
        >>> [float(v) for v in moments([1.0, 3.0], axes=0)]
        [2.0, 1.0]
    """
    if synchronized:
        raise OperationError("ops.moments always sees the whole batch; leave out synchronized.")
    wide = x.astype(jnp.promote_types(x.dtype, "float32"))
    mean = jnp.mean(wide, as_axes(axes), keepdims=keepdims)
    variance = jnp.var(wide, as_axes(axes), keepdims=keepdims)
    limit = jnp.finfo(x.dtype).max.astype(wide.dtype)
    return (
        jnp.clip(mean, -limit, limit).astype(x.dtype),
        jnp.clip(variance, -limit, limit).astype(x.dtype),
    )


@operation
def bincount(
    x: ArrayLike, weights: ArrayLike = None, minlength: int = 0, sparse: bool = False
) -> jax.Array:
    """How often each whole number from 0 on occurs; with weights, the sum of their weights.

    Rows of a matrix are counted apart. The length of the result depends on the values, so this
    works outside compiled code only.

    Example:
        >>> bincount([0, 1, 1, 3]).tolist()
        [1, 2, 0, 1]
    """
    if sparse:
        raise OperationError("ops.bincount has no sparse results; leave out sparse.")
    length = int(x.max()) + 1 if x.size else 0
    length = length if length > minlength else minlength
    if x.ndim < 2:
        return jnp.bincount(x, weights=weights, length=length)
    count = jax.vmap(lambda row, weight: jnp.bincount(row, weights=weight, length=length))
    return count(x, jnp.ones_like(x) if weights is None else weights)


@operation
def histogram(
    x: ArrayLike, bins: int | Any = 10, range: tuple[float, float] | None = None
) -> tuple[jax.Array, jax.Array]:
    """How many elements fall in each of ``bins`` equal intervals, and the intervals' edges."""
    return jnp.histogram(x, bins=jnp.asarray(bins) if _many(bins) else bins, range=range)


@operation
def trapezoid(y: Floating, x: Floating = None, dx: float = 1.0, axis: int = -1) -> jax.Array:
    """The area under the points ``(x, y)``, by trapezoids; ``dx`` apart where ``x`` is not given.

    Example:
        >>> float(trapezoid([1.0, 2.0, 3.0]))
        4.0
    """
    return jnp.trapezoid(y, x, dx=dx, axis=axis)


def _many(value: Any) -> bool:
    return isinstance(value, list | tuple)
