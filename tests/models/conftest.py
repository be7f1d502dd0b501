"""What the tests of models share."""

import jax
import pytest


@pytest.fixture
def compiled_quickly(monkeypatch):
    """What runs a few small steps is not worth the compiler's dear passes.

    Not for tests that call ``jax.jit`` inside of what is compiled, where it takes no options.
    """
    options = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}
    jit = jax.jit
    monkeypatch.setattr(jax, "jit", lambda f, **more: jit(f, compiler_options=options, **more))
