"""In-memory arrays as a source of batches: checked, lined up, split and weighted."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nacre.core.errors import DataError, explain

__all__ = ["Examples", "class_weights", "examples_from", "split"]


class Examples(NamedTuple):
    """Inputs, targets and weights of the same examples.

    Attributes:
        arrays: a dictionary with ``"x"`` and, where given, ``"y"`` and ``"weight"``; each an array
            or a tree of arrays with the examples along the first axis.
        count: the number of examples.
    """

    arrays: dict[str, Any]
    count: int


def examples_from(x: Any, y: Any = None, weight: Any = None) -> Examples:
    """Line up inputs, targets and weights.

    Raises:
        DataError: they are not numbers, or not of the same length, or empty.
    """
    named = {"x": x, "y": y, "weight": weight}
    arrays = {
        name: jax.tree.map(
            lambda leaf, name=name: as_array(leaf, name), value, is_leaf=_is_list_of_numbers
        )
        for name, value in named.items()
        if value is not None
    }
    lengths = {
        f"{name}{jax.tree_util.keystr(path)}": leaf.shape[0]
        for name, tree in arrays.items()
        for path, leaf in jax.tree_util.tree_leaves_with_path(tree)
    }
    if len(set(lengths.values())) > 1:
        raise DataError(
            explain(
                "The arrays hold different numbers of examples.",
                expected="the same length along the first axis of each",
                received=", ".join(f"{name}: {length}" for name, length in lengths.items()),
                fix="check how they were cut or loaded; x[i] and y[i] must belong together.",
            )
        )
    if not lengths or next(iter(lengths.values())) == 0:
        raise DataError(
            explain("There are no examples.", expected="at least one", received=str(lengths))
        )
    return Examples(arrays, next(iter(lengths.values())))


def as_array(value: Any, name: str) -> Any:
    """An array of a type that the device holds as it is; 64-bit numbers become 32-bit.

    Raises:
        DataError: the values are not numbers, or there is no axis of examples.
    """
    if isinstance(value, jax.Array):
        array: Any = value
    else:
        if hasattr(value, "detach"):  # a PyTorch tensor
            value = value.detach().cpu()
        array = np.asarray(value)
        if array.dtype.kind not in "biuf" and array.dtype != jnp.bfloat16:
            raise DataError(
                explain(
                    f"{name} does not hold numbers.",
                    expected="an array of numbers",
                    received=f"type {array.dtype} of shape {array.shape}",
                    fix="rows of different lengths need padding (utils.pad_sequences); text and "
                    "dates need encoding.",
                )
            )
        if not jax.config.jax_enable_x64:  # type: ignore[attr-defined]
            array = _narrowed(array, name)
    if array.ndim == 0:
        raise DataError(
            explain(
                f"{name} is a single number.",
                expected="an array with the examples along its first axis",
                received=repr(value),
            )
        )
    return array


def _narrowed(array: np.ndarray, name: str) -> np.ndarray:
    """The array in the 32-bit type of its kind, if it has a 64-bit one."""
    if array.dtype == np.float64:
        return array.astype(np.float32)
    if array.dtype in (np.int64, np.uint64):
        if array.size and (array.max() > np.iinfo(np.int32).max or array.min() < -(2**31)):
            raise DataError(
                explain(
                    f"{name} holds whole numbers that do not fit 32 bits.",
                    received=f"up to {array.max()}",
                    fix="use floating-point numbers, or number the values from 0.",
                )
            )
        return array.astype(np.int32)
    return array


def _is_list_of_numbers(value: Any) -> bool:
    """Whether nested lists are meant as an array, not as several arrays."""
    while isinstance(value, list) and value:
        value = value[0]
    return isinstance(value, bool | int | float | np.generic)


def split(examples: Examples, fraction: float) -> tuple[Examples, Examples]:
    """Keep the last ``fraction`` of the examples for validation.

    Raises:
        DataError: one of the parts would be empty.
    """
    kept = int(examples.count * (1 - fraction))
    if not 0 < kept < examples.count:
        raise DataError(
            explain(
                "validation_split leaves nothing on one side.",
                expected="a fraction between 0 and 1 with examples on both sides",
                received=f"{fraction} of {examples.count} examples",
            )
        )

    def part(rows: slice) -> dict[str, Any]:
        return jax.tree.map(lambda array: array[rows], examples.arrays)

    return (
        Examples(part(slice(0, kept)), kept),
        Examples(part(slice(kept, None)), examples.count - kept),
    )


def class_weights(weights: dict[int, float], y: Any) -> np.ndarray:
    """The weight of each example, from the weight of its class.

    Args:
        weights: by class number; a class that is missing weighs 1.
        y: class numbers of shape ``(n,)`` or ``(n, 1)``, or one-hot rows ``(n, classes)``.

    Raises:
        DataError: ``y`` does not hold one class for each example.
    """
    labels = np.asarray(y) if not isinstance(y, dict | list | tuple) else None
    if labels is not None and labels.ndim == 2:
        labels = labels.argmax(-1) if labels.shape[1] > 1 else labels[:, 0]
    if labels is None or labels.ndim != 1:
        raise DataError(
            explain(
                "class_weight needs one output with a class for each example.",
                expected="y of shape (n,), (n, 1) or (n, classes)",
                received=type(y).__name__ if labels is None else f"shape {labels.shape}",
                fix="use sample_weight instead.",
            )
        )
    labels = labels.astype(np.int64)
    size = max([int(labels.max()), *(int(c) for c in weights)]) + 1
    table = np.ones(size, np.float32)
    for label, weight in weights.items():
        table[int(label)] = weight
    return table[labels]
