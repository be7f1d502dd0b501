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


class LastOutput(nn.Module):
    """An LSTM that gives what it says at the end of the sequence."""

    def __init__(self, inputs: int, units: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(inputs, units, batch_first=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.lstm(x)[0][:, -1]


def build_layers(workload: Workload, input_shape: tuple[int, ...]) -> Iterator[nn.Module]:
    """The network without its last softmax, which the loss computes."""
    size, channels = input_shape[0], input_shape[-1]
    for layer in workload.layers:
        match layer:
            case "dense", units, activation:
                yield nn.Linear(channels, units)
                channels = units
            case "conv", filters, width, activation:
                yield nn.Conv2d(channels, filters, width)
                size, channels = size - width + 1, filters
            case "pool", width:
                yield nn.MaxPool2d(width)
                size, activation = size // width, None
            case "lstm", units:
                yield LastOutput(channels, units)
                channels, activation = units, None
            case _:
                yield nn.Flatten()
                channels, activation = channels * size * size, None
        if activation == "relu":
            yield nn.ReLU()


def build_network(workload: Workload, input_shape: tuple[int, ...]) -> nn.Sequential:
    network = nn.Sequential(*build_layers(workload, input_shape))
    return network.to(memory_format=torch.channels_last) if len(input_shape) == 3 else network


def build_optimizer(name: str, parameters: Any) -> torch.optim.Optimizer:
    if name == "adam":
        return torch.optim.Adam(parameters, lr=1e-3, eps=1e-7)
    return torch.optim.RMSprop(parameters, lr=1e-3, alpha=0.9, eps=1e-7)


class Network:
    def __init__(self, workload: Workload, input_shape: tuple[int, ...]) -> None:
        self.batch_size = workload.batch_size
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
