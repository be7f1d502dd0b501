"""What the primitives of this package compute, in operations that JAX has."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

__all__ = ["MEANINGS"]

# By the primitive's name: a function of its operands, and its parameters by keyword.
MEANINGS: dict[str, Callable[..., Any]] = {}
