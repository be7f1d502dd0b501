"""A whole model to and from a file: what it is, its values, and where its training stands."""

from __future__ import annotations

import os
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from nacre.core.configurable import deserialize, serialize
from nacre.core.errors import ArgumentError, FileFormatError, NacreError, explain
from nacre.core.layer import variables_of
from nacre.core.tracebacks import advise
from nacre.saving.archive import Archive, write_archive
from nacre.saving.bounds import check_bounds, require_registered
from nacre.saving.description import describe, rebuild
from nacre.saving.tensors import TensorInfo
from nacre.saving.weights import GROUPS, checked_path, mismatches, replace_values, values_of

__all__ = [
    "load_model",
    "named_leaves",
    "progress_of",
    "resume_training",
    "save_model",
    "set_counters",
]

FORMAT = "nacre model"
FORMAT_VERSION = 1
LARGEST_COUNT = 2**31 - 1


def save_model(
    model: Any,
    path: str | os.PathLike[str],
    overwrite: bool = True,
    include_optimizer: bool = True,
) -> None:
    """Write a model to a file; see ``Model.save``."""
    checked_path(path, overwrite)
    config: dict[str, Any] = {
        "format": FORMAT,
        "version": FORMAT_VERSION,
        "nacre": _version(),
        "description": describe(model),
        "compiled_with": None,
        "training": None,
    }
    arrays = {"weights": values_of(model)}
    compiled_with = _compiled_with(model) if include_optimizer and model.compiled else None
    if compiled_with is not None:
        trainer = model.trainer
        config["compiled_with"] = compiled_with
        config["training"] = progress_of(trainer)
        arrays["optimizer"] = {
            name: np.asarray(leaf) for name, leaf in named_leaves(trainer.slots).items()
        }
    write_archive(path, config, arrays)


def _compiled_with(model: Any) -> Any:
    """What ``compile`` was given, in the form of a file; None, and a warning, if it holds code."""
    trainer = model.trainer
    try:
        return serialize({**trainer.compiled_with, "optimizer": trainer.optimizer})
    except ArgumentError as error:
        advise(
            explain(
                "The file holds the model and its weights, but not what compile() was given: "
                + str(error).splitlines()[0],
                expected="an optimizer, losses and metrics of Nacre's, or registered functions",
                fix="call compile() again after load_model. include_optimizer=False says that this "
                "is meant; nacre.saving.register_serializable() gives a function a name. "
                "BackupAndRestore keeps the state of any optimizer.",
            )
        )
        return None


def _version() -> str:
    try:
        return version("nacre")
    except PackageNotFoundError:
        return "unknown"


def progress_of(trainer: Any) -> dict[str, Any]:
    """Where training stands, apart from the optimizer's state."""
    optimizer = trainer.optimizer
    has_number = optimizer.learning_rate_is_known and optimizer.schedule is None
    return {
        "learning_rate": optimizer.learning_rate if has_number else None,
        "seed": trainer.seed,
        "step": trainer.step,
        "epoch": trainer.epoch,
        "slots_of": None if trainer.slots is None else sorted(trainer._slot_paths),
    }


def named_leaves(tree: Any) -> dict[str, Any]:
    """The leaves of the optimizer's state by place: ``['slots']['momentum']['dense/kernel']``."""
    flat = jax.tree_util.tree_flatten_with_path(tree)[0]
    return {jax.tree_util.keystr(place): leaf for place, leaf in flat}


def load_model(
    filepath: str | os.PathLike[str],
    custom_objects: dict[str, Any] | None = None,
    compile: bool = True,
) -> Any:
    """The model that ``model.save(path)`` wrote: its layers, its weights, and its training.

    Training goes on where it stood: a run of two epochs, saved, loaded and run for two more, gives
    the same bits as a run of four. No code is read from the file: it names classes and functions,
    which must be Nacre's own or registered, and is checked before anything is built from it.

    Args:
        filepath: the file.
        custom_objects: your own classes and functions by name, besides those that
            ``nacre.saving.register_serializable`` has registered.
        compile: whether to compile the model as it was when it was saved.

    Raises:
        FileNotFoundError: there is no such file.
        FileFormatError: it is not a file of a model, or damaged.
        ArgumentError: the file names a class or function that is not registered.

    Example:
        >>> import nacre, os, tempfile
        >>> model = nacre.Sequential([nacre.Input((3,)), nacre.layers.Dense(2)])
        >>> path = os.path.join(tempfile.mkdtemp(), "model.nacre")
        >>> model.save(path)
        >>> nacre.models.load_model(path).count_params()
        8
    """
    with Archive(filepath, GROUPS) as archive:
        config = archive.config()
        _check_format(config, archive.path)
        try:
            return _loaded(archive, config, custom_objects, compile)
        except (NacreError, OSError):
            raise
        except KeyError as error:
            raise FileFormatError(f"The file {archive.path!r} has no {error}.") from error
        except Exception as error:  # a part of the configuration is of another type than it should
            raise FileFormatError(f"The file {archive.path!r} is malformed: {error}.") from error


def _check_format(config: dict[str, Any], path: str) -> None:
    if config.get("format") != FORMAT:
        raise FileFormatError(f"{path!r} does not say that it holds a model of Nacre.")
    if config.get("version") != FORMAT_VERSION:
        raise FileFormatError(
            explain(
                f"{path!r} is written in a form that this version of Nacre does not read.",
                expected=f"version {FORMAT_VERSION} of the format",
                received=f"version {str(config.get('version'))[:40]}, by Nacre "
                f"{str(config.get('nacre'))[:40]}",
                fix="update Nacre.",
            )
        )


def _loaded(
    archive: Archive, config: dict[str, Any], custom_objects: dict[str, Any] | None, compile: bool
) -> Any:
    compiled_with = config["compiled_with"] if compile else None
    names = {**check_bounds(config["description"]), **check_bounds(compiled_with)}
    require_registered(names, custom_objects)  # all of them at once, before anything is built
    model = rebuild(config["description"], custom_objects)
    if not hasattr(model, "compiled"):
        raise FileFormatError(f"The file {archive.path!r} holds a {type(model).__name__}.")
    variables = variables_of(model)
    reader = archive.tensors("weights")
    problems = mismatches(variables, reader.infos, exact=True)
    if problems:
        path, text = next(iter(problems.items()))
        raise FileFormatError(
            f"The weights in {archive.path!r} are not those of its model ({len(problems)} differ): "
            f"{path[:200]!r} {text}."
        )
    replace_values(variables, reader.read())
    if compiled_with is not None:
        _compile(model, compiled_with, custom_objects)
        resume_training(model, archive, config["training"])
    return model


def _compile(model: Any, compiled_with: Any, custom_objects: dict[str, Any] | None) -> None:
    try:
        model.compile(**deserialize(compiled_with, custom_objects))
    except Exception as error:  # anything may be wrong with arguments that are malformed
        problem = (
            str(error) if isinstance(error, NacreError) else f"{type(error).__name__}: {error}"
        )
        raise FileFormatError(f"The model cannot be compiled as it was saved. {problem}") from error


def resume_training(model: Any, archive: Archive, training: Any) -> None:
    """Set the counters and the optimizer's state to where training stood."""
    trainer = model.trainer
    if not isinstance(training, dict):
        raise FileFormatError(f"The file {archive.path!r} does not say where training stands.")
    set_counters(trainer, training, archive.path)
    if training["learning_rate"] is not None:  # an Optax transformation's is not in its arguments
        trainer.optimizer.learning_rate = training["learning_rate"]
    paths = training["slots_of"]
    if paths is None:
        return
    variables = variables_of(model)
    if not isinstance(paths, list) or not all(path in variables for path in paths):
        raise FileFormatError(f"The file {archive.path!r} has optimizer state for other weights.")
    params = {
        path: jax.ShapeDtypeStruct(variables[path].shape, variables[path].dtype) for path in paths
    }
    trainer.slots = _slots(trainer.optimizer, params, archive)
    trainer._slot_paths = set(paths)


def set_counters(trainer: Any, training: dict[str, Any], path: str) -> None:
    """Set the seed, the updates made and the epochs begun."""
    counts = {name: training[name] for name in ("seed", "step", "epoch")}
    for name, value in counts.items():
        most = LARGEST_COUNT if name != "seed" else 2**128
        if type(value) is not int or not 0 <= value <= most:
            raise FileFormatError(f"The file {path!r} gives {value!r} as {name}.")
    trainer.seed, trainer.step, trainer.epoch = counts.values()


def _slots(optimizer: Any, params: dict[str, jax.ShapeDtypeStruct], archive: Archive) -> Any:
    """The optimizer's state, in the form that its ``init`` gives it."""
    expected = jax.eval_shape(optimizer.init, params)
    reader = archive.tensors("optimizer")
    _require_same(named_leaves(expected), reader.infos, archive.path)
    arrays = reader.read()
    return jax.tree_util.tree_map_with_path(
        lambda place, like: jnp.asarray(arrays[jax.tree_util.keystr(place)], dtype=like.dtype),
        expected,
    )


def _require_same(expected: dict[str, Any], infos: dict[str, TensorInfo], path: str) -> None:
    for name in {**expected, **infos}:
        wanted, found = expected.get(name), infos.get(name)
        if (
            wanted is None
            or found is None
            or (wanted.shape, np.dtype(wanted.dtype)) != (found.shape, found.dtype)
        ):
            shown = None if wanted is None else f"{np.dtype(wanted.dtype).name} {wanted.shape}"
            raise FileFormatError(
                explain(
                    f"The optimizer's state in {path!r} does not fit its optimizer at "
                    f"{name[:200]!r}.",
                    expected=shown or "nothing",
                    received=found or "nothing",
                )
            )
