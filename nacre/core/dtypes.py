"""Data types and the precision policy.

A policy has two types: the one weights are stored in and the one arithmetic is done in.
``mixed_bfloat16`` stores float32 and computes in bfloat16. The rules of promotion are JAX's.
"""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np

from nacre.core.configurable import Configurable
from nacre.core.errors import ArgumentError, explain
from nacre.core.registry import register

__all__ = [
    "DTypePolicy",
    "dtype_policy",
    "epsilon",
    "floatx",
    "is_floating",
    "set_dtype_policy",
    "set_epsilon",
    "set_floatx",
]

FLOATING = ("float16", "bfloat16", "float32", "float64")


@register("dtype_policy")
class DTypePolicy(Configurable):
    """How a layer stores its weights and in what it computes.

    Args:
        name: a floating-point type such as ``"float32"`` for both, or ``"mixed_bfloat16"`` or
            ``"mixed_float16"`` for float32 weights and 16-bit arithmetic.
    """

    def __init__(self, name: str) -> None:
        base = name.removeprefix("mixed_") if isinstance(name, str) else name
        if base not in FLOATING or (base != name and base not in ("float16", "bfloat16")):
            raise ArgumentError(
                explain(
                    "Unknown precision policy.",
                    expected=", ".join((*FLOATING, "mixed_bfloat16", "mixed_float16")),
                    received=repr(name),
                )
            )
        self.name = name
        self.compute_dtype: str = base
        self.variable_dtype: str = "float32" if base != name else base

    def __repr__(self) -> str:
        return f"DTypePolicy({self.name!r})"


_policy = DTypePolicy("float32")
_epsilon = 1e-7


def dtype_policy() -> DTypePolicy:
    """The policy that layers built without a ``dtype`` use."""
    return _policy


def set_dtype_policy(policy: str | DTypePolicy) -> None:
    """Set the policy of layers that are made from now on, as in ``"mixed_bfloat16"``."""
    global _policy
    _policy = as_policy(policy)


def as_policy(policy: Any) -> DTypePolicy:
    """A policy from a policy, its name, or a data type; None stands for the global one."""
    if policy is None:
        return _policy
    if isinstance(policy, DTypePolicy):
        return policy
    if not isinstance(policy, str):
        policy = np.dtype(policy).name
    if policy not in FLOATING and not policy.startswith("mixed_"):
        # A layer of integers (Input of word numbers, say) still computes in the global policy.
        try:
            np.dtype(policy)
        except TypeError:
            return DTypePolicy(policy)
        return _policy
    return DTypePolicy(policy)


def floatx() -> str:
    """The default floating-point type, ``"float32"`` unless changed."""
    return _policy.variable_dtype


def set_floatx(dtype: str) -> None:
    """Set the default floating-point type."""
    set_dtype_policy(dtype)


def epsilon() -> float:
    """The small number that keeps logarithms and divisions finite (1e-7)."""
    return _epsilon


def set_epsilon(value: float) -> None:
    """Set the value of :func:`epsilon`."""
    global _epsilon
    _epsilon = float(value)


def is_floating(dtype: Any) -> bool:
    """Whether ``dtype`` is a real floating-point type."""
    return bool(jnp.issubdtype(dtype, jnp.floating))
