"""Which form of the kernels this machine runs: native, portable or XLA's own.

The native kernels are a library of C++ functions that XLA calls through its foreign-function
interface (``src/``). It is built with the package where there is a compiler, and used on x86-64
processors with AVX2 or AVX-512. ``NACRE_KERNELS=off`` leaves it out, ``NACRE_KERNELS=avx2`` keeps
it from using AVX-512, ``NACRE_KERNELS=amx`` lets it use AMX where bfloat16 is asked for, and
``NACRE_THREADS`` limits the threads its kernels use.
"""

from __future__ import annotations

import ctypes
import functools
import os
import platform
from importlib.util import find_spec
from typing import Any, NamedTuple

import jax
import numpy as np

__all__ = ["Native", "bfloat16_units", "call", "in_use", "native"]


# How many bfloat16 numbers may stand for one operand of a product; 0 for none.
PARTS = {"float32": np.int64(0), "bfloat16": np.int64(1), "bf16x3": np.int64(2)}


class Native(NamedTuple):
    """The native kernels, if they are in use."""

    library: ctypes.CDLL | None
    name: str  # of the instruction set
    reason: str
    tiles: str = ""  # what multiplies bfloat16, if it is in use


@functools.cache
def native() -> Native:
    """Load the native kernels and tell XLA about them, once."""
    if os.environ.get("NACRE_KERNELS", "").lower() == "off":
        return Native(None, "", "NACRE_KERNELS=off")
    if platform.machine().lower() not in ("x86_64", "amd64"):
        return Native(None, "", f"there are no native kernels for {platform.machine()}")
    threads = os.environ.get("NACRE_THREADS") or "0"
    if not threads.isdecimal():
        return Native(None, "", f"NACRE_THREADS={threads} is not a whole number >= 0")
    found = find_spec("nacre.kernels._native")
    if found is None or found.origin is None:
        return Native(None, "", "they were not built; with a C++ compiler, pip install builds them")
    try:
        library = ctypes.CDLL(found.origin)
        library.nacre_kernels_name.restype = ctypes.c_char_p
        name = library.nacre_kernels_name()
        if name is None:
            return Native(None, "", "this processor lacks AVX2")
        library.nacre_tile_kernels_name.restype = ctypes.c_char_p
        tiles = library.nacre_tile_kernels_name() or b""
        library.nacre_limit_threads(int(threads))
        _register(library)
    except Exception as error:  # built for another JAX, say: slower, but it works
        return Native(None, "", f"they could not be loaded: {error}")
    return Native(library, name.decode(), "", tiles.decode())


HANDLERS = (
    "product",
    "convolution",
    "convolution_input_gradient",
    "convolution_kernel_gradient",
    "convolution_pool",
    "max_unpool",
    "recurrent_forward",
    "recurrent_backward",
    "normalization_forward",
    "normalization_backward",
    "pool_forward",
    "pool_backward",
    "update",
    "all_finite",
)


def _register(library: ctypes.CDLL) -> None:
    for name in HANDLERS:
        handler = jax.ffi.pycapsule(getattr(library, f"nacre_{name}"))
        jax.ffi.register_ffi_target(f"nacre_{name}", handler, platform="cpu")


def call(
    name: str,
    result: Any,
    *operands: jax.Array,
    aliases: dict[int, int] | None = None,
    **attributes: Any,
) -> Any:
    """Call the native kernel ``name``; ``result`` has the shapes and types of what it gives.

    ``aliases`` has the operands that are overwritten by a result, and by which.
    """
    target = jax.ffi.ffi_call(f"nacre_{name}", result, input_output_aliases=aliases)
    return target(*operands, **attributes)


def in_use() -> dict[str, str]:
    """The name of the kernels in use on the default device, and why, as ``nacre info`` shows them.

    Example:
        >>> sorted(in_use())
        ['name', 'reason']
    """
    backend = jax.default_backend()
    if backend != "cpu":
        return {"name": "xla", "reason": f"on {backend}, XLA's own operations are used"}
    kernels = native()
    if kernels.library is None:
        return {"name": "portable", "reason": f"native kernels are not used: {kernels.reason}"}
    return {"name": "native", "reason": f"compiled C++ for {kernels.name}"}


def bfloat16_units() -> str:
    """What serves products that may be made of bfloat16 units, as ``nacre info`` shows it."""
    if jax.default_backend() != "cpu":
        return "XLA's products of this precision"
    if native().tiles:
        return native().tiles
    asked = os.environ.get("NACRE_KERNELS", "").lower().startswith("amx")
    why = "NACRE_KERNELS=amx finds none that can be used" if asked else "no units for it are in use"
    return f"computed in float32, which is more exact: {why}"
