"""The native recurrence against the portable one: values, derivatives, mapping, loops."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from nacre.kernels import gru, lstm, recurrent, simple_rnn
from nacre.kernels.selection import native

pytestmark = pytest.mark.skipif(native().library is None, reason=f"{native().reason}")

KERNELS = {"simple": simple_rnn, "lstm": lstm, "gru": gru}
GATES = {"simple": 1, "lstm": 4, "gru": 3}
each_cell = pytest.mark.parametrize("name", KERNELS)


class Arrays:
    """Arguments drawn from a seed: x, the weights, the first state, mask and dropout."""

    def __init__(self, name, sizes, seed=0, bias=True, mask=True, dropout=True):
        batch, time, features, units = sizes
        rng, columns = np.random.default_rng([seed, *sizes]), GATES[name] * units

        def draw(*shape):
            return jnp.asarray(rng.normal(size=shape).astype(np.float32)) / 2

        shape = (2, columns) if name == "gru" else (columns,)
        kernels = draw(features, columns), draw(units, columns) / np.float32(np.sqrt(units))
        weights = *kernels, draw(*shape) if bias else None
        state = tuple(draw(batch, units) for _ in range(2 if name == "lstm" else 1))
        factor = jnp.asarray(rng.integers(0, 2, (batch, units)) * 2, jnp.float32)
        self.all = (draw(batch, time, features), weights, state, factor if dropout else None)
        self.mask = jnp.asarray(rng.random((batch, time)) < 0.7) if mask else None


def run(name, arrays, mask, **settings):
    x, weights, state, dropout = arrays
    return KERNELS[name](
        x, *weights, state, mask=mask, recurrent_dropout=dropout, unroll=2, **settings
    )


def loss(name, arrays, mask, **settings):
    y, last = run(name, arrays, mask, **settings)
    return jnp.sum(jnp.sin(y)) + sum(jnp.sum(jnp.cos(s)) for s in last)


def portably(function, *arrays):
    """The same by the portable form."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(recurrent, "_native", lambda *anything: None)
        recurrent._run.clear_cache()
        result = jax.jit(lambda *arrays: function(*arrays))(*arrays)
    recurrent._run.clear_cache()
    return result


def assert_same(actual, expected, tolerance=2e-5):
    for a, b in zip(jax.tree.leaves(actual), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)


@each_cell
@settings(max_examples=5, deadline=None)
@given(
    st.tuples(st.integers(0, 9), st.integers(0, 4), st.integers(1, 5), st.integers(1, 35)),
    st.tuples(st.booleans(), st.booleans(), st.booleans(), st.booleans()),
    st.sampled_from([jnp.tanh, jax.nn.relu, jax.nn.sigmoid]),
)
def test_values_and_gradients_are_those_of_the_portable_form(name, sizes, options, activation):
    bias, mask, dropout, backwards = options
    drawn = Arrays(name, sizes, bias=bias, mask=mask, dropout=dropout)
    settings = {"activation": activation, "go_backwards": backwards}

    def both(arrays):
        y, last = run(name, arrays, drawn.mask, **settings)
        gradients = jax.grad(lambda a: loss(name, a, drawn.mask, **settings))(arrays)
        return y, last, gradients

    assert_same(jax.jit(both)(drawn.all), portably(both, drawn.all))


@each_cell
def test_batches_of_several_tasks_and_panels(name):
    drawn = Arrays(name, (101, 3, 7, 131))
    gradient = jax.grad(functools.partial(loss, name))
    assert_same(jax.jit(gradient)(drawn.all, drawn.mask), portably(gradient, *vars(drawn).values()))


@each_cell
def test_kernels_too_large_for_the_cache_are_multiplied_beforehand(name, monkeypatch):
    drawn = Arrays(name, (5, 3, 4, 19))
    gradient = jax.grad(functools.partial(loss, name))
    fused = jax.jit(gradient)(drawn.all, drawn.mask)
    monkeypatch.setattr("nacre.kernels.native_recurrent.FUSED_BYTES", 0)
    recurrent._run.clear_cache()
    apart = jax.jit(lambda *a: gradient(*a))(drawn.all, drawn.mask)
    assert_same(apart, fused)


@each_cell
def test_what_is_compiled_on_a_cpu_is_native_and_elsewhere_portable(name):
    drawn = Arrays(name, (2, 3, 4, 5))
    traced = jax.jit(jax.grad(functools.partial(loss, name))).trace(drawn.all, drawn.mask)
    on_cpu = traced.lower().as_text()
    assert "nacre_recurrent_forward" in on_cpu and "nacre_recurrent_backward" in on_cpu
    assert "while" not in on_cpu
    assert "nacre_" not in traced.lower(lowering_platforms=("cuda",)).as_text()


@pytest.mark.parametrize(
    "name", ["lstm", *(pytest.param(name, marks=pytest.mark.slow) for name in ("gru", "simple"))]
)
def test_forward_mode_and_second_derivatives(name):
    drawn = Arrays(name, (3, 4, 2, 5))
    ones = jax.tree.map(jnp.ones_like, drawn.all)

    def derivatives(arrays):
        f = functools.partial(loss, name, mask=drawn.mask)
        along = jax.jvp(f, (arrays,), (ones,))[1]
        again = jax.jvp(jax.grad(f), (arrays,), (ones,))[1]
        twice = jax.grad(lambda a: sum(jnp.sum(g**2) for g in jax.tree.leaves(jax.grad(f)(a))))
        return along, again, twice(arrays)

    assert_same(jax.jit(derivatives)(drawn.all), portably(derivatives, drawn.all), 2e-4)


def mapped_arguments(name, weights_too):
    several = [Arrays(name, (3, 4, 2, 5), seed=seed) for seed in range(3)]
    stacked = jax.tree.map(lambda *a: jnp.stack(a), *(a.all for a in several))
    if not weights_too:
        stacked = (stacked[0], several[0].all[1], *stacked[2:])
    return stacked, (0, 0 if weights_too else None, 0, 0), several[0].mask


@each_cell
@pytest.mark.parametrize("weights_too", [False, True])
def test_mapping_is_a_loop(name, weights_too):
    stacked, axes, mask = mapped_arguments(name, weights_too)

    def gradient(*arrays):
        return jax.value_and_grad(lambda a: loss(name, a, mask, go_backwards=True))(arrays)

    mapped = jax.vmap(gradient, axes)
    assert_same(jax.jit(mapped)(*stacked), portably(mapped, *stacked))


@each_cell
def test_mapping_over_inputs_twice_stays_one_native_call(name):
    stacked, _, mask = mapped_arguments(name, False)
    x, weights, state, _ = stacked
    twice = jnp.stack([x, 2 * x])  # (2, 3, batch, time, features)

    def gradient(x, state):
        return jax.grad(lambda w: loss(name, (x, w, state, None), mask))(weights)

    mapped = jax.vmap(jax.vmap(gradient), (0, None))
    compiled = jax.jit(mapped).lower(twice, state).as_text()
    assert compiled.count("nacre_recurrent_backward") == 1 and "while" not in compiled
    assert_same(jax.jit(mapped)(twice, state), portably(mapped, twice, state))


def test_jacobians_agree():
    drawn = Arrays("lstm", (2, 3, 2, 3), dropout=False)

    def f(x):
        return run("lstm", (x, *drawn.all[1:]), drawn.mask)[0]

    assert_same(jax.jacrev(f)(drawn.all[0]), jax.jacfwd(f)(drawn.all[0]))


def test_loops_branches_and_rematerialisation():
    drawn = Arrays("gru", (2, 3, 5, 5))
    gradient = jax.grad(lambda a: loss("gru", a, drawn.mask))

    def training(arrays):
        def step(a, _):
            remade = jax.grad(jax.checkpoint(lambda a: loss("gru", a, drawn.mask)))(a)
            return jax.tree.map(lambda w, g: w - 0.1 * g, a, remade), None

        scanned, _ = jax.lax.scan(step, arrays, None, length=2)
        looped = jax.lax.fori_loop(0, 2, lambda _, a: step(a, None)[0], arrays)
        chosen = jax.lax.cond(arrays[0][0, 0, 0] < 9, gradient, lambda a: a, arrays)
        through = jax.grad(lambda a: jnp.sum(step(a, None)[0][0] ** 2))(arrays)
        return scanned, looped, chosen, through

    assert_same(jax.jit(training)(drawn.all), portably(training, drawn.all), 1e-4)


def test_a_kernel_that_devices_share_has_the_sum_of_their_gradients():
    mesh = jax.make_mesh((2,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    by_data, shared = jax.P("data"), jax.P()
    drawn = Arrays("lstm", (4, 3, 5, 5), mask=False, dropout=False)
    x, weights, state, _ = drawn.all

    def gradient(x, weights, state):
        return jax.grad(lambda w: loss("lstm", (x, w, state, None), None))(weights)

    split = jax.shard_map(
        gradient, mesh=mesh, in_specs=(by_data, shared, by_data), out_specs=shared
    )
    assert_same(jax.jit(split)(x, weights, state), gradient(x, weights, state))


def test_the_bits_are_the_same_each_time():
    drawn = Arrays("lstm", (70, 5, 9, 33))
    gradient = jax.jit(jax.grad(functools.partial(loss, "lstm")))
    first = gradient(drawn.all, drawn.mask)
    for _ in range(5):
        again = gradient(drawn.all, drawn.mask)
        for a, b in zip(jax.tree.leaves(first), jax.tree.leaves(again)):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("activation", [jnp.tanh, jax.nn.sigmoid, jax.nn.relu])
def test_activations_are_exact_to_a_few_units_in_the_last_place(activation):
    exact = {jnp.tanh: np.tanh, jax.nn.sigmoid: lambda x: 1 / (1 + np.exp(-x))}
    exact = exact.get(activation, lambda x: np.maximum(x, 0))
    small, middle = np.logspace(-30, -1, 500), np.linspace(0.1, 100, 2000)
    x = np.concatenate([small, middle, -small, -middle, [0, 1e30, -1e30]]).astype(np.float32)
    one = jnp.ones((1, 1))
    y, _ = simple_rnn(jnp.asarray(x)[:, None, None], one, 0 * one, activation=activation)
    with np.errstate(over="ignore"):
        expected = exact(x.astype(np.float64))
    np.testing.assert_allclose(y[:, 0, 0], expected, rtol=4e-7, atol=1e-37)


@each_cell
def test_infinity_saturates_and_not_a_number_goes_through(name):
    x, weights, state, _ = Arrays(name, (3, 2, 1, 4), mask=False, dropout=False).all
    x = x.at[0].set(jnp.inf).at[1].set(-jnp.inf).at[2, 1].set(jnp.nan)
    y, _ = KERNELS[name](x, *weights, state)
    assert np.isfinite(y[:2]).all() and np.isfinite(y[2, 0]).all() and np.isnan(y[2, 1]).all()


SCRIPT = """
import jax, jax.numpy as jnp, numpy as np
from nacre.kernels import lstm, recurrent, in_use
assert {expected!r} in in_use()["reason"], in_use()
rng = np.random.default_rng(0)
f = lambda *s: jnp.asarray(rng.normal(size=s).astype(np.float32))
w, x = (f(5, 36), f(9, 36), f(36)), f(7, 4, 5)
loss = lambda w: jnp.sum(lstm(x, *w)[0] ** 2)
native = jax.jit(jax.grad(loss))(w)
assert "nacre_recurrent_backward" in jax.jit(jax.grad(loss)).lower(w).as_text()
recurrent._native = lambda *anything: None
recurrent._run.clear_cache()
for a, b in zip(native, jax.jit(jax.grad(lambda w: loss(w)))(w)):
    assert a.dtype == np.float32
    np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4)
"""


def test_in_64_bit_mode_and_with_the_lesser_instructions(in_other_settings):
    in_other_settings(SCRIPT)
