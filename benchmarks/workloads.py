"""What is measured: the workloads, their networks, and the figures that must hold."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["GOALS", "WORKLOADS", "Goal", "Workload"]

# A layer is its kind and its settings, so that every framework builds the same network:
#   ("dense", units, activation)    ("conv", filters, width, activation)    ("pool", width)
#   ("separable", filters, width, activation)   ("same", filters, width, activation): padded
#   ("residual", filters, stride): two 3x3 convolutions with batch normalisation, and a shortcut
#   ("norm",): batch normalisation and relu     ("average",): over the image    ("flatten",)
#   ("lstm", units)    ("gru", units): all outputs    ("last_gru", units): the last one
Layer = tuple

KERAS = ("keras_jax", "keras_tensorflow", "keras_torch")
HIGH_LEVEL = (*KERAS, "lightning")
TORCH = ("torch", "torch_compile")
KERNEL_PEERS = ("keras_jax", "keras_tensorflow", *TORCH)
EVERYONE = ("nacre", *HIGH_LEVEL, *TORCH, "jax")


@dataclass(frozen=True)
class Workload:
    """One network, its data, and how it is measured.

    Attributes:
        name: what ``make bench WORKLOAD=`` calls it.
        title: what the tables call it.
        measure: the function in ``measures`` that takes the figures.
        frameworks: who takes part.
        layers: the network, from its input on.
        data: the function in ``data`` that gives the examples.
        examples: how many of them; None for all.
        optimizer: ``"rmsprop"``, ``"adam"`` or ``"sgd"``, with Keras's defaults.
        batch_size: examples in a step.
        epochs: the length of one measured run.
        fresh: whether each round starts a new process, or takes turns in one that is warm.
        rounds: measurements of each framework.
        precision: of the arithmetic. With ``"mixed_bfloat16"``, PyTorch's is autocast's; with
            ``"bf16x3"``, which the others do not have, theirs is float32's.
    """

    name: str
    title: str
    measure: str
    frameworks: tuple[str, ...]
    layers: tuple[Layer, ...]
    data: str
    examples: int | None
    optimizer: str
    batch_size: int
    epochs: int
    fresh: bool = False
    rounds: int = 7
    precision: str = "float32"


@dataclass(frozen=True)
class Goal:
    """An upper bound for Nacre's figure, as a share of the best of some peers.

    Without peers the bound is on the figure itself.
    """

    workload: str
    figure: str
    peers: tuple[str, ...]
    share: float


DEMO = (("dense", 512, "relu"), ("dense", 10, "softmax"))
TINY = (("dense", 16, "relu"), ("dense", 3, "softmax"))
CONVNET = (
    ("conv", 32, 3, "relu"),
    ("pool", 2),
    ("conv", 64, 3, "relu"),
    ("pool", 2),
    ("flatten",),
    ("dense", 10, "softmax"),
)
RECURRENT = (("lstm", 64), ("dense", 10, "softmax"))
SEPARABLE = (
    ("separable", 32, 3, "relu"),
    ("separable", 64, 3, "relu"),
    ("pool", 2),
    ("separable", 64, 3, "relu"),
    ("separable", 128, 3, "relu"),
    ("pool", 2),
    ("average",),
    ("dense", 32, "relu"),
    ("dense", 10, "softmax"),
)
RESNET_18 = (
    ("same", 64, 3, None),
    ("norm",),
    *[("residual", 64, 1)] * 2,
    *[("residual", 128, 2), ("residual", 128, 1)],
    *[("residual", 256, 2), ("residual", 256, 1)],
    *[("residual", 512, 2), ("residual", 512, 1)],
    ("average",),
    ("dense", 10, "softmax"),
)
VGG_16 = (
    *[layer for filters, depth in ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))
      for layer in (*[("same", filters, 3, "relu")] * depth, ("pool", 2))],
    ("flatten",),
    ("dense", 4096, "relu"),
    ("dense", 4096, "relu"),
    ("dense", 10, "softmax"),
)  # fmt: skip
WIDE = (("lstm", 256), ("dense", 10, "softmax"))
STACKED = (("gru", 64), ("last_gru", 64), ("dense", 10, "softmax"))
DEEP = (*[("dense", 16, "relu")] * 199, ("dense", 10, "softmax"))

WORKLOADS = {
    workload.name: workload
    for workload in (
        Workload(
            "mlp", "MNIST: Dense 512, Dense 10; batch 128, RMSprop", "steps",
            EVERYONE, DEMO, "digits", None, "rmsprop", 128, 1,
        ),
        Workload(
            "tiny", "iris: Dense 16, Dense 3; batch 16, Adam", "steps_and_callback",
            EVERYONE, TINY, "iris", None, "adam", 16, 200,
        ),
        Workload(
            "convnet", "MNIST: two Conv 3x3 (32, 64) and pools, Dense 10; batch 128, RMSprop",
            "steps", ("nacre", *HIGH_LEVEL, *TORCH, "jax_steps"), CONVNET, "images", 2560,
            "rmsprop", 128, 1,
        ),
        Workload(
            "lstm", "LSTM 64, Dense 10 on sequences (50, 32); batch 64, Adam", "steps",
            ("nacre", *HIGH_LEVEL, "torch", "jax"), RECURRENT, "sequences", 1024, "adam", 64, 2,
        ),
        Workload(
            "lstm_wide", "LSTM 256, Dense 10 on sequences (100, 128); batch 32, Adam", "steps",
            ("nacre", *KERNEL_PEERS), WIDE, "long_sequences", 320, "adam", 32, 1,
        ),
        Workload(
            "gru", "GRU 64, GRU 64, Dense 10 on sequences (50, 32); batch 64, Adam", "steps",
            ("nacre", *KERNEL_PEERS), STACKED, "sequences", 1024, "adam", 64, 1,
        ),
        Workload(
            "separable", "separable convolutions 32 to 128, 64x64x3; batch 64, Adam", "steps",
            ("nacre", *KERNEL_PEERS), SEPARABLE, "small_photos", 640, "adam", 64, 1,
        ),
        Workload(
            "resnet18", "ResNet-18 on 32x32x3; batch 32, SGD", "steps",
            ("nacre", *KERNEL_PEERS), RESNET_18, "thumbnails", 320, "sgd", 32, 1, rounds=5,
        ),
        Workload(
            "vgg16", "VGG-16 on 224x224x3; batch 4, SGD", "steps",
            ("nacre", *KERNEL_PEERS), VGG_16, "photos", 16, "sgd", 4, 1, rounds=5,
        ),
        Workload(
            "mlp_bf16", "mlp in mixed bfloat16", "steps",
            ("nacre", *KERNEL_PEERS), DEMO, "digits", None, "rmsprop", 128, 1,
            rounds=5, precision="mixed_bfloat16",
        ),
        Workload(
            "convnet_bf16", "convnet in mixed bfloat16", "steps",
            ("nacre", *KERNEL_PEERS), CONVNET, "images", 2560, "rmsprop", 128, 1,
            rounds=5, precision="mixed_bfloat16",
        ),
        Workload(
            "resnet18_bf16", "resnet18 in mixed bfloat16", "steps",
            ("nacre", *KERNEL_PEERS), RESNET_18, "thumbnails", 320, "sgd", 32, 1,
            rounds=5, precision="mixed_bfloat16",
        ),
        Workload(
            "vgg16_bf16", "vgg16 in mixed bfloat16", "steps",
            ("nacre", *KERNEL_PEERS), VGG_16, "photos", 16, "sgd", 4, 1,
            rounds=5, precision="mixed_bfloat16",
        ),
        Workload(
            "mlp_bf16x3", "mlp in bf16x3, the others in float32", "steps",
            ("nacre", *KERNEL_PEERS), DEMO, "digits", None, "rmsprop", 128, 1,
            rounds=5, precision="bf16x3",
        ),
        Workload(
            "convnet_bf16x3", "convnet in bf16x3, the others in float32", "steps",
            ("nacre", *KERNEL_PEERS), CONVNET, "images", 2560, "rmsprop", 128, 1,
            rounds=5, precision="bf16x3",
        ),
        Workload(
            "resnet18_bf16x3", "resnet18 in bf16x3, the others in float32", "steps",
            ("nacre", *KERNEL_PEERS), RESNET_18, "thumbnails", 320, "sgd", 32, 1,
            rounds=5, precision="bf16x3",
        ),
        Workload(
            "vgg16_bf16x3", "vgg16 in bf16x3, the others in float32", "steps",
            ("nacre", *KERNEL_PEERS), VGG_16, "photos", 16, "sgd", 4, 1,
            rounds=5, precision="bf16x3",
        ),
        Workload(
            "cold_start", "from import to the end of five epochs of MNIST and the test",
            "cold_start", ("nacre", *HIGH_LEVEL, "torch", "jax"), DEMO, "digits", None,
            "rmsprop", 128, 5, fresh=True, rounds=5,
        ),
        Workload(
            "warm_cache", "the same with a compilation cache on disk", "cold_start",
            ("nacre", "keras_jax", "jax"), DEMO, "digits", None, "rmsprop", 128, 5,
            fresh=True, rounds=5,
        ),
        Workload(
            "predict", "prediction with the MNIST network", "prediction",
            ("nacre", *HIGH_LEVEL, "torch", "jax"), DEMO, "digits", 10000, "rmsprop", 128, 1,
        ),
        Workload(
            "depth", "200 layers Dense 16; batch 32, Adam", "depth",
            ("nacre", "keras_jax", "torch", "jax"), DEEP, "narrow", 3200, "adam", 32, 1,
            fresh=True, rounds=5,
        ),
        Workload(
            "importing", "importing the library", "importing",
            ("nacre", "jax", *KERAS, "lightning", "torch"), DEMO, "iris", None, "adam", 16, 1,
            fresh=True, rounds=9,
        ),
        Workload(
            "streamed", "MNIST's network on a file ten times the data budget", "streamed_memory",
            ("nacre",), DEMO, "on_disk", None, "rmsprop", 128, 2, fresh=True, rounds=5,
        ),
    )
}  # fmt: skip

GOALS = (
    Goal("mlp", "ms a step", HIGH_LEVEL, 0.85),
    Goal("mlp", "ms a step", ("jax",), 1.10),
    Goal("tiny", "µs a step", (*HIGH_LEVEL, *TORCH), 0.06),
    Goal("tiny", "µs a step with on_epoch_end", (*HIGH_LEVEL, *TORCH), 0.15),
    Goal("convnet", "ms a step", ("jax_steps",), 0.6),
    Goal("lstm", "ms a step", ("keras_jax",), 1.0),
    Goal("lstm", "ms a step", ("keras_jax", "keras_tensorflow", "torch"), 0.70),
    Goal("lstm_wide", "ms a step", KERNEL_PEERS, 0.80),
    Goal("gru", "ms a step", KERNEL_PEERS, 0.80),
    Goal("convnet", "ms a step", KERNEL_PEERS, 0.60),
    Goal("separable", "ms a step", KERNEL_PEERS, 0.80),
    Goal("resnet18", "ms a step", KERNEL_PEERS, 0.85),
    Goal("vgg16", "ms a step", KERNEL_PEERS, 0.90),
    Goal("mlp_bf16", "ms a step", KERNEL_PEERS, 0.55),
    Goal("convnet_bf16", "ms a step", KERNEL_PEERS, 0.55),
    Goal("resnet18_bf16", "ms a step", KERNEL_PEERS, 0.65),
    Goal("vgg16_bf16", "ms a step", KERNEL_PEERS, 0.70),
    Goal("mlp_bf16x3", "ms a step", KERNEL_PEERS, 0.65),
    Goal("convnet_bf16x3", "ms a step", KERNEL_PEERS, 0.50),
    Goal("resnet18_bf16x3", "ms a step", KERNEL_PEERS, 0.55),
    Goal("vgg16_bf16x3", "ms a step", KERNEL_PEERS, 0.60),
    Goal("cold_start", "s in all", ("keras_jax",), 0.80),
    Goal("cold_start", "s in all", ("keras_tensorflow", "keras_torch", "lightning"), 0.60),
    Goal("warm_cache", "s in all", ("keras_jax",), 0.50),
    Goal("predict", "µs for one example", ("keras_jax",), 0.25),
    Goal("predict", "µs for one example", ("jax",), 2.5),
    Goal("predict", "ms for 10,000 examples", (*HIGH_LEVEL, "torch"), 1.1),
    Goal("cold_start", "MiB at the peak", KERAS, 0.8),
    Goal("streamed", "share of the budget and two windows", (), 1.0),
    Goal("importing", "s to import, JAX being there", (), 0.2),
    Goal("depth", "s to build", ("keras_jax",), 1.0),
    Goal("depth", "s to the first step", ("keras_jax",), 1.0),
    Goal("depth", "ms a step", ("keras_jax",), 1.0),
)
