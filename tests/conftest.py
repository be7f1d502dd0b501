"""What every test runs under: strict types, strict ranks, two CPU devices, warnings as errors."""

import os
import signal

os.environ.setdefault("KERAS_BACKEND", "jax")

import hypothesis
import jax

import nacre

jax.config.update("jax_num_cpu_devices", 2)
jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")

# A shell that starts a program in the background has it ignore Ctrl-C, and what it starts as well.
signal.signal(signal.SIGINT, signal.default_int_handler)


# Where operations are counted, or the bits compared with those of another process, programs are
# compiled as users have them, and in a run of all tests wherever bits are compared. Elsewhere that
# would be a quarter of the time of all tests.
OPTIMIZED = {"test_checkpoints", "test_interrupts", "test_program_guard", "test_resuming"}
OPTIMIZED_IN_LONG_RUNS = {"test_engine", "test_streams"}


def pytest_runtest_setup(item):
    """The seed that one test, or an example in a docstring, has set is nothing to the next one."""
    nacre.set_seed(None)
    optimized = item.path.stem in OPTIMIZED
    if item.config.getoption("markexpr") != "not slow":
        optimized |= item.path.stem in OPTIMIZED_IN_LONG_RUNS
    jax.config.update("jax_disable_most_optimizations", not optimized)


hypothesis.settings.register_profile("repeatable", derandomize=True)


def pytest_configure(config):
    """Quick runs try the same examples each time; what several tests compile is compiled once.

    They also have XLA compile fusions in its older way, which takes half the time. A run of all
    tests compiles them as users have them.
    """
    if config.getoption("markexpr") == "not slow":
        hypothesis.settings.load_profile("repeatable")
        if jax.__version_info__ < (0, 11):  # later there is no older way, and XLA refuses the flag
            os.environ.setdefault("XLA_FLAGS", "--xla_cpu_use_fusion_emitters=false")
    cache = getattr(config, "cache", None)
    if cache is not None:
        jax.config.update("jax_compilation_cache_dir", str(cache.mkdir("compiled")))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.05)
        jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
