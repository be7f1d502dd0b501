"""A guard for speed that counts instead of timing: programs, transfers, and the step's operations.

When a test here fails, something that runs in every step, call or run has become more (or less).
The message gives the counts that were found.

* More programs compiled: see which function was compiled anew, and make what it depends on a value
  instead of a shape or a constant.
* More transfers: ``jax.transfer_guard("log")`` around the ``fit`` names each; keep on the device
  what the next call needs, and read back only the table of metrics.
* More operations in the loop: print ``optimized(model, ...)`` and look at what was not there
  before. Copies of weights mean that XLA can no longer update in place; a second gather, that the
  examples are read twice; an operation as long as the data, that every step handles all of them.

If the change is meant, measure it (``make bench WORKLOAD=mlp``, and ``tiny``), and then put the new
counts here. The counts are XLA's for the CPU. Where two releases of JAX differ there is a range.
"""

import os
import re
from collections import Counter

import jax
import numpy as np
import pytest

import nacre
from nacre import layers
from nacre.callbacks import Callback
from nacre.kernels import in_use
from nacre.training import loop
from nacre.training.program import Program

RNG = np.random.default_rng(0)
X = RNG.standard_normal((70, 5)).astype(np.float32)
Y = RNG.integers(0, 3, 70)
EPOCH = 5  # steps, of 16 examples; the last one is short


class EachEpoch(Callback):
    def on_epoch_end(self, epoch, logs=None):
        pass


def classifier():
    model = nacre.Sequential(
        [nacre.Input((5,)), layers.Dense(8, activation="relu"), layers.Dense(3, "softmax")]
    )
    model.compile("rmsprop", "sparse_categorical_crossentropy", ["accuracy"])
    return model


def fit(model, epochs=2, validation=False, callback=False):
    model.fit(
        X,
        Y,
        batch_size=16,
        epochs=epochs,
        verbose=0,
        validation_data=(X[:20], Y[:20]) if validation else None,
        callbacks=[EachEpoch()] if callback else None,
    )


# Programs that are compiled


class Compilations:
    """The names of what XLA compiles while it is entered."""

    def __enter__(self):
        self.names = Counter()
        jax.monitoring.register_event_duration_secs_listener(self._listen)
        return self

    def _listen(self, event, duration_secs, **about):
        if event == "/jax/core/compile/backend_compile_duration":
            self.names[str(about["fun_name"]).removeprefix("jit(").removesuffix(")")] += 1

    def __exit__(self, *error):
        jax.monitoring.unregister_event_duration_listener(self._listen)


@pytest.fixture(scope="module")
def trained():
    """A model after a plain fit and one with validation, and what was compiled for each."""
    model = classifier()
    with Compilations() as plain:
        fit(model)
    with Compilations() as validation:
        fit(model, validation=True)
    return model, plain, validation


def test_programs_of_a_first_and_a_second_fit(trained):
    _, plain, validation = trained
    assert plain.names == {"_segments": 1}, plain.names  # the slots are filled on the host
    assert validation.names == {"_segments": 1}, validation.names  # and no other one to train


@pytest.mark.parametrize("validation", [False, True])
@pytest.mark.parametrize("callback", [False, True])
def test_a_second_fit_compiles_nothing(trained, validation, callback):
    model, *_ = trained
    with Compilations() as compilations:
        fit(model, epochs=3, validation=validation, callback=callback)
    assert not compilations.names


def test_a_first_fit_with_a_callback_compiles_no_more():
    model = classifier()
    with Compilations() as compilations:
        fit(model, callback=True)
    assert compilations.names["_segments"] == 1, compilations.names


# Transfers between the host and the device

GUARD = "jax_transfer_guard_host_to_device"
READS = ("__array__", "__bool__", "__float__", "__index__", "__int__", "item", "tolist")


@pytest.fixture
def transfers(monkeypatch, capfd):
    """A function that runs another and counts: calls of programs, arrays to and from the device."""
    monkeypatch.setattr(loop, "LONGEST_CALL", 1e9)  # no call is cut short, however slow the machine
    counts = Counter()

    def counted(name, function):
        def call(*arguments, **options):
            if name == "calls" or (arguments and isinstance(arguments[0], jax.Array)):
                counts[name] += 1
            return function(*arguments, **options)

        return call

    kind = type(jax.numpy.zeros(()))
    for read in READS:
        monkeypatch.setattr(kind, read, counted("from the device", getattr(kind, read)))
    # NumPy takes the memory of an array on the CPU without asking for any of these.
    for name in ("array", "asarray"):
        monkeypatch.setattr(np, name, counted("from the device", getattr(np, name)))
    monkeypatch.setattr(Program, "__call__", counted("calls", Program.__call__))

    def count(function):
        counts.clear()
        before = getattr(jax.config, GUARD)
        jax.config.update(GUARD, "log")  # in every thread
        capfd.readouterr()
        try:
            function()
        finally:
            jax.config.update(GUARD, before)
        counts["to the device"] = capfd.readouterr().err.count("host-to-device transfer")
        return dict(counts)

    return count


def test_transfers_are_counted(transfers):
    x = jax.numpy.ones(3)

    def back_and_forth():
        jax.device_put(np.ones(3))
        jax.jit(lambda a: a)(np.ones(2))
        return np.asarray(x), float(x[0]), x.tolist(), np.array(x)

    found = transfers(back_and_forth)
    assert found["from the device"] == 4
    assert found["to the device"] >= 2


def transfers_of(transfers, model, epochs, **options):
    model.trainer.epoch = 0  # the orders of 64 epochs go to the device together
    return transfers(lambda: fit(model, epochs, **options))


def test_more_epochs_cost_no_more_calls_and_transfers(trained, transfers):
    model, *_ = trained
    short = transfers_of(transfers, model, 56)
    long = transfers_of(transfers, model, 60)
    assert short == long
    assert long["calls"] <= 5, long  # 1, 1, 16 and 256 steps, then the rest
    # A call takes the learning rate, the order, the segments and their count, and a table of
    # metrics comes back. The rest is what a run begins and ends with.
    assert long["to the device"] <= 4 * long["calls"] + 9, long
    assert long["from the device"] <= long["calls"] + 6, long


@pytest.mark.parametrize(
    ("options", "most"),
    [
        ({"callback": True}, {"calls": 1, "to the device": 4, "from the device": 1}),
        ({"validation": True}, {"calls": 2, "to the device": 15, "from the device": 2}),
    ],
    ids=["callback", "validation"],
)
def test_transfers_of_an_epoch_after_which_the_host_acts(trained, transfers, options, most):
    model, *_ = trained
    short = transfers_of(transfers, model, 10, **options)
    long = transfers_of(transfers, model, 30, **options)
    found = {name: (long[name] - short[name]) / 20 for name in long}
    assert found["calls"] == most["calls"]
    assert all(found[name] <= most[name] for name in most), found


# The operations of the compiled program


class Caught(Exception):
    pass


def optimized(model, count, batch_size):
    """The program that ``fit`` would run over ``count`` examples, as XLA has made it."""
    x = np.zeros((count, *model.input_shape[1:]), np.float32)
    y = np.zeros((count, 10), np.float32)

    def compile_only(program, carry, constants, data, order, segments):
        table = np.zeros((program.most_segments, 4), np.int32)
        lowered = program._run.lower(carry, constants, data, order, table, np.int32(1))
        changed = "xla_cpu_use_fusion_emitters" in os.environ.get("XLA_FLAGS", "")
        as_users_have_it = {"xla_cpu_use_fusion_emitters": True} if changed else None
        raise Caught(lowered.compile(as_users_have_it))

    with pytest.MonkeyPatch.context() as patch, pytest.raises(Caught) as found:
        patch.setattr(Program, "__call__", compile_only)
        model.fit(x, y, batch_size=batch_size, verbose=0)
    return found.value.args[0]


def instructions(text):
    """The operation, the shape and whether it is outside of all loops, for each instruction."""
    outside = False
    for line in text.splitlines():
        if not line.startswith(" "):
            outside = line.startswith("ENTRY")
        elif found := re.match(r"\s+(?:ROOT )?%?[\w.-]+ = (.*)", line):
            shape, rest = typed(found[1])
            if operation := re.match(r"\s*([\w-]+)\(", rest):
                yield operation[1], shape, outside


def typed(text):
    """The shape at the beginning of an instruction, and what follows it."""
    if not text.startswith("("):
        shape, _, rest = text.partition(" ")
        return shape, rest
    depth = 0
    for place, letter in enumerate(text):
        depth += (letter == "(") - (letter == ")")
        if not depth:
            return text[: place + 1], text[place + 1 :]
    raise ValueError(f"a shape without an end: {text}")


def dimensions(shape):
    found = re.match(r"\w+\[([\d,]*)\]", shape)
    return [int(d) for d in found[1].split(",") if d] if found else []


NAMES_ONLY = ("parameter", "get-tuple-element", "tuple", "bitcast", "while", "conditional")
LARGE = 1000  # numbers


def counts(text, count, weights):
    """What is counted of a program over ``count`` examples, with weights of the given shapes."""
    found = Counter()
    for operation, shape, outside in instructions(text):
        size = dimensions(shape)
        found[operation] += 1
        found["instructions"] += operation not in ("parameter", "get-tuple-element", "constant")
        found["as long as the data"] += size[:1] == [count] and operation not in NAMES_ONLY
        if operation == "copy" and not outside:
            found["large copy in a loop"] += int(np.prod(size) >= LARGE)
            found["copy of a weight in a loop"] += tuple(size) in weights
    return found


def demo():
    return nacre.Sequential(
        [nacre.Input((784,)), layers.Dense(512, activation="relu"), layers.Dense(10, "softmax")]
    )


def convnet():
    return nacre.Sequential(
        [
            nacre.Input((28, 28, 1)),
            layers.Conv2D(32, 3, activation="relu"),
            layers.MaxPooling2D(2),
            layers.Conv2D(64, 3, activation="relu"),
            layers.MaxPooling2D(2),
            layers.Flatten(),
            layers.Dense(10, activation="softmax"),
        ]
    )


def recurrent():
    return nacre.Sequential(
        [nacre.Input((50, 32)), layers.LSTM(64), layers.Dense(10, activation="softmax")]
    )


# The network, its optimizer, the examples (with 1000 there is a short last step, so that each
# operation of a step is there twice), and what its program is made of.
PROGRAMS = {
    "portable": {
        "demo": (demo, "rmsprop", 1000, {
            "while": 2, "conditional": 3, "dot": 10, "gather": 4, "copy": 22,
            "fusion": range(98, 105), "instructions": range(620, 646),
            "MiB for the time being": range(2, 4),
        }),
        "convnet": (convnet, "rmsprop", 384, {
            "while": 2, "conditional": 1, "dot": 9, "convolution": 3, "gather": 2, "copy": 27,
            "large copy in a loop": 1, "fusion": range(72, 84), "instructions": range(602, 622),
            "MiB for the time being": range(40, 53),
        }),
        "recurrent": (recurrent, "adam", 384, {
            "while": 4, "conditional": 1, "dot": 8, "gather": 2, "copy": 52,
            "large copy in a loop": 18, "fusion": range(104, 111), "instructions": range(636, 674),
            "MiB for the time being": range(18, 24),
        }),
    },
    "native": {
        "demo": (demo, "rmsprop", 1000, {
            "while": 2, "conditional": 1, "custom-call": 10, "dot": 4, "gather": 4, "copy": 22,
            "fusion": range(70, 79), "instructions": range(445, 475),
            "MiB for the time being": range(2, 4),
        }),
        "convnet": (convnet, "rmsprop", 384, {
            "while": 2, "conditional": 0, "custom-call": 10, "dot": 2, "gather": 2, "copy": 26,
            "fusion": range(36, 43), "instructions": range(255, 300),
            "MiB for the time being": range(14, 17),
        }),
        "recurrent": (recurrent, "adam", 384, {
            "while": 2, "conditional": 0, "custom-call": 6, "dot": 3, "gather": 2, "copy": 30,
            "fusion": range(40, 47), "instructions": range(275, 295),
            "MiB for the time being": range(11, 14),
        }),
    },
}[in_use()["name"]]  # fmt: skip
NEVER = ("sort", "scatter", "as long as the data", "copy of a weight in a loop")


@pytest.mark.parametrize("name", PROGRAMS)
def test_operations_of_the_step(name):
    make, optimizer, count, expected = PROGRAMS[name]
    model = make()
    model.compile(optimizer, "categorical_crossentropy", ["accuracy"])
    compiled = optimized(model, count, 128)
    found = counts(compiled.as_text(), count, {weight.shape for weight in model.get_weights()})
    found["MiB for the time being"] = round(compiled.memory_analysis().temp_size_in_bytes / 2**20)
    wrong = {
        kind: f"{found[kind]}, expected {bound}"
        for kind, bound in {
            **dict.fromkeys((*NEVER, "convolution", "custom-call"), 0),
            **expected,
        }.items()
        if found[kind] not in (bound if isinstance(bound, range) else (bound,))
    }
    assert not wrong, f"{wrong}; see the beginning of this file"


def test_operations_are_counted():
    text = """HloModule jit_run

body (p: (f32[7,9], f32[500,3])) -> (f32[7,9], f32[500,3]) {
  %p = (f32[7,9]{1,0}, /*index=1*/f32[500,3]{1,0}) parameter(0), metadata={op_name="a = b"}
  %copy.1 = f32[7,9]{1,0} copy(%p)
  %gather.2 = f32[500,3]{1,0} gather(%p, %i), offset_dims={1}
  ROOT %tuple = (f32[7,9]{1,0}, /*index=1*/f32[500,3]{1,0}) tuple(%copy.1, %gather.2)
}

ENTRY %main (a: f32[7,9]) -> (f32[7,9], f32[500,3]) {
  %a = f32[7,9]{1,0} parameter(0)
  %copy.3 = f32[7,9]{1,0} copy(%a)
  %b = f32[500,3]{1,0} copy(%a)
  ROOT %while.1 = (f32[7,9]{1,0}, /*index=1*/f32[500,3]{1,0}) while(%a), body=%body
}
"""
    assert +counts(text, 500, {(7, 9)}) == {
        "parameter": 2, "copy": 3, "gather": 1, "tuple": 1, "while": 1, "instructions": 6,
        "as long as the data": 2, "copy of a weight in a loop": 1,
    }  # fmt: skip
