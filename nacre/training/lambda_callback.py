"""A callback made of functions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from nacre.core.configurable import unknown_argument
from nacre.training.callbacks import (
    BATCH_HOOKS,
    EPOCH_HOOKS,
    OLD_BATCH_HOOKS,
    RUN_HOOKS,
    Callback,
)

__all__ = ["LambdaCallback"]

HOOKS = (*EPOCH_HOOKS, *RUN_HOOKS, *BATCH_HOOKS, *OLD_BATCH_HOOKS.values())


class LambdaCallback(Callback):
    """Call functions of your own at moments of a run.

    Args:
        on_epoch_begin: called as ``(epoch, logs)``.
        on_epoch_end: called as ``(epoch, logs)``.
        on_train_begin: called as ``(logs)``.
        on_train_end: called as ``(logs)``.
        on_train_batch_begin: called as ``(batch, logs=logs)``; makes training run step by step.
        on_train_batch_end: called as ``(batch, logs=logs)``; makes training run step by step.
        **hooks: any other hook of :class:`Callback` by its name.

    Raises:
        ArgumentError: if a hook's name is unknown.

    Example:
        >>> from nacre.callbacks import LambdaCallback
        >>> say = LambdaCallback(on_epoch_end=lambda epoch, logs: print(epoch, logs["loss"]))
        >>> say.on_epoch_end(0, {"loss": 0.5})
        0 0.5
    """

    def __init__(
        self,
        on_epoch_begin: Callable[..., Any] | None = None,
        on_epoch_end: Callable[..., Any] | None = None,
        on_train_begin: Callable[..., Any] | None = None,
        on_train_end: Callable[..., Any] | None = None,
        on_train_batch_begin: Callable[..., Any] | None = None,
        on_train_batch_end: Callable[..., Any] | None = None,
        **hooks: Callable[..., Any] | None,
    ) -> None:
        for name in hooks:
            if name not in HOOKS:
                raise unknown_argument("LambdaCallback", name, list(HOOKS))
        hooks |= {
            "on_epoch_begin": on_epoch_begin,
            "on_epoch_end": on_epoch_end,
            "on_train_begin": on_train_begin,
            "on_train_end": on_train_end,
            "on_train_batch_begin": on_train_batch_begin,
            "on_train_batch_end": on_train_batch_end,
        }
        for name, function in hooks.items():
            if function is not None:
                setattr(self, name, function)
