// The operands of a product in bfloat16, brought into the order of tiles.
//
// A line is a row of the left matrix or a column of the right one, and lines are packed by sixteens:
//
//   left     for every 32 steps of the depth a tile of 16 rows, one for a line
//   right    for every 32 steps of the depth a tile of 16 rows, one for a pair of steps, in which the
//            two numbers of a line are side by side
//
// The numbers of a line may lie side by side (`along`), or those of a step (`across`). What lies the
// other way round than its tile is transposed in pairs.
#pragma once

#include "bfloat16.h"
#include "transpose.h"

namespace nacre {

constexpr long tile_lines = 16, tile_depth = 32, tile_halves = tile_lines * tile_depth;

// Where sixteens of lines go: that number `group`, from `step` on, of `steps` tiles each.
struct Packed {
  Half *high, *low;
  long steps;

  NACRE_INLINE long tile(long group, long step) const {
    return (group * steps + step) * tile_halves;
  }
};

// The number of step k and that of step k + 1, for each of sixteen lines.
NACRE_INLINE __m512i in_pairs(__m256i first, __m256i second) {
  return _mm512_or_si512(_mm512_cvtepu16_epi32(first),
                         _mm512_slli_epi32(_mm512_cvtepu16_epi32(second), 16));
}

NACRE_INLINE __m512i side_by_side(__m256i first, __m256i second) {
  return _mm512_inserti64x4(_mm512_castsi256_si512(first), second, 1);
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
  for (long row = 0; row < tile_lines; ++row) {
    __m512i bits[2] = {};
    fill(row, bits, bits + 1);
    _mm512_store_si512(into_high + tile_depth * row, bits[0]);
    if constexpr (parts == 2) _mm512_store_si512(into_low + tile_depth * row, bits[1]);
  }
  if constexpr (turned) {
    transpose_pairs(high, to.high + tile);
    if constexpr (parts == 2) transpose_pairs(low, to.low + tile);
  }
}

// Sixteen lines, of which line l begins at lines[l]; nullptr for zeros.
template <bool left, class Number>
void pack_along(const Number* const* lines, long depth, const Packed& to, long group, long step) {
  constexpr int parts = parts_of<Number>;
  for (long k = 0; k < depth; k += tile_depth, ++step) {
    put_tile<parts, !left>(to, to.tile(group, step), [&](long l, __m512i* high, __m512i* low) {
      if (!lines[l]) return;
      __m256i first[2] = {}, second[2] = {};
      load_parts(lines[l] + k, depth - k, first, first + 1);
      if (depth - k > 16) load_parts(lines[l] + k + 16, depth - k - 16, second, second + 1);
      *high = side_by_side(first[0], second[0]);
      if constexpr (parts == 2) *low = side_by_side(first[1], second[1]);
    });
  }
}

// `count` lines, of which step k begins at steps[k] + offset; nullptr for zeros.
template <bool left, class Number>
void pack_across(const Number* const* steps, long depth, long offset, long count, const Packed& to,
                 long group, long step) {
  constexpr int parts = parts_of<Number>;
  const auto load_step = [&](long k, __m256i* halves) {
    if (count > 0 && k < depth && steps[k]) {
      load_parts(steps[k] + offset, count, halves, halves + 1);
    }
  };
  for (long k = 0; k < depth; k += tile_depth, ++step) {
    put_tile<parts, left>(to, to.tile(group, step), [&](long p, __m512i* high, __m512i* low) {
      __m256i first[2] = {}, second[2] = {};
      load_step(k + 2 * p, first);
      load_step(k + 2 * p + 1, second);
      *high = in_pairs(first[0], second[0]);
      if constexpr (parts == 2) *low = in_pairs(first[1], second[1]);
    });
  }
}

}  // namespace nacre
