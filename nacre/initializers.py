"""Initializers: how the first values of a weight are drawn.

They are drawn on the host by NumPy, so that a large model starts without compiling anything. A
weight's generator is keyed by the seed and the weight's path; ``seed=`` overrules it.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from nacre.core import random
from nacre.core.configurable import Configurable
from nacre.core.dtypes import floatx
from nacre.core.errors import ArgumentError, ShapeError, explain
from nacre.core.registry import register, resolve

__all__ = [
    "Constant",
    "GlorotNormal",
    "GlorotUniform",
    "HeNormal",
    "HeUniform",
    "Identity",
    "Initializer",
    "LecunNormal",
    "LecunUniform",
    "Ones",
    "Orthogonal",
    "RandomInitializer",
    "RandomNormal",
    "RandomUniform",
    "TruncatedNormal",
    "VarianceScaling",
    "Zeros",
    "constant",
    "fans",
    "get",
    "glorot_normal",
    "glorot_uniform",
    "he_normal",
    "he_uniform",
    "identity",
    "lecun_normal",
    "lecun_uniform",
    "ones",
    "orthogonal",
    "random_normal",
    "random_uniform",
    "truncated_normal",
    "variance_scaling",
    "zeros",
]

# The standard deviation of a standard normal variable cut off at two standard deviations.
TRUNCATED_STDDEV = 0.87962566103423978

# Values are drawn this many at a time, so that every pass over them finds them in the cache.
BLOCK = 1 << 15

_calls = itertools.count()


def get(identifier: Any) -> Any:
    """The initializer for a name, a function, an object or None.

    Raises:
        ArgumentError: the name is unknown; the message has the nearest one.

    Example:
        >>> from nacre import initializers
        >>> type(initializers.get("he_normal")).__name__
        'HeNormal'
    """
    return resolve("initializer", identifier)


class Initializer(Configurable):
    """Base class. A subclass defines ``draw``, or ``__call__(shape, dtype=None)`` as in Keras."""

    def draw(self, shape: Sequence[int], dtype: Any, generator: np.random.Generator) -> np.ndarray:
        """An array of ``shape`` and ``dtype`` whose randomness comes from ``generator``."""
        if type(self).__call__ is Initializer.__call__:
            raise NotImplementedError(f"{type(self).__name__} defines neither draw nor __call__.")
        return np.asarray(self(tuple(shape), dtype=dtype))

    def __call__(self, shape: Sequence[int], dtype: Any = None) -> jax.Array:
        """An array of ``shape`` and ``dtype`` (the default floating-point type if None)."""
        dtype = np.dtype(jnp.dtype(dtype or floatx()))
        # Two weights of one shape must not start equal, so every call has a stream of its own.
        generator = random.generator(random.fresh_seed(), "initializer", next(_calls))
        return jnp.asarray(self.draw(tuple(shape), dtype, generator))


@register("initializer", "zero")
class Zeros(Initializer):
    """All values are 0.

    Example:
        >>> Zeros()((2,)).tolist()
        [0.0, 0.0]
    """

    def draw(self, shape: Sequence[int], dtype: Any, generator: np.random.Generator) -> np.ndarray:
        return np.zeros(shape, dtype)


@register("initializer", "one")
class Ones(Initializer):
    """All values are 1.

    Example:
        >>> Ones()((2,)).tolist()
        [1.0, 1.0]
    """

    def draw(self, shape: Sequence[int], dtype: Any, generator: np.random.Generator) -> np.ndarray:
        return np.ones(shape, dtype)


@register("initializer")
class Constant(Initializer):
    """All values are ``value``.

    Args:
        value: a number, or an array that broadcasts to the weight's shape.

    Raises:
        ShapeError: the value does not broadcast to the weight's shape.

    Example:
        >>> Constant(3)((2,)).tolist()
        [3.0, 3.0]
    """

    def __init__(self, value: Any = 0.0) -> None:
        self.value = value

    def draw(self, shape: Sequence[int], dtype: Any, generator: np.random.Generator) -> np.ndarray:
        value = np.asarray(self.value)
        try:
            return np.broadcast_to(value, shape).astype(dtype)
        except ValueError:
            raise ShapeError(
                explain(
                    "The value of a Constant initializer does not fit the weight.",
                    expected=f"a number, or an array that broadcasts to {tuple(shape)}",
                    received=f"an array of shape {value.shape}",
                )
            ) from None


@register("initializer", "IdentityInitializer")
class Identity(Initializer):
    """``gain`` on the diagonal of a matrix, 0 elsewhere.

    Raises:
        ShapeError: the weight is not a matrix.

    Example:
        >>> Identity()((2, 2)).tolist()
        [[1.0, 0.0], [0.0, 1.0]]
    """

    def __init__(self, gain: float = 1.0) -> None:
        self.gain = gain

    def draw(self, shape: Sequence[int], dtype: Any, generator: np.random.Generator) -> np.ndarray:
        if len(shape) != 2:
            raise ShapeError(
                explain(
                    "Only a matrix can start as the identity.", expected="2 axes", received=shape
                )
            )
        return (self.gain * np.eye(shape[0], shape[1])).astype(dtype)


class RandomInitializer(Initializer):
    """Base class of initializers that draw. A subclass defines ``sample``.

    Args:
        seed: a whole number for values that depend on it and on the shape alone.

    Raises:
        ArgumentError: the seed is not a whole number >= 0.
    """

    def __init__(self, seed: int | None = None) -> None:
        is_whole = isinstance(seed, int | np.integer) and not isinstance(seed, bool)
        if seed is not None and not (is_whole and seed >= 0):
            raise ArgumentError(
                explain(
                    f"The seed of {type(self).__name__} is not a whole number.",
                    expected="None or an integer >= 0",
                    received=repr(seed),
                )
            )
        self.seed = seed

    def draw(self, shape: Sequence[int], dtype: Any, generator: np.random.Generator) -> np.ndarray:
        if self.seed is not None:
            generator = random.generator(int(self.seed), *(int(size) for size in shape))
        # Sixteen-bit values are rounded from float32, which NumPy draws natively.
        native = np.dtype(np.float64 if np.dtype(dtype) == np.float64 else np.float32)
        return self.sample(tuple(shape), native, generator).astype(dtype, copy=False)

    def sample(
        self, shape: tuple[int, ...], dtype: np.dtype, generator: np.random.Generator
    ) -> np.ndarray:
        """An array of ``shape`` in ``dtype``, which is float32 or float64."""
        raise NotImplementedError


def _normal(
    shape: tuple[int, ...],
    dtype: np.dtype,
    generator: np.random.Generator,
    mean: float,
    stddev: float,
    limit: float | None = None,
) -> np.ndarray:
    """Normal values; those further than ``limit`` standard deviations away are drawn again."""
    values = np.empty(shape, dtype)
    flat = values.reshape(-1)
    for start in range(0, flat.size, BLOCK):
        block = flat[start : start + BLOCK]
        generator.standard_normal(dtype=dtype, out=block)
        if limit is not None:
            outside = np.flatnonzero(np.abs(block) > limit)
            while outside.size:
                block[outside] = generator.standard_normal(outside.size, dtype=dtype)
                outside = outside[np.abs(block[outside]) > limit]
        block *= dtype.type(stddev)
        block += dtype.type(mean)
    return values


def _uniform(
    shape: tuple[int, ...],
    dtype: np.dtype,
    generator: np.random.Generator,
    low: float,
    high: float,
) -> np.ndarray:
    values = np.empty(shape, dtype)
    flat = values.reshape(-1)
    for start in range(0, flat.size, BLOCK):
        block = flat[start : start + BLOCK]
        generator.random(dtype=dtype, out=block)
        block *= dtype.type(high - low)
        block += dtype.type(low)
    return values


@register("initializer", "normal")
class RandomNormal(RandomInitializer):
    """Normal values: w ~ N(mean, stddev^2).

    Args:
        mean: the mean.
        stddev: the standard deviation.
        seed: a whole number for values that depend on it and on the shape alone.

    Example:
        >>> RandomNormal(stddev=0.01, seed=0)((3, 4)).shape
        (3, 4)
    """

    def __init__(self, mean: float = 0.0, stddev: float = 0.05, seed: int | None = None) -> None:
        super().__init__(seed)
        self.mean = mean
        self.stddev = stddev

    def sample(
        self, shape: tuple[int, ...], dtype: np.dtype, generator: np.random.Generator
    ) -> np.ndarray:
        return _normal(shape, dtype, generator, self.mean, self.stddev)


@register("initializer")
class TruncatedNormal(RandomNormal):
    """Normal values, drawn again while they lie more than two standard deviations from the mean.

    The standard deviation of what is left is 0.88 ``stddev``.

    Args:
        mean: the mean.
        stddev: the standard deviation before truncation.
        seed: a whole number for values that depend on it and on the shape alone.

    Example:
        >>> bool(abs(TruncatedNormal(stddev=1.0)((1000,))).max() <= 2)
        True
    """

    def sample(
        self, shape: tuple[int, ...], dtype: np.dtype, generator: np.random.Generator
    ) -> np.ndarray:
        return _normal(shape, dtype, generator, self.mean, self.stddev, limit=2.0)


@register("initializer", "uniform")
class RandomUniform(RandomInitializer):
    """Uniform values: w ~ U[minval, maxval).

    Args:
        minval: the lower end.
        maxval: the upper end.
        seed: a whole number for values that depend on it and on the shape alone.

    Example:
        >>> bool(abs(RandomUniform(-1.0, 1.0)((1000,))).max() <= 1)
        True
    """

    def __init__(
        self, minval: float = -0.05, maxval: float = 0.05, seed: int | None = None
    ) -> None:
        super().__init__(seed)
        self.minval = minval
        self.maxval = maxval

    def sample(
        self, shape: tuple[int, ...], dtype: np.dtype, generator: np.random.Generator
    ) -> np.ndarray:
        return _uniform(shape, dtype, generator, self.minval, self.maxval)


def fans(
    shape: Sequence[int],
    input_axes: Sequence[int] | None = None,
    output_axes: Sequence[int] | None = None,
) -> tuple[int, int]:
    """How many inputs feed one output of a weight, and how many outputs one input feeds.

    A matrix is (inputs, outputs); a convolution kernel (*window, channels in, channels out).

    Args:
        shape: the weight's shape.
        input_axes: the axes that count as inputs, where the shape does not tell.
        output_axes: the axes that count as outputs.

    Example:
        >>> fans((3, 3, 16, 32))
        (144, 288)
    """
    if input_axes is not None and output_axes is not None:
        return (
            math.prod(int(shape[axis]) for axis in input_axes),
            math.prod(int(shape[axis]) for axis in output_axes),
        )
    if len(shape) < 2:
        size = math.prod(int(size) for size in shape)
        return size, size
    window = math.prod(int(size) for size in shape[:-2])
    return window * int(shape[-2]), window * int(shape[-1])


def _require_one_of(name: str, value: Any, allowed: Sequence[str]) -> None:
    if value not in allowed:
        raise ArgumentError(
            explain(
                f"VarianceScaling has no such {name}.",
                expected=", ".join(map(repr, allowed)),
                received=repr(value),
            )
        )


@register("initializer")
class VarianceScaling(RandomInitializer):
    """Values with mean 0 and variance ``scale / n``, so that signals neither grow nor fade.

    n is the number of inputs of an output (``"fan_in"``), of outputs of an input (``"fan_out"``),
    or the mean of both (``"fan_avg"``); see :func:`fans`. The uniform distribution is
    U(-l, l) with l = sqrt(3 * scale / n).

    Args:
        scale: a positive number.
        mode: ``"fan_in"``, ``"fan_out"`` or ``"fan_avg"``.
        distribution: ``"truncated_normal"`` (or ``"normal"``), ``"untruncated_normal"`` or
            ``"uniform"``.
        seed: a whole number for values that depend on it and on the shape alone.
        input_axes: the axes that count as inputs, where the shape does not tell.
        output_axes: the axes that count as outputs.

    Raises:
        ArgumentError: an argument is not one of these.

    Example:
        >>> VarianceScaling(2.0, "fan_out", "uniform", seed=0)((3, 4)).shape
        (3, 4)
    """

    def __init__(
        self,
        scale: float = 1.0,
        mode: str = "fan_in",
        distribution: str = "truncated_normal",
        seed: int | None = None,
        input_axes: Sequence[int] | None = None,
        output_axes: Sequence[int] | None = None,
    ) -> None:
        super().__init__(seed)
        if scale <= 0:
            raise ArgumentError(
                explain("The scale of VarianceScaling is not positive.", received=repr(scale))
            )
        _require_one_of("mode", mode, ("fan_in", "fan_out", "fan_avg"))
        distributions = ("truncated_normal", "normal", "untruncated_normal", "uniform")
        _require_one_of("distribution", distribution, distributions)
        self.scale = scale
        self.mode = mode
        self.distribution = distribution
        self.input_axes = input_axes
        self.output_axes = output_axes

    def sample(
        self, shape: tuple[int, ...], dtype: np.dtype, generator: np.random.Generator
    ) -> np.ndarray:
        fan_in, fan_out = fans(shape, self.input_axes, self.output_axes)
        n = {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": (fan_in + fan_out) / 2}[self.mode]
        stddev = math.sqrt(self.scale / max(1.0, n))
        if self.distribution == "uniform":
            limit = math.sqrt(3) * stddev
            return _uniform(shape, dtype, generator, -limit, limit)
        if self.distribution == "untruncated_normal":
            return _normal(shape, dtype, generator, 0.0, stddev)
        return _normal(shape, dtype, generator, 0.0, stddev / TRUNCATED_STDDEV, limit=2.0)


class _Scaling(VarianceScaling):
    """Variance scaling with the scale, mode and distribution of a paper."""

    _constants: tuple[float, str, str]

    def __init__(
        self,
        seed: int | None = None,
        input_axes: Sequence[int] | None = None,
        output_axes: Sequence[int] | None = None,
    ) -> None:
        super().__init__(*self._constants, seed, input_axes, output_axes)


@register("initializer")
class GlorotUniform(_Scaling):
    """Uniform values in (-l, l) with l = sqrt(6 / (fan_in + fan_out)). The default of most layers.

    Args:
        seed: a whole number for values that depend on it and on the shape alone.

    Example:
        >>> bool(abs(GlorotUniform()((3, 3))).max() <= 1)
        True

    Reference:
        Glorot and Bengio, Understanding the Difficulty of Training Deep Feedforward Neural
        Networks, 2010.
    """

    _constants = (1.0, "fan_avg", "uniform")


@register("initializer")
class GlorotNormal(_Scaling):
    """Truncated normal values with variance 2 / (fan_in + fan_out).

    Args:
        seed: a whole number for values that depend on it and on the shape alone.

    Example:
        >>> GlorotNormal()((3, 4)).shape
        (3, 4)

    Reference:
        Glorot and Bengio, 2010.
    """

    _constants = (1.0, "fan_avg", "truncated_normal")


@register("initializer")
class HeUniform(_Scaling):
    """Uniform values in (-l, l) with l = sqrt(6 / fan_in); made for relu.

    Args:
        seed: a whole number for values that depend on it and on the shape alone.

    Example:
        >>> bool(abs(HeUniform()((6, 4))).max() <= 1)
        True

    Reference:
        He et al., Delving Deep into Rectifiers, 2015.
    """

    _constants = (2.0, "fan_in", "uniform")


@register("initializer")
class HeNormal(_Scaling):
    """Truncated normal values with variance 2 / fan_in; made for relu.

    Args:
        seed: a whole number for values that depend on it and on the shape alone.

    Example:
        >>> HeNormal()((3, 4)).shape
        (3, 4)

    Reference:
        He et al., Delving Deep into Rectifiers, 2015.
    """

    _constants = (2.0, "fan_in", "truncated_normal")


@register("initializer")
class LecunUniform(_Scaling):
    """Uniform values in (-l, l) with l = sqrt(3 / fan_in).

    Args:
        seed: a whole number for values that depend on it and on the shape alone.

    Example:
        >>> bool(abs(LecunUniform()((3, 4))).max() <= 1)
        True

    Reference:
        LeCun et al., Efficient BackProp, 1998.
    """

    _constants = (1.0, "fan_in", "uniform")


@register("initializer")
class LecunNormal(_Scaling):
    """Truncated normal values with variance 1 / fan_in; made for selu.

    Args:
        seed: a whole number for values that depend on it and on the shape alone.

    Example:
        >>> LecunNormal()((3, 4)).shape
        (3, 4)

    Reference:
        Klambauer et al., Self-Normalizing Neural Networks, 2017.
    """

    _constants = (1.0, "fan_in", "truncated_normal")


@register("initializer", "OrthogonalInitializer")
class Orthogonal(RandomInitializer):
    """A random matrix with orthogonal rows or columns, whichever are fewer, times ``gain``.

    A weight with more than two axes is taken as a matrix of its last axis.

    Args:
        gain: the length of those rows or columns.
        seed: a whole number for values that depend on it and on the shape alone.

    Raises:
        ShapeError: the weight has fewer than two axes.

    Example:
        >>> w = Orthogonal(seed=0)((2, 2))
        >>> bool(abs(w[0] @ w[1]) < 1e-6)
        True

    Reference:
        Saxe et al., Exact Solutions to the Nonlinear Dynamics of Learning in Deep Linear Neural
        Networks, 2014.
    """

    def __init__(self, gain: float = 1.0, seed: int | None = None) -> None:
        super().__init__(seed)
        self.gain = gain

    def sample(
        self, shape: tuple[int, ...], dtype: np.dtype, generator: np.random.Generator
    ) -> np.ndarray:
        if len(shape) < 2:
            raise ShapeError(
                explain(
                    "An orthogonal weight needs two axes.",
                    expected="2 or more axes",
                    received=shape,
                )
            )
        rows, columns = math.prod(shape[:-1]), shape[-1]
        tall = (max(rows, columns), min(rows, columns))
        q, r = np.linalg.qr(generator.standard_normal(tall, dtype=dtype))
        # QR leaves the signs to the algorithm; fixing them makes the distribution uniform.
        q = q * np.sign(np.diag(r)).reshape(1, -1)
        return dtype.type(self.gain) * (q if rows >= columns else q.T).reshape(shape)


zeros, ones, constant, identity, orthogonal = Zeros, Ones, Constant, Identity, Orthogonal
random_normal, random_uniform, truncated_normal = RandomNormal, RandomUniform, TruncatedNormal
glorot_normal, glorot_uniform = GlorotNormal, GlorotUniform
he_normal, he_uniform = HeNormal, HeUniform
lecun_normal, lecun_uniform = LecunNormal, LecunUniform
variance_scaling = VarianceScaling
