"""Operations that make arrays, convert them, and tell what they are."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from nacre.core.dtypes import floatx
from nacre.core.errors import ArgumentError, explain
from nacre.core.symbolic import SymbolicTensor
from nacre.core.variables import Variable
from nacre.ops.families import window
from nacre.ops.operation import ArrayLike, DType, Operand, Verbatim, data_type, operation, to_array

__all__ = [
    "arange",
    "array",
    "bartlett",
    "blackman",
    "cast",
    "convert_to_numpy",
    "convert_to_tensor",
    "copy",
    "dtype",
    "empty",
    "empty_like",
    "eye",
    "full",
    "full_like",
    "geomspace",
    "hamming",
    "hanning",
    "identity",
    "is_tensor",
    "kaiser",
    "linspace",
    "logspace",
    "meshgrid",
    "multi_hot",
    "ndim",
    "one_hot",
    "ones",
    "ones_like",
    "shape",
    "size",
    "stop_gradient",
    "tri",
    "vander",
    "view",
    "zeros",
    "zeros_like",
]

bartlett = window(jnp.bartlett, "The Bartlett window: a triangle.")
blackman = window(jnp.blackman, "The Blackman window: 0.42 - 0.5 cos + 0.08 cos.")
hamming = window(jnp.hamming, "The Hamming window: 0.54 - 0.46 cos.")
hanning = window(jnp.hanning, "The Hann window: 0.5 - 0.5 cos.")


# From numbers


@operation
def zeros(shape: Sequence[int], dtype: DType = None) -> jax.Array:
    """An array of zeros, in the default floating-point type unless ``dtype`` is given.

    Example:
        >>> zeros((2, 2)).tolist()
        [[0.0, 0.0], [0.0, 0.0]]
    """
    return jnp.zeros(shape, dtype or floatx())


@operation
def ones(shape: Sequence[int], dtype: DType = None) -> jax.Array:
    """An array of ones, in the default floating-point type unless ``dtype`` is given."""
    return jnp.ones(shape, dtype or floatx())


@operation
def empty(shape: Sequence[int], dtype: DType = None) -> jax.Array:
    """An array of which only the shape matters (its values are zeros)."""
    return jnp.zeros(shape, dtype or floatx())


@operation
def full(shape: Sequence[int], fill_value: ArrayLike, dtype: DType = None) -> jax.Array:
    """An array that repeats one value.

    Example:
        >>> full((2,), 7.0).tolist()
        [7.0, 7.0]
    """
    return jnp.full(shape, fill_value, dtype or floatx())


@operation
def zeros_like(x: ArrayLike, dtype: DType = None) -> jax.Array:
    """Zeros in the shape and type of ``x``."""
    return jnp.zeros_like(x, dtype)


@operation
def ones_like(x: ArrayLike, dtype: DType = None) -> jax.Array:
    """Ones in the shape and type of ``x``."""
    return jnp.ones_like(x, dtype)


@operation
def empty_like(x: ArrayLike, dtype: DType = None) -> jax.Array:
    """An array in the shape and type of ``x`` (its values are zeros)."""
    return jnp.zeros_like(x, dtype)


@operation
def full_like(x: ArrayLike, fill_value: ArrayLike, dtype: DType = None) -> jax.Array:
    """One value repeated in the shape and type of ``x``."""
    return jnp.full_like(x, fill_value, dtype)


@operation
def arange(
    start: Verbatim, stop: Verbatim = None, step: Verbatim = None, dtype: DType = None
) -> jax.Array:
    """The numbers from ``start`` (0 if only one number is given) up to, not including, ``stop``.

    Example:
        >>> arange(3).tolist(), arange(1.0, 2.0, 0.5).tolist()
        ([0, 1, 2], [1.0, 1.5])
    """
    bounds = [np.asarray(value).item() for value in (start, stop, step) if value is not None]
    if dtype is None:
        dtype = floatx() if any(isinstance(bound, float) for bound in bounds) else "int32"
    step = 1 if step is None else bounds[-1]
    low, high = (0, bounds[0]) if stop is None else bounds[:2]
    return jnp.asarray(np.arange(low, high, step).astype(dtype))


@operation
def linspace(
    start: Operand,
    stop: Operand,
    num: int = 50,
    endpoint: bool = True,
    retstep: bool = False,
    dtype: DType = None,
    axis: int = 0,
) -> Any:
    """``num`` numbers at equal distances from ``start`` to ``stop``.

    Example:
        >>> linspace(0, 1, 3).tolist()
        [0.0, 0.5, 1.0]
    """
    dtype = dtype or _floating_type(start)
    return jnp.linspace(start, stop, num, endpoint, retstep, dtype, axis=axis)


@operation
def logspace(
    start: Operand,
    stop: Operand,
    num: int = 50,
    endpoint: bool = True,
    base: float = 10,
    dtype: DType = None,
    axis: int = 0,
) -> jax.Array:
    """``num`` numbers at equal ratios, from base**start to base**stop."""
    dtype = dtype or _floating_type(start)
    return jnp.logspace(start, stop, num, endpoint, base, dtype, axis)


@operation
def geomspace(
    start: Operand,
    stop: Operand,
    num: int = 50,
    endpoint: bool = True,
    dtype: DType = None,
    axis: int = 0,
) -> jax.Array:
    """``num`` numbers at equal ratios, from ``start`` to ``stop``."""
    dtype = dtype or _floating_type(start)
    return jnp.geomspace(start, stop, num, endpoint, dtype, axis)


def _floating_type(array: jax.Array) -> Any:
    return array.dtype if jnp.issubdtype(array.dtype, jnp.inexact) else floatx()


@operation
def eye(N: int, M: int | None = None, k: int = 0, dtype: DType = None) -> jax.Array:
    """A matrix with ones on the ``k``-th diagonal and zeros elsewhere."""
    return jnp.eye(int(N), M, k, dtype=dtype or floatx())


@operation
def identity(n: int, dtype: DType = None) -> jax.Array:
    """The identity matrix of ``n`` rows."""
    return jnp.identity(n, dtype=dtype or floatx())


@operation
def tri(N: int, M: int | None = None, k: int = 0, dtype: DType = None) -> jax.Array:
    """A matrix with ones on and below the ``k``-th diagonal and zeros elsewhere."""
    return jnp.tri(N, M, k, dtype=dtype or floatx())


@operation
def vander(x: ArrayLike, N: int | None = None, increasing: bool = False) -> jax.Array:
    """The Vandermonde matrix: a column for each power of ``x``."""
    return jnp.vander(x, N, increasing)


@operation
def kaiser(x: int, beta: float) -> jax.Array:
    """The Kaiser window of length ``x``, the narrower the larger ``beta``."""
    return jnp.kaiser(x, beta).astype(floatx())


@operation
def meshgrid(*x: ArrayLike, indexing: str = "xy") -> list[jax.Array]:
    """From the coordinates along each axis, those of every point of the grid."""
    return jnp.meshgrid(*x, indexing=indexing)


@operation
def one_hot(
    x: ArrayLike, num_classes: int, axis: int = -1, dtype: DType = None, sparse: bool = False
) -> jax.Array:
    """1 in the place of the class, 0 elsewhere; all 0 for a class that is out of range.

    Args:
        x: whole numbers, the classes.
        num_classes: how many classes there are.
        axis: where the new axis goes.
        dtype: the data type of the result, the default floating-point type if not given.
        sparse: not available.

    Example:
        >>> one_hot([0, 2], 3).tolist()
        [[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]
    """
    _refuse_sparse(sparse)
    return jax.nn.one_hot(x.astype("int32"), num_classes, axis=axis, dtype=dtype or floatx())


@operation
def multi_hot(
    inputs: ArrayLike,
    num_classes: int | None = None,
    axis: int = -1,
    dtype: DType = None,
    sparse: bool = False,
) -> jax.Array:
    """1 in the place of every class that occurs in a row of ``inputs``, 0 elsewhere.

    Example:
        >>> multi_hot([[0, 2], [1, 1]], 3).tolist()
        [[1.0, 0.0, 1.0], [0.0, 1.0, 0.0]]
    """
    _refuse_sparse(sparse)
    if num_classes is None:
        raise ArgumentError("ops.multi_hot needs num_classes.")
    hot = jax.nn.one_hot(inputs.astype("int32"), num_classes, axis=axis, dtype=dtype or floatx())
    return hot.max(axis=1 if inputs.ndim > 1 else 0)


def _refuse_sparse(sparse: Any) -> None:
    if sparse:
        raise ArgumentError(
            explain("There are no sparse arrays.", received="sparse=True", fix="leave it out.")
        )


# Conversions


@operation
def convert_to_tensor(
    x: ArrayLike, dtype: DType = None, sparse: bool | None = None, ragged: bool | None = None
) -> jax.Array:
    """An array from an array, a NumPy array, nested lists, a number or a variable.

    Example:
        >>> convert_to_tensor([1, 2]).dtype.name, convert_to_tensor([1.5]).dtype.name
        ('int32', 'float32')
    """
    _refuse_sparse(sparse or ragged)
    return x if dtype is None else x.astype(dtype)


@operation
def array(x: ArrayLike, dtype: DType = None) -> jax.Array:
    """An array from an array, a NumPy array, nested lists, a number or a variable."""
    return x if dtype is None else x.astype(dtype)


@operation
def cast(x: ArrayLike, dtype: DType) -> jax.Array:
    """``x`` in another data type.

    Example:
        >>> cast([0.0, 1.5], "int32").tolist()
        [0, 1]
    """
    return x.astype(dtype)


@operation
def view(x: ArrayLike, dtype: DType = None) -> jax.Array:
    """The same bytes read as another data type."""
    return x.view(dtype)


@operation
def copy(x: ArrayLike) -> jax.Array:
    """A copy."""
    return jnp.copy(x)


@operation
def stop_gradient(variable: ArrayLike) -> jax.Array:
    """The same values, through which no gradient flows.

    Example:
        >>> import jax
        >>> float(jax.grad(lambda x: x * stop_gradient(x))(3.0))
        3.0
    """
    return jax.lax.stop_gradient(variable)


def convert_to_numpy(x: Any) -> np.ndarray:
    """A NumPy array with the values of ``x``.

    Example:
        >>> convert_to_numpy([1.0, 2.0])
        array([1., 2.], dtype=float32)
    """
    if isinstance(x, SymbolicTensor):
        raise ArgumentError(
            explain(
                "A symbolic tensor has no values yet.",
                received=repr(x),
                fix="run the model on an example first.",
            )
        )
    return np.array(x if isinstance(x, np.ndarray) else to_array(x))


# Questions about arrays, answered at once, for symbolic tensors too


def shape(x: Any) -> tuple[int | None, ...]:
    """The sizes of the axes; None where a symbolic tensor's is not known.

    Example:
        >>> shape([[1, 2, 3]])
        (1, 3)
    """
    return tuple((x if hasattr(x, "shape") else to_array(x)).shape)


def ndim(x: Any) -> int:
    """The number of axes."""
    return len(shape(x))


def size(x: Any) -> int | None:
    """The number of elements; None where a symbolic tensor's is not known."""
    sizes = shape(x)
    known = [size for size in sizes if size is not None]
    return math.prod(known) if len(known) == len(sizes) else None


def dtype(x: Any) -> str | None:
    """The name of the data type."""
    return data_type((x if hasattr(x, "dtype") else to_array(x)).dtype)


def is_tensor(x: Any) -> bool:
    """Whether ``x`` is an array, a variable or a symbolic tensor."""
    return isinstance(x, jax.Array | Variable | SymbolicTensor)
