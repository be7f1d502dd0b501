// Vectors of float32, as wide as the instruction set has them.
//
// A kernel is a template over `lanes`, the numbers in a register: 8 with AVX2, 16 with AVX-512. The
// units avx2.cc, avx512.cc and bfloat16.cc instantiate it, each compiled for its instruction set. Nothing here or
// in a kernel may call a function of the standard library that is not a template over `lanes` (not
// even std::min): the linker merges such functions of all units, and an older machine could be given
// the one that AVX-512 code was made for.
#pragma once

#include <immintrin.h>

#define NACRE_INLINE inline __attribute__((always_inline))
#define NACRE_APART __attribute__((noinline))  // many of these in one function compile for long

namespace nacre {

template <int lanes>
struct VectorOf {
  typedef float type __attribute__((vector_size(lanes * sizeof(float))));
  typedef float unaligned
      __attribute__((vector_size(lanes * sizeof(float)), aligned(sizeof(float)), may_alias));
  typedef int integers __attribute__((vector_size(lanes * sizeof(int))));
};

constexpr long line_floats = 16;  // in a line of the cache

template <int lanes>
using Vector = typename VectorOf<lanes>::type;

template <int lanes>
using Integers = typename VectorOf<lanes>::integers;

template <int lanes>
NACRE_INLINE Vector<lanes> load(const float* from) {
  return *reinterpret_cast<const typename VectorOf<lanes>::unaligned*>(from);
}

template <int lanes>
NACRE_INLINE void store(float* to, Vector<lanes> value) {
  *reinterpret_cast<typename VectorOf<lanes>::unaligned*>(to) = value;
}

NACRE_INLINE __m256i first_of_eight(long count) {
  const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(count)), lane);
}

// The address sanitizer does not look into masked instructions: it is shown what they touch.
NACRE_INLINE void show_sanitizer([[maybe_unused]] const float* numbers,
                                 [[maybe_unused]] long count) {
#ifdef __SANITIZE_ADDRESS__
  for (long i = 0; i < count; ++i) {
    [[maybe_unused]] const float touched = *static_cast<const volatile float*>(numbers + i);
  }
#endif
}

// The first `count` numbers, which is not negative, and zeros. What lies behind is not touched.
template <int lanes>
NACRE_INLINE Vector<lanes> load_some(const float* from, long count) {
  if (count >= lanes) return load<lanes>(from);
  show_sanitizer(from, count);
#ifdef __AVX512F__
  if constexpr (lanes == 16) return _mm512_maskz_loadu_ps((1u << count) - 1, from);
#endif
  if constexpr (lanes == 8) return _mm256_maskload_ps(from, first_of_eight(count));
}

template <int lanes>
NACRE_INLINE void store_some(float* to, Vector<lanes> value, long count) {
  if (count >= lanes) return store<lanes>(to, value);
  show_sanitizer(to, count);
#ifdef __AVX512F__
  if constexpr (lanes == 16) return _mm512_mask_storeu_ps(to, (1u << count) - 1, value);
#endif
  if constexpr (lanes == 8) _mm256_maskstore_ps(to, first_of_eight(count), value);
}

template <int lanes>
NACRE_INLINE Vector<lanes> permute(Vector<lanes> numbers, Integers<lanes> order) {
#ifdef __AVX512F__
  if constexpr (lanes == 16) {
    return _mm512_permutexvar_ps(reinterpret_cast<__m512i>(order), numbers);
  }
#endif
  if constexpr (lanes == 8) {
    return _mm256_permutevar8x32_ps(numbers, reinterpret_cast<__m256i>(order));
  }
}

NACRE_INLINE long smaller(long a, long b) { return a < b ? a : b; }
NACRE_INLINE long larger(long a, long b) { return a < b ? b : a; }
NACRE_INLINE long divide_up(long a, long b) { return (a + b - 1) / b; }

}  // namespace nacre
