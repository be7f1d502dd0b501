"""Models: layers that can be trained, saved and described."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Collection, Iterator
from typing import Any

import jax

from nacre import saving
from nacre.core import symbolic
from nacre.core.configurable import deserialize, serialize
from nacre.core.errors import ArgumentError, BuildError, explain, unknown_name
from nacre.core.layer import Layer, draw_values, unique_names
from nacre.core.registry import register
from nacre.core.scope import Scope, current_scope, mask_of
from nacre.core.symbolic import SymbolicTensor
from nacre.core.tracebacks import readable_errors
from nacre.models.copying import restore, state_for_copy
from nacre.models.graph import Graph
from nacre.models.graph_config import graph_config, tensors_from_config
from nacre.models.summary import print_summary
from nacre.models.trainer import Trainer
from nacre.saving.description import describe
from nacre.training.history import History

__all__ = ["Model", "any_batch"]


@register("layer")
class Model(Layer):
    """A layer that can be trained: ``compile``, ``fit``, ``evaluate``, ``predict``, ``save``.

    Made in one of three ways: from symbolic tensors, ``Model(inputs, outputs)``; as a
    :class:`Sequential`; or by subclassing, with layers as attributes and ``call(self, x)``.

    Args:
        inputs, outputs: symbolic tensors, or lists or dictionaries of them.
        name: the model's name.

    Example:
        >>> import nacre
        >>> x = nacre.Input((4,))
        >>> y = nacre.layers.Dense(1)(nacre.layers.Dense(8, activation="relu")(x))
        >>> nacre.Model(x, y).count_params()
        49
    """

    made_of_tensors = True

    # Here too, so that a subclass may forget super().__init__().
    _graph: Graph | None = None
    _trainer: Trainer | None = None
    stop_training = False

    def __init__(
        self, inputs: Any = None, outputs: Any = None, name: str | None = None, **options: Any
    ) -> None:
        super().__init__(name=name, **options)
        if (inputs is None) != (outputs is None):
            raise ArgumentError("Model needs both inputs and outputs, or neither.")
        self._graph = None if inputs is None else Graph(inputs, outputs)
        if self._graph is not None:
            self.autocast = False  # each layer brings its input to its own type
            unique_names(self._graph.layers())
            for layer in self._graph.layers():
                self._own(layer)
            self._internals.complete = True

    def call(self, inputs: Any) -> Any:
        if self._graph is None:
            return super().call(inputs)
        return self._graph.run(inputs, self._where())

    def __getstate__(self) -> dict[str, Any]:
        return state_for_copy(super().__getstate__())

    def __setstate__(self, state: dict[str, Any]) -> None:
        restore(self, state)
        super().__setstate__({})

    # What it is made of

    def children(self) -> Iterator[tuple[str, Layer]]:
        if self._graph is not None:
            layers = self._graph.layers()
            yield from zip(unique_names(layers), layers)
        yield from super().children()

    @property
    def layers(self) -> list[Layer]:
        """The layers directly inside the model."""
        found = {id(layer): layer for _, layer in self.children() if layer is not self}
        return list(found.values())

    def get_layer(self, name: str | None = None, index: int | None = None) -> Layer:
        """The layer called ``name`` (as in ``summary()``), or the one at ``index``."""
        if index is not None or name is None:
            return self._layer_at(index)
        named = dict(self.children())
        for layer in self.layers:
            if layer._internals.name:
                named.setdefault(layer._internals.name, layer)
        if name not in named:
            raise unknown_name("layer", str(name), named)
        return named[name]

    def _layer_at(self, index: int | None) -> Layer:
        layers = self.layers
        if index is None or not -len(layers) <= index < len(layers):
            raise ArgumentError(
                explain(
                    f"{self._where()}: get_layer needs the name of a layer, or its index.",
                    expected=f"an index below {len(layers)}",
                    received=index,
                )
            )
        return layers[index]

    @property
    def has_known_input(self) -> bool:
        """Whether the shape of the input is known before any data is seen."""
        try:
            return bool(jax.tree.leaves(self.input))
        except BuildError:
            return False

    @property
    def input(self) -> Any:
        """The symbolic input, or inputs in their structure."""
        return super().input if self._graph is None else self._graph.inputs

    @property
    def output(self) -> Any:
        """The symbolic output, or outputs in their structure."""
        return super().output if self._graph is None else self._graph.outputs

    @property
    def inputs(self) -> list[SymbolicTensor]:
        """The symbolic inputs in a list."""
        return jax.tree.leaves(self.input)

    @property
    def outputs(self) -> list[SymbolicTensor]:
        """The symbolic outputs in a list."""
        return jax.tree.leaves(self.output)

    @property
    def input_shape(self) -> Any:
        """The shape of the input, None where unknown."""
        return jax.tree.map(lambda tensor: tensor.shape, self.input)

    @property
    def output_shape(self) -> Any:
        """The shape of the output, None where unknown."""
        return jax.tree.map(lambda tensor: tensor.shape, self.output)

    @readable_errors
    def build(self, input_shape: Any = None) -> None:
        """Make the weights for inputs of ``input_shape``, the batch included (None: any size)."""
        if current_scope() is not None:
            return  # called by the build() of a subclass: the call that is running makes the rest
        if input_shape is None:
            draw_values(self)
            return
        shapes = jax.tree.map(
            lambda shape: symbolic.SymbolicTensor(shape, "float32"),
            input_shape,
            is_leaf=lambda leaf: (
                isinstance(leaf, tuple | list)
                and all(size is None or isinstance(size, int) for size in leaf)
            ),
        )
        self._complete((shapes,), {})

    build.makes_no_weights = True  # type: ignore[attr-defined]

    def build_from(self, inputs: Any) -> None:
        """Make the weights for inputs like these arrays, of any batch size."""
        if not self._internals.complete:
            like = jax.tree.map(lambda x: SymbolicTensor((None, *x.shape[1:]), x.dtype), inputs)
            self._complete((like,), {})

    def _complete(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        was_complete = self._internals.complete
        super()._complete(args, kwargs)
        if not was_complete:
            self._built_on = jax.tree.map(any_batch, (args, kwargs))

    _built_on: tuple[tuple[Any, ...], dict[str, Any]] | None = None

    def _call_in(self, scope: Scope, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if scope.building and self._graph is None and not self._internals.complete:
            self._note_call(args, kwargs)
        return super()._call_in(scope, args, kwargs)

    def _note_call(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Note what the model is built with inside of another, so that it can be made again."""
        like = jax.tree.map(any_batch, (args, kwargs))
        known = self._built_on
        if known is not None and jax.tree.structure(known) == jax.tree.structure(like):
            like = jax.tree.map(_common, known, like)
        self._built_on = like

    def _complete_abstractly(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Make every weight by one abstract call, and leave the values to be drawn or loaded."""
        symbolic.infer(self._call_in_current, args, kwargs)
        self._internals.complete = True
        self._built_on = (args, kwargs)

    @readable_errors
    def summary(
        self,
        line_length: int | None = None,
        expand_nested: bool = False,
        show_trainable: bool = True,
        print_fn: Callable[[str], Any] | None = None,
    ) -> None:
        """Print the layers in a table: output shapes, parameters, floating-point operations.

        Operations are those of a forward pass for one example; a multiply-add is two.

        Args:
            line_length: the width in characters, that of the terminal if not given.
            expand_nested: whether to show the layers inside of layers.
            show_trainable: whether to show what an optimizer may change.
            print_fn: called with each line instead of printing it.

        Example:
            >>> import nacre
            >>> model = nacre.Sequential([nacre.Input((784,)), nacre.layers.Dense(10)])
            >>> model.summary()
            Model: "sequential"  input (None, 784)
            Layer          Output shape  Params  Trainable   FLOPs
            ------------------------------------------------------
            dense (Dense)  (None, 10)     7,850  yes        15.7 K
            ------------------------------------------------------
            Parameters: 7,850 (30.66 KB)
              trainable: 7,850 (30.66 KB)
              non-trainable: 0 (0 B)
            FLOPs per example: 15,690 (15.7 K)
        """
        print_summary(self, line_length, expand_nested, show_trainable, print_fn)

    def _changed(self) -> None:
        """What was compiled for the model's earlier layers no longer holds."""
        if self._trainer is not None:
            self._trainer.forget_programs()

    # Training

    @readable_errors
    def compile(
        self,
        optimizer: Any = "rmsprop",
        loss: Any = None,
        metrics: Any = None,
        loss_weights: Any = None,
        weighted_metrics: Any = None,
        on_nonfinite: str = "stop",
    ) -> None:
        """Say how the model is trained.

        Args:
            optimizer: a name, an optimizer, or any Optax gradient transformation.
            loss: a name, a loss, or a function ``(y_true, y_pred) -> loss of each example``; for
                several outputs a list, or a dictionary by output name.
            metrics: names, metrics or functions, in a list; for several outputs a list of lists or
                a dictionary by output name.
            loss_weights: the weight of each output's loss in the sum, 1 by default.
            weighted_metrics: metrics to which sample weights apply.
            on_nonfinite: what to do with a step whose loss or gradient is NaN or infinite.
                ``"stop"`` ends the run with the weights from before it and says where it came from;
                ``"skip"`` goes on with the next step, from the weights before; ``"ignore"`` does
                not look.
        """
        self._check_for_steps_of_its_own()
        self._trainer = Trainer(
            self, optimizer, loss, metrics, loss_weights, weighted_metrics, on_nonfinite
        )

    def _check_for_steps_of_its_own(self) -> None:
        for name in ("train_step", "test_step", "predict_step"):
            if hasattr(type(self), name):
                raise ArgumentError(
                    explain(
                        f"{type(self).__name__} has a method {name}, which would not be called: "
                        "Nacre compiles many steps into one program.",
                        expected="call(self, x), with losses and metrics given to compile()",
                        fix="put further losses into self.add_loss(...) in call(); or write your "
                        "own loop over apply, params, state = nacre.lift(model).",
                    )
                )

    @property
    def trainer(self) -> Trainer:
        """What :meth:`compile` made."""
        if self._trainer is None:
            raise BuildError(
                explain(
                    f"{self._where()} has not been compiled, so it has no optimizer and no loss.",
                    fix='call model.compile(optimizer="adam", loss=..., metrics=[...]) first.',
                )
            )
        return self._trainer

    @property
    def compiled(self) -> bool:
        """Whether :meth:`compile` has been called."""
        return self._trainer is not None

    @property
    def optimizer(self) -> Any:
        """The optimizer, whose ``learning_rate`` can be read and set while training."""
        return None if self._trainer is None else self._trainer.optimizer

    @property
    def metrics_names(self) -> list[str]:
        """The names that ``evaluate`` returns values for, in order."""
        return self.trainer.metrics_names

    @readable_errors
    def fit(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        epochs: int = 1,
        verbose: int | str = "auto",
        callbacks: Any = None,
        validation_split: float = 0.0,
        validation_data: Any = None,
        shuffle: bool = True,
        class_weight: dict[int, float] | None = None,
        sample_weight: Any = None,
        initial_epoch: int = 0,
        steps_per_epoch: int | None = None,
        validation_steps: int | None = None,
        validation_batch_size: int | None = None,
        validation_freq: int | Collection[int] = 1,
    ) -> History:
        """Train the model.

        Args:
            x: the inputs, an array with the examples along its first axis; or a tuple, list or
                dictionary of arrays. Or what gives batches ``(x, y)`` or ``(x, y, sample_weight)``:
                a generator, any iterable (a PyTorch DataLoader, for one), an object with a length
                and an index (a Keras PyDataset), a :class:`nacre.data.Dataset`.
            y: the targets, in the structure of the outputs; not with batches.
            batch_size: examples in a step, 32 by default. The last step of an epoch takes what
                is left. Batches have a size of their own.
            epochs: the epoch to stop at: ``epochs - initial_epoch`` are run.
            verbose: 0 silent, 1 a progress bar, 2 one line an epoch.
            callbacks: a list of :class:`~nacre.callbacks.Callback`.
            validation_split: the share of the data, at its end, that is kept for validation.
            validation_data: ``(x, y)`` or ``(x, y, sample_weight)``, or what gives batches, to
                evaluate after each epoch.
            shuffle: whether to draw a new order for each epoch: of examples in arrays, of batches
                where these have an index. A generator's or an iterable's order is its own.
            class_weight: the weight of each class, by its number.
            sample_weight: the weight of each example.
            initial_epoch: the epoch to start from, when a run is resumed.
            steps_per_epoch: the steps after which an epoch ends, by default when the data end. The
                next epoch goes on from there, and data that can begin anew do so when they end. A
                generator is not advanced further than that.
            validation_steps: the steps of a validation, by default all that there are. Each begins
                anew, but for a generator.
            validation_batch_size: examples in a step of validation.
            validation_freq: validate after every so many epochs; or the numbers of the epochs,
                counted from 1, to validate after.

        Returns:
            A :class:`History` whose ``history`` maps each name to its value after each epoch.

        Arrays larger than the budget (:func:`nacre.data.set_data_budget`) and arrays on disk
        (``np.memmap``) are read a chunk at a time, with the same numbers to the bit. Batches and
        chunks are prepared in the background while the one before is trained on.
        """
        return self.trainer.fit(
            x,
            y,
            batch_size=batch_size,
            epochs=epochs,
            verbose=verbose,
            callbacks=callbacks,
            validation_split=validation_split,
            validation_data=validation_data,
            shuffle=shuffle,
            class_weight=class_weight,
            sample_weight=sample_weight,
            initial_epoch=initial_epoch,
            steps_per_epoch=steps_per_epoch,
            validation_steps=validation_steps,
            validation_batch_size=validation_batch_size,
            validation_freq=validation_freq,
        )

    @readable_errors
    def evaluate(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        verbose: int | str = "auto",
        sample_weight: Any = None,
        steps: int | None = None,
        callbacks: Any = None,
        return_dict: bool = False,
    ) -> Any:
        """The loss and metrics on data, without training.

        Args:
            x, y: data as for :meth:`fit`.
            batch_size: examples in a step, 32 by default.
            verbose: 0 silent, 1 a progress bar, 2 one line.
            sample_weight: the weight of each example.
            steps: stop after so many steps, by default when the data end.
            callbacks: a list of :class:`~nacre.callbacks.Callback`.
            return_dict: whether to return figures by name.

        Returns:
            The loss; with metrics, a list in the order of ``metrics_names``; with
            ``return_dict``, a dictionary.
        """
        return self.trainer.evaluate(
            x,
            y,
            batch_size=batch_size,
            verbose=verbose,
            sample_weight=sample_weight,
            callbacks=callbacks,
            return_dict=return_dict,
            steps=steps,
        )

    @readable_errors
    def predict(
        self,
        x: Any,
        batch_size: int | None = None,
        verbose: int | str = 0,
        steps: int | None = None,
        callbacks: Any = None,
    ) -> Any:
        """The outputs for many inputs, as NumPy arrays.

        Args:
            x: the inputs; or what gives batches, of which the inputs are taken.
            batch_size: examples in a step, 32 by default.
            verbose: 1 shows progress.
            steps: stop after so many steps, by default when the data end.
            callbacks: a list of :class:`~nacre.callbacks.Callback`.
        """
        return self._predictor().predict(x, batch_size, verbose, callbacks, steps)

    @readable_errors
    def predict_on_batch(self, x: Any) -> Any:
        """The outputs for one batch, as NumPy arrays."""
        return self._predictor().predict(x, len(jax.tree.leaves(x)[0]), 0, None)

    def _predictor(self) -> Trainer:
        if self._trainer is None:
            if self._untrained is None:
                self._untrained = Trainer(self)
            return self._untrained
        return self._trainer

    _untrained: Trainer | None = None
    history: Any = None  # the History of the last fit

    @readable_errors
    def train_on_batch(
        self,
        x: Any,
        y: Any = None,
        sample_weight: Any = None,
        class_weight: dict[int, float] | None = None,
        return_dict: bool = False,
    ) -> Any:
        """One step of training on one batch.

        Returns:
            The loss and metrics, running means since :meth:`reset_metrics` as in Keras; in the form
            that :meth:`evaluate` returns them.
        """
        return self.trainer.train_on_batch(x, y, sample_weight, class_weight, return_dict)

    @readable_errors
    def test_on_batch(
        self, x: Any, y: Any = None, sample_weight: Any = None, return_dict: bool = False
    ) -> Any:
        """The loss and metrics on one batch; see :meth:`train_on_batch`."""
        return self.trainer.test_on_batch(x, y, sample_weight, return_dict)

    def reset_metrics(self) -> None:
        """Start the running means of ``train_on_batch`` and ``test_on_batch`` anew."""
        self.trainer.reset_metrics()

    # Files

    def save(
        self,
        filepath: str | os.PathLike[str],
        overwrite: bool = True,
        include_optimizer: bool = True,
    ) -> None:
        """Write the model to a file: layers, weights, state, and where its training stands.

        ``nacre.models.load_model`` reads it. The file appears as a whole or not at all, and the
        same model gives the same bytes. It is a zip archive of JSON and safetensors files,
        whatever its name ends with, and holds no code.

        Args:
            filepath: the file, such as ``"model.nacre"``.
            overwrite: whether to replace a file of that name.
            include_optimizer: whether to write the optimizer's state and what ``compile`` was
                given.

        Raises:
            ArgumentError: a class or function in the model has no name that a file could refer to.
        """
        saving.save_model(self, filepath, overwrite, include_optimizer)

    def save_weights(self, filepath: str | os.PathLike[str], overwrite: bool = True) -> None:
        """Write the weights and state to a safetensors file, by path.

        Args:
            filepath: the file, such as ``"model.safetensors"``.
            overwrite: whether to replace a file of that name.
        """
        saving.save_weights(self, filepath, overwrite)

    def load_weights(
        self, filepath: str | os.PathLike[str], skip_mismatch: bool = False
    ) -> list[str]:
        """Replace the weights and state by those in a file, matched by path.

        Args:
            filepath: what ``save_weights`` or ``save`` wrote, or any safetensors file.
            skip_mismatch: whether to load what fits and leave the rest as it is.

        Returns:
            The paths of the weights that were left as they are; none without ``skip_mismatch``.

        Raises:
            ArgumentError: paths, shapes or types differ; the message lists where.
            FileFormatError: the file is of another kind, or damaged.
            BuildError: the model has no weights yet.
        """
        return saving.load_weights(self, filepath, skip_mismatch)

    def to_json(self, **options: Any) -> str:
        """The model without its values, as JSON; ``nacre.models.model_from_json`` reads it.

        Args:
            options: passed to ``json.dumps``, such as ``indent=2``.
        """
        return json.dumps(describe(self), **options)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments; a functional model's graph stands for its tensors."""
        config = super().get_config()
        if self._graph is None or "inputs" not in config:
            return config
        others = {key: value for key, value in config.items() if key not in ("inputs", "outputs")}
        return {**others, "graph": serialize(graph_config(self._graph))}

    @classmethod
    def from_config(
        cls, config: dict[str, Any], custom_objects: dict[str, Any] | None = None
    ) -> Any:
        """A model from what :meth:`get_config` returned, with new weights."""
        if "graph" not in config:
            return super().from_config(config)
        others = {key: value for key, value in config.items() if key != "graph"}
        inputs, outputs = tensors_from_config(deserialize(config["graph"], custom_objects))
        return cls(inputs=inputs, outputs=outputs, **others)


def any_batch(value: Any) -> Any:
    """A symbolic tensor like an array, for any number of examples; other values as they are."""
    if isinstance(value, SymbolicTensor) or not hasattr(value, "shape"):
        return value
    shape = (None, *value.shape[1:]) if value.shape else ()
    return SymbolicTensor(shape, value.dtype, masked=mask_of(value) is not None)


def _common(one: Any, other: Any) -> Any:
    """A symbolic tensor for what two have in common: sizes that differ are unknown."""
    both = isinstance(one, SymbolicTensor) and isinstance(other, SymbolicTensor)
    if not both or one.ndim != other.ndim:
        return one
    shape = [a if a == b else None for a, b in zip(one.shape, other.shape)]
    return SymbolicTensor(shape, one.dtype, masked=one.masked)
