"""Why a goal is not reached, and what was tried: what a profile says, by workload and figure."""

from __future__ import annotations

__all__ = ["NOTES"]

NOTES: dict[tuple[str, str], str] = {
    ("mlp_bf16x3", "ms a step"): (
        "Its products are those of float32, which at the peak of this machine alone take 0.9 of "
        "the 1.26 ms: three products of bfloat16 for each would take half as long again in "
        "AVX-512's units, and the machine has no AMX."
    ),
    ("convnet_bf16", "ms a step"): (
        "73% of the processor time is in kernels: 23% the second convolution's gradient in its "
        "image (13 x 13 pixels in squares of 4 x 4, of which a third lies beside it), 15% that in "
        "its kernel, 12% forward, 10% the first convolution, 9% the way back from the maxima, "
        "which writes 11 MB. XLA's threads take 10%, mostly waiting. Before there were kernels "
        "for bfloat16 it took 0.71 of PyTorch's time here."
    ),
    ("resnet18_bf16", "ms a step"): (
        "A step makes 107 billion operations if windows are computed one by one, 229 ms at the "
        "peak of this machine's units for bfloat16 (the goal asks for 191); a third of them is "
        "left by F(4x4, 3x3), at float32's rate. 73% of the processor time is in kernels (56% "
        "F(4x4, 3x3), 11% strided and 1 x 1 convolutions, 4% normalization), 11% in the system, "
        "which clears pages. Tried: all in the units for bfloat16 (376 ms), large kernels "
        "transformed in one piece (293), pages of 4 KiB (a tenth more)."
    ),
    ("resnet18_bf16x3", "ms a step"): (
        "Convolutions with strides and 1 x 1 have float32's rate, an eighth of the operations; so "
        "has normalization. See resnet18_bf16 for what takes the rest."
    ),
    ("vgg16_bf16", "ms a step"): (
        "22% of the processor time is the system's, which clears and maps the temporaries of "
        "every call, more than 1 GB with the gradients of 138 million weights: a step is longer "
        "than a call of steps may be, so that there is one for each step. 64% is in kernels: 50% "
        "windows of 3 x 3 (600 to 700 GFLOP/s counted one by one), 4% dense layers, 4% updates. "
        "By itself, not in turns with others, a step took 1,030 to 1,180 ms."
    ),
    ("vgg16_bf16x3", "ms a step"): ("As vgg16_bf16."),
    ("warm_cache", "s in all"): (
        "Training takes most of it, and its two large products of matrices most of that: at the "
        "peak of this machine they alone take 0.8 of the 1.7 ms of a step. Importing, loading the "
        "digits (the same for all) and evaluating take the rest; JAX by hand takes no less in "
        "all."
    ),
    ("cold_start", "MiB at the peak"): (
        "The digits and the libraries take 430 MiB. The rest is XLA compiling: without its newer "
        "way of making fusions (xla_cpu_use_fusion_emitters) the peak is 106 MiB lower, but a "
        "step takes 1.6 times as long. The update of the weights in one native call, with a "
        "quarter of the fusions fewer, took 18 MiB off. Tried: one arena for malloc, 39 MiB less; "
        "code generated in one part, 9 MiB less."
    ),
}
