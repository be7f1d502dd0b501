"""Models: what can be trained, saved and described."""

from nacre.models.model import Model as Model
from nacre.models.sequential import Sequential as Sequential
from nacre.models.trainer import NotFiniteWarning as NotFiniteWarning
