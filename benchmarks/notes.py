"""Why a goal is not reached, and what was tried: what a profile says, by workload and figure."""

from __future__ import annotations

__all__ = ["NOTES"]

NOTES: dict[tuple[str, str], str] = {
    ("mlp_bf16", "ms a step"): "Products are made in float32, since this machine has no faster "
    "units for bfloat16 (AVX-512's vdpbf16ps has half the rate of float32 here).",
    ("warm_cache", "s in all"): "Training takes most of it, and its two large products of matrices "
    "most of that: at the peak of this machine they alone take 0.8 of the 1.7 ms of a step. "
    "Importing, loading the digits (the same for all) and evaluating take the rest; JAX by hand "
    "takes no less in all.",
    ("cold_start", "MiB at the peak"): "The digits and the libraries take 430 MiB. The rest is XLA "
    "compiling: without its newer way of making fusions (xla_cpu_use_fusion_emitters) the peak is "
    "106 MiB lower, but a step takes 1.6 times as long. The update of the weights in one native "
    "call, with a quarter of the fusions fewer, took 18 MiB off. Tried: one arena for malloc, 39 "
    "MiB less; code generated in one part, 9 MiB less.",
}
