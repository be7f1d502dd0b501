"""Models: what can be trained, saved and described."""

from nacre.models.cloning import clone_model as clone_model, model_from_json as model_from_json
from nacre.models.model import Model as Model
from nacre.models.sequential import Sequential as Sequential
from nacre.models.trainer import NotFiniteWarning as NotFiniteWarning
from nacre.saving import load_model as load_model, save_model as save_model
