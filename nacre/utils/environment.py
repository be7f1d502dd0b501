"""What a run stood on: versions, machine, devices, kernels, data folders."""

from __future__ import annotations

import os
import platform
from importlib import metadata
from pathlib import Path
from typing import Any

import jax

from nacre import kernels
from nacre.datasets.folders import cache_folder, data_folder

__all__ = ["describe_data", "describe_machine", "describe_versions"]

PACKAGES = ("nacre", "jax", "jaxlib", "numpy", "optax")
PORTABLE = {"name": "portable", "reason": "no native kernels are installed"}
CPU_INFO = Path("/proc/cpuinfo")


def describe_versions() -> dict[str, str]:
    """The versions of Python and of the packages that compute."""
    return {"python": platform.python_version()} | {name: _version(name) for name in PACKAGES}


def describe_machine() -> dict[str, str]:
    """The operating system, the processor, the devices that JAX found, and the kernels in use."""
    in_use = getattr(kernels, "in_use", lambda: PORTABLE)()
    return {
        "system": platform.platform(),
        "processor": _processor(),
        "CPU threads": _threads(),
        "devices": ", ".join(_device(device) for device in jax.devices()),
        "kernels": f"{in_use['name']}: {in_use['reason']}",
    } | kernels.bfloat16_units()


def describe_data() -> dict[str, str]:
    """The user's data folder and the cache, and the data sets found there."""
    named = data_folder()
    return {
        "data folder": _contents(named) if named else "NACRE_DATA is not set",
        "cache": _contents(cache_folder()),
    }


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed as a package"


def _threads() -> str:
    """The CPU threads this process may use, and those the machine has."""
    every = os.cpu_count() or 1
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else every
    return str(every) if usable == every else f"{usable} usable of {every}"


def _processor() -> str:
    try:
        lines = CPU_INFO.read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return next(iter(names), platform.processor() or platform.machine())


def _device(device: Any) -> str:
    kind = device.device_kind
    return str(device) if kind.lower() == device.platform.lower() else f"{device} ({kind})"


def _contents(folder: Path) -> str:
    try:
        names = sorted(entry.name for entry in folder.iterdir() if entry.is_dir() and _holds(entry))
    except OSError:
        return f"{folder} (not there)"
    return f"{folder} ({', '.join(names) or 'empty'})"


def _holds(folder: Path) -> bool:
    """Whether there is a file in a folder, apart from those of downloads that have not ended."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return any(path.suffix not in (".part", ".lock") for path in files)
