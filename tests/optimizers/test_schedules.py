"""Learning rate schedules: at their boundaries, compiled, and through a configuration."""

from __future__ import annotations

import json
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nacre.core.configurable import deserialize, serialize
from nacre.core.errors import ArgumentError
from nacre.optimizers import schedules

EXAMPLES = {
    "exponential": schedules.ExponentialDecay(0.3, 7, 0.6),
    "inverse": schedules.InverseTimeDecay(0.3, 7, 0.6, staircase=True),
    "polynomial": schedules.PolynomialDecay(0.3, 7, power=2.0),
    "piecewise": schedules.PiecewiseConstantDecay([3, 9], [0.3, 0.2, 0.1]),
    "cosine": schedules.CosineDecay(0.0, 7, warmup_target=0.3, warmup_steps=4),
    "restarts": schedules.CosineDecayRestarts(0.3, 7, m_mul=0.5),
}


@pytest.mark.parametrize("schedule", EXAMPLES.values(), ids=EXAMPLES)
def test_configuration_goes_to_json_and_back(schedule):
    again = deserialize(json.loads(json.dumps(serialize(schedule))))
    assert type(again) is type(schedule)
    steps = range(0, 30, 3)
    assert [float(again(step)) for step in steps] == [float(schedule(step)) for step in steps]


@pytest.mark.parametrize("schedule", EXAMPLES.values(), ids=EXAMPLES)
def test_the_rate_is_a_float32_scalar_inside_and_outside_a_program(schedule):
    with jax.enable_x64(True):
        compiled = jax.jit(schedule)
        for step in (0, 5, 20):
            eager = schedule(step)
            assert eager.dtype == jnp.float32 and eager.shape == ()
            np.testing.assert_allclose(compiled(jnp.int32(step)), eager, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("period", [3, 7, 40, 41, 100])
def test_stairs_and_cycles_end_at_the_step_they_should(period):
    """A compiled division by a constant is rounded: at step 40 of 40, it must still be a whole."""
    steps = jnp.arange(5 * period)
    whole = np.arange(5 * period) // period
    for schedule, expected in (
        (schedules.ExponentialDecay(1.0, period, 0.5, staircase=True), 0.5**whole),
        (schedules.InverseTimeDecay(1.0, period, 1.0, staircase=True), 1 / (1 + whole)),
    ):
        np.testing.assert_allclose(jax.jit(jax.vmap(schedule))(steps), expected, rtol=1e-6)
    cycle = schedules.PolynomialDecay(1.0, period, 0.0, cycle=True)
    ends = np.maximum(-(-np.arange(5 * period) // period), 1) * period
    expected = 1 - np.arange(5 * period) / ends
    np.testing.assert_allclose(jax.jit(jax.vmap(cycle))(steps), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("growth", [1.0, 1.5, 1.7, 2.0, 2.5, 3.0])
@pytest.mark.parametrize("first", [7, 10, 100])
def test_restarts_come_at_the_step_they_should(first, growth):
    schedule = jax.jit(jax.vmap(schedules.CosineDecayRestarts(1.0, first, growth)))
    expected, start, length = [], 0.0, float(first)
    for step in range(8 * first):
        while step >= start + length - 1e-6:
            start, length = start + length, length * growth
        expected.append(0.5 * (1 + math.cos(math.pi * (step - start) / length)))
    np.testing.assert_allclose(schedule(jnp.arange(8 * first)), expected, atol=1e-4)


def test_whole_steps_beyond_the_precision_of_float32():
    schedule = schedules.PiecewiseConstantDecay([2**24 + 1], [1.0, 0.5])
    assert [float(schedule(2**24 + more)) for more in (0, 1, 2)] == [1.0, 1.0, 0.5]


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: schedules.ExponentialDecay(0.1, 0, 0.5), r"ExponentialDecay: decay_steps.*> 0"),
        (lambda: schedules.InverseTimeDecay(0.1, -1, 0.5), r"Received: decay_steps=-1"),
        (lambda: schedules.PolynomialDecay(0.1, 0), r"PolynomialDecay: decay_steps"),
        (lambda: schedules.CosineDecay(0.1, 0), r"CosineDecay: decay_steps"),
        (lambda: schedules.CosineDecayRestarts(0.1, 0), r"first_decay_steps > 0"),
        (lambda: schedules.PiecewiseConstantDecay([1], [0.1]), r"2 values for 1 boundaries"),
        (lambda: schedules.PiecewiseConstantDecay([2, 1], [3.0, 2.0, 1.0]), r"that increase"),
        (lambda: schedules.ExponentialDecay(0.1, 1, 0.5, stairs=True), r"no argument 'stairs'"),
    ],
)
def test_arguments_that_cannot_be_used(make, message):
    with pytest.raises(ArgumentError, match=f"(?s){message}"):
        make()


def test_a_schedule_without_a_rule():
    with pytest.raises(NotImplementedError, match=r"LearningRateSchedule does not define __call__"):
        schedules.LearningRateSchedule()(0)
