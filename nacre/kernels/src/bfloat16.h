// Numbers in bfloat16, the upper half of float32: how they are read and written.
//
// A number in float32 is split into two, a ~ high + low: its rounding, and that of what is left. One
// in bfloat16 has no low part. (Units compiled without the instructions have nothing of this.)
#pragma once

#include "kernels.h"
#include "vectors.h"

#ifdef __AVX512BF16__

namespace nacre {

// How many bfloat16 numbers stand for one.
template <class Number>
constexpr int parts_of = sizeof(Number) == sizeof(Half) ? 1 : 2;

NACRE_INLINE __m256i round_to_halves(__m512 numbers) {
  return (__m256i)_mm512_cvtneps_pbh(numbers);
}

NACRE_INLINE __m512 widen(__m256i halves) {
  return (__m512)_mm512_slli_epi32(_mm512_cvtepu16_epi32(halves), 16);
}

// As float32 numbers are read and written, but rounded.
template <int lanes>
NACRE_INLINE Vector<lanes> load(const Half* from) {
  static_assert(lanes == 16);
  return widen(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)));
}

template <int lanes>
NACRE_INLINE void store(Half* to, Vector<lanes> numbers) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), round_to_halves(numbers));
}

NACRE_INLINE void split(__m512 numbers, __m256i* high, __m256i* low) {
  *high = round_to_halves(numbers);
  *low = round_to_halves(numbers - widen(*high));
}

NACRE_INLINE void show_sanitizer([[maybe_unused]] const Half* numbers,
                                 [[maybe_unused]] long count) {
#ifdef __SANITIZE_ADDRESS__
  for (long i = 0; i < count; ++i) {
    [[maybe_unused]] const Half touched = *static_cast<const volatile Half*>(numbers + i);
  }
#endif
}

// The first `count` of sixteen numbers in bfloat16, and zeros. What lies behind is not touched.
NACRE_INLINE __m256i load_halves(const Half* from, long count) {
  if (count >= 16) return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from));
  show_sanitizer(from, count);
  return _mm256_maskz_loadu_epi16((1u << count) - 1, from);
}

template <int lanes>
NACRE_INLINE Vector<lanes> load_some(const Half* from, long count) {
  return widen(load_halves(from, count));
}

template <int lanes>
NACRE_INLINE void store_some(Half* to, Vector<lanes> numbers, long count) {
  if (count >= lanes) return store<lanes>(to, numbers);
  show_sanitizer(to, count);
  _mm256_mask_storeu_epi16(to, (1u << count) - 1, round_to_halves(numbers));
}

// The first `count` of sixteen numbers in their parts.
NACRE_INLINE void load_parts(const Half* from, long count, __m256i* high, __m256i*) {
  *high = load_halves(from, count);
}

NACRE_INLINE void load_parts(const float* from, long count, __m256i* high, __m256i* low) {
  split(load_some<16>(from, count), high, low);
}

}  // namespace nacre

#endif
