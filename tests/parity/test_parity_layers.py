"""Layers against Keras on JAX, with the weights copied over, and against PyTorch.

Of each layer: what it returns, in inference and in training; the state it leaves behind; and the
gradients by its weights and inputs. Each library's layers are compiled together, which takes
seconds where one by one would take minutes.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import keras
import numpy as np
import pytest
import torch
from layer_table import CASES, Case

import nacre
from nacre import layers

QUICKLY = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}
FILES = ("dense", "embedding", "activation", "dropout", "lambda_layer", "normalization")
FILES += ("reshaping", "merging")
NAMES = {}  # the cases of the layers in these files
for case in CASES:
    cls = getattr(layers, case.layer, None)
    if cls is not None and cls.__module__.rpartition(".")[2] in FILES:
        NAMES[case.name] = case
MORE = [
    Case("BatchNormalization", {"epsilon": 0.1, "momentum": 0.5}, (16, 5), variant="steep"),
    Case("BatchNormalization", {"trainable": False}, (4, 6), variant="frozen"),
    Case("LayerNormalization", {"epsilon": 1e-6, "center": False}, (4, 3, 6), variant="epsilon"),
    Case("LayerNormalization", {"axis": 1}, (4, 3, 6), variant="inner"),
    Case("Dense", {"units": 3, "activation": "softmax"}, variant="softmax"),
    Case("Flatten", {}, (4,), variant="vector"),
    Case("Add", {}, [(4, 3)] * 3, variant="three"),
    Case("Average", {}, [(4, 3)] * 3, variant="three"),
    Case("Multiply", {}, [(4, 2, 3), (4, 1, 3)], variant="broadcast"),
    Case("Concatenate", {"axis": -2}, [(4, 2, 3), (4, 1, 3)], variant="rows"),
    Case("RepeatVector", {"n": 1}, variant="once"),
    Case("Permute", {"dims": (3, 1, 2)}, (4, 2, 3, 5), variant="images"),
]
NAMES |= {case.name: case for case in MORE}
RANDOM = ("Dropout",)


@pytest.fixture(autouse=True)
def rules_of_keras():
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        yield


def values(case: Case):
    def one(shape, seed):
        generator = np.random.default_rng([seed, *shape])
        if case.below:
            return generator.integers(0, case.below, shape).astype(np.int32)
        return generator.normal(0.3, 1.2, shape).astype(np.float32)

    if isinstance(case.shapes, list):
        return [one(shape, i) for i, shape in enumerate(case.shapes)]
    return one(case.shapes, 0)


def start_with_zeros(layer):
    """The weights are replaced anyway, and each initializer would be compiled by itself."""
    for attribute in vars(layer):
        if attribute.endswith("_initializer"):
            setattr(layer, attribute, keras.initializers.Zeros())


def fill(weights, names):
    """Values of their own for weights of these shapes; variances are positive."""
    filled = []
    for number, (array, name) in enumerate(zip(weights, names)):
        draw = np.random.default_rng(number).uniform(-1, 1, array.shape)
        filled.append((np.abs(draw) + 0.3 if "variance" in name else draw).astype(np.float32))
    return filled


class Pair:
    """A layer of Nacre and its namesake of Keras with the same weights."""

    def __init__(self, case: Case) -> None:
        self.case = case
        self.inputs = values(case)
        self.keras = getattr(keras.layers, case.layer)(**case.arguments)
        start_with_zeros(self.keras)
        self.keras.build(jax.tree.map(lambda x: x.shape, self.inputs))
        self.keras.built = True
        self.nacre = getattr(layers, case.layer)(**case.arguments)
        self.nacre(jax.tree.map(lambda x: nacre.Input(x.shape[1:], dtype=x.dtype), self.inputs))
        names = [weight.name for weight in self.keras.weights]
        assert [weight.name for weight in self.nacre.weights] == names
        weights = fill(self.nacre.get_weights(), names)
        self.nacre.set_weights(weights)
        self.keras.set_weights(weights)
        for one, two in zip(self.keras.weights, self.nacre.get_weights(), strict=True):
            np.testing.assert_array_equal(one.value, two)
        self.apply, self.params, self.state = nacre.lift(self.nacre)

    def in_nacre(self, params, state, inputs, training):
        outputs, state, losses = self.apply(
            params, state, inputs, training=training, key=jax.random.key(0)
        )
        state = state if self.case.arguments.get("trainable", True) else {}
        return outputs, list(state.values()), sum(losses, 0.0)

    def in_keras(self, params, state, inputs, training):
        options = {"training": training} if self.keras._call_has_training_arg else {}
        outputs, state, losses = self.keras.stateless_call(
            params, state, inputs, return_losses=True, **options
        )
        has_more_state = self.case.layer in RANDOM or not self.case.arguments.get("trainable", True)
        state = [] if has_more_state else state
        return outputs, state, sum(losses, 0.0)

    def weights_of_keras(self):
        trainable = [v.value for v in self.keras.trainable_variables]
        return trainable, [v.value for v in self.keras.non_trainable_variables]


def everything(run, params, state, inputs, random):
    """Outputs, state and losses, in inference and training, and the gradients in training."""
    found = {"inference": run(params, state, inputs, False)}
    if random:
        return found
    found["training"] = run(params, state, inputs, True)

    def loss(params, inputs):
        outputs, _, added = run(params, state, inputs, True)
        weights = np.random.default_rng(5).normal(size=outputs.shape).astype(np.float32)
        return jnp.sum(outputs * weights) + added

    has_whole_numbers = jax.tree.leaves(inputs)[0].dtype.kind == "i"
    found["gradients"] = jax.grad(loss, (0,) if has_whole_numbers else (0, 1))(params, inputs)
    return found


@pytest.fixture(scope="module")
def pairs():
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        return {name: Pair(case) for name, case in NAMES.items()}


@pytest.fixture(scope="module")
def results(pairs):
    """What both libraries give, for each layer."""

    def compute(which):
        def all_of_them(arguments):
            return {
                name: everything(getattr(pair, which), *arguments[name], pair.case.layer in RANDOM)
                for name, pair in pairs.items()
            }

        return jax.jit(all_of_them, compiler_options=QUICKLY)

    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        ours = compute("in_nacre")({n: (p.params, p.state, p.inputs) for n, p in pairs.items()})
        theirs = compute("in_keras")(
            {n: (*p.weights_of_keras(), p.inputs) for n, p in pairs.items()}
        )
    return ours, theirs


def same(ours, theirs):
    """Equal to 1e-5 of the largest value of each array."""
    one, two = jax.tree.leaves(ours), jax.tree.leaves(theirs)
    assert [a.shape for a in one] == [b.shape for b in two]
    for a, b in zip(one, two):
        assert a.dtype == b.dtype
        scale = max(1e-3, float(np.abs(b).max(initial=0)))
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-5 * scale)


@pytest.mark.parametrize("name", NAMES)
def test_inference(name, results):
    ours, theirs = results
    same(ours[name]["inference"], theirs[name]["inference"])


@pytest.mark.parametrize("name", [n for n, case in NAMES.items() if case.layer not in RANDOM])
def test_training(name, results):
    ours, theirs = results
    same(ours[name]["training"], theirs[name]["training"])


@pytest.mark.parametrize("name", [n for n, case in NAMES.items() if case.layer not in RANDOM])
def test_gradients(name, results, pairs):
    params, *inputs = results[0][name]["gradients"]
    params_of_keras, *inputs_of_keras = results[1][name]["gradients"]
    if "frozen" not in name:  # Keras leaves what is frozen out of its gradients
        order = [v.name for v in pairs[name].keras.trainable_variables]
        same([params[path] for path in order], params_of_keras)
    same(inputs, inputs_of_keras)


# Masks

MASKED = [n for n, case in NAMES.items() if case.mask is not None]


@pytest.mark.filterwarnings("ignore:Layer .* was passed an input with a mask")
@pytest.mark.parametrize("name", MASKED)
def test_masks_are_passed_on_where_keras_does(name):
    case = NAMES[name]
    shapes = case.shapes if isinstance(case.shapes, list) else [case.shapes]

    def masked(library):
        made = [library.layers.Masking()(library.Input(shape[1:])) for shape in shapes]
        return made if isinstance(case.shapes, list) else made[0]

    theirs = getattr(keras.layers, case.layer)(**case.arguments)(masked(keras))
    starts = [nacre.core.symbolic.SymbolicTensor((None, *s[1:]), "float32") for s in shapes]
    for start in starts:
        start.masked = True
    ours = getattr(layers, case.layer)(**case.arguments)(
        starts if isinstance(case.shapes, list) else starts[0]
    )
    assert ours.masked == (getattr(theirs, "_keras_mask", None) is not None)


TWO_MASKS = np.array([[[1, 1, 0, 0], [1, 0, 1, 0]], [[1, 1, 1, 1], [0, 0, 0, 0]]], bool)


@pytest.mark.parametrize(
    ("name", "options"),
    [("Add", {}), ("Multiply", {}), ("Concatenate", {}), ("Concatenate", {"axis": 1})],
)
@pytest.mark.parametrize("how_many", [1, 2])
def test_merged_masks_are_those_of_keras(name, options, how_many):
    inputs = [jnp.ones((2, 4, 3)), jnp.ones((2, 4, 3))]
    masks = [jnp.asarray(TWO_MASKS[0]), jnp.asarray(TWO_MASKS[1]) if how_many == 2 else None]
    found = getattr(layers, name)(**options).compute_mask(inputs, masks)
    expected = getattr(keras.layers, name)(**options).compute_mask(inputs, masks)
    everywhere = np.ones(np.shape(expected) or (2, 4), bool)  # what no mask stands for
    np.testing.assert_array_equal(
        everywhere if found is None else found, everywhere if expected is None else expected
    )


def test_batch_norm_over_several_steps_and_with_a_mask():
    x = np.random.default_rng(0).normal(2, 3, (3, 8, 5, 4)).astype(np.float32)
    mask = np.random.default_rng(1).integers(0, 2, (8, 5)).astype(bool)
    theirs = keras.layers.BatchNormalization(momentum=0.7)
    ours = layers.BatchNormalization(momentum=0.7)
    theirs.build((8, 5, 4))
    ours(nacre.Input((5, 4)))
    apply, params, state = nacre.lift(ours, lambda x: ours(x, mask=jnp.asarray(mask)))
    trainable = [v.value for v in theirs.trainable_variables]
    moving = [v.value for v in theirs.non_trainable_variables]
    for batch in x:
        y, state, _ = apply(params, state, batch, training=True)
        expected, moving = theirs.stateless_call(trainable, moving, batch, training=True, mask=mask)
        same((y, list(state.values())), (expected, moving))
    y, unchanged, _ = apply(params, state, x[0])
    same(y, theirs.stateless_call(trainable, moving, x[0], training=False, mask=mask)[0])
    same(unchanged, state)


# PyTorch

X = np.random.default_rng(3).normal(0.5, 2, (6, 4)).astype(np.float32)
IMAGES = np.random.default_rng(4).normal(0.5, 2, (6, 5, 3, 4)).astype(np.float32)


def with_weights(layer, x, *weights):
    layer(x)
    layer.set_weights([w.detach().numpy() for w in weights])
    return layer


def channels_first(x):
    return torch.from_numpy(np.moveaxis(x, -1, 1).copy())


def test_linear_is_that_of_pytorch():
    torch.manual_seed(0)
    theirs = torch.nn.Linear(4, 3)
    ours = with_weights(layers.Dense(3), X, theirs.weight.T, theirs.bias)
    same(ours(X), theirs(torch.from_numpy(X)).detach().numpy())


def test_embedding_is_that_of_pytorch():
    torch.manual_seed(0)
    words = np.random.default_rng(5).integers(0, 7, (3, 4))
    theirs = torch.nn.Embedding(7, 2)
    ours = with_weights(layers.Embedding(7, 2), words, theirs.weight)
    same(ours(words), theirs(torch.from_numpy(words)).detach().numpy())


@pytest.mark.parametrize("axes", [1, 2])
def test_layer_norm_is_that_of_pytorch(axes):
    torch.manual_seed(0)
    x = IMAGES[0]
    shape = x.shape[-axes:]
    theirs = torch.nn.LayerNorm(shape)
    torch.nn.init.normal_(theirs.weight)
    torch.nn.init.normal_(theirs.bias)
    axis = list(range(-axes, 0))
    ours = with_weights(
        layers.LayerNormalization(axis=axis, epsilon=1e-5), x, theirs.weight, theirs.bias
    )
    same(ours(x), theirs(torch.from_numpy(x)).detach().numpy())


@pytest.mark.parametrize("x", [X, IMAGES], ids=["1d", "2d"])
def test_batch_norm_is_that_of_pytorch_but_for_the_moving_variance(x):
    """Both normalise by the variance divided by n; PyTorch's moving average divides by n - 1."""
    torch.manual_seed(0)
    theirs = (torch.nn.BatchNorm1d if x.ndim == 2 else torch.nn.BatchNorm2d)(4, momentum=0.1)
    torch.nn.init.normal_(theirs.weight)
    torch.nn.init.normal_(theirs.bias)
    ours = with_weights(
        layers.BatchNormalization(momentum=0.9, epsilon=1e-5),
        x,
        theirs.weight,
        theirs.bias,
        theirs.running_mean,
        theirs.running_var,
    )
    for _ in range(2):
        y = ours(x, training=True)
        expected = theirs(channels_first(x)).detach().numpy()
        same(y, np.moveaxis(expected, 1, -1))
    n = x.size // 4
    mean, variance = ours.get_weights()[2:]
    same(mean, theirs.running_mean.numpy())
    kept = 0.9**2
    same((variance - kept) * n / (n - 1) + kept, theirs.running_var.numpy())
    theirs.running_var = torch.from_numpy(variance.copy())
    expected = theirs.eval()(channels_first(x)).detach().numpy()
    same(ours(x), np.moveaxis(expected, 1, -1))


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (layers.Softmax(), torch.nn.Softmax(-1)),
        (layers.ReLU(6.0), torch.nn.ReLU6()),
        (layers.LeakyReLU(0.1), torch.nn.LeakyReLU(0.1)),
        (layers.ELU(0.5), torch.nn.ELU(0.5)),
        (layers.PReLU(nacre.initializers.Constant(0.25)), torch.nn.PReLU()),
        (layers.Activation("gelu"), torch.nn.GELU()),
        (layers.Activation("silu"), torch.nn.SiLU()),
        (layers.Flatten(), torch.nn.Flatten()),
        (layers.Dropout(0.5), torch.nn.Dropout(0.5).eval()),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_functions_are_those_of_pytorch(ours, theirs):
    same(ours(IMAGES), theirs(torch.from_numpy(IMAGES)).detach().numpy())
