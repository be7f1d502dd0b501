"""Why a goal is not reached, and what was tried: what a profile says, by workload and figure."""

from __future__ import annotations

__all__ = ["NOTES"]

NOTES: dict[tuple[str, str], str] = {
    ("resnet18", "ms a step"): "Of the processor time, 39% are the products forwards and in the "
    "image, which run at 61 to 89% of the peak, 20% the products in the kernel, at 52 to 68% (the "
    "table of single operations), and 14% the system's: a call's temporaries are new "
    "memory, and steps this long come one to a call.",
    ("separable", "ms a step"): "Of the processor time, 51% are the kernels' and 29% the system's: "
    "a call's temporaries are new memory, and each page of it is cleared. Tried: huge pages for "
    "them (GLIBC_TUNABLES=glibc.malloc.hugetlb=1), 10 to 50% less of the system's time. Not tried: "
    "memory that is kept from call to call; the depthwise and the pointwise convolution in one "
    "pass.",
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
