"""Why a goal is not reached, and what was tried: what a profile says, by workload and figure."""

from __future__ import annotations

__all__ = ["NOTES"]

NOTES: dict[tuple[str, str], str] = {
    ("convnet", "ms a step"): "The convolutions are native. Pooling, the gradient of the biases "
    "and the cut below zero on the way back are XLA's, each a pass over the largest images. Not "
    "tried yet: to pool in the pass that convolves.",
    (
        "depth",
        "s to build",
    ): "Each layer's shapes are found by tracing it at two sizes, which takes 3 ms a layer.",
    ("depth", "s to the first step"): "Of 10.6 s, XLA compiles for 7.0 and JAX traces for 2.2. "
    'Without looking at the gradients of 400 weights (on_nonfinite="ignore") XLA takes 6.1 s.',
    ("predict", "ms for 10,000 examples"): "Each batch is a call of its own. Not tried yet: a loop "
    "over batches inside one call.",
    ("warm_cache", "s in all"): "Training takes 4.7 of 6.4 s, and 5.3 s by hand. Importing, "
    "loading the digits (the same for all) and evaluating take the rest.",
    ("cold_start", "MiB at the peak"): "The digits and the libraries take 430 MiB. The rest is XLA "
    "compiling: without its newer way of making fusions (xla_cpu_use_fusion_emitters) the peak is "
    "106 MiB lower, but a step takes 1.6 times as long. Tried: one arena for malloc, 39 MiB less; "
    "code generated in one part, 9 MiB less.",
}
