"""The names of older versions of Keras. The numbers are those of the optimizers of today."""

from __future__ import annotations

from nacre.optimizers.adadelta import Adadelta
from nacre.optimizers.adagrad import Adagrad
from nacre.optimizers.adam import Adam
from nacre.optimizers.adamax import Adamax
from nacre.optimizers.ftrl import Ftrl
from nacre.optimizers.nadam import Nadam
from nacre.optimizers.optimizer import Optimizer
from nacre.optimizers.rmsprop import RMSprop
from nacre.optimizers.sgd import SGD

__all__ = [
    "Adadelta",
    "Adagrad",
    "Adam",
    "Adamax",
    "Ftrl",
    "Nadam",
    "Optimizer",
    "RMSprop",
    "SGD",
]
