"""One seed for everything random: initial values, shuffling, dropout.

Initial values are drawn on the host by NumPy's Philox generator, keyed by the seed and the
variable's path, so that they depend on nothing else and cost no compilation.
"""

from __future__ import annotations

import hashlib
import secrets
from typing import Any

import jax
import numpy as np

from nacre.core.errors import ArgumentError, explain

__all__ = [
    "current_seed",
    "fresh_seed",
    "generator",
    "key",
    "next_eager_key",
    "path_number",
    "set_seed",
]

_seed: int | None = None
_eager_calls = 0


def set_seed(seed: int | None) -> None:
    """Set the seed of what is built and compiled from now on.

    On a CPU with a fixed number of threads, the same seed, program and data give bit-identical
    weights and histories. ``None`` goes back to a fresh seed for each model.
    """
    global _seed, _eager_calls
    if seed is not None and (isinstance(seed, bool) or int(seed) != seed or seed < 0):
        raise ArgumentError(
            explain(
                "set_seed takes a whole number.", expected="an integer >= 0", received=repr(seed)
            )
        )
    _seed = None if seed is None else int(seed)
    _eager_calls = 0


def current_seed() -> int | None:
    """The seed set by :func:`set_seed`, or None."""
    return _seed


def fresh_seed() -> int:
    """The current seed if one is set, else one from the operating system."""
    return secrets.randbits(32) if _seed is None else _seed


def path_number(path: str) -> int:
    """A 32-bit number that depends on the text of ``path`` alone."""
    return int.from_bytes(hashlib.blake2b(path.encode(), digest_size=4).digest(), "little")


def generator(seed: int, *words: int | str) -> np.random.Generator:
    """A NumPy generator whose stream depends on the seed and ``words`` alone."""
    numbers = [word if isinstance(word, int) else path_number(word) for word in words]
    return np.random.Generator(np.random.Philox(np.random.SeedSequence([seed, *numbers])))


def key(seed: int) -> jax.Array:
    """A JAX random key for ``seed``, the same as ``jax.random.key`` of a 32-bit number.

    Wrapping the key's words costs no compilation, and keeps the generator whatever JAX's default.
    """
    words: Any = np.array([0, seed % 2**32], np.uint32)
    return jax.random.wrap_key_data(words, impl="threefry2x32")


def next_eager_key() -> jax.Array:
    """A key for a call outside any compiled program: it depends on the seed and a running count."""
    global _eager_calls
    _eager_calls += 1
    return jax.random.fold_in(key(fresh_seed()), _eager_calls)
