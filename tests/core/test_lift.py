"""The waist: a lifted model is a pure function that every JAX transformation can take."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh, NamedSharding, PartitionSpec

import nacre
from nacre import layers
from nacre.core.errors import BuildError, PurityError, ShapeError
from nacre.core.layer import variables_of


def network():
    return nacre.Sequential(
        [
            nacre.Input((6,)),
            layers.Dense(8, activation="relu"),
            layers.BatchNormalization(),
            layers.Dropout(0.5),
            layers.Dense(3),
        ]
    )


@pytest.fixture
def inputs():
    return jnp.asarray(np.random.default_rng(0).standard_normal((10, 6)), jnp.float32)


def test_the_lifted_function_returns_what_the_model_returns(inputs):
    model = network()
    apply, params, state = nacre.lift(model)
    outputs, new_state, losses = apply(params, state, inputs)
    np.testing.assert_array_equal(outputs, model(inputs))
    assert losses == []
    for path in state:
        np.testing.assert_array_equal(new_state[path], state[path])


def test_paths_are_made_of_the_names_on_the_way():
    _, params, state = nacre.lift(network())
    assert list(params) == [
        "dense/kernel",
        "dense/bias",
        "batch_normalization/gamma",
        "batch_normalization/beta",
        "dense_1/kernel",
        "dense_1/bias",
    ]
    assert list(state) == [
        "batch_normalization/moving_mean",
        "batch_normalization/moving_variance",
    ]


def test_jit_gives_the_eager_result_and_traces_once(inputs):
    apply, params, state = nacre.lift(network())
    traces = []

    @jax.jit
    def run(params, state, inputs, key):
        traces.append(1)
        return apply(params, state, inputs, training=True, key=key)[:2]

    key = jax.random.key(3)
    outputs, new_state = run(params, state, inputs, key)
    run(params, new_state, inputs, jax.random.key(4))
    expected, expected_state, _ = apply(params, state, inputs, training=True, key=key)
    np.testing.assert_allclose(outputs, expected, rtol=1e-5, atol=1e-6)
    for path, value in expected_state.items():
        np.testing.assert_allclose(new_state[path], value, rtol=1e-5, atol=1e-7)
    assert len(traces) == 1


def test_training_leaves_nothing_behind_in_the_model(inputs):
    model = network()
    apply, params, state = nacre.lift(model)
    before = model.get_weights()
    jax.jit(lambda: apply(params, state, inputs, training=True, key=jax.random.key(0))[:2])()
    for old, new in zip(before, model.get_weights()):
        np.testing.assert_array_equal(old, new)


def test_gradients_agree_with_finite_differences():
    with jax.enable_x64(True):
        model = nacre.Sequential(
            [
                nacre.Input((4,), dtype="float64"),
                layers.Dense(5, activation="tanh", dtype="float64"),
                layers.BatchNormalization(dtype="float64"),
                layers.Dense(2, dtype="float64"),
            ]
        )
        apply, params, state = nacre.lift(model)
        x = np.random.default_rng(1).standard_normal((7, 4))

        def loss(params):
            outputs = apply(params, state, x, training=True, key=jax.random.key(0))[0]
            return jnp.sum(jnp.sin(outputs))

        gradients = jax.grad(loss)(params)
        for path, value in params.items():
            direction = np.random.default_rng(2).standard_normal(value.shape)
            step = 1e-6
            ahead = loss({**params, path: value + step * direction})
            behind = loss({**params, path: value - step * direction})
            slope = float(jnp.vdot(gradients[path], direction))
            assert slope == pytest.approx(float(ahead - behind) / (2 * step), rel=1e-6, abs=1e-8)


def test_vmap_runs_a_stack_of_models_at_once(inputs):
    apply, params, state = nacre.lift(network())
    keys = jax.random.split(jax.random.key(0), 3)
    scales = jnp.array([0.5, 1.0, 2.0])

    def stacked(values):
        return jax.tree.map(lambda a: a[None] * scales.reshape((3,) + (1,) * a.ndim), values)

    def run(params, state, key):
        return apply(params, state, inputs, training=True, key=key)[:2]

    outputs, states = jax.vmap(run)(stacked(params), stacked(state), keys)
    for i in range(3):
        one = jax.tree.map(lambda a, i=i: a[i], (stacked(params), stacked(state)))
        expected, expected_state = run(*one, keys[i])
        np.testing.assert_allclose(outputs[i], expected, rtol=1e-5, atol=1e-5)
        for path, value in expected_state.items():
            np.testing.assert_allclose(states[path][i], value, rtol=1e-5, atol=1e-6)


def test_in_a_scan_the_state_is_carried(inputs):
    apply, params, state = nacre.lift(network())

    def step(state, key):
        outputs, state, _ = apply(params, state, inputs, training=True, key=key)
        return state, outputs

    keys = jax.random.split(jax.random.key(0), 4)
    final, outputs = jax.lax.scan(step, state, keys)
    expected = state
    for i, key in enumerate(keys):
        expected, y = step(expected, key)
        np.testing.assert_allclose(outputs[i], y, rtol=1e-5, atol=1e-6)
    for path, value in expected.items():
        np.testing.assert_allclose(final[path], value, rtol=1e-5, atol=1e-6)


def test_sharded_over_two_devices(inputs):
    apply, params, state = nacre.lift(network())
    mesh = Mesh(np.array(jax.devices()[:2]), ("data",))
    batch = jax.device_put(inputs, NamedSharding(mesh, PartitionSpec("data")))
    everywhere = NamedSharding(mesh, PartitionSpec())
    params_, state_ = jax.device_put((params, state), everywhere)
    key = jax.random.key(1)
    run = jax.jit(lambda p, s, x: apply(p, s, x, training=True, key=key)[:2])
    outputs, new_state = run(params_, state_, batch)
    assert len(outputs.sharding.device_set) == 2
    expected, expected_state = run(params, state, inputs)
    np.testing.assert_allclose(outputs, expected, rtol=1e-5, atol=1e-5)
    for path, value in expected_state.items():  # the statistics of the whole batch, not a half
        np.testing.assert_allclose(new_state[path], value, rtol=1e-5, atol=1e-6)


def test_a_layer_in_two_models_shares_its_weights(inputs):
    shared = layers.Dense(6)
    first = nacre.Sequential([nacre.Input((6,)), shared, layers.Dense(2)])
    second = nacre.Sequential([nacre.Input((6,)), layers.Activation("tanh"), shared])
    np.testing.assert_array_equal(nacre.lift(first).params["dense/kernel"], shared.get_weights()[0])
    apply, params, state = nacre.lift(second)
    doubled = {path: 2 * value for path, value in params.items()}
    np.testing.assert_allclose(
        apply(doubled, state, inputs)[0], 2 * second(inputs), rtol=1e-5, atol=1e-6
    )
    shared.set_weights([np.zeros((6, 6)), np.ones(6)])
    np.testing.assert_array_equal(second(inputs), np.ones((10, 6)))


def test_a_layer_called_twice_in_a_model_has_one_set_of_weights(inputs):
    x = nacre.Input((6,))
    shared = layers.Dense(6)
    model = nacre.Model(x, shared(shared(x)))
    apply, params, state = nacre.lift(model)
    assert list(params) == ["dense/kernel", "dense/bias"]
    kernel, bias = model.get_weights()
    twice = (inputs @ kernel + bias[None]) @ kernel + bias[None]
    np.testing.assert_allclose(apply(params, state, inputs)[0], twice, rtol=1e-5, atol=1e-6)


def test_a_frozen_batch_norm_runs_in_inference_mode(inputs):
    model = network()
    model.layers[1].trainable = False
    apply, params, state = nacre.lift(model)
    _, new_state, _ = apply(params, state, inputs, training=True, key=jax.random.key(0))
    for path in state:
        np.testing.assert_array_equal(new_state[path], state[path])


def test_dropout_depends_on_the_key_and_the_path_alone(inputs):
    def build(extra):
        stack = [nacre.Input((6,)), *extra, layers.Dropout(0.5, name="drop")]
        return nacre.Sequential(stack)

    key = jax.random.key(7)
    plain = nacre.lift(build([]))
    longer = nacre.lift(build([layers.Dropout(0.0), layers.Activation("linear")]))
    one = plain.apply({}, {}, inputs, training=True, key=key)[0]
    two = longer.apply({}, {}, inputs, training=True, key=key)[0]
    np.testing.assert_array_equal(one, two)
    other = plain.apply({}, {}, inputs, training=True, key=jax.random.key(8))[0]
    assert not np.array_equal(one, other)


def test_regularizers_of_trainable_weights_are_among_the_losses(inputs):
    model = nacre.Sequential(
        [nacre.Input((6,)), layers.Dense(2, kernel_regularizer="l2", activity_regularizer="l1")]
    )
    apply, params, state = nacre.lift(model)
    outputs, _, losses = apply(params, state, inputs)
    expected = 0.01 * float(jnp.sum(jnp.abs(outputs))) / 10
    expected += 0.01 * float(jnp.sum(jnp.square(params["dense/kernel"])))
    assert float(sum(losses)) == pytest.approx(expected, rel=1e-5)
    model.trainable = False
    assert len(nacre.lift(model).apply(params, state, inputs)[2]) == 1


class StateInScan(layers.Layer):
    def call(self, x):
        total = self.state("total", ())

        def step(carry, row):
            total.assign(total.value + jnp.sum(row))
            return carry, row

        return jax.lax.scan(step, 0.0, x)[1]


class KeyInCond(layers.Layer):
    def call(self, x):
        noise = lambda: jax.random.normal(self.key(), x.shape)  # noqa: E731
        return jax.lax.cond(jnp.sum(x) > 0, noise, lambda: x)


@pytest.mark.parametrize(
    ("layer", "what"), [(StateInScan(), "state 'total'"), (KeyInCond(), "random key")]
)
def test_state_and_keys_inside_a_transformation_of_ones_own_are_refused(layer, what, inputs):
    model = nacre.Sequential([nacre.Input((6,)), layer])
    apply, params, state = nacre.lift(model)
    with pytest.raises(PurityError, match=what) as caught:
        apply(params, state, inputs, training=True, key=jax.random.key(0))
    assert "Fix: read them before the transformation" in str(caught.value)


def test_a_state_update_under_a_users_own_grad_is_refused(inputs):
    model = network()
    with pytest.raises(PurityError, match=r"nacre\.lift"):
        jax.grad(lambda x: jnp.sum(model(x, training=True)))(inputs)
    assert not any(isinstance(v.value, jax.core.Tracer) for v in model.weights)
    jax.grad(lambda x: jnp.sum(model(x)))(inputs)  # without training there is nothing to leak


def test_randomness_without_a_key_is_refused(inputs):
    apply, params, state = nacre.lift(network())
    with pytest.raises(PurityError, match="Dropout 'dropout' asked for a random key"):
        apply(params, state, inputs, training=True)


def test_a_model_without_weights_cannot_be_lifted():
    with pytest.raises(BuildError, match=r"Input\(shape"):
        nacre.lift(nacre.Sequential([layers.Dense(3)]))


def test_a_layer_shared_by_inputs_of_two_sizes_is_refused():
    shared = layers.Dense(3, name="shared")
    shared(nacre.Input((4,)))
    with pytest.raises(ShapeError, match=r"'shared' was built for inputs of another size"):
        shared(nacre.Input((5,)))


def test_initial_values_depend_on_the_seed_and_the_path_alone():
    def build(width):
        nacre.set_seed(5)
        try:
            return nacre.Sequential(
                [nacre.Input((6,)), layers.Dense(width), layers.Dense(6), layers.Dense(4)]
            )
        finally:
            nacre.set_seed(None)

    one, two = build(6), build(6)
    for a, b in zip(one.get_weights(), two.get_weights()):
        np.testing.assert_array_equal(a, b)
    three = build(9)
    np.testing.assert_array_equal(one.get_weights()[4], three.get_weights()[4])
    assert not np.array_equal(one.get_weights()[0], one.get_weights()[2])


def test_layers_in_lists_and_dictionaries_are_found(inputs):
    class Block(layers.Layer):
        def __init__(self):
            super().__init__()
            self.first = layers.Dense(6)
            self.more = [layers.Dense(6), layers.Dense(6)]
            self.heads = {"a": layers.Dense(2), "b": (layers.Dense(3),)}

        def call(self, x):
            x = self.first(x)
            for layer in self.more:
                x = layer(x)
            return self.heads["a"](x), self.heads["b"][0](x)

    block = Block()
    a, b = block(inputs)
    assert (a.shape, b.shape) == ((10, 2), (10, 3))
    kernels = [path for path in variables_of(block) if path.endswith("kernel")]
    assert kernels == [
        "first/kernel",
        "more/0/kernel",
        "more/1/kernel",
        "heads/a/kernel",
        "heads/b/0/kernel",
    ]


def test_the_keras_way_of_writing_a_layer(inputs):
    class Scale(layers.Layer):
        def __init__(self, factor=2.0, **options):
            super().__init__(**options)
            self.factor = factor

        def build(self, input_shape):
            self.gain = self.add_weight(shape=(input_shape[-1],), initializer="ones")
            self.seen = self.add_weight(shape=(), initializer="zeros", trainable=False, name="seen")
            self.table = jnp.arange(input_shape[-1], dtype=jnp.float32)

        def call(self, x, training=False):
            if training:
                self.seen.assign(self.seen + 1.0)
            return x * self.gain[None] * self.factor + self.table[None]

    layer = Scale()
    expected = 2 * inputs + jnp.arange(6, dtype=jnp.float32)[None]
    np.testing.assert_allclose(layer(inputs, training=True), expected, rtol=1e-6)
    assert list(variables_of(layer)) == ["gain", "seen"]
    assert float(layer.seen.value) == 1.0
    assert [v.name for v in layer.trainable_weights] == ["gain"]
    assert layer.get_config() == {}
    assert Scale.from_config(Scale(3.0, name="s").get_config()).factor == 3.0
