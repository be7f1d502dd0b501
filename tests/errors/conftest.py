"""Programs are compiled in haste, as they run for a few steps, and those that recur once only."""

import jax
import pytest
from jax.experimental.compilation_cache import compilation_cache

OPTIONS = {
    "jax_persistent_cache_min_compile_time_secs": 0.0,
    "jax_persistent_cache_min_entry_size_bytes": -1,
    "jax_disable_most_optimizations": True,
}


@pytest.fixture(scope="module", autouse=True)
def compiled_programs_are_kept(tmp_path_factory):
    before = {name: jax.config.values[name] for name in (*OPTIONS, "jax_compilation_cache_dir")}
    folder = str(tmp_path_factory.mktemp("programs"))
    for name, value in {**OPTIONS, "jax_compilation_cache_dir": folder}.items():
        jax.config.update(name, value)
    compilation_cache.reset_cache()
    yield
    for name, value in before.items():
        jax.config.update(name, value)
    compilation_cache.reset_cache()
