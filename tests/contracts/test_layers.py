"""What every layer promises, tried on each line of the table of layers."""

from __future__ import annotations

import functools
import inspect
import json
import re
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from layer_table import CASES, Case, halve

import nacre
from nacre import layers
from nacre.core import registry
from nacre.core.configurable import deserialize, serialize
from nacre.core.layer import variables_of
from nacre.core.scope import annotate, mask_of

ALL = [pytest.param(case, id=case.name) for case in CASES if hasattr(layers, case.layer)]
FLOATING = [p for p in ALL if not p.values[0].below]
SINGLE = [p for p in ALL if not isinstance(p.values[0].shapes, list)]
ON_SEQUENCES = [p for p in ALL if p.values[0].mask is not None]
NAMES = [p.values[0].name for p in ALL]
KEY = jax.random.key(3)


def make(case: Case, **options: Any) -> Any:
    arguments = {
        name: make(value) if isinstance(value, Case) else value
        for name, value in case.arguments.items()
    }
    return getattr(layers, case.layer)(**arguments, **options)


def numbers(case: Case, shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    generator = np.random.default_rng([seed, *shape])
    if case.below:
        return generator.integers(0, case.below, shape).astype(np.int32)
    return generator.normal(0, 1, shape).astype(np.float32)


def inputs_of(case: Case) -> Any:
    if isinstance(case.shapes, list):
        return [jnp.asarray(numbers(case, s, i)) for i, s in enumerate(case.shapes)]
    return jnp.asarray(numbers(case, case.shapes))


def fill(layer: Any) -> None:
    """Give every weight a value of its own, so that none is 0 or 1 by chance of its initializer."""
    for number, (path, variable) in enumerate(variables_of(layer).items()):
        if variable.dtype.kind == "f":
            values = np.random.default_rng(number).uniform(0.2, 0.9, variable.shape)
            if "variance" not in path and variable.ndim > 1:
                values = values - 0.5
            variable.assign(jnp.asarray(values, variable.dtype))


class Prepared:
    """A layer with weights, and its pure form."""

    def __init__(self, case: Case) -> None:
        self.case = case
        self.inputs = inputs_of(case)
        self.layer = make(case, name="it")
        self.layer(symbolic(case, ()))
        fill(self.layer)
        self.apply, self.params, self.state = nacre.lift(self.layer)

    @functools.cached_property
    def eager(self) -> Any:
        return self.layer(self.inputs)


@functools.cache
def prepared(name: str) -> Prepared:
    return Prepared(next(case for case in CASES if case.name == name))


# Compiling one program for all layers, without the dear passes, saves most of a test's time.
QUICKLY = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}


class Together:
    """A function of a layer, compiled for all layers together.

    Args:
        compute: what to do with a layer, on its parameters, its state, its inputs and a key.
    """

    def __init__(self, compute: Any) -> None:
        self.compute = compute
        self.traces = dict.fromkeys(NAMES, 0)
        self.problems: dict[str, Exception] = {}
        self.run = jax.jit(self.run_all, compiler_options=QUICKLY)

    def run_all(self, arguments: Any) -> Any:
        results = {}
        for name, (params, state, inputs, key) in arguments.items():
            self.traces[name] += 1
            try:
                results[name] = self.compute(prepared(name), params, state, inputs, key)
            except Exception as problem:  # of one layer, which must not hide the others'
                self.problems[name] = problem
        return results

    def __call__(self, prepare: Any = lambda *arguments: arguments) -> dict[str, Any]:
        arguments = {}
        for name in NAMES:
            it = prepared(name)
            arguments[name] = prepare(it.params, it.state, it.inputs, KEY)
        return self.run(arguments)

    @functools.cached_property
    def results(self) -> dict[str, Any]:
        return self()

    def __getitem__(self, case: Case) -> Any:
        results = self.results
        if case.name in self.problems:
            raise self.problems[case.name]
        return results[case.name]


def run_trained(it: Prepared, params: Any, state: Any, inputs: Any, key: Any) -> Any:
    return it.apply(params, state, inputs, training=True, key=key)[:2]


def run_untrained(it: Prepared, params: Any, state: Any, inputs: Any, key: Any) -> Any:
    return it.apply(params, state, inputs)


def run_stack(it: Prepared, params: Any, state: Any, inputs: Any, key: Any) -> Any:
    run = jax.vmap(lambda p, s, k: run_trained(it, p, s, inputs, k))
    return run(*stack(params, state), jnp.stack(KEYS))


def run_gradients(it: Prepared, params: Any, state: Any, inputs: Any, key: Any) -> Any:
    def loss(params: Any, inputs: Any) -> Any:
        outputs = it.apply(params, state, inputs, training=True, key=key)[0]
        weights = np.random.default_rng(5).normal(size=outputs.shape).astype(np.float32)
        return jnp.sum(outputs * weights)

    return jax.grad(loss, (0,) if it.case.below else (0, 1))(params, inputs)


def run_to_floats(it: Prepared, params: Any, state: Any, inputs: Any, key: Any) -> Any:
    return run_trained(it, params, state, inputs, key)[0].astype(jnp.float32)


def run_empty(it: Prepared, params: Any, state: Any, inputs: Any, key: Any) -> Any:
    return it.apply(params, state, jax.tree.map(lambda x: x[:0], inputs))[0]


KEYS = [jax.random.key(3), jax.random.key(9)]
SCALES = (1.0, 0.5)


def stack(params: Any, state: Any) -> Any:
    scales = jnp.asarray(SCALES, jnp.float32)
    return jax.tree.map(
        lambda a: (a[None] * scales.reshape(2, *(1,) * a.ndim)).astype(a.dtype), (params, state)
    )


trained, untrained = Together(run_trained), Together(run_untrained)


def same(one: Any, two: Any, tolerance: float = 2e-5) -> None:
    assert jax.tree.structure(one) == jax.tree.structure(two)
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(two)):
        assert (a.shape, a.dtype) == (b.shape, b.dtype)
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)


def test_every_registered_layer_is_in_the_table():
    registered = {
        cls for cls in registry._kinds["layer"].values() if not issubclass(cls, nacre.Model)
    }
    covered = {getattr(layers, case.layer, None) for case in CASES}
    assert {cls.__name__ for cls in registered - covered} == set()


def test_every_layer_of_the_module_is_registered():
    public = [value for value in vars(layers).values() if inspect.isclass(value)]
    missing = [
        cls.__name__
        for cls in public
        if cls is not layers.Layer and cls not in registry._kinds["layer"].values()
    ]
    assert missing == []


@pytest.mark.parametrize("case", ALL)
def test_eager_and_compiled_calls_agree(case):
    it = prepared(case.name)
    before = it.layer.get_weights()
    outputs, state, losses = untrained[case]
    same(outputs, it.eager)
    same(state, it.state, 0)
    assert len(losses) == ("kernel_regularizer" in case.arguments)
    for old, new in zip(before, it.layer.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


@pytest.fixture(scope="module")
def one_by_one():
    """What each layer of a stack does alone, through one compiled program."""
    assert trained.results
    return [
        trained(
            lambda params, state, inputs, key, i=i: (
                *jax.tree.map(lambda a: a[i], stack(params, state)),
                inputs,
                KEYS[i],
            )
        )
        for i in range(2)
    ]


@pytest.fixture(scope="module")
def stacks():
    return Together(run_stack)


@pytest.mark.parametrize("case", ALL)
def test_a_stack_of_layers_runs_at_once(case, stacks, one_by_one):
    for i in range(2):
        alone = one_by_one[i][case.name]
        same(jax.tree.map(lambda a, i=i: a[i], stacks[case]), alone, 1e-4)


@pytest.mark.parametrize("case", ALL)
def test_other_values_trace_nothing(case, one_by_one):
    assert trained.traces[case.name] == 1


@pytest.fixture(scope="module")
def gradients():
    return Together(run_gradients)


@pytest.mark.parametrize("case", ALL)
def test_gradients_are_finite_and_reach_everything(case, gradients):
    for place, gradient in jax.tree_util.tree_leaves_with_path(gradients[case]):
        assert np.all(np.isfinite(gradient)), place
        assert np.any(np.asarray(gradient) != 0), place


@pytest.mark.parametrize("case", ALL)
def test_no_tracer_leaks(case):
    it = prepared(case.name)
    with jax.checking_leaks():
        jax.make_jaxpr(lambda *a: run_trained(it, *a))(it.params, it.state, it.inputs, KEY)
    assert not any(isinstance(v.value, jax.core.Tracer) for v in it.layer.weights)


def symbolic(
    case: Case, unknown: tuple[int, ...], batch: int | None = None, dtype: str | None = None
) -> Any:
    dtype = dtype or ("int32" if case.below else "float32")

    def tensor(shape):
        sizes = [None if axis in unknown else size for axis, size in enumerate(shape)]
        return nacre.Input(batch_shape=(batch, *sizes[1:]), dtype=dtype)

    if isinstance(case.shapes, list):
        return [tensor(shape) for shape in case.shapes]
    return tensor(case.shapes)


@pytest.mark.parametrize("case", ALL)
def test_inferred_shapes_are_those_of_the_results(case):
    it = prepared(case.name)
    shape = it.eager.shape
    known = make(case)(symbolic(case, (), batch=4))
    assert (known.shape, known.dtype) == (shape, it.eager.dtype)
    open_batch = make(case)(symbolic(case, ()))
    assert open_batch.shape == (None, *shape[1:])
    shapes = jax.tree.map(lambda x: x.shape, it.inputs)
    assert make(case).compute_output_shape(shapes) == shape
    if case.unknown:
        layer = make(case)
        unknown = layer(symbolic(case, case.unknown))
        assert len(unknown.shape) == len(shape)
        assert all(u in (None, s) for u, s in zip(unknown.shape, shape))
        layer.set_weights(it.layer.get_weights())
        assert layer(it.inputs).shape == shape


@pytest.mark.parametrize("case", ALL)
def test_in_a_functional_model_and_a_sequential(case):
    it = prepared(case.name)
    expected = it.eager
    start = symbolic(case, ())
    model = nacre.Model(start, it.layer(start))
    same(model(it.inputs), expected, 0)
    assert set(variables_of(model)) == {f"it/{path}" for path in variables_of(it.layer)}
    if not isinstance(case.shapes, list):
        same(nacre.Sequential([start, it.layer])(it.inputs), expected, 0)
        same(nacre.Sequential([it.layer])(it.inputs), expected, 0)


@pytest.mark.parametrize("case", ALL)
def test_the_configuration_makes_the_same_layer_again(case):
    it = prepared(case.name)
    custom = {"halve": halve}
    written = json.loads(json.dumps(serialize(it.layer)))
    again = deserialize(written, custom)
    assert type(again) is type(it.layer)
    assert again.name == "it"
    assert serialize(again.get_config()) == serialize(it.layer.get_config())
    assert json.loads(json.dumps(serialize(again))) == written
    again(it.inputs)
    assert [v.name for v in again.weights] == [v.name for v in it.layer.weights]
    again.set_weights(it.layer.get_weights())
    for one, two in zip(again.get_weights(), it.layer.get_weights(), strict=True):
        np.testing.assert_array_equal(one, two)
    same(again(it.inputs), it.eager, 0)


def result_type(layer: Any, inputs: Any) -> Any:
    return jax.eval_shape(lambda x: layer(x, training=False), inputs).dtype


@pytest.mark.parametrize("case", ALL)
def test_data_types_follow_the_policy(case):
    it = prepared(case.name)
    assert it.eager.dtype == jnp.float32
    assert trained[case][0].dtype == jnp.float32
    if case.layer == "InputLayer":
        return  # its type is that of the inputs
    mixed = make(case, dtype="mixed_bfloat16")
    assert result_type(mixed, it.inputs) == jnp.bfloat16
    assert {v.dtype for v in mixed.weights} <= {np.dtype("float32"), np.dtype("uint32")}
    half = make(case, dtype="bfloat16")
    assert result_type(half, it.inputs) == jnp.bfloat16
    apply, params, state = nacre.lift(half) if half.weights else (None, {}, {})
    if apply is not None:
        new = jax.eval_shape(lambda: apply(params, state, it.inputs, training=True, key=KEY)[1])
        assert {path: s.dtype for path, s in new.items()} == {
            path: s.dtype for path, s in state.items()
        }


@pytest.fixture(scope="module")
def in_double_precision():
    """The outputs of layers of type float64 for the same weights and inputs."""
    with jax.enable_x64(True):
        wide, arguments = {}, {}
        for name in NAMES:
            it = prepared(name)
            layer = make(it.case, dtype="float64")
            dtype = "int32" if it.case.below else "float64"
            layer(symbolic(it.case, (), dtype=dtype))
            layer.set_weights(it.layer.get_weights())
            wide[name] = nacre.lift(layer)
            inputs = jax.tree.map(lambda x: np.asarray(x).astype(dtype), it.inputs)  # noqa: B023
            arguments[name] = (wide[name].params, wide[name].state, inputs)
        run = jax.jit(
            lambda arguments: {name: wide[name].apply(*arguments[name])[0] for name in arguments},
            compiler_options=QUICKLY,
        )
        return wide, jax.tree.map(np.asarray, run(arguments))


@pytest.mark.parametrize("case", ALL)
def test_double_precision(case, in_double_precision):
    wide, outputs = in_double_precision
    values = [*wide[case.name].params.values(), *wide[case.name].state.values()]
    assert {array.dtype for array in values} <= {np.dtype("float64"), np.dtype("uint32")}
    assert outputs[case.name].dtype == np.float64
    np.testing.assert_allclose(outputs[case.name], prepared(case.name).eager, rtol=1e-4, atol=1e-5)


@pytest.fixture(scope="module")
def from_bytes():
    """What layers make of bytes, and of the same numbers as floats."""
    together = Together(run_to_floats)

    def small(params, state, inputs, key):
        return params, state, jax.tree.map(as_bytes, inputs), key

    def floats(params, state, inputs, key):
        numbers = jax.tree.map(lambda x: as_bytes(x).astype(jnp.float32), inputs)
        return params, state, numbers, key

    with jax.numpy_dtype_promotion("standard"):  # bytes times a number of Python's, say
        return together(small), together(floats), together.problems


def as_bytes(x: Any) -> Any:
    return jnp.asarray(np.abs(np.asarray(x)) * 3 % 9, jnp.uint8)


@pytest.mark.parametrize("case", [p for p in ALL if p.values[0].layer != "Subtract"])
def test_bytes_are_taken_as_the_numbers_they_are(case, from_bytes):
    small, floats, problems = from_bytes
    if case.name in problems:
        raise problems[case.name]
    np.testing.assert_allclose(small[case.name], floats[case.name], rtol=1e-5, atol=1e-5)


@pytest.fixture(scope="module")
def empty():
    return Together(run_empty)


@pytest.mark.parametrize("case", ALL)
def test_a_batch_of_no_examples(case, empty):
    assert empty[case].shape == (0, *prepared(case.name).eager.shape[1:])


@pytest.mark.parametrize("case", ON_SEQUENCES)
def test_the_mask_of_a_sequence_is_passed_on_or_dropped(case):
    it = prepared(case.name)
    mask = jnp.asarray(np.random.default_rng(1).integers(0, 2, (4, 9)), bool)

    def run(inputs):
        for x in jax.tree.leaves(inputs):
            annotate(x, mask=mask[:, : x.shape[1]])
        return mask_of(it.layer(inputs))

    _, params, state = it.apply, it.params, it.state
    found = nacre.lift(it.layer, run).apply(params, state, it.inputs)[0]
    assert (found is not None) == case.mask
    if found is not None:
        assert found.shape == it.eager.shape[:2]
    # A symbolic tensor knows whether there will be one.
    start = symbolic(case, ())
    for tensor in jax.tree.leaves(start):
        tensor.masked = True
    assert it.layer(start).masked == case.mask


def documentation(cls: type, seen: tuple[type, ...] = ()) -> str:
    """The docstring of a class, of its bases, and of the classes that these refer to."""
    text = "\n".join(inspect.getdoc(base) or "" for base in cls.__mro__ if base is not object)
    module = vars(inspect.getmodule(cls))
    for name in re.findall(r":class:`(\w+)`", text):
        other = module.get(name) or getattr(layers, name, None)
        if inspect.isclass(other) and other not in (*seen, cls):
            text += documentation(other, (*seen, cls))
    return text


@pytest.mark.parametrize("name", sorted({p.values[0].layer for p in ALL}))
def test_the_docstring_says_what_goes_in_and_comes_out(name):
    cls = getattr(layers, name)
    sentence = " ".join(inspect.getdoc(cls).split("\n\n")[0].split())
    assert sentence.endswith((".", "``."))
    text = documentation(cls)
    assert "Shapes:" in text or "(batch, " in text
    parameters = inspect.signature(cls.__init__).parameters.values()
    names = [p.name for p in parameters if p.name != "self" and p.kind is not p.VAR_KEYWORD]
    assert [name for name in names if not re.search(rf"\b{name}\b", text)] == []
