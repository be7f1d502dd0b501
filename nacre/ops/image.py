"""Operations on images: (height, width, channels), or a batch of them."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.scipy import ndimage

from nacre.core.arguments import integers, one_of
from nacre.core.errors import ArgumentError, explain
from nacre.ops.operation import ArrayLike, Floating, OperationError, operation

__all__ = [
    "affine_transform",
    "crop_images",
    "extract_patches",
    "extract_patches_3d",
    "gaussian_blur",
    "hsv_to_rgb",
    "map_coordinates",
    "pad_images",
    "resize",
    "rgb_to_grayscale",
    "rgb_to_hsv",
    "scale_and_translate",
    "sobel_edges",
]

Sizes = int | Sequence[int]
INTERPOLATIONS = ("bilinear", "nearest", "bicubic", "lanczos3", "lanczos5")
FILL_MODES = ("constant", "nearest", "wrap", "mirror", "reflect")
GRAY = (0.2989, 0.5870, 0.1140)


# Batches and channels


def _batch(name: str, images: jax.Array, data_format: str | None, rank: int = 4) -> jax.Array:
    """Images as a batch with the channels last."""
    if images.ndim not in (rank - 1, rank):
        raise OperationError(
            explain(
                f"ops.image.{name} takes an image or a batch of them.",
                expected=f"{rank - 1} or {rank} axes",
                received=f"shape {images.shape}",
                fix="add the channel axis with nacre.ops.expand_dims(images, -1)."
                if images.ndim == rank - 2
                else None,
            )
        )
    formats = ("channels_last", "channels_first")
    one_of(f"ops.image.{name}", "data_format", data_format or formats[0], formats)
    x = images if images.ndim == rank else images[None]
    return jnp.moveaxis(x, 1, -1) if data_format == "channels_first" else x  # (B, H, W, C)


def _like(x: jax.Array, images: jax.Array, data_format: str | None, rank: int = 4) -> jax.Array:
    """A batch with the channels last in the layout of ``images``."""
    x = jnp.moveaxis(x, -1, 1) if data_format == "channels_first" else x
    return x if images.ndim == rank else x[0]


# Sizes


@operation
def resize(
    images: ArrayLike,
    size: Sequence[int],
    interpolation: str = "bilinear",
    antialias: bool = False,
    crop_to_aspect_ratio: bool = False,
    pad_to_aspect_ratio: bool = False,
    fill_mode: str = "constant",
    fill_value: float = 0.0,
    data_format: str | None = None,
) -> jax.Array:
    """Images in another size.

    Args:
        images: (batch, height, width, channels) or (height, width, channels).
        size: the new (height, width).
        interpolation: "bilinear", "nearest", "bicubic", "lanczos3" or "lanczos5".
        antialias: whether to widen the filter when shrinking.
        crop_to_aspect_ratio: cut off what would distort the image.
        pad_to_aspect_ratio: put ``fill_value`` around what would distort the image.
        fill_mode: "constant".
        fill_value: the value of padded pixels.
        data_format: "channels_last" (the default) or "channels_first".

    Example:
        >>> resize([[[0.0], [1.0]]], (1, 4)).ravel().tolist()
        [0.0, 0.25, 0.75, 1.0]
    """
    one_of("ops.image.resize", "interpolation", interpolation, INTERPOLATIONS)
    one_of("ops.image.resize", "fill_mode", fill_mode, ("constant",))
    height, width = integers("ops.image.resize", "size", size, 2)
    x = _batch("resize", images, data_format)
    if crop_to_aspect_ratio and pad_to_aspect_ratio:
        raise ArgumentError("ops.image.resize either crops or pads to the aspect ratio, not both.")
    if crop_to_aspect_ratio:
        x = _cropped_to_ratio(x, height, width)
    elif pad_to_aspect_ratio:
        x = _padded_to_ratio(x, height, width, fill_value)
    x = jax.image.resize(
        x, (x.shape[0], height, width, x.shape[-1]), interpolation, antialias=antialias
    )
    return _like(x, images, data_format)


def _cropped_to_ratio(x: jax.Array, height: int, width: int) -> jax.Array:
    _, rows, columns, _ = x.shape
    new_rows = max(min(rows, int(columns * height / width)), 1)
    new_columns = max(min(columns, int(rows * width / height)), 1)
    top, left = (rows - new_rows) // 2, (columns - new_columns) // 2
    return x[:, top : top + new_rows, left : left + new_columns]


def _padded_to_ratio(x: jax.Array, height: int, width: int, fill_value: float) -> jax.Array:
    _, rows, columns, _ = x.shape
    top = (max(rows, int(columns * height / width)) - rows) // 2
    left = (max(columns, int(rows * width / height)) - columns) // 2
    around = ((0, 0), (top, top), (left, left), (0, 0))
    return jnp.pad(x, around, constant_values=jnp.asarray(fill_value).astype(x.dtype))


@operation
def pad_images(
    images: ArrayLike,
    top_padding: int | None = None,
    left_padding: int | None = None,
    bottom_padding: int | None = None,
    right_padding: int | None = None,
    target_height: int | None = None,
    target_width: int | None = None,
    data_format: str | None = None,
) -> jax.Array:
    """Zeros around images. Along each axis two of before, after and the target are given."""
    x = _batch("pad_images", images, data_format)
    rows = _ends("pad_images", "height", x.shape[1], top_padding, bottom_padding, target_height)
    columns = _ends("pad_images", "width", x.shape[2], left_padding, right_padding, target_width)
    return _like(jnp.pad(x, ((0, 0), rows, columns, (0, 0))), images, data_format)


@operation
def crop_images(
    images: ArrayLike,
    top_cropping: int | None = None,
    left_cropping: int | None = None,
    bottom_cropping: int | None = None,
    right_cropping: int | None = None,
    target_height: int | None = None,
    target_width: int | None = None,
    data_format: str | None = None,
) -> jax.Array:
    """Parts of images. Along each axis two of before, after and the target are given."""
    x = _batch("crop_images", images, data_format)
    height, width = x.shape[1:3]
    # Cropping is padding by less than nothing: the sizes change places.
    top, bottom = _ends(
        "crop_images", "height", -height, top_cropping, bottom_cropping, _minus(target_height)
    )
    left, right = _ends(
        "crop_images", "width", -width, left_cropping, right_cropping, _minus(target_width)
    )
    if top + bottom >= height or left + right >= width:
        raise ArgumentError(
            explain(
                "ops.image.crop_images would leave nothing.",
                expected=f"less than {height} rows and {width} columns cropped",
                received=f"{top} + {bottom} rows, {left} + {right} columns",
            )
        )
    return _like(x[:, top : height - bottom, left : width - right], images, data_format)


def _minus(size: int | None) -> int | None:
    return None if size is None else -size


def _ends(
    name: str, axis: str, size: int, before: int | None, after: int | None, target: int | None
) -> tuple[int, int]:
    """What to add before and after, found from two of the three that may be given."""
    if [before, after, target].count(None) != 1:
        raise ArgumentError(
            explain(
                f"ops.image.{name}: along the {axis}, give two numbers of three.",
                expected=f"before, after and target_{axis}: one of them None",
                received=(before, after, None if target is None else abs(target)),
            )
        )
    if target is not None:
        missing = target - size
        before = missing - after if before is None else before  # pyright: ignore
        after = missing - before if after is None else after
    assert before is not None and after is not None
    if before < 0 or after < 0:
        raise ArgumentError(
            explain(
                f"ops.image.{name}: the sizes along the {axis} do not fit.",
                expected="nothing negative",
                received=f"{before} before and {after} after, of {abs(size)}",
            )
        )
    return before, after


# Patches


@operation
def extract_patches(
    images: ArrayLike = None,
    size: Sizes = (),
    strides: Sizes | None = None,
    dilation_rate: Sizes = 1,
    padding: str = "valid",
    data_format: str | None = None,
    *,
    image: ArrayLike = None,
) -> jax.Array:
    """Images cut into patches.

    Args:
        images: (batch, height, width, channels) or (height, width, channels).
        size: the (height, width) of a patch; three numbers for volumes.
        strides: how far apart patches begin, their own size by default.
        dilation_rate: the distance between the pixels of a patch.
        padding: "valid", or "same" for zeros around the images.
        data_format: "channels_last" (the default) or "channels_first".
        image: an older name of ``images``.

    Returns:
        (batch, rows, columns, height * width * channels of a patch).

    Example:
        >>> extract_patches([[[1.0], [2.0]], [[3.0], [4.0]]], (1, 2)).tolist()
        [[[1.0, 2.0]], [[3.0, 4.0]]]
    """
    images = image if images is None else images
    if images is None:
        raise ArgumentError("ops.image.extract_patches needs images.")
    rank = 3 if isinstance(size, list | tuple) and len(size) == 3 else 2
    return _patches(images, size, strides, dilation_rate, padding, data_format, rank)


@operation
def extract_patches_3d(
    volumes: ArrayLike,
    size: Sizes,
    strides: Sizes | None = None,
    dilation_rate: Sizes = 1,
    padding: str = "valid",
    data_format: str | None = None,
) -> jax.Array:
    """Volumes (batch, depth, height, width, channels) cut into blocks."""
    return _patches(volumes, size, strides, dilation_rate, padding, data_format, 3)


def _patches(
    images: jax.Array,
    size: Any,
    strides: Any,
    dilation: Any,
    padding: str,
    data_format: str | None,
    rank: int,
) -> jax.Array:
    whole = functools.partial(integers, "ops.image.extract_patches", count=rank)
    window = whole(argument="size", value=size)
    steps = window if strides is None else whole(argument="strides", value=strides)
    gaps = whole(argument="dilation_rate", value=dilation)
    one_of("ops.image.extract_patches", "padding", padding.lower(), ("valid", "same"))
    x = _batch("extract_patches", images, data_format, rank + 2)
    for axis in reversed(range(rank)):
        places = 1 + axis  # (B, ..., n, ..., C) to (B, ..., patches, window, ..., C)
        x = _cut(x, places, window[axis], steps[axis], gaps[axis], padding.lower() == "same")
    patch_axes = [1 + 2 * axis for axis in range(rank)]
    window_axes = [2 + 2 * axis for axis in range(rank)]
    x = x.transpose(0, *patch_axes, *window_axes, x.ndim - 1)
    x = x.reshape(*x.shape[: 1 + rank], -1)  # (B, patches..., window * C)
    return _like(x, images, data_format, rank + 2)


def _cut(x: jax.Array, axis: int, window: int, stride: int, dilation: int, same: bool) -> jax.Array:
    reach = (window - 1) * dilation + 1
    size = x.shape[axis]
    if same:
        missing = max((-(-size // stride) - 1) * stride + reach - size, 0)
        around = [(0, 0)] * x.ndim
        around[axis] = (missing // 2, missing - missing // 2)
        x, size = jnp.pad(x, around), size + missing
    starts = jnp.arange((size - reach) // stride + 1) * stride
    return jnp.take(x, starts[:, None] + jnp.arange(window) * dilation, axis=axis)


# Geometry


@operation
def affine_transform(
    images: ArrayLike,
    transform: Floating,
    interpolation: str = "bilinear",
    fill_mode: str = "constant",
    fill_value: float = 0,
    data_format: str | None = None,
) -> jax.Array:
    """Images turned, sheared, scaled and moved.

    Args:
        images: (batch, height, width, channels) or (height, width, channels).
        transform: (8,) or (batch, 8): a0, a1, a2, b0, b1, b2, 0, 0. The pixel (x, y) of the result
            comes from (a0 x + a1 y + a2, b0 x + b1 y + b2).
        interpolation: "bilinear" or "nearest".
        fill_mode: what lies outside: "constant", "nearest", "wrap", "mirror" or "reflect".
        fill_value: the value outside for "constant".
        data_format: "channels_last" (the default) or "channels_first".
    """
    one_of("ops.image.affine_transform", "interpolation", interpolation, ("bilinear", "nearest"))
    one_of("ops.image.affine_transform", "fill_mode", fill_mode, FILL_MODES)
    x = _batch("affine_transform", images, data_format)
    parameters = jnp.broadcast_to(transform, (x.shape[0], 8))
    row, column = jnp.mgrid[: x.shape[1], : x.shape[2]].astype(transform.dtype)  # (2, H, W)
    sample = functools.partial(
        ndimage.map_coordinates,
        order=int(interpolation == "bilinear"),
        mode=fill_mode,
        cval=fill_value,
    )

    def transform_one(image: jax.Array, p: jax.Array) -> jax.Array:
        source = [p[3] * column + p[4] * row + p[5], p[0] * column + p[1] * row + p[2]]
        return jax.vmap(lambda channel: sample(channel, source), -1, -1)(image)

    return _like(jax.vmap(transform_one)(x, parameters), images, data_format)


@operation
def map_coordinates(
    inputs: ArrayLike,
    coordinates: Floating,
    order: int,
    fill_mode: str = "constant",
    fill_value: float = 0,
) -> jax.Array:
    """The values between the elements of an array.

    Args:
        inputs: an array with R axes.
        coordinates: (R, ...): where to look.
        order: 0 for the nearest element, 1 for linear interpolation.
        fill_mode: what lies outside: "constant", "nearest", "wrap", "mirror" or "reflect".
        fill_value: the value outside for "constant".

    Example:
        >>> map_coordinates([0.0, 10.0], [[0.25]], order=1).tolist()
        [2.5]
    """
    one_of("ops.image.map_coordinates", "fill_mode", fill_mode, FILL_MODES)
    return ndimage.map_coordinates(inputs, list(coordinates), order, fill_mode, fill_value)


@operation
def scale_and_translate(
    images: ArrayLike,
    output_shape: Sequence[int],
    scale: Floating,
    translation: Floating,
    spatial_dims: Sequence[int],
    method: str,
    antialias: bool = True,
) -> jax.Array:
    """Images scaled and moved along some axes, by a resampling method of :func:`resize`."""
    return jax.image.scale_and_translate(
        images,
        tuple(output_shape),
        tuple(spatial_dims),
        scale,
        translation,
        method,
        antialias=antialias,
    )


# Filters


@operation
def gaussian_blur(
    images: Floating,
    kernel_size: Sizes = (3, 3),
    sigma: float | Sequence[float] = (1.0, 1.0),
    data_format: str | None = None,
) -> jax.Array:
    """Images blurred by a Gaussian window. Outside is zero.

    Args:
        images: (batch, height, width, channels) or (height, width, channels).
        kernel_size: the (width, height) of the window.
        sigma: the standard deviations along the width and the height, in pixels.
        data_format: "channels_last" (the default) or "channels_first".
    """
    x = _batch("gaussian_blur", images, data_format)
    sizes = integers("ops.image.gaussian_blur", "kernel_size", kernel_size, 2)
    sigmas = (sigma, sigma) if isinstance(sigma, int | float) else sigma
    across, down = (_gaussian(n, s, x.dtype) for n, s in zip(sizes, sigmas))
    return _like(_filtered(x, jnp.outer(down, across)), images, data_format)


def _gaussian(size: int, sigma: float, dtype: Any) -> jax.Array:
    x = jnp.arange(size, dtype=dtype) - (size - 1) / 2
    window = jnp.exp(-0.5 * (x / sigma) ** 2)
    return window / jnp.sum(window)


def _filtered(x: jax.Array, window: jax.Array) -> jax.Array:
    """Every channel of (B, H, W, C) convolved with one window (h, w)."""
    channels = x.shape[-1]
    kernel = jnp.broadcast_to(window[:, :, None, None], (*window.shape, 1, channels))
    return jax.lax.conv_general_dilated(
        x,
        kernel.astype(x.dtype),
        (1, 1),
        "SAME",
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        feature_group_count=channels,
    )


@operation
def sobel_edges(images: Floating, data_format: str | None = None) -> jax.Array:
    """The gradients of images by Sobel's filters, (dy, dx) in a new last axis."""
    x = _batch("sobel_edges", images, data_format)
    across = jnp.outer(jnp.array([1.0, 2.0, 1.0]), jnp.array([-1.0, 0.0, 1.0]))
    edges = [_like(_filtered(x, window), images, data_format) for window in (across.T, across)]
    return jnp.stack(edges, axis=-1)


# Colours


@operation
def rgb_to_grayscale(images: ArrayLike, data_format: str | None = None) -> jax.Array:
    """The brightness: 0.2989 red + 0.5870 green + 0.1140 blue, with one channel."""
    x = _batch("rgb_to_grayscale", images, data_format)
    wide = x.astype(jnp.promote_types(x.dtype, "float32"))
    gray = jnp.sum(wide * jnp.asarray(GRAY, wide.dtype), axis=-1, keepdims=True)
    return _like(gray.astype(x.dtype), images, data_format)


@operation
def rgb_to_hsv(images: Floating, data_format: str | None = None) -> jax.Array:
    """Red, green and blue (0 to 1) as hue, saturation and value (0 to 1).

    Example:
        >>> [round(x, 4) for x in rgb_to_hsv([[[0.0, 1.0, 0.0]]]).ravel().tolist()]
        [0.3333, 1.0, 1.0]
    """
    red, green, blue = jnp.moveaxis(_batch("rgb_to_hsv", images, data_format), -1, 0)
    value = jnp.maximum(jnp.maximum(red, green), blue)
    spread = value - jnp.minimum(jnp.minimum(red, green), blue)
    saturation = jnp.where(value > 0, spread / jnp.where(value > 0, value, 1), 0)
    sixth = 1 / (6 * jnp.where(spread > 0, spread, 1))
    hue = jnp.where(value == green, (blue - red) * sixth + 2 / 6, (red - green) * sixth + 4 / 6)
    hue = jnp.where(value == red, (green - blue) * sixth, hue)
    hue = jnp.where(spread > 0, jnp.where(hue < 0, hue + 1, hue), 0)
    return _like(jnp.stack([hue, saturation, value], axis=-1), images, data_format)


@operation
def hsv_to_rgb(images: Floating, data_format: str | None = None) -> jax.Array:
    """The inverse of :func:`rgb_to_hsv`."""
    hue, saturation, value = jnp.moveaxis(_batch("hsv_to_rgb", images, data_format), -1, 0)
    angle = jnp.mod(hue, 1) * 6
    pure = (jnp.abs(angle - 3) - 1, 2 - jnp.abs(angle - 2), 2 - jnp.abs(angle - 4))
    channels = [value * (1 - saturation + saturation * jnp.clip(c, 0, 1)) for c in pure]
    return _like(jnp.stack(channels, axis=-1), images, data_format)
