"""The native update of parameters against the equations of the optimizers in JAX."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

import nacre
from nacre import layers, optimizers
from nacre.kernels import in_use
from nacre.kernels.update import all_finite

pytestmark = pytest.mark.skipif(in_use()["name"] != "native", reason="no native kernels here")

OPTIMIZERS = {
    "SGD": optimizers.SGD(0.1),
    "momentum": optimizers.SGD(0.1, momentum=0.9),
    "Nesterov": optimizers.SGD(0.1, momentum=0.9, nesterov=True),
    "RMSprop": optimizers.RMSprop(0.01),
    "Adam": optimizers.Adam(0.01),
    "Adam, clipped": optimizers.Adam(0.01, global_clipnorm=1.0),
    "AdamW": optimizers.AdamW(0.01, weight_decay=0.3),
    "accumulated": optimizers.RMSprop(0.01, gradient_accumulation_steps=2),
    "averaged": optimizers.SGD(0.1, use_ema=True),
}
WITHOUT_KERNEL = {
    "AMSGrad": optimizers.Adam(amsgrad=True),
    "centered": optimizers.RMSprop(centered=True),
    "Lion": optimizers.Lion(),
}
every = pytest.mark.parametrize("name", OPTIMIZERS)
OPTIMIZERS["AdamW"].exclude_from_weight_decay(var_names=["w1"])


def arrays(shapes, seed, dtype=np.float32):
    rng = np.random.default_rng(seed)
    return {f"w{i}": rng.standard_normal(shape).astype(dtype) for i, shape in enumerate(shapes)}


def updated(optimizer, gradients, state, params, step, rate=0.01):
    return optimizer.update(gradients, state, params, learning_rate=rate, step=step)


def assert_close(ours, theirs, tolerance=1e-6):
    assert jax.tree.structure(ours) == jax.tree.structure(theirs)
    for here, there in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs)):
        np.testing.assert_allclose(here, there, rtol=tolerance, atol=tolerance)


def run(function, optimizer, shapes, steps=3):
    params = arrays(shapes, 0)
    state = optimizer.init(params)
    for step in range(steps):
        params, state = function(arrays(shapes, step + 1), state, params, step)
    return params, state


shapes = st.lists(st.lists(st.integers(0, 40), max_size=3), min_size=1, max_size=5)


@every
@settings(deadline=None, max_examples=2)  # each shape is compiled for
@given(shapes=shapes)
def test_a_compiled_update_is_that_of_the_equations(name, shapes):
    optimizer = OPTIMIZERS[name]
    equations = functools.partial(updated, optimizer)  # outside of a program: JAX's operations
    assert_close(run(jax.jit(equations), optimizer, shapes), run(equations, optimizer, shapes))


@every
def test_large_arrays_are_shared_among_tasks_and_the_bits_stay_the_same(name):
    optimizer, shapes = OPTIMIZERS[name], [(1000, 301), (7,), (33, 5), ()]
    equations = functools.partial(updated, optimizer)
    first, again = (run(jax.jit(equations), optimizer, shapes) for _ in range(2))
    jax.tree.map(np.testing.assert_array_equal, first, again)
    assert_close(first, run(equations, optimizer, shapes))


def calls(optimizer, dtype=jnp.float32, count=3):
    params = {f"w{i}": jnp.ones(5, dtype) for i in range(count)}
    function = jax.jit(functools.partial(updated, optimizer))
    return function.lower(params, optimizer.init(params), params, 0).as_text().count("@nacre_upd")


def test_which_updates_are_native():
    assert {calls(optimizer) for optimizer in OPTIMIZERS.values()} == {1}
    assert calls(optimizers.Adam(), count=65) == 3
    assert {calls(optimizer) for optimizer in WITHOUT_KERNEL.values()} == {0}
    assert calls(optimizers.Adam(), jnp.bfloat16) == 0


def test_a_subclass_with_equations_of_its_own_does_not_inherit_the_kernel():
    class Uphill(optimizers.SGD):
        def rule(self, gradients, slots, params, *, learning_rate, **_):
            return jax.tree.map(lambda g: learning_rate * g, gradients), slots

    class Slow(optimizers.SGD):
        def update(self, gradients, opt_state, params, *, learning_rate, **known):
            rate = learning_rate / 10
            return super().update(gradients, opt_state, params, learning_rate=rate, **known)

    w = {"w": jnp.ones(3)}
    new, _ = jax.jit(functools.partial(updated, Uphill(1.0)))(w, {"slots": {}}, w, 0)
    np.testing.assert_allclose(new["w"], 1.01)
    slow = functools.partial(Slow(1.0).update_if, learning_rate=1.0, step=0)
    new, _ = jax.jit(slow)(True, w, {"slots": {}}, w)
    np.testing.assert_allclose(new["w"], 0.9)


@every
@pytest.mark.parametrize("condition", [True, False])
def test_an_update_may_be_left_out(name, condition):
    optimizer, shapes = OPTIMIZERS[name], [(50, 3), (3,)]
    params, state = run(functools.partial(updated, optimizer), optimizer, shapes, 1)
    gradients = arrays(shapes, 9)
    known = {"learning_rate": 0.01, "step": 1}
    given = jax.jit(functools.partial(optimizer.update_if, **known))(
        jnp.asarray(condition), gradients, state, params
    )
    expected = params, state
    if condition:
        expected = optimizer.update(gradients, state, params, **known)
    assert_close(given, expected)


def test_an_update_is_mapped_and_differentiated():
    optimizer = OPTIMIZERS["Adam"]
    w = {"w": jnp.linspace(-1, 1, 12).reshape(3, 4)}
    state = optimizer.init(w)

    def loss(rate, g):
        return jnp.sum(updated(optimizer, {"w": g}, state, w, 0, rate)[0]["w"] ** 2)

    g = jnp.cos(w["w"] * 5)
    slope = jax.jit(jax.grad(loss))(0.01, g)
    number = (loss(0.011, g) - loss(0.009, g)) / 0.002
    np.testing.assert_allclose(slope, number, rtol=1e-2)
    rates = jnp.array([0.1, 0.2])
    mapped = jax.jit(jax.vmap(loss, (0, None)))(rates, g)
    np.testing.assert_allclose(mapped, [loss(r, g) for r in rates], rtol=1e-5)
    many = jax.jit(jax.vmap(lambda g: all_finite([g])))(jnp.array([[1.0, 2.0], [1.0, jnp.nan]]))
    assert many.tolist() == [True, False]


@settings(deadline=None, max_examples=20)
@given(shapes=shapes, where=st.integers(0), bad=st.sampled_from([np.nan, np.inf, -np.inf]))
def test_one_number_that_is_not_finite_is_seen(shapes, where, bad):
    some = list(arrays(shapes, 0).values())
    finite = jax.jit(lambda *arrays: all_finite(arrays))
    assert finite(*some)
    filled = [array for array in some if array.size]
    if filled:
        array = filled[where % len(filled)]
        array[np.unravel_index(where % array.size, array.shape)] = bad
        assert not finite(*some)


def test_training_is_the_same_as_with_the_equations():
    """A network's weights after some steps, natively and with an optimizer without a kernel."""

    class Plain(optimizers.Adam):
        def kernel(self):
            return None

    x = np.random.default_rng(0).standard_normal((64, 5)).astype(np.float32)
    results = []
    for optimizer in (optimizers.Adam(0.01), Plain(0.01)):
        nacre.set_seed(3)
        model = nacre.Sequential([nacre.Input((5,)), layers.Dense(8, "relu"), layers.Dense(1)])
        model.compile(optimizer, "mse")
        model.fit(x, x[:, :1], batch_size=16, epochs=3, verbose=0)
        results.append(model.get_weights())
    nacre.set_seed(None)
    assert_close(*results, 1e-5)
