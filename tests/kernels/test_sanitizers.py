"""The native kernels under the address and undefined-behaviour sanitizers, which see what tests of
numbers cannot: reads beyond an array whose values nobody uses, for one.
"""

import os
import platform
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

CASES = 700
SOURCES = Path(__file__).parents[2] / "nacre/kernels/src"
DRIVER = Path(__file__).with_name("sanitized.cc")
AVX2 = ["-mavx2", "-mfma"]
AVX512 = [*AVX2, "-mavx512f", "-mavx512vl", "-mavx512bw", "-mavx512dq"]
UNITS = {  # the slowest to compile come first
    SOURCES / "avx512.cc": AVX512,
    SOURCES / "avx2.cc": AVX2,
    SOURCES / "bfloat16.cc": [*AVX512, "-mavx512bf16"],
    DRIVER: [],
}
SANITIZERS = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-pthread"]
OPTIONS = {  # leaks are looked for with ptrace, which containers may forbid
    "ASAN_OPTIONS": "detect_leaks=0",
    "UBSAN_OPTIONS": "print_stacktrace=1",
}


def run(*command):
    return subprocess.run(
        [str(part) for part in command],
        env={**os.environ, **OPTIONS},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def compiler(tmp_path):
    """g++, where it knows the instruction sets, and what it makes runs with the sanitizers."""
    found = shutil.which("g++")
    if found is None or platform.machine() != "x86_64":
        pytest.skip("no g++ for x86-64")
    (tmp_path / "nothing.cc").write_text("int main() {}")
    nothing = tmp_path / "nothing"
    made = run(found, *SANITIZERS, *UNITS[SOURCES / "bfloat16.cc"], f"{nothing}.cc", "-o", nothing)
    if made.returncode or run(nothing).returncode:
        pytest.skip("g++ lacks the sanitizers, or an instruction set")
    return found


def test_no_kernel_leaves_its_arrays(compiler, tmp_path):
    def compiled(source):
        target = tmp_path / f"{source.stem}.o"
        flags = ["-std=c++17", "-O1", "-g1", f"-I{SOURCES}", *SANITIZERS, *UNITS[source]]
        made = run(compiler, *flags, "-c", source, "-o", target)
        assert made.returncode == 0, made.stderr
        return target

    with ThreadPoolExecutor(2) as pool:
        objects = list(pool.map(compiled, UNITS))
    driver = tmp_path / "sanitized"
    linked = run(compiler, *SANITIZERS, *objects, "-o", driver)
    assert linked.returncode == 0, linked.stderr
    cases = run(driver, 0, CASES)
    assert cases.returncode == 0, cases.stderr[-8000:]  # it ends with the case that failed
    if not cases.stdout:
        pytest.skip("this processor lacks AVX2")
    assert cases.stdout.startswith(f"{CASES} cases"), cases.stdout
