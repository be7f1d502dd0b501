"""The frameworks: each is a module with a class ``Network`` that builds, trains and predicts.

``Network(workload, input_shape)`` builds; ``fit(x, y, epochs, callback)``, ``evaluate(x, y)`` and
``predict(x, batch_size)`` do what their users would write. ``x`` and ``y`` are what ``prepared(x,
labels, classes)`` made of the examples: one-hot rows or class numbers, as is usual there.
"""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["FRAMEWORKS", "Framework"]


class Framework(NamedTuple):
    """How a framework is called in tables, its module here, and the variables it starts with."""

    label: str
    module: str
    environment: dict[str, str]
    packages: tuple[str, ...]


FRAMEWORKS = {
    "nacre": Framework("Nacre", "keras_like", {"BENCHMARK_API": "nacre"}, ("nacre", "jax")),
    "keras_jax": Framework(
        "Keras on JAX", "keras_like", {"KERAS_BACKEND": "jax"}, ("keras", "jax")
    ),
    "keras_tensorflow": Framework(
        "Keras on TensorFlow", "keras_like", {"KERAS_BACKEND": "tensorflow"},
        ("keras", "tensorflow"),
    ),
    "keras_torch": Framework(
        "Keras on PyTorch", "keras_like", {"KERAS_BACKEND": "torch"}, ("keras", "torch")
    ),
    "lightning": Framework("Lightning", "lightning_module", {}, ("lightning", "torch")),
    "torch": Framework("PyTorch loop", "torch_loop", {}, ("torch",)),
    "torch_compile": Framework(
        "PyTorch, torch.compile", "torch_loop", {"BENCHMARK_COMPILE": "1"}, ("torch",)
    ),
    "jax": Framework("JAX by hand", "jax_loop", {}, ("jax", "optax")),
    "jax_steps": Framework(
        "JAX by hand, a call a step", "jax_loop", {"BENCHMARK_STEPS": "1"}, ("jax", "optax")
    ),
}  # fmt: skip
