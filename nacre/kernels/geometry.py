"""How the windows of a convolution or a pooling lie on an image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from nacre.core.errors import ArgumentError, ShapeError, explain

__all__ = ["Geometry", "extent", "padding_amounts", "per_axis"]

Pairs = tuple[tuple[int, int], ...]


def extent(size: int, dilation: int) -> int:
    """How far something of ``size`` reaches when its elements stand ``dilation`` apart."""
    return (size - 1) * dilation + 1


def per_axis(value: int | Sequence[int], rank: int) -> tuple[int, ...]:
    """One number for each axis."""
    return (value,) * rank if isinstance(value, int) else tuple(int(v) for v in value)


def padding_amounts(
    padding: str | Sequence[tuple[int, int]],
    image: tuple[int, ...],
    window: tuple[int, ...],
    strides: tuple[int, ...],
    dilation: tuple[int, ...],
) -> Pairs:
    """The zeros before and after each axis.

    ``"valid"`` adds none. ``"same"`` adds as few as give ``ceil(image / stride)`` windows, the odd
    one after. ``"causal"`` (one axis) adds all of them before, so that no output sees its future.
    Pairs of numbers are taken as they are.
    """
    if not isinstance(padding, str):
        return tuple((int(before), int(after)) for before, after in padding)
    if padding == "valid":
        return ((0, 0),) * len(image)
    if padding == "causal" and len(image) == 1:
        return ((extent(window[0], dilation[0]) - 1, 0),)
    if padding != "same":
        raise ArgumentError(
            explain(
                f"Unknown padding for {len(image)} axes.",
                expected="'valid', 'same', 'causal' (one axis only) or pairs of numbers",
                received=repr(padding),
            )
        )
    pairs = []
    for size, width, stride, step in zip(image, window, strides, dilation):
        reach = (-(-size // stride) - 1) * stride + extent(width, step)
        missing = max(reach - size, 0)
        pairs.append((missing // 2, missing - missing // 2))
    return tuple(pairs)


@dataclass(frozen=True)
class Geometry:
    """The windows of a convolution: everything about it but the arrays.

    Args:
        image: the size of the image's spatial axes.
        window: the size of the kernel's spatial axes.
        strides: the step from one window to the next.
        padding: zeros before and after each axis of the image; negative amounts cut off.
        dilation: the distance between the elements of a window.
        spread: the distance between the image's elements, with zeros between them. It is 1 but in
            the gradient of a convolution with strides.
        groups: the channels fall into as many groups that do not mix.
        precision: ``"float32"``, or ``"bfloat16"`` or ``"bf16x3"``, what units for bfloat16 may do.
    """

    image: tuple[int, ...]
    window: tuple[int, ...]
    strides: tuple[int, ...]
    padding: Pairs
    dilation: tuple[int, ...]
    spread: tuple[int, ...]
    groups: int = 1
    precision: str = "float32"

    @property
    def rank(self) -> int:
        """The number of spatial axes."""
        return len(self.image)

    @property
    def output(self) -> tuple[int, ...]:
        """The number of windows along each axis."""
        return tuple(
            (extent(size, spread) + before + after - extent(width, step)) // stride + 1
            for size, width, stride, (before, after), step, spread in zip(
                self.image, self.window, self.strides, self.padding, self.dilation, self.spread
            )
        )

    def adjoint(self) -> Geometry:
        """The windows of the gradient with respect to the image.

        Each element of the image gathers from the outputs whose window it was in: a convolution
        over the outputs, spread by the strides, with the kernel turned around.
        """
        pairs = []
        for size, width, count, stride, (before, _), step in zip(
            self.image, self.window, self.output, self.strides, self.padding, self.dilation
        ):
            reach = extent(width, step) - 1
            first = reach - before
            pairs.append((first, size + reach - extent(count, stride) - first))
        ones = (1,) * self.rank
        return Geometry(
            self.output,
            self.window,
            ones,
            tuple(pairs),
            self.dilation,
            self.strides,
            self.groups,
            self.precision,
        )

    def require_output(self) -> None:
        """Raise unless at least one window fits."""
        if min(self.output) >= 1:
            return
        needed = tuple(extent(*sizes) for sizes in zip(self.window, self.dilation))
        raise ShapeError(
            explain(
                "The window is larger than the image.",
                expected=f"an image of at least {needed}, padding included",
                received=f"an image of {self.image} with padding {self.padding}",
                fix="use padding='same', a smaller window, or fewer strides and poolings before.",
            )
        )
