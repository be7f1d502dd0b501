"""Which kernels are in use, and why."""

import ctypes
import importlib.machinery
import os
import subprocess
import sys

import jax
import pytest

from nacre.kernels import in_use, selection

built = pytest.mark.skipif(selection.native().library is None, reason="no native kernels here")


@pytest.fixture
def load():
    """Load the library as if for the first time."""
    return selection.native.__wrapped__


@pytest.mark.parametrize("platform", ["gpu", "tpu"])
def test_elsewhere_xla_does_it(monkeypatch, platform):
    monkeypatch.setattr(jax, "default_backend", lambda: platform)
    found = in_use()
    assert found["name"] == "xla" and platform in found["reason"]


@built
def test_on_a_cpu_they_are_native_and_the_instruction_set_is_named():
    found = in_use()
    assert found["name"] == "native" and "AVX" in found["reason"]


@pytest.mark.parametrize("setting", ["off", "OFF"])
def test_a_setting_leaves_them_out(monkeypatch, load, setting):
    monkeypatch.setenv("NACRE_KERNELS", setting)
    assert load().library is None and load().reason == "NACRE_KERNELS=off"


def test_another_processor_has_none(monkeypatch, load):
    monkeypatch.delenv("NACRE_KERNELS", raising=False)
    monkeypatch.setattr(selection.platform, "machine", lambda: "aarch64")
    assert load().library is None and "aarch64" in load().reason


def test_without_a_compiler_there_are_none(monkeypatch, load):
    monkeypatch.delenv("NACRE_KERNELS", raising=False)
    monkeypatch.setattr(selection.platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(selection, "find_spec", lambda name: None)
    assert load().library is None and "not built" in load().reason


def test_a_library_that_does_not_load_is_said_and_the_rest_works(monkeypatch, load, tmp_path):
    monkeypatch.delenv("NACRE_KERNELS", raising=False)
    monkeypatch.setattr(selection.platform, "machine", lambda: "x86_64")
    broken = tmp_path / "broken.so"
    broken.write_bytes(b"not a library")
    spec = importlib.machinery.ModuleSpec("nacre.kernels._native", None, origin=str(broken))
    monkeypatch.setattr(selection, "find_spec", lambda name: spec)
    assert load().library is None and "could not be loaded" in load().reason
    monkeypatch.setattr(selection, "native", load)
    assert in_use()["name"] == "portable"


@built
def test_a_processor_without_avx2_has_none(monkeypatch, load):
    class Library:
        def __init__(self, path):
            self.nacre_kernels_name = lambda: None

    monkeypatch.setattr(ctypes, "CDLL", Library)
    assert load().library is None and "AVX2" in load().reason


@built
def test_a_setting_keeps_them_from_avx512():
    script = "from nacre.kernels import in_use; print(in_use()['reason'])"
    environment = {**os.environ, "NACRE_KERNELS": "avx2", "NACRE_THREADS": "1"}
    output = subprocess.check_output([sys.executable, "-c", script], env=environment, text=True)
    assert "AVX2" in output
