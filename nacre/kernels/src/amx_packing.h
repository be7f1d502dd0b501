// Numbers in float32, rounded to bfloat16 and brought into the order of tiles.
//
// A line is a row of the left matrix or a column of the right one, and lines are packed by sixteens:
//
//   left     for every 32 steps of the depth a tile of 16 rows, one for a line
//   right    for every 32 steps of the depth a tile of 16 rows, one for a pair of steps
//
// The numbers of a line may lie side by side (`along`), or those of a step (`across`). What lies the
// other way round than its tile is transposed in pairs.
//
// With two parts a number is split, a ~ high + low, into its rounding and that of what is left.
#pragma once

#include "amx_tiles.h"
#include "transpose.h"

namespace nacre {

// Where sixteens of lines go: that number `group`, from `step` on, of `steps` tiles each.
struct Packed {
  Half *high, *low;
  long steps;

  NACRE_INLINE long tile(long group, long step) const {
    return (group * steps + step) * tile_halves;
  }
};

// 32 numbers as bfloat16.
template <int parts>
NACRE_INLINE void split(__m512 first, __m512 second, __m512i* high, __m512i* low) {
  *high = (__m512i)_mm512_cvtne2ps_pbh(second, first);
  if constexpr (parts == 2) {
    const __m256i bits[2] = {_mm512_castsi512_si256(*high), _mm512_extracti64x4_epi64(*high, 1)};
    const __m512 left[2] = {
        first - (__m512)_mm512_slli_epi32(_mm512_cvtepu16_epi32(bits[0]), 16),
        second - (__m512)_mm512_slli_epi32(_mm512_cvtepu16_epi32(bits[1]), 16)};
    *low = (__m512i)_mm512_cvtne2ps_pbh(left[1], left[0]);
  }
}

// The number of step k and that of step k + 1, for each of sixteen lines.
NACRE_INLINE __m512i in_pairs(__m512i halves) {
  const __m512i first = _mm512_cvtepu16_epi32(_mm512_castsi512_si256(halves));
  const __m512i second = _mm512_cvtepu16_epi32(_mm512_extracti64x4_epi64(halves, 1));
  return _mm512_or_si512(first, _mm512_slli_epi32(second, 16));
}

NACRE_INLINE void transpose_pairs(const Half* from, Half* to) {
  const float* a = reinterpret_cast<const float*>(from);
  float* b = reinterpret_cast<float*>(to);
  for (long r = 0; r < 16; r += 8) {
    for (long c = 0; c < 16; c += 8) {
      transpose_eight<16>(a + 16 * r + c, 16, b + 16 * c + r, 16);
    }
  }
}

// Calls fill(row, high, low) for the 16 rows of a tile, and puts it where it belongs.
template <int parts, bool turned, class Fill>
NACRE_INLINE void put_tile(const Packed& to, long tile, const Fill& fill) {
  alignas(64) Half high[tile_halves], low[tile_halves];
  Half* const into_high = turned ? high : to.high + tile;
  Half* const into_low = turned ? low : to.low + tile;
  for (long row = 0; row < 16; ++row) {
    __m512i bits[2];
    fill(row, bits, bits + 1);
    _mm512_store_si512(into_high + 32 * row, bits[0]);
    if constexpr (parts == 2) _mm512_store_si512(into_low + 32 * row, bits[1]);
  }
  if constexpr (turned) {
    transpose_pairs(high, to.high + tile);
    if constexpr (parts == 2) transpose_pairs(low, to.low + tile);
  }
}

// Sixteen lines, of which line l begins at lines[l]; nullptr for zeros.
template <int parts, bool left>
void pack_along(const float* const* lines, long depth, const Packed& to, long group, long step) {
  for (long k = 0; k < depth; k += tile_depth, ++step) {
    put_tile<parts, !left>(to, to.tile(group, step), [&](long l, __m512i* high, __m512i* low) {
      Vector<16> first = {}, second = {};
      if (lines[l]) {
        first = load_some<16>(lines[l] + k, depth - k);
        if (depth - k > 16) second = load_some<16>(lines[l] + k + 16, depth - k - 16);
      }
      split<parts>(first, second, high, low);
    });
  }
}

// `count` lines, of which step k begins at steps[k] + offset; nullptr for zeros.
template <int parts, bool left>
void pack_across(const float* const* steps, long depth, long offset, long count, const Packed& to,
                 long group, long step) {
  const auto load_step = [&](long k) {
    const bool there = count > 0 && k < depth && steps[k];
    return there ? load_some<16>(steps[k] + offset, count) : Vector<16>{};
  };
  for (long k = 0; k < depth; k += tile_depth, ++step) {
    put_tile<parts, left>(to, to.tile(group, step), [&](long p, __m512i* high, __m512i* low) {
      split<parts>(load_step(k + 2 * p), load_step(k + 2 * p + 1), high, low);
      *high = in_pairs(*high);
      if constexpr (parts == 2) *low = in_pairs(*low);
    });
  }
}

}  // namespace nacre
