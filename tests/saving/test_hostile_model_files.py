"""Files that are damaged or made to harm: one clear error, in bounded time and memory."""

import copy
import io
import json
import os
import re
import struct
import tempfile
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

import nacre
from nacre import layers, models
from nacre.core.errors import ArgumentError, FileFormatError
from nacre.saving.archive import write_archive
from nacre.saving.tensors import TensorReader, write_tensors

MEGABYTE = 2**20


def small_model():
    x = nacre.Input((4,), name="x")
    hidden = layers.Dense(3, activation="relu")
    tower = nacre.Sequential([nacre.Input((3,)), layers.BatchNormalization(), layers.Dense(2)])
    model = nacre.Model(x, layers.Concatenate()([tower(hidden(x)), hidden(x)[:, 1:]]))
    model.compile(nacre.optimizers.SGD(0.1, momentum=0.9), "mse")
    trainer = model.trainer
    trainer._current_slots({k: v.concrete() for k, v in trainer.parts().trained.items()})
    return model


@pytest.fixture(scope="module")
def good():
    """A good file: its bytes, its configuration and its arrays."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "m.nacre"
        small_model().save(path)
        with zipfile.ZipFile(path) as archive:
            config = json.loads(archive.read("config.json"))
            arrays = {
                name.removesuffix(".safetensors"): _tensors(archive, name)
                for name in archive.namelist()[1:]
            }
        return Good(path.read_bytes(), config, arrays)


class Good(tuple):
    """What a good file holds, in few words where hypothesis prints it."""

    def __new__(cls, *parts):
        return super().__new__(cls, parts)

    def __repr__(self):
        return "good"


def _tensors(archive, name):
    with archive.open(name) as file:
        return TensorReader(file, archive.getinfo(name).file_size, name).read()


def attempt(write):
    """Load what ``write`` writes. Returns the error, or None if it loads."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "inside" / "m.nacre"
        path.parent.mkdir()
        write(path)
        error = None
        try:
            models.load_model(path)
        except (FileFormatError, ArgumentError) as caught:
            error = caught
        found = sorted(str(p.relative_to(folder)) for p in Path(folder).rglob("*"))
        assert found == ["inside", "inside/m.nacre"]
    return error


def attempt_config(good, edit):
    _, config, arrays = good
    config = copy.deepcopy(config)
    edit(config)
    return attempt(lambda path: write_archive(path, config, arrays))


def test_the_good_file_loads(good):
    content, _, _ = good
    assert attempt(lambda path: path.write_bytes(content)) is None
    assert attempt_config(good, lambda config: None) is None


# What a configuration may ask for


REFERENCE = {"__nacre__": "reference"}
SHARED = {"__nacre__": "shared"}


def described(config):
    return config["description"]["model"]["config"]


def graph(config):
    return described(config)["graph"]


def dense(config):
    return graph(config)["layers"]["dense"]["config"]


def last(config):
    return graph(config)["layers"]["sequential"]["config"]["layers"][-1]["config"]


def obj(name, **config):
    return {"__nacre__": "object", "name": name, "config": config}


def nested(levels):
    layer = obj("layer>Dense", units=2)
    for _ in range(levels):
        layer = obj("layer>Sequential", layers=[layer])
    return layer


def doubling(config, levels):
    """A model that calls a model ten times, which calls a model ten times, ..."""
    model = obj("layer>Dense", units=4)
    for _ in range(levels):
        nodes = [
            {
                "layer": "inner",
                "args": [obj("graph>TensorReference", node=i - 1 if i else None, index=0)],
                "kwargs": {},
            }
            for i in range(10)
        ]
        model = obj(
            "layer>Model",
            graph={
                "layers": {"inner": model},
                "inputs": obj("graph>TensorSpec", shape=[None, 4], dtype="float32"),
                "nodes": nodes,
                "outputs": obj("graph>TensorReference", node=9, index=0),
            },
        )
    config["description"]["model"] = model


def edits():
    """A name, what it does to the configuration, and what the error says."""
    return [
        ("huge layer", lambda c: last(c).update(units=10**12), r"has the shape \(3, 10{12}\)"),
        (
            "huge rank",
            lambda c: graph(c)["inputs"]["config"].update(shape=[None] + [1] * 100_000),
            "tensor of type",
        ),
        ("enormous layer", lambda c: dense(c).update(units=10**400), "Exceeds the limit|cannot be"),
        ("negative layer", lambda c: dense(c).update(units=-1), "positive whole number"),
        (
            "huge input",
            lambda c: graph(c)["inputs"]["config"].update(shape=[None, 10**15]),
            "has the shape",
        ),
        (
            "negative input",
            lambda c: graph(c)["inputs"]["config"].update(shape=[None, -4]),
            "tensor of type 'float32' and shape",
        ),
        (
            "wrong input type",
            lambda c: graph(c)["inputs"]["config"].update(dtype="object"),
            "tensor of type 'object'",
        ),
        (
            "many layers",
            lambda c: graph(c)["layers"].update(
                {f"l{i}": obj("layer>Dense", units=1) for i in range(20_000)}
            ),
            "calls 2000[0-9] layers",
        ),
        ("deep nesting", lambda c: graph(c)["layers"].update(dense=nested(40)), "nested more than"),
        ("doubling", lambda c: doubling(c, 8), "calls 1[0-9]{8} layers"),
        ("long name", lambda c: described(c).update(name="n" * 10_000), "10000 characters"),
        (
            "name with a path",
            lambda c: c["description"]["layers"][1].update(name="../../x"),
            r"names a layer '\.\./\.\./x'",
        ),
        (
            "unregistered class",
            lambda c: graph(c)["layers"].update(dense=obj("os>system")),
            r"not registered here[\s\S]*'os>system'",
        ),
        (
            "unregistered function",
            lambda c: dense(c).update(
                activation={"__nacre__": "reference", "name": "builtins>eval"}
            ),
            r"not registered here[\s\S]*'builtins>eval'",
        ),
        (
            "a function as a class",
            lambda c: graph(c)["layers"].update(dense=obj("activation>relu")),
            "not a class that a file can build",
        ),
        (
            "another class as a layer",
            lambda c: graph(c)["layers"].update(dense=obj("optimizer>Adam")),
            "cannot be built",
        ),
        (
            "another class as the model",
            lambda c: c["description"].update(model=obj("optimizer>Adam")),
            "describes a Adam|cannot be built",
        ),
        (
            "a layer as the model",
            lambda c: c["description"].update(
                model=obj("layer>Flatten"), layers=c["description"]["layers"][:1]
            ),
            "holds a Flatten",
        ),
        (
            "a computation in the graph",
            lambda c: graph(c)["nodes"].append(
                {
                    "operation": {**REFERENCE, "name": "operation>eye"},
                    "args": [10**6],
                    "kwargs": {},
                }
            ),
            "Node 5 of the graph has no input",
        ),
        (
            "a tensor that is not there",
            lambda c: graph(c)["outputs"]["config"].update(node=99),
            "does not have",
        ),
        (
            "an array larger than its bytes",
            lambda c: dense(c).update(
                kernel_initializer=obj(
                    "initializer>Constant",
                    value={"__nacre__": "array", "dtype": "float32", "shape": [10**12], "data": ""},
                )
            ),
            "does not have 0 bytes",
        ),
        (
            "an array of objects",
            lambda c: dense(c).update(
                kernel_initializer={"__nacre__": "array", "dtype": "O", "shape": [], "data": ""}
            ),
            "malformed",
        ),
        ("unknown tag", lambda c: dense(c).update(units={"__nacre__": "code"}), "unknown tag"),
        (
            "no such share",
            lambda c: dense(c).update(units={"__nacre__": "shared", "id": 9}),
            "malf",
        ),
        ("fewer layers", lambda c: c["description"]["layers"].pop(), "layers, and"),
        ("no description", lambda c: c.pop("description"), "has no 'description'"),
        ("no training", lambda c: c.update(training=None), "where training stands"),
        ("huge step", lambda c: c["training"].update(step=2**31), "as step"),
        ("negative epoch", lambda c: c["training"].update(epoch=-1), "as epoch"),
        ("seed of text", lambda c: c["training"].update(seed="7"), "as seed"),
        ("rate of text", lambda c: c["training"].update(learning_rate="x"), "learning rate cannot"),
        ("other slots", lambda c: c["training"]["slots_of"].append("x"), "for other weights"),
        ("fewer slots", lambda c: c["training"]["slots_of"].pop(), "optimizer's state"),
        (
            "another optimizer",
            lambda c: c["compiled_with"].update(optimizer=obj("optimizer>Adam")),
            "optimizer's state",
        ),
        (
            "a wrong optimizer",
            lambda c: c["compiled_with"]["optimizer"]["config"].update(learning_rate="x"),
            "cannot be compiled",
        ),
        ("another argument", lambda c: c["compiled_with"].update(run="x"), "cannot be compiled"),
        ("another format", lambda c: c.update(format="x"), "does not say"),
        ("another version", lambda c: c.update(version=[2]), "update Nacre"),
    ]


@pytest.mark.parametrize(("edit", "message"), [e[1:] for e in edits()], ids=[e[0] for e in edits()])
def test_a_hostile_configuration_is_one_clear_error(good, edit, message):
    tracemalloc.start()
    try:
        error = attempt_config(good, edit)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert error is not None, "the file was loaded"
    assert error.args and re.search(message, str(error)), error
    assert peak < 64 * MEGABYTE


# What files of arrays may claim


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda w: w.pop("dense/kernel"), "'dense/kernel' missing in the file"),
        (lambda w: w.update({"../../x": np.zeros(3)}), r"'\.\./\.\./x' in the file, and not"),
        (lambda w: w.update({"dense/bias": np.zeros((3, 1), np.float32)}), r"in the file \(3, 1\)"),
        (lambda w: w.update({"dense/bias": np.zeros(3, np.int32)}), "in the file int32"),
        (lambda w: w.update({"dense/bias": np.zeros(3, np.float64)}), "in the file float64"),
    ],
)
def test_weights_that_do_not_fit_are_refused(good, change, message):
    _, config, arrays = good
    weights = dict(arrays["weights"])
    change(weights)
    error = attempt(lambda path: write_archive(path, config, {**arrays, "weights": weights}))
    assert isinstance(error, FileFormatError)
    assert re.search(message, str(error)), error


def test_optimizer_state_of_another_type_is_refused(good):
    _, config, arrays = good
    slots = {name: a.astype(np.float16) for name, a in arrays["optimizer"].items()}
    error = attempt(lambda path: write_archive(path, config, {**arrays, "optimizer": slots}))
    assert isinstance(error, FileFormatError)
    assert "float16" in str(error)


# Fuzzing

NUMBERS = [0, -1, 1, 2, 10**12, -(10**18), 2**63, 10**40, 0.5, -1e308, 1e-320]
TEXTS = ["", "x", "relu", "float32", "bfloat16", "../x", "layer>Dense", "operation>add", "n" * 3000]
SCALARS = st.sampled_from([None, True, False, *NUMBERS, *TEXTS])
VALUES = st.one_of(
    SCALARS,
    st.lists(SCALARS, max_size=3),
    st.sampled_from([{}, nested(3), nested(30), {"__nacre__": "tuple"}, {"__nacre__": "shared"}]),
    st.builds(lambda v: {"__nacre__": "tuple", "items": [v]}, SCALARS),
    st.builds(lambda n: {"__nacre__": "object", "name": n, "config": {}}, SCALARS),
    st.builds(lambda n: {"__nacre__": "reference", "name": n}, SCALARS),
)


def places(value, prefix=()):
    """Where there are values in nested lists and dictionaries."""
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, item in items:
        yield (*prefix, key)
        if isinstance(item, dict | list):
            yield from places(item, (*prefix, key))


def one_of(data, items):
    return items[data.draw(st.integers(0, len(items) - 1))]


def change_config(data, config):
    config = copy.deepcopy(config)
    for _ in range(data.draw(st.integers(1, 3))):
        everywhere = list(places(config))
        *way, last = one_of(data, everywhere)
        parent = config
        for key in way:
            parent = parent[key]
        action = data.draw(st.sampled_from(["set", "set", "set", "delete", "copy"]))
        if action == "delete":
            del parent[last]
        elif action == "copy":
            source = config
            for key in one_of(data, everywhere):
                source = source[key] if not isinstance(source, str) else source
            parent[last] = copy.deepcopy(source)
        else:
            parent[last] = copy.deepcopy(data.draw(VALUES))
    return config


def change_header(data, arrays):
    """The bytes of a safetensors file with some entries of its header changed."""
    file = io.BytesIO()
    write_tensors(file, arrays)
    content = file.getvalue()
    length = struct.unpack("<Q", content[:8])[0]
    header = change_config(data, json.loads(content[8 : 8 + length]))
    text = json.dumps(header).encode()
    return (
        struct.pack("<Q", data.draw(st.sampled_from([len(text)] * 4 + [0, 2**40])))
        + text
        + (content[8 + length :])
    )


def change_bytes(data, content):
    content = bytearray(content)
    for _ in range(data.draw(st.integers(1, 4))):
        position = data.draw(st.integers(0, max(len(content) - 1, 0)))
        action = data.draw(st.sampled_from(["flip", "cut", "delete", "insert", "set"]))
        if action == "cut":
            del content[position:]
        elif action == "delete":
            del content[position : position + data.draw(st.integers(1, 100))]
        elif action == "insert":
            content[position:position] = data.draw(st.binary(min_size=1, max_size=20))
        elif content and action == "flip":
            content[position] ^= 1 << data.draw(st.integers(0, 7))
        elif content:
            number = struct.pack("<L", data.draw(st.sampled_from([0, 1, 2**16, 2**31, 2**32 - 1])))
            content[position : position + 4] = number
    return bytes(content)


def zip_of(path, config, entries):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("config.json", json.dumps(config))
        for name, content in entries.items():
            archive.writestr(name, content)


def fuzz_once(good, data):
    content, config, arrays = good
    kind = data.draw(st.sampled_from(["bytes", "config", "config", "header"]))
    if kind == "bytes":
        changed = change_bytes(data, content)
        attempt(lambda path: path.write_bytes(changed))
    elif kind == "config":
        changed = change_config(data, config)
        attempt(lambda path: zip_of(path, changed, _files(arrays)))
    else:
        group = data.draw(st.sampled_from(sorted(arrays)))
        entries = {**_files(arrays), f"{group}.safetensors": change_header(data, arrays[group])}
        attempt(lambda path: zip_of(path, config, entries))


def _files(arrays):
    files = {}
    for group, named in arrays.items():
        file = io.BytesIO()
        write_tensors(file, named)
        files[f"{group}.safetensors"] = file.getvalue()
    return files


RELAXED = {"deadline": None, "suppress_health_check": list(HealthCheck)}


@settings(max_examples=200, **RELAXED)
@given(data=st.data())
def test_changed_files_are_refused_or_load(good, data):
    fuzz_once(good, data)


@pytest.mark.slow
@settings(max_examples=10_000, **RELAXED)
@given(data=st.data())
def test_ten_thousand_changed_files_are_refused_or_load(good, data):
    fuzz_once(good, data)


def test_a_file_of_hardly_any_bytes_is_refused():
    for content in (b"", b"PK", b"PK\x03\x04", b"PK\x05\x06" + b"\0" * 18, os.urandom(1000)):
        error = attempt(lambda path, content=content: path.write_bytes(content))
        assert isinstance(error, FileFormatError)
