"""Operations on signals: Fourier transforms, whole or of one stretch after the other.

Complex signals are pairs of real arrays: (real part, imaginary part).
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from nacre.core.arguments import one_of
from nacre.core.errors import ArgumentError, explain
from nacre.ops.operation import Floating, Operands, operation

__all__ = ["fft", "fft2", "ifft2", "irfft", "istft", "rfft", "stft"]

Pair = tuple[jax.Array, jax.Array]
WINDOWS = {"hann": (0.5, 0.5), "hamming": (0.54, 0.46)}


@operation
def fft(x: Operands) -> Pair:
    """The Fourier transform along the last axis."""
    return _parts(jnp.fft.fft(_complex(x)))


@operation
def fft2(x: Operands) -> Pair:
    """The Fourier transform along the last two axes."""
    return _parts(jnp.fft.fft2(_complex(x)))


@operation
def ifft2(x: Operands) -> Pair:
    """The inverse of :func:`fft2`."""
    return _parts(jnp.fft.ifft2(_complex(x)))


@operation
def rfft(x: Floating, fft_length: int | None = None) -> Pair:
    """The Fourier transform of real signals: the half of it that is not redundant.

    Args:
        x: (..., T).
        fft_length: cut or pad the signal with zeros to this length.

    Returns:
        the real and imaginary parts, (..., length / 2 + 1).

    Example:
        >>> real, imaginary = rfft([1.0, 1.0])
        >>> real.tolist(), imaginary.tolist()
        ([2.0, 0.0], [0.0, 0.0])
    """
    return _parts(jnp.fft.rfft(x, fft_length))


@operation
def irfft(x: Operands, fft_length: int | None = None) -> jax.Array:
    """The inverse of :func:`rfft`."""
    return jnp.fft.irfft(_complex(x), fft_length)


@operation
def stft(
    x: Floating,
    sequence_length: int,
    sequence_stride: int,
    fft_length: int,
    window: Any = "hann",
    center: bool = True,
) -> Pair:
    """The short-time Fourier transform: that of a window moved along the signal.

    Args:
        x: (..., T).
        sequence_length: the length of the window.
        sequence_stride: how far it moves each time.
        fft_length: the length of each transform, at least that of the window.
        window: "hann", "hamming", its values, or None for no window.
        center: whether the first window is centred on the first element (by reflection).

    Returns:
        the real and imaginary parts, (..., windows, fft_length / 2 + 1).
    """
    if fft_length < sequence_length:
        raise ArgumentError(
            explain(
                "ops.stft: the transform is shorter than the window.",
                expected=f"fft_length >= {sequence_length}",
                received=fft_length,
            )
        )
    if center:
        around = [(0, 0)] * (x.ndim - 1) + [(fft_length // 2, fft_length // 2)]
        x = jnp.pad(x, around, "reflect")
    frames = _frames(x, fft_length, sequence_stride)  # (..., windows, fft_length)
    return _parts(jnp.fft.rfft(frames * _window(window, sequence_length, fft_length, x.dtype)))


@operation
def istft(
    x: Operands,
    sequence_length: int,
    sequence_stride: int,
    fft_length: int,
    length: int | None = None,
    window: Any = "hann",
    center: bool = True,
) -> jax.Array:
    """The inverse of :func:`stft`: windows are added up where they overlap.

    Args:
        x: the real and imaginary parts, (..., windows, fft_length / 2 + 1).
        sequence_length, sequence_stride, fft_length, window, center: as for :func:`stft`.
        length: cut the signal to this length.

    Returns:
        (..., T).
    """
    frames = jnp.fft.irfft(_complex(x), fft_length)  # (..., windows, fft_length)
    taper = _window(window, sequence_length, fft_length, frames.dtype)
    total = _overlap(frames * taper, sequence_stride)  # (..., T)
    weight = _overlap(jnp.broadcast_to(taper**2, frames.shape[-2:]), sequence_stride)
    signal = total / jnp.where(weight > 1e-11, weight, 1)
    start = fft_length // 2 if center else 0
    stop = signal.shape[-1] - start if length is None else start + length
    return signal[..., start:stop]


def _complex(pair: Any) -> jax.Array:
    if len(pair) != 2 or not jnp.issubdtype(pair[0].dtype, jnp.floating):
        raise ArgumentError(
            explain(
                "A complex signal is given as two arrays of floats.",
                expected="(real part, imaginary part)",
                received=f"{len(pair)} parts of {pair[0].dtype if pair else 'nothing'}",
            )
        )
    return jax.lax.complex(*pair)


def _parts(values: jax.Array) -> Pair:
    return jnp.real(values), jnp.imag(values)


def _frames(x: jax.Array, length: int, stride: int) -> jax.Array:
    starts = jnp.arange(1 + (x.shape[-1] - length) // stride) * stride
    return x[..., starts[:, None] + jnp.arange(length)]


def _overlap(frames: jax.Array, stride: int) -> jax.Array:
    """Add up frames (..., n, length) that begin ``stride`` apart: (..., T)."""
    count, length = frames.shape[-2:]
    places = jnp.arange(count)[:, None] * stride + jnp.arange(length)
    total = jnp.zeros((*frames.shape[:-2], (count - 1) * stride + length), frames.dtype)
    return total.at[..., places].add(frames)


def _window(window: Any, length: int, fft_length: int, dtype: Any) -> jax.Array:
    """The window in the middle of ``fft_length`` places."""
    if window is None:
        return jnp.ones(fft_length, dtype)
    if isinstance(window, str):
        one_of("ops.stft", "window", window, tuple(WINDOWS))
        offset, height = WINDOWS[window]
        # A periodic window, so that windows moved by a divisor of its length add up to a constant.
        taper = offset - height * jnp.cos(2 * jnp.pi * jnp.arange(length) / length)
    else:
        taper = jnp.asarray(window)
    left = (fft_length - length) // 2
    return jnp.pad(taper.astype(dtype), (left, fft_length - length - left))
