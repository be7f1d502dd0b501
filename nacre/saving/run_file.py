"""A training run to and from a file, at any step: what is needed to go on to the last bit."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nacre.core.errors import ArgumentError, FileFormatError, explain
from nacre.core.layer import variables_of
from nacre.saving.archive import Archive, write_archive
from nacre.saving.model_file import named_leaves, progress_of, resume_training, set_counters
from nacre.saving.weights import mismatches, replace_values, values_of

__all__ = [
    "Content",
    "RunState",
    "load_values",
    "resumed_totals",
    "run_content",
    "save_run",
    "set_to_run",
]

FORMAT = "nacre run"
FORMAT_VERSION = 1
GROUPS = ("weights", "optimizer", "totals", "figures", "history")
LARGEST_COUNT = 2**31 - 1

Content = tuple[dict[str, Any], dict[str, dict[str, np.ndarray]]]


class RunState(NamedTuple):
    """Where a run of ``fit`` stands, apart from the model and its optimizer.

    Attributes:
        epoch: the epoch that is under way, or comes next.
        step: the step of the epoch that comes next.
        steps: the steps in an epoch, None where unknown.
        totals: the metrics' totals over the epoch's steps so far, by place.
        figures: the epoch's figures so far.
        history: the figures of the epochs before.
        epochs: the numbers of those epochs.
    """

    epoch: int
    step: int
    steps: int | None
    totals: dict[str, np.ndarray]
    figures: dict[str, float]
    history: dict[str, list[float]]
    epochs: list[int]


def run_content(model: Any, state: RunState) -> Content:
    """What :func:`save_run` writes. The arrays are the model's own, which nothing changes later."""
    trainer = model.trainer
    config = {
        "format": FORMAT,
        "version": FORMAT_VERSION,
        "training": progress_of(trainer),
        "run": {
            "epoch": state.epoch,
            "step": state.step,
            "steps": state.steps,
            "epochs": state.epochs,
        },
    }
    arrays = {
        "weights": values_of(model),
        "optimizer": {k: np.asarray(leaf) for k, leaf in named_leaves(trainer.slots).items()},
        "totals": state.totals,
        "figures": _numbers(state.figures),
        "history": _numbers(state.history),
    }
    return config, arrays


def _numbers(figures: dict[str, Any]) -> dict[str, np.ndarray]:
    """The figures that are numbers; a callback may have put anything else among them."""
    arrays = {name: np.asarray(values) for name, values in figures.items()}
    return {name: a.astype(np.float64) for name, a in arrays.items() if a.dtype.kind in "biuf"}


def save_run(path: str | os.PathLike[str], content: Content) -> None:
    """Write a run to a file, as a whole or not at all."""
    write_archive(path, *content)


def set_to_run(model: Any, path: str | os.PathLike[str]) -> RunState:
    """Set the seed and the counters of a compiled model to those of a run; where that stood.

    The model need not have weights yet: :func:`load_values` sets those.

    Raises:
        FileFormatError: the file is of another kind, or damaged.
    """
    with Archive(path, GROUPS) as archive, _as_format_errors(archive.path):
        config = _config(archive)
        state = _state(archive, config["run"])
        set_counters(model.trainer, config["training"], archive.path)
        model.trainer.forget_key()
        return state


def load_values(model: Any, path: str | os.PathLike[str]) -> None:
    """Give a compiled model the weights of a run, and its optimizer the state.

    Raises:
        FileFormatError: the file is of another kind, or damaged.
        ArgumentError: it is of a run of another model.
    """
    with Archive(path, GROUPS) as archive, _as_format_errors(archive.path):
        training = _config(archive)["training"]
        _replace_weights(model, archive)
        resume_training(model, archive, training)


def _config(archive: Archive) -> dict[str, Any]:
    config = archive.config()
    if (config.get("format"), config.get("version")) != (FORMAT, FORMAT_VERSION):
        raise FileFormatError(f"{archive.path!r} does not hold a run that this Nacre can read.")
    return config


@contextmanager
def _as_format_errors(path: str) -> Iterator[None]:
    try:
        yield
    except (KeyError, TypeError) as error:  # a part of the configuration is of another type
        raise FileFormatError(f"The file {path!r} is malformed: {error}.") from error


def _state(archive: Archive, run: dict[str, Any]) -> RunState:
    numbers = [run["epoch"], run["step"], *run["epochs"]]
    if run["steps"] is not None:
        numbers.append(run["steps"])
    if not all(type(n) is int and 0 <= n <= LARGEST_COUNT for n in numbers):
        raise FileFormatError(f"The file {archive.path!r} does not say where its run stands.")
    figures, history = archive.tensors("figures").read(), archive.tensors("history").read()
    return RunState(
        run["epoch"],
        run["step"],
        run["steps"],
        archive.tensors("totals").read(),
        {name: float(value) for name, value in figures.items()},
        {name: values.tolist() for name, values in history.items()},
        run["epochs"],
    )


def _replace_weights(model: Any, archive: Archive) -> None:
    variables = variables_of(model)
    reader = archive.tensors("weights")
    problems = mismatches(variables, reader.infos, exact=True)
    if problems:
        path, text = next(iter(problems.items()))
        raise ArgumentError(
            explain(
                f"The run in {archive.path!r} is one of another model ({len(problems)} of its "
                "weights differ).",
                expected="the weights that the model has",
                received=f"{path[:200]!r} {text}",
                fix="build the same model as before, or delete the file to begin anew.",
            )
        )
    replace_values(variables, reader.read())


def resumed_totals(like: Any, totals: dict[str, np.ndarray]) -> Any:
    """The metrics' totals of a run, in the form that the metrics now have.

    Raises:
        ArgumentError: they are of other metrics.
    """
    expected = {name: (np.shape(leaf), leaf.dtype) for name, leaf in named_leaves(like).items()}
    received = {name: (array.shape, array.dtype) for name, array in totals.items()}
    if expected != received:
        raise ArgumentError(
            explain(
                "The run to resume had other metrics, and stopped in the middle of an epoch.",
                expected=", ".join(expected),
                received=", ".join(received),
                fix="compile the model with the metrics of before, or delete the backup.",
            )
        )
    return jax.tree_util.tree_map_with_path(
        lambda place, leaf: jnp.array(totals[jax.tree_util.keystr(place)], dtype=leaf.dtype), like
    )
