"""Operations that Keras is no oracle for: PyTorch, NumPy, finite differences and papers are."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

from nacre import Variable, ops

rng = np.random.default_rng(3)


def reals(*shape):
    return rng.normal(size=shape).astype("float32")


def close(ours, theirs):
    np.testing.assert_allclose(np.asarray(ours), np.asarray(theirs), 1e-5, 2e-6)


@pytest.mark.parametrize("size", [1, 2, 3, 5])
@pytest.mark.parametrize("kind", ["max", "average"])
def test_adaptive_pooling(kind, size):
    x = reals(2, 7, 6, 3)
    name = {"max": "adaptive_max_pool2d", "average": "adaptive_avg_pool2d"}[kind]
    expected = getattr(torch.nn.functional, name)(torch.tensor(x).permute(0, 3, 1, 2), size)
    close(getattr(ops, f"adaptive_{kind}_pool")(x, size), expected.permute(0, 2, 3, 1))


def test_pooling_steps_by_its_own_size():
    x = reals(2, 7, 6, 3)
    channels_first = torch.tensor(x).permute(0, 3, 1, 2)
    expected = torch.nn.functional.max_pool2d(channels_first, 2)
    close(ops.max_pool(x, 2), expected.permute(0, 2, 3, 1))
    close(ops.max_pool(np.asarray(channels_first), 2, data_format="channels_first"), expected)
    assert ops.max_pool(np.arange(4).reshape(1, 4, 1), 2).ravel().tolist() == [1, 3]


def test_channels_first_is_the_same_convolution():
    x, kernel = reals(2, 5, 6, 3), reals(3, 3, 3, 4)
    for function, weights in (
        (ops.conv, (kernel,)),
        (ops.conv_transpose, (reals(3, 3, 4, 3),)),
        (ops.depthwise_conv, (reals(3, 3, 3, 2),)),
        (ops.separable_conv, (reals(3, 3, 3, 2), reals(1, 1, 6, 4))),
    ):
        last = function(x, *weights, strides=2)
        first = function(x.transpose(0, 3, 1, 2), *weights, strides=2, data_format="channels_first")
        close(jnp.moveaxis(first, 1, -1), last)


OWN_WINDOW = rng.uniform(0.5, 1, 8).astype("float32")


@pytest.mark.parametrize(
    "ours, theirs",
    # Without a window the whole frame counts.
    [
        ("hann", torch.hann_window(8)),
        (None, torch.ones(16)),
        (OWN_WINDOW, torch.tensor(OWN_WINDOW)),
    ],
    ids=["hann", "none", "own"],
)
@pytest.mark.parametrize("center", [True, False])
def test_short_time_fourier_transform(ours, theirs, center):
    x = reals(2, 40)
    expected = torch.stft(
        torch.tensor(x), 16, 4, len(theirs), theirs, center, return_complex=True
    ).transpose(1, 2)
    real, imaginary = ops.stft(x, 8, 4, 16, ours, center)
    close(real, expected.real)
    close(imaginary, expected.imag)


@pytest.mark.parametrize("window", ["hann", "hamming", None])
def test_the_inverse_of_the_short_time_transform(window):
    x = reals(2, 40)
    frames = ops.stft(x, 8, 4, 8, window)
    close(ops.istft(frames, 8, 4, 8, window=window), x)
    close(ops.istft(frames, 8, 4, 8, length=30, window=window), x[:, :30])


def test_sparsemax_is_the_projection_on_the_simplex():
    x = reals(6, 5) * 2
    p = np.asarray(ops.sparsemax(x))
    assert (p >= 0).all()
    np.testing.assert_allclose(p.sum(axis=-1), 1, 1e-6)
    # At the projection, moving towards any corner of the simplex does not bring p nearer to x.
    corners = np.eye(5)[None] - p[:, None]
    assert (np.einsum("bi,bki->bk", x - p, corners) <= 1e-5).all()
    close(ops.sparsemax(x.T, axis=0), p.T)


def test_counting_the_rows_of_a_matrix_apart():
    x = np.array([[0, 1, 1], [3, 3, 0]])
    assert ops.bincount(x).tolist() == [[1, 2, 0, 0], [1, 0, 0, 2]]
    weights = reals(2, 3)
    expected = [np.bincount(row, w, 4) for row, w in zip(x, weights)]
    close(ops.bincount(x, weights), expected)


def test_whole_numbers_where_keras_has_none():
    whole = np.array([[1, 2, 3]])
    for name in ("erf", "sigmoid", "silu", "log_softmax", "normalize", "layer_normalization"):
        close(getattr(ops, name)(whole), getattr(ops, name)(whole.astype("float32")))


def test_scale_and_translate():
    x = reals(1, 4, 4, 1)
    moved = jax.jit(
        lambda x: ops.image.scale_and_translate(x, x.shape, [1.0, 1.0], [1, 0], (1, 2), "linear")
    )(x)
    close(moved[:, 1:], x[:, :-1])


def test_patches_of_images_and_volumes():
    x = reals(2, 5, 6, 3)
    patches = np.asarray(ops.image.extract_patches(x, (2, 3), strides=(1, 2)))
    for row in range(patches.shape[1]):
        for column in range(patches.shape[2]):
            block = x[:, row : row + 2, 2 * column : 2 * column + 3]
            close(patches[:, row, column], block.reshape(2, -1))
    close(ops.image.extract_patches(image=x, size=(2, 3), strides=(1, 2)), patches)
    first = ops.image.extract_patches(x.transpose(0, 3, 1, 2), 2, data_format="channels_first")
    close(jnp.moveaxis(first, 1, -1), ops.image.extract_patches(x, 2))


# Gradients

DIFFERENTIABLE = {
    "divide_no_nan": lambda x: ops.divide_no_nan(x, x * 0 + 2),
    "normalize": ops.normalize,
    "sparsemax": ops.sparsemax,
    "softmax": ops.softmax,
    "layer_normalization": ops.layer_normalization,
    "batch_normalization": lambda x: ops.batch_normalization(
        x, ops.mean(x, 0), ops.var(x, 0), 1, [1.0, 2, 3, 4], [2.0, 1, 1, 3]
    ),
    "squareplus": ops.squareplus,
    "logsumexp": lambda x: ops.logsumexp(x, axis=-1),
    "resize": lambda x: ops.image.resize(ops.reshape(x, (3, 4, 1)), (5, 7), "bicubic"),
    "extract_patches": lambda x: ops.image.extract_patches(ops.reshape(x, (3, 4, 1)), 2, 1),
    "istft": lambda x: ops.istft(ops.stft(ops.reshape(x, (12,)), 4, 2, 4), 4, 2, 4),
    "adaptive": lambda x: ops.adaptive_average_pool(ops.reshape(x, (1, 12, 1)), 5),
}


@pytest.mark.parametrize("name", DIFFERENTIABLE)
def test_gradients_against_finite_differences(name):
    with jax.enable_x64(True):
        x = jnp.asarray(np.random.default_rng(1).normal(size=(3, 4)))
        shape = jax.eval_shape(DIFFERENTIABLE[name], x).shape
        weights = jnp.asarray(np.random.default_rng(2).normal(size=shape))

        @jax.jit
        def loss(x):
            return ops.sum(ops.multiply(DIFFERENTIABLE[name](x), weights))

        steps = np.eye(12).reshape(12, 3, 4) * 1e-6
        expected = jax.vmap(lambda step: (loss(x + step) - loss(x - step)) / 2e-6)(steps)
        np.testing.assert_allclose(jax.grad(loss)(x).ravel(), expected, 1e-6, 1e-7)


def test_gradients_are_finite_where_a_formula_divides_by_zero():
    gradient = jax.grad(lambda x: ops.sum(ops.divide_no_nan([1.0, 1.0], x)))(jnp.array([0.0, 2.0]))
    assert gradient.tolist() == [0, -0.25]


# Functions of functions


def test_branches():
    for value in (-1.0, 1.0):
        run = jax.jit(lambda x: ops.cond(x > 0, lambda: x * 2, lambda: x * 3))
        assert float(run(value)) == (2 * value if value > 0 else 3 * value)
    assert int(ops.switch(5, [lambda: 1, lambda: 2])) == 2


def test_loops():
    assert int(ops.while_loop(lambda i: i < 100, lambda i: i + 1, 0, maximum_iterations=7)) == 7
    i, total = ops.while_loop(lambda i, t: i < 4, lambda i, t: (i + 1, t + i), (0, 0))
    assert (int(i), int(total)) == (4, 6)
    carry, ys = ops.scan(lambda c, x: (c + x, c * x), jnp.zeros(()), jnp.arange(4.0), reverse=True)
    assert (float(carry), ys.tolist()) == (6, [0, 5, 6, 0])
    assert ops.map(lambda x: x**2, jnp.arange(3)).tolist() == [0, 1, 4]
    assert ops.vectorized_map(lambda x: x.sum(), np.ones((3, 2))).tolist() == [2, 2, 2]
    assert int(ops.fori_loop(0, 5, lambda i, x: x + i, 0)) == 10


def test_an_error_in_a_users_function_reaches_the_user():
    class Mine(TypeError):
        pass

    def body(x):
        raise Mine("here")

    with pytest.raises(Mine, match="here"):
        ops.map(body, jnp.arange(3))


def test_variables_are_arguments_like_any_other():
    v = Variable([1.0, 2.0])
    assert ops.add(v, 1).tolist() == [2, 3]
    assert ops.concatenate([v, v]).shape == (4,)
    total, _ = ops.scan(lambda c, x: (c + x, c), jnp.zeros((), "float32"), v)
    assert float(total) == 3

    @ops.custom_gradient
    def twice(x):
        return x * 2, lambda upstream: upstream * 100

    assert twice(v).tolist() == [2, 4]
    assert float(jax.grad(lambda x: twice(x))(1.0)) == 100
