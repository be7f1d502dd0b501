"""What ``compile`` makes: it brings a model, an objective, an optimizer and the engine together."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import numpy as np

from nacre import optimizers
from nacre.core import random, symbolic
from nacre.core.errors import ArgumentError, BuildError, DataError, explain
from nacre.core.layer import draw_values, frozen_variables, structure_version, variables_of
from nacre.core.lift import lift
from nacre.core.tracebacks import advise
from nacre.core.variables import Variable
from nacre.data.arrays import Examples, class_weights, examples_from, split
from nacre.data.batches import Batches, nothing_beside, yields_batches
from nacre.data.order import EpochOrder
from nacre.data.windows import ArraySource, BatchSource, Source, Window
from nacre.models.checks import (
    check_data,
    check_epochs,
    check_inputs,
    validation_parts,
    warn_once,
)
from nacre.models.diagnosis import cause_of_nonfinite
from nacre.models.label_checks import last_layers, loss_of_guessing, made_by
from nacre.models.predictor import Predictor
from nacre.optimizers.optimizer import carry_over
from nacre.saving.run_file import RunState
from nacre.training.callbacks import Callback, CallbackList
from nacre.training.feeds import Feed, Request, Resident, Streamed, segments_in_a_call
from nacre.training.history import History
from nacre.training.interrupts import Interrupts
from nacre.training.loop import Fit, Pace, Validation, run_evaluation
from nacre.training.objective import Objective, Specification
from nacre.training.program import Program
from nacre.training.progress import ProgressBar
from nacre.training.rising_loss import RisingLoss
from nacre.training.step import Carry, Constants, evaluation_step, forward, training_step

if TYPE_CHECKING:
    from nacre.models.model import Model

__all__ = ["NotFiniteWarning", "Trainer"]

DEFAULT_BATCH_SIZE = 32
NONFINITE_POLICIES = ("stop", "skip", "ignore")


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
        on_nonfinite: str = "stop",
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
            "on_nonfinite": _known_policy(on_nonfinite),
        }
        self.on_nonfinite = on_nonfinite
        self.seed = random.fresh_seed()
        self._step: Any = 0  # an array after a run: it is read when somebody asks
        self.epoch = 0
        self.slots: Any = None
        self.metrics_names: list[str] = ["loss"]
        self._key: jax.Array | None = None
        self._version = -1
        self._parts = Parts({}, {}, {})
        self._programs: dict[Any, Any] = {}
        self._totals: Any = None
        self._predictor: Predictor | None = None

    @property
    def step(self) -> int:
        return int(self._step)

    @step.setter
    def step(self, step: Any) -> None:
        self._step = step

    # Programs

    def forget_programs(self) -> None:
        """Compile anew at the next call, because the model has changed."""
        self._programs.clear()
        self._predictor = None
        self._version = -1

    def forget_key(self) -> None:
        """Draw from the seed anew, because it has changed."""
        self._key = None
        self._predictor = None

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
            outputs, makers = self._outputs(arrays["x"])
            names = _output_names(self.model, outputs)
            return Objective(self.specification, arrays.get("y"), outputs, names, makers)

        objective = self._cached(signature, make)
        self.metrics_names = objective.result_names
        return objective

    def _outputs(self, x: Any) -> tuple[Any, list[Any]]:
        """The shapes of the outputs, and the layer that each comes from."""
        try:
            return self.model.output, last_layers(self.model.output)
        except BuildError:
            like = jax.tree.map(lambda a: symbolic.SymbolicTensor((None, *a.shape[1:]), a.dtype), x)
        makers: list[Any] = []

        def call(x: Any) -> Any:
            outputs = self.model._call_in_current(x)
            makers[:] = made_by(outputs)
            return outputs

        return symbolic.infer(call, (like,), {}), makers

    def _prepare(self, examples: Examples, *, training: bool) -> None:
        """Build the model for examples like these, and see whether both and the loss agree."""
        x = examples.arrays["x"]
        check_inputs(self.model, x, examples.arrays.get("y"))
        self.model.build_from(x)
        check_data(self.model, self._objective(examples.arrays), examples, training)

    def _program(
        self, kind: str, arrays: dict[str, Any], size: int, remainder: int = 0, segments: int = 1
    ) -> Program:
        """The compiled steps for data of this signature; made once."""
        objective = self._objective(arrays)

        def make() -> Program:
            apply = lift(self.model, forward(self.model, objective)).apply
            if kind == "evaluate":
                step = evaluation_step(apply, objective)
            else:
                step = training_step(apply, objective, self.optimizer, self.on_nonfinite)
            return Program(step, objective, size, remainder, segments)

        return self._cached((kind, _signature(arrays), size, remainder, segments), make)

    def _feed(
        self,
        kind: str,
        data: Examples | Batches,
        size: int,
        steps: int | None,
        stack: ExitStack,
        *,
        shuffle: bool = False,
        offset: int = 0,
        epochs: range = range(1),
        first_step: int = 0,
    ) -> tuple[Feed, Objective]:
        """What plans the calls over data, closed with the stack; and the objective for them."""
        if isinstance(data, Examples):
            self._prepare(data, training=kind == "fit")
            order = EpochOrder(self.seed, data.count) if shuffle else None
            if not data.streamed:
                size = min(size, data.count)
                segments = segments_in_a_call(data.count, shuffled=shuffle)
                program = self._program(kind, data.arrays, size, data.count % size, segments)
                feed = Resident(program, data.on_device(), data.count, order, steps, offset)
                stack.callback(feed.close)
                return feed, self._objective(data.arrays)
            source: Source = ArraySource(data, size, order, steps)
        else:
            source = BatchSource(data, steps)

        def program_for(window: Window) -> Program:
            return self._program(kind, window.data, window.size, window.remainder)

        feed = Streamed(source, program_for, offset)
        stack.callback(feed.close)
        last = max(epochs.stop, epochs.start + 1)
        window = feed.first(Request(epoch=epochs.start, step=first_step, last=last))
        if window is None:
            raise _no_batches()
        if isinstance(data, Batches):
            batch = jax.tree.map(lambda a: np.asarray(a[: window.size]), window.data)
            self._prepare(Examples(batch, window.size), training=kind == "fit")
        return feed, self._objective(window.data)

    # The carry: from the variables and back

    def _carry(self, objective: Objective, *, training: bool) -> Carry:
        parts = self.parts()
        params, state = _values(parts.trained), _values(parts.state)
        slots = self._current_slots(params) if training else ()
        return Carry(
            params, state, slots, _initial(objective), np.int32(self._step), np.bool_(True)
        )

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

    def _publish(self, parts: Parts, carry: Carry) -> None:
        """Give the variables and the optimizer the values of a carry."""
        for path, variable in parts.trained.items():
            variable.replace(carry.params[path])
        for path, variable in parts.state.items():
            variable.replace(carry.state[path])
        self.slots, self.step = carry.slots, carry.step

    def _finalized(self, carry: Carry) -> Carry:
        """The carry with the parameters to keep: their moving average, if the optimizer has one."""
        assert self.optimizer is not None
        return carry._replace(params=self.optimizer.finalize(carry.params, carry.slots))

    def _reload(self, parts: Parts, carry: Carry) -> Carry:
        """The carry with what callbacks may have changed in the model."""
        return carry._replace(
            params=_values(parts.trained), state=_values(parts.state), slots=self.slots
        )

    def constants(self, parts: Parts | None = None) -> Constants:
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
        return Constants(_values((parts or self.parts()).frozen), rate, self._key)

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
        steps_per_epoch: int | None,
        validation_steps: int | None,
        validation_batch_size: int | None,
        validation_freq: Any,
    ) -> History:
        check_epochs(epochs, initial_epoch)
        earlier = CallbackList(callbacks)
        state = earlier.resume(self.model)
        if state is not None:
            initial_epoch = state.epoch
        steps_per_epoch = _whole("steps_per_epoch", steps_per_epoch)
        size = _batch_size(batch_size, x, steps_per_epoch)
        data, held_out = self._training_data(
            x, y, sample_weight, class_weight, validation_split, validation_data, shuffle=shuffle
        )
        offset = self.epoch - initial_epoch  # epochs are counted on over several fits
        history = History()
        with ExitStack() as stack:
            feed, objective = self._feed(
                "fit",
                data,
                size,
                steps_per_epoch,
                stack,
                shuffle=shuffle,
                offset=offset,
                epochs=range(initial_epoch, epochs),
                first_step=0 if state is None else state.step,
            )
            if state is not None:
                earlier.restore(self.model)
            listeners = CallbackList(
                [callbacks, history, _progress(verbose), self._watch(objective)],
                self.model,
                {"epochs": epochs, "steps": feed.steps, "verbose": verbose},
            )
            validation = None
            if held_out is not None:
                steps = _whole("validation_steps", validation_steps)
                validation = self._validation(
                    held_out,
                    validation_batch_size or size,
                    steps,
                    validation_freq,
                    listeners,
                    stack,
                )
            self.model.stop_training = False

            parts = self.parts()  # a change of trainable counts from the next fit on

            def publish(carry: Carry, epoch: int) -> None:
                self._publish(parts, carry)
                self.epoch = max(self.epoch, offset + epoch)

            run = Fit(
                feed,
                self._carry(objective, training=True),
                lambda: self.constants(parts),
                listeners,
                validation,
                publish,
                functools.partial(self._reload, parts),
                lambda: self.model.stop_training,
            )
            if state is not None:
                run.resume(state)
            self._run(run, listeners, initial_epoch, epochs, state)
        for name in objective.result_names:  # the names, even if no epoch was finished
            history.history.setdefault(name, [])
        if run.interrupted and verbose:
            print(
                f"Stopped by Ctrl-C in epoch {run.epoch + 1}; the model keeps what it has learnt."
            )
        if not run.finite:
            where = f"epoch {run.epoch + 1}, step {run.step + 1} (update {self.step + 1})"
            self._warn_not_finite(
                f"Training stopped in {where}",
                objective,
                run.carry,
                run.failed,
            )
        elif run.skipped:
            _warn_skipped(run)
        elif run.dry and run.epoch < epochs:
            _warn_out_of_data(run, epochs)
        return history

    def _run(
        self, run: Fit, listeners: CallbackList, first: int, last: int, state: RunState | None
    ) -> None:
        """Run it; whatever happens, the model keeps the weights of the last finished call."""
        with listeners:
            listeners.on_train_begin({})
            if state is not None:
                self.model.history.resume_from(state.history, state.epochs)
            try:
                run.run(first, last)
            finally:
                with Interrupts():
                    run.publish(self._finalized(run.carry), run.epoch)
            listeners.on_train_end({})

    def _training_data(
        self,
        x: Any,
        y: Any,
        weight: Any,
        classes: dict[int, float] | None,
        fraction: float,
        validation_data: Any,
        *,
        shuffle: bool,
    ) -> tuple[Examples | Batches, Examples | Batches | None]:
        """What to train on, and what to validate on."""
        held_out = None
        if validation_data is not None:
            if yields_batches(validation_data):
                held_out = Batches(validation_data)
            else:
                held_out = examples_from(*validation_parts(validation_data))
        if yields_batches(x):
            nothing_beside(y=y, sample_weight=weight, validation_split=fraction or None)
            return Batches(x, self.seed if shuffle else None, classes), held_out
        if classes is not None:
            of_class = class_weights(classes, y)
            weight = of_class if weight is None else of_class * np.asarray(weight)
        examples = examples_from(x, y, weight)
        if held_out is None and fraction:
            return split(examples, fraction)
        return examples, held_out

    def _watch(self, objective: Objective) -> list[Callback]:
        """In the first run, who says so if its loss rises."""
        if self.step > 0:
            return []
        warn = functools.partial(warn_once, self.model, "rising loss")
        return [RisingLoss(warn, loss_of_guessing(objective))]

    def _warn_not_finite(
        self, what_happened: str, objective: Objective, carry: Carry, batch: dict[str, Any]
    ) -> None:
        """Say which layer a step went wrong in, and what to try."""
        cause = cause_of_nonfinite(self.model, objective, carry, self.constants(), batch)
        rate = self._learning_rate_now()
        lower = "a lower learning rate" + ("" if rate is None else f" ({min(rate / 10, 0.01):.3g})")
        fix = f"{lower}, inputs scaled to about -1..1, or clipnorm=1.0 in the optimizer."
        if cause.given:
            fix = "give the model finite numbers; nacre.ops.nan_to_num(x) fills what is missing."
        advise(
            explain(
                f"{what_happened}, because the loss or a gradient was not a finite number. The "
                "model keeps the weights from before that step.",
                received=cause.what
                + ("" if rate is None else f"; the learning rate is {rate:.4g}"),
                fix=f'{fix} compile(on_nonfinite="skip") passes over such steps.',
            ),
            NotFiniteWarning,
        )

    def _learning_rate_now(self) -> float | None:
        """The learning rate of the next step, None if an Optax transformation has it."""
        optimizer = self.optimizer
        if optimizer is None or not optimizer.learning_rate_is_known:
            return None
        return float(optimizer.learning_rate_at(self.step))

    def _validation(
        self,
        data: Examples | Batches,
        size: int,
        steps: int | None,
        frequency: Any,
        listeners: CallbackList,
        stack: ExitStack,
    ) -> Validation:
        feed, objective = self._feed("evaluate", data, size, steps, stack)
        initial, pace = _initial(objective), Pace()

        def compute(carry: Carry, given_up: Callable[[], bool]) -> dict[str, float] | None:
            start = carry._replace(slots=(), totals=initial)
            listeners.on_test_begin({})
            logs = run_evaluation(feed, start, self.constants(), pace, None, given_up)
            if logs is None and not given_up():
                raise _no_batches()
            listeners.on_test_end(logs or {})
            return logs

        return Validation(compute, _due(frequency))

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
        training = kind == "train_on_batch"
        self._prepare(examples, training=training)
        program = self._program(kind, examples.arrays, examples.count)
        objective = self._objective(examples.arrays)
        carry = self._carry(objective, training=training)
        if self._totals is not None:
            carry = carry._replace(totals=self._totals)
        carry, rows = program(carry, self.constants(), examples.on_device(), None, [(0, 1, 0, 0)])
        self._totals = carry.totals
        row = np.asarray(rows)[0]
        if training:
            self._publish(self.parts(), carry)
            if not row[0]:
                self._warn_not_finite(
                    f"train_on_batch changed nothing at update {self.step + 1}",
                    objective,
                    carry,
                    examples.arrays,
                )
        return _reported(program.logs(row), return_dict)

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
        steps: int | None,
    ) -> Any:
        if yields_batches(x):
            nothing_beside(y=y, sample_weight=sample_weight)
            data: Examples | Batches = Batches(x)
        else:
            data = examples_from(x, y, sample_weight)
        steps = _whole("steps", steps)
        size = _batch_size(batch_size, x, steps)
        with ExitStack() as stack:
            feed, objective = self._feed("evaluate", data, size, steps, stack)
            listeners = stack.enter_context(
                CallbackList(
                    [callbacks, _progress(verbose)],
                    self.model,
                    {"steps": feed.steps, "verbose": verbose},
                )
            )
            carry = self._carry(objective, training=False)
            pace = Pace(single=listeners.needs_test_batches)
            listeners.on_test_begin({})
            logs = run_evaluation(feed, carry, self.constants(), pace, listeners) or {}
            listeners.on_test_end(logs)
        return _reported(logs, return_dict)

    def predict(
        self,
        x: Any,
        batch_size: int | None,
        verbose: int | str,
        callbacks: Any,
        steps: int | None = None,
    ) -> Any:
        limit = _whole("steps", steps)
        predictor, size = self._predictor, _batch_size(batch_size, x, limit)
        if predictor is not None and predictor.holds and predictor.knows(x) and not callbacks:
            return jax.tree.map(np.asarray, predictor.compute(x))
        if yields_batches(x):
            examples, data = None, Batches(x)
            batches, count = data.inputs(limit), limit or data.count
        else:
            examples = examples_from(x)
            count = examples.steps(size, limit)
            batches = examples.inputs(size, count)
        first = next(batches, None)
        if first is None:
            raise _no_batches()
        self.model.build_from(first)
        if predictor is None or not predictor.holds:
            predictor = self._predictor = Predictor(self.model, self.constants().key)
        told = {"steps": count, "verbose": verbose}
        with CallbackList([callbacks, _progress(verbose)], self.model, told) as listeners:
            listeners.on_predict_begin({})
            if examples is None or listeners.needs_predict_batches:
                outputs = predictor(itertools.chain([first], batches), listeners)
            else:
                outputs = predictor.in_groups(examples, size, examples.steps(size, limit))
            listeners.on_predict_end({})
        if first is x and count == 1:
            predictor.remember(x)
        return outputs


def _values(variables: dict[str, Variable]) -> dict[str, jax.Array]:
    return {path: variable.concrete() for path, variable in variables.items()}


def _initial(objective: Objective) -> dict[str, Any]:
    return jax.tree.map(np.asarray, objective.initial())


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


def _batch_size(size: int | None, x: Any = None, steps: int | None = None) -> int:
    if size is None:
        if steps is None or yields_batches(x):
            return DEFAULT_BATCH_SIZE
        # As many steps as were asked for.
        return -(-len(jax.tree.leaves(x)[0]) // steps)
    return _positive("batch_size", size)


def _positive(name: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
        raise ArgumentError(
            explain(
                f"{name} must be a positive whole number.",
                expected="an integer > 0",
                received=f"{value!r} ({type(value).__name__})",
                fix=f"write {name}={int(value)}."
                if isinstance(value, float) and value >= 1
                else "leave it out for the default.",
            )
        )
    return int(value)


def _whole(name: str, value: Any) -> int | None:
    """A number of steps, or None."""
    return None if value is None else _positive(name, value)


def _due(frequency: Any) -> Callable[[int], bool]:
    """Whether an epoch is followed by validation, from what fit was given as validation_freq."""
    if isinstance(frequency, list | tuple | set):
        numbers = {_positive("each of validation_freq", number) for number in frequency}
        return lambda epoch: epoch + 1 in numbers
    every = _positive("validation_freq", frequency)
    return lambda epoch: (epoch + 1) % every == 0


def _no_batches() -> DataError:
    return DataError(
        explain(
            "The data gave no batches.",
            expected="at least one batch",
            fix="a generator gives its batches once: make a new one for every run, or use "
            "nacre.data.Dataset.from_generator, which begins anew.",
        )
    )


def _warn_out_of_data(run: Fit, epochs: int) -> None:
    advise(
        explain(
            f"Training stopped after epoch {run.epoch} of {epochs}: the data gave no more batches.",
            expected="a source that can begin anew, or enough batches for all epochs",
            fix="a generator gives its batches once: let it go on without end and say "
            "steps_per_epoch, or use nacre.data.Dataset.from_generator.",
        )
    )


def _warn_skipped(run: Fit) -> None:
    advise(
        f"{run.skipped} of {run.taken} steps were skipped: a loss or gradient was not finite.",
        NotFiniteWarning,
    )


def _known_policy(on_nonfinite: str) -> str:
    if on_nonfinite not in NONFINITE_POLICIES:
        raise ArgumentError(
            explain(
                "on_nonfinite has a value that is not known.",
                expected=", ".join(repr(policy) for policy in NONFINITE_POLICIES),
                received=repr(on_nonfinite),
            )
        )
    return on_nonfinite


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
