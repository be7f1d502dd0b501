"""Builds the CPU kernels, nacre/kernels/src, with the package.

They need a C++17 compiler for x86-64. Where there is none the package is built without them, and
works with the portable forms.
"""

import itertools
import platform
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import jaxlib
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.errors import CompileError

SOURCES = Path("nacre/kernels/src")
COMMON = [
    "-std=c++17",
    "-O3",
    "-g0",
    "-fPIC",
    "-fvisibility=hidden",
    "-fno-math-errno",
    "-fno-trapping-math",
    "-fno-tree-slp-vectorize",  # it keeps addresses in registers that a tile needs for numbers
]
AVX2 = ["-mavx2", "-mfma"]
AVX512 = [
    *AVX2,
    "-mavx512f",
    "-mavx512vl",
    "-mavx512bw",
    "-mavx512dq",
    "-mprefer-vector-width=512",
]
FLAGS = {  # each unit is compiled for its instruction set, the others for any x86-64
    "avx2.cc": AVX2,
    "avx512.cc": AVX512,
    "bfloat16.cc": [*AVX512, "-mavx512bf16", "-Wno-maybe-uninitialized"],  # GCC 12 warns of its own
}
OPTIONAL = {"bfloat16.cc"}  # without its flags, a unit that has no kernels


class BuildKernels(build_ext):
    """Compiles each unit with its own flags."""

    def build_extension(self, extension: Extension) -> None:
        def compiled_with(flags: list[str], source: str) -> list[str]:
            return self.compiler.compile(
                [source],
                output_dir=self.build_temp,
                include_dirs=extension.include_dirs,
                extra_postargs=[*COMMON, *flags],
                depends=extension.depends,
            )

        def compiled(source: str) -> list[str]:
            name = Path(source).name
            try:
                return compiled_with(FLAGS.get(name, []), source)
            except CompileError:
                if name not in OPTIONAL:
                    raise
                self.warn(f"{name} is built without kernels: the compiler lacks what it needs")
                return compiled_with([], source)

        with ThreadPoolExecutor() as pool:
            objects = list(itertools.chain.from_iterable(pool.map(compiled, extension.sources)))
        self.compiler.link_shared_object(
            objects, self.get_ext_fullpath(extension.name), target_lang="c++"
        )


native = Extension(
    "nacre.kernels._native",
    sources=sorted(str(path) for path in SOURCES.glob("*.cc")),
    depends=sorted(str(path) for path in SOURCES.glob("*.h")),
    include_dirs=[str(Path(jaxlib.__file__).parent / "include")],
    language="c++",
    optional=True,  # without a compiler the package is built without it
)
on_x86 = platform.machine().lower() in ("x86_64", "amd64")
setup(ext_modules=[native] if on_x86 else [], cmdclass={"build_ext": BuildKernels})
