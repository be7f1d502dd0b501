// The entry points that XLA calls: they take apart buffers and attributes, and call the kernels.
#include <cstdlib>
#include <cstring>

#include "handlers.h"

namespace nacre {
namespace {

// The best set of kernels for this machine, or nullptr. NACRE_KERNELS may name a lesser one.
const Kernels* choose() {
  const char* asked = std::getenv("NACRE_KERNELS");
  const bool avx2_only = asked && std::strcmp(asked, "avx2") == 0;
  __builtin_cpu_init();
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  const bool avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
                      __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq");
  if (avx2 && avx512 && !avx2_only) return &avx512_kernels();
  return avx2 ? &avx2_kernels() : nullptr;
}

ffi::Error product(ffi::ThreadPool pool, Floats a, Floats b, FloatsOut c, bool a_transposed,
                   bool b_transposed) {
  const auto size = a.dimensions(), result = c->dimensions();
  const ProductShape shape = {result[0], size[a_transposed ? 0 : 1], result[1], a_transposed,
                              b_transposed};
  Pool workers(pool);
  kernels()->product(shape, a.typed_data(), b.typed_data(), c->typed_data(), workers);
  return ffi::Error::Success();
}

}  // namespace

const Kernels* kernels() {
  static const Kernels* const chosen = choose();
  return chosen;
}

}  // namespace nacre

// What Python looks up in the library.
#pragma GCC visibility push(default)

extern "C" const char* nacre_kernels_name() {
  return nacre::kernels() ? nacre::kernels()->name : nullptr;
}

extern "C" void nacre_limit_threads(int count) {
  nacre::limit_threads(count);
}

XLA_FFI_DEFINE_HANDLER_SYMBOL(nacre_product, nacre::product,
                              nacre::ffi::Ffi::Bind()
                                  .Ctx<nacre::ffi::ThreadPool>()
                                  .Arg<nacre::Floats>()
                                  .Arg<nacre::Floats>()
                                  .Ret<nacre::Floats>()
                                  .Attr<bool>("a_transposed")
                                  .Attr<bool>("b_transposed"));
#pragma GCC visibility pop
