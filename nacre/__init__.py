"""Nacre: deep learning that reads like Keras and runs like a compiled program."""

from nacre import activations as activations
from nacre import callbacks as callbacks
from nacre import initializers as initializers
from nacre import layers as layers
from nacre import losses as losses
from nacre import metrics as metrics
from nacre import models as models
from nacre import ops as ops
from nacre import optimizers as optimizers
from nacre import regularizers as regularizers
from nacre.core.errors import LearnerWarning as LearnerWarning
from nacre.core.lift import Lifted as Lifted
from nacre.core.lift import lift as lift
from nacre.core.random import set_seed as set_seed
from nacre.core.tracebacks import set_debug as set_debug
from nacre.core.variables import Variable as Variable
from nacre.layers.input import Input as Input
from nacre.models.model import Model as Model
from nacre.models.sequential import Sequential as Sequential

__version__ = "0.1.0"
