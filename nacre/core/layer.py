"""The base class of layers: weights on demand, state, randomness, and how a layer is called."""

from __future__ import annotations

import functools
import inspect
import weakref
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from nacre.core import random, symbolic
from nacre.core.configurable import Configurable
from nacre.core.dtypes import DTypePolicy, as_policy, in_precision, is_floating
from nacre.core.errors import ArgumentError, BuildError, PurityError, ShapeError, explain
from nacre.core.failures import LayerError, fail, shape_text
from nacre.core.registry import resolve, snake_case
from nacre.core.scope import Scope, annotate, current_scope, mask_of
from nacre.core.tracebacks import hide_internals
from nacre.core.variables import Variable

__all__ = [
    "Layer",
    "LayerError",
    "check_rank",
    "draw_values",
    "frozen_variables",
    "layers_of",
    "structure_changed",
    "structure_version",
    "unique_names",
    "variables_of",
]

# A layer that is met again inside this many calls is taken to call itself without end.
DEEPEST_CALLS = 64

_structure_version = 0


def structure_version() -> int:
    """A number that grows whenever any layer gains a layer or variable, or is frozen or freed.

    What was worked out about a model's structure holds as long as it stays the same.
    """
    return _structure_version


def structure_changed() -> None:
    """Make known that a layer has gained or lost something, or was frozen or freed."""
    global _structure_version
    _structure_version += 1


@dataclass
class Internals:
    """What Nacre keeps about a layer, apart from the layer's own attributes."""

    policy: DTypePolicy
    seed: int | None
    name: str | None = None
    trainable: bool = True
    activity_regularizer: Any = None
    input_shape: tuple[int | None, ...] | None = None
    initial_weights: Sequence[Any] | None = None
    variables: dict[str, Variable] = field(default_factory=dict)
    nodes: list[symbolic.Node] = field(default_factory=list)
    built: bool = False  # its own build() has run
    complete: bool = False  # it was called as the outermost layer, so everything in it has weights
    drawn: int = -1  # the structure's version when everything in it had its values
    owner: weakref.ref[Layer] | None = None  # the first layer that it was put into
    entropy: int | None = None  # stands in for the seed where none is set


class Layer(Configurable):
    """Something with weights that turns arrays into arrays.

    The short way is one method, which asks for what it needs::

        class Dense(nacre.layers.Layer):
            def __init__(self, units):
                super().__init__()
                self.units = units

            def call(self, x):
                kernel = self.weight("kernel", (x.shape[-1], self.units), "glorot_uniform")
                bias = self.weight("bias", (self.units,), "zeros")
                return x @ kernel + bias

    The Keras way works too: ``build(self, input_shape)`` makes weights with ``add_weight``, and
    ``call(self, x, training=False, mask=None)`` may take either keyword.

    Args:
        name: the layer's name; numbered automatically within a model if not given.
        trainable: whether an optimizer may change its weights.
        dtype: a data type or precision policy such as ``"mixed_bfloat16"`` or ``"bf16x3"``.
        activity_regularizer: a penalty on the output, added to the loss, averaged over the batch.
        input_shape: the shape of one example, for the first layer of a ``Sequential``.
        input_dim: the same for examples that are vectors: ``input_shape=(input_dim,)``.
        weights: initial values, in the order of ``get_weights()``.
    """

    supports_masking = False
    made_of_tensors = False  # whether its constructor may take symbolic tensors
    autocast = True  # whether floating-point inputs are brought to the type of the arithmetic

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        if args and isinstance(args[0], symbolic.SymbolicTensor) and not cls.made_of_tensors:
            raise ArgumentError(
                explain(
                    f"{cls.__name__} was made with a symbolic tensor, instead of called on one.",
                    expected=f"{cls.__name__}(...)(x)",
                    received=f"{cls.__name__}(x), where x is {args[0]!r}",
                    fix="make the layer first, then call it on the tensor.",
                )
            )
        self = super().__new__(cls, *args, **kwargs)
        object.__setattr__(
            self, "_internals", Internals(policy=as_policy(None), seed=random.current_seed())
        )
        return self

    _internals: Internals

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "build" in vars(cls) and not getattr(cls.build, "makes_no_weights", False):
            cls.build = _marking_built(cls.build)  # type: ignore[method-assign] - meant

    def __init__(
        self,
        *,
        name: str | None = None,
        trainable: bool = True,
        dtype: Any = None,
        activity_regularizer: Any = None,
        input_shape: Sequence[int | None] | None = None,
        input_dim: int | None = None,
        weights: Sequence[Any] | None = None,
    ) -> None:
        if name is not None and (not isinstance(name, str) or not name or "/" in name):
            raise ArgumentError(
                explain(
                    f"{type(self).__name__} cannot have this name.",
                    expected="a non-empty string without '/'",
                    received=repr(name),
                )
            )
        own = self._internals
        own.name = name
        own.trainable = trainable
        own.policy = as_policy(dtype)
        own.activity_regularizer = resolve("regularizer", activity_regularizer)
        if input_dim is not None:
            input_shape = (input_dim,)
        own.input_shape = None if input_shape is None else tuple(input_shape)
        own.initial_weights = weights

    # What a layer may ask for while it runs

    def weight(
        self,
        name: str,
        shape: Sequence[int],
        initializer: Any = "glorot_uniform",
        *,
        regularizer: Any = None,
        dtype: Any = None,
    ) -> jax.Array:
        """The weight called ``name``, made on first use, in the layer's compute type.

        Raises:
            ShapeError: the layer was built for inputs of another size.
        """
        variable = self._variable(name, shape, initializer, dtype, True, regularizer)
        value = variable.value
        if is_floating(value.dtype) and value.dtype != self.compute_dtype:
            value = value.astype(self.compute_dtype)
        return value

    def state(
        self, name: str, shape: Sequence[int] = (), initializer: Any = "zeros", *, dtype: Any = None
    ) -> Variable:
        """A variable that the layer itself updates, with ``.value`` and ``.assign(new)``."""
        return self._variable(name, shape, initializer, dtype, False, None)

    def key(self) -> jax.Array:
        """A new random key. It depends on the call's key, the layer's path and the call's count."""
        scope = current_scope()
        if scope is None:
            return random.key(random.fresh_seed())
        return scope.next_key(self)

    @property
    def training(self) -> bool:
        """Whether the call that is running is a training step."""
        scope = current_scope()
        return scope is not None and scope.training

    def mask(self, x: Any) -> Any:
        """The mask that came with ``x``, True where a step counts, or None."""
        return mask_of(x)

    def add_loss(self, loss: Any) -> None:
        """Add a scalar to the loss of the step that is running."""
        scope = current_scope()
        if scope is not None:
            scope.require_own_trace("add_loss()")
            scope.losses.extend(loss if isinstance(loss, list | tuple) else [loss])

    def add_weight(
        self,
        shape: Sequence[int] | None = None,
        initializer: Any = None,
        dtype: Any = None,
        trainable: bool = True,
        regularizer: Any = None,
        name: str | None = None,
    ) -> Variable:
        """Make a variable in ``build``. Without a name it takes that of its attribute."""
        shape = () if shape is None else shape
        if initializer is None:
            floating = is_floating(dtype or self.variable_dtype)
            initializer = "glorot_uniform" if floating and len(tuple(shape)) else "zeros"
        if name is None:
            name, count = "variable", 0
            while name in self._internals.variables:
                count += 1
                name = f"variable_{count}"
        return self._variable(name, shape, initializer, dtype, trainable, regularizer)

    def _variable(
        self,
        name: str,
        shape: Sequence[int],
        initializer: Any,
        dtype: Any,
        trainable: bool,
        regularizer: Any,
    ) -> Variable:
        shape = tuple(shape)
        variable = self._internals.variables.get(name)
        if variable is None:
            return self._make_variable(name, shape, initializer, dtype, trainable, regularizer)
        if variable.shape != shape:
            if _depends_on_unknown(variable.shape, shape):
                raise self._unknown_size(name)
            raise ShapeError(
                explain(
                    f"{self._where()} was built for inputs of another size: its {name!r} has the "
                    f"shape {variable.shape}, and this call needs {shape}.",
                    expected=f"inputs that fit {name} {variable.shape}",
                    received=f"inputs that need {name} {shape}",
                    fix="feed inputs of the same size, or make a second layer instead of sharing "
                    "this one.",
                )
            )
        return variable

    def _unknown_size(self, name: str) -> ShapeError:
        return ShapeError(
            explain(
                f"{self._where()} needs the weight {name!r}, whose size depends on one that is not "
                "known.",
                expected="inputs whose last size, or number of channels, is known",
                received="None in its place",
                fix="give that size in Input(shape=...); None is for the batch and for time.",
            )
        )

    def _make_variable(
        self,
        name: str,
        shape: tuple[int, ...],
        initializer: Any,
        dtype: Any,
        trainable: bool,
        regularizer: Any,
    ) -> Variable:
        scope = current_scope()
        if scope is not None and scope.bindings is not None:
            raise BuildError(
                explain(
                    f"{self._where()} asked for the new weight {name!r} inside a compiled call.",
                    expected="every weight exists before the model is lifted",
                    fix="ask for it in every call, not only in training; or call the model once "
                    "first, as model(x, training=True)."
                    if id(self) in scope.paths
                    else "make the layer in __init__() and keep it as an attribute, or in a list "
                    "or dictionary there: a layer made in call() is a new one each time.",
                )
            )
        if not all(isinstance(size, int | np.integer) and size >= 0 for size in shape):
            raise ShapeError(
                explain(
                    f"{self._where()} needs the weight {name!r}, whose shape is not known.",
                    expected="whole numbers",
                    received=shape,
                    fix="give the sizes that weights depend on; None is for batch and time.",
                )
            )
        variable = Variable(
            initializer,
            shape,
            dtype or self.variable_dtype,
            trainable,
            name,
            regularizer,
            seed=self._internals.seed,
        )
        variable.belongs_to(self)
        self._internals.variables[name] = variable
        structure_changed()
        return variable

    # Calling

    def build(self, input_shape: Any) -> None:
        """Make the weights, given the shape of the inputs. Layers may leave this out."""

    build.makes_no_weights = True  # type: ignore[attr-defined]

    def call(self, *args: Any, **kwargs: Any) -> Any:
        """Compute the outputs from the inputs. Every layer writes this."""
        name = type(self).__name__
        fix = "write def call(self, x): in the class, and return the outputs from it."
        if hasattr(self, "forward"):
            fix = "rename the method forward to call."
        raise LayerError(
            explain(f"{name} has no method call(self, x), so it does nothing.", fix=fix)
        )

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        try:
            if symbolic.contains_symbolic((args, kwargs)):
                node = symbolic.record(self, args, kwargs)
                self._internals.nodes.append(node)
                return node.outputs
            scope = current_scope()
            if scope is None:
                return self._call_eagerly(args, kwargs)
            return self._call_in(scope, args, kwargs)
        except Exception as error:
            hide_internals(error)
            raise

    def _call_eagerly(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        args, kwargs = jax.tree.map(_as_array, (_arrays_from_lists(args), kwargs))
        self._complete(args, kwargs)
        if self._internals.drawn != structure_version():
            draw_values(self)
            self._internals.drawn = structure_version()
        scope = Scope(training=bool(kwargs.get("training")), make_key=random.next_eager_key)
        scope.paths = _paths_of(self)
        with scope:
            outputs = self._call_in(scope, args, kwargs)
        for identity, value in scope.updates.items():
            if isinstance(value, Tracer):
                raise PurityError(
                    explain(
                        f"{self._where()} updates {scope.updated[identity].name!r} inside a JAX "
                        "transformation (jax.grad, jax.jit, ...), from which it cannot leave.",
                        fix="lift the model first: apply, params, state = nacre.lift(model), and "
                        "transform apply.",
                    )
                )
            scope.updated[identity].replace(value)
        return outputs

    def _complete(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Make and draw every weight below this layer, by one abstract call."""
        if not self._internals.complete:
            symbolic.infer(self._call_in_current, args, kwargs)
            self._internals.complete = True
            draw_values(self)

    def _call_in_current(self, *args: Any, **kwargs: Any) -> Any:
        scope = current_scope()
        assert scope is not None
        return self._call_in(scope, args, kwargs)

    def _call_in(self, scope: Scope, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        accepts_training, accepts_mask = _call_keywords(type(self))
        training = scope.training
        if kwargs.get("training") is not None:
            scope.training = bool(kwargs["training"])
        kwargs = dict(kwargs)
        kwargs.pop("training", None)
        if accepts_training:
            kwargs["training"] = scope.training
        incoming = mask_of(args[0]) if args else None
        if accepts_mask:
            kwargs.setdefault("mask", _masks_of(args[0]) if args else None)
        elif kwargs.get("mask") is not None:
            incoming = kwargs.pop("mask")
            annotate(args[0], mask=incoming)
        self._check_for_endless_calls(scope)
        scope.stack.append(self)
        try:
            if self.autocast:
                args = tuple(self._cast(argument) for argument in args)
            self._build_once(args)
            if scope.probe is not None:
                args = scope.probe.enter(self, args)
            with in_precision(self._internals.policy):
                outputs = self.call(*args, **kwargs)
            if outputs is None:
                raise LayerError(
                    explain(
                        f"{self._where()} returned nothing.",
                        expected="its call() returns an array",
                        received="None",
                        fix="end call() with return and the outputs.",
                    )
                )
        except Exception as error:
            fail(LayerError, self._where(), error, args)
        finally:
            scope.stack.pop()
            scope.training = training
        if scope.probe is not None:
            outputs = scope.probe.leave(self, outputs)
        self._note_mask(args, incoming, outputs)
        self._penalise_activity(scope, outputs)
        scope.records.append((self, args, outputs))
        return outputs

    def _build_once(self, args: tuple[Any, ...]) -> None:
        own = self._internals
        if own.built:
            return
        if not getattr(type(self).build, "makes_no_weights", False):
            with jax.ensure_compile_time_eval():  # values made in build() must not be traced
                self.build(_input_shapes(args[0]) if args else None)
        own.built = True

    def _check_for_endless_calls(self, scope: Scope) -> None:
        if len(scope.stack) > DEEPEST_CALLS and any(layer is self for layer in scope.stack):
            names = list(dict.fromkeys(layer.name for layer in scope.stack))
            raise ArgumentError(
                explain(
                    f"{type(self).__name__} {self.name!r} calls itself without end.",
                    expected="layers that call the layers inside them, which never lead back",
                    received=" -> ".join([*names, names[0]]),
                    fix="take the layer out of what it calls; to share weights, call a layer "
                    "twice.",
                )
            )

    def _cast(self, argument: Any) -> Any:
        compute = self.compute_dtype

        def cast(x: Any) -> Any:
            if not hasattr(x, "dtype") or x.dtype == compute or not is_floating(x.dtype):
                return x
            mask, result = mask_of(x), x.astype(compute)
            return annotate(result, mask=mask)

        return jax.tree.map(cast, argument)

    def _note_mask(self, args: tuple[Any, ...], incoming: Any, outputs: Any) -> None:
        if not isinstance(outputs, jax.Array) or mask_of(outputs) is not None:
            return
        if type(self).compute_mask is not Layer.compute_mask:
            annotate(outputs, mask=self.compute_mask(args[0], _masks_of(args[0])))
        elif self.supports_masking and incoming is not None:
            annotate(outputs, mask=incoming)

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        """The mask of the outputs, given that of the inputs. Layers may override this."""
        return mask if self.supports_masking else None

    def _penalise_activity(self, scope: Scope, outputs: Any) -> None:
        penalty = self._internals.activity_regularizer
        if penalty is not None:
            for output in jax.tree.leaves(outputs):
                scope.losses.append(penalty(output) / max(output.shape[0], 1))

    def _where(self) -> str:
        scope = current_scope()
        return f"{type(self).__name__} {self.name!r}" if scope is None else scope.where(self)

    # Description

    @property
    def name(self) -> str:
        """The name given, or that in the model or layer it was first put into."""
        own = self._internals
        owner = None if own.name is not None or own.owner is None else own.owner()
        try:
            children = [] if owner is None else list(owner.children())
        except AttributeError:  # it is still being made
            children = []
        return next((name for name, child in children if child is self), _base_name(self))

    @name.setter
    def name(self, name: str) -> None:
        self._internals.name = name

    @property
    def built(self) -> bool:
        """Whether the layer has its weights."""
        return self._internals.built

    @built.setter
    def built(self, value: bool) -> None:
        self._internals.built = value

    @property
    def trainable(self) -> bool:
        """Whether an optimizer may change the weights. Setting it sets every layer inside too."""
        return self._internals.trainable

    @trainable.setter
    def trainable(self, value: bool) -> None:
        structure_changed()
        for layer in layers_of(self).values():
            layer._internals.trainable = bool(value)

    @property
    def dtype_policy(self) -> DTypePolicy:
        return self._internals.policy

    @property
    def compute_dtype(self) -> str:
        """The data type of the layer's arithmetic."""
        return self._internals.policy.compute_dtype

    @property
    def variable_dtype(self) -> str:
        """The data type of the layer's weights."""
        return self._internals.policy.variable_dtype

    dtype = variable_dtype

    @property
    def input(self) -> Any:
        """The symbolic tensor the layer was first called on."""
        inputs = self._first_node().args
        return inputs[0] if len(inputs) == 1 else list(inputs)

    @property
    def output(self) -> Any:
        """The symbolic tensor the layer returned when it was first called on one."""
        return self._first_node().outputs

    def _first_node(self) -> symbolic.Node:
        if not self._internals.nodes:
            raise BuildError(
                explain(
                    f"{self._where()} has no symbolic input or output yet.",
                    expected="a layer of a functional model, or of a Sequential with a known input",
                    fix="start the model with nacre.Input(shape=...).",
                )
            )
        return self._internals.nodes[0]

    def compute_output_shape(self, input_shape: Any) -> Any:
        """The shape of the outputs for inputs of ``input_shape``; None stands for unknown sizes."""
        tensors = jax.tree.map(
            lambda shape: symbolic.SymbolicTensor(shape, self.compute_dtype),
            input_shape,
            is_leaf=_is_shape,
        )
        outputs = symbolic.infer(self._call_in_current, (tensors,), {})
        return jax.tree.map(lambda tensor: tensor.shape, outputs)

    def __getstate__(self) -> dict[str, Any]:
        """What copies and pickles hold: every value, and no connection to a model around."""
        draw_values(self)
        return {**vars(self), "_internals": replace(self._internals, nodes=[], owner=None)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        for _, layer in self.children():
            self._own(layer)
        structure_changed()

    # The tree of layers

    def __getattr__(self, name: str) -> Any:
        # There is no such attribute; a weight made by self.weight(name, ...) serves as one.
        if name.startswith("_"):
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        own = self._internals
        if name in own.variables:
            return own.variables[name]
        hint = "" if own.variables or own.built else "; it has no weights before it is built"
        raise AttributeError(f"{self._where()} has no attribute {name!r}{hint}")

    def __setattr__(self, name: str, value: Any) -> None:
        if isinstance(value, Layer | Variable | list | tuple | dict):
            structure_changed()
            for path, variable in _variables_in(name, value):
                self._adopt(path, variable)
            for _, layer in _layers_in(name, value):
                self._own(layer)
        elif isinstance(value, set | frozenset) and any(isinstance(v, Layer) for v in value):
            raise ArgumentError(
                explain(
                    f"{type(self).__name__}.{name} is a set of layers, which has no order.",
                    expected="layers in attributes, lists, tuples or dictionaries",
                    fix=f"make it a list: self.{name} = [...].",
                )
            )
        super().__setattr__(name, value)

    def _own(self, layer: Layer) -> None:
        """Note where a layer was put first, which its initial values depend on."""
        own = layer._internals
        if (own.owner is None or own.owner() is None) and layer is not self:
            own.owner = weakref.ref(self)

    def _adopt(self, name: str, variable: Variable) -> None:
        variables = self._internals.variables
        known = next((key for key, item in variables.items() if item is variable), None)
        if known is None:
            variable.belongs_to(self)
            variables[name] = variable
        elif known.startswith("variable") and name not in variables:
            self._internals.variables = {
                (name if key == known else key): item for key, item in variables.items()
            }
            variable.name = name

    def children(self) -> Iterator[tuple[str, Layer]]:
        """The layers inside this one with their names: attributes, and items of lists and dicts."""
        for name, value in vars(self).items():
            if name not in ("_internals", "_constructor_arguments"):
                yield from _layers_in(name, value)

    @property
    def weights(self) -> list[Variable]:
        """Every variable, in layer order."""
        return list(variables_of(self).values())

    variables = weights

    @property
    def trainable_weights(self) -> list[Variable]:
        """The variables that an optimizer may change."""
        frozen = frozen_variables(self)
        return [v for v in self.weights if id(v) not in frozen]

    trainable_variables = trainable_weights

    @property
    def non_trainable_weights(self) -> list[Variable]:
        """The variables that an optimizer leaves alone: state, and what is frozen."""
        frozen = frozen_variables(self)
        return [v for v in self.weights if id(v) in frozen]

    non_trainable_variables = non_trainable_weights

    def get_weights(self) -> list[np.ndarray]:
        """The values of all variables, in layer order."""
        draw_values(self)
        return [variable.numpy() for variable in self.weights]

    def set_weights(self, weights: Sequence[Any]) -> None:
        """Replace the values of all variables, in the order of :meth:`get_weights`."""
        variables = variables_of(self)
        weights = [np.asarray(array) for array in weights]
        expected = {path: variable.shape for path, variable in variables.items()}
        if [array.shape for array in weights] != list(expected.values()):
            raise ShapeError(
                explain(
                    f"{self._where()}: set_weights got arrays that do not fit.",
                    expected=", ".join(f"{path} {shape}" for path, shape in expected.items())
                    or "no arrays: the layer has no weights yet (call it on an example first)",
                    received=", ".join(str(array.shape) for array in weights) or "no arrays",
                )
            )
        for variable, array in zip(variables.values(), weights):
            variable.replace(jnp.asarray(array, dtype=variable.dtype))

    def draw_values(self) -> None:
        """Draw the initial values that have not been drawn; done when one is first needed."""
        draw_values(self)

    def count_params(self) -> int:
        """The number of values in all variables."""
        return sum(variable.size for variable in self.weights)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments, without initial weights: those are values."""
        config = super().get_config()
        config.pop("weights", None)
        return config

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name!r}>"


def _layers_in(name: str, value: Any) -> Iterator[tuple[str, Layer]]:
    if isinstance(value, Layer):
        yield name, value
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from _layers_in(f"{name}/{index}", item)
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _layers_in(f"{name}/{key}", item)


def _variables_in(name: str, value: Any) -> Iterator[tuple[str, Variable]]:
    if isinstance(value, Variable):
        yield name, value
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from _variables_in(f"{name}/{index}", item)
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _variables_in(f"{name}/{key}", item)


def layers_of(root: Layer) -> dict[str, Layer]:
    """Every layer below ``root`` by its path, in layer order; ``root`` itself is ``""``."""
    return {path: layer for path, layer, _ in _walk(root)}


def _walk(root: Layer) -> list[tuple[str, Layer, bool]]:
    """Each layer once, with its path and whether it and all layers around it are trainable."""
    found: list[tuple[str, Layer, bool]] = []
    seen: set[int] = set()

    def visit(layer: Layer, path: str, trainable: bool) -> None:
        if id(layer) in seen:
            return
        seen.add(id(layer))
        trainable = trainable and layer.trainable
        found.append((path, layer, trainable))
        for name, child in layer.children():
            visit(child, f"{path}/{name}" if path else name, trainable)

    visit(root, "", True)
    return found


def variables_of(root: Layer) -> dict[str, Variable]:
    """Every variable below ``root`` by its path, in layer order.

    A path is made of the names on the way from the root: ``"block1/conv/kernel"``. A variable that
    is reached twice, because a layer is shared, has the path that comes first.
    """
    variables: dict[str, Variable] = {}
    seen: set[int] = set()
    for path, layer, _ in _walk(root):
        for name, variable in layer._internals.variables.items():
            if id(variable) not in seen:
                seen.add(id(variable))
                variables[f"{path}/{name}" if path else name] = variable
    return variables


def frozen_variables(root: Layer) -> set[int]:
    """The identities of the variables that an optimizer must leave alone."""
    return {
        id(variable)
        for _, layer, trainable in _walk(root)
        for variable in layer._internals.variables.values()
        if not (trainable and variable.trainable)
    }


def draw_values(root: Layer) -> None:
    """Draw the initial values that have not been drawn, each from the seed and its path.

    The path is that from the outermost layer around, whichever layer is asked first.
    """
    for _, layer, _ in _walk(root):
        if not all(variable.drawn for variable in layer._internals.variables.values()):
            home = _outermost(layer)
            if home is not root:
                _draw_below(home)
    _draw_below(root)


def _outermost(layer: Layer) -> Layer:
    """The layer around all layers that ``layer`` was put into."""
    seen = {id(layer)}
    while True:
        owner = layer._internals.owner
        outer = None if owner is None else owner()
        if outer is None or id(outer) in seen:
            return layer
        seen.add(id(outer))
        layer = outer


def _draw_below(root: Layer) -> None:
    own = root._internals
    if own.entropy is None:
        own.entropy = random.fresh_seed()
    for path, variable in variables_of(root).items():
        variable.draw(path, own.entropy)
    for _, layer, _ in _walk(root):
        values = layer._internals.initial_weights
        if values is not None and layer._internals.variables:
            layer._internals.initial_weights = None
            layer.set_weights(values)


def _base_name(layer: Layer) -> str:
    """The name given, or the class's name in snake case."""
    return layer._internals.name or snake_case(type(layer).__name__)


def unique_names(layers: Sequence[Layer]) -> list[str]:
    """A name for each layer: its own, or its class's with a number (``dense``, ``dense_1``)."""
    given = {layer._internals.name for layer in layers} - {None}
    taken: set[str] = set()
    counts: dict[str, int] = {}
    names: list[str] = []
    for layer in layers:
        name = base = _base_name(layer)
        if layer._internals.name is None:
            while name in taken or name in given:
                counts[base] = counts.get(base, 0) + 1
                name = f"{base}_{counts[base]}"
        elif name in taken:
            raise ArgumentError(
                explain(
                    f"Two layers are named {name!r}.",
                    expected="a name of its own for each layer",
                    fix="rename one of them, or leave names out to have them numbered.",
                )
            )
        taken.add(name)
        names.append(name)
    return names


def check_rank(layer: Layer, x: Any, rank: int, axes: str, fix: str) -> None:
    """Raise a teaching error unless ``x`` has ``rank`` axes."""
    if x.ndim != rank:
        raise ShapeError(
            explain(
                f"{layer._where()} takes inputs with {rank} axes.",
                expected=axes,
                received=f"shape {shape_text(x.shape)}, {x.ndim} axes",
                fix=fix,
            )
        )


def _depends_on_unknown(first: tuple[int, ...], second: tuple[int, ...]) -> bool:
    """Whether two shapes of a weight differ as the two stand-ins for an unknown size do."""
    scope = current_scope()
    building = scope is not None and scope.building and len(first) == len(second)
    differing = [pair for pair in zip(first, second) if pair[0] != pair[1]]
    one, other = symbolic.OTHER_SIZES
    return building and all(
        a % one == 0 and b % other == 0 and a // one == b // other for a, b in differing
    )


def _paths_of(root: Layer) -> dict[int, str]:
    return {id(layer): path for path, layer in layers_of(root).items()}


def _marking_built(build: Any) -> Any:
    """A layer's ``build``, after which the layer counts as built, whoever called it."""

    @functools.wraps(build)
    def build_and_mark(self: Layer, *args: Any, **kwargs: Any) -> Any:
        own = self._internals
        before, own.built = own.built, True  # before it runs, as Model.build may call the model
        try:
            return build(self, *args, **kwargs)
        except Exception:  # whatever failed, the layer is not built; the error goes on
            own.built = before
            raise

    return build_and_mark


@functools.cache
def _call_keywords(cls: type[Layer]) -> tuple[bool, bool]:
    parameters = inspect.signature(cls.call).parameters
    return "training" in parameters, "mask" in parameters


def _masks_of(inputs: Any) -> Any:
    if isinstance(inputs, list | tuple):
        masks = [mask_of(x) for x in inputs]
        return masks if any(mask is not None for mask in masks) else None
    return mask_of(inputs)


def _as_array(value: Any) -> Any:
    """Numbers and arrays as JAX arrays; flags, names and keys as they are."""
    return value if isinstance(value, bool | str | jax.Array) else jnp.asarray(value)


def _is_shape(value: Any) -> bool:
    return isinstance(value, list | tuple) and all(
        size is None or isinstance(size, int | np.integer) for size in value
    )


def _arrays_from_lists(args: tuple[Any, ...]) -> tuple[Any, ...]:
    """Read nested lists of numbers as arrays, as in ``layer([[1.0, 2.0]])``."""

    def convert(value: Any) -> Any:
        leaf = value
        while isinstance(leaf, list | tuple) and leaf:
            leaf = leaf[0]
        is_numbers = isinstance(value, list | tuple) and isinstance(leaf, bool | int | float)
        return np.asarray(value) if is_numbers else value

    return tuple(convert(argument) for argument in args)


def _input_shapes(inputs: Any) -> Any:
    """The shapes handed to ``build``: None for the batch."""
    return jax.tree.map(lambda x: (None, *x.shape[1:]), inputs)
