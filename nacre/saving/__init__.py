"""Saving models and weights to files, and loading them without trusting the files."""

from nacre.core.configurable import deserialize as deserialize, serialize as serialize
from nacre.core.registry import register_serializable as register_serializable
from nacre.saving.model_file import load_model as load_model, save_model as save_model
from nacre.saving.weights import load_weights as load_weights, save_weights as save_weights
