// What multiplies packed bfloat16: tiles of AMX, or AVX-512's registers.
//
// Either makes a square of 32 x 32 sums in one call, of a pair of sixteens of rows and a pair of
// sixteens of columns, over all packed steps of the depth:
//
//   multiply<parts>(a, i, b, j, sums, stride, first)     sums (+)= rows of i, i + 1 x columns of j, j + 1
//
// and, unless it is the first, on top of what is there.
#pragma once

#include "amx_tiles.h"
#include "bfloat16_packing.h"

namespace nacre {

// Four tiles of sums.
template <class Tiles>
struct InTiles {
  static constexpr bool outdone_by_winograd = false;
  Tiles tiles;

  template <int parts>
  NACRE_INLINE void multiply(const Packed& a, long i, const Packed& b, long j, float* sums,
                             long stride, bool first) {
    const long bytes = stride * sizeof(float);
    float* const below = sums + tile_lines * stride;
    if (first) {
      tiles.template zero<0>(), tiles.template zero<1>();
      tiles.template zero<2>(), tiles.template zero<3>();
    } else {
      tiles.template load<0>(sums, bytes), tiles.template load<1>(sums + tile_lines, bytes);
      tiles.template load<2>(below, bytes), tiles.template load<3>(below + tile_lines, bytes);
    }
    for (long step = 0; step < a.steps; ++step) {
      const long upper = a.tile(i, step), lower = a.tile(i + 1, step);
      const long before = b.tile(j, step), after = b.tile(j + 1, step);
      tiles.template load<6>(b.high + before, 64), tiles.template load<7>(b.high + after, 64);
      if constexpr (parts == 2) {
        tiles.template load<4>(a.low + upper, 64), tiles.template load<5>(a.low + lower, 64);
        multiply_four();
      }
      tiles.template load<4>(a.high + upper, 64), tiles.template load<5>(a.high + lower, 64);
      multiply_four();
      if constexpr (parts == 2) {
        tiles.template load<6>(b.low + before, 64), tiles.template load<7>(b.low + after, 64);
        multiply_four();
      }
    }
    tiles.template store<0>(sums, bytes), tiles.template store<1>(sums + tile_lines, bytes);
    tiles.template store<2>(below, bytes), tiles.template store<3>(below + tile_lines, bytes);
  }

  NACRE_INLINE void multiply_four() {
    tiles.template multiply<0, 4, 6>(), tiles.template multiply<1, 4, 7>();
    tiles.template multiply<2, 5, 6>(), tiles.template multiply<3, 5, 7>();
  }
};

// AVX-512's own product: of a pair of steps it takes two numbers of a, spread over a register, and two
// of each column of b. 8 x 2 registers of sums hide its latency; each step loads 10 times for 16
// products. What is too small for a normal number counts as zero, as in tiles.
struct InRegisters {
  static constexpr int rows = 8;
  static constexpr long pairs = tile_depth / 2;

  // Windows of 3 x 3 are faster by fewer products of float32, four squares of outputs at a time; what
  // these lose of float32's digits, bfloat16 does not have.
  static constexpr bool outdone_by_winograd = true;

  template <int parts>
  NACRE_INLINE void multiply(const Packed& a, long i, const Packed& b, long j, float* sums,
                             long stride, bool first) {
    static_assert(parts == 1, "three products would take longer than one of float32");
    for (long row = 0; row < 2 * tile_lines; row += rows, sums += rows * stride) {
      __m512 c[rows][2];
#pragma GCC unroll 8
      for (int r = 0; r < rows; ++r) {
        c[r][0] = first ? __m512{} : load<16>(sums + r * stride);
        c[r][1] = first ? __m512{} : load<16>(sums + r * stride + tile_lines);
      }
      for (long step = 0; step < a.steps; ++step) {
        const Pair* from = reinterpret_cast<const Pair*>(
            a.high + a.tile(i + row / tile_lines, step) + row % tile_lines * tile_depth);
        const Half* before = b.high + b.tile(j, step);
        const Half* after = b.high + b.tile(j + 1, step);
#pragma GCC unroll 2
        for (long p = 0; p < pairs; ++p) {
          const __m512bh left = (__m512bh)_mm512_load_si512(before + p * tile_depth);
          const __m512bh right = (__m512bh)_mm512_load_si512(after + p * tile_depth);
#pragma GCC unroll 8
          for (int r = 0; r < rows; ++r) {
            const __m512bh numbers =
                (__m512bh)_mm512_set1_epi32(static_cast<int>(from[r * pairs + p]));
            c[r][0] = _mm512_dpbf16_ps(c[r][0], left, numbers);
            c[r][1] = _mm512_dpbf16_ps(c[r][1], right, numbers);
          }
        }
      }
#pragma GCC unroll 8
      for (int r = 0; r < rows; ++r) {
        store<16>(sums + r * stride, c[r][0]);
        store<16>(sums + r * stride + tile_lines, c[r][1]);
      }
    }
  }

 private:
  typedef unsigned Pair __attribute__((may_alias));
};

}  // namespace nacre
