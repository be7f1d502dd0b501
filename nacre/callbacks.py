"""Callbacks: what may be called at the moments of ``fit``, ``evaluate`` and ``predict``."""

from __future__ import annotations

from nacre.training.backup_and_restore import BackupAndRestore
from nacre.training.callbacks import Callback, CallbackList
from nacre.training.csv_logger import CSVLogger
from nacre.training.early_stopping import EarlyStopping
from nacre.training.history import History
from nacre.training.lambda_callback import LambdaCallback
from nacre.training.learning_rate_scheduler import LearningRateScheduler
from nacre.training.model_checkpoint import CheckpointWarning, ModelCheckpoint
from nacre.training.progress import ProgressBar
from nacre.training.reduce_lr_on_plateau import ReduceLROnPlateau
from nacre.training.terminate_on_nan import TerminateOnNaN

__all__ = [
    "BackupAndRestore",
    "Callback",
    "CallbackList",
    "CheckpointWarning",
    "CSVLogger",
    "EarlyStopping",
    "History",
    "LambdaCallback",
    "LearningRateScheduler",
    "ModelCheckpoint",
    "ProgressBar",
    "ReduceLROnPlateau",
    "TerminateOnNaN",
]
