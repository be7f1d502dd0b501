// The entry points that XLA calls: they take apart buffers and attributes, and call the kernels.
#include <cpuid.h>

#include <cstdlib>

#include <strings.h>

#ifdef __linux__
#include <sys/syscall.h>
#include <unistd.h>
#endif

#include "handlers.h"

namespace nacre {
namespace {

bool asked_for(const char* name) {
  const char* asked = std::getenv("NACRE_KERNELS");
  return asked && strcasecmp(asked, name) == 0;
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

// Two products of bfloat16 numbers take as long as one of float32 on AMD's processors that have them
// (measured on Zen 4), and as long as two or more on Intel's (measured on Sapphire Rapids). What is
// taken is settled by the processor and not by the clock, so that the same run has the same bits.
const Bfloat16Kernels* choose_bfloat16() {
  if (kernels() != &avx512_kernels() || !__builtin_cpu_supports("avx512bf16")) return nullptr;
  if (asked_for("amx-emulated")) return bfloat16_kernels(Bfloat16Units::emulated_tiles);
  if (asked_for("amx")) return has_amx() ? bfloat16_kernels(Bfloat16Units::tiles) : nullptr;
  const bool wanted = asked_for("avx512bf16") || (__builtin_cpu_is("amd") && !asked_for("avx512"));
  return wanted ? bfloat16_kernels(Bfloat16Units::registers) : nullptr;
}

// The result is in float32 where it is not to be rounded.
template <ffi::DataType type, ffi::DataType result = type>
ffi::Error product(ffi::ThreadPool pool, ffi::Buffer<type> a, ffi::Buffer<type> b,
                   ffi::Result<ffi::Buffer<result>> c, bool a_transposed, bool b_transposed,
                   bool bf16x3) {
  const auto size = a.dimensions(), size_of_c = c->dimensions();
  const ProductShape shape = {size_of_c[0], size[a_transposed ? 0 : 1], size_of_c[1], a_transposed,
                              b_transposed};
  Pool workers(pool);
  const auto& of = products<type>(bf16x3);
  if constexpr (type == result) {
    of.matrices(shape, a.typed_data(), b.typed_data(), wanted(c), workers);
  } else {
    of.sums(shape, a.typed_data(), b.typed_data(), wanted(c), workers);
  }
  return ffi::Error::Success();
}

template <ffi::DataType type, ffi::DataType result = type>
auto product_binding() {
  return ffi::Ffi::Bind()
      .Ctx<ffi::ThreadPool>()
      .Arg<ffi::Buffer<type>>()
      .template Arg<ffi::Buffer<type>>()
      .template Ret<ffi::Buffer<result>>()
      .template Attr<bool>("a_transposed")
      .template Attr<bool>("b_transposed")
      .template Attr<bool>("bf16x3");
}

}  // namespace

const Kernels* kernels() {
  static const Kernels* const chosen = choose();
  return chosen;
}

const Bfloat16Kernels* bfloat16() {
  static const Bfloat16Kernels* const chosen = choose_bfloat16();
  return chosen;
}

}  // namespace nacre

// What Python looks up in the library.
#pragma GCC visibility push(default)

extern "C" const char* nacre_kernels_name() {
  return nacre::kernels() ? nacre::kernels()->name : nullptr;
}

// What multiplies bfloat16 numbers, and what serves bf16x3; nullptr where float32's kernels do.
extern "C" const char* nacre_bfloat16_name() {
  return nacre::bfloat16() ? nacre::bfloat16()->name : nullptr;
}

extern "C" const char* nacre_bf16x3_name() {
  return nacre::bfloat16() && nacre::bfloat16()->of_floats ? nacre::bfloat16()->name : nullptr;
}

extern "C" void nacre_limit_threads(int count) {
  nacre::limit_threads(count);
}

XLA_FFI_DEFINE_HANDLER_SYMBOL(nacre_product, nacre::product<nacre::ffi::F32>,
                              nacre::product_binding<nacre::ffi::F32>());
XLA_FFI_DEFINE_HANDLER_SYMBOL(nacre_bfloat16_product, nacre::product<nacre::ffi::BF16>,
                              nacre::product_binding<nacre::ffi::BF16>());
XLA_FFI_DEFINE_HANDLER_SYMBOL(nacre_bfloat16_sums,
                              (nacre::product<nacre::ffi::BF16, nacre::ffi::F32>),
                              (nacre::product_binding<nacre::ffi::BF16, nacre::ffi::F32>()));
#pragma GCC visibility pop
