// The product of two matrices, c = a b.
//
// The columns are cut into panels as wide as a register tile, the rows into tiles; a task takes some
// of each. It copies a panel of b, so that it lies in one piece in the cache, and slides the tile
// down its rows; for a few tiles the copy would not pay. A transposed a is copied too, tile by tile: read as it lies, each step of the depth
// would touch another page. A long depth is taken in pieces, whose sums are added up in c.
//
// Temporaries of a thread: 64 KiB for b, and 400 KiB for a transposed a (AVX-512).
#pragma once

#include "kernels.h"
#include "tile.h"
#include "transpose.h"

namespace nacre {

template <int lanes>
struct Product {
  using Shape = TileShape<lanes>;
  static constexpr int rows = Shape::rows;
  static constexpr long deepest = 256;
  static constexpr long most_tiles = 64;  // of a transposed a in one task
  static constexpr long few_tiles = 12;   // for which b is read as it lies

  // How the tasks divide the tiles of rows and the panels of columns.
  struct Division {
    long rows, columns;
  };

  static void run(const ProductShape& shape, const float* a, const float* b, float* c,
                  Workers& workers) {
    const long tiles = divide_up(shape.rows, rows);
    const long panels = divide_up(shape.columns, Shape::columns);
    const Division by = divide(shape, tiles, panels, 2 * workers.count());
    for_each_task(workers, by.rows * by.columns, [&](long task) {
      const long i = task / by.columns, j = task % by.columns;
      part(shape, a, b, c, tiles * i / by.rows, tiles * (i + 1) / by.rows,
           panels * j / by.columns, panels * (j + 1) / by.columns);
    });
  }

  // Each part of the rows copies all of b, each part of the columns a transposed a: the division
  // into at least `wanted` tasks that copies least.
  static Division divide(const ProductShape& shape, long tiles, long panels, long wanted) {
    const long copied_a = shape.a_transposed ? shape.rows : 0;
    const long least = shape.a_transposed ? divide_up(tiles, most_tiles) : 1;
    Division best = {0, 0};
    long lowest = 0;
    for (long columns = 1; columns <= smaller(panels, wanted); ++columns) {
      const long parts = smaller(tiles, larger(least, divide_up(wanted, columns)));
      const long copied = columns * copied_a + parts * shape.columns;
      if (best.rows == 0 || copied < lowest) {
        best = {parts, columns};
        lowest = copied;
      }
    }
    return best;
  }

  static void part(const ProductShape& shape, const float* a, const float* b, float* c,
                   long first_tile, long last_tile, long first_panel, long last_panel) {
    const long first = first_tile * rows, last = smaller(shape.rows, last_tile * rows);
    for (long k = 0; k < shape.depth || k == 0; k += deepest) {
      const long depth = smaller(deepest, shape.depth - k);
      const float* tiles = nullptr;
      if (shape.a_transposed) tiles = copy_tiles(shape, a + k * shape.rows, depth, first, last);
      for (long number = first_panel; number < last_panel; ++number) {
        const long column = number * Shape::columns;
        const long width = smaller(Shape::columns, shape.columns - column);
        const Panel panel = {k, depth, column, width, first, last, tiles};
        switch (divide_up(width, lanes)) {
          case 1: multiply<1>(shape, a, b, c, panel); break;
          case 2: multiply<2>(shape, a, b, c, panel); break;
          case 3: multiply<Shape::vectors == 4 ? 3 : 1>(shape, a, b, c, panel); break;
          default: multiply<Shape::vectors>(shape, a, b, c, panel);
        }
      }
    }
  }

  struct Panel {
    long k, depth, column, width;
    long first, last;    // rows
    const float* tiles;  // of a transposed a
  };

  static long tile_size(long depth) { return depth * rows + 8; }

  // Tiles of a transposed a, each with `rows` numbers for every step of the depth.
  static const float* copy_tiles(const ProductShape& shape, const float* a, long depth, long first,
                                 long last) {
    float* tiles = scratch(1, divide_up(last - first, rows) * tile_size(depth));
    for (long i = 0; i < depth; ++i) {
      const float* from = a + i * shape.rows;
      float* to = tiles + i * rows;
      for (long row = first; row < last; row += rows, to += tile_size(depth)) {
        store<8>(to, load_some<8>(from + row, shape.rows - row));  // the last two are overwritten
      }
    }
    return tiles;
  }

  template <int vectors>
  static void multiply(const ProductShape& shape, const float* a, const float* b, float* c,
                       const Panel& panel) {
    constexpr long columns = vectors * lanes;
    const float* from_b = b + panel.k * shape.columns + panel.column;
    long stride = shape.columns;
    if (shape.b_transposed || panel.width < columns ||
        panel.last - panel.first > few_tiles * rows) {
      float* packed = scratch(0, deepest * Shape::columns);
      copy_panel<columns>(shape, b, panel, packed);
      from_b = packed;
      stride = columns;
    }
    const float* next = panel.tiles;
    for (long row = panel.first; row < panel.last; row += rows) {
      const int height = static_cast<int>(smaller(rows, panel.last - row));
      Tile<lanes, rows, vectors> tile;
      tile.clear();
      if (shape.a_transposed) {
        tile.multiply_transposed(next, rows, from_b, stride, panel.depth);
        next += tile_size(panel.depth);
      } else {
        const float* from[rows];
        for (int r = 0; r < rows; ++r) {
          from[r] = a + (row + smaller(r, height - 1)) * shape.depth + panel.k;
        }
        tile.multiply(from, 1, from_b, stride, panel.depth);
      }
      float* out[rows];
      for (int r = 0; r < rows; ++r) out[r] = c + (row + r) * shape.columns + panel.column;
      tile.put(out, height, panel.width, panel.k > 0);
    }
  }

  // The panel's numbers of b, a row for each step of the depth, with zeros beyond its width.
  template <long columns>
  static void copy_panel(const ProductShape& shape, const float* b, const Panel& panel,
                         float* packed) {
    if (shape.b_transposed) {
      transpose<lanes>(b + panel.column * shape.depth + panel.k, shape.depth, panel.width,
                       panel.depth, packed, columns);
      return;
    }
    for (long i = 0; i < panel.depth; ++i) {
      const float* from = b + (panel.k + i) * shape.columns + panel.column;
#pragma GCC unroll 4
      for (long j = 0; j < columns; j += lanes) {
        store<lanes>(packed + i * columns + j, load_some<lanes>(from + j, panel.width - j));
      }
    }
  }
};

}  // namespace nacre
