// The register tile: the one inner loop that every product of matrices here ends in.
//
//   c[r][j] += sum over k of a[r][k] * b[k][j]      r < rows, j < vectors * lanes
//
// All of c stays in registers while k runs. Each k loads one row of b (`vectors` registers) and
// multiplies it with `rows` numbers of a, each spread over a register; so a load of b serves `rows`
// multiplications, and the two units that multiply are kept busy if c is large enough to hide their
// latency (4 cycles, so at least 8 registers). AVX-512 has 32 registers: 6 x 4 for c, 4 for b, and
// the numbers of a come from memory inside the multiplication. AVX2 has 16: 6 x 2, 2 and 1.
#pragma once

#include "vectors.h"

namespace nacre {

template <int lanes>
struct TileShape {
  static constexpr int rows = 6;
  static constexpr int vectors = lanes == 16 ? 4 : 2;
  static constexpr int columns = vectors * lanes;
};

template <int lanes, int rows, int vectors>
struct Tile {
  static constexpr int columns = vectors * lanes;
  Vector<lanes> c[rows][vectors];

  NACRE_INLINE void clear() {
#pragma GCC unroll 16
    for (int r = 0; r < rows; ++r)
#pragma GCC unroll 8
      for (int v = 0; v < vectors; ++v) c[r][v] = Vector<lanes>{};
  }

  // Row r of a starts at a[r] and its numbers are `step` apart; rows of b are `stride` apart.
  NACRE_INLINE void multiply(const float* const* a, long step, const float* b, long stride,
                             long depth) {
    const float* from[rows];
#pragma GCC unroll 16
    for (int r = 0; r < rows; ++r) from[r] = a[r];
#pragma GCC unroll 2
    for (long k = 0; k < depth; ++k) {
      Vector<lanes> row[vectors];
#pragma GCC unroll 8
      for (int v = 0; v < vectors; ++v) row[v] = load<lanes>(b + v * lanes);
#pragma GCC unroll 16
      for (int r = 0; r < rows; ++r) {
        const float number = from[r][k * step];
#pragma GCC unroll 8
        for (int v = 0; v < vectors; ++v) c[r][v] += number * row[v];
      }
      b += stride;
    }
  }

  // The same where row r of a starts at a + r: a is stored with its depth first.
  NACRE_INLINE void multiply_transposed(const float* a, long step, const float* b, long stride,
                                        long depth) {
#pragma GCC unroll 2
    for (long k = 0; k < depth; ++k) {
      Vector<lanes> row[vectors];
#pragma GCC unroll 8
      for (int v = 0; v < vectors; ++v) row[v] = load<lanes>(b + v * lanes);
#pragma GCC unroll 16
      for (int r = 0; r < rows; ++r) {
        const float number = a[r];
#pragma GCC unroll 8
        for (int v = 0; v < vectors; ++v) c[r][v] += number * row[v];
      }
      a += step;
      b += stride;
    }
  }

  // Row r goes to out[r], its first `width` numbers; with `add`, on top of what is there.
  NACRE_INLINE void put(float* const* out, int height, long width, bool add) {
#pragma GCC unroll 16
    for (int r = 0; r < rows; ++r) {
      if (r >= height) break;
#pragma GCC unroll 8
      for (int v = 0; v < vectors; ++v) {
        const long left = width - v * lanes;
        if (left <= 0) break;
        float* to = out[r] + v * lanes;
        Vector<lanes> value = c[r][v];
        if (add) value += load_some<lanes>(to, left);
        store_some<lanes>(to, value, left);
      }
    }
  }
};

}  // namespace nacre
