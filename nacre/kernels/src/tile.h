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

// Where fewer columns are needed, more rows keep the multipliers busy. Divided into tiles, channels
// come out even with 8 and 16 rows: so these serve where the rows are channels.
template <int lanes, int vectors>
constexpr int tile_rows = lanes == 16 ? (vectors == 4 ? 6 : vectors == 3 ? 8 : 14)
                                      : (vectors == 2 ? 6 : 12);
template <int lanes, int vectors>
constexpr int tile_channels = lanes == 16 ? (vectors == 4 ? 6 : vectors == 1 ? 16 : 8)
                                          : (vectors == 2 ? 6 : 8);

// Rows that lie at even distances need two pointers for them all, and may be more. What is to be rows
// is cut into tiles of the same even height, the one that fits it best.
template <int lanes, int vectors>
constexpr int most_even_rows = lanes == 16 && vectors == 1 ? 16 : tile_rows<lanes, vectors>;
template <int lanes, int vectors>
constexpr int least_even_rows = vectors == 1 ? 8 : vectors == 2 && lanes == 16 ? 6 : 4;

template <int lanes, int vectors>
int fitting_rows(long length) {
  int best = most_even_rows<lanes, vectors>;
  for (int rows = best; rows >= least_even_rows<lanes, vectors>; rows -= 2) {
    if (divide_up(length, rows) * rows < divide_up(length, best) * best) best = rows;
  }
  return best;
}

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

  // Every row starts with the same numbers, `width` of them; nullptr for zeros.
  NACRE_INLINE void start(const float* from, long width) {
    if (!from) return clear();
#pragma GCC unroll 8
    for (int v = 0; v < vectors; ++v) {
      const long left = width - v * lanes;
      const Vector<lanes> value = left > 0 ? load_some<lanes>(from + v * lanes, left)
                                           : Vector<lanes>{};
#pragma GCC unroll 16
      for (int r = 0; r < rows; ++r) c[r][v] = value;
    }
  }

  // Row r of a starts at a[r] and its numbers are `step` apart; rows of b are `stride` apart. b may
  // be narrower than the tile: `used` vectors, for those of c from number `start` on.
  template <int start = 0, int used = vectors>
  NACRE_INLINE void multiply(const float* const* a, long step, const float* b, long stride,
                             long depth) {
    const float* from[rows];
#pragma GCC unroll 16
    for (int r = 0; r < rows; ++r) from[r] = a[r];
#pragma GCC unroll 2
    for (long k = 0; k < depth; ++k) {
      Vector<lanes> row[used];
#pragma GCC unroll 8
      for (int v = 0; v < used; ++v) row[v] = load<lanes>(b + v * lanes);
#pragma GCC unroll 16
      for (int r = 0; r < rows; ++r) {
        const float number = from[r][k * step];
#pragma GCC unroll 8
        for (int v = 0; v < used; ++v) c[r][start + v] += number * row[v];
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

  // The same where rows of a are `apart`. Two pointers are enough for them all: the second's relation
  // to the first is hidden from the compiler, which would keep an offset for every row otherwise.
  NACRE_INLINE void multiply_along(const float* a, long apart, const float* b, long stride,
                                   long depth) {
    constexpr int half = (rows + 1) / 2;
    const float* second = a + half * apart;
    asm("" : "+r"(second));
#pragma GCC unroll 2
    for (long k = 0; k < depth; ++k) {
      Vector<lanes> row[vectors];
#pragma GCC unroll 8
      for (int v = 0; v < vectors; ++v) row[v] = load<lanes>(b + v * lanes);
#pragma GCC unroll 16
      for (int r = 0; r < rows; ++r) {
        const float number = r < half ? a[r * apart + k] : second[(r - half) * apart + k];
#pragma GCC unroll 8
        for (int v = 0; v < vectors; ++v) c[r][v] += number * row[v];
      }
      b += stride;
    }
  }

  // Row r of a starts at a + offsets[r].
  NACRE_INLINE void multiply_spread(const float* a, const long* offsets, long step, const float* b,
                                    long stride, long depth) {
    long offset[rows];
#pragma GCC unroll 16
    for (int r = 0; r < rows; ++r) offset[r] = offsets[r];
    for (long k = 0; k < depth; ++k) {
      Vector<lanes> row[vectors];
#pragma GCC unroll 8
      for (int v = 0; v < vectors; ++v) row[v] = load<lanes>(b + v * lanes);
#pragma GCC unroll 16
      for (int r = 0; r < rows; ++r) {
        const float number = a[offset[r]];
#pragma GCC unroll 8
        for (int v = 0; v < vectors; ++v) c[r][v] += number * row[v];
      }
      a += step;
      b += stride;
    }
  }

  // Number k of row r of a is at a[k] + offset + r; row k of b at b + places[k].
  NACRE_INLINE void multiply_gathered(const float* const* a, long offset, const float* b,
                                      const long* places, long depth) {
#pragma GCC unroll 2
    for (long k = 0; k < depth; ++k) {
      const float* numbers = a[k] + offset;
      const float* from = b + places[k];
      Vector<lanes> row[vectors];
#pragma GCC unroll 8
      for (int v = 0; v < vectors; ++v) row[v] = load<lanes>(from + v * lanes);
#pragma GCC unroll 16
      for (int r = 0; r < rows; ++r) {
        const float number = numbers[r];
#pragma GCC unroll 8
        for (int v = 0; v < vectors; ++v) c[r][v] += number * row[v];
      }
    }
  }

  // No number below zero; what is not a number stays so.
  NACRE_INLINE void cut_below_zero() {
    const Vector<lanes> zero = {};
#pragma GCC unroll 16
    for (int r = 0; r < rows; ++r)
#pragma GCC unroll 8
      for (int v = 0; v < vectors; ++v) c[r][v] = c[r][v] < zero ? zero : c[r][v];
  }

  // Asks for the memory that `put` will write to, so that it is in the cache by then.
  NACRE_INLINE void announce(float* const* out) const {
#pragma GCC unroll 16
    for (int r = 0; r < rows; ++r)
#pragma GCC unroll 8
      for (int v = 0; v < vectors; ++v) __builtin_prefetch(out[r] + v * lanes, 1);
  }

  // Row r goes to out[r], its first `width` numbers; with `add`, on top of what is there. Rows from
  // `first` to `height` only.
  NACRE_INLINE void put(float* const* out, int height, long width, bool add, int first = 0) {
#pragma GCC unroll 16
    for (int r = 0; r < rows; ++r) {
      if (r < first) continue;
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
