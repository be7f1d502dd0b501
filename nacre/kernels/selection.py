"""Which form of the kernels this machine runs."""

from __future__ import annotations

import jax

__all__ = ["in_use"]


def in_use() -> dict[str, str]:
    """The name of the kernels in use on the default device, and why, as ``nacre info`` shows them.

    Example:
        >>> sorted(in_use())
        ['name', 'reason']
    """
    platform = jax.default_backend()
    if platform == "cpu":
        reason = (
            "on a CPU, convolution, pooling and recurrence run in a form that XLA compiles well"
        )
        return {"name": "portable", "reason": reason}
    return {"name": "xla", "reason": f"on {platform}, XLA's own operations are used"}
