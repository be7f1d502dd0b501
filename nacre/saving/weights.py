"""A model's weights and state to and from a file of arrays, by path."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np

from nacre.core.dtypes import is_floating
from nacre.core.errors import ArgumentError, BuildError, FileFormatError, explain
from nacre.core.layer import Layer, draw_values, variables_of
from nacre.core.variables import Variable
from nacre.saving.archive import Archive
from nacre.saving.atomic import atomic_write
from nacre.saving.tensors import TensorInfo, TensorReader, write_tensors

__all__ = [
    "GROUPS",
    "checked_path",
    "load_weights",
    "mismatches",
    "replace_values",
    "save_weights",
    "values_of",
]

GROUPS = ("weights", "optimizer")
MOST_SHOWN = 20


def values_of(model: Layer) -> dict[str, np.ndarray]:
    """The weights and state of a model by path, in layer order."""
    draw_values(model)
    return {path: np.asarray(v.concrete()) for path, v in variables_of(model).items()}


def save_weights(model: Layer, path: str | os.PathLike[str], overwrite: bool = True) -> None:
    """Write the weights and state of ``model`` to a file; see ``Model.save_weights``."""
    checked_path(path, overwrite)
    values = values_of(model)
    if not values:
        raise BuildError(
            explain(
                f"{model._where()} has no weights yet, so there is nothing to save.",
                fix="begin it with nacre.Input(shape=...), or call it once on an example.",
            )
        )
    with atomic_write(path) as file:
        write_tensors(file, values, {"format": "nacre"})


def checked_path(path: str | os.PathLike[str], overwrite: bool) -> None:
    """Raise if there is a file already that must not be replaced."""
    if not overwrite and os.path.lexists(path):
        raise ArgumentError(
            explain(
                f"There is a file {os.fspath(path)!r} already.",
                fix="choose another name, or pass overwrite=True.",
            )
        )


def load_weights(
    model: Layer, path: str | os.PathLike[str], skip_mismatch: bool = False
) -> list[str]:
    """Replace the weights and state of ``model``; see ``Model.load_weights``."""
    variables = variables_of(model)
    if not variables:
        raise BuildError(
            explain(
                f"{model._where()} has no weights yet, so none can be loaded.",
                fix="begin it with nacre.Input(shape=...), or call it once on an example.",
            )
        )
    with open(_regular(path), "rb") as file:
        is_archive = file.read(4) == b"PK\x03\x04"
        file.seek(0)
        if not is_archive:
            size = os.fstat(file.fileno()).st_size
            reader = TensorReader(file, size, f"The file {os.fspath(path)!r}")
            return _loaded(model, variables, reader, skip_mismatch)
    with Archive(path, GROUPS) as archive:
        return _loaded(model, variables, archive.tensors("weights"), skip_mismatch)


def _regular(path: str | os.PathLike[str]) -> str | os.PathLike[str]:
    if os.path.exists(path) and not os.path.isfile(path):
        raise FileFormatError(f"{os.fspath(path)!r} is not a file.")
    return path


def _loaded(
    model: Layer, variables: dict[str, Variable], reader: TensorReader, skip_mismatch: bool
) -> list[str]:
    problems = mismatches(variables, reader.infos)
    if problems and not skip_mismatch:
        raise ArgumentError(_message(f"The file does not fit {model._where()}.", problems))
    fitting = {path: v for path, v in variables.items() if path not in problems}
    values = reader.read()
    replace_values(fitting, {path: values[path] for path in fitting})
    return [path for path in variables if path in problems]


def mismatches(
    variables: Mapping[str, Variable], infos: Mapping[str, TensorInfo], *, exact: bool = False
) -> dict[str, str]:
    """What is wrong, by path: missing in the file, missing in the model, another shape or type.

    Args:
        variables: what the model has.
        infos: what the file has.
        exact: whether types must be equal; otherwise floating-point types stand for each other.
    """
    problems: dict[str, str] = {}
    for path, variable in variables.items():
        info = infos.get(path)
        if info is None:
            problems[path] = "missing in the file"
        elif info.shape != variable.shape:
            problems[path] = f"has the shape {variable.shape}, in the file {info.shape}"
        elif info.dtype != variable.dtype:
            both_floating = is_floating(info.dtype) and is_floating(variable.dtype)
            if exact or not both_floating:
                problems[path] = f"has the type {variable.dtype}, in the file {info.dtype}"
    for path in infos:
        if path not in variables:
            problems[path] = "in the file, and not in the model"
    return problems


def replace_values(variables: Mapping[str, Variable], values: Mapping[str, Any]) -> None:
    """Give each variable the array of its path."""
    arrays = {path: jnp.asarray(values[path], dtype=v.dtype) for path, v in variables.items()}
    for path, variable in variables.items():
        variable.replace(arrays[path])


def _message(problem: str, problems: dict[str, str]) -> str:
    shown = [f"{path[:200]}: {text}" for path, text in list(problems.items())[:MOST_SHOWN]]
    if len(problems) > MOST_SHOWN:
        shown.append(f"and {len(problems) - MOST_SHOWN} more")
    return explain(
        problem,
        expected="an array for each weight of the model, of its path, shape and type",
        received="\n    ".join(["", *shown]).rstrip(),
        fix="build the same model as the one that was saved, or pass skip_mismatch=True to load "
        "what fits.",
    )
