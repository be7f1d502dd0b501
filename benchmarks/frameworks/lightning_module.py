"""PyTorch Lightning: a module, a loader over tensors, a trainer without logs and checkpoints."""

from __future__ import annotations

import logging
import warnings
from typing import Any

import lightning
import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from benchmarks.frameworks.torch_loop import build_network, build_optimizer, prepared
from benchmarks.workloads import Workload

__all__ = ["Network", "prepared"]

warnings.filterwarnings("ignore")
logging.getLogger("lightning").setLevel(logging.ERROR)
logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)


class Classifier(lightning.LightningModule):
    def __init__(self, workload: Workload, input_shape: tuple[int, ...]) -> None:
        super().__init__()
        self.network = build_network(workload, input_shape)
        self.optimizer_name = workload.optimizer

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return build_optimizer(self.optimizer_name, self.parameters())

    def _step(self, batch: Any) -> torch.Tensor:
        x, labels = batch
        logits = self.network(x)
        loss = nn.functional.cross_entropy(logits, labels)
        accuracy = (logits.argmax(-1) == labels).float().mean()
        self.log_dict({"loss": loss, "accuracy": accuracy}, on_step=False, on_epoch=True)
        return loss

    def training_step(self, batch: Any, index: int) -> torch.Tensor:
        return self._step(batch)

    def test_step(self, batch: Any, index: int) -> torch.Tensor:
        return self._step(batch)

    def predict_step(self, batch: Any, index: int) -> torch.Tensor:
        return torch.softmax(self.network(batch[0]), -1)


class Quiet(lightning.Callback):
    def on_train_epoch_end(self, trainer: Any, module: Any) -> None:
        pass


class Network:
    def __init__(self, workload: Workload, input_shape: tuple[int, ...]) -> None:
        self.batch_size = workload.batch_size
        self.module = Classifier(workload, input_shape)

    def _trainer(self, epochs: int = 1, callbacks: Any = None) -> lightning.Trainer:
        return lightning.Trainer(
            accelerator="cpu",
            max_epochs=epochs,
            callbacks=callbacks,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )

    def fit(self, x: Any, y: Any, epochs: int, callback: bool = False) -> None:
        loader = DataLoader(TensorDataset(x, y), self.batch_size, shuffle=True)
        self._trainer(epochs, [Quiet()] if callback else None).fit(self.module, loader)

    def evaluate(self, x: Any, y: Any) -> float:
        loader = DataLoader(TensorDataset(x, y), self.batch_size)
        return self._trainer().test(self.module, loader, verbose=False)[0]["accuracy"]

    def predict(self, x: Any, batch_size: int) -> np.ndarray:
        loader = DataLoader(TensorDataset(x), batch_size)
        parts: Any = self._trainer().predict(self.module, loader)
        return torch.cat(parts).numpy()
