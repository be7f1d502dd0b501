"""Whole models through a file: the same outputs, the same structure, the same sharing."""

import json
import zipfile

import jax.numpy as jnp
import numpy as np
import optax
import pytest

import nacre
from nacre import layers, models, ops
from nacre.core.dtypes import dtype_policy, set_dtype_policy
from nacre.core.errors import ArgumentError, FileFormatError
from nacre.core.layer import layers_of, variables_of
from nacre.saving import register_serializable

rng = np.random.default_rng(0)


def array(*shape):
    return rng.normal(size=shape).astype(np.float32)


@pytest.fixture
def through_file(tmp_path):
    def through(model, **options):
        model.save(tmp_path / "m.nacre")
        return models.load_model(tmp_path / "m.nacre", **options)

    return through


def outputs_of(model, x):
    out = model(x)
    items = (
        out.items()
        if isinstance(out, dict)
        else enumerate(out if isinstance(out, list | tuple) else [out])
    )
    return {key: np.asarray(value) for key, value in items}


def assert_same(model, loaded, x):
    assert type(loaded) is type(model)
    before, after = variables_of(model), variables_of(loaded)
    assert list(before) == list(after)
    for path, variable in before.items():
        assert after[path].dtype == variable.dtype
        assert after[path].is_state == variable.is_state
        np.testing.assert_array_equal(np.asarray(variable), np.asarray(after[path]), err_msg=path)
    expected, found = outputs_of(model, x), outputs_of(loaded, x)
    assert list(expected) == list(found)
    for key, value in expected.items():
        np.testing.assert_array_equal(value, found[key])


# Each is a function that returns a model and inputs for it.


def stack():
    model = nacre.Sequential(
        [
            nacre.Input((6,)),
            layers.Dense(5, activation="relu", kernel_regularizer="l2"),
            layers.BatchNormalization(),
            layers.Dropout(0.5),
            layers.Dense(2, name="last", kernel_initializer=nacre.initializers.Constant(0.5)),
        ],
        name="stack",
    )
    return model, array(3, 6)


def stack_with_input_shape():
    return nacre.Sequential([layers.Dense(3, input_shape=(4,)), layers.Flatten()]), array(2, 4)


def stack_built_on_data():
    model = nacre.Sequential([layers.Dense(3), layers.Dense(2)])
    model(array(2, 4))
    return model, array(5, 4)


def shared_layer():
    a, b = nacre.Input((4,), name="a"), nacre.Input((4,), name="b")
    shared = layers.Dense(3)
    merged = layers.Concatenate()([shared(a), shared(b), shared(a)])
    return nacre.Model([a, b], layers.Dense(1)(merged)), [array(2, 4), array(2, 4)]


def dictionaries():
    inputs = {"z": nacre.Input((4,), name="z"), "a": nacre.Input((3,), name="a")}
    joined = layers.Concatenate()([inputs["z"], inputs["a"]])
    outputs = {"second": layers.Dense(2)(joined), "first": layers.Dense(1)(joined)}
    return nacre.Model(inputs, outputs), {"z": array(2, 4), "a": array(2, 3)}


def several_outputs():
    x = nacre.Input((4,))
    hidden = layers.Dense(3)(x)
    return nacre.Model(x, [hidden, layers.Dense(2)(hidden), x]), array(2, 4)


def nested():
    inner_input = nacre.Input((3,))
    inner = nacre.Model(inner_input, layers.Dense(3, activation="tanh")(inner_input), name="inner")
    tower = nacre.Sequential([layers.Dense(3), inner])
    x = nacre.Input((4,))
    hidden = tower(x)
    y = layers.Add()([inner(hidden), hidden])
    return nacre.Sequential([nacre.Input((4,)), nacre.Model(x, y), layers.Dense(2)]), array(2, 4)


def shared_between_models():
    x = nacre.Input((4,))
    first, second = layers.Dense(3), layers.Dense(2)
    whole = nacre.Model(x, second(first(x)))
    part = nacre.Model(x, first.output)
    return nacre.Model(x, [part(x), whole(x)]), array(2, 4)


def cut_from_the_middle():
    x = nacre.Input((4,))
    hidden = layers.Dense(3)(x)
    whole = nacre.Model(x, layers.Dense(2)(layers.Dense(5)(hidden)))
    return nacre.Model(hidden, whole.layers[-2].output), array(2, 3)


def operations():
    x = nacre.Input((5, 4))
    y = x[:, -1] * 2.0 + ops.mean(x, axis=1) - x[..., 1:3, :][:, 0]
    y = ops.concatenate([1.0 - y, y / 3.0], axis=-1)
    y = ops.expand_dims(y, 1)[:, None, 0] + array(1, 1, 8)
    return nacre.Model(x, layers.Dense(2)(ops.reshape(y, (-1, 8)))), array(2, 5, 4)


def masks():
    x = nacre.Input((None,), dtype="int32")
    embedded = layers.Embedding(7, 4, mask_zero=True)(x)
    normal = layers.BatchNormalization()(embedded)
    return nacre.Model(x, [normal, layers.Dense(2)(normal)]), np.array([[1, 2, 0], [3, 0, 0]])


class Residual(layers.Layer):
    def __init__(self, units, **options):
        super().__init__(**options)
        self.inside = [layers.Dense(units, activation="relu"), layers.Dense(units)]

    def call(self, x):
        return x + self.inside[1](self.inside[0](x))


class KerasStyle(layers.Layer):
    def __init__(self, units=3):
        super().__init__()
        self.units = units

    def build(self, input_shape):
        self.kernel = self.add_weight(shape=(input_shape[-1], self.units), name="kernel")
        self.count = self.add_weight(shape=(), initializer="zeros", trainable=False)

    def call(self, x):
        return x @ self.kernel


@register_serializable("tests")
class Subclassed(nacre.Model):
    def __init__(self, units, blocks=2):
        super().__init__()
        self.blocks = [Residual(units) for _ in range(blocks)]
        self.head = nacre.Sequential([layers.Dense(2)])

    def call(self, x, training=False):
        for block in self.blocks:
            x = block(x)
        return self.head(x)


@register_serializable("tests")
class TwoInputs(nacre.Model):
    def __init__(self):
        super().__init__()
        self.left, self.right = layers.Dense(2), layers.Dense(2)

    def call(self, inputs):
        return {"sum": self.left(inputs["a"]) + self.right(inputs["b"])}


@register_serializable("tests")
class Named(nacre.Model):
    """A functional model with a class and an argument of its own."""

    def __init__(self, inputs, outputs, gamma=1.0, **options):
        super().__init__(inputs, outputs, **options)
        self.gamma = gamma


@register_serializable("tests")
class StackOf(nacre.Sequential):
    def __init__(self, sizes):
        super().__init__([layers.Dense(size) for size in sizes])


@register_serializable("tests")
class Pair(nacre.Model):
    """A model made of two others, which share a layer."""

    def __init__(self, first, second):
        super().__init__()
        self.first, self.second = first, second

    def call(self, x):
        return self.second(self.first(x))


def subclassed():
    model = Subclassed(4, blocks=3)
    model(array(2, 4))
    return model, array(5, 4)


def subclassed_with_dictionaries():
    model = TwoInputs()
    model({"a": array(2, 3), "b": array(2, 4)})
    return model, {"a": array(5, 3), "b": array(5, 4)}


def subclassed_in_functional():
    x = nacre.Input((4,))
    return nacre.Model(x, layers.Dense(1)(Subclassed(4)(x))), array(2, 4)


def functional_subclass():
    x = nacre.Input((4,))
    return Named(x, layers.Dense(2)(x), gamma=0.5, name="mine"), array(2, 4)


def sequential_subclass():
    model = StackOf([3, 2])
    model(array(2, 4))
    return model, array(5, 4)


def pair_with_a_shared_layer():
    shared = layers.Dense(4)
    model = Pair(nacre.Sequential([shared, layers.Dense(4)]), nacre.Sequential([shared]))
    model(array(2, 4))
    return model, array(2, 4)


MODELS = [
    stack,
    stack_with_input_shape,
    stack_built_on_data,
    shared_layer,
    dictionaries,
    several_outputs,
    nested,
    shared_between_models,
    cut_from_the_middle,
    operations,
    masks,
    subclassed,
    subclassed_with_dictionaries,
    subclassed_in_functional,
    functional_subclass,
    sequential_subclass,
    pair_with_a_shared_layer,
]


@pytest.mark.parametrize("make", MODELS, ids=lambda make: make.__name__)
def test_a_loaded_model_computes_the_same(make, through_file, tmp_path):
    model, x = make()
    model(x)
    loaded = through_file(model)
    assert_same(model, loaded, x)
    first = (tmp_path / "m.nacre").read_bytes()
    loaded.save(tmp_path / "again.nacre")
    assert (tmp_path / "again.nacre").read_bytes() == first


@pytest.mark.parametrize("make", MODELS, ids=lambda make: make.__name__)
def test_json_and_clone_give_models_with_weights_of_their_own(make):
    model, x = make()
    model(x)
    for copy in (models.clone_model(model), models.model_from_json(model.to_json())):
        assert not {id(v) for v in copy.weights} & {id(v) for v in model.weights}
        copy.set_weights(model.get_weights())
        assert_same(model, copy, x)


def test_from_config_of_get_config_makes_new_layers():
    for make in (stack, shared_layer):
        model, x = make()
        config = model.get_config()
        json.dumps(config)
        copy = type(model).from_config(config)
        copy.set_weights(model.get_weights())
        assert_same(model, copy, x)
        assert not set(layers_of(copy).values()) & set(layers_of(model).values())


def test_no_initial_value_is_drawn_only_to_be_replaced(tmp_path, monkeypatch):
    for make in MODELS:
        model, x = make()
        model(x)
        model.save(tmp_path / "m.nacre")
        with monkeypatch.context() as patch:
            patch.setattr(nacre.Variable, "draw", lambda *_: pytest.fail("a value was drawn"))
            models.load_model(tmp_path / "m.nacre")


def test_the_same_model_gives_the_same_bytes(tmp_path):
    model, _ = stack()
    model.compile("adam", "mse")
    for name in "ab":
        model.save(tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_model_without_weights_yet_can_be_saved(through_file):
    loaded = through_file(nacre.Sequential([layers.Dense(3), layers.Dense(2)]))
    assert loaded.weights == []
    assert loaded(array(2, 4)).shape == (2, 2)


def test_a_model_called_only_inside_another_can_be_saved_alone(through_file):
    inner = nacre.Sequential([layers.Dense(3)])
    outer = Pair(inner, layers.Dense(2))
    outer(array(2, 4))
    assert_same(inner, through_file(inner), array(2, 4))


def test_names_and_freezing_after_construction_are_kept(through_file):
    model, x = stack()
    model.layers[0].name = "renamed"
    model.layers[0].trainable = False
    loaded = through_file(model)
    assert_same(model, loaded, x)
    assert next(iter(variables_of(loaded))) == "renamed/kernel"
    assert [layer.trainable for layer in loaded.layers] == [False, True, True, True]
    assert len(loaded.trainable_weights) == len(model.trainable_weights)

    model.layers[0].trainable = True
    model.layers[0].weights[1].trainable = False
    loaded = through_file(model)
    assert len(loaded.trainable_weights) == len(model.trainable_weights) == 5


def test_the_precision_policy_is_kept_whatever_it_is_when_loading(through_file):
    set_dtype_policy("mixed_bfloat16")
    try:
        model, x = stack()
        inner = nacre.Sequential([nacre.Input((2,)), layers.Dense(2, dtype="float32")])
        model.add(inner)
    finally:
        set_dtype_policy("float32")
    loaded = through_file(model)
    assert dtype_policy().name == "float32"
    assert loaded.layers[0].dtype_policy.name == "mixed_bfloat16"
    assert [layer.dtype_policy.name for layer in layers_of(loaded).values()] == [
        layer.dtype_policy.name for layer in layers_of(model).values()
    ]
    assert_same(model, loaded, x)
    assert loaded.layers[0](x).dtype == jnp.bfloat16


def test_weights_given_to_a_layer_do_not_come_back_over_the_loaded_ones(through_file):
    table = array(5, 3)
    model = nacre.Sequential([nacre.Input((2,)), layers.Embedding(5, 3, weights=[table])])
    model(np.zeros((1, 2), np.int32))
    model.layers[0].set_weights([table + 1])
    loaded = through_file(model)
    assert_same(model, loaded, np.array([[1, 2]]))


def test_custom_objects_are_found_by_name(through_file):
    model = nacre.Sequential([nacre.Input((4,)), Residual(4), KerasStyle(2)])
    with pytest.raises(
        ArgumentError,
        match=r"not registered here[\s\S]*'Custom>Residual', 'Custom>KerasStyle'"
        r"[\s\S]*custom_objects=\{'Residual': Residual\}",
    ):
        through_file(model)
    loaded = through_file(model, custom_objects={"Residual": Residual, "KerasStyle": KerasStyle})
    assert_same(model, loaded, array(2, 4))


def wave(x):
    return ops.sin(x)


def own_loss(y_true, y_pred):
    return ops.mean(ops.square(y_true - y_pred), axis=-1)


def test_functions_are_found_by_name_too(through_file):
    model = nacre.Sequential([nacre.Input((4,)), layers.Lambda(wave), layers.Dense(2, wave)])
    model.compile("sgd", own_loss)
    with pytest.raises(ArgumentError, match="wave"):
        through_file(model)
    loaded = through_file(model, custom_objects={"wave": wave, "own_loss": own_loss})
    assert_same(model, loaded, array(2, 4))
    assert loaded.trainer.compiled_with["loss"] is own_loss
    loaded = through_file(model, custom_objects={"wave": wave}, compile=False)
    assert not loaded.compiled


def test_code_is_never_written(tmp_path):
    model = nacre.Sequential([nacre.Input((4,)), layers.Lambda(lambda x: x + 1)])
    with pytest.raises(ArgumentError, match=r"lambda[\s\S]*never code[\s\S]*Fix: decorate"):
        model.save(tmp_path / "m.nacre")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "given",
    [
        {"optimizer": optax.adam(0.1), "loss": "mse"},
        {"optimizer": "sgd", "loss": lambda t, y: t - y},
    ],
    ids=["Optax", "a lambda"],
)
def test_code_in_compile_is_left_out_with_a_warning(tmp_path, given):
    model = nacre.Sequential([nacre.Input((4,)), layers.Dense(1)])
    model.compile(**given)
    checkpoint = nacre.callbacks.ModelCheckpoint(tmp_path / "m.nacre")
    with pytest.warns(nacre.LearnerWarning, match="not what compile\\(\\) was given"):
        history = model.fit(array(8, 4), array(8, 1), epochs=2, callbacks=[checkpoint], verbose=0)
    assert len(history.history["loss"]) == 2
    loaded = nacre.models.load_model(tmp_path / "m.nacre")
    assert not loaded.compiled
    assert_same(model, loaded, array(2, 4))


def test_what_compile_was_given_comes_back(through_file):
    model, _ = dictionaries()
    model.compile(
        nacre.optimizers.SGD(0.1, momentum=0.9),
        {"first": "mse", "second": nacre.losses.Huber(delta=0.5)},
        metrics={"first": ["mae"]},
        loss_weights={"second": 2.0},
    )
    model.optimizer.learning_rate = 0.025
    loaded = through_file(model)
    assert loaded.optimizer.get_config() == model.optimizer.get_config()
    assert loaded.optimizer.learning_rate == 0.025
    again = loaded.trainer.compiled_with
    assert again["loss"]["first"] == "mse"
    assert again["loss"]["second"].get_config() == {"delta": 0.5}
    assert again["metrics"] == {"first": ["mae"]}
    assert again["loss_weights"] == {"second": 2.0}
    assert not through_file(model, compile=False).compiled


def test_without_the_optimizer_only_the_model_is_written(tmp_path):
    model, x = stack()
    model.compile("adam", "mse")
    model.fit(x, array(3, 2), verbose=0)
    model.save(tmp_path / "with")
    model.save(tmp_path / "without", include_optimizer=False)
    assert (tmp_path / "without").stat().st_size < (tmp_path / "with").stat().st_size
    loaded = models.load_model(tmp_path / "without")
    assert not loaded.compiled
    assert_same(model, loaded, x)


def test_overwriting_can_be_ruled_out(tmp_path):
    model, _ = stack()
    path = tmp_path / "m.nacre"
    model.save(path)
    before = path.read_bytes()
    model.set_weights([w + 1 for w in model.get_weights()])
    with pytest.raises(ArgumentError, match="already"):
        model.save(path, overwrite=False)
    assert path.read_bytes() == before


def test_large_constants_are_kept_to_the_bit(through_file):
    x = nacre.Input((3,))
    table = array(1, 3) * 1e-20
    table[0, 0] = np.nan
    model = nacre.Model(x, ops.add(x, table))
    (constant,) = [
        arg for arg in through_file(model)._graph.nodes[0].args if isinstance(arg, np.ndarray)
    ]
    assert constant.dtype == np.float32
    assert constant.tobytes() == table.tobytes()


def test_a_newer_format_says_to_update(tmp_path):
    model, _ = stack()
    path = tmp_path / "m.nacre"
    model.save(path)
    with zipfile.ZipFile(path) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    config = json.loads(entries["config.json"])
    config["version"] = 99
    entries["config.json"] = json.dumps(config).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    with pytest.raises(FileFormatError, match=r"version 99[\s\S]*update Nacre"):
        models.load_model(path)
