"""What ``fit`` can draw batches from: arrays, streams, and data sets computed as needed."""

from nacre.data.budget import data_budget as data_budget, set_data_budget as set_data_budget
from nacre.data.dataset import Dataset as Dataset
