"""What is looked at before a model meets its data: whether both, and the loss, fit together.

What cannot work is an error. What runs but is most likely a mistake is a warning, said once for a
model. Code that is right gets neither.

The cost is one pass over floating-point arrays (6 ms for MNIST's 188 MB on two cores, a hundredth
of an epoch of a small network), one over labels, and a sample of 1,000 rows of the rest.
"""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from nacre.core.dtypes import is_floating
from nacre.core.errors import ArgumentError, DataError, explain
from nacre.core.layer import Layer, layers_of
from nacre.core.symbolic import SymbolicTensor
from nacre.core.tracebacks import advise
from nacre.data.arrays import Examples
from nacre.layers.embedding import Embedding
from nacre.losses.loss import LossFunctionWrapper
from nacre.models.label_checks import check_head, is_model, warn_about_head
from nacre.training.objective import Objective

if TYPE_CHECKING:
    from nacre.models.model import Model

__all__ = ["check_data", "check_epochs", "check_inputs", "validation_parts", "warn_once"]

SAMPLE = 1000  # rows
ONE_PASS = 2**28  # bytes; of larger arrays, evenly spaced rows are looked at

# Layers that pass values on as they are, or some of them.
PASSING = {
    *("InputLayer", "Identity", "Flatten", "Reshape", "Permute", "RepeatVector"),
    *("Dropout", "SpatialDropout1D", "SpatialDropout2D", "MaxPooling1D", "MaxPooling2D"),
    *("AveragePooling1D", "AveragePooling2D", "ZeroPadding1D", "ZeroPadding2D", "Cropping1D"),
    *("Cropping2D", "UpSampling2D", "Resizing", "CenterCrop", "RandomCrop", "RandomFlip"),
    *("RandomRotation", "RandomTranslation", "RandomZoom"),
}
# Layers that learn badly from large inputs.
WEIGHING = {
    *("Dense", "Conv1D", "Conv2D", "Conv3D", "SeparableConv2D", "DepthwiseConv2D"),
    *("SimpleRNN", "LSTM", "GRU"),
}

_said: weakref.WeakKeyDictionary[Any, set[str]] = weakref.WeakKeyDictionary()


def warn_once(model: Model, subject: str, message: str) -> None:
    """Warn a learner of ``subject``, unless that has been done for this model."""
    said = _said.setdefault(model, set())
    if subject not in said:
        said.add(subject)
        advise(message)


def check_epochs(epochs: Any, initial_epoch: Any) -> None:
    """Raise unless the numbers of epochs are whole, and there is at least one."""
    for name, value, least in (("epochs", epochs, 1), ("initial_epoch", initial_epoch, 0)):
        is_whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
        if not is_whole or value < least:
            raise ArgumentError(
                explain(
                    f"{name} is not a number of epochs.",
                    expected=f"a whole number >= {least}",
                    received=f"{value!r} ({type(value).__name__})",
                    fix="train for one epoch at least: epochs=1." if least else None,
                )
            )


def validation_parts(validation_data: Any) -> tuple[Any, ...]:
    """``(x, y)`` or ``(x, y, sample_weight)`` as it was given, or an error."""
    is_pair = isinstance(validation_data, tuple | list) and len(validation_data) in (2, 3)
    if not is_pair:
        count = f" of {len(validation_data)}" if isinstance(validation_data, tuple | list) else ""
        raise DataError(
            explain(
                "validation_data is not a pair.",
                expected="(x, y) or (x, y, sample_weight)",
                received=f"{type(validation_data).__name__}{count}",
                fix="write validation_data=(x_val, y_val).",
            )
        )
    return tuple(validation_data)


def check_inputs(model: Model, x: Any, y: Any) -> None:
    """Raise if several arrays are handed to a model that takes one."""
    one_input = model._graph is None or len(model._graph.flat_inputs) == 1
    if isinstance(x, dict) or len(jax.tree.leaves(x)) < 2 or not one_input:
        return
    if model._graph is None and not _is_stack(model):
        return  # a class of the user's own takes what it takes
    pair = y is None and isinstance(x, tuple) and len(x) in (2, 3)
    raise DataError(
        explain(
            f"{model._where()} takes one input, and got {len(jax.tree.leaves(x))} arrays as x.",
            expected="x as one array, with the examples along its first axis",
            received=f"a {type(x).__name__} of arrays of shape "
            + ", ".join(str(leaf.shape) for leaf in jax.tree.leaves(x)),
            fix="hand over inputs and targets one by one: model.fit(x, y)."
            if pair
            else "join them, with numpy.stack or numpy.concatenate for instance.",
        )
    )


def check_data(model: Model, objective: Objective, examples: Examples, training: bool) -> None:
    """Look at data before it is trained or evaluated on.

    Args:
        model: a model that has its weights.
        objective: its losses and metrics for data like these.
        examples: the data.
        training: whether to warn of what only makes training harder.

    Raises:
        DataError: targets are missing, or are labels that the loss does not have; or a number to
            embed is out of range.
    """
    arrays = examples.arrays
    warn_of_not_finite(model, arrays)
    check_embedded(model, arrays["x"])
    for i, head in enumerate(objective.heads):
        if head.loss is None:
            continue
        if "y" not in arrays:
            _require_targets(head.loss)
            continue
        prediction, maker = objective.predictions[i], objective.makers[i]
        weight = objective.weights_of(arrays.get("weight"))[i]
        labels = _on_host(objective.by_output(arrays["y"])[i])
        if labels is not None:
            check_head(model, head, labels, _on_host(weight), prediction)
        if training:
            sample = None if labels is None else labels[:SAMPLE]
            where = f"{type(maker).__name__} {path_of(model, maker)!r}"
            for subject, message in warn_about_head(head, sample, prediction, maker, where):
                warn_once(model, subject, message)
    if training:
        warn_of_unscaled_images(model, arrays["x"])


def _require_targets(loss: Any) -> None:
    function = loss.fn if isinstance(loss, LossFunctionWrapper) else type(loss)
    if function.__module__.startswith("nacre."):  # a user's own loss may do without targets
        raise DataError(
            explain(
                f"The loss {loss.name!r} needs targets, and there are none.",
                expected="model.fit(x, y), with a target for each example",
                received="y=None",
                fix="pass the targets as y; an autoencoder's are its inputs: model.fit(x, x).",
            )
        )


def path_of(model: Model, layer: Layer | None) -> str:
    """The path of a layer in a model, as ``summary()`` shows it."""
    paths = {id(inner): path for path, inner in layers_of(model).items()}
    return paths.get(id(layer), "")


# Numbers that are none


def warn_of_not_finite(model: Model, arrays: dict[str, Any]) -> None:
    """Warn of NaN and infinity in the data."""
    for path, leaf in jax.tree_util.tree_leaves_with_path(arrays):
        array = _on_host(leaf)
        if array is None or not array.size or not is_floating(array.dtype):
            continue
        step = -(-array.nbytes // ONE_PASS)
        found = _not_finite(array[::step])
        if found is None:
            continue
        count, index = found
        name = path[0].key + jax.tree_util.keystr(path[1:])
        place = ", ".join(map(str, (index[0] * step, *index[1:])))
        numbers = "1 number that is" if count == 1 else f"{count:,} numbers that are"
        message = explain(
            f"{name} holds {numbers} not finite, so the loss will not be finite either.",
            expected="finite numbers",
            received=f"{array[::step][index]} at {name}[{place}]",
            fix="leave those examples out, or fill in a value: numpy.nan_to_num(x), or the mean "
            "of the column.",
        )
        warn_once(model, f"not finite {name}", message)


def _not_finite(array: np.ndarray) -> tuple[int, tuple[int, ...]] | None:
    """How many numbers are not finite and where the first is, or None."""
    if array.dtype.itemsize >= 4 and array.flags.c_contiguous:
        flat = array.reshape(-1)
        with np.errstate(all="ignore"):
            if np.isfinite(np.dot(flat, flat)):  # the fastest pass over many numbers
                return None
    bad = ~np.isfinite(array)
    if not bad.any():
        return None
    first = np.unravel_index(int(bad.argmax()), array.shape)
    return int(bad.sum()), tuple(int(i) for i in first)


def _on_host(leaf: Any) -> np.ndarray | None:
    """An array as NumPy's without moving it; of one that is read from disk, the first rows."""
    if leaf is None or isinstance(leaf, np.ndarray):
        return leaf
    if isinstance(leaf, jax.Array):
        on_cpu = all(device.platform == "cpu" for device in leaf.devices())
        return np.asarray(leaf) if on_cpu and leaf.is_fully_addressable else None
    return np.asarray(leaf[:SAMPLE])


# Inputs that do not suit the first layers


def check_embedded(model: Model, x: Any) -> None:
    """Raise if a number in ``x`` goes straight into an embedding that has no row for it."""
    for layer, leaf in _first_layers(model, x):
        array = _on_host(leaf)
        if not isinstance(layer, Embedding) or array is None or not array.size:
            continue
        low, high = array.min(), array.max()
        if low < 0 or high >= layer.input_dim:
            raise DataError(
                explain(
                    f"Embedding {path_of(model, layer)!r} has no row for a number in x.",
                    expected=f"whole numbers from 0 to {layer.input_dim - 1}",
                    received=f"{low} to {high}",
                    fix=f"make it Embedding({int(high) + 1}, ...): input_dim is the largest number "
                    "plus 1."
                    if low >= 0
                    else "number the words from 0.",
                )
            )


def warn_of_unscaled_images(model: Model, x: Any) -> None:
    """Warn of pixels from 0 to 255 that a layer weighs as they are."""
    for layer, leaf in _first_layers(model, x):
        if type(layer).__name__ not in WEIGHING or leaf.ndim < 2:
            continue
        array = _on_host(leaf)
        if array is None or not _looks_like_pixels(array[:: -(-len(array) // SAMPLE)]):
            continue
        message = explain(
            f"The pixels in x run from 0 to 255, and the first layer, {type(layer).__name__} "
            f"{path_of(model, layer)!r}, takes them as they are.",
            expected="inputs of about 0..1 or -1..1, from which networks learn best",
            received=f"{leaf.dtype} up to {array[:SAMPLE].max()}",
            fix='scale them, x = x.astype("float32") / 255, or begin with a Rescaling(1 / 255) '
            "layer.",
        )
        warn_once(model, "unscaled images", message)


def _looks_like_pixels(sample: np.ndarray) -> bool:
    """Whether numbers are bytes: of type uint8, or whole, many for each example, and up to 255."""
    values_per_example = sample[0].size if len(sample) else 0
    high = sample.max(initial=0)
    if sample.dtype == np.uint8:
        return bool(high > 100 and values_per_example >= 16)
    is_whole = values_per_example >= 64 and 200 < high <= 255 and sample.min() == 0
    return bool(is_whole and (sample == np.floor(sample)).all())


def _is_stack(model: Any) -> bool:
    return is_model(model) and hasattr(model, "pop")  # a Sequential, which imports this module


def _first_layers(model: Any, x: Any) -> list[tuple[Layer, Any]]:
    """The layers that an input goes into unchanged, each with that input."""
    leaves = jax.tree.leaves(x)
    if _is_stack(model):
        return _first_of(model.layers, leaves[0]) if len(leaves) == 1 else []
    if model._graph is None or len(leaves) != len(model._graph.flat_inputs):
        return []
    given = {id(tensor): leaf for tensor, leaf in zip(model._graph.flat_inputs, leaves)}
    found: list[tuple[Layer, Any]] = []
    for node in model._graph.nodes:
        tensors = jax.tree.leaves(node.args)
        known = len(tensors) == 1 and isinstance(tensors[0], SymbolicTensor)
        leaf = given.get(id(tensors[0])) if known else None
        if leaf is None or not isinstance(node.operation, Layer):
            continue
        if type(node.operation).__name__ in PASSING:
            given[id(jax.tree.leaves(node.outputs)[0])] = leaf
        else:
            found += _first_of([node.operation], leaf)
    return found


def _first_of(layers: list[Layer], leaf: Any) -> list[tuple[Layer, Any]]:
    """The first of some layers that does not just pass ``leaf`` on; a model's, if it is one."""
    for layer in layers:
        if is_model(layer):
            return _first_layers(layer, leaf)
        if type(layer).__name__ not in PASSING:
            return [(layer, leaf)]
    return []
