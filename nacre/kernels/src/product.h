// The product of two matrices, c = a b.
//
// The columns are cut into panels as wide as a register tile, the rows into blocks; a pair of the
// two is a task. A task copies its panel of b once, so that it lies in one piece in the cache, and
// slides the tile down its rows. A long depth is taken in pieces, whose sums are added up in c.
//
// Temporaries: `deepest` x tile columns floats a thread for b (128 KiB with AVX-512), and as many
// for the last rows of a transposed a.
#pragma once

#include "kernels.h"
#include "tile.h"

namespace nacre {

template <int lanes>
struct Product {
  using Shape = TileShape<lanes>;
  static constexpr long deepest = 512;

  static void run(const ProductShape& shape, const float* a, const float* b, float* c,
                  Workers& workers) {
    const long panels = divide_up(shape.columns, Shape::columns);
    const long tiles = divide_up(shape.rows, Shape::rows);
    const long wanted = larger(1, divide_up(2 * workers.count(), panels));
    const long tiles_a_block = divide_up(tiles, smaller(wanted, tiles));
    const long blocks = divide_up(tiles, tiles_a_block);
    for_each_task(workers, panels * blocks, [&](long task) {
      const long column = task / blocks * Shape::columns;
      const long first = task % blocks * tiles_a_block * Shape::rows;
      const long last = smaller(shape.rows, first + tiles_a_block * Shape::rows);
      const long width = smaller(Shape::columns, shape.columns - column);
      switch (divide_up(width, lanes)) {
        case 1: return panel<1>(shape, a, b, c, column, width, first, last);
        case 2: return panel<2>(shape, a, b, c, column, width, first, last);
        case 3: return panel<3>(shape, a, b, c, column, width, first, last);
        default: return panel<Shape::vectors>(shape, a, b, c, column, width, first, last);
      }
    });
  }

  template <int vectors>
  static void panel(const ProductShape& shape, const float* a, const float* b, float* c,
                    long column, long width, long first, long last) {
    constexpr int rows = Shape::rows;
    constexpr long columns = vectors * lanes;
    float* packed = scratch(0, deepest * columns);
    for (long k = 0; k < shape.depth || k == 0; k += deepest) {
      const long depth = smaller(deepest, shape.depth - k);
      pack(shape, b, k, depth, column, width, columns, packed);
      for (long row = first; row < last; row += rows) {
        const int height = static_cast<int>(smaller(rows, last - row));
        Tile<lanes, rows, vectors> tile;
        tile.clear();
        if (!shape.a_transposed) {
          const float* from[rows];
          for (int r = 0; r < rows; ++r) {
            from[r] = a + (row + smaller(r, height - 1)) * shape.depth + k;
          }
          tile.multiply(from, 1, packed, columns, depth);
        } else if (row + rows <= shape.rows) {
          tile.multiply_transposed(a + k * shape.rows + row, shape.rows, packed, columns, depth);
        } else {
          float* few = scratch(1, depth * rows);
          for (long i = 0; i < depth; ++i) {
            for (int r = 0; r < rows; ++r) {
              few[i * rows + r] = a[(k + i) * shape.rows + row + smaller(r, height - 1)];
            }
          }
          tile.multiply_transposed(few, rows, packed, columns, depth);
        }
        float* out[rows];
        for (int r = 0; r < rows; ++r) out[r] = c + (row + r) * shape.columns + column;
        tile.put(out, height, width, k > 0);
      }
    }
  }

  // The panel's numbers of b, `depth` rows of `columns`, with zeros beyond `width`.
  static void pack(const ProductShape& shape, const float* b, long k, long depth, long column,
                   long width, long columns, float* packed) {
    if (!shape.b_transposed) {
      for (long i = 0; i < depth; ++i) {
        const float* from = b + (k + i) * shape.columns + column;
        for (long j = 0; j < columns; j += lanes) {
          store<lanes>(packed + i * columns + j, load_some<lanes>(from + j, width - j));
        }
      }
      return;
    }
    for (long j = 0; j < columns; ++j) {
      const float* from = b + (column + smaller(j, width - 1)) * shape.depth + k;
      for (long i = 0; i < depth; ++i) packed[i * columns + j] = from[i];
    }
  }
};

}  // namespace nacre
