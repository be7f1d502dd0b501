"""Random arrays, with Keras's names and numbers.

Each function takes a ``seed``. A whole number gives the same array every time, the same as Keras
gives. A :class:`SeedGenerator` gives a new one at each call. None draws from the key of the running
model (see ``nacre.set_seed``), or from a fresh key outside one.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from nacre.core import random
from nacre.core.configurable import Configurable
from nacre.core.dtypes import floatx
from nacre.core.errors import ArgumentError, explain
from nacre.core.registry import register
from nacre.core.scope import current_scope
from nacre.ops.operation import ArrayLike, DType, Floating, Verbatim, operation

__all__ = [
    "SeedGenerator",
    "beta",
    "binomial",
    "categorical",
    "dropout",
    "gamma",
    "normal",
    "randint",
    "shuffle",
    "truncated_normal",
    "uniform",
]


@register("seed_generator")
class SeedGenerator(Configurable):
    """A source of seeds: each use gives another one.

    Inside a running model the seeds also depend on the model's key, so that every step, every
    example stream and every replica draws its own numbers, and a run can be repeated.

    Args:
        seed: a whole number; drawn at random by default.
        name: not used.

    Example:
        >>> generator = SeedGenerator(1)
        >>> bool((normal((3,), seed=generator) == normal((3,), seed=generator)).any())
        False
    """

    def __init__(self, seed: int | None = None, name: str | None = None) -> None:
        if seed is not None and not _is_whole(seed):
            raise _not_a_seed("SeedGenerator", seed)
        self.seed = seed
        self.name = name
        self._first = secrets.randbits(31) if seed is None else int(seed)
        self._count = 0

    def next(self) -> jax.Array:
        """A random key that no earlier call has returned."""
        scope = current_scope()
        if scope is None:
            self._count += 1
            return _key(self._first, self._count - 1)
        layer = scope.stack[-1] if scope.stack else self
        return jax.random.fold_in(scope.next_key(layer), np.uint32(self._first % 2**32))


def _key(seed: int, count: int = 0) -> jax.Array:
    words = np.array([seed % 2**32, count], np.uint32)
    return jax.random.wrap_key_data(jnp.asarray(words), impl="threefry2x32")


def _is_whole(value: Any) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool) and int(value) >= 0


def _not_a_seed(owner: str, seed: Any) -> ArgumentError:
    return ArgumentError(
        explain(
            f"{owner} cannot use this seed.",
            expected="an integer >= 0, a nacre.random.SeedGenerator or None",
            received=repr(seed),
        )
    )


class _Nobody:
    """Stands for the layer where a key is asked for outside any."""

    name = "random"


def key_from(seed: Any) -> jax.Array:
    """The random key that ``seed`` stands for."""
    if isinstance(seed, SeedGenerator):
        return seed.next()
    if isinstance(seed, jax.Array):
        return seed
    if _is_whole(seed):
        return _key(int(seed))
    if seed is not None:
        raise _not_a_seed("nacre.random", seed)
    scope = current_scope()
    if scope is None:
        return random.next_eager_key()
    return scope.next_key(scope.stack[-1] if scope.stack else _Nobody)


# Arrays of a shape


@operation
def uniform(
    shape: Sequence[int],
    minval: ArrayLike = 0.0,
    maxval: ArrayLike = 1.0,
    dtype: DType = None,
    seed: Verbatim = None,
) -> jax.Array:
    """Numbers between ``minval`` (included) and ``maxval``, all equally likely.

    Example:
        >>> x = uniform((2, 3), minval=-1, maxval=1, seed=0)
        >>> x.shape, bool((abs(x) <= 1).all())
        ((2, 3), True)
    """
    dtype = dtype or floatx()
    if not jnp.issubdtype(dtype, jnp.floating):
        return jax.random.randint(key_from(seed), shape, minval, maxval, dtype)
    low, high = jnp.asarray(minval, dtype), jnp.asarray(maxval, dtype)
    return jax.random.uniform(key_from(seed), shape, dtype, low, high)


@operation
def normal(
    shape: Sequence[int],
    mean: ArrayLike = 0.0,
    stddev: ArrayLike = 1.0,
    dtype: DType = None,
    seed: Verbatim = None,
) -> jax.Array:
    """Numbers from a normal distribution.

    Example:
        >>> normal((2,), seed=1).tolist() == normal((2,), seed=1).tolist()
        True
    """
    dtype = dtype or floatx()
    sample = jax.random.normal(key_from(seed), tuple(shape), dtype)
    return sample * jnp.asarray(stddev, dtype) + jnp.asarray(mean, dtype)


@operation
def truncated_normal(
    shape: Sequence[int],
    mean: ArrayLike = 0.0,
    stddev: ArrayLike = 1.0,
    dtype: DType = None,
    seed: Verbatim = None,
) -> jax.Array:
    """Numbers from a normal distribution, without those beyond two standard deviations."""
    dtype = dtype or floatx()
    sample = jax.random.truncated_normal(key_from(seed), -2.0, 2.0, tuple(shape), dtype)
    return sample * jnp.asarray(stddev, dtype) + jnp.asarray(mean, dtype)


@operation
def randint(
    shape: Sequence[int],
    minval: ArrayLike,
    maxval: ArrayLike,
    dtype: DType = "int32",
    seed: Verbatim = None,
) -> jax.Array:
    """Whole numbers from ``minval`` up to, not including, ``maxval``."""
    return jax.random.randint(key_from(seed), tuple(shape), minval, maxval, dtype)


@operation
def gamma(
    shape: Sequence[int], alpha: Floating, dtype: DType = None, seed: Verbatim = None
) -> jax.Array:
    """Numbers from a gamma distribution of shape ``alpha`` and scale 1."""
    dtype = dtype or floatx()
    return jax.random.gamma(key_from(seed), jnp.asarray(alpha, dtype), tuple(shape), dtype)


@operation
def beta(
    shape: Sequence[int],
    alpha: Floating,
    beta: Floating,
    dtype: DType = None,
    seed: Verbatim = None,
) -> jax.Array:
    """Numbers between 0 and 1 from a beta distribution."""
    dtype = dtype or floatx()
    a, b = jnp.asarray(alpha, dtype), jnp.asarray(beta, dtype)
    return jax.random.beta(key_from(seed), a, b, tuple(shape), dtype)


@operation
def binomial(
    shape: Sequence[int],
    counts: Floating,
    probabilities: Floating,
    dtype: DType = None,
    seed: Verbatim = None,
) -> jax.Array:
    """How many of ``counts`` trials succeed, with the given probabilities."""
    dtype = dtype or floatx()
    n, p = jnp.asarray(counts, dtype), jnp.asarray(probabilities, dtype)
    return jax.random.binomial(key_from(seed), n, p, tuple(shape), dtype)


# Arrays from arrays


@operation
def categorical(
    logits: Floating, num_samples: int, dtype: DType = "int32", seed: Verbatim = None
) -> jax.Array:
    """Classes drawn with the probabilities softmax(logits).

    Args:
        logits: (batch, classes).
        num_samples: how many to draw for each row.
        dtype: the data type of the result.
        seed: a whole number, a SeedGenerator or None.

    Returns:
        (batch, num_samples).

    Example:
        >>> categorical([[0.0, 100.0]], 3, seed=0).tolist()
        [[1, 1, 1]]
    """
    shape = (logits.shape[0], num_samples)
    drawn = jax.random.categorical(key_from(seed), logits[..., None], axis=1, shape=shape)
    return drawn.astype(dtype)


@operation
def dropout(
    inputs: Floating,
    rate: float,
    noise_shape: Sequence[int | None] | None = None,
    seed: Verbatim = None,
) -> jax.Array:
    """Zero for a part ``rate`` of the elements; the others are divided by 1 - rate.

    Args:
        inputs: an array.
        rate: between 0 and 1.
        noise_shape: the shape of what is drawn, with 1 where an axis shares its fate; None in it
            stands for the size of the input.
        seed: a whole number, a SeedGenerator or None.
    """
    if not 0 <= rate <= 1:
        raise ArgumentError(
            explain("random.dropout: not a rate.", expected="0 <= rate <= 1", received=rate)
        )
    if rate in (0, 1):
        return inputs * (1 - rate)
    sizes = inputs.shape if noise_shape is None else noise_shape
    shape = tuple(n if size is None else size for n, size in zip(inputs.shape, sizes))
    kept = jax.random.bernoulli(key_from(seed), 1 - rate, shape)
    return jnp.where(kept, inputs / (1 - rate), 0)


@operation
def shuffle(x: ArrayLike, axis: int = 0, seed: Verbatim = None) -> jax.Array:
    """The elements in random order along an axis, for each place of the other axes anew."""
    return jax.random.permutation(key_from(seed), x, axis, independent=True)
