"""The well-known data sets: found, or downloaded and checked, then parsed into NumPy arrays."""
