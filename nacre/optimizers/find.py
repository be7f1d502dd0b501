"""From what a user passes as ``optimizer`` to an optimizer."""

from __future__ import annotations

from typing import Any

from nacre.core.configurable import TAG, deserialize
from nacre.core.errors import ArgumentError, explain
from nacre.core.registry import known_names, resolve
from nacre.optimizers.optax_optimizer import OptaxOptimizer
from nacre.optimizers.optimizer import Optimizer

__all__ = ["get"]


def get(identifier: Any) -> Optimizer:
    """The optimizer that ``identifier`` stands for.

    Args:
        identifier: a name (capitals do not matter), an optimizer or its class, an Optax
            transformation, or a configuration: ``{"class_name": "Adam", "config": {...}}`` or what
            ``serialize`` returned.

    Raises:
        ArgumentError: if the name is not known (the message has the nearest one), or if it is
            something else.

    Example:
        >>> import nacre
        >>> nacre.optimizers.get("rmsprop").learning_rate
        0.001
    """
    found = identifier
    if isinstance(identifier, str):
        found = _by_name(identifier)
    elif isinstance(identifier, dict) and TAG in identifier:
        found = deserialize(identifier)
    elif isinstance(identifier, dict) and isinstance(identifier.get("class_name"), str):
        cls = type(_by_name(identifier["class_name"]))
        found = cls.from_config(deserialize(identifier.get("config", {})))
    elif type(identifier).__module__.startswith("optax."):
        found = OptaxOptimizer(identifier)
    elif isinstance(identifier, type) and issubclass(identifier, Optimizer):
        found = identifier()
    if isinstance(found, Optimizer):
        return found
    raise ArgumentError(
        explain(
            "This is not an optimizer.",
            expected='a name such as "adam", an optimizer of nacre.optimizers, or an Optax '
            "transformation",
            received=f"{identifier!r} ({type(identifier).__name__})",
            fix=_fix(identifier),
        )
    )


def _by_name(name: str) -> Optimizer:
    known = known_names("optimizer")
    return resolve(
        "optimizer", name.lower() if name not in known and name.lower() in known else name
    )


def _fix(identifier: Any) -> str:
    name = type(identifier).__name__
    if name in known_names("optimizer"):  # one of Keras or PyTorch
        return f"use nacre.optimizers.{name}, with the same arguments as in Keras."
    return 'pass "rmsprop", or nacre.optimizers.RMSprop(learning_rate=0.001).'
