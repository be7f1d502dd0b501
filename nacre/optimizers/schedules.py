"""Learning rates that change with the number of updates done so far.

A schedule is a pure function of the step, so it is evaluated inside the compiled program.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from nacre.core.configurable import Configurable
from nacre.core.errors import ArgumentError, explain
from nacre.core.registry import register

__all__ = [
    "CosineDecay",
    "CosineDecayRestarts",
    "ExponentialDecay",
    "InverseTimeDecay",
    "LearningRateSchedule",
    "PiecewiseConstantDecay",
    "PolynomialDecay",
]


class LearningRateSchedule(Configurable):
    """Base of the schedules. A subclass says what the rate is at a step.

    Example:
        >>> import nacre
        >>> class Halving(nacre.optimizers.schedules.LearningRateSchedule):
        ...     def __init__(self, start):
        ...         self.start = start
        ...
        ...     def __call__(self, step):
        ...         return self.start * 0.5**step
        >>> float(Halving(0.8)(2))
        0.2
    """

    def __call__(self, step: Any) -> Any:
        """The learning rate after ``step`` updates, a float32 scalar."""
        raise NotImplementedError(f"{type(self).__name__} does not define __call__(self, step).")


def _as_float(step: Any) -> jax.Array:
    return jnp.asarray(step).astype(jnp.float32)


def _whole_periods(step: Any, length: float) -> jax.Array:
    """How often ``length`` goes into ``step``, rounded down.

    In whole numbers where possible: a compiled program multiplies by ``1 / length``, and then 40
    steps can be a little more than a period of 40.
    """
    step = jnp.asarray(step)
    if jnp.issubdtype(step.dtype, jnp.integer) and float(length).is_integer():
        return (step // int(length)).astype(jnp.float32)
    return jnp.floor(step.astype(jnp.float32) / length)


def _require_positive(owner: LearningRateSchedule, name: str, value: float) -> None:
    if value <= 0:
        raise ArgumentError(
            explain(
                f"{type(owner).__name__}: {name} is a number of steps.",
                expected=f"{name} > 0",
                received=f"{name}={value!r}",
            )
        )


@register("schedule")
class ExponentialDecay(LearningRateSchedule):
    """The rate falls by the same factor every ``decay_steps`` steps.

    ``initial_learning_rate * decay_rate ** (step / decay_steps)``

    Args:
        initial_learning_rate: the rate at step 0.
        decay_steps: the number of steps in which the rate falls by ``decay_rate``.
        decay_rate: the factor.
        staircase: round ``step / decay_steps`` down, so that the rate falls in stairs.
        name: a name, kept for the configuration.

    Raises:
        ArgumentError: if ``decay_steps`` is not positive.

    Example:
        >>> import nacre
        >>> schedule = nacre.optimizers.schedules.ExponentialDecay(0.5, 10, 0.5)
        >>> float(schedule(20))
        0.125
    """

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: int,
        decay_rate: float,
        staircase: bool = False,
        name: str = "ExponentialDecay",
    ) -> None:
        self.initial_learning_rate = initial_learning_rate
        self.decay_steps = decay_steps
        self.decay_rate = decay_rate
        self.staircase = staircase
        self.name = name
        _require_positive(self, "decay_steps", decay_steps)

    def __call__(self, step: Any) -> jax.Array:
        progress = _as_float(step) / self.decay_steps
        if self.staircase:
            progress = _whole_periods(step, self.decay_steps)
        return self.initial_learning_rate * jnp.power(self.decay_rate, progress)


@register("schedule")
class InverseTimeDecay(LearningRateSchedule):
    """The rate falls with the inverse of the time.

    ``initial_learning_rate / (1 + decay_rate * step / decay_steps)``

    Args:
        initial_learning_rate: the rate at step 0.
        decay_steps: the unit of time, in steps.
        decay_rate: how much one unit of time adds to the divisor.
        staircase: round ``step / decay_steps`` down, so that the rate falls in stairs.
        name: a name, kept for the configuration.

    Raises:
        ArgumentError: if ``decay_steps`` is not positive.

    Example:
        >>> import nacre
        >>> schedule = nacre.optimizers.schedules.InverseTimeDecay(0.5, 10, 1.0)
        >>> float(schedule(30))
        0.125
    """

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: int,
        decay_rate: float,
        staircase: bool = False,
        name: str = "InverseTimeDecay",
    ) -> None:
        self.initial_learning_rate = initial_learning_rate
        self.decay_steps = decay_steps
        self.decay_rate = decay_rate
        self.staircase = staircase
        self.name = name
        _require_positive(self, "decay_steps", decay_steps)

    def __call__(self, step: Any) -> jax.Array:
        progress = _as_float(step) / self.decay_steps
        if self.staircase:
            progress = _whole_periods(step, self.decay_steps)
        return self.initial_learning_rate / (1 + self.decay_rate * progress)


@register("schedule")
class PolynomialDecay(LearningRateSchedule):
    """The rate falls along a power of the time that is left.

    ``(initial - end) * (1 - min(step, decay_steps) / decay_steps) ** power + end``

    Args:
        initial_learning_rate: the rate at step 0.
        decay_steps: the step at which ``end_learning_rate`` is reached.
        end_learning_rate: the rate from there on.
        power: 1 for a straight line.
        cycle: instead of staying at the end, start over towards the next multiple of
            ``decay_steps``.
        name: a name, kept for the configuration.

    Raises:
        ArgumentError: if ``decay_steps`` is not positive.

    Example:
        >>> import nacre
        >>> schedule = nacre.optimizers.schedules.PolynomialDecay(1.0, 10, 0.5)
        >>> float(schedule(5))
        0.75
    """

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: int,
        end_learning_rate: float = 0.0001,
        power: float = 1.0,
        cycle: bool = False,
        name: str = "PolynomialDecay",
    ) -> None:
        self.initial_learning_rate = initial_learning_rate
        self.decay_steps = decay_steps
        self.end_learning_rate = end_learning_rate
        self.power = power
        self.cycle = cycle
        self.name = name
        _require_positive(self, "decay_steps", decay_steps)

    def __call__(self, step: Any) -> jax.Array:
        end: Any = self.decay_steps
        if self.cycle:
            rounded_up = -_whole_periods(-jnp.asarray(step), self.decay_steps)
            end = end * jnp.maximum(rounded_up, 1.0)
        progress = jnp.minimum(_as_float(step) / end, 1.0)
        fall = self.initial_learning_rate - self.end_learning_rate
        return fall * jnp.power(1 - progress, self.power) + self.end_learning_rate


@register("schedule")
class PiecewiseConstantDecay(LearningRateSchedule):
    """One rate up to each boundary, another one after it.

    ``values[0]`` while ``step <= boundaries[0]``, ``values[1]`` while
    ``step <= boundaries[1]``, and so on; ``values[-1]`` after the last boundary.

    Args:
        boundaries: steps, in increasing order.
        values: the rates, one more than there are boundaries.
        name: a name, kept for the configuration.

    Raises:
        ArgumentError: if the lengths do not fit or the boundaries do not increase.

    Example:
        >>> import nacre
        >>> schedule = nacre.optimizers.schedules.PiecewiseConstantDecay([10, 20], [1.0, 0.5, 0.25])
        >>> [float(schedule(step)) for step in (10, 11, 21)]
        [1.0, 0.5, 0.25]
    """

    def __init__(
        self, boundaries: Sequence[float], values: Sequence[float], name: str = "PiecewiseConstant"
    ) -> None:
        self.boundaries = boundaries
        self.values = values
        self.name = name
        if len(values) != len(boundaries) + 1:
            raise ArgumentError(
                explain(
                    "PiecewiseConstantDecay needs one more value than boundaries.",
                    expected=f"{len(boundaries) + 1} values for {len(boundaries)} boundaries",
                    received=f"{len(values)} values",
                )
            )
        if sorted(set(boundaries)) != list(boundaries):
            raise ArgumentError(
                explain(
                    "PiecewiseConstantDecay needs boundaries that increase.",
                    received=f"boundaries={boundaries!r}",
                )
            )

    def __call__(self, step: Any) -> jax.Array:
        step = jnp.asarray(step)
        boundaries = jnp.asarray(self.boundaries, dtype=step.dtype)
        values = jnp.asarray(self.values, dtype=jnp.float32)
        return values[jnp.sum(step > boundaries)]


@register("schedule")
class CosineDecay(LearningRateSchedule):
    """A rise in a straight line, if asked for, then half a cosine down.

    ``((1 - alpha) * (1 + cos(pi * t / decay_steps)) / 2 + alpha) * peak``, where ``t`` counts the
    steps since the end of the warm-up, up to ``decay_steps``.

    Args:
        initial_learning_rate: the rate at step 0, which is the peak unless there is a warm-up.
        decay_steps: the number of steps from the peak to the end.
        alpha: the rate at the end, as a fraction of the peak.
        name: a name, kept for the configuration.
        warmup_target: the peak that the warm-up rises to; no warm-up if None.
        warmup_steps: the number of steps of the warm-up.

    Raises:
        ArgumentError: if ``decay_steps`` is not positive.

    Example:
        >>> import nacre
        >>> schedule = nacre.optimizers.schedules.CosineDecay(
        ...     0.0, 100, warmup_target=0.5, warmup_steps=10
        ... )
        >>> [round(float(schedule(step)), 4) for step in (5, 10, 60, 110)]
        [0.25, 0.5, 0.25, 0.0]

    Reference:
        Loshchilov and Hutter, "SGDR: Stochastic gradient descent with warm restarts", 2017.
    """

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: int,
        alpha: float = 0.0,
        name: str = "CosineDecay",
        warmup_target: float | None = None,
        warmup_steps: int = 0,
    ) -> None:
        self.initial_learning_rate = initial_learning_rate
        self.decay_steps = decay_steps
        self.alpha = alpha
        self.name = name
        self.warmup_target = warmup_target
        self.warmup_steps = warmup_steps
        _require_positive(self, "decay_steps", decay_steps)

    def __call__(self, step: Any) -> jax.Array:
        step = _as_float(step)
        if self.warmup_target is None:
            return self._decayed(step, self.initial_learning_rate)
        decayed = self._decayed(step - self.warmup_steps, self.warmup_target)
        if not self.warmup_steps:
            return decayed
        rise = self.warmup_target - self.initial_learning_rate
        warming = self.initial_learning_rate + rise * (step / self.warmup_steps)
        return jnp.where(step < self.warmup_steps, warming, decayed)

    def _decayed(self, step: jax.Array, peak: float) -> jax.Array:
        cosine = jnp.cos(math.pi * jnp.minimum(step / self.decay_steps, 1.0))
        return peak * ((1 - self.alpha) * 0.5 * (1 + cosine) + self.alpha)


@register("schedule")
class CosineDecayRestarts(LearningRateSchedule):
    """Half a cosine down, again and again.

    In period ``i``, which is ``first_decay_steps * t_mul ** i`` steps long,
    ``((1 - alpha) * m_mul ** i * (1 + cos(pi * fraction)) / 2 + alpha) * initial_learning_rate``.

    Args:
        initial_learning_rate: the rate at step 0.
        first_decay_steps: the length of the first period.
        t_mul: how many times longer each period is than the one before.
        m_mul: how many times higher each period starts than the one before.
        alpha: the lowest rate, as a fraction of the initial one.
        name: a name, kept for the configuration.

    Raises:
        ArgumentError: if ``first_decay_steps`` is not positive.

    Example:
        >>> import nacre
        >>> schedule = nacre.optimizers.schedules.CosineDecayRestarts(0.5, 10)
        >>> [round(float(schedule(step)), 4) for step in (0, 5, 10, 20)]
        [0.5, 0.25, 0.5, 0.25]

    Reference:
        Loshchilov and Hutter, "SGDR: Stochastic gradient descent with warm restarts", 2017.
    """

    def __init__(
        self,
        initial_learning_rate: float,
        first_decay_steps: int,
        t_mul: float = 2.0,
        m_mul: float = 1.0,
        alpha: float = 0.0,
        name: str = "SGDRDecay",
    ) -> None:
        self.initial_learning_rate = initial_learning_rate
        self.first_decay_steps = first_decay_steps
        self.t_mul = t_mul
        self.m_mul = m_mul
        self.alpha = alpha
        self.name = name
        _require_positive(self, "first_decay_steps", first_decay_steps)

    def __call__(self, step: Any) -> jax.Array:
        if self.t_mul == 1:
            period = _whole_periods(step, self.first_decay_steps)
            length = self.first_decay_steps
        else:
            period = self._lengthening_period(_as_float(step))
            length = self.first_decay_steps * jnp.power(self.t_mul, period)
        fraction = (_as_float(step) - self._start(period)) / length
        height = jnp.power(self.m_mul, period)
        cosine = 0.5 * height * (1 + jnp.cos(math.pi * fraction))
        return self.initial_learning_rate * ((1 - self.alpha) * cosine + self.alpha)

    def _start(self, period: jax.Array) -> jax.Array:
        if self.t_mul == 1:
            return self.first_decay_steps * period
        # The sum of the geometric series of the periods before.
        return self.first_decay_steps * ((1 - jnp.power(self.t_mul, period)) / (1 - self.t_mul))

    def _lengthening_period(self, step: jax.Array) -> jax.Array:
        start = 1 - step / self.first_decay_steps * (1 - self.t_mul)
        period = jnp.floor(jnp.log(start) / math.log(self.t_mul))
        # All this is rounded, and at a restart one period too many or too few is far off.
        reached = step * (1 + 1e-6)
        late = (reached >= self._start(period + 1)).astype(jnp.float32)
        early = (reached < self._start(period)).astype(jnp.float32)
        return period + late - early
