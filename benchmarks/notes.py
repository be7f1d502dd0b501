"""Why a goal is not reached, and what was tried: what a profile says, by workload and figure."""

from __future__ import annotations

__all__ = ["NOTES"]

_BOUND = (
    "The hand-written loop, which does nothing that it need not do, is at 0.83 of Keras on JAX: "
    "there is little to gain above XLA's own operations. "
)

NOTES: dict[tuple[str, str], str] = {
    ("mlp", "ms a step"): _BOUND
    + "Looking at every gradient costs 2% of a step (2.08 ms, and 2.04 ms with "
    'on_nonfinite="ignore", side by side). Tried: to ask isfinite of each number took 0.63 ms in a '
    "loop of its own, to compare their bits 1.76 ms, the sums that are used 0.14 ms.",
    ("predict", "ms for 10,000 examples"): "PyTorch's products are faster than XLA's here: the "
    "hand-written JAX loop takes longer than Nacre.",
    ("warm_cache", "s in all"): "Training takes 5.3 of Nacre's 6.5 s, and the hand-written loop "
    "trains no faster (5.4 s). Importing, loading and evaluating take 1.2 s, and 3.1 s in Keras.",
}
