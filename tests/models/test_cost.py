"""Operations counted from a jaxpr, against figures from papers, arithmetic and XLA's own count."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from nacre.kernels import convolution
from nacre.models.cost import Cost, count_operations, itemise, total


def array(*shape, dtype="float32"):
    return jax.ShapeDtypeStruct(shape, dtype)


def counted(function, *args):
    cost = count_operations(function, *args)
    assert not cost.uncounted
    return cost.operations


def xla_count(function, *args):
    """XLA's figure for the program as written; it keeps functions such as exp apart."""
    analysis = jax.jit(function).lower(*args).cost_analysis()
    return analysis.get("flops", 0) + analysis.get("transcendentals", 0)


def convolve(x, kernel, padding="VALID", **options):
    options.setdefault("window_strides", (1, 1))
    numbers = ("NHWC", "HWIO", "NHWC")
    return jax.lax.conv_general_dilated(
        x, kernel, padding=padding, dimension_numbers=numbers, **options
    )


# Figures from arithmetic


def test_a_dense_layer():
    def dense(x, w, b):
        return jax.nn.relu(x @ w + b)

    args = array(1, 784), array(784, 512), array(1, 512)
    assert counted(dense, *args) == 2 * 784 * 512 + 512 + 512


@given(st.lists(st.integers(1, 6), min_size=4, max_size=4))
@settings(max_examples=20, deadline=None)
def test_batched_matrix_products(sizes):
    b, m, k, n = sizes
    assert counted(jnp.matmul, array(b, m, k), array(b, k, n)) == 2 * b * m * k * n
    assert counted(jnp.matmul, array(b, m, k), array(k, n)) == 2 * b * m * k * n
    assert counted(
        lambda x, y: jnp.einsum("bik,jbk->ij", x, y), array(b, m, k), array(n, b, k)
    ) == (2 * b * m * k * n)


def test_padding_is_counted_as_in_the_papers():
    kernel = array(3, 3, 16, 32)
    assert counted(lambda x, w: convolve(x, w, "SAME"), array(1, 10, 10, 16), kernel) == (
        2 * 10 * 10 * 32 * 3 * 3 * 16
    )


def test_the_zeros_of_a_transposed_convolution_are_not_counted():
    # Each of 7*7*8 inputs is multiplied with a 2x2 kernel for each of 16 outputs.
    cost = counted(
        lambda x, w: jax.lax.conv_transpose(x, w, (2, 2), "VALID"),
        array(1, 7, 7, 8),
        array(2, 2, 8, 16),
    )
    assert cost == 2 * 7 * 7 * 8 * 2 * 2 * 16


def test_the_convolution_s_gradients_cost_as_much_as_itself():
    x, w = array(4, 9, 9, 3), array(3, 3, 3, 5)
    forward = counted(convolve, x, w)
    pullback = counted(
        lambda x, w: jax.vjp(convolve, x, w)[1](jnp.ones((4, 7, 7, 5), "float32")), x, w
    )
    kernel_gradient = pullback - forward - 2 * 4 * 9 * 9 * 3 * 3 * 3 * 5  # the input's is padded
    assert kernel_gradient == forward


def test_vgg16_takes_15_47_billion_multiply_adds():
    # The figure for a picture of 224 x 224 that the field quotes, e.g. torchvision's model table.
    def vgg16(x, kernels, matrices):
        for block in kernels:
            for kernel in block:
                x = convolve(x, kernel, "SAME")
            x = x[:, ::2, ::2]
        x = x.reshape(1, -1)
        for matrix in matrices:
            x = x @ matrix
        return x

    channels, kernels = 3, []
    for depth, width in [(2, 64), (2, 128), (3, 256), (3, 512), (3, 512)]:
        block = []
        for _ in range(depth):
            block.append(array(3, 3, channels, width))
            channels = width
        kernels.append(block)
    matrices = [array(7 * 7 * 512, 4096), array(4096, 4096), array(4096, 1000)]
    cost = counted(vgg16, array(1, 224, 224, 3), kernels, matrices)
    assert cost == 2 * 15_470_264_320


def test_a_recurrent_layer_is_counted_for_every_step():
    steps, inputs, units = 7, 5, 3

    def lstm(xs, kernel, recurrent, bias):
        def step(carry, x):
            h, c = carry
            i, f, g, o = jnp.split(x @ kernel + h @ recurrent + bias, 4)
            c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
            h = jax.nn.sigmoid(o) * jnp.tanh(c)
            return (h, c), None

        zeros = jnp.zeros(units, "float32")
        return jax.lax.scan(step, (zeros, zeros), xs)[0][0]

    cost = counted(
        lstm,
        array(steps, inputs),
        array(inputs, 4 * units),
        array(units, 4 * units),
        array(4 * units),
    )
    affine = 2 * (inputs + units) * 4 * units + 2 * 4 * units
    gates = 9 * units  # three sigmoids, two tanh, three products, one sum
    assert cost == steps * (affine + gates)


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (lambda x: x**5, 3 * 12),
        (lambda x: x**-1, 12),
        (lambda x: jnp.clip(x, 0.0, 1.0), 2 * 12),
        (lambda x: jnp.cumsum(x, axis=1), 3 * 3),
        (lambda x: jnp.argmax(x, axis=1), 3 * 3),
        (lambda x: jnp.fft.fft(x), 3 * 5 * 4 * 2),
        (lambda x: jnp.fft.rfft(x), 3 * 5 * 4 * 2 // 2),
        (lambda x: jnp.sort(x, axis=1), 12 * 2),
        (lambda x: jnp.zeros(5, "float32").at[jnp.array([0, 0, 1])].add(x[:, 0]), 3),
        (lambda x: jax.lax.reduce(x, np.float32(0), lambda a, b: a * b + 1, (0,)), 2 * (12 - 4)),
    ],
)
def test_smaller_conventions(function, expected):
    assert counted(function, array(3, 4)) == expected


def test_integers_and_moves_take_nothing():
    assert counted(lambda i: (i * 2 + 1) // 3, array(10, dtype="int32")) == 0
    assert counted(lambda x: x.T.reshape(-1)[::2].astype("bfloat16"), array(4, 6)) == 0
    assert counted(lambda i, x: jnp.take(x, i, axis=0), array(3, dtype="int32"), array(9, 4)) == 0


# Calls, loops and branches


@jax.custom_jvp
def doubled(x):
    return x * 2.0


@jax.custom_vjp
def tripled(x):
    return x * 3.0


doubled.defjvp(lambda primals, tangents: (doubled(*primals), tangents[0] * 2.0))
tripled.defvjp(lambda x: (tripled(x), None), lambda _, g: (g * 3.0,))


@pytest.mark.parametrize("call", [doubled, tripled, jax.jit(doubled), jax.checkpoint(tripled)])
def test_called_functions_are_gone_into(call):
    assert counted(call, array(6)) == 6
    assert counted(lambda x: jax.vmap(call)(x), array(2, 6)) == 12


def test_a_loop_of_known_length_is_multiplied():
    assert counted(lambda x: jax.lax.fori_loop(0, 9, lambda _, c: c * 2, x), array(5)) == 45

    def nested(x):
        inner = lambda c, _: (c * 2, None)  # noqa: E731
        return jax.lax.scan(lambda c, _: jax.lax.scan(inner, c, length=3), x, length=4)[0]

    assert counted(nested, array(5)) == 3 * 4 * 5


def test_a_loop_of_unknown_length_counts_once_and_says_so():
    cost = count_operations(
        lambda x: jax.lax.while_loop(lambda c: c[0] < 1, lambda c: c * 2, x), array(5)
    )
    assert cost == Cost(1 + 5, frozenset({"while loop"}))


def test_a_loop_over_integers_is_nothing_to_be_unsure_about():
    assert counted(lambda i: jax.lax.while_loop(lambda c: c < 9, lambda c: c + 1, i), 0) == 0


def test_a_branch_costs_as_much_as_the_most_expensive_one():
    def branch(flag, x):
        return jax.lax.cond(flag, lambda x: x * 2, lambda x: jnp.tanh(x * 2) + 1, x)

    assert counted(branch, array(dtype="bool"), array(5)) == 15


def test_what_cannot_be_counted_is_named():
    cost = count_operations(lambda x: jnp.linalg.cholesky(x) * 2, array(4, 4))
    assert cost.operations >= 16
    assert "cholesky" in cost.uncounted
    callback = count_operations(lambda x: jax.pure_callback(np.sin, array(4), x) + 1, array(4))
    assert callback == Cost(4, frozenset({"pure_callback"}))


def test_each_item_says_where_it_stands():
    def function(x):
        with jax.named_scope("first"):
            x = jax.jit(doubled)(x)
        with jax.named_scope("second"):
            return jax.lax.scan(lambda c, _: (c + 1, None), x, length=3)[0]

    items = list(itemise(jax.make_jaxpr(function)(array(5))))
    assert total([item for item in items if item.where.startswith("first")]).operations == 5
    assert total([item for item in items if item.where.startswith("second")]).operations == 15


# Against XLA, which counts what these functions are lowered to in the same way


@pytest.mark.parametrize(
    "function",
    [
        jnp.abs,
        jnp.tanh,
        jnp.exp,
        jnp.sqrt,
        jax.lax.rsqrt,
        jnp.negative,
        lambda x: x + x,
        lambda x: x / 2.0,
        lambda x: jnp.maximum(x, 0.0),
        lambda x: jnp.sum(x, axis=1),
        lambda x: jnp.max(x, axis=0),
        lambda x: jnp.mean(x),
        jax.nn.softmax,
        jax.nn.relu,
        lambda x: jax.lax.reduce_window(x, 0.0, jax.lax.add, (2, 2), (2, 2), "VALID"),
        lambda x: jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, (3, 2), (1, 1), "VALID"),
    ],
)
def test_elementwise_and_reductions_as_xla_counts_them(function):
    x = array(6, 8)
    assert counted(function, x) == xla_count(function, x)


@given(data=st.data())
@settings(max_examples=15, deadline=None)
def test_convolutions_without_padding_as_xla_counts_them(data):
    draw = data.draw
    groups = draw(st.sampled_from([1, 2, 4]))
    kernel = draw(st.tuples(st.integers(1, 3), st.integers(1, 3)))
    options = {
        "window_strides": draw(st.tuples(st.integers(1, 3), st.integers(1, 3))),
        "rhs_dilation": draw(st.tuples(st.integers(1, 2), st.integers(1, 2))),
        "feature_group_count": groups,
    }
    x = array(draw(st.integers(1, 3)), 9, 8, 4)
    w = array(*kernel, 4 // groups, 4 * draw(st.integers(1, 2)))

    def function(x, w):
        return convolve(x, w, **options)

    assert counted(function, x, w) == xla_count(function, x, w)


FUNCTIONS_OF_NUMPY = """
    abs arccos arccosh arcsin arcsinh arctan arctanh cbrt ceil cos cosh exp exp2 expm1 floor i0 log
    log10 log1p log2 negative reciprocal rint sign sin sinh sqrt square tan tanh trunc isfinite
    isnan isinf nan_to_num ptp std var median flip ravel diff unwrap nansum nanmean cumprod argsort
"""


@pytest.mark.parametrize("name", FUNCTIONS_OF_NUMPY.split())
def test_no_function_of_numpy_is_left_out(name):
    counted(getattr(jnp, name), array(3, 4))


@pytest.mark.parametrize(
    "function",
    [
        jax.nn.gelu,
        jax.nn.silu,
        jax.nn.softplus,
        jax.nn.elu,
        jax.nn.log_softmax,
        jax.nn.logsumexp,
        jax.nn.standardize,
        jax.scipy.special.erf,
        jax.scipy.special.gammaln,
        jax.lax.cumlogsumexp,
        lambda x: jax.lax.top_k(x, 2),
        lambda x: jax.random.normal(jax.random.key(0), x.shape) + x,
        lambda x: jax.random.bernoulli(jax.random.key(0), 0.5, x.shape) * x,
        lambda x: jax.image.resize(x, (6, 8), "bilinear"),
        lambda x: jnp.pad(x, 1, mode="reflect"),
        jax.grad(lambda x: jnp.sum(jax.nn.softmax(x) ** 2)),
    ],
)
def test_no_common_function_is_left_out(function):
    with jax.numpy_dtype_promotion("standard"):
        assert counted(function, array(3, 4)) >= 0


def test_the_count_of_a_power_is_that_of_repeated_squaring():
    for power in range(1, 40):
        squarings = math.floor(math.log2(power))
        ones = bin(power).count("1")
        assert (
            counted(lambda x, p=power: jax.lax.integer_pow(x, p), array()) == squarings + ones - 1
        )


def test_the_kernels_own_convolution_counts_in_every_direction():
    x, kernel = jnp.ones((2, 9, 8, 4)), jnp.ones((3, 3, 2, 6))

    def convolve(x, kernel):
        return convolution(x, kernel, strides=2, padding="same", groups=2)

    outputs = 2 * 5 * 4 * 6
    once = 2 * outputs * 3 * 3 * 2
    assert counted(convolve, x, kernel) == once
    for argument in (0, 1):
        gradient = jax.grad(lambda *both: convolve(*both).sum(), argument)
        assert counted(gradient, x, kernel) == pytest.approx(2 * once, rel=0.05)
