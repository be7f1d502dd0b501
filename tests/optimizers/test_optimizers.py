"""What goes around every update rule: purity, types, clipping, decay, averages, configuration."""

from __future__ import annotations

import json

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given, settings, strategies as st
from hypothesis.extra.numpy import arrays

from nacre import optimizers
from nacre.core.configurable import deserialize, serialize
from nacre.core.errors import ArgumentError
from nacre.core.registry import register_serializable
from nacre.optimizers import schedules
from nacre.optimizers.clipping import clip_by_global_norm, clip_by_norm, clip_by_value, global_norm
from nacre.optimizers.optimizer import carry_over

EVERY = {
    "SGD": optimizers.SGD(0.1),
    "SGD with momentum": optimizers.SGD(0.1, momentum=0.9, nesterov=True),
    "RMSprop": optimizers.RMSprop(),
    "RMSprop with all": optimizers.RMSprop(momentum=0.9, centered=True),
    "Adagrad": optimizers.Adagrad(),
    "Adadelta": optimizers.Adadelta(epsilon=1e-2),
    "Adam": optimizers.Adam(),
    "Adam with amsgrad": optimizers.Adam(amsgrad=True, weight_decay=0.1, clipnorm=1.0),
    "AdamW": optimizers.AdamW(global_clipnorm=1.0),
    "Adamax": optimizers.Adamax(clipvalue=0.5),
    "Nadam": optimizers.Nadam(),
    "Lion": optimizers.Lion(),
    "Lamb": optimizers.Lamb(),
    "Ftrl": optimizers.Ftrl(l1_regularization_strength=0.1),
    "Adam with averages": optimizers.Adam(use_ema=True, ema_overwrite_frequency=3),
    "Adam, accumulated": optimizers.Adam(gradient_accumulation_steps=2, loss_scale_factor=8.0),
}
every = pytest.mark.parametrize("optimizer", EVERY.values(), ids=EVERY)


def params_of(dtype="float32", seed=0):
    draw = np.random.default_rng(seed).normal
    shapes = {"dense/kernel": (4, 3), "dense/bias": (3,), "scale": ()}
    return {path: jnp.asarray(draw(size=shape), dtype) for path, shape in shapes.items()}


def run(optimizer, params, steps=3, learning_rate=0.01, gradients=None):
    """Operation by operation, which is quicker than to compile, except where there are branches."""

    def update(gradients, state, params, step):
        rate = jnp.float32(learning_rate)
        return optimizer.update(gradients, state, params, learning_rate=rate, step=step)

    state = optimizer.init(params)
    if optimizer.gradient_accumulation_steps:
        update = jax.jit(update)
    for step in range(steps):
        g = gradients(step) if gradients else jax.tree.map(lambda w: w + 1, params)
        params, state = update(g, state, params, jnp.int32(step))
    return params, state


def program_of(optimizer, params):
    """The operations of one update, as text."""

    def update(gradients, state, params, rate, step):
        return optimizer.update(gradients, state, params, learning_rate=rate, step=step)

    numbers = jnp.float32(0.1), jnp.int32(0)
    return jax.jit(update).lower(params, optimizer.init(params), params, *numbers).as_text()


def assert_equal_trees(ours, theirs, **tolerance):
    assert jax.tree.structure(ours) == jax.tree.structure(theirs)
    for here, there in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs)):
        np.testing.assert_allclose(
            np.asarray(here, np.float64), np.asarray(there, np.float64), **tolerance
        )


# Purity


@every
def test_a_loop_inside_one_program_does_what_a_loop_outside_does(optimizer):
    params = params_of()

    @jax.jit
    def loop(params, state):
        def body(carry):
            step, params, state = carry
            gradients = jax.tree.map(lambda w: w + 1, params)
            new = optimizer.update(
                gradients, state, params, learning_rate=jnp.float32(0.01), step=step
            )
            return step + 1, *new

        return jax.lax.while_loop(lambda carry: carry[0] < 5, body, (jnp.int32(0), params, state))

    _, inside, state_inside = loop(params, optimizer.init(params))
    outside, state_outside = run(optimizer, params, steps=5)
    assert_equal_trees(inside, outside, rtol=2e-6, atol=1e-7)
    assert_equal_trees(state_inside, state_outside, rtol=2e-6, atol=1e-7)


@every
def test_update_leaves_its_arguments_alone(optimizer):
    params, state = params_of(), optimizer.init(params_of())
    before = jax.tree.map(np.array, (params, state))
    structure = jax.tree.structure((params, state))
    optimizer.update(params, state, params, learning_rate=0.1, step=0)
    assert jax.tree.structure((params, state)) == structure
    assert_equal_trees((params, state), before, rtol=0)


@every
def test_state_is_a_tree_of_arrays_under_the_parameters_paths(optimizer):
    params = params_of()
    state = optimizer.init(params)
    for place, array in jax.tree_util.tree_flatten_with_path(state)[0]:
        assert isinstance(array, jax.Array)
        path = place[-1].key
        assert array.shape == (params[path].shape if path in params else ())
    leaves, structure = jax.tree.flatten(state)
    again = jax.tree.unflatten(structure, [jnp.asarray(np.asarray(leaf)) for leaf in leaves])
    assert_equal_trees(again, state, rtol=0)


def test_state_that_is_made_inside_a_program_is_the_same():
    for optimizer in EVERY.values():
        assert_equal_trees(jax.jit(optimizer.init)(params_of()), optimizer.init(params_of()))


def test_state_is_placed_as_the_parameters_are():
    mesh = jax.make_mesh((2,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    sharding = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("data"))
    params = {"w": jax.device_put(jnp.ones((4, 2)), sharding)}
    state = optimizers.Adam().init(params)
    assert state["slots"]["velocity"]["w"].sharding == sharding


def test_state_may_be_donated():
    optimizer, params = optimizers.Adam(), params_of()
    update = jax.jit(
        lambda g, state, w, step: optimizer.update(g, state, w, learning_rate=0.1, step=step),
        donate_argnums=1,
    )
    _, state = update(params, optimizer.init(params), params, 0)
    _, state = update(params, state, params, 1)
    assert_equal_trees(state, run(optimizer, params, 2, gradients=lambda _: params)[1], rtol=1e-6)


def test_a_new_learning_rate_does_not_trace_again():
    optimizer, params, traces = optimizers.Adam(0.1), params_of(), []

    @jax.jit
    def update(state, params, rate, step):
        traces.append(1)
        return optimizer.update(params, state, params, learning_rate=rate, step=step)

    first, state = update(optimizer.init(params), params, optimizer.learning_rate_at(0), 0)
    optimizer.learning_rate = 0.5
    second, _ = update(state, first, optimizer.learning_rate_at(1), 1)
    assert len(traces) == 1
    optimizer.learning_rate = 0.0
    third, _ = update(state, first, optimizer.learning_rate_at(1), 1)
    assert_equal_trees(third, first, rtol=0)
    assert not np.array_equal(second["dense/kernel"], first["dense/kernel"])


def test_many_learning_rates_at_once():
    optimizer, params = optimizers.AdamW(), params_of()

    def one(rate):
        return optimizer.update(params, optimizer.init(params), params, learning_rate=rate, step=0)[
            0
        ]

    together = jax.vmap(one)(jnp.float32([0.1, 0.2]))
    for index, rate in enumerate((0.1, 0.2)):
        alone = one(jnp.float32(rate))
        assert_equal_trees({path: w[index] for path, w in together.items()}, alone, rtol=1e-6)


def test_scalars_are_computed_once_for_all_parameters():
    params = {f"layer{number}": jnp.ones(3) for number in range(5)}
    for optimizer, powers in ((optimizers.Adam(), 2), (optimizers.Nadam(), 3)):
        assert program_of(optimizer, params).count("stablehlo.power") == powers


def test_nothing_to_train_is_nothing_to_do():
    for optimizer in EVERY.values():
        state = optimizer.init({})
        assert optimizer.update({}, state, {}, learning_rate=0.1, step=0) == ({}, state)


# Types


@pytest.mark.parametrize(
    "dtype, optimizer",
    [("bfloat16", o) for o in EVERY.values()]
    + [("float16", EVERY[name]) for name in ("RMSprop", "Adagrad", "Adam", "SGD with momentum")],
)
def test_half_precision_stays_half_precision_and_moves(optimizer, dtype):
    params = params_of(dtype)
    after, state = run(optimizer, params, steps=4, learning_rate=0.25)
    for path, array in after.items():
        assert array.dtype == dtype
        assert np.isfinite(np.asarray(array, np.float32)).all()
        assert not np.array_equal(array, params[path])
    slots = [a for a in jax.tree.leaves(state) if a.shape == (4, 3)]
    assert {array.dtype.name for array in slots} <= {dtype}


@every
def test_float64_is_computed_in_float64(optimizer):
    with jax.enable_x64(True):
        params = params_of("float64")
        single = {path: w.astype(jnp.float32) for path, w in params.items()}
        for start in (params, single):
            result = jax.eval_shape(lambda w: run(optimizer, w), start)
            dtypes = {array.dtype for array in jax.tree.leaves(result)}
            assert dtypes == {start["scale"].dtype}


def test_mixed_types_keep_theirs():
    params = params_of() | {"half": jnp.ones(3, jnp.bfloat16)}
    after, _ = run(optimizers.AdamW(global_clipnorm=1.0), params)
    assert {path: w.dtype for path, w in after.items()} == {p: w.dtype for p, w in params.items()}


def test_numpy_options_do_not_change_types():
    with jax.enable_x64(True), jax.numpy_dtype_promotion("standard"):
        optimizer = optimizers.Adam(np.float64(0.1), np.float64(0.9), weight_decay=np.float64(0.1))
        after = run(optimizer, params_of())
        assert {a.dtype.name for a in jax.tree.leaves(after)} == {"float32"}


def test_adam_follows_its_equations_in_float64():
    beta_1, beta_2, epsilon, rate = 0.9, 0.999, 1e-7, 0.01
    gradients = np.random.default_rng(3).normal(size=(20, 6)) * 10.0 ** np.arange(-6, 0)
    with jax.enable_x64(True):
        optimizer = optimizers.Adam(rate, beta_1, beta_2, epsilon)
        params = {"w": jnp.zeros(6)}
        state = optimizer.init(params)
        w, m, v = (np.zeros(6) for _ in range(3))
        for step, g in enumerate(gradients):
            params, state = optimizer.update(
                {"w": jnp.asarray(g)}, state, params, learning_rate=jnp.float64(rate), step=step
            )
            m, v = beta_1 * m + (1 - beta_1) * g, beta_2 * v + (1 - beta_2) * g * g
            corrected = np.sqrt(v / (1 - beta_2 ** (step + 1)))
            epsilon_hat = epsilon / np.sqrt(1 - beta_2 ** (step + 1))
            w = w - rate * (m / (1 - beta_1 ** (step + 1))) / (corrected + epsilon_hat)
            np.testing.assert_allclose(params["w"], w, rtol=1e-10)


# Properties

elements = st.floats(-1e4, 1e4, width=32, allow_subnormal=False)
vectors = arrays(np.float32, (5,), elements=elements)
limits = st.floats(1e-3, 1e3)


@settings(deadline=None, max_examples=40)
@given(vectors, vectors, limits)
def test_clipping_shortens_and_keeps_the_direction(a, b, limit):
    gradients = {"a": jnp.asarray(a), "b": jnp.asarray(b)}
    for path, clipped in clip_by_norm(gradients, limit).items():
        norm = np.linalg.norm(gradients[path])
        np.testing.assert_allclose(
            clipped, gradients[path] * min(1.0, limit / max(norm, 1e-30)), rtol=2e-6, atol=1e-9
        )
    norm = np.linalg.norm(np.concatenate([a, b]))
    np.testing.assert_allclose(global_norm(gradients), norm, rtol=1e-5)
    together = clip_by_global_norm(gradients, limit)
    factor = min(1.0, limit / max(norm, 1e-30))
    np.testing.assert_allclose(together["a"], a * factor, rtol=2e-6, atol=1e-9)
    optaxs = optax.clip_by_global_norm(limit)
    theirs, _ = optaxs.update(gradients, optaxs.init(gradients))
    assert_equal_trees(together, theirs, rtol=2e-6, atol=1e-9)
    np.testing.assert_array_equal(
        clip_by_value(gradients, limit)["a"], np.clip(a, np.float32(-limit), np.float32(limit))
    )


@settings(deadline=None, max_examples=25)
@given(vectors, st.floats(1e-3, 1e3))
def test_adam_does_not_see_the_scale_of_the_gradient(g, scale):
    # A whole power of two, so that scaling is exact.
    scale = 2.0 ** np.round(np.log2(scale))
    optimizer, params = optimizers.Adam(epsilon=1e-30), {"w": jnp.zeros(5)}
    g = np.where(np.abs(g) < 1e-2, 1.0, g).astype(np.float32)
    for size in (1.0, scale):
        after, _ = optimizer.update(
            {"w": jnp.asarray(g * np.float32(size))},
            optimizer.init(params),
            params,
            learning_rate=0.1,
            step=0,
        )
        np.testing.assert_allclose(after["w"], -0.1 * np.sign(g), rtol=1e-4)


@every
def test_every_optimizer_goes_down_a_bowl(optimizer):
    params = params_of(seed=5)
    gradients = jax.grad(lambda w: sum(jnp.sum(jnp.square(a)) for a in w.values()) / 2)

    @jax.jit
    def train(params, state):
        def body(step, carry):
            g = gradients(carry[0])
            return optimizer.update(g, carry[1], carry[0], learning_rate=0.02, step=step)

        return jax.lax.fori_loop(0, 200, body, (params, state))

    after, _ = train(params, optimizer.init(params))
    assert global_norm(after) < 0.95 * global_norm(params)


def test_not_a_number_shows_through_global_clipping():
    gradients = {"a": jnp.ones(2), "b": jnp.array([np.inf, 1.0])}
    for clipped in clip_by_global_norm(gradients, 1.0).values():
        assert np.isnan(clipped).all()


def test_the_norm_does_not_overflow_in_half_precision():
    gradients = {"a": jnp.full(4, 1000.0, jnp.float16)}
    assert float(global_norm(gradients)) == 2000.0
    np.testing.assert_allclose(clip_by_norm(gradients, 2.0)["a"], np.ones(4))


# Options


def test_accumulated_gradients_act_as_their_mean():
    params = params_of()
    gradients = [params_of(seed=seed) for seed in range(6)]
    accumulating = optimizers.SGD(0.1, momentum=0.9, gradient_accumulation_steps=3)
    ours, _ = run(accumulating, params, 6, gradients=lambda step: gradients[step])
    means = [jax.tree.map(lambda *g: sum(g) / 3, *gradients[start : start + 3]) for start in (0, 3)]
    plain = optimizers.SGD(0.1, momentum=0.9)
    theirs, _ = run(plain, params, 2, gradients=lambda step: means[step])
    assert_equal_trees(ours, theirs, rtol=1e-6)
    waiting, _ = run(accumulating, params, 2, gradients=lambda step: gradients[step])
    assert_equal_trees(waiting, params, rtol=0)


def test_loss_scale_cancels():
    scaled = optimizers.SGD(0.1, loss_scale_factor=1024.0)
    params = params_of()
    gradients = jax.grad(lambda w: scaled.scale_loss(jnp.sum(jnp.square(w["dense/bias"]))))(params)
    plain = jax.grad(lambda w: jnp.sum(jnp.square(w["dense/bias"])))(params)
    ours, _ = run(scaled, params, gradients=lambda _: gradients)
    theirs, _ = run(optimizers.SGD(0.1), params, gradients=lambda _: plain)
    assert_equal_trees(ours, theirs, rtol=1e-6)
    assert optimizers.SGD().scale_loss(3.0) == 3.0


def test_the_average_replaces_the_parameters_at_the_end():
    optimizer, params = optimizers.SGD(use_ema=True, ema_momentum=0.75), params_of()
    after, state = run(optimizer, params, 2)
    first, _ = run(optimizer, params, 1)
    expected = jax.tree.map(lambda a, b: 0.75 * a + 0.25 * b, first, after)
    assert_equal_trees(optimizer.finalize(after, state), expected, rtol=1e-6)
    frozen = {"frozen": jnp.ones(2)}
    assert optimizer.finalize(frozen, state)["frozen"] is frozen["frozen"]
    plain = optimizers.SGD()
    assert plain.finalize(params, plain.init(params)) == params


def test_slots_survive_when_the_trainable_parameters_change():
    optimizer, params = optimizers.Nadam(use_ema=True), params_of()
    _, state = run(optimizer, params)
    fewer = {path: params[path] for path in ("dense/kernel",)}
    more = params | {"new": jnp.ones(7)}
    kept = carry_over(optimizer.init(fewer), state)
    assert list(kept["slots"]["velocity"]) == ["dense/kernel"]
    assert kept["slots"]["velocity"]["dense/kernel"] is state["slots"]["velocity"]["dense/kernel"]
    assert kept["slots"]["product"] is state["slots"]["product"]
    grown = carry_over(optimizer.init(more), state)
    np.testing.assert_array_equal(grown["slots"]["momentum"]["new"], np.zeros(7))
    assert grown["average"]["scale"] is state["average"]["scale"]
    reshaped = carry_over(optimizer.init({"scale": jnp.ones(2)}), state)
    np.testing.assert_array_equal(reshaped["average"]["scale"], np.ones(2))


def test_the_average_of_a_parameter_that_joins_late_starts_at_its_value():
    optimizer, params = optimizers.SGD(use_ema=True), {"late": jnp.full(2, 5.0)}
    still = {"late": jnp.zeros(2)}
    after, state = optimizer.update(
        still, optimizer.init(params), params, learning_rate=0.1, step=jnp.int32(100)
    )
    np.testing.assert_allclose(optimizer.finalize(after, state)["late"], [5.0, 5.0], rtol=1e-6)
    assert optimizer.init(params)["average"]["late"] is not params["late"]


def test_decay_spares_what_is_excluded():
    optimizer = optimizers.SGD(weight_decay=0.5)
    optimizer.exclude_from_weight_decay(var_list=["scale"], var_names=["bias"])
    assert [optimizer.decays(path) for path in ("dense/kernel", "a/bias", "scale", "a/scale")] == [
        True, False, False, True,
    ]  # fmt: skip
    params = params_of()
    zeros = jax.tree.map(jnp.zeros_like, params)
    after, _ = run(optimizer, params, 1, 0.1, gradients=lambda _: zeros)
    assert_equal_trees(after, params | {"dense/kernel": params["dense/kernel"] * 0.95}, rtol=1e-6)
    again = optimizers.SGD.from_config(optimizer.get_config())
    assert not again.decays("a/bias") and again.decays("dense/kernel")
    with pytest.raises(ArgumentError, match=r"(?s)by their paths.*var_names=\[\"bias\"\]"):
        optimizer.exclude_from_weight_decay(var_list=[jnp.ones(2)])  # type: ignore[list-item]


# The learning rate


def test_learning_rate_is_readable_and_settable():
    adam = optimizers.Adam(0.5)
    assert adam.learning_rate == 0.5 and type(adam.learning_rate) is float
    assert adam.schedule is None and adam.learning_rate_is_known
    assert adam.learning_rate_at(7).dtype == np.float32
    for value in (1, np.float32(0.25), jnp.float32(0.25), np.array(0.25)):
        adam.learning_rate = value
        assert adam.learning_rate == float(value) and type(adam.learning_rate) is float
    schedule = schedules.ExponentialDecay(0.5, 1, 0.5)
    adam.learning_rate = schedule
    assert adam.learning_rate is schedule and adam.schedule is schedule
    assert float(adam.learning_rate_at(2)) == 0.125
    assert adam.get_config()["learning_rate"] is schedule
    adam.learning_rate = 0.25
    assert adam.schedule is None and adam.get_config() == {"learning_rate": 0.25}


@pytest.mark.parametrize(
    "schedule",
    [lambda step: 0.1 / (step + 1), optax.polynomial_schedule(0.1, 0.0, 1, 4), lambda step: 0.1],
)
def test_any_function_of_the_step_is_a_learning_rate(schedule):
    sgd = optimizers.SGD(schedule)
    rate = jax.jit(sgd.learning_rate_at)(jnp.int32(1))
    assert rate.dtype == jnp.float32
    with jax.numpy_dtype_promotion("standard"):
        np.testing.assert_allclose(rate, schedule(jnp.int32(1)), rtol=1e-6)


@pytest.mark.parametrize("value", ["0.1", None, -0.1, float("nan"), float("inf"), True, [0.1]])
def test_a_learning_rate_that_cannot_be_used(value):
    with pytest.raises(ArgumentError, match=r"(?s)SGD: the learning rate.*Expected.*Received"):
        optimizers.SGD(value)
    sgd = optimizers.SGD(0.5)
    with pytest.raises(ArgumentError, match=r"(?s)finite number >= 0.*CosineDecay"):
        sgd.learning_rate = value
    assert sgd.learning_rate == 0.5


def test_old_keywords():
    assert optimizers.Adam(lr=0.5).learning_rate == 0.5
    assert optimizers.Adam(lr=0.5).get_config() == {"learning_rate": 0.5}
    decaying = optimizers.RMSprop(lr=0.5, decay=0.1)
    np.testing.assert_allclose(decaying.learning_rate_at(10), 0.25, rtol=1e-6)
    again = optimizers.RMSprop.from_config(decaying.get_config())
    np.testing.assert_allclose(again.learning_rate_at(10), 0.25, rtol=1e-6)
    assert optimizers.RMSprop(lr=0.5, decay=0.0).learning_rate == 0.5
    with pytest.raises(ArgumentError, match=r"(?s)lr is another name.*leave out lr"):
        optimizers.Adam(0.1, lr=0.5)
    with pytest.raises(ArgumentError, match=r"(?s)decay is for a learning rate that is a number"):
        optimizers.Adam(schedules.CosineDecay(0.1, 10), decay=0.5)
    assert optimizers.legacy.Adam is optimizers.Adam


# Errors


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: optimizers.Adam(clipnorm=1.0, clipvalue=1.0), r"one way only.*clipnorm=1.0, clip"),
        (lambda: optimizers.Adam(clipnorm=0.0), r"Adam: clipnorm is out of range.*> 0.*clipnorm=0"),
        (lambda: optimizers.Adam(global_clipnorm=-1.0), r"global_clipnorm=-1"),
        (lambda: optimizers.Adam(weight_decay=-1.0), r"weight_decay is out of range"),
        (lambda: optimizers.Adam(ema_momentum=1.5), r"number from 0 to 1.*ema_momentum=1.5"),
        (lambda: optimizers.Adam(ema_overwrite_frequency=0), r"whole number >= 1"),
        (lambda: optimizers.Adam(gradient_accumulation_steps=1), r"whole number >= 2"),
        (lambda: optimizers.Adam(decay=-1.0), r"decay is out of range"),
        (lambda: optimizers.SGD(momentum=1.5), r"SGD: momentum is out of range"),
        (lambda: optimizers.Lion(beta_1=0.0), r"Lion: beta_1 is out of range"),
        (lambda: optimizers.Ftrl(learning_rate_power=0.5), r"learning_rate_power is out of"),
        (lambda: optimizers.Ftrl(l1_regularization_strength=-1.0), r"l1_regularization_strength="),
        (lambda: optimizers.AdamW(weight_decay=None), r"AdamW without weight decay is Adam.*use"),
        (lambda: optimizers.SGD(momntum=0.9), r"no argument 'momntum'.*did you mean 'momentum'"),
        (lambda: optimizers.Adam(clip_norm=0.9), r"no argument 'clip_norm'.*mean 'clipnorm'"),
    ],
)
def test_options_out_of_range(make, message):
    with pytest.raises(ArgumentError, match=f"(?s){message}"):
        make()


# Configuration


@every
def test_configuration_goes_to_json_and_back(optimizer):
    again = deserialize(json.loads(json.dumps(serialize(optimizer))))
    assert type(again) is type(optimizer)
    assert again.get_config() == optimizer.get_config()
    assert program_of(again, params_of()) == program_of(optimizer, params_of())


def test_configuration_has_the_learning_rate_of_today():
    adam = optimizers.Adam(schedules.CosineDecay(0.1, 10), beta_1=0.5, name="mine")
    again = deserialize(json.loads(json.dumps(serialize(adam))))
    assert (again.beta_1, again.name) == (0.5, "mine")
    np.testing.assert_allclose(again.learning_rate_at(3), adam.learning_rate_at(3), rtol=1e-7)
    adam.learning_rate = 0.3
    assert deserialize(serialize(adam)).learning_rate == 0.3
    assert repr(optimizers.SGD(0.5, momentum=0.9)) == "SGD(learning_rate=0.5, momentum=0.9)"
    assert optimizers.SGD().name == "sgd"


@register_serializable("test_optimizers")
class SignDescent(optimizers.Optimizer):
    def __init__(self, learning_rate=0.5, **common):
        super().__init__(learning_rate, **common)

    def rule(self, gradients, slots, params, *, learning_rate, step, **_):
        return jax.tree.map(lambda g: -learning_rate * jnp.sign(g), gradients), slots


def test_a_rule_of_ones_own():
    optimizer = deserialize(serialize(SignDescent(clipvalue=1.0)))
    after, _ = run(optimizer, {"w": jnp.float32([1.0, -2.0])}, 1, 0.5, lambda _: {"w": jnp.ones(2)})
    np.testing.assert_allclose(after["w"], [0.5, -2.5])
    with pytest.raises(NotImplementedError, match=r"Optimizer does not define rule"):
        run(optimizers.Optimizer(0.1), params_of())


def test_a_rule_joins_a_chain_of_optax():
    chain = optax.chain(optax.scale(2.0), optimizers.SGD(momentum=0.5).transformation)
    params = params_of()
    rate = jnp.float32(0.1)
    updates, _ = chain.update(params, chain.init(params), params, learning_rate=rate, step=0)
    assert_equal_trees(updates, jax.tree.map(lambda g: -0.2 * g, params), rtol=1e-6)
