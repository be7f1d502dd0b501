// Products of matrices with operands in bfloat16 and sums in float32.
//
//   of bfloat16     c = a b                                                  rounded once
//   of float32      c = high(a) high(b) + high(a) low(b) + low(a) high(b)    bf16x3
//
// A task computes a block of c, of 256 x 256 numbers at most. It packs 512 steps of the depth of its
// rows of a and columns of b, multiplies them two sixteens of rows by two of columns, and goes on to
// the next 512. Where blocks are too few for all threads, the depth is divided too, and the sums of
// the divisions are added up in order.
//
// Temporaries a thread: the sums of a block, 256 KiB, and the packed steps, 512 KiB or, of float32, 1
// MiB; and the sums of all divisions of the depth, 16 MiB at most.
#pragma once

#include "bfloat16_units.h"
#include "kernels.h"
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

// A Problem has a type `Number`, `rows`, `columns` and a depth in `pieces` of at most `most_depth`, and
// packs them:
//
//   room()                             for a block's pixels, or nullptr
//   begin(block)                       called before the others
//   depth(piece)
//   left(block, piece, to, step), right(...)             a piece, from `step` on
//   finish(block, sums, stride, result)                  takes the sums
template <class Units, class Problem>
struct Bfloat16Product {
  using Number = typename Problem::Number;
  static constexpr int parts = parts_of<Number>;
  static constexpr long partial_floats = 4 << 20;

  const Problem& problem;

  // With `numbers`, the size of `result`, the depth may be divided.
  template <class To>
  void run(To* result, long numbers, Workers& workers) const {
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
    const long allowed = numbers ? partial_floats / numbers : 1;
    const long divisions =
        larger(1, smaller(smaller(divide_up(wanted, count), allowed), problem.pieces));
    float* partial = divisions > 1 ? scratch(partial_slot, divisions * numbers) : nullptr;
    for_each_task(workers, count * divisions, [&](long task) {
      const long number = task / divisions, division = task % divisions;
      const long row = number / across * height, column = number % across * width;
      const Block block = {row, smaller(height, problem.rows - row), column,
                           smaller(width, problem.columns - column), Problem::room()};
      const long first = division * problem.pieces / divisions;
      const long last = (division + 1) * problem.pieces / divisions;
      if (partial) return compute(block, first, last, partial + division * numbers);
      compute(block, first, last, result);
    });
    if (partial) round_total(result, partial, divisions, numbers, workers);
  }

  // The sum of what the divisions have made of all numbers.
  template <class To>
  static void round_total(To* result, const float* partial, long divisions, long numbers,
                          Workers& workers) {
    constexpr long slice = 1 << 13;
    for_each_task(workers, divide_up(numbers, slice), [&](long task) {
      const long last = smaller(numbers, (task + 1) * slice);
      for (long i = task * slice; i < last; i += 16) {
        Vector<16> total = load_some<16>(partial + i, last - i);
        for (long d = 1; d < divisions; ++d) {
          total += load_some<16>(partial + d * numbers + i, last - i);
        }
        store_some<16>(result + i, total, last - i);
      }
    });
  }

  static Packed packed(int slot, long lines, long steps) {
    const long halves = lines / tile_lines * steps * tile_halves;
    Half* high = reinterpret_cast<Half*>(scratch(slot, parts * halves / 2));
    return {high, high + (parts - 1) * halves, steps};
  }

  template <class To>
  void compute(const Block& block, long piece, long last, To* result) const {
    problem.begin(block);
    const long rows = whole(block.rows), columns = whole(block.columns);
    float* sums = scratch(offsets_slot, rows * columns);
    Units units;
    if (piece == last) {
      for (long i = 0; i < rows * columns; ++i) sums[i] = 0;
    }
    for (bool first = true; piece < last; first = false) {
      long end = piece, steps = 0;
      while (end < last && steps + steps_of(end) <= most_steps) steps += steps_of(end++);
      const Packed a = packed(image_slot, rows, steps), b = packed(packed_slot, columns, steps);
      for (long step = 0; piece < end; step += steps_of(piece++)) {
        problem.left(block, piece, a, step);
        problem.right(block, piece, b, step);
      }
      for (long i = 0; i < rows; i += pair_of_sixteens) {
        for (long j = 0; j < columns; j += pair_of_sixteens) {
          units.template multiply<parts>(a, i / tile_lines, b, j / tile_lines,
                                         sums + i * columns + j, columns, first);
        }
      }
    }
    problem.finish(block, sums, columns, result);
  }

  long steps_of(long piece) const { return divide_up(problem.depth(piece), tile_depth); }
};

// The lines of a matrix that lie side by side, `stride` apart, packed.
template <bool left, class Number>
void pack_lines(const Number* from, long stride, long count, long depth, const Packed& to,
                long step) {
  const Number* lines[tile_lines];
  for (long line = 0; line < whole(count); line += tile_lines) {
    for (long l = 0; l < tile_lines; ++l) {
      lines[l] = line + l < count ? from + (line + l) * stride : nullptr;
    }
    pack_along<left>(lines, depth, to, line / tile_lines, step);
  }
}

// The same where the steps of the depth are `stride` apart.
template <bool left, class Number>
void pack_steps(const Number* from, long stride, long count, long depth, const Packed& to,
                long step) {
  const Number* steps[most_depth];
  for (long k = 0; k < depth; ++k) steps[k] = from + k * stride;
  for (long line = 0; line < whole(count); line += tile_lines) {
    pack_across<left>(steps, depth, line, count - line, to, line / tile_lines, step);
  }
}

// Rows of sums to where each belongs.
template <class To>
NACRE_INLINE void store_row(To* to, const float* sums, long columns) {
  for (long j = 0; j < columns; j += 16) store_some<16>(to + j, load<16>(sums + j), columns - j);
}

template <class Operand>
struct MatrixProblem {
  using Number = Operand;

  const ProductShape& shape;
  const Number *a, *b;
  const long rows = shape.rows, columns = shape.columns;
  const long pieces = divide_up(shape.depth, most_depth);

  static Pixel* room() { return nullptr; }
  void begin(const Block&) const {}
  long depth(long piece) const { return smaller(most_depth, shape.depth - piece * most_depth); }

  void left(const Block& block, long piece, const Packed& to, long step) const {
    const long k = piece * most_depth;
    if (shape.a_transposed) {
      pack_steps<true>(a + k * rows + block.row, rows, block.rows, depth(piece), to, step);
    } else {
      pack_lines<true>(a + block.row * shape.depth + k, shape.depth, block.rows, depth(piece), to,
                       step);
    }
  }

  void right(const Block& block, long piece, const Packed& to, long step) const {
    const long k = piece * most_depth;
    if (shape.b_transposed) {
      pack_lines<false>(b + block.column * shape.depth + k, shape.depth, block.columns,
                        depth(piece), to, step);
    } else {
      pack_steps<false>(b + k * columns + block.column, columns, block.columns, depth(piece), to,
                        step);
    }
  }

  template <class To>
  void finish(const Block& block, const float* sums, long stride, To* result) const {
    for (long r = 0; r < block.rows; ++r) {
      store_row(result + (block.row + r) * columns + block.column, sums + r * stride,
                block.columns);
    }
  }
};

}  // namespace nacre
