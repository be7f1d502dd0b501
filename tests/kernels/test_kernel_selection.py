"""Which kernels are in use, and why."""

import jax
import pytest

from nacre.kernels import in_use


@pytest.mark.parametrize("platform, name", [("cpu", "portable"), ("gpu", "xla"), ("tpu", "xla")])
def test_the_platform_decides_and_the_reason_names_it(monkeypatch, platform, name):
    monkeypatch.setattr(jax, "default_backend", lambda: platform)
    found = in_use()
    assert found["name"] == name and platform in found["reason"].lower()
