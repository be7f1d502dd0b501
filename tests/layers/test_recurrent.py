"""Recurrent layers: states, masks, dropout, configurations, and what their errors say."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nacre.core.errors import ArgumentError, ShapeError
from nacre.core.lift import lift
from nacre.core.scope import mask_of
from nacre.layers.embedding import Embedding
from nacre.layers.input import Input
from nacre.layers.recurrent import GRU, LSTM, SimpleRNN
from nacre.models.sequential import Sequential

each_kind = pytest.mark.parametrize("kind", [SimpleRNN, GRU, LSTM])
STATES = {SimpleRNN: 1, GRU: 1, LSTM: 2}


def sequence(*shape, seed=0):
    return jnp.asarray(np.random.default_rng([seed, *shape]).normal(size=shape).astype(np.float32))


@each_kind
def test_what_is_returned(kind):
    x = sequence(2, 5, 3)
    everything = kind(4, return_sequences=True, return_state=True)
    outputs, *states = everything(x)
    assert outputs.shape == (2, 5, 4) and [s.shape for s in states] == [(2, 4)] * STATES[kind]
    np.testing.assert_array_equal(outputs[:, -1], states[0])
    last = kind(4)
    last(x)
    last.set_weights(everything.get_weights())
    np.testing.assert_array_equal(last(x), states[0])
    assert kind(4, return_sequences=True)(Input((None, 3))).shape == (None, None, 4)
    assert [t.shape for t in kind(4, return_state=True)(Input((5, 3)))] == [(None, 4)] * (
        1 + STATES[kind]
    )


@each_kind
def test_a_layer_from_its_configuration_computes_the_same(kind):
    layer = kind(4, activation="relu", return_sequences=True, go_backwards=True)
    x = sequence(2, 5, 3)
    y = layer(x)
    copy = kind.from_config(layer.get_config())
    copy(x)
    copy.set_weights(layer.get_weights())
    np.testing.assert_array_equal(copy(x), y)


@each_kind
def test_a_sequence_in_two_parts_goes_on_from_the_state(kind):
    x = sequence(2, 6, 3)
    layer = kind(4, return_sequences=True, return_state=True)
    whole, *_ = layer(x)
    first, *states = layer(x[:, :2])
    second, *_ = layer(x[:, 2:], initial_state=states)
    np.testing.assert_allclose(jnp.concatenate([first, second], axis=1), whole, rtol=1e-5)


@each_kind
def test_a_stateful_layer_remembers_until_it_is_reset(kind):
    x = sequence(2, 6, 3)
    plain, stateful = kind(4), kind(4, stateful=True)
    whole = plain(x)
    stateful(x)
    stateful.set_weights([*plain.get_weights(), *[np.zeros((2, 4))] * STATES[kind]])
    stateful(x[:, :2])
    np.testing.assert_allclose(stateful(x[:, 2:]), whole, rtol=1e-5)
    stateful.reset_state()
    np.testing.assert_allclose(stateful(x), whole, rtol=1e-5)
    with pytest.raises(ShapeError, match=r"stateful(.|\n)*batch of 3(.|\n)*batch_size="):
        stateful(sequence(3, 6, 3))


@each_kind
def test_masked_steps_are_skipped_and_the_mask_goes_on(kind):
    words = np.array([[3, 1, 0, 0], [2, 1, 4, 3]])
    layers = [Embedding(5, 3, mask_zero=True), kind(4, return_sequences=True), kind(2)]
    model = Sequential([Input((None,), dtype="int32"), *layers])
    y = model(words)
    np.testing.assert_allclose(y[:1], model(words[:1, :2]), rtol=1e-5, atol=1e-8)


def test_the_mask_of_a_sequence_is_kept_only_with_the_sequence():
    x, mask = sequence(2, 3, 2), jnp.array([[True, True, False], [False, True, True]])
    seen = []

    class Looking(GRU):
        def call(self, x, initial_state=None, mask=None):
            y = super().call(x, initial_state, mask)
            seen.append(mask_of(y))
            return y

    Looking(2, return_sequences=True)(x, mask=mask)
    np.testing.assert_array_equal(seen[-1], mask)
    Looking(2, return_sequences=True, go_backwards=True)(x, mask=mask)
    np.testing.assert_array_equal(seen[-1], mask[:, ::-1])
    Looking(2)(x, mask=mask)
    assert seen[-1] is None


@each_kind
def test_dropout_acts_in_training_only_with_one_draw_for_all_steps(kind):
    x = jnp.ones((64, 5, 3))
    layer = kind(4, dropout=0.5, recurrent_dropout=0.25, kernel_initializer="ones")
    layer(x)
    apply, params, state = lift(layer)
    run = jax.jit(apply, static_argnames="training")
    calm = run(params, state, x)[0]
    np.testing.assert_array_equal(calm, kind.call(layer, x))
    one, same, other = (
        run(params, state, x, training=True, key=jax.random.key(seed))[0] for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(one, same)
    assert np.any(one != other) and np.any(one != calm)


def test_dropped_inputs_stay_dropped_and_the_others_are_scaled():
    layer = SimpleRNN(
        1, "linear", kernel_initializer="ones", recurrent_initializer="zeros", dropout=0.5,
        return_sequences=True,
    )  # fmt: skip
    x = jnp.ones((200, 4, 1))
    layer(x)
    apply, params, state = lift(layer)
    y = np.asarray(apply(params, state, x, training=True, key=jax.random.key(0))[0])[..., 0]
    assert np.all(y == y[:, :1]) and set(np.unique(y)) == {0, 2}
    assert 0.35 < np.mean(y == 0) < 0.65


@each_kind
def test_it_trains_under_vmap_and_leaves_no_tracer_behind(kind):
    layer = kind(4)
    x = sequence(2, 5, 3)
    layer(Input((5, 3)))
    apply, params, state = lift(layer)
    stacked = jax.tree.map(lambda p: jnp.stack([p, 2 * p]), params)

    def gradient(params):
        return jax.grad(lambda p: jnp.sum(apply(p, state, x)[0] ** 2))(params)

    with jax.checking_leaks():
        mapped = jax.jit(jax.vmap(gradient))(stacked)
    alone = jax.jit(gradient)(jax.tree.map(lambda p: 2 * p, params))
    for path, expected in alone.items():
        np.testing.assert_allclose(mapped[path][1], expected, rtol=1e-4, atol=1e-6)
        assert np.any(expected != 0)


def test_a_16_bit_policy_keeps_its_weights_in_32():
    layer = LSTM(4, dtype="mixed_bfloat16", return_state=True)
    assert {y.dtype for y in layer(sequence(2, 5, 3))} == {jnp.dtype("bfloat16")}
    assert {w.dtype for w in layer.get_weights()} == {np.dtype("float32")}


@each_kind
def test_a_forgotten_return_sequences_is_explained(kind):
    with pytest.raises(ShapeError, match=rf"{kind.__name__}(.|\n)*return_sequences=True"):
        Sequential([Input((5, 3)), kind(4), kind(4)])


def test_errors_name_the_layer_and_the_fix():
    x = sequence(2, 5, 3)
    with pytest.raises(ShapeError, match=r"initial state(.|\n)*h \(2, 4\) and c \(2, 4\)"):
        LSTM(4)(x, initial_state=sequence(2, 4))
    with pytest.raises(ShapeError, match=r"initial state(.|\n)*\(2, 3\)(.|\n)*initial_state=\[h\]"):
        GRU(4)(x, initial_state=sequence(2, 3))
    with pytest.raises(ArgumentError, match="LSTM: dropout must be a fraction"):
        LSTM(4, dropout=1.5)
    with pytest.raises(ArgumentError, match="GRU: units must be a positive whole number"):
        GRU(0)
