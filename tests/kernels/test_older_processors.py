"""The library on processors with fewer instructions, which an emulator stands in for."""

import json
import os
import shutil
import subprocess
import sys
import textwrap

import pytest

EMULATOR = shutil.which("qemu-x86_64")
SCRIPT = textwrap.dedent("""
    import json
    import numpy as np
    import nacre
    from nacre import layers
    from nacre.kernels import in_use

    nacre.set_seed(1)
    x = np.random.default_rng(0).standard_normal((16, 12, 12, 1)).astype(np.float32)
    model = nacre.Sequential([
        nacre.Input((12, 12, 1)), layers.Conv2D(16, 3, activation="relu"), layers.MaxPooling2D(2),
        layers.BatchNormalization(), layers.Reshape((25, 16)), layers.LSTM(16), layers.Dense(1),
    ])
    model.compile("adam", "mse")
    losses = model.fit(x, x[:, 0, 0], batch_size=8, epochs=2, verbose=0).history["loss"]
    print(json.dumps([in_use()["reason"], *losses]))
""")


def trained(*command):
    environment = {k: v for k, v in os.environ.items() if not k.startswith("NACRE_KERNELS")}
    done = subprocess.run(
        [*command, sys.executable, "-c", SCRIPT], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.slow
@pytest.mark.skipif(EMULATOR is None, reason="qemu-x86_64 (Debian's qemu-user) is not installed")
@pytest.mark.parametrize(
    "processor, reason",
    [
        ("SandyBridge", "native kernels are not used: this processor lacks AVX2"),
        ("Haswell", "compiled C++ for AVX2"),
    ],
)
def test_training_on_an_older_processor(processor, reason):
    found, *losses = trained(EMULATOR, "-cpu", processor)
    assert found == reason
    assert losses == pytest.approx(trained()[1:], rel=1e-3)
