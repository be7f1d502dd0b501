"""Products that may be made of bfloat16 units: who asks for it, and how exact they are."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.extend.core import jaxprs_in_params

import nacre
from nacre import layers
from nacre.core.dtypes import DTypePolicy, in_precision, precision
from nacre.kernels import bfloat16_units, convolution, linear, selection
from nacre.utils import set_random_seed


def normal(*shape, seed=0):
    return np.random.default_rng([seed, *shape]).normal(size=shape).astype(np.float32)


def precisions(function, *operands):
    """What each product in ``function`` and its gradients asks for."""
    found = []

    def look(jaxpr):
        for equation in jaxpr.eqns:
            at = equation.params.get("at") or equation.params.get("geometry")
            if hasattr(at, "precision"):
                found.append(at.precision)
            if equation.primitive.name == "dot_general":
                found.append(str(equation.params["precision"]))
            jax.tree.map(look, list(jaxprs_in_params(equation.params)))

    gradient = jax.grad(lambda *a: jnp.sum(function(*a) ** 2), tuple(range(len(operands))))
    look(jax.make_jaxpr(gradient)(*operands).jaxpr)
    return found


CASES = {
    "large": (linear, normal(100, 100), normal(100, 100)),
    "small": (linear, normal(3, 4), normal(4, 5)),
    "convolution": (convolution, normal(2, 6, 7, 3), normal(3, 3, 3, 4)),
    "with bias": (
        lambda x, kernel: convolution(x, kernel, jnp.zeros(4), activation="relu"),
        *(normal(2, 6, 7, 3), normal(3, 3, 3, 4)),
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_gradients_are_as_exact_as_the_policy_asks(case):
    function, *operands = CASES[case]
    assert not any("3" in name[-1] for name in precisions(function, *operands) if name != "None")
    with in_precision(DTypePolicy("bf16x3")):
        loose = precisions(function, *operands)
    assert len(loose) >= 3 and all(name[-2:].lower() == "x3" for name in loose)


@pytest.mark.parametrize("dtype", ["float64", "float16", "int32"])
def test_it_is_for_float32_alone(dtype):
    with in_precision(DTypePolicy("bf16x3")):
        assert precision("float32") == "bf16x3" and precision(dtype) == "float32"
        assert precision("bfloat16") == "bfloat16"


class Nested(layers.Layer):
    def __init__(self, **options):
        super().__init__(**options)
        self.inside = layers.Dense(3, dtype="float32")
        self.seen = []

    def call(self, x):
        self.seen.append(precision("float32"))
        y = self.inside(x)
        self.seen.append(precision("float32"))
        return y


def test_each_layer_has_its_own():
    layer = Nested(dtype="bf16x3")
    layer.inside.activation = lambda x: layer.seen.append(precision("float32")) or x
    layer(np.ones((2, 4), "float32"))
    assert set(zip(*[iter(layer.seen)] * 3)) == {("bf16x3", "float32", "bf16x3")}
    assert precision("float32") == "float32"


def test_a_setting_of_jax_for_all_else_stays():
    seen = []
    layer = layers.Lambda(lambda x: seen.append(jax.config.jax_default_matmul_precision) or x)
    with jax.default_matmul_precision("highest"):
        layer(np.ones((2, 4), "float32"))
    assert set(seen) == {"highest"}


def test_a_model_trains_and_is_saved_with_it(tmp_path):
    x, y = normal(64, 8, 8, 3), np.arange(64) % 3
    losses = {}
    for policy in ("float32", "bf16x3"):
        set_random_seed(1)
        model = nacre.Sequential(
            [
                layers.Input((8, 8, 3)),
                layers.Conv2D(8, 3, activation="relu", dtype=policy),
                layers.Flatten(),
                layers.Dense(3, "softmax", dtype=policy),
            ]
        )
        model.compile("adam", "sparse_categorical_crossentropy")
        losses[policy] = model.fit(x, y, batch_size=16, epochs=2, verbose=0).history["loss"]
        model.save(tmp_path / f"{policy}.nacre")
    np.testing.assert_allclose(losses["bf16x3"], losses["float32"], rtol=1e-3)
    loaded = nacre.models.load_model(tmp_path / "bf16x3.nacre")
    assert loaded.layers[0].dtype_policy.name == "bf16x3"


def test_what_serves_it_is_said(monkeypatch):
    kernels, said = selection.native(), bfloat16_units()
    for name, units in (("bfloat16", kernels.bfloat16), ("bf16x3", kernels.bf16x3)):
        assert said[name] == units if units else "float32" in said[name]
    monkeypatch.setenv("NACRE_KERNELS", "amx")
    if not kernels.bf16x3:
        assert "NACRE_KERNELS=amx" in bfloat16_units()["bf16x3"]
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert all("XLA" in serves for serves in bfloat16_units().values())
