// Transposition of small matrices through registers.
#pragma once

#include "vectors.h"

namespace nacre {

// Eight rows of eight numbers: to[c][r] = from[r][c].
template <int lanes>
NACRE_INLINE void transpose_eight(const float* from, long from_stride, float* to, long to_stride) {
  using V = Vector<8>;
  V a[8], b[8];
#pragma GCC unroll 8
  for (int r = 0; r < 8; ++r) a[r] = load<8>(from + r * from_stride);
#pragma GCC unroll 4
  for (int r = 0; r < 8; r += 2) {
    b[r] = __builtin_shufflevector(a[r], a[r + 1], 0, 8, 2, 10, 4, 12, 6, 14);
    b[r + 1] = __builtin_shufflevector(a[r], a[r + 1], 1, 9, 3, 11, 5, 13, 7, 15);
  }
#pragma GCC unroll 2
  for (int r = 0; r < 8; r += 4) {
#pragma GCC unroll 2
    for (int s = 0; s < 2; ++s) {
      a[r + s] = __builtin_shufflevector(b[r + s], b[r + s + 2], 0, 1, 8, 9, 4, 5, 12, 13);
      a[r + s + 2] = __builtin_shufflevector(b[r + s], b[r + s + 2], 2, 3, 10, 11, 6, 7, 14, 15);
    }
  }
#pragma GCC unroll 4
  for (int c = 0; c < 4; ++c) {
    store<8>(to + c * to_stride,
             __builtin_shufflevector(a[c], a[c + 4], 0, 1, 2, 3, 8, 9, 10, 11));
    store<8>(to + (c + 4) * to_stride,
             __builtin_shufflevector(a[c], a[c + 4], 4, 5, 6, 7, 12, 13, 14, 15));
  }
}

// to[c][r] = from[r][c] for rows and columns of any number, and zeros for the rows missing to
// `filled`.
template <int lanes>
void transpose(const float* from, long from_stride, long rows, long columns, float* to,
               long to_stride, long filled) {
  long r = 0;
  for (; r + 8 <= rows; r += 8) {
    long c = 0;
    for (; c + 8 <= columns; c += 8) {
      transpose_eight<lanes>(from + r * from_stride + c, from_stride, to + c * to_stride + r,
                             to_stride);
    }
    for (; c < columns; ++c) {
      for (long i = r; i < r + 8; ++i) to[c * to_stride + i] = from[i * from_stride + c];
    }
  }
  for (; r < filled; ++r) {
    for (long c = 0; c < columns; ++c) {
      to[c * to_stride + r] = r < rows ? from[r * from_stride + c] : 0;
    }
  }
}

template <int lanes>
void transpose(const float* from, long from_stride, long rows, long columns, float* to,
               long to_stride) {
  transpose<lanes>(from, from_stride, rows, columns, to, to_stride, to_stride);
}

}  // namespace nacre
