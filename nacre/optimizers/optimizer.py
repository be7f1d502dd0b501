"""The base of the optimizers: everything around the update rule.

An optimizer holds no arrays. ``init`` makes its state and ``update`` is a pure function of it, so
that training can run inside one compiled program.
"""

from __future__ import annotations

import inspect
import math
import numbers
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypedDict

import jax
import jax.numpy as jnp
import numpy as np

from nacre.core.configurable import Configurable, unknown_argument
from nacre.core.errors import ArgumentError, explain
from nacre.core.registry import snake_case
from nacre.kernels.update import Rule, update
from nacre.optimizers.averaging import overwrite_every, update_average
from nacre.optimizers.clipping import clip_by_global_norm, clip_by_norm, clip_by_value
from nacre.optimizers.equations import filled_like, scalar_dtype
from nacre.optimizers.schedules import InverseTimeDecay

__all__ = ["CommonOptions", "DecayOptions", "Optimizer", "State", "carry_over"]

State = dict[str, Any]


class CommonOptions(TypedDict, total=False):
    """The options of every optimizer; :class:`Optimizer` explains them."""

    clipnorm: float | None
    clipvalue: float | None
    global_clipnorm: float | None
    use_ema: bool
    ema_momentum: float
    ema_overwrite_frequency: int | None
    loss_scale_factor: float | None
    gradient_accumulation_steps: int | None
    name: str | None
    lr: Any
    decay: float | None


class DecayOptions(CommonOptions, total=False):
    """The common options and weight decay, for the optimizers that have none by default."""

    weight_decay: float | None


class Optimizer(Configurable):
    """Base of the optimizers: clipping, weight decay, averaging and accumulation around a rule.

    One update, for gradients ``g`` of parameters ``w`` at the learning rate ``η``:

    1. ``g`` is divided by ``loss_scale_factor``, accumulated, and clipped;
    2. ``w ← w - η * weight_decay * w``;
    3. ``w ← w + rule(g)``, the subclass's own equations;
    4. the moving average follows ``w``.

    A subclass defines ``slots(params)`` and ``rule(gradients, slots, params, *, learning_rate,
    step)``, which are the two functions of an Optax ``GradientTransformationExtraArgs``.

    Args:
        learning_rate: a number, a schedule, or any function of the step.
        weight_decay: the part of a parameter that is taken off in each update, in units of the
            learning rate. None for no decay.
        clipnorm: the longest Euclidean norm that the gradient of one parameter may have.
        clipvalue: the largest absolute value that an element of a gradient may have.
        global_clipnorm: the longest norm that all gradients as one vector may have.
        use_ema: keep an exponential moving average of the parameters, which replaces them when
            training ends.
        ema_momentum: the part of the average that stays in each update.
        ema_overwrite_frequency: also replace the parameters every so many updates.
        loss_scale_factor: the loss is multiplied by this number and the gradients are divided by
            it, against underflow in half precision.
        gradient_accumulation_steps: update the parameters only in every so many steps, with the
            mean of the gradients since. Clipping sees the mean; a learning rate schedule counts
            every step.
        name: a name; that of the class in lower case by default.
        lr: another name for ``learning_rate``, as in older versions of Keras.
        decay: as in older versions of Keras, the learning rate falls as
            ``learning_rate / (1 + decay * step)``.

    Raises:
        ArgumentError: if an option is out of range, unknown, or at odds with another one.
    """

    def __init__(
        self,
        learning_rate: Any,
        weight_decay: float | None = None,
        clipnorm: float | None = None,
        clipvalue: float | None = None,
        global_clipnorm: float | None = None,
        use_ema: bool = False,
        ema_momentum: float = 0.99,
        ema_overwrite_frequency: int | None = None,
        loss_scale_factor: float | None = None,
        gradient_accumulation_steps: int | None = None,
        name: str | None = None,
        lr: Any = None,
        decay: float | None = None,
        **unknown: Any,
    ) -> None:
        owner = type(self).__name__
        for argument in unknown:
            raise unknown_argument(owner, argument, _known_arguments(type(self)))
        if lr is not None and "learning_rate" in self._constructor_arguments:
            raise ArgumentError(
                explain(
                    f"{owner}: lr is another name for learning_rate.",
                    expected="one of them",
                    received=f"learning_rate={learning_rate!r}, lr={lr!r}",
                    fix="leave out lr.",
                )
            )
        self.learning_rate = learning_rate if lr is None else lr
        if decay:
            self.learning_rate = _decaying(owner, self._learning_rate, decay)
        self.weight_decay = weight_decay
        self.clipnorm = clipnorm
        self.clipvalue = clipvalue
        self.global_clipnorm = global_clipnorm
        self.use_ema = use_ema
        self.ema_momentum = ema_momentum
        self.ema_overwrite_frequency = ema_overwrite_frequency
        self.loss_scale_factor = loss_scale_factor
        self.gradient_accumulation_steps = gradient_accumulation_steps
        self.name = name or snake_case(owner)
        self._undecayed: tuple[str, ...] = ()
        self._check_options()

    # The rule, which a subclass defines

    def slots(self, params: Any) -> Any:
        """What the rule remembers: dictionaries of arrays, each keyed as ``params`` is."""
        return {}

    def rule(
        self,
        gradients: Any,
        slots: Any,
        params: Any,
        *,
        learning_rate: jax.Array,
        step: jax.Array,
        **extra: Any,
    ) -> tuple[Any, Any]:
        """What to add to the parameters, and the new slots."""
        raise NotImplementedError(f"{type(self).__name__} does not define rule().")

    def kernel(self) -> Rule | None:
        """The kernel that applies the rule natively on a CPU; None where there is none."""
        return None

    @property
    def transformation(self) -> Any:
        """The rule as an Optax transformation, to be chained with others.

        Its update takes ``learning_rate`` and ``step`` (the number of updates so far) as extra
        arguments.
        """
        import optax  # costs a third of importing nacre, and only code that uses Optax needs it

        return optax.GradientTransformationExtraArgs(self.slots, self.rule)  # type: ignore[arg-type]

    # The learning rate

    @property
    def learning_rate(self) -> Any:
        """The learning rate: a float, or the schedule that was given. It may be set at any time."""
        return self._learning_rate

    @learning_rate.setter
    def learning_rate(self, value: Any) -> None:
        self._learning_rate = _checked_learning_rate(type(self).__name__, value)

    @property
    def schedule(self) -> Callable[[Any], Any] | None:
        """The schedule or function of the step that was given as learning rate, or None."""
        return self._learning_rate if callable(self._learning_rate) else None

    @property
    def learning_rate_is_known(self) -> bool:
        """Whether :attr:`learning_rate` can be read and set."""
        return True

    def learning_rate_at(self, step: Any) -> Any:
        """The learning rate after ``step`` updates, a float32 scalar."""
        schedule = self.schedule
        if schedule is None:
            return np.float32(self.learning_rate)
        with lenient_promotion():
            return jnp.asarray(schedule(step)).astype(jnp.float32)

    # State and update

    def init(self, params: Mapping[str, Any]) -> State:
        """The state before the first update: a tree of arrays."""
        state = {"slots": self.slots(params)}
        if self.use_ema:
            # Copies of the values, so that a parameter that joins later does not start from zero.
            state["average"] = jax.tree.map(jnp.array, dict(params))
        if self.gradient_accumulation_steps:
            state["accumulated"] = filled_like(params, 0.0)
        return state

    def update(
        self,
        gradients: Mapping[str, Any],
        opt_state: State,
        params: Mapping[str, Any],
        *,
        learning_rate: Any,
        step: Any,
        **extra: Any,
    ) -> tuple[dict[str, jax.Array], State]:
        """The parameters and the state after one update. Pure.

        Args:
            gradients: the gradients by path.
            opt_state: what :meth:`init` or the last update returned.
            params: the parameters by path.
            learning_rate: the learning rate of this update.
            step: the number of updates so far, a whole number.
            extra: for Optax transformations that ask for more, such as ``value``.
        """
        values = dict(params)
        if not values:
            return values, opt_state
        step = jnp.asarray(step, jnp.int32)
        learning_rate = jnp.asarray(learning_rate).astype(scalar_dtype(values))
        gradients = {
            path: jnp.asarray(gradients[path]).astype(w.dtype) for path, w in values.items()
        }
        if self.loss_scale_factor:
            gradients = {path: g / self.loss_scale_factor for path, g in gradients.items()}
        every = self.gradient_accumulation_steps or 1
        updates_done = step if every == 1 else step // every
        extra.update(learning_rate=learning_rate, step=updates_done)
        state = dict(opt_state)
        if every == 1:
            values, state["slots"] = self._apply(gradients, state["slots"], values, **extra)
        else:
            due = (step + 1) % every == 0
            values, state = self._accumulate(gradients, state, values, due, **extra)
        if self.use_ema:
            momentum, average = self.ema_momentum, state["average"]
            state["average"] = update_average(average, values, momentum, updates_done)
            if self.ema_overwrite_frequency:
                frequency = self.ema_overwrite_frequency
                values = overwrite_every(frequency, values, state["average"], updates_done)
        return values, state

    def update_if(
        self,
        condition: jax.Array,
        gradients: Mapping[str, Any],
        opt_state: State,
        params: Mapping[str, Any],
        **extra: Any,
    ) -> tuple[dict[str, jax.Array], State]:
        """What :meth:`update` gives if ``condition`` holds, else the parameters and state as given.

        Args:
            condition: a boolean scalar.
            gradients, opt_state, params, extra: as in :meth:`update`.
        """
        plain = not self.gradient_accumulation_steps and not self.use_ema
        if plain and self._native() and self._defining("update") is Optimizer:
            return self.update(gradients, opt_state, params, condition=condition, **extra)

        def updated(gradients: Any, opt_state: Any, params: Any) -> tuple[Any, Any]:
            return self.update(gradients, opt_state, params, **extra)

        return _if(condition, updated, gradients, opt_state, dict(params))

    def _accumulate(
        self,
        gradients: dict[str, jax.Array],
        state: State,
        params: dict[str, jax.Array],
        due: jax.Array,
        **extra: Any,
    ) -> tuple[dict[str, jax.Array], State]:
        total = jax.tree.map(jnp.add, state["accumulated"], gradients)

        def apply(total: Any, slots: Any, params: Any) -> tuple[Any, Any, Any]:
            mean = {path: g / self.gradient_accumulation_steps for path, g in total.items()}
            params, slots = self._apply(mean, slots, params, **extra)
            return jax.tree.map(jnp.zeros_like, total), slots, params

        def wait(total: Any, slots: Any, params: Any) -> tuple[Any, Any, Any]:
            return total, slots, params

        total, slots, params = jax.lax.cond(due, apply, wait, total, state["slots"], params)
        return params, {**state, "accumulated": total, "slots": slots}

    def _apply(
        self,
        gradients: dict[str, jax.Array],
        slots: Any,
        params: dict[str, jax.Array],
        condition: Any = None,
        **extra: Any,
    ) -> tuple[dict[str, jax.Array], Any]:
        gradients = self._clipped(gradients)
        learning_rate, step = extra.pop("learning_rate"), extra.pop("step")

        def by_rule(
            gradients: Any, slots: Any, params: Any, learning_rate: Any, step: Any, condition: Any
        ) -> tuple[dict[str, jax.Array], Any]:
            def updated(gradients: Any, slots: Any, params: Any) -> tuple[Any, Any]:
                params = self._decayed(params, learning_rate)
                changes, slots = self.rule(
                    gradients, slots, params, learning_rate=learning_rate, step=step, **extra
                )
                return {
                    path: w + changes[path].astype(w.dtype) for path, w in params.items()
                }, slots

            if condition is None:
                return updated(gradients, slots, params)
            return _if(condition, updated, gradients, slots, params)

        native = self._native()
        if native and self.weight_decay:
            decayed = tuple(self.decays(path) for path in sorted(params))
            native = native._replace(weight_decay=self.weight_decay, decayed=decayed)
        scalars = learning_rate, step, condition
        return update(native, by_rule, gradients, slots, params, *scalars)

    def _native(self) -> Rule | None:
        """The kernel; but a subclass with equations of its own inherits none for others."""
        return self.kernel() if self._defining("rule") is self._defining("kernel") else None

    def _defining(self, method: str) -> type:
        return next(cls for cls in type(self).__mro__ if method in vars(cls))

    def _clipped(self, gradients: dict[str, jax.Array]) -> dict[str, jax.Array]:
        if self.clipnorm is not None:
            return clip_by_norm(gradients, self.clipnorm)
        if self.global_clipnorm is not None:
            return clip_by_global_norm(gradients, self.global_clipnorm)
        if self.clipvalue is not None:
            return clip_by_value(gradients, self.clipvalue)
        return gradients

    def _decayed(
        self, params: dict[str, jax.Array], learning_rate: jax.Array
    ) -> dict[str, jax.Array]:
        if not self.weight_decay:
            return params
        # Not w * (1 - rate): for a small rate, 1 - rate is rounded the same way in every step.
        rate = learning_rate * self.weight_decay
        return {
            path: w - w * rate.astype(w.dtype) if self.decays(path) else w
            for path, w in params.items()
        }

    def finalize(self, params: Mapping[str, Any], opt_state: State) -> dict[str, Any]:
        """The parameters to keep when training ends: their moving average with ``use_ema``."""
        average = opt_state.get("average", {})
        return {path: average.get(path, w) for path, w in params.items()}

    def scale_loss(self, loss: Any) -> Any:
        """The loss times ``loss_scale_factor``; ``update`` divides the gradients by it again."""
        return loss * self.loss_scale_factor if self.loss_scale_factor else loss

    # Weight decay

    def exclude_from_weight_decay(
        self, var_list: Sequence[str] | None = None, var_names: Sequence[str] | None = None
    ) -> None:
        """Spare some parameters the weight decay.

        Args:
            var_list: whole paths of parameters.
            var_names: regular expressions; a parameter is spared if one is found in its path, as
                in ``["bias", "gamma"]``.
        """
        for path in var_list or ():
            if not isinstance(path, str):
                raise ArgumentError(
                    explain(
                        "exclude_from_weight_decay: an optimizer knows parameters by their paths.",
                        expected='strings, such as "dense/bias"',
                        received=f"{type(path).__name__} {getattr(path, 'name', path)!r}",
                        fix='pass var_names=["bias"], a part of the path.',
                    )
                )
        whole = [f"^{re.escape(path)}$" for path in var_list or ()]
        self._undecayed = (*whole, *(var_names or ()))

    def decays(self, path: str) -> bool:
        """Whether weight decay acts on the parameter at ``path``."""
        return not any(re.search(pattern, path) for pattern in self._undecayed)

    # Configuration

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments, with the learning rate as it is now."""
        config = {k: v for k, v in super().get_config().items() if k not in ("lr", "decay")}
        config["learning_rate"] = self.learning_rate
        if self._undecayed:
            config["excluded_from_weight_decay"] = list(self._undecayed)
        return config

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Optimizer:
        """Build an optimizer from what :meth:`get_config` returned."""
        config = dict(config)
        excluded = config.pop("excluded_from_weight_decay", ())
        optimizer = cls(**config)
        optimizer._undecayed = tuple(excluded)
        return optimizer

    def __repr__(self) -> str:
        arguments = ", ".join(f"{key}={value!r}" for key, value in self.get_config().items())
        return f"{type(self).__name__}({arguments})"

    def _check_options(self) -> None:
        owner = type(self).__name__
        clips = ("clipnorm", "clipvalue", "global_clipnorm")
        given = {name: getattr(self, name) for name in clips if getattr(self, name) is not None}
        if len(given) > 1:
            raise ArgumentError(
                explain(
                    f"{owner}: the gradients can be clipped in one way only.",
                    expected="one of clipnorm, clipvalue, global_clipnorm",
                    received=", ".join(f"{name}={value!r}" for name, value in given.items()),
                )
            )
        for name, value in given.items():
            require(owner, name, value, value > 0, "a number > 0, or None for no clipping")
        for name in ("weight_decay", "loss_scale_factor"):
            value = getattr(self, name)
            require(owner, name, value, value is None or value >= 0, "a number >= 0, or None")
        momentum, frequency = self.ema_momentum, self.ema_overwrite_frequency
        require(owner, "ema_momentum", momentum, 0 <= momentum <= 1, "a number from 0 to 1")
        good = frequency is None or (isinstance(frequency, int) and frequency >= 1)
        require(owner, "ema_overwrite_frequency", frequency, good, "a whole number >= 1, or None")
        every = self.gradient_accumulation_steps
        good = not every or (isinstance(every, int) and every >= 2)
        require(owner, "gradient_accumulation_steps", every, good, "a whole number >= 2, or None")


def require(owner: str, name: str, value: Any, good: bool, expected: str) -> None:
    """Raise unless the option ``name`` of ``owner`` is ``good``."""
    if not good:
        problem = f"{owner}: {name} is out of range."
        raise ArgumentError(explain(problem, expected=expected, received=f"{name}={value!r}"))


def _if(
    condition: jax.Array, update: Callable[..., Any], gradients: Any, slots: Any, params: Any
) -> tuple[Any, Any]:
    """The parameters and slots after an update, or as they were.

    On the CPU a branch is cheapest, and updates in place. Elsewhere a branch would make the host
    wait for its condition, and a selection is fused into the update.
    """
    if jax.default_backend() == "cpu":
        return jax.lax.cond(
            condition, update, lambda _, slots, params: (params, slots), gradients, slots, params
        )
    new = update(gradients, slots, params)
    return jax.tree.map(lambda a, b: jnp.where(condition, a, b), new, (params, slots))


def carry_over(fresh: Any, previous: Any) -> Any:
    """The state ``fresh`` with every array that ``previous`` has at the same place.

    When the set of trainable parameters changes, what is known about the others is kept.

    Args:
        fresh: what ``init`` returned for the new set of parameters.
        previous: a state for another set.
    """
    known = dict(jax.tree_util.tree_flatten_with_path(previous)[0])
    flat, structure = jax.tree_util.tree_flatten_with_path(fresh)

    def kept(place: Any, array: Any) -> Any:
        old = known.get(place)
        fits = old is not None and old.shape == array.shape and old.dtype == array.dtype
        return old if fits else array

    return structure.unflatten([kept(place, array) for place, array in flat])


@contextmanager
def lenient_promotion() -> Iterator[None]:
    """JAX's usual rules of promotion, for code that is not Nacre's own."""
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        yield


def _known_arguments(cls: type) -> list[str]:
    names: dict[str, None] = {}
    for base in cls.__mro__:
        if "__init__" in vars(base) and issubclass(base, Optimizer):
            parameters = inspect.signature(vars(base)["__init__"]).parameters.values()
            names.update({p.name: None for p in parameters if p.kind is not p.VAR_KEYWORD})
    return [name for name in names if name != "self"]


def _checked_learning_rate(owner: str, value: Any) -> Any:
    if callable(value):
        return value
    is_number = isinstance(value, numbers.Real) or (
        isinstance(value, np.ndarray | jax.Array) and value.ndim == 0 and value.dtype.kind in "iuf"
    )
    if is_number and not isinstance(value, bool):
        number = float(value)
        if math.isfinite(number) and number >= 0:
            return number
    raise ArgumentError(
        explain(
            f"{owner}: the learning rate cannot be used.",
            expected="a finite number >= 0, a schedule, or a function of the step",
            received=f"{value!r} ({type(value).__name__})",
            fix=f"{owner}(learning_rate=0.001), or "
            f"{owner}(learning_rate=nacre.optimizers.schedules.CosineDecay(0.001, 1000)).",
        )
    )


def _decaying(owner: str, learning_rate: Any, decay: float) -> InverseTimeDecay:
    if callable(learning_rate):
        raise ArgumentError(
            explain(
                f"{owner}: decay is for a learning rate that is a number.",
                received=f"learning_rate={learning_rate!r}, decay={decay!r}",
                fix="leave out decay: the schedule already changes the learning rate.",
            )
        )
    require(owner, "decay", decay, decay > 0, "a number >= 0, or None")
    return InverseTimeDecay(learning_rate, decay_steps=1, decay_rate=decay)
