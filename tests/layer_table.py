"""Every layer of the library, each with arguments and inputs that it can be tried on.

A layer that is registered belongs here; then every contract holds it to account.
"""

from __future__ import annotations

from typing import Any, NamedTuple


def halve(x):
    return 0.5 * x


class Case(NamedTuple):
    """A layer, what to make it with and what to call it on.

    Attributes:
        layer: its name in ``nacre.layers``.
        arguments: of its constructor; a Case stands for the layer that it describes.
        shapes: of its inputs, with a batch of 4; a list for a layer that takes a list.
        below: its inputs are whole numbers below this; 0 for floating-point inputs.
        unknown: axes, besides the batch, whose size need not be known.
        mask: whether the mask of a sequence is passed on; None where the input is no sequence.
        variant: tells cases of one layer apart.
    """

    layer: str
    arguments: dict[str, Any] = {}  # noqa: RUF012
    shapes: Any = (4, 6)
    below: int = 0
    unknown: tuple[int, ...] = ()
    mask: bool | None = None
    variant: str = ""

    @property
    def name(self) -> str:
        return f"{self.layer}-{self.variant}" if self.variant else self.layer


SEQUENCE = (4, 5, 3)
SERIES = (4, 7, 3)
IMAGE = (4, 7, 6, 3)
VOLUME = (4, 5, 6, 4, 2)
WORDS = {"input_dim": 9, "output_dim": 3}
BENT = {"max_value": 1.0, "negative_slope": 0.1, "threshold": 0.2}
STEPS = (None, 1, None)
TAPS = {"filters": 4, "kernel_size": 3}
TWO = [(4, 6), (4, 6)]
TWO_SEQUENCES = [(4, 5, 3), (4, 5, 3)]

CASES = [
    # Dense layers, embeddings and functions
    Case("Dense", {"units": 5}),
    Case("Dense", {"units": 5, "activation": "tanh"}, SEQUENCE, 0, (1,), True, "sequence"),
    Case("Dense", {"units": 2, "use_bias": False, "kernel_regularizer": "l2"}, variant="no-bias"),
    Case("Rescaling", {"scale": 0.5, "offset": -1.0}, IMAGE, 0, (1, 2)),
    Case("Rescaling", {"scale": [0.5, 2.0, 1.0]}, SEQUENCE, 0, (1,), True, "each"),
    Case("Embedding", WORDS, (4, 5), 9, (1,)),
    Case(
        "Embedding",
        {"input_dim": 9, "output_dim": 3, "mask_zero": True},
        (4, 5),
        9,
        (1,),
        None,
        "0",
    ),
    Case("Activation", {"activation": "softplus"}, SEQUENCE, 0, (1,), True),
    Case(
        "ReLU", {"max_value": 1.0, "negative_slope": 0.1, "threshold": 0.2}, SEQUENCE, 0, (1,), True
    ),
    Case("LeakyReLU", {"negative_slope": 0.2}, SEQUENCE, 0, (1,), True),
    Case("PReLU", {"alpha_initializer": "ones"}, SEQUENCE, mask=True),
    Case("PReLU", {"shared_axes": [1, 2]}, IMAGE, 0, (1, 2), None, "shared"),
    Case("ELU", {"alpha": 0.7}, SEQUENCE, 0, (1,), True),
    Case("Softmax", {}, SEQUENCE, 0, (1,), True),
    Case("Softmax", {"axis": (1, 2)}, SEQUENCE, 0, (1,), True, "axes"),
    Case("Dropout", {"rate": 0.4}, SEQUENCE, 0, (1,), True),
    Case(
        "Dropout", {"rate": 0.4, "noise_shape": (None, 1, None)}, SEQUENCE, 0, (1,), True, "noise"
    ),
    Case("Identity", {}, SEQUENCE, 0, (1,), True),
    Case("InputLayer", {"shape": (5, 3)}, SEQUENCE, mask=True),
    Case("Lambda", {"function": halve}, SEQUENCE, 0, (1,), False),
    # Normalisation
    Case("BatchNormalization", {}, SEQUENCE, 0, (1,), True),
    Case(
        "BatchNormalization",
        {"axis": 1, "momentum": 0.8, "center": False},
        IMAGE,
        0,
        (2, 3),
        None,
        "axis",
    ),
    Case("BatchNormalization", {"scale": False}, variant="features"),
    Case("LayerNormalization", {}, SEQUENCE, 0, (1,), True),
    Case("LayerNormalization", {"axis": [1, 2], "scale": False}, SEQUENCE, 0, (), True, "axes"),
    # Shapes
    Case("Flatten", {}, SEQUENCE, 0, (1,), False),
    Case("Flatten", {"data_format": "channels_first"}, SEQUENCE, 0, (1,), False, "channels-first"),
    Case("Reshape", {"target_shape": (3, 5)}, SEQUENCE, mask=False),
    Case("Reshape", {"target_shape": (-1, 1, 3)}, SEQUENCE, 0, (1,), False, "inferred"),
    Case("Permute", {"dims": (2, 1)}, SEQUENCE, 0, (1,), False),
    Case("RepeatVector", {"n": 3}),
    # Several inputs
    Case("Add", {}, TWO_SEQUENCES, 0, (1,), True),
    Case("Add", {}, [(4, 5, 3), (4, 1, 3), (4, 3)], variant="broadcast"),
    Case("Subtract", {}, TWO),
    Case("Multiply", {}, TWO),
    Case("Average", {}, TWO),
    Case("Maximum", {}, TWO),
    Case("Minimum", {}, TWO),
    Case("Concatenate", {}, TWO_SEQUENCES, 0, (1,), True),
    Case("Concatenate", {"axis": 1}, [(4, 5, 3), (4, 2, 3)], 0, (1,), True, "time"),
    # Convolution
    Case("Conv1D", TAPS, SERIES, 0, (1,), False),
    Case(
        "Conv1D",
        {"filters": 2, "kernel_size": 2, "padding": "causal"},
        SERIES,
        0,
        (1,),
        False,
        "causal",
    ),
    Case("Conv2D", {"filters": 4, "kernel_size": 3}, IMAGE, 0, (1, 2)),
    Case(
        "Conv2D",
        {"filters": 6, "kernel_size": 3, "strides": 2, "padding": "same", "groups": 3},
        IMAGE,
        0,
        (1, 2),
        None,
        "groups",
    ),
    Case("Conv3D", {"filters": 2, "kernel_size": 2}, VOLUME, 0, (1, 2, 3)),
    Case("Conv1DTranspose", {"filters": 2, "kernel_size": 3, "strides": 2}, SERIES, 0, (1,), False),
    Case("Conv2DTranspose", {"filters": 2, "kernel_size": 3, "strides": 2}, IMAGE, 0, (1, 2)),
    Case("Conv3DTranspose", {"filters": 2, "kernel_size": 2, "strides": 2}, VOLUME, 0, (1, 2, 3)),
    Case("DepthwiseConv1D", {"kernel_size": 3, "depth_multiplier": 2}, SERIES, 0, (1,), False),
    Case("DepthwiseConv2D", {"kernel_size": 3, "depth_multiplier": 2}, IMAGE, 0, (1, 2)),
    Case("SeparableConv1D", {"filters": 2, "kernel_size": 3}, SERIES, 0, (1,), False),
    Case("SeparableConv2D", {"filters": 2, "kernel_size": 3}, IMAGE, 0, (1, 2)),
    Case("ZeroPadding1D", {"padding": (1, 2)}, SERIES, 0, (1,), False),
    Case("ZeroPadding2D", {"padding": 2}, IMAGE, 0, (1, 2)),
    Case("ZeroPadding3D", {"padding": 1}, VOLUME, 0, (1, 2, 3)),
    Case("Cropping1D", {"cropping": 1}, SERIES, 0, (1,), False),
    Case("Cropping2D", {"cropping": 1}, IMAGE, 0, (1, 2)),
    Case("Cropping3D", {"cropping": 1}, VOLUME, 0, (1, 2, 3)),
    Case("UpSampling1D", {"size": 2}, SERIES, 0, (1,), False),
    Case("UpSampling2D", {"size": 2}, IMAGE, 0, (1, 2)),
    Case("UpSampling3D", {"size": 2}, VOLUME, 0, (1, 2, 3)),
    # Pooling
    *(
        Case(f"{kind}Pooling{rank}D", {}, shape, 0, tuple(range(1, rank + 1)), mask)
        for kind in ("Max", "Average")
        for rank, shape, mask in ((1, SERIES, False), (2, IMAGE, None), (3, VOLUME, None))
    ),
    *(
        Case(f"Global{kind}Pooling{rank}D", {}, shape, 0, tuple(range(1, rank + 1)), mask)
        for kind in ("Max", "Average")
        for rank, shape, mask in ((1, SERIES, False), (2, IMAGE, None), (3, VOLUME, None))
    ),
    # Recurrence
    *(
        Case(kind, {"units": 4, **options}, SEQUENCE, 0, (1,), mask, variant)
        for kind in ("SimpleRNN", "GRU", "LSTM")
        for options, mask, variant in (
            ({}, False, ""),
            ({"return_sequences": True, "go_backwards": False}, True, "sequences"),
        )
    ),
]
