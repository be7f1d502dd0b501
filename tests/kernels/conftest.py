"""What the tests of the native kernels share."""

import os
import subprocess
import sys

import pytest

from nacre.kernels.selection import native


@pytest.fixture(params=["JAX_ENABLE_X64=1", "NACRE_KERNELS=avx2"])
def in_other_settings(request):
    """Runs a script, whose {expected} is the instruction set, with 64 bits and without AVX-512."""
    key, value = request.param.split("=")
    expected = "AVX2" if value == "avx2" else native().name

    def run(script):
        code = script.format(expected=expected)
        environment = {**os.environ, key: value}
        subprocess.run([sys.executable, "-c", code], env=environment, check=True, timeout=120)

    return run
