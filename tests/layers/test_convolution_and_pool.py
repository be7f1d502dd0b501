"""A convolution and the pool that alone reads it are computed at once; else each by itself."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import nacre
from nacre import layers
from nacre.core.scope import Scope
from nacre.kernels import in_use

native = pytest.mark.skipif(in_use()["name"] != "native", reason="there are no native kernels")
X = np.random.default_rng(0).normal(size=(2, 9, 9, 3)).astype(np.float32)


def convolution(**options):
    return layers.Conv2D(8, 3, activation="relu", **options)


def sequential(*stack):
    return nacre.Sequential([nacre.Input((9, 9, 3)), *stack])


def functional(connect):
    x = nacre.Input((9, 9, 3))
    return nacre.Model(x, connect(x))


def pooled_apart(model, x):
    """The same without compiling, where nothing is computed at once."""
    return jax.tree.leaves(model(x))


def calls(model, gradient=False, x=X):
    """How many convolutions alone, and how many with a pool, the compiled model computes."""
    apply, params, state = nacre.lift(model)

    def outputs(params):
        return jax.tree.leaves(apply(params, state, x)[0])

    def loss(params):
        return sum(jnp.sum(y**2) for y in outputs(params))

    compiled = jax.jit(jax.grad(loss) if gradient else outputs).lower(params).compile()
    if not gradient:
        for y, expected in zip(compiled(params), pooled_apart(model, x), strict=True):
            np.testing.assert_allclose(y, expected, rtol=1e-5, atol=1e-5)
    text = compiled.as_text()
    return tuple(
        text.count(f'"{name}"') for name in ("nacre_convolution", "nacre_convolution_pool")
    )


@native
@pytest.mark.parametrize("gradient", [False, True])
def test_a_pool_that_reads_alone_takes_the_convolution_with_it(gradient):
    assert calls(sequential(convolution(), layers.MaxPooling2D()), gradient) == (0, 1)
    separable = layers.SeparableConv2D(8, 3, padding="same")
    assert calls(sequential(separable, layers.MaxPooling2D(3)), gradient)[1] == 1
    model = functional(lambda x: layers.MaxPooling2D(padding="same")(convolution()(x)))
    assert calls(model, gradient) == (0, 1)
    inner = nacre.Sequential([convolution(), layers.MaxPooling2D(), layers.Conv2D(3, 1)])
    assert calls(sequential(inner), gradient) == (1, 1)


class Doubling(layers.Conv2D):
    def call(self, x):
        y = super().call(x)
        self.add_loss(jnp.mean(y))
        return y


class Beside(layers.MaxPooling2D):
    def call(self, x):
        return super().call(x) + jnp.mean(x)


class Subclassed(nacre.Model):
    def __init__(self):
        super().__init__()
        self.convolution, self.pool = convolution(), layers.MaxPooling2D()

    def call(self, x):
        y = self.convolution(x)
        return self.pool(y), y


def read_twice(x):
    y = convolution()(x)
    return [layers.MaxPooling2D()(y), layers.GlobalAveragePooling2D()(y)]


def read_by_the_caller(x):
    y = convolution()(x)
    return [layers.MaxPooling2D()(y), y]


def read_inside_a_model(x):
    image = nacre.Input((7, 7, 8))
    inner = nacre.Model(image, [layers.MaxPooling2D()(image), layers.GlobalMaxPooling2D()(image)])
    return inner(convolution()(x))


def read_after_a_layer_that_changes_nothing(x):
    y = layers.Dropout(0.5)(convolution()(x))
    return [layers.MaxPooling2D()(y), layers.GlobalMaxPooling2D()(y)]


@native
@pytest.mark.parametrize(
    "model",
    [
        functional(read_twice),
        functional(read_by_the_caller),
        functional(read_inside_a_model),
        functional(read_after_a_layer_that_changes_nothing),
        sequential(convolution(activity_regularizer="l2"), layers.MaxPooling2D()),
        sequential(Doubling(8, 3), layers.MaxPooling2D()),
        sequential(convolution(), Beside()),
        sequential(convolution(), layers.MaxPooling2D(3, strides=2)),
        sequential(convolution(), layers.AveragePooling2D()),
        sequential(convolution(), layers.Dropout(0.5), layers.MaxPooling2D()),
        sequential(convolution(), layers.MaxPooling2D(data_format="channels_first")),
    ],
)
def test_nothing_is_computed_twice(model):
    assert calls(model) == (1, 0)


@native
def test_a_model_that_calls_its_layers_itself_computes_them_apart():
    model = Subclassed()
    model(X)
    assert calls(model) == (1, 0)


@native
def test_only_compiled_programs_that_nobody_looks_into(monkeypatch):
    model = sequential(convolution(), layers.MaxPooling2D())
    made = []
    monkeypatch.setattr(
        layers.convolution, "convolution_max_pool", lambda *a, **k: made.append(a), raising=True
    )
    model(X)
    apply, params, state = nacre.lift(model)
    jax.grad(lambda p: jnp.sum(apply(p, state, X)[0]))(params)  # not compiled
    model.summary()
    assert not made

    class Probe:
        def enter(self, callee, args):
            return args

        def leave(self, callee, outputs):
            return outputs

    def probed(x):
        with Scope() as scope:
            scope.probe = Probe()
            return model(x)

    jax.jit(probed)(X)
    assert not made
    jax.jit(lambda p: apply(p, state, X)[0])(params)
    assert len(made) == 1


def test_in_mixed_precision_and_training():
    model = nacre.Sequential(
        [
            nacre.Input((9, 9, 3)),
            convolution(dtype="mixed_bfloat16"),
            layers.MaxPooling2D(dtype="mixed_bfloat16"),
            layers.Flatten(),
            layers.Dense(2),
        ]
    )
    assert calls(model)[1] == 1
    model.compile("sgd", "mse")
    model.fit(X, np.zeros((2, 2)), epochs=1, verbose=0)
