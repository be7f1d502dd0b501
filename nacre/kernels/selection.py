"""Which form of the kernels this machine runs: native, portable or XLA's own.

The native kernels are a library of C++ functions that XLA calls through its foreign-function
interface (``src/``). It is built with the package where there is a compiler, and used on x86-64
processors with AVX2 or AVX-512. ``NACRE_KERNELS=off`` leaves it out, and other values choose among
the instructions that the processor has: ``avx2``, ``avx512``, and with units for bfloat16
``avx512bf16`` or ``amx``. ``NACRE_THREADS`` limits the threads its kernels use.
"""

from __future__ import annotations

import ctypes
import functools
import os
import platform
from importlib.util import find_spec
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

__all__ = ["Native", "bfloat16_units", "call", "in_use", "native"]


class Native(NamedTuple):
    """The native kernels, if they are in use."""

    library: ctypes.CDLL | None
    name: str  # of the instruction set
    reason: str
    bfloat16: str = ""  # what multiplies bfloat16 numbers, if float32's kernels do not
    bf16x3: str = ""  # what serves this precision, likewise


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
        names = [library.nacre_bfloat16_name, library.nacre_bf16x3_name]
        for function in names:
            function.restype = ctypes.c_char_p
        units = [(function() or b"").decode() for function in names]
        library.nacre_limit_threads(int(threads))
        _register(library)
    except Exception as error:  # built for another JAX, say: slower, but it works
        return Native(None, "", f"they could not be loaded: {error}")
    return Native(library, name.decode(), "", *units)


FOR_BOTH_TYPES = (
    "product",
    "convolution",
    "convolution_input_gradient",
    "convolution_kernel_gradient",
    "convolution_pool",
    "max_unpool",
)
FOR_BFLOAT16 = (*(f"bfloat16_{name}" for name in FOR_BOTH_TYPES), "bfloat16_sums")
HANDLERS = (
    *FOR_BOTH_TYPES,
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
    for name in (*HANDLERS, *(FOR_BFLOAT16 if library.nacre_bfloat16_name() else ())):
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

    Operands that begin with one in bfloat16 go to the kernel for that type. ``aliases`` has the
    operands that are overwritten by a result, and by which.
    """
    prefix = "nacre_bfloat16_" if operands[0].dtype == jnp.bfloat16 else "nacre_"
    target = jax.ffi.ffi_call(prefix + name, result, input_output_aliases=aliases)
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


def bfloat16_units() -> dict[str, str]:
    """What makes products of bfloat16 and of bf16x3, as ``nacre info`` shows it."""
    if jax.default_backend() != "cpu":
        xla = "XLA's products of this precision"
        return {"bfloat16": xla, "bf16x3": xla}
    kernels = native()
    asked = os.environ.get("NACRE_KERNELS", "").lower()
    none = "no faster units for it are in use"
    if asked.startswith(("amx", "avx512bf16")):
        none = f"NACRE_KERNELS={asked} finds none that can be used"
    return {
        "bfloat16": kernels.bfloat16 or f"computed in float32, rounded once: {none}",
        "bf16x3": kernels.bf16x3
        or f"computed in float32, 3x3 windows by fewer and less exact products: {none}",
    }
