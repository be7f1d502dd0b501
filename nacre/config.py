"""Settings: the default data type, the precision policy, the smallest number, and signals."""

from __future__ import annotations

from nacre.core.dtypes import (
    dtype_policy,
    epsilon,
    floatx,
    set_dtype_policy,
    set_epsilon,
    set_floatx,
)
from nacre.core.errors import ArgumentError, explain
from nacre.training.interrupts import handle_termination, handles_termination

__all__ = [
    "backend",
    "dtype_policy",
    "epsilon",
    "floatx",
    "handle_termination",
    "handles_termination",
    "image_data_format",
    "set_dtype_policy",
    "set_epsilon",
    "set_floatx",
    "set_image_data_format",
]


def backend() -> str:
    """What the arrays are computed with: always ``"jax"``.

    Example:
        >>> backend()
        'jax'
    """
    return "jax"


def image_data_format() -> str:
    """The layout of images: always ``"channels_last"``, (batch, height, width, channels).

    Example:
        >>> image_data_format()
        'channels_last'
    """
    return "channels_last"


def set_image_data_format(data_format: str) -> None:
    """Accept ``"channels_last"``; there is no other default.

    Raises:
        ArgumentError: another layout was asked for.
    """
    if data_format != "channels_last":
        raise ArgumentError(
            explain(
                "Images have their channels last unless a layer is told otherwise.",
                expected="'channels_last'",
                received=repr(data_format),
                fix="move the channels: x = nacre.ops.transpose(x, (0, 2, 3, 1)).",
            )
        )
