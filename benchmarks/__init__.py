"""Nacre beside what people would use instead: each workload, each framework, one process each."""
