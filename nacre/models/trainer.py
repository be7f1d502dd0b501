"""What ``compile`` makes: it brings a model, an objective, an optimizer and the engine together."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nacre import optimizers
from nacre.core import random, symbolic
from nacre.core.errors import ArgumentError, BuildError, explain
from nacre.core.layer import draw_values, frozen_variables, structure_version, variables_of
from nacre.core.lift import lift
from nacre.core.variables import Variable
from nacre.data.arrays import Examples, class_weights, examples_from, split
from nacre.data.order import EpochOrder
from nacre.models.predictor import Predictor
from nacre.optimizers.optimizer import carry_over
from nacre.training.callbacks import CallbackList
from nacre.training.history import History
from nacre.training.loop import Fit, run_evaluation
from nacre.training.objective import Objective, Specification
from nacre.training.program import Program
from nacre.training.progress import ProgressBar
from nacre.training.step import Carry, Constants, evaluation_step, forward, training_step

if TYPE_CHECKING:
    from nacre.models.model import Model

__all__ = ["NotFiniteWarning", "Trainer"]

DEFAULT_BATCH_SIZE = 32


class NotFiniteWarning(RuntimeWarning):
    """Training stopped because its loss was no longer a finite number."""


class Parts(NamedTuple):
    """The model's variables by what happens to them."""

    trained: dict[str, Variable]
    frozen: dict[str, Variable]
    state: dict[str, Variable]

    @classmethod
    def of(cls, model: Model) -> Parts:
        variables = variables_of(model)
        frozen = frozen_variables(model)
        weights = {path: v for path, v in variables.items() if not v.is_state}
        return cls(
            {path: v for path, v in weights.items() if id(v) not in frozen},
            {path: v for path, v in weights.items() if id(v) in frozen},
            {path: v for path, v in variables.items() if v.is_state},
        )

    def signature(self) -> Any:
        """What compiled programs depend on: which variables there are and what happens to them."""
        return tuple(tuple((path, id(v)) for path, v in part.items()) for part in self)


class Trainer:
    """Trains, evaluates and predicts for one model.

    Attributes:
        optimizer: the optimizer, whose ``learning_rate`` can be read and set at any time.
        seed: the seed of shuffling and dropout.
        step: the number of updates made since ``compile``.
        epoch: the number of epochs begun since ``compile``; with the seed, it fixes the order.
        slots: the optimizer's state.
    """

    def __init__(
        self,
        model: Model,
        optimizer: Any = None,
        loss: Any = None,
        metrics: Any = None,
        loss_weights: Any = None,
        weighted_metrics: Any = None,
    ) -> None:
        self.model = model
        self.optimizer = None if optimizer is None else optimizers.get(optimizer)
        self.specification = Specification(loss, metrics, loss_weights, weighted_metrics)
        self.compiled_with = {
            "optimizer": optimizer,
            "loss": loss,
            "metrics": metrics,
            "loss_weights": loss_weights,
            "weighted_metrics": weighted_metrics,
        }
        self.seed = random.fresh_seed()
        self.step = 0
        self.epoch = 0
        self.slots: Any = None
        self.metrics_names: list[str] = ["loss"]
        self._key: jax.Array | None = None
        self._version = -1
        self._parts = Parts({}, {}, {})
        self._programs: dict[Any, Any] = {}
        self._totals: Any = None
        self._predictor: Predictor | None = None

    # Programs

    def forget_programs(self) -> None:
        """Compile anew at the next call, because the model has changed."""
        self._programs.clear()
        self._predictor = None
        self._version = -1

    def parts(self) -> Parts:
        """The model's variables, sorted by what happens to them."""
        if self._version != structure_version():
            draw_values(self.model)
            parts = Parts.of(self.model)
            if parts.signature() != self._parts.signature():
                self._programs.clear()
            self._parts, self._version = parts, structure_version()
        return self._parts

    def _cached(self, key: Any, make: Callable[[], Any]) -> Any:
        self.parts()  # programs of an earlier structure are forgotten first
        if key not in self._programs:
            self._programs[key] = make()
        return self._programs[key]

    def _objective(self, arrays: dict[str, Any]) -> Objective:
        signature = ("objective", _signature(arrays))

        def make() -> Objective:
            outputs = self._output_shapes(arrays["x"])
            names = _output_names(self.model, outputs)
            return Objective(self.specification, arrays.get("y"), outputs, names)

        objective = self._cached(signature, make)
        self.metrics_names = objective.result_names
        return objective

    def _output_shapes(self, x: Any) -> Any:
        try:
            return self.model.output
        except BuildError:
            like = jax.tree.map(lambda a: symbolic.SymbolicTensor((None, *a.shape[1:]), a.dtype), x)
            return symbolic.infer(self.model._call_in_current, (like,), {})

    def _program(self, kind: str, examples: Examples, batch_size: int, ordered: bool) -> Program:
        """The compiled steps for data of this signature; made once."""
        training = kind != "evaluate"
        objective = self._objective(examples.arrays)
        size = min(batch_size, examples.count)
        key = (kind, _signature(examples.arrays), examples.count, size, ordered)

        def make() -> Program:
            apply = lift(self.model, forward(self.model, objective)).apply
            if training:
                step = training_step(apply, objective, self.optimizer)
            else:
                step = evaluation_step(apply, objective)
            return Program(
                step, objective, examples.count, size, ordered=ordered, donate=kind == "fit"
            )

        return self._cached(key, make)

    # The carry: from the variables and back

    def _carry(self, objective: Objective, *, training: bool) -> Carry:
        parts = self.parts()
        params = {path: v.concrete() for path, v in parts.trained.items()}
        state = {path: v.concrete() for path, v in parts.state.items()}
        slots = self._current_slots(params) if training else ()
        return Carry(params, state, slots, _initial(objective), np.int32(self.step), np.bool_(True))

    def _current_slots(self, params: dict[str, jax.Array]) -> Any:
        """The optimizer's state for these parameters, keeping what it has for each of them."""
        if self.optimizer is None:
            raise BuildError("The model was not given an optimizer: call compile() first.")
        if not params:
            raise ArgumentError(
                explain(
                    "The model has nothing to train.",
                    expected="at least one weight that is trainable",
                    received=f"{self.model.count_params()} parameters, all frozen",
                    fix="set trainable = True on the model or on some of its layers.",
                )
            )
        if self.slots is not None and self._slot_paths == set(params):
            return self.slots
        fresh = self.optimizer.init(params)
        if self.slots is not None:
            fresh = carry_over(fresh, self.slots)
        self.slots, self._slot_paths = fresh, set(params)
        return fresh

    _slot_paths: set[str] = set()  # noqa: RUF012 - replaced, never changed

    def _publish(self, carry: Carry) -> None:
        """Give the variables their values from a carry that will not be used again."""
        parts = self.parts()
        for path, variable in parts.trained.items():
            variable.replace(carry.params[path])
        for path, variable in parts.state.items():
            variable.replace(carry.state[path])
        self.slots, self.step = carry.slots, int(carry.step)

    def _finalized(self, carry: Carry) -> Carry:
        """The carry with the parameters to keep: their moving average, if the optimizer has one."""
        assert self.optimizer is not None
        return carry._replace(params=self.optimizer.finalize(carry.params, carry.slots))

    def _reload(self, carry: Carry) -> Carry:
        """The carry with what a callback may have changed in the model, on memory of its own."""
        parts = self.parts()
        params = {path: v.concrete() for path, v in parts.trained.items()}
        state = {path: v.concrete() for path, v in parts.state.items()}
        if set(params) != set(carry.params):  # a change of trainable counts from the next fit on
            params = {path: carry.params[path] for path in carry.params}
        return _copy(carry._replace(params=params, state=state, slots=self.slots))

    def constants(self) -> Constants:
        """What the steps read: frozen weights, the learning rate, the key."""
        optimizer = self.optimizer
        rate = np.float32(0)
        if (
            optimizer is not None
            and optimizer.schedule is None
            and optimizer.learning_rate_is_known
        ):
            rate = np.float32(optimizer.learning_rate)
        if self._key is None:
            self._key = random.key(self.seed)
        frozen = {path: v.concrete() for path, v in self.parts().frozen.items()}
        return Constants(frozen, rate, self._key)

    # Training

    def fit(
        self,
        x: Any,
        y: Any,
        *,
        batch_size: int | None,
        epochs: int,
        verbose: int | str,
        callbacks: Any,
        validation_split: float,
        validation_data: Any,
        shuffle: bool,
        class_weight: dict[int, float] | None,
        sample_weight: Any,
        initial_epoch: int,
        validation_batch_size: int | None,
    ) -> History:
        if class_weight is not None:
            weight = class_weights(class_weight, y)
            sample_weight = weight if sample_weight is None else weight * np.asarray(sample_weight)
        examples = examples_from(x, y, sample_weight)
        held_out = None
        if validation_data is not None:
            held_out = examples_from(*validation_data)
        elif validation_split:
            examples, held_out = split(examples, validation_split)
        size = _batch_size(batch_size)

        self.model.build_from(examples.arrays["x"])
        program = self._program("fit", examples, size, ordered=shuffle)
        objective = self._objective(examples.arrays)
        data = _on_device(examples.arrays)
        history = History()
        listeners = CallbackList(
            [callbacks, history, _progress(verbose)],
            self.model,
            {"epochs": epochs, "steps": program.steps, "verbose": verbose},
        )
        validate = None
        if held_out is not None:
            validate = self._validation(held_out, validation_batch_size or size, listeners)
        self.model.stop_training = False
        offset = self.epoch - initial_epoch  # epochs are counted on over several fits
        run = Fit(
            program,
            data,
            copied(self._carry(objective, training=True)),
            self.constants,
            _counted_on(EpochOrder(self.seed, examples.count), offset) if shuffle else None,
            listeners,
            validate,
            lambda carry: self._publish(carry),
            self._reload,
            lambda: self.model.stop_training,
        )
        with listeners:
            listeners.on_train_begin({})
            try:
                run.run(initial_epoch, epochs)
            finally:
                if not _is_lost(run.carry):
                    self._publish(self._finalized(run.carry))
                self.epoch += max(0, run.epoch - initial_epoch)
            listeners.on_train_end({})
        if not run.finite:
            self._warn_not_finite(run)
        return history

    def _warn_not_finite(self, run: Fit) -> None:
        warnings.warn(
            f"Training stopped in epoch {run.epoch + 1}, at update {self.step + 1}: the loss was "
            "not a finite number. The model keeps the weights from before that step. Try a lower "
            "learning rate, inputs scaled to about -1..1, or clipnorm=1.0.",
            NotFiniteWarning,
            stacklevel=4,
        )

    def _validation(
        self, examples: Examples, size: int, listeners: CallbackList
    ) -> Callable[[Carry], dict[str, float]]:
        program = self._program("evaluate", examples, size, ordered=False)
        data = _on_device(examples.arrays)
        initial = _initial(self._objective(examples.arrays))

        def validate(carry: Carry) -> dict[str, float]:
            start = carry._replace(slots=(), totals=initial)
            listeners.on_test_begin({})
            logs = run_evaluation(program, data, start, self.constants(), None)
            listeners.on_test_end(logs)
            return logs

        return validate

    def train_on_batch(
        self, x: Any, y: Any, sample_weight: Any, class_weight: Any, return_dict: bool
    ) -> Any:
        if class_weight is not None:
            weight = class_weights(class_weight, y)
            sample_weight = weight if sample_weight is None else weight * np.asarray(sample_weight)
        return self._on_batch("train_on_batch", x, y, sample_weight, return_dict)

    def test_on_batch(self, x: Any, y: Any, sample_weight: Any, return_dict: bool) -> Any:
        return self._on_batch("evaluate", x, y, sample_weight, return_dict)

    def reset_metrics(self) -> None:
        self._totals = None

    def _on_batch(self, kind: str, x: Any, y: Any, weight: Any, return_dict: bool) -> Any:
        examples = examples_from(x, y, weight)
        self.model.build_from(examples.arrays["x"])
        program = self._program(kind, examples, examples.count, ordered=False)
        objective = self._objective(examples.arrays)
        training = kind == "train_on_batch"
        carry = self._carry(objective, training=training)
        if self._totals is not None:
            carry = carry._replace(totals=self._totals)
        carry, rows = program(
            carry, self.constants(), _on_device(examples.arrays), None, [(0, 1, 0, 0)]
        )
        self._totals = carry.totals
        if training:
            self._publish(carry)
        return _reported(program.logs(np.asarray(rows)[0]), return_dict)

    # Evaluation and prediction

    def evaluate(
        self,
        x: Any,
        y: Any,
        *,
        batch_size: int | None,
        verbose: int | str,
        sample_weight: Any,
        callbacks: Any,
        return_dict: bool,
    ) -> Any:
        examples = examples_from(x, y, sample_weight)
        self.model.build_from(examples.arrays["x"])
        program = self._program("evaluate", examples, _batch_size(batch_size), ordered=False)
        objective = self._objective(examples.arrays)
        listeners = CallbackList(
            [callbacks, _progress(verbose)],
            self.model,
            {"steps": program.steps, "verbose": verbose},
        )
        with listeners:
            listeners.on_test_begin({})
            logs = run_evaluation(
                program,
                _on_device(examples.arrays),
                self._carry(objective, training=False),
                self.constants(),
                listeners,
            )
            listeners.on_test_end(logs)
        return _reported(logs, return_dict)

    def predict(self, x: Any, batch_size: int | None, verbose: int | str, callbacks: Any) -> Any:
        predictor, size = self._predictor, _batch_size(batch_size)
        if predictor is not None and predictor.holds and predictor.knows(x) and not callbacks:
            return jax.tree.map(np.asarray, predictor.compute(x))
        examples = examples_from(x)
        self.model.build_from(examples.arrays["x"])
        if predictor is None or not predictor.holds:
            predictor = self._predictor = Predictor(self.model, self.constants().key)
        steps = {"steps": -(-examples.count // size), "verbose": verbose}
        with CallbackList([callbacks, _progress(verbose)], self.model, steps) as listeners:
            return predictor(x, size, listeners)


def _counted_on(order: EpochOrder, offset: int) -> Callable[[int], np.ndarray]:
    return lambda epoch: order(epoch + offset)


def copied(tree: Any) -> Any:
    """Arrays on memory of their own, so that donating them takes nothing from the model.

    On the CPU they go through NumPy, which needs no compilation.
    """
    if jax.default_backend() != "cpu" or jax.device_count() > 1:
        return _copy(tree)
    return jax.device_put(jax.tree.map(np.array, tree))


# The same, compiled: dearer the first time and much cheaper after it, for use at every epoch.
_copy = jax.jit(lambda tree: jax.tree.map(jnp.copy, tree))


def _is_lost(carry: Carry) -> bool:
    """Whether a call that failed has used up the carry's memory."""
    return any(isinstance(a, jax.Array) and a.is_deleted() for a in jax.tree.leaves(carry))


def _initial(objective: Objective) -> dict[str, Any]:
    return jax.tree.map(np.asarray, objective.initial())


def _on_device(arrays: Any) -> Any:
    return jax.device_put(arrays)


def _signature(arrays: Any) -> Any:
    leaves, structure = jax.tree.flatten(arrays)
    return structure, tuple((leaf.shape[1:], str(leaf.dtype)) for leaf in leaves)


def _output_names(model: Model, outputs: Any) -> list[str]:
    """A name for each output: that of the layer it comes from, else its number."""
    leaves = jax.tree.leaves(outputs)
    if isinstance(outputs, dict):
        return list(outputs)
    names = {id(layer): name for name, layer in model.children()}
    found = []
    for i, tensor in enumerate(leaves):
        node = getattr(tensor, "node", None)
        name = names.get(id(node.operation)) if node is not None else None
        found.append(name if name and name not in found else f"output_{i + 1}")
    return found


def _batch_size(size: int | None) -> int:
    if size is None:
        return DEFAULT_BATCH_SIZE
    if isinstance(size, bool) or not isinstance(size, int | np.integer) or size < 1:
        raise ArgumentError(
            explain("batch_size must be a positive whole number.", received=repr(size))
        )
    return int(size)


def _progress(verbose: int | str) -> list[Any]:
    if verbose not in (0, 1, 2, "auto"):
        raise ArgumentError(
            explain("verbose has a value that is not known.", expected='0, 1, 2 or "auto"')
        )
    return [] if verbose == 0 else [ProgressBar(verbose)]


def _reported(logs: dict[str, float], return_dict: bool) -> Any:
    """Figures in the form that evaluate returns them."""
    if return_dict:
        return logs
    values = list(logs.values())
    return values[0] if len(values) == 1 else values
