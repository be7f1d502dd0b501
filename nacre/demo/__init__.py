"""The demo: a network that learns to read handwritten digits, and a page about what it learned."""
