// Products of matrices on AMX tiles, with operands rounded to bfloat16 and sums in float32.
//
//   one part     c = high(a) high(b)                                        operands are bfloat16
//   two parts    c = high(a) high(b) + high(a) low(b) + low(a) high(b)      bf16x3
//
// A task computes a block of c, of 256 x 256 numbers at most. It packs 512 steps of the depth of its
// rows of a and columns of b, multiplies them two sixteens of rows by two of columns, in four tiles,
// and goes on to the next 512. Where blocks are too few for all threads, the depth is divided too,
// and the sums of the divisions are added up in order.
//
// Temporaries a thread: the sums of a block, 256 KiB, and the packed steps, 512 KiB or 1 MiB with
// two parts; and the sums of all divisions of the depth but the first, 16 MiB at most.
#pragma once

#include "amx_packing.h"
#include "kernels.h"
#include "partial_sums.h"
#include "windows.h"

namespace nacre {

constexpr long most_lines = 256, most_steps = 16;  // of a block; a step is a tile deep
constexpr long most_depth = most_steps * tile_depth;

// Lines are packed in pairs of sixteens, with zeros for those that are missing.
constexpr long pair_of_sixteens = 2 * tile_lines;
NACRE_INLINE long whole(long lines) {
  return divide_up(lines, pair_of_sixteens) * pair_of_sixteens;
}

struct Pixel;  // of a convolution

struct Block {
  long row, rows, column, columns;
  Pixel* pixels;  // room for `most_depth` of them
};

// A Problem has `rows`, `columns` and a depth in `pieces` of at most `most_depth`, and packs them:
//
//   room()                             for a block's pixels, or nullptr
//   begin(block)                       called before the others
//   depth(piece)
//   left<parts>(block, piece, to, step), right<parts>(...)       a piece, from `step` on
//   finish(block, sums, stride, result)                          takes the sums
template <class Tiles, int parts, class Problem>
struct AmxProduct {
  static constexpr long partial_floats = 4 << 20;

  const Problem& problem;

  // With `floats`, the size of `result`, the depth may be divided.
  void run(float* result, long floats, Workers& workers) const {
    long height = smaller(most_lines, whole(problem.rows));
    long width = smaller(most_lines, whole(problem.columns));
    if (!height || !width) return;
    const auto blocks = [&] {
      return divide_up(problem.rows, height) * divide_up(problem.columns, width);
    };
    const long wanted = 2 * workers.count();
    while (blocks() < wanted && height > 64) height = whole(height / 2);
    while (blocks() < wanted && width > 64) width = whole(width / 2);
    const long count = blocks(), across = divide_up(problem.columns, width);
    const long allowed = floats ? 1 + partial_floats / floats : 1;
    const long divisions =
        larger(1, smaller(smaller(divide_up(wanted, count), allowed), problem.pieces));
    float* others = scratch(partial_slot, (divisions - 1) * floats + 1);
    for_each_task(workers, count * divisions, [&](long task) {
      const long number = task / divisions, division = task % divisions;
      const long row = number / across * height, column = number % across * width;
      const Block block = {row, smaller(height, problem.rows - row), column,
                           smaller(width, problem.columns - column), Problem::room()};
      compute(block, division * problem.pieces / divisions,
              (division + 1) * problem.pieces / divisions,
              division ? others + (division - 1) * floats : result);
    });
    add_up<16>(result, others, divisions - 1, floats, workers);
  }

  static Packed packed(int slot, long lines, long steps) {
    const long halves = lines / tile_lines * steps * tile_halves;
    Half* high = reinterpret_cast<Half*>(scratch(slot, parts * halves / 2));
    return {high, high + (parts - 1) * halves, steps};
  }

  void compute(const Block& block, long piece, long last, float* result) const {
    problem.begin(block);
    const long rows = whole(block.rows), columns = whole(block.columns);
    float* sums = scratch(offsets_slot, rows * columns);
    Tiles tiles;
    if (piece == last) {
      for (long i = 0; i < rows * columns; ++i) sums[i] = 0;
    }
    for (bool first = true; piece < last; first = false) {
      long end = piece, steps = 0;
      while (end < last && steps + steps_of(end) <= most_steps) steps += steps_of(end++);
      const Packed a = packed(image_slot, rows, steps), b = packed(packed_slot, columns, steps);
      for (long step = 0; piece < end; step += steps_of(piece++)) {
        problem.template left<parts>(block, piece, a, step);
        problem.template right<parts>(block, piece, b, step);
      }
      for (long i = 0; i < rows; i += pair_of_sixteens) {
        for (long j = 0; j < columns; j += pair_of_sixteens) {
          multiply(tiles, a, i / tile_lines, b, j / tile_lines, sums + i * columns + j, columns,
                   first);
        }
      }
    }
    problem.finish(block, sums, columns, result);
  }

  long steps_of(long piece) const { return divide_up(problem.depth(piece), tile_depth); }

  // Four tiles of sums, from two sixteens of rows and two of columns.
  NACRE_INLINE static void multiply(Tiles& tiles, const Packed& a, long i, const Packed& b, long j,
                                    float* sums, long stride, bool first) {
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
        multiply_four(tiles);
      }
      tiles.template load<4>(a.high + upper, 64), tiles.template load<5>(a.high + lower, 64);
      multiply_four(tiles);
      if constexpr (parts == 2) {
        tiles.template load<6>(b.low + before, 64), tiles.template load<7>(b.low + after, 64);
        multiply_four(tiles);
      }
    }
    tiles.template store<0>(sums, bytes), tiles.template store<1>(sums + tile_lines, bytes);
    tiles.template store<2>(below, bytes), tiles.template store<3>(below + tile_lines, bytes);
  }

  NACRE_INLINE static void multiply_four(Tiles& tiles) {
    tiles.template multiply<0, 4, 6>(), tiles.template multiply<1, 4, 7>();
    tiles.template multiply<2, 5, 6>(), tiles.template multiply<3, 5, 7>();
  }
};

// The lines of a matrix that lie side by side, `stride` apart, packed.
template <int parts, bool left>
void pack_lines(const float* from, long stride, long count, long depth, const Packed& to,
                long step) {
  const float* lines[tile_lines];
  for (long line = 0; line < whole(count); line += tile_lines) {
    for (long l = 0; l < tile_lines; ++l) {
      lines[l] = line + l < count ? from + (line + l) * stride : nullptr;
    }
    pack_along<parts, left>(lines, depth, to, line / tile_lines, step);
  }
}

// The same where the steps of the depth are `stride` apart.
template <int parts, bool left>
void pack_steps(const float* from, long stride, long count, long depth, const Packed& to,
                long step) {
  const float* steps[most_depth];
  for (long k = 0; k < depth; ++k) steps[k] = from + k * stride;
  for (long line = 0; line < whole(count); line += tile_lines) {
    pack_across<parts, left>(steps, depth, line, count - line, to, line / tile_lines, step);
  }
}

struct MatrixProblem {
  const ProductShape& shape;
  const float *a, *b;
  const long rows = shape.rows, columns = shape.columns;
  const long pieces = divide_up(shape.depth, most_depth);

  static Pixel* room() { return nullptr; }
  void begin(const Block&) const {}
  long depth(long piece) const { return smaller(most_depth, shape.depth - piece * most_depth); }

  template <int parts>
  void left(const Block& block, long piece, const Packed& to, long step) const {
    const long k = piece * most_depth;
    if (shape.a_transposed) {
      pack_steps<parts, true>(a + k * rows + block.row, rows, block.rows, depth(piece), to, step);
    } else {
      pack_lines<parts, true>(a + block.row * shape.depth + k, shape.depth, block.rows,
                              depth(piece), to, step);
    }
  }

  template <int parts>
  void right(const Block& block, long piece, const Packed& to, long step) const {
    const long k = piece * most_depth;
    if (shape.b_transposed) {
      pack_lines<parts, false>(b + block.column * shape.depth + k, shape.depth, block.columns,
                               depth(piece), to, step);
    } else {
      pack_steps<parts, false>(b + k * columns + block.column, columns, block.columns,
                               depth(piece), to, step);
    }
  }

  void finish(const Block& block, const float* sums, long stride, float* result) const {
    for (long r = 0; r < block.rows; ++r) {
      float* to = result + (block.row + r) * columns + block.column;
      for (long j = 0; j < block.columns; ++j) to[j] = sums[r * stride + j];
    }
  }
};

}  // namespace nacre
