"""Nacre and Keras: the same lines for both."""

from __future__ import annotations

import importlib
import os
from typing import Any

import numpy as np

from benchmarks.workloads import Workload

library: Any = importlib.import_module(os.environ.get("BENCHMARK_API", "keras"))
layers = library.layers


def prepared(x: np.ndarray, labels: np.ndarray, classes: int) -> Any:
    return x, np.eye(classes, dtype=np.float32)[labels]


def build_layer(kind: str, *settings: Any) -> Any:
    match kind, settings:
        case "dense", (units, activation):
            return layers.Dense(units, activation=activation)
        case "conv", (filters, width, activation):
            return layers.Conv2D(filters, width, activation=activation)
        case "pool", (width,):
            return layers.MaxPooling2D(width)
        case "lstm", (units,):
            return layers.LSTM(units)
        case _:
            return layers.Flatten()


class Network:
    def __init__(self, workload: Workload, input_shape: tuple[int, ...]) -> None:
        self.batch_size = workload.batch_size
        parts = [build_layer(*layer) for layer in workload.layers]
        self.model = library.Sequential([library.Input(input_shape), *parts])
        self.model.compile(
            optimizer=workload.optimizer, loss="categorical_crossentropy", metrics=["accuracy"]
        )

    def fit(self, x: Any, y: Any, epochs: int, callback: bool = False) -> None:
        class Quiet(library.callbacks.Callback):
            def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
                pass

        self.model.fit(
            x,
            y,
            epochs=epochs,
            batch_size=self.batch_size,
            verbose=0,
            callbacks=[Quiet()] if callback else None,
        )

    def evaluate(self, x: Any, y: Any) -> float:
        return float(self.model.evaluate(x, y, batch_size=self.batch_size, verbose=0)[1])

    def predict(self, x: Any, batch_size: int) -> np.ndarray:
        return self.model.predict(x, batch_size=batch_size, verbose=0)
