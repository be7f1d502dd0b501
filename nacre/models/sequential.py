"""A model that is a stack of layers."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import jax

from nacre.core.configurable import deserialize, serialize
from nacre.core.errors import ArgumentError, BuildError, explain
from nacre.core.layer import Layer, draw_values, layers_of, structure_changed, unique_names
from nacre.core.registry import register
from nacre.core.scope import note_reader
from nacre.core.symbolic import SymbolicTensor, input_tensor, record_chain
from nacre.core.tracebacks import readable_errors
from nacre.layers.input import InputLayer
from nacre.models.graph import fit_to_input
from nacre.models.model import Model, any_batch
from nacre.saving.graph_tensors import TensorSpec

__all__ = ["Sequential"]


@register("layer")
class Sequential(Model):
    """A stack of layers: the output of each is the input of the next.

    The shape of the input is given by ``Input(...)`` first, by ``input_shape=`` on the first layer,
    or taken from the first data.

    Args:
        layers: the layers, in order.
        name: the model's name.
        trainable: whether an optimizer may change the weights.

    Example:
        >>> import nacre
        >>> model = nacre.Sequential([nacre.Input((4,)), nacre.layers.Dense(3)])
        >>> model.add(nacre.layers.Dense(1))
        >>> model.count_params()
        19
    """

    autocast = False  # each layer brings its input to its own type

    def __init__(
        self,
        layers: Sequence[Layer | SymbolicTensor] | None = None,
        name: str | None = None,
        trainable: bool = True,
    ) -> None:
        if isinstance(layers, Layer):
            raise ArgumentError(
                explain(
                    "Sequential takes its layers in one list.",
                    expected="Sequential([first, second])",
                    received=f"Sequential({layers!r}, ...)",
                    fix="put the layers between [ and ].",
                )
            )
        super().__init__(name=name, trainable=trainable)
        self._stack: list[Layer] = []
        self._tensors: list[Any] = []  # the input, then the output of each layer
        self._inferred = False  # the input was taken from the first data, whose type may vary
        self._put(layers or [])

    def add(self, layer: Layer | SymbolicTensor) -> None:
        """Put a layer on top of the stack."""
        self._put([layer])

    @readable_errors
    def _put(self, layers: Sequence[Layer | SymbolicTensor]) -> None:
        """Put layers on top of the stack; or none of them, if one does not fit."""
        new: list[Layer] = []
        for layer in layers:
            below = [*self._stack, *new]
            if isinstance(layer, SymbolicTensor):
                self._begin(layer, below)
                continue
            self._check(layer, below)
            if not below and not self._tensors:
                start = _input_of(layer)
                if start is not None:
                    self._begin(start, below)
                if isinstance(layer, InputLayer):
                    continue
            new.append(layer)
        if self._tensors:
            self._tensors += _outputs_of(new, self._tensors[-1])
        for layer in new:
            self._stack.append(layer)
            self._own(layer)
        structure_changed()
        self._changed()

    def _check(self, layer: Any, below: list[Layer]) -> None:
        """Raise unless the layer may come after those below."""
        if not isinstance(layer, Layer):
            raise ArgumentError(
                explain(
                    "A Sequential is made of layers.",
                    expected="a layer, such as Dense(10)",
                    received=f"{layer!r} ({type(layer).__name__})",
                    fix=_instead_of(layer),
                )
            )
        if any(known is layer for known in below):
            raise ArgumentError(
                explain(
                    f"{layer!r} is in this Sequential already.",
                    fix="make a second layer, or share it with the functional API.",
                )
            )
        if any(inner is self for inner in layers_of(layer).values()):
            raise ArgumentError(
                explain(
                    f"{self._where()} cannot contain itself.",
                    expected="a layer, or a model that this one is not part of",
                    received=repr(layer),
                    fix="to apply the same layers twice, call a model twice in the functional API.",
                )
            )
        name = layer._internals.name
        same = [known for known in below if name and known._internals.name == name]
        unique_names([*same, layer])

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "_tensors": self._tensors[:1]}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        if self._tensors:
            self._tensors += _outputs_of(self._stack, self._tensors[-1])

    def pop(self) -> Layer:
        """Take the last layer off the stack and return it."""
        if not self._stack:
            raise ArgumentError("This Sequential has no layers to pop.")
        if self._tensors:
            self._tensors.pop()
        structure_changed()
        self._changed()
        return self._stack.pop()

    def _begin(self, start: SymbolicTensor, below: list[Layer]) -> None:
        if below or self._tensors:
            raise ArgumentError(
                explain(
                    "An Input can only come first in a Sequential.",
                    received=f"{len(below)} layers before it",
                )
            )
        self._tensors = [start]
        self._internals.complete = True

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if args and isinstance(args[0], SymbolicTensor) and self._stack and not self._tensors:
            self._complete_abstractly(args, kwargs)
        return super().__call__(*args, **kwargs)

    def _complete(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Take the shape of the input from the first data."""
        if not self._internals.complete:
            self._complete_abstractly(args, kwargs)
            draw_values(self)

    def _complete_abstractly(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        x = args[0]
        if not hasattr(x, "shape"):  # several inputs, for a first layer that takes them
            super()._complete_abstractly(*jax.tree.map(any_batch, (args, kwargs)))
            return
        masked = getattr(x, "masked", False)
        start = SymbolicTensor((None, *x.shape[1:]), x.dtype, masked=masked)
        self._tensors = [start, *_outputs_of(self._stack, start)]
        self._inferred = True
        self._internals.complete = True
        if self._has_own_constructor():
            self._built_on = ((start,), {})

    def call(self, x: Any) -> Any:
        if self._tensors and isinstance(x, jax.Array):
            start = self._tensors[0]
            if self._inferred:
                start = SymbolicTensor(start.shape, x.dtype)
            x = fit_to_input(start, x, self._where())
        for layer, following in zip(self._stack, [*self._stack[1:], None]):
            x = layer(x)
            note_reader(layer, x, following)
        return x

    def children(self) -> Iterator[tuple[str, Layer]]:
        yield from zip(unique_names(self._stack), self._stack)

    @property
    def layers(self) -> list[Layer]:
        """The layers, in order."""
        return list(self._stack)

    @property
    def input(self) -> Any:
        return self._known()[0]

    @property
    def output(self) -> Any:
        return self._known()[-1]

    def _known(self) -> list[Any]:
        if not self._tensors:
            raise BuildError(
                explain(
                    f"{self._where()} does not know the shape of its input yet.",
                    fix="begin with nacre.Input(shape=...), or call the model on data first.",
                )
            )
        return self._tensors

    def get_config(self) -> dict[str, Any]:
        """The layers and the input; of a subclass with a constructor of its own, its arguments."""
        if self._has_own_constructor():
            return super().get_config()
        config: dict[str, Any] = {"name": self._internals.name, "trainable": self.trainable}
        config["layers"] = serialize(self._stack)
        if self._tensors:
            start = self._tensors[0]
            config["input"] = {
                "batch_shape": list(start.shape),
                "dtype": start.dtype.name,
                "name": start.name,
            }
            if self._inferred:
                config["input"]["inferred"] = True
        return config

    @classmethod
    def _has_own_constructor(cls) -> bool:
        """Whether this is a subclass whose arguments, not its layers, say what it is."""
        return cls.__init__ is not Sequential.__init__

    @classmethod
    def from_config(
        cls, config: dict[str, Any], custom_objects: dict[str, Any] | None = None
    ) -> Any:
        """A model from what :meth:`get_config` returned, with new weights."""
        if cls._has_own_constructor():
            return super().from_config(config, custom_objects)
        config = dict(config)
        start = config.pop("input", None)
        layers = deserialize(config.pop("layers", []), custom_objects)
        if start is not None:
            spec = TensorSpec(start["batch_shape"], start["dtype"], start["name"])
            layers = [spec.tensor(), *layers]
        model = cls(layers, **config)
        model._inferred = start is not None and start.get("inferred") is True
        return model


def _instead_of(item: Any) -> str:
    """What to write in place of something that is not a layer."""
    if isinstance(item, type) and issubclass(item, Layer):
        return f"write {item.__name__}(...), with parentheses."
    if item is None:
        return "leave it out, or return the layer from the function that makes it."
    if isinstance(item, str):
        return f"write Activation({item!r}), or give activation={item!r} to the layer before."
    if isinstance(item, list | tuple):
        return "put the layers into one list: [*first, *second]."
    return "write Lambda(f) for a function f of one array." if callable(item) else "leave it out."


def _outputs_of(layers: Sequence[Layer], start: SymbolicTensor) -> list[Any]:
    """The output of each layer, the first applied to ``start``."""
    outputs: list[Any] = [start]
    for plain, some in itertools.groupby(layers, lambda a: type(a).__call__ is Layer.__call__):
        if plain:
            for node in record_chain(list(some), outputs[-1]):
                node.operation._internals.nodes.append(node)
                outputs.append(node.outputs)
        else:
            for layer in some:
                outputs.append(layer(outputs[-1]))
    return outputs[1:]


def _input_of(layer: Layer) -> SymbolicTensor | None:
    """The input that a first layer asks for, or None."""
    if isinstance(layer, Model) and layer.has_known_input:
        start = layer.input
        if isinstance(start, SymbolicTensor):
            return SymbolicTensor(start.shape, start.dtype)
    shape = layer._internals.input_shape
    if shape is None:
        return None
    batch = layer.batch_size if isinstance(layer, InputLayer) else None
    dtype = layer.input_dtype if isinstance(layer, InputLayer) else None
    if layer.variable_dtype == "float64":
        dtype = dtype or "float64"
    return input_tensor((batch, *shape), dtype)
