// Functions of vectors: the root, and the activations of recurrent networks to about 2 units in the
// last place.
#pragma once

#include "vectors.h"

namespace nacre {

// exp(x) = scale * (1 + rest), scale a power of two and rest = exp(r) - 1 for |r| < 0.35.
//
// A limit keeps scale a normal number. NaN passes the limits, since it is not beyond them. The
// polynomial and the two parts of ln 2 are those of the Cephes library.
template <int lanes>
struct Exponential {
  Vector<lanes> scale, rest;

  NACRE_INLINE explicit Exponential(Vector<lanes> x) {
    typedef int Integers __attribute__((vector_size(lanes * sizeof(int))));
    constexpr float least = -87.3f, most = 88.3f;
    constexpr float rounding = 12582912.f;  // 1.5 * 2^23: adding it leaves no fraction
    x = x < least ? Vector<lanes>{} + least : x;
    x = x > most ? Vector<lanes>{} + most : x;
    const Vector<lanes> shifted = x * 1.44269504f + rounding;
    const Vector<lanes> power = shifted - rounding;
    const Vector<lanes> r = (x - power * 0.693359375f) + power * 2.12194440e-4f;
    Vector<lanes> p = r * 1.9875691500e-4f + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    rest = p * (r * r) + r;
    // The last bits of `shifted` hold the integer; the exponent's place is 23 bits up.
    scale = (Vector<lanes>)(((Integers)shifted + 127) << 23);
  }
};

template <int lanes>
NACRE_INLINE Vector<lanes> sigmoid(Vector<lanes> x) {
  const Exponential<lanes> e(-x);
  return 1.f / (e.scale * e.rest + (e.scale + 1.f));
}

// With e = exp(2 x) - 1, which keeps its digits where x is small.
template <int lanes>
NACRE_INLINE Vector<lanes> tanh(Vector<lanes> x) {
  constexpr float enough = 20.f;  // tanh of half of it is 1
  x = x + x;
  x = x > enough ? Vector<lanes>{} + enough : x;
  const Exponential<lanes> power(x);
  const Vector<lanes> e = power.scale * power.rest + (power.scale - 1.f);
  return e / (e + 2.f);
}

template <int lanes>
NACRE_INLINE Vector<lanes> root(Vector<lanes> x) {
#ifdef __AVX512F__
  if constexpr (lanes == 16) return _mm512_sqrt_ps(x);
#endif
  if constexpr (lanes == 8) return _mm256_sqrt_ps(x);
}

// NaN is not below 0.
template <int lanes>
NACRE_INLINE Vector<lanes> relu(Vector<lanes> x) {
  return x < 0.f ? Vector<lanes>{} : x;
}

}  // namespace nacre
