"""Optimizers: how gradients change the parameters."""

from __future__ import annotations

from nacre.optimizers import legacy, schedules
from nacre.optimizers.adadelta import Adadelta
from nacre.optimizers.adagrad import Adagrad
from nacre.optimizers.adam import Adam, AdamW
from nacre.optimizers.adamax import Adamax
from nacre.optimizers.find import get
from nacre.optimizers.ftrl import Ftrl
from nacre.optimizers.lamb import Lamb
from nacre.optimizers.lion import Lion
from nacre.optimizers.nadam import Nadam
from nacre.optimizers.optax_optimizer import OptaxOptimizer
from nacre.optimizers.optimizer import Optimizer
from nacre.optimizers.rmsprop import RMSprop
from nacre.optimizers.sgd import SGD

__all__ = [
    "Adadelta",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "Ftrl",
    "Lamb",
    "Lion",
    "Nadam",
    "OptaxOptimizer",
    "Optimizer",
    "RMSprop",
    "SGD",
    "get",
    "legacy",
    "schedules",
]
