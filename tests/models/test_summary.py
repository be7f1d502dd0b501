"""The summary's rows, totals and notes, and how they are drawn."""

import io
import itertools
import re
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

import nacre
from nacre import layers
from nacre.core.symbolic import record
from nacre.models.cost import count_operations
from nacre.models.summary import summarise
from nacre.models.table import bytes_text, count_text, shorten, shorten_label


def digits():
    return nacre.Sequential(
        [
            nacre.Input((784,)),
            layers.Dense(512, activation="relu"),
            layers.Dropout(0.2),
            layers.Dense(10),
        ]
    )


def rows_of(model, **options):
    return {row.name: row for row in summarise(model, **options).rows}


def text_of(model, **options):
    lines = []
    model.summary(print_fn=lines.append, **options)
    return "\n".join(lines)


def operations(row):
    return row.cost.operations


# Figures


def test_a_stack_of_layers():
    rows = rows_of(digits())
    assert list(rows) == ["dense", "dropout", "dense_1"]
    assert [row.kind for row in rows.values()] == ["Dense", "Dropout", "Dense"]
    assert [row.shapes for row in rows.values()] == [("(None, 512)",)] * 2 + [("(None, 10)",)]
    assert [row.parameters for row in rows.values()] == [784 * 512 + 512, 0, 512 * 10 + 10]
    assert [row.trainable for row in rows.values()] == ["yes", "", "yes"]
    assert [operations(row) for row in rows.values()] == [
        2 * 784 * 512 + 512 + 512,
        0,
        2 * 512 * 10 + 10,
    ]


def test_the_totals():
    summary = summarise(digits())
    assert summary.parameters == summary.trainable == 407_050
    assert summary.trainable_bytes == 4 * 407_050
    assert summary.frozen == summary.frozen_bytes == 0
    assert summary.cost.operations == 2 * 784 * 512 + 1024 + 2 * 512 * 10 + 10


def test_xla_counts_the_same_for_one_example():
    model = digits()
    apply, params, state = nacre.lift(model)
    x = jax.ShapeDtypeStruct((1, 784), "float32")
    analysis = jax.jit(apply).lower(params, state, x).cost_analysis()
    selections = 512  # of relu, which XLA counts and a summary does not
    assert summarise(model).cost.operations == analysis["flops"] - selections


@given(st.lists(st.integers(1, 20), min_size=2, max_size=4))
@settings(max_examples=10, deadline=None)
def test_the_rows_add_up(sizes):
    model = nacre.Sequential([nacre.Input((sizes[0],)), *map(layers.Dense, sizes[1:])])
    summary = summarise(model)
    assert sum(map(operations, summary.rows)) == summary.cost.operations
    assert summary.cost.operations == sum(2 * m * n + n for m, n in itertools.pairwise(sizes))
    assert sum(row.parameters for row in summary.rows) == model.count_params()


def test_what_is_frozen_and_what_is_state():
    frozen = layers.Dense(4)
    model = nacre.Sequential([nacre.Input((3,)), frozen, layers.BatchNormalization()])
    frozen.trainable = False
    summary = summarise(model)
    assert [row.trainable for row in summary.rows] == ["no", "yes"]
    assert summary.trainable == 8  # the batch norm's scale and offset
    assert summary.frozen == 3 * 4 + 4 + 8
    inner = nacre.Sequential([nacre.Input((3,)), frozen, layers.Dense(2)])
    outer = nacre.Sequential([inner])
    assert rows_of(outer)["sequential"].trainable == "partly"


def test_a_fixed_batch_size_counts_one_example():
    flexible = nacre.Sequential([nacre.Input((6,)), layers.Dense(5)])
    fixed = nacre.Sequential([nacre.Input((6,), batch_size=8), layers.Dense(5)])
    assert rows_of(fixed)["dense"].shapes == ("(8, 5)",)
    assert summarise(fixed).cost == summarise(flexible).cost


def test_an_unknown_length_is_counted_at_a_stated_size():
    model = nacre.Sequential(
        [nacre.Input((None,)), layers.Embedding(50, 3, mask_zero=True), layers.Dense(4)]
    )
    summary = summarise(model)
    assert [row.shapes for row in summary.rows] == [("(None, None, 3)",), ("(None, None, 4)",)]
    assert summary.cost.operations == 256 * (2 * 3 * 4 + 4)
    assert any("256" in note for note in summary.notes)
    assert not any("256" in note for note in summarise(digits()).notes)


# Functional models


def plus_one(x):
    return x + 1.0


def two_sided():
    left, right = nacre.Input((8,), name="left"), nacre.Input((8,))
    shared = layers.Dense(4, name="shared")
    both = layers.Concatenate()([shared(left), shared(right)])
    shifted = record(plus_one, (both,), {}).outputs
    encoder = nacre.Sequential([nacre.Input((8,)), layers.Dense(16), layers.Dense(8)], name="inner")
    return nacre.Model([left, right], layers.Add()([encoder(shifted), shifted]))


def test_a_graph_with_a_shared_layer_a_function_and_a_model_inside():
    rows = rows_of(two_sided())
    assert list(rows) == ["left", "input", "shared", "concatenate", "plus_one", "inner", "add"]
    assert rows["left"].kind == "Input"
    assert rows["left"].shapes == ("(None, 8)",)
    assert rows["shared"].sources == ("left", "input")
    assert rows["shared"].parameters == 36
    assert operations(rows["shared"]) == 2 * (2 * 8 * 4 + 4)  # called twice
    assert rows["plus_one"].kind == "operation"
    assert operations(rows["plus_one"]) == 8
    assert rows["add"].sources == ("inner", "plus_one")
    assert operations(rows["inner"]) == 2 * 8 * 16 + 16 + 2 * 16 * 8 + 8


def test_the_rows_of_a_graph_add_up():
    summary = summarise(two_sided())
    assert sum(map(operations, summary.rows)) == summary.cost.operations
    assert summary.parameters == 36 + (8 * 16 + 16) + (16 * 8 + 8)


def test_connections_are_shown_where_the_model_is_not_a_chain():
    assert "Connected to" in text_of(two_sided())
    assert "Connected to" not in text_of(digits())
    x = nacre.Input((3,))
    chain = nacre.Model(x, layers.Dense(2)(layers.Dense(4)(x)))
    assert "Connected to" not in text_of(chain)
    h = layers.Dense(3)(x)
    skip = nacre.Model(x, layers.Add()([h, x]))
    assert "Connected to" in text_of(skip)


def test_nested_layers_are_shown_when_asked_for():
    model = two_sided()
    expanded = summarise(model, expand_nested=True)
    inside = [row for row in expanded.rows if row.depth == 1]
    assert [row.name for row in inside] == ["dense", "dense_1"]
    assert [row.parameters for row in inside] == [8 * 16 + 16, 16 * 8 + 8]
    assert sum(map(operations, inside)) == operations(rows_of(model)["inner"])
    assert expanded.cost == summarise(model).cost
    assert "dense_1" in text_of(model, expand_nested=True)
    assert "dense_1" not in text_of(model)


# Subclassed models


class Block(layers.Layer):
    def __init__(self, inner):
        super().__init__()
        self.first = layers.Dense(8)
        self.second = inner
        self.never = layers.Dense(3)

    def call(self, x):
        return x + self.second(self.first(x))


class Blocks(nacre.Model):
    def __init__(self):
        super().__init__()
        inner = layers.Dense(8)
        self.blocks = [Block(inner), Block(inner)]
        self.head = layers.Dense(2)

    def call(self, x):
        for block in self.blocks:
            x = block(x)
        return self.head(self.blocks[0].first(x))


DENSE = 2 * 8 * 8 + 8


@pytest.mark.parametrize("build", ["on data", "by shape", "by symbol", "by predicting"])
def test_a_subclassed_model_once_it_is_built(build):
    model = Blocks()
    if build == "on data":
        model(np.ones((5, 8), "float32"))
    elif build == "by shape":
        model.build((None, 8))
    elif build == "by symbol":
        model(nacre.Input((8,)))
    else:
        model.predict(np.ones((5, 8), "float32"))
    summary = summarise(model)
    rows = {row.name: row for row in summary.rows}
    assert list(rows) == ["blocks/0", "blocks/1", "head"]
    assert rows["blocks/1"].shapes == ("(None, 8)",)
    assert operations(rows["blocks/1"]) == 2 * DENSE + 8
    assert operations(rows["blocks/0"]) == 3 * DENSE + 8  # its first layer is called once more
    assert summary.parameters == 3 * 72 + 18
    assert summary.cost.operations == sum(map(operations, summary.rows))


def test_a_layer_shared_by_two_layers_is_counted_once():
    model = Blocks()
    model.build((None, 8))
    rows = summarise(model, expand_nested=True).rows
    seconds = [row for row in rows if row.name == "second"]
    assert [row.is_shared for row in seconds] == [False, True]
    assert [operations(row) for row in seconds] == [DENSE, DENSE]
    assert "shared" in text_of(model, expand_nested=True)
    never = [row for row in rows if row.name == "never"]
    assert all(row.shapes == () and row.parameters is None and row.cost is None for row in never)


def test_what_a_model_computes_itself_is_in_the_total():
    class Scaled(nacre.Model):
        def __init__(self):
            super().__init__()
            self.dense = layers.Dense(4)

        def call(self, x):
            return jnp.tanh(self.dense(x)) * 2.0

    model = Scaled()
    model.build((None, 3))
    summary = summarise(model)
    assert operations(summary.rows[0]) == 2 * 3 * 4 + 4
    assert summary.cost.operations == 2 * 3 * 4 + 4 + 4 + 4


def test_a_layer_called_inside_a_loop_counts_each_time():
    class Repeated(nacre.Model):
        def __init__(self):
            super().__init__()
            self.dense = layers.Dense(4)

        def call(self, x):
            return jax.lax.fori_loop(0, 5, lambda _, x: self.dense(x), self.dense(x))

    model = Repeated()
    model.build((None, 4))
    assert operations(summarise(model).rows[0]) == 6 * (2 * 4 * 4 + 4)


def test_several_outputs_and_inputs_in_dictionaries():
    class Pair(nacre.Model):
        def __init__(self):
            super().__init__()
            self.split = Halves()

        def call(self, inputs):
            return self.split(inputs["a"] + inputs["b"])

    class Halves(layers.Layer):
        def call(self, x):
            return x[:, :2], x[:, 2:]

    model = Pair()
    model({"a": np.ones((3, 5), "float32"), "b": np.ones((3, 5), "float32")})
    summary = summarise(model)
    assert summary.rows[0].shapes == ("(None, 2)", "(None, 3)")
    assert summary.cost.operations == 5


def test_a_loop_of_unknown_length_makes_a_lower_bound():
    class Waiting(layers.Layer):
        def call(self, x):
            return jax.lax.while_loop(lambda c: jnp.sum(c) < 1.0, lambda c: c * 2.0, x)

    model = nacre.Sequential([nacre.Input((3,)), Waiting()])
    text = text_of(model)
    assert ">=" in text
    assert "while loop" in text


# Without weights, or without a known input


def test_a_model_without_weights_says_how_to_build_it():
    model = nacre.Sequential([layers.Dense(5), layers.Dense(2)])
    text = text_of(model)
    assert "dense_1" in text
    assert "unbuilt" in text
    assert "Input" in text
    assert "Parameters" not in text
    assert "unbuilt" in text_of(nacre.Sequential())
    assert "unbuilt" in text_of(Blocks())
    model.build((None, 3))
    assert "unbuilt" not in text_of(model)
    assert "Parameters: 32" in text_of(model)


def test_a_model_that_others_built_knows_its_input():
    class Outer(nacre.Model):
        def __init__(self):
            super().__init__()
            self.inner = nacre.Sequential([layers.Dense(5)])

        def call(self, x):
            return self.inner(x)

    model = Outer()
    model.build((None, 3))
    summary = summarise(model.inner)
    assert summary.parameters == 20
    assert summary.cost.operations == 2 * 3 * 5 + 5
    assert summary.rows[0].shapes == ("(None, 5)",)
    assert summary.notes == ()


def test_a_model_that_cannot_be_traced_shows_what_is_known():
    class Moody(layers.Layer):
        fails = False

        def call(self, x):
            if Moody.fails:
                raise RuntimeError("not today")
            return x * self.weight("scale", (3,)).reshape(1, 3)

    model = nacre.Sequential([nacre.Input((3,)), Moody()])
    Moody.fails = True
    summary = summarise(model)
    assert summary.parameters == 3
    assert any("not today" in note for note in summary.notes)


def test_a_summary_changes_nothing():
    model = nacre.Sequential([nacre.Input((3,)), layers.BatchNormalization(), layers.Dropout(0.5)])
    before = model.get_weights()
    text_of(model)
    assert text_of(model) == text_of(model)
    for a, b in zip(before, model.get_weights()):
        np.testing.assert_array_equal(a, b)
    assert model.predict(np.ones((2, 3), "float32")).shape == (2, 3)


def test_the_lifted_model_costs_what_the_summary_says():
    model = two_sided()
    apply, params, state = nacre.lift(model)
    x = jax.ShapeDtypeStruct((2, 8), "float32")
    cost = count_operations(lambda *inputs: apply(params, state, list(inputs))[0], x, x)
    assert summarise(model).cost.operations == cost.operations // 2


# Drawing


def test_numbers_are_readable():
    text = text_of(digits())
    assert "401,920" in text
    assert "804 K" in text
    assert re.search(r"Parameters: 407,050 \(1\.55 MB\)", text)
    assert re.search(r"non-trainable: 0 \(0 B\)", text)
    assert "FLOPs per example: 814,090 (814 K)" in text


def test_the_column_of_trainables_can_be_left_out():
    assert "Trainable" in text_of(digits())
    assert "Trainable" not in text_of(digits(), show_trainable=False)


@pytest.mark.parametrize("width", [70, 80, 120])
def test_lines_fit_the_width(width):
    long = "a_layer_with_a_name_that_says_everything_there_is_to_say_about_what_it_does_and_why"
    x = nacre.Input((3,))
    h = layers.Dense(3, name=long)(x)
    model = nacre.Model(x, layers.Add(name=long[::-1])([h, x]))
    lines = text_of(model, line_length=width).splitlines()
    assert max(map(len, lines)) <= width
    assert any("a_layer" in line and "..." in line for line in lines)


def test_columns_of_numbers_end_in_the_same_place():
    lines = text_of(digits()).splitlines()
    ends = {line.index(text) + len(text) for line in lines for text in ["401,920"] if text in line}
    ends |= {line.index("5,130") + 5 for line in lines if "5,130" in line}
    ends |= {line.index("Params") + 6 for line in lines if "Params " in line}
    assert len(ends) == 1


def test_without_a_function_it_is_printed(capsys):
    digits().summary()
    assert capsys.readouterr().out.rstrip("\n") == text_of(digits())


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_on_a_terminal_it_says_the_same(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "100")
    two_sided().summary()
    shown = re.sub(r"\x1b\[[0-9;]*m", "", terminal.getvalue())
    plain = text_of(two_sided())
    assert "\x1b[" in terminal.getvalue()
    for word in set(plain.split()) - {word for word in plain.split() if set(word) == {"-"}}:
        assert word in shown


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0"),
        (999, "999"),
        (1000, "1.00 K"),
        (15_690, "15.7 K"),
        (99_960, "100 K"),
        (999_499, "999 K"),
        (999_500, "1.00 M"),
        (8_178_000_000, "8.18 G"),
        (10**21, "1000 E"),
    ],
)
def test_large_numbers(number, text):
    assert count_text(number) == text


def test_amounts_of_memory():
    assert [bytes_text(n) for n in (0, 1023, 1024, 407_050 * 4, 3 * 1024**3)] == [
        "0 B",
        "1023 B",
        "1.00 KB",
        "1.55 MB",
        "3.00 GB",
    ]


@given(st.text("abc_/", min_size=1, max_size=60), st.integers(12, 60))
def test_shortened_names_fit_and_keep_their_ends(name, width):
    short = shorten(name, width)
    assert len(short) <= width
    assert short == name or (short[:4] == name[:4] and short[-4:] == name[-4:])
    label = shorten_label(f"{name} (Dense)", width)
    assert len(label) <= width
    assert label.endswith("(Dense)") or len(name) > width - len(" (Dense)")
