"""Nacre: deep learning that reads like Keras and runs like a compiled program."""

import importlib
from types import ModuleType

from nacre import (
    activations as activations,
    callbacks as callbacks,
    config as config,
    initializers as initializers,
    layers as layers,
    losses as losses,
    metrics as metrics,
    mixed_precision as mixed_precision,
    models as models,
    ops as ops,
    optimizers as optimizers,
    random as random,
    regularizers as regularizers,
    saving as saving,
)
from nacre.core.errors import LearnerWarning as LearnerWarning
from nacre.core.lift import Lifted as Lifted, lift as lift
from nacre.core.random import set_seed as set_seed
from nacre.core.tracebacks import set_debug as set_debug
from nacre.core.variables import Variable as Variable
from nacre.layers.input import Input as Input
from nacre.models.model import Model as Model
from nacre.models.sequential import Sequential as Sequential

__version__ = "0.1.0"


def __getattr__(name: str) -> ModuleType:
    """``nacre.datasets`` and ``nacre.utils``, imported when first used."""
    if name in ("datasets", "utils"):
        return importlib.import_module(f"nacre.{name}")
    raise AttributeError(f"module 'nacre' has no attribute {name!r}")
