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


def applied(x: Any, kind: str, *settings: Any) -> Any:
    """A layer of the workload on a symbolic tensor."""
    match kind, settings:
        case "dense", (units, activation):
            return layers.Dense(units, activation=activation)(x)
        case "conv", (filters, width, activation):
            return layers.Conv2D(filters, width, activation=activation)(x)
        case "same", (filters, width, activation):
            return layers.Conv2D(filters, width, padding="same", activation=activation)(x)
        case "separable", (filters, width, activation):
            return layers.SeparableConv2D(filters, width, activation=activation)(x)
        case "residual", (filters, stride):
            return residual(x, filters, stride)
        case "norm", ():
            return layers.ReLU()(layers.BatchNormalization()(x))
        case "pool", (width,):
            return layers.MaxPooling2D(width)(x)
        case "average", ():
            return layers.GlobalAveragePooling2D()(x)
        case "lstm", (units,):
            return layers.LSTM(units)(x)
        case "gru", (units,):
            return layers.GRU(units, return_sequences=True)(x)
        case "last_gru", (units,):
            return layers.GRU(units)(x)
        case _:
            return layers.Flatten()(x)


def residual(x: Any, filters: int, stride: int) -> Any:
    y = layers.Conv2D(filters, 3, strides=stride, padding="same", use_bias=False)(x)
    y = layers.ReLU()(layers.BatchNormalization()(y))
    y = layers.Conv2D(filters, 3, padding="same", use_bias=False)(y)
    y = layers.BatchNormalization()(y)
    if stride > 1:
        x = layers.Conv2D(filters, 1, strides=stride, use_bias=False)(x)
        x = layers.BatchNormalization()(x)
    return layers.ReLU()(layers.Add()([x, y]))


class Network:
    def __init__(self, workload: Workload, input_shape: tuple[int, ...]) -> None:
        self.batch_size = workload.batch_size
        alone = workload.precision == "bf16x3" and library.__name__ != "nacre"
        library.config.set_dtype_policy("float32" if alone else workload.precision)
        inputs = y = library.Input(input_shape)
        for layer in workload.layers:
            y = applied(y, *layer)
        self.model = library.Model(inputs, y)
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
