"""PyTorch as written by hand: data in memory, shuffled by index, loss and accuracy kept."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import nn

from benchmarks.workloads import Workload

torch.set_num_threads(len(os.sched_getaffinity(0)))


def prepared(x: np.ndarray, labels: np.ndarray, classes: int) -> Any:
    if x.ndim == 4:  # images: the axis of channels comes first, the memory stays as it was
        x = x.transpose(0, 3, 1, 2)
    return torch.from_numpy(x), torch.from_numpy(labels).long()


class Recurrent(nn.Module):
    """A recurrent layer that gives all its outputs, or the last one."""

    def __init__(self, layer: nn.Module, last: bool) -> None:
        super().__init__()
        self.layer = layer
        self.last = last

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.layer(x)[0]
        return y[:, -1] if self.last else y


class Residual(nn.Module):
    """Two 3x3 convolutions with batch normalisation, and a shortcut."""

    def __init__(self, channels: int, filters: int, stride: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, filters, 3, stride, padding=1, bias=False)
        self.first_norm = nn.BatchNorm2d(filters)
        self.second = nn.Conv2d(filters, filters, 3, padding=1, bias=False)
        self.second_norm = nn.BatchNorm2d(filters)
        self.shortcut = nn.Identity()
        if stride > 1:
            self.shortcut = nn.Sequential(
                nn.Conv2d(channels, filters, 1, stride, bias=False), nn.BatchNorm2d(filters)
            )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = torch.relu(self.first_norm(self.first(x)))
        return torch.relu(self.second_norm(self.second(y)) + self.shortcut(x))


def build_layers(workload: Workload, input_shape: tuple[int, ...]) -> Iterator[nn.Module]:
    """The network without its last softmax, which the loss computes."""
    size, channels = input_shape[0], input_shape[-1]
    for layer in workload.layers:
        activation = layer[-1]
        match layer:
            case "dense", units, _:
                yield nn.Linear(channels, units)
                channels = units
            case "conv", filters, width, _:
                yield nn.Conv2d(channels, filters, width)
                size, channels = size - width + 1, filters
            case "same", filters, width, _:
                yield nn.Conv2d(channels, filters, width, padding="same")
                channels = filters
            case "separable", filters, width, _:
                yield nn.Conv2d(channels, channels, width, groups=channels, bias=False)
                yield nn.Conv2d(channels, filters, 1)
                size, channels = size - width + 1, filters
            case "residual", filters, stride:
                yield Residual(channels, filters, stride)
                size, channels = -(-size // stride), filters
            case ("norm",):
                yield nn.BatchNorm2d(channels)
                activation = "relu"
            case "pool", width:
                yield nn.MaxPool2d(width)
                size //= width
            case ("average",):
                yield nn.AdaptiveAvgPool2d(1)
                yield nn.Flatten()
            case "lstm", units:
                yield Recurrent(nn.LSTM(channels, units, batch_first=True), last=True)
                channels = units
            case ("gru" | "last_gru") as kind, units:
                recurrent = nn.GRU(channels, units, batch_first=True)
                yield Recurrent(recurrent, last=kind == "last_gru")
                channels = units
            case _:
                yield nn.Flatten()
                channels *= size * size
        if activation == "relu":
            yield nn.ReLU()


def build_network(workload: Workload, input_shape: tuple[int, ...]) -> nn.Sequential:
    network = nn.Sequential(*build_layers(workload, input_shape))
    return network.to(memory_format=torch.channels_last) if len(input_shape) == 3 else network


def build_optimizer(name: str, parameters: Any) -> torch.optim.Optimizer:
    if name == "adam":
        return torch.optim.Adam(parameters, lr=1e-3, eps=1e-7)
    if name == "sgd":
        return torch.optim.SGD(parameters, lr=0.01)
    return torch.optim.RMSprop(parameters, lr=1e-3, alpha=0.9, eps=1e-7)


class Network:
    def __init__(self, workload: Workload, input_shape: tuple[int, ...]) -> None:
        self.batch_size = workload.batch_size
        self.mixed = workload.precision == "mixed_bfloat16"
        self.network = build_network(workload, input_shape)
        self.optimizer = build_optimizer(workload.optimizer, self.network.parameters())
        self.forward: Any = self.network
        if "BENCHMARK_COMPILE" in os.environ:
            self.forward = torch.compile(self.network)

    def fit(self, x: Any, y: Any, epochs: int, callback: bool = False) -> None:
        for epoch in range(epochs):
            total = torch.zeros(())
            right = torch.zeros((), dtype=torch.long)
            for rows in torch.randperm(len(x)).split(self.batch_size):
                inputs, labels = x[rows], y[rows]
                with torch.autocast("cpu", torch.bfloat16, enabled=self.mixed):
                    logits = self.forward(inputs)
                    loss = nn.functional.cross_entropy(logits, labels)
                self.optimizer.zero_grad()
                loss.backward()
                self.optimizer.step()
                total += loss.detach() * len(rows)
                right += (logits.argmax(-1) == labels).sum()
            self.history = total.item() / len(x), right.item() / len(x)
            if callback:
                self.on_epoch_end(epoch)

    def on_epoch_end(self, epoch: int) -> None:
        pass

    @torch.inference_mode()
    def evaluate(self, x: Any, y: Any) -> float:
        pairs = zip(x.split(self.batch_size), y.split(self.batch_size))
        right = sum((self.forward(a).argmax(-1) == b).sum() for a, b in pairs)
        return int(right) / len(x)

    @torch.inference_mode()
    def predict(self, x: Any, batch_size: int) -> np.ndarray:
        parts = [torch.softmax(self.forward(part), -1) for part in x.split(batch_size)]
        return torch.cat(parts).numpy()
