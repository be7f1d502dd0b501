"""Precision policies: what weights are stored in, and what arithmetic is done in.

Example:
    >>> from nacre import mixed_precision
    >>> mixed_precision.set_global_policy("mixed_bfloat16")
    >>> mixed_precision.global_policy().compute_dtype
    'bfloat16'
    >>> mixed_precision.set_global_policy("bf16x3")  # float32; products within 1e-5
    >>> mixed_precision.global_policy().compute_dtype
    'float32'
    >>> mixed_precision.set_global_policy("float32")
"""

from __future__ import annotations

from nacre.core.dtypes import DTypePolicy, dtype_policy, set_dtype_policy

__all__ = [
    "DTypePolicy",
    "Policy",
    "dtype_policy",
    "global_policy",
    "set_dtype_policy",
    "set_global_policy",
]

Policy = DTypePolicy
global_policy = dtype_policy
set_global_policy = set_dtype_policy
