// The entry points that XLA calls: they take apart buffers and attributes, and call the kernels.
#include <cpuid.h>

#include <cstdlib>
#include <cstring>

#ifdef __linux__
#include <sys/syscall.h>
#include <unistd.h>
#endif

#include "handlers.h"

namespace nacre {
namespace {

bool asked_for(const char* name) {
  const char* asked = std::getenv("NACRE_KERNELS");
  return asked && std::strcmp(asked, name) == 0;
}

// The best set of kernels for this machine, or nullptr. NACRE_KERNELS may name a lesser one.
const Kernels* choose() {
  const bool avx2_only = asked_for("avx2");
  __builtin_cpu_init();
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  const bool avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
                      __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq");
  if (avx2 && avx512 && !avx2_only) return &avx512_kernels();
  return avx2 ? &avx2_kernels() : nullptr;
}

// Whether the processor has tiles that multiply bfloat16, and Linux lets this process use them.
bool has_amx() {
#ifdef __linux__
  unsigned a, b, c, d;
  constexpr unsigned amx_bf16 = 1u << 22, amx_tile = 1u << 24;
  if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || !(d & amx_bf16) || !(d & amx_tile)) return false;
  constexpr long request_permission = 0x1023, tile_data = 18;  // ARCH_REQ_XCOMP_PERM
  return syscall(SYS_arch_prctl, request_permission, tile_data) == 0;
#else
  return false;
#endif
}

const TileKernels* choose_tiles() {
  const bool emulated = asked_for("amx-emulated");
  if (!emulated && !asked_for("amx")) return nullptr;
  if (kernels() != &avx512_kernels() || !__builtin_cpu_supports("avx512bf16")) return nullptr;
  return emulated || has_amx() ? amx_kernels(emulated) : nullptr;
}

ffi::Error product(ffi::ThreadPool pool, Floats a, Floats b, FloatsOut c, bool a_transposed,
                   bool b_transposed, int64_t parts) {
  const auto size = a.dimensions(), result = c->dimensions();
  const ProductShape shape = {result[0], size[a_transposed ? 0 : 1], result[1], a_transposed,
                              b_transposed};
  Pool workers(pool);
  if (const TileKernels* tiles = tile_kernels(parts)) {
    tiles->product(shape, static_cast<int>(parts), a.typed_data(), b.typed_data(),
                   c->typed_data(), workers);
  } else {
    kernels()->product(shape, a.typed_data(), b.typed_data(), c->typed_data(), workers);
  }
  return ffi::Error::Success();
}

}  // namespace

const Kernels* kernels() {
  static const Kernels* const chosen = choose();
  return chosen;
}

const TileKernels* tile_kernels(int64_t parts) {
  static const TileKernels* const chosen = choose_tiles();
  return parts ? chosen : nullptr;
}

}  // namespace nacre

// What Python looks up in the library.
#pragma GCC visibility push(default)

extern "C" const char* nacre_kernels_name() {
  return nacre::kernels() ? nacre::kernels()->name : nullptr;
}

extern "C" const char* nacre_tile_kernels_name() {
  const nacre::TileKernels* tiles = nacre::tile_kernels(1);
  return tiles ? tiles->name : nullptr;
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
                                  .Attr<bool>("b_transposed")
                                  .Attr<int64_t>("parts"));
#pragma GCC visibility pop
