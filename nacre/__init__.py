"""Nacre: deep learning that reads like Keras and runs like a compiled program."""
