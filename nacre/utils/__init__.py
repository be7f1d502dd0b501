"""Small public helpers: one-hot labels, padding, seeding, files from the network."""

from nacre.utils.files import get_file
from nacre.utils.numerical import normalize, to_categorical
from nacre.utils.randomness import set_random_seed
from nacre.utils.sequences import pad_sequences

__all__ = ["get_file", "normalize", "pad_sequences", "set_random_seed", "to_categorical"]
