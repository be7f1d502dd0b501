"""The demo's run: load the digits, train, evaluate, save, report."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from nacre import layers, models
from nacre.datasets import digits, mnist
from nacre.datasets.download import DownloadError
from nacre.demo.report import Outcome, write_report
from nacre.utils import set_random_seed, to_categorical
from nacre.utils.environment import describe_machine, describe_versions

__all__ = ["Digits", "load_digits", "run_demo"]

CLASSES = 10
UNITS = 512
PROGRAM = """\
from nacre import layers, models
from nacre.datasets import {module}
from nacre.utils import to_categorical

(x_train, y_train), (x_test, y_test) = {module}.load_data()
x_train, x_test = (x.reshape(len(x), {inputs}).astype("float32") / {ink} for x in (x_train, x_test))

network = models.Sequential()
network.add(layers.Dense({units}, activation="relu", input_shape=({inputs},)))
network.add(layers.Dense({classes}, activation="softmax"))
network.compile(optimizer="rmsprop", loss="categorical_crossentropy", metrics=["accuracy"])
network.fit(x_train, to_categorical(y_train), epochs={epochs}, batch_size={batch_size})
test_loss, test_accuracy = network.evaluate(x_test, to_categorical(y_test))

network = models.load_model("model.nacre")  # the network of this page
network.predict(x_test[:1])
"""


@dataclass(frozen=True)
class Digits:
    """Handwritten digits to train on and to test with, and how long to train on them."""

    name: str
    module: str
    train: tuple[np.ndarray, np.ndarray]
    test: tuple[np.ndarray, np.ndarray]
    ink: int
    epochs: int
    batch_size: int

    @property
    def inputs(self) -> int:
        """The number of pixels of a digit."""
        return int(np.prod(self.train[0].shape[1:]))

    def scaled(self, images: np.ndarray) -> np.ndarray:
        """The images flattened, with 0 for paper and 1 for ink: ``(N, inputs)``, float32."""
        return images.reshape(len(images), self.inputs).astype(np.float32) / np.float32(self.ink)


@dataclass
class Stopwatch:
    """Wall-clock seconds by what took them."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def time(self, what: str) -> Iterator[None]:
        """Measure the block."""
        start = time.perf_counter()
        yield
        self.seconds[what] = time.perf_counter() - start


def load_digits() -> Digits:
    """MNIST, or where it can neither be found nor downloaded, the digits of scikit-learn."""
    try:
        train, test = mnist.load_data()
    except DownloadError:
        print(
            "MNIST is not on this machine and could not be downloaded: training on the 1,797 "
            "real digits (8 x 8 pixels) that scikit-learn ships instead."
        )
        train, test = digits.load_data()
        # An epoch has 45 steps instead of 469, so there are more of them.
        return Digits(
            "the digits of scikit-learn", "digits", train, test, 16, epochs=20, batch_size=32
        )
    return Digits("MNIST", "mnist", train, test, 255, epochs=5, batch_size=128)


def run_demo(output: Path, epochs: int | None = None, seed: int = 1) -> Outcome:
    """Train a network to read digits; write ``index.html`` and ``model.nacre`` into ``output``.

    Args:
        output: the folder to write to; made if need be.
        epochs: how often to go through the training digits: by default 5 times through MNIST.
        seed: the seed of the first weights and of the order of the digits.

    Returns:
        What the report tells.
    """
    output.mkdir(parents=True, exist_ok=True)  # first: a run must not end where it cannot write
    set_random_seed(seed)
    watch = Stopwatch()
    with watch.time("reading the data"):
        data = load_digits()
    epochs = data.epochs if epochs is None else epochs
    print(
        f"Data: {data.name}, {len(data.train[0]):,} digits to train on, "
        f"{len(data.test[0]):,} to test with."
    )
    x_train, x_test = data.scaled(data.train[0]), data.scaled(data.test[0])
    y_train, y_test = to_categorical(data.train[1], CLASSES), to_categorical(data.test[1], CLASSES)

    network = build_network(data.inputs)
    with watch.time(f"training, {epochs} epochs, with compilation and transfer"):
        history = network.fit(x_train, y_train, epochs=epochs, batch_size=data.batch_size)
    with watch.time("evaluation on the test digits, with compilation"):
        test_loss, _ = network.evaluate(x_test, y_test, verbose=0)
    with watch.time("prediction of the test digits, with compilation"):
        probabilities = np.asarray(network.predict(x_test, verbose=0))

    outcome = Outcome(
        data_set=data.name,
        history=history.history,
        test_loss=float(test_loss),
        images=data.test[0],
        ink=data.ink,
        truth=data.test[1],
        probabilities=probabilities,
        facts=_facts(network, data, epochs, watch),
        settings=_settings(data, epochs, seed),
        timings=watch.seconds,
        environment=describe_versions() | describe_machine(),
        program=PROGRAM.format(
            module=data.module,
            inputs=data.inputs,
            ink=data.ink,
            units=UNITS,
            classes=CLASSES,
            epochs=epochs,
            batch_size=data.batch_size,
        ),
    )
    network.save(output / "model.nacre")
    write_report(outcome, output / "index.html")
    print(
        f"Test accuracy: {outcome.accuracy:.4f} "
        f"({outcome.right:,} of {len(outcome.truth):,} digits), test loss: {test_loss:.4f}"
    )
    print(f"Report: {output / 'index.html'}")
    print(f"Model:  {output / 'model.nacre'}")
    return outcome


def build_network(inputs: int) -> Any:
    """The network of a first lesson: one hidden layer, then a probability for each digit."""
    network = models.Sequential()
    network.add(layers.Dense(UNITS, activation="relu", input_shape=(inputs,)))
    network.add(layers.Dense(CLASSES, activation="softmax"))
    network.compile(optimizer="rmsprop", loss="categorical_crossentropy", metrics=["accuracy"])
    return network


def _facts(network: Any, data: Digits, epochs: int, watch: Stopwatch) -> dict[str, str]:
    seconds = next(value for name, value in watch.seconds.items() if name.startswith("training"))
    return {
        "training time": f"{seconds:.1f} s",
        "digits a second": f"{epochs * len(data.train[0]) / seconds:,.0f}",
        "weights": f"{network.count_params():,}",
    }


def _settings(data: Digits, epochs: int, seed: int) -> dict[str, str]:
    return {
        "input": f"{data.inputs} pixels, scaled to 0..1",
        "hidden layer": f"Dense, {UNITS} units, relu",
        "output layer": f"Dense, {CLASSES} units, softmax",
        "loss": "categorical cross-entropy",
        "optimizer": "RMSprop, learning rate 0.001",
        "epochs": str(epochs),
        "batch size": str(data.batch_size),
        "training digits": f"{len(data.train[0]):,}",
        "test digits": f"{len(data.test[0]):,}",
        "seed": str(seed),
    }
