"""Data types and the precision policy.

A policy has two types: the one weights are stored in and the one arithmetic is done in.
``mixed_bfloat16`` stores float32 and computes in bfloat16. The rules of promotion are JAX's.

A policy may also loosen the precision of products of float32 numbers. ``bf16x3`` lets them be made
of bfloat16 units, each number as the sum of two::

    high(a) = bfloat16(a)        low(a) = bfloat16(a - high(a))
    a b ~ high(a) high(b) + high(a) low(b) + low(a) high(b)        summed in float32

with a relative error of about 1e-5. It is a permission: what has no such units, or is faster
without, multiplies in float32.
"""

from __future__ import annotations

import contextlib
from typing import Any

import jax
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
    "in_precision",
    "is_floating",
    "precision",
    "set_dtype_policy",
    "set_epsilon",
    "set_floatx",
]

FLOATING = ("float16", "bfloat16", "float32", "float64")
THREE_PRODUCTS = "BF16_BF16_F32_X3"  # JAX's name for bf16x3
SETTING = "jax_default_matmul_precision"


@register("dtype_policy")
class DTypePolicy(Configurable):
    """How a layer stores its weights and in what it computes.

    Args:
        name: a floating-point type such as ``"float32"`` for both, or ``"mixed_bfloat16"`` or
            ``"mixed_float16"`` for float32 weights and 16-bit arithmetic, or ``"bf16x3"`` for
            float32 with products that may be made of bfloat16 units.
    """

    def __init__(self, name: str) -> None:
        base = name.removeprefix("mixed_") if isinstance(name, str) else name
        self.precision = "bf16x3" if name == "bf16x3" else "float32"  # of float32 products
        if name == "bf16x3":
            base = name = "float32"
        if base not in FLOATING or (base != name and base not in ("float16", "bfloat16")):
            raise ArgumentError(
                explain(
                    "Unknown precision policy.",
                    expected=", ".join((*FLOATING, "mixed_bfloat16", "mixed_float16", "bf16x3")),
                    received=repr(name),
                )
            )
        self.name = name if self.precision == "float32" else self.precision
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


def precision(dtype: Any) -> str:
    """What products of this type may be made of, where this is called.

    ``"bfloat16"`` for that type, ``"bf16x3"`` for float32 where the policy says so, and else
    ``"float32"``: they are as exact as the type.
    """
    if jnp.dtype(dtype) == jnp.bfloat16:
        return "bfloat16"
    is_loose = getattr(jax.config, SETTING) == THREE_PRODUCTS
    return "bf16x3" if is_loose and jnp.dtype(dtype) == jnp.float32 else "float32"


def in_precision(policy: DTypePolicy) -> contextlib.AbstractContextManager[None]:
    """Let products inside be as exact as the policy asks.

    The setting is JAX's own, so JAX traces anew what depends on it, and XLA's products follow it.
    """
    is_loose = getattr(jax.config, SETTING) == THREE_PRODUCTS
    if is_loose == (policy.precision == "bf16x3"):
        return contextlib.nullcontext()
    return jax.default_matmul_precision(None if is_loose else THREE_PRODUCTS)


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
