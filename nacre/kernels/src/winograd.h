// Convolution with windows of 3 x 3 by fewer multiplications: Winograd's (winograd_schemes.h).
//
// The outputs are cut into squares. Summed over the channels, each of the products of a square is a
// product of matrices, squares x inputs times inputs x outputs. The gradient in the image is the same
// convolution with the kernel turned round.
//
// An output that sees an infinity is infinite or NaN: differences are taken of it.
//
// Temporaries: all products' numbers for each pair of an input and an output channel, for so many
// outputs that it is 9 MiB at most; or, for few squares and many channels, what a block of squares sees,
// 9 MiB too. A thread has what its squares see and the sums of a panel, 4.5 MiB at most; for the
// gradient in the kernel 3.5 MiB, and the sums of a task's pairs, 9 MiB.
#pragma once

#include "bfloat16.h"
#include "kernels.h"
#include "pooled_convolution.h"
#include "tile.h"
#include "transpose.h"
#include "windows.h"
#include "winograd_schemes.h"

namespace nacre {

// Images and kernels are stored as `Stored`; all is computed in float32. Outputs are a multiple of a
// panel's columns.
template <int lanes, class Scheme = ByTwo<lanes>, class Stored = float,
          int panel_vectors = TileShape<lanes>::vectors>
struct Winograd {
  static constexpr int side = Scheme::outputs, seen_side = side + 2;  // of a square, and what it sees
  static constexpr int products = seen_side * seen_side, rows = TileShape<lanes>::rows;
  static constexpr int vectors = panel_vectors, columns = vectors * lanes;
  static constexpr long most_squares = 96;
  static constexpr long block_floats = 192 << 10;
  static constexpr long kept_floats = kept_bytes / sizeof(float);
  static constexpr long fewest_channels = 32, most_channels = side == 2 ? 1024 : 512;
  static constexpr long fewest_pixels = 256;
  static constexpr long large_floats = 288 << 10;  // of a kernel's panel
  static constexpr long most_squares_of_large = 640, inputs_together = 64;
  static_assert(rows == 6 && lanes % 8 == 0, "add_products has tiles for what is left of the rows");

  using Number = Vector<lanes>;

  // The squares of outputs of all images, or what there is of them at the edge.
  struct Squares {
    long batch, output[2], before[2];
    long down = divide_up(output[0], side), across = divide_up(output[1], side);

    NACRE_INLINE long count() const { return batch * down * across; }
    NACRE_INLINE long pixels() const { return batch * output[0] * output[1]; }
  };

  static bool fits(const ConvolutionShape& shape, long inputs, long outputs) {
    for (int axis = 0; axis < 2; ++axis) {
      if (shape.window[axis] != 3 || shape.strides[axis] != 1 || shape.dilation[axis] != 1 ||
          shape.output[axis] < 3) {
        return false;
      }
    }
    const auto fill = [](long channels, long unit) {
      return channels % unit == 0 && channels >= fewest_channels && channels <= most_channels;
    };
    return shape.groups == 1 && fill(inputs, lanes) && fill(outputs, columns) &&
           shape.batch * shape.output[0] * shape.output[1] >= fewest_pixels;
  }

  // A kernel whose panels would not stay in a core's cache.
  static constexpr bool is_large(long inputs) { return products * inputs * columns > large_floats; }

  // Whether it is used for products of `inputs` numbers that go to `outputs` columns: where there are
  // squares enough to make up for what is done to the kernel. A large square takes as long as 8 pixels
  // take in other ways (by units for bfloat16, or by small squares), and a kernel as long as 96.
  static bool serves(const ConvolutionShape& shape, const Squares& squares, long inputs,
                     long outputs) {
    if (!fits(shape, inputs, outputs)) return false;
    if (side > 2) return squares.pixels() >= 8 * squares.count() + 96;
    return is_large(inputs) ? squares.count() >= 64 : inputs * outputs <= 384 * 4 * squares.count();
  }

  // Of the gradient in the kernel a task computes some inputs and panels of outputs. Done to the kernel
  // once, at the end, it takes as long as 160 pixels.
  static bool serves_kernel_gradient(const ConvolutionShape& shape, const Squares& squares,
                                     const Workers& workers) {
    return fits(shape, shape.inputs, shape.outputs) &&
           (side == 2 || squares.pixels() >= 8 * squares.count() + 160) &&
           shape.inputs / lanes * (shape.outputs / columns) >= workers.count();
  }

  static Squares squares_of(const ConvolutionShape& shape) {
    return {shape.batch, {shape.output[0], shape.output[1]}, {shape.before[0], shape.before[1]}};
  }
  static Squares turned_squares_of(const ConvolutionShape& shape) {
    return {shape.batch,
            {shape.image[0], shape.image[1]},
            {2 - shape.before[0], 2 - shape.before[1]}};
  }
  struct Square {
    long image, i, j;
  };
  NACRE_INLINE static Square square_at(const Squares& squares, long number) {
    const long rest = number % (squares.down * squares.across);
    return {number / (squares.down * squares.across), rest / squares.across * side,
            rest % squares.across * side};
  }

  // How far apart the matrices of so many numbers lie: not by a power of two, or their lines would
  // share a few places in the cache.
  NACRE_INLINE static long apart(long floats) { return floats + 4 * line_floats; }

  // How many squares are worked on together.
  static long squares_together(long channels) {
    const long fitting = block_floats / (products * channels) / rows * rows;
    return larger(4 * rows, smaller(most_squares, fitting));
  }

  // One of the transforms, along both axes of a square: `load_at(i, j)` gives its numbers, `given` a
  // row, and `store_at(i, j, number)` takes what comes of them.
  template <int given, int made, class Transform, class Load, class Store>
  NACRE_INLINE static void along_both(const Transform& transform, const Load& load_at,
                                      const Store& store_at) {
    Number down[made][given];
#pragma GCC unroll 6
    for (int j = 0; j < given; ++j) {
      Number numbers[given], sums[made];
#pragma GCC unroll 6
      for (int i = 0; i < given; ++i) numbers[i] = load_at(i, j);
      transform(numbers, sums);
#pragma GCC unroll 6
      for (int i = 0; i < made; ++i) down[i][j] = sums[i];
    }
#pragma GCC unroll 6
    for (int i = 0; i < made; ++i) {
      Number sums[made];
      transform(down[i], sums);
#pragma GCC unroll 6
      for (int j = 0; j < made; ++j) store_at(i, j, sums[j]);
    }
  }

  // Channels from `first` to `last` of what a square sees; number n goes to to[n * stride].
  static void transform_seen(const ImagesOf<Stored>& source, const Squares& squares,
                             const Square& square, long first, long last, float* to, long stride) {
    const long row = square.i - squares.before[0], column = square.j - squares.before[1];
    const Stored* from[seen_side][seen_side];
    for (int i = 0; i < seen_side; ++i) {
      for (int j = 0; j < seen_side; ++j) {
        const long y = row + i, x = column + j;
        const bool there = y >= 0 && y < source.size[0] && x >= 0 && x < source.size[1];
        const long place = (square.image * source.size[0] + y) * source.size[1] + x;
        from[i][j] = there ? source.data + place * source.channels : nullptr;
      }
    }
    for (long c = first; c < last; c += lanes, to += lanes) {
      along_both<seen_side, seen_side>(
          Scheme::differences,
          [&](int i, int j) { return from[i][j] ? load<lanes>(from[i][j] + c) : Number{}; },
          [&](int i, int j, Number number) {
            store<lanes>(to + (seen_side * i + j) * stride, number);
          });
    }
  }

  // G w G' for the numbers at `kernel`, whose elements are `stride` apart; turned round if `turned`.
  NACRE_INLINE static void transform_kernel(const Stored* kernel, long stride, bool turned,
                                            Number (&to)[products]) {
    along_both<3, seen_side>(
        Scheme::spread_kernel,
        [&](int i, int j) {
          const int element = 3 * i + j;
          return load<lanes>(kernel + (turned ? 8 - element : element) * stride);
        },
        [&](int i, int j, Number number) { to[seen_side * i + j] = number; });
  }

  // The weights, or in the gradient of the image what they are turned round and transposed.
  struct Kernel {
    const Stored* data;
    long inputs, outputs;
    bool turned;
  };

  // One panel of outputs from `column` on, and some inputs: number n goes to matrix n of `to`, which are
  // `apart` from each other, and have a row for each of the inputs. These are a multiple of `lanes`.
  static void transform_panel(const Kernel& kernel, long column, long first, long last, float* to,
                              long matrix) {
    const long stride = kernel.inputs * kernel.outputs;
    if (!kernel.turned) {
      for (long i = first; i < last; ++i) {
        for (long o = 0; o < columns; o += lanes) {
          Number numbers[products];
          transform_kernel(kernel.data + i * kernel.outputs + column + o, stride, false, numbers);
          float* row = to + (i - first) * columns + o;
          for (int n = 0; n < products; ++n) store<lanes>(row + n * matrix, numbers[n]);
        }
      }
      return;
    }
    alignas(64) float block[products][8][lanes];
    for (long o = 0; o < columns; o += 8) {
      for (long i = first; i < last; i += lanes) {
        for (int c = 0; c < 8; ++c) {
          Number numbers[products];
          transform_kernel(kernel.data + (column + o + c) * kernel.inputs + i, stride, true, numbers);
          for (int n = 0; n < products; ++n) store<lanes>(block[n][c], numbers[n]);
        }
        for (int n = 0; n < products; ++n) {
          float* corner = to + n * matrix + (i - first) * columns + o;
          for (int k = 0; k < lanes; k += 8) {
            transpose_eight<lanes>(&block[n][0][k], lanes, corner + k * columns, columns);
          }
        }
      }
    }
  }

  // Panels of outputs from `first` to `last`, with all inputs.
  static const float* transformed(const Kernel& kernel, long first, long last, Workers& workers) {
    const long matrix = apart(kernel.inputs * columns), pieces = kernel.inputs / lanes;
    float* all = scratch(kernel_slot, products * matrix * ((last - first) / columns));
    for_each_task(workers, (last - first) / columns * pieces, [&](long task) {
      const long panel = task / pieces, input = task % pieces * lanes;
      transform_panel(kernel, first + panel * columns, input, input + lanes,
                      all + panel * products * matrix + input * columns, matrix);
    });
    return all;
  }

  // Forward, and the gradient in the image. The squares may be windows of which only the maxima are
  // wanted.
  static void convolve(const ImagesOf<Stored>& source, const TargetOf<Stored>& target,
                       const Squares& squares, const Finish& finish, const Kernel& kernel,
                       Workers& workers, const Maxima<lanes, Stored>* maxima = nullptr) {
    const Problem problem = {source, target, squares, finish, maxima};
    if (is_large(kernel.inputs) && squares.count() <= most_squares_of_large &&
        kernel.outputs / columns >= workers.count()) {
      return convolve_panels(problem, kernel, workers);
    }
    const long together = kept_floats / (products * apart(kernel.inputs * columns)) * columns;
    for (long first = 0; first < kernel.outputs; first += together) {
      const long last = smaller(kernel.outputs, first + together);
      const float* kernels = transformed(kernel, first, last, workers);
      convolve_blocks(problem, kernels, first, last, workers);
    }
  }

  struct Problem {
    const ImagesOf<Stored>& source;
    const TargetOf<Stored>& target;
    const Squares& squares;
    const Finish& finish;
    const Maxima<lanes, Stored>* maxima;

    // What square number `number` sees, all its channels.
    void transform(long number, float* to, long stride) const {
      const Square square = square_at(squares, smaller(number, squares.count() - 1));
      transform_seen(source, squares, square, 0, source.channels, to, stride);
    }
  };

  // The matrices of some squares, one for each product, times those of a panel of the kernel.
  static void multiply(const float* seen, long seen_stride, long seen_matrix, const float* panel,
                       long matrix, long depth, float* sums, long sums_matrix, long count, bool add) {
    for (int n = 0; n < products; ++n) {
      for (long q = 0; q < count; q += rows) {
        const float* from[rows];
        float* out[rows];
        for (int r = 0; r < rows; ++r) {
          from[r] = seen + n * seen_matrix + (q + r) * seen_stride;
          out[r] = sums + n * sums_matrix + (q + r) * columns;
        }
        Tile<lanes, rows, vectors> tile;
        tile.clear();
        tile.multiply(from, 1, panel + n * matrix, columns, depth);
        tile.put(out, rows, columns, add);
      }
    }
  }

  static void finish_squares(const Problem& problem, long first, long count, long column,
                             const float* sums, long sums_matrix) {
    for (long q = 0; q < count; ++q) {
      finish_square(problem.target, square_at(problem.squares, first + q), problem.finish, column,
                    sums + q * columns, sums_matrix, problem.maxima);
    }
  }

  // A task has some squares, and reads panels of a kernel that is transformed already.
  static void convolve_blocks(const Problem& problem, const float* kernels, long first_output,
                              long last_output, Workers& workers) {
    const long inputs = problem.source.channels, together = squares_together(inputs);
    const long all = problem.squares.count(), units = divide_up(all, rows);
    const long blocks = larger(divide_up(all, together),
                               smaller(divide_up(units, 4), 4 * workers.count()));
    for_each_task(workers, blocks, [&](long block) {
      const long first = block * units / blocks * rows;
      const long last = smaller(all, (block + 1) * units / blocks * rows);
      const long count = last - first, whole = divide_up(count, rows) * rows;
      const long seen_matrix = apart(whole * inputs), sums_matrix = apart(whole * columns);
      float* seen = scratch(packed_slot, products * seen_matrix);
      float* sums = scratch(rows_slot, products * sums_matrix);
      for (long q = 0; q < whole; ++q) {
        problem.transform(first + q, seen + q * inputs, seen_matrix);
      }
      for (long column = first_output; column < last_output; column += columns) {
        const long matrix = apart(inputs * columns);
        const float* panel = kernels + (column - first_output) / columns * products * matrix;
        multiply(seen, inputs, seen_matrix, panel, matrix, inputs, sums, sums_matrix, whole, false);
        finish_squares(problem, first, count, column, sums, sums_matrix);
      }
    });
  }

  // Few squares, and a kernel that would not stay in a core's cache: a task has a panel of outputs, and
  // transforms its part of the kernel by some inputs at a time, for all squares of a block.
  static void convolve_panels(const Problem& problem, const Kernel& kernel, Workers& workers) {
    const long inputs = kernel.inputs, all = problem.squares.count();
    const long most = larger(rows, kept_floats / (products * inputs) / rows * rows - rows);
    const long blocks = divide_up(all, most), units = divide_up(all, rows);
    for (long block = 0; block < blocks; ++block) {
      const long first = block * units / blocks * rows;
      const long last = smaller(all, (block + 1) * units / blocks * rows);
      const long count = last - first, whole = divide_up(count, rows) * rows;
      const long seen_matrix = apart(whole * inputs), sums_matrix = apart(whole * columns);
      float* seen = scratch(kernel_slot, products * seen_matrix);
      for_each_task(workers, whole, [&](long q) {
        problem.transform(first + q, seen + q * inputs, seen_matrix);
      });
      for_each_task(workers, kernel.outputs / columns, [&](long panel) {
        const long column = panel * columns, matrix = apart(inputs_together * columns);
        float* part = scratch(packed_slot, products * matrix);
        float* sums = scratch(rows_slot, products * sums_matrix);
        for (long i = 0; i < inputs; i += inputs_together) {
          const long depth = smaller(inputs_together, inputs - i);
          transform_panel(kernel, column, i, i + depth, part, matrix);
          multiply(seen + i, inputs, seen_matrix, part, matrix, depth, sums, sums_matrix, whole,
                   i > 0);
        }
        finish_squares(problem, first, count, column, sums, sums_matrix);
      });
    }
  }

  // A' m A, with bias and relu, for one panel of outputs.
  static void finish_square(const TargetOf<Stored>& target, const Square& square,
                            const Finish& finish, long column, const float* from, long stride,
                            const Maxima<lanes, Stored>* maxima) {
    const long pixel = (square.image * target.size[0] + square.i) * target.size[1] + square.j;
    const long rows_there = target.size[0] - square.i, columns_there = target.size[1] - square.j;
    for (long c = 0; c < columns; c += lanes) {
      const Number bias = finish.bias ? load<lanes>(finish.bias + column + c) : Number{};
      Number y[side][side];
      along_both<seen_side, side>(
          Scheme::gather_sums,
          [&](int i, int j) { return load<lanes>(from + (seen_side * i + j) * stride + c); },
          [&](int i, int j, Number number) {
            number += bias;
            y[i][j] = finish.relu ? positive_part(number) : number;
          });
      if (maxima) {
        take_maxima(*maxima, square, rows_there, columns_there, column + c, y);
        continue;
      }
#pragma GCC unroll 4
      for (int i = 0; i < side; ++i) {
        if (i >= rows_there) break;
#pragma GCC unroll 4
        for (int j = 0; j < side; ++j) {
          if (j >= columns_there) break;
          const long at = pixel + i * target.size[1] + j;
          store<lanes>(target.data + at * target.channels + column + c, y[i][j]);
        }
      }
    }
  }

  NACRE_INLINE static Number positive_part(Number y) { return y < Number{} ? Number{} : y; }

  // Windows of 2 x 2 outputs: one square, or four. None lies partly beside the outputs.
  NACRE_INLINE static void take_maxima(const Maxima<lanes, Stored>& maxima, const Square& square,
                                       long rows_there, long columns_there, long channel,
                                       const Number (&y)[side][side]) {
#pragma GCC unroll 2
    for (int i = 0; i < side; i += 2) {
      if (i >= rows_there) break;
#pragma GCC unroll 2
      for (int j = 0; j < side; j += 2) {
        if (j >= columns_there) break;
        const Number quad[4] = {y[i][j], y[i][j + 1], y[i + 1][j], y[i + 1][j + 1]};
        maxima.take_quad(square.image, (square.i + i) / 2, (square.j + j) / 2, channel, quad);
      }
    }
  }

  // A y' A' for one panel of the outputs' gradient; number n goes to to[n * stride].
  static void transform_change(const ImagesOf<Stored>& change, const Square& square, long column,
                               float* to, long stride) {
    const long rows_there = change.size[0] - square.i, columns_there = change.size[1] - square.j;
    const long pixel = (square.image * change.size[0] + square.i) * change.size[1] + square.j;
    const Stored* from = change.data + pixel * change.channels + column;
    for (long c = 0; c < columns; c += lanes) {
      along_both<side, seen_side>(
          Scheme::spread_change,
          [&](int i, int j) {
            const bool there = i < rows_there && j < columns_there;
            const long away = (i * change.size[1] + j) * change.channels + c;
            return there ? load<lanes>(from + away) : Number{};
          },
          [&](int i, int j, Number number) {
            store<lanes>(to + (seen_side * i + j) * stride + c, number);
          });
    }
  }

  // A task has some of the inputs and of the outputs, and goes through all squares: so every sum is made
  // by one task.
  static void kernel_gradient(const ConvolutionShape& shape, const ImagesOf<Stored>& source,
                              const ImagesOf<Stored>& change, const Squares& squares, float* result,
                              Workers& workers) {
    const long pieces = shape.inputs / lanes, panels = shape.outputs / columns;
    const long fitting = divide_up(products * shape.inputs * shape.outputs, kept_floats - 65536);
    const long wanted = larger(fitting, 2 * workers.count());
    const long parts = smaller(pieces, wanted), splits = smaller(panels, divide_up(wanted, parts));
    for_each_task(workers, parts * splits, [&](long task) {
      const long part = task / splits, split = task % splits;
      const long first = part * pieces / parts * lanes, last = (part + 1) * pieces / parts * lanes;
      const long first_output = split * panels / splits * columns;
      const long outputs = (split + 1) * panels / splits * columns - first_output;
      const long own = last - first;
      const long seen_matrix = apart(most_squares * own), total_matrix = apart(own * outputs);
      const long changes_matrix = apart(most_squares * columns);
      float* total = scratch(image_slot, products * total_matrix);
      float* seen = scratch(packed_slot, products * seen_matrix);
      float* changes = scratch(rows_slot, products * changes_matrix);
      for (long begin = 0; begin < squares.count(); begin += most_squares) {
        const long count = smaller(most_squares, squares.count() - begin);
        for (long q = 0; q < count; ++q) {
          transform_seen(source, squares, square_at(squares, begin + q), first, last, seen + q * own,
                         seen_matrix);
        }
        for (long column = 0; column < outputs; column += columns) {
          for (long q = 0; q < count; ++q) {
            transform_change(change, square_at(squares, begin + q), first_output + column,
                             changes + q * columns, changes_matrix);
          }
          for (int n = 0; n < products; ++n) {
            add_products(seen + n * seen_matrix, own, changes + n * changes_matrix, count,
                         total + n * total_matrix + column, outputs, begin > 0);
          }
        }
      }
      for (long i = 0; i < own; ++i) {
        for (long o = 0; o < outputs; o += lanes) {
          finish_kernel(total + i * outputs + o, total_matrix,
                        result + (first + i) * shape.outputs + first_output + o,
                        shape.inputs * shape.outputs);
        }
      }
    });
  }

  // sums[i, o] (+)= sum over squares q of seen[q, i] change[q, o]. The rows are a multiple of 8, so that
  // tiles of six leave 4, 2 or none.
  static void add_products(const float* seen, long own, const float* changes, long count, float* sums,
                           long outputs, bool add) {
    long row = 0;
    for (; row + rows <= own; row += rows) {
      add_rows<rows>(seen + row, own, changes, count, sums + row * outputs, outputs, add);
    }
    if (own - row == 4) add_rows<4>(seen + row, own, changes, count, sums + row * outputs, outputs, add);
    if (own - row == 2) add_rows<2>(seen + row, own, changes, count, sums + row * outputs, outputs, add);
  }

  template <int height>
  static void add_rows(const float* seen, long own, const float* changes, long count, float* sums,
                       long outputs, bool add) {
    Tile<lanes, height, vectors> tile;
    tile.clear();
    tile.multiply_transposed(seen, own, changes, columns, count);
    float* out[height];
    for (int r = 0; r < height; ++r) out[r] = sums + r * outputs;
    tile.put(out, height, columns, add);
  }

  static void finish_kernel(const float* from, long stride, float* to, long to_stride) {
    along_both<seen_side, 3>(
        Scheme::gather_kernel,
        [&](int i, int j) { return load<lanes>(from + (seen_side * i + j) * stride); },
        [&](int i, int j, Number number) { store<lanes>(to + (3 * i + j) * to_stride, number); });
  }
};

// Calls body(kernels, squares) with the first kernels that take products of `inputs` and `outputs`, if any
// do; `turned` for the gradient in the image.
template <class... Kernels, class Body>
bool with_first_that_serves(const ConvolutionShape& shape, bool turned, long inputs, long outputs,
                            const Body& body) {
  const auto try_with = [&](auto kernels) {
    const auto squares = turned ? kernels.turned_squares_of(shape) : kernels.squares_of(shape);
    const bool serves = kernels.serves(shape, squares, inputs, outputs);
    if (serves) body(kernels, squares);
    return serves;
  };
  return (try_with(Kernels()) || ...);
}

// The same of float32: squares of 4 x 4 only where their loss of digits is allowed.
template <int lanes, bool loose, class Body>
bool by_squares(const ConvolutionShape& shape, bool turned, long inputs, long outputs,
                const Body& body) {
  using Small = Winograd<lanes>;
  if constexpr (loose) {
    using Large = Winograd<lanes, ByFour<lanes>>;
    return with_first_that_serves<Large, Small>(shape, turned, inputs, outputs, body);
  } else {
    return with_first_that_serves<Small>(shape, turned, inputs, outputs, body);
  }
}

}  // namespace nacre
