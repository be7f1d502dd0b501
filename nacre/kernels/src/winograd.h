// Convolution with windows of 3 x 3 by fewer multiplications: Winograd's F(2x2, 3x3).
//
// Four neighbouring outputs of one channel see 4 x 4 inputs. Sums and differences of these, times as
// many of the kernel's, hold the outputs in 16 products where windows one by one take 36:
//
//   y = A' [ (G w G') * (B' x B) ] A           the product in the middle number by number
//
//        1  0 -1  0             1   0   0             1  0
//   B' = 0  1  1  0         G = .5  .5  .5        A = 1  1
//        0 -1  1  0             .5 -.5  .5            1 -1
//        0  1  0 -1             0   0   1             0 -1
//
// Summed over the channels, each of the 16 is a product of matrices, quads of outputs x inputs times
// inputs x outputs. The gradient in the image is the same convolution with the kernel turned round;
// that in the kernel is  w' = G' [ (B' x B) * (A y' A') ] G  summed over the quads.
//
// Source: Lavin and Gray, Fast Algorithms for Convolutional Neural Networks, 2015.
//
// An output that sees an infinity is infinite or NaN: differences are taken of it.
//
// Temporaries: 16 numbers for each pair of an input and an output channel, for so many outputs that it
// is 9 MiB at most. A thread has 16 for each input of a block of quads and for each of 64 outputs, 2
// MiB at most; in the gradient of the kernel 3.5 MiB, and 16 for each of a task's pairs, 9 MiB.
#pragma once

#include "kernels.h"
#include "pooled_convolution.h"
#include "tile.h"
#include "transpose.h"
#include "windows.h"

namespace nacre {

template <int lanes>
struct Winograd {
  static constexpr int products = 16, rows = TileShape<lanes>::rows;
  static constexpr int vectors = TileShape<lanes>::vectors, columns = TileShape<lanes>::columns;
  static constexpr long most_quads = 96;
  static constexpr long block_floats = 192 << 10;
  static constexpr long kept_floats = kept_bytes / sizeof(float);
  static constexpr long fewest_channels = 32, most_channels = 1024;
  static constexpr long fewest_pixels = 256;
  static_assert(rows == 6 && lanes % 8 == 0, "add_products has tiles for what is left of the rows");

  using Number = Vector<lanes>;

  // Whether it can be used for products of `inputs` numbers that go to `outputs` columns.
  static bool serves(const ConvolutionShape& shape, long inputs, long outputs) {
    for (int axis = 0; axis < 2; ++axis) {
      if (shape.window[axis] != 3 || shape.strides[axis] != 1 || shape.dilation[axis] != 1 ||
          shape.output[axis] < 3) {
        return false;
      }
    }
    const auto fits = [](long channels, long unit) {
      return channels % unit == 0 && channels >= fewest_channels && channels <= most_channels;
    };
    return shape.groups == 1 && fits(inputs, lanes) && fits(outputs, columns) &&
           shape.batch * shape.output[0] * shape.output[1] >= fewest_pixels;
  }

  // Of the gradient in the kernel a task computes some inputs and panels of outputs.
  static bool serves_kernel_gradient(const ConvolutionShape& shape, const Workers& workers) {
    return serves(shape, shape.inputs, shape.outputs) &&
           shape.inputs / lanes * (shape.outputs / columns) >= workers.count();
  }

  // The quads of outputs of all images, 2 x 2 each or what there is at the edge.
  struct Quads {
    long batch, output[2], before[2];
    long down = divide_up(output[0], 2), across = divide_up(output[1], 2);

    NACRE_INLINE long count() const { return batch * down * across; }

    // Whether they are enough to make up for what is done to a kernel of so many pairs of channels.
    bool pay(long pairs) const { return pairs <= 384 * 4 * count(); }
  };
  static Quads quads_of(const ConvolutionShape& shape) {
    return {shape.batch, {shape.output[0], shape.output[1]}, {shape.before[0], shape.before[1]}};
  }
  static Quads turned_quads_of(const ConvolutionShape& shape) {
    return {shape.batch,
            {shape.image[0], shape.image[1]},
            {2 - shape.before[0], 2 - shape.before[1]}};
  }
  struct Quad {
    long image, i, j;
  };
  NACRE_INLINE static Quad quad_at(const Quads& quads, long number) {
    const long rest = number % (quads.down * quads.across);
    return {number / (quads.down * quads.across), rest / quads.across * 2,
            rest % quads.across * 2};
  }

  // How far apart the 16 matrices of so many numbers lie: not by a power of two, or their lines would
  // share a few places in the cache.
  NACRE_INLINE static long apart(long floats) { return floats + 4 * line_floats; }

  // How many quads are worked on together.
  static long quads_together(long channels) {
    const long fitting = block_floats / (products * channels) / rows * rows;
    return larger(4 * rows, smaller(most_quads, fitting));
  }

  // One of the transforms, along both axes of a square: `load_at(i, j)` gives its numbers, `side` a row,
  // and `store_at(i, j, number)` takes what comes of them.
  template <int side, int made, class Transform, class Load, class Store>
  NACRE_INLINE static void along_both(const Transform& transform, const Load& load_at,
                                      const Store& store_at) {
    Number down[made][side];
#pragma GCC unroll 4
    for (int j = 0; j < side; ++j) {
      Number numbers[side], sums[made];
#pragma GCC unroll 4
      for (int i = 0; i < side; ++i) numbers[i] = load_at(i, j);
      transform(numbers, sums);
#pragma GCC unroll 4
      for (int i = 0; i < made; ++i) down[i][j] = sums[i];
    }
#pragma GCC unroll 4
    for (int i = 0; i < made; ++i) {
      Number sums[made];
      transform(down[i], sums);
#pragma GCC unroll 4
      for (int j = 0; j < made; ++j) store_at(i, j, sums[j]);
    }
  }

  // B' x B, along one axis.
  NACRE_INLINE static void differences(const Number* x, Number* to) {
    to[0] = x[0] - x[2];
    to[1] = x[1] + x[2];
    to[2] = x[2] - x[1];
    to[3] = x[1] - x[3];
  }

  // Channels from `first` to `last` of what a quad sees; number n goes to to[n * stride].
  static void transform_seen(const Images& source, const Quads& quads, const Quad& quad, long first,
                             long last, float* to, long stride) {
    const long row = quad.i - quads.before[0], column = quad.j - quads.before[1];
    const float* from[4][4];
    for (int i = 0; i < 4; ++i) {
      for (int j = 0; j < 4; ++j) {
        const long y = row + i, x = column + j;
        const bool there = y >= 0 && y < source.size[0] && x >= 0 && x < source.size[1];
        from[i][j] = there ? source.data + ((quad.image * source.size[0] + y) * source.size[1] + x) *
                                               source.channels
                           : nullptr;
      }
    }
    for (long c = first; c < last; c += lanes, to += lanes) {
      along_both<4, 4>(
          differences,
          [&](int i, int j) { return from[i][j] ? load<lanes>(from[i][j] + c) : Number{}; },
          [&](int i, int j, Number number) { store<lanes>(to + (4 * i + j) * stride, number); });
    }
  }

  // G w, along one axis.
  NACRE_INLINE static void spread_kernel(const Number* w, Number* to) {
    const Number half = Number{} + 0.5f;
    to[0] = w[0];
    to[1] = half * (w[0] + w[1] + w[2]);
    to[2] = half * (w[0] - w[1] + w[2]);
    to[3] = w[2];
  }

  // G w G' for the numbers at `kernel`, whose elements are `stride` apart; turned round if `turned`.
  NACRE_INLINE static void transform_kernel(const float* kernel, long stride, bool turned,
                                            Number (&to)[products]) {
    along_both<3, 4>(
        spread_kernel,
        [&](int i, int j) {
          const int element = 3 * i + j;
          return load<lanes>(kernel + (turned ? 8 - element : element) * stride);
        },
        [&](int i, int j, Number number) { to[4 * i + j] = number; });
  }

  // The weights, or in the gradient of the image what they are turned round and transposed.
  struct Kernel {
    const float* data;
    long inputs, outputs;
    bool turned;
  };

  // For each panel of some outputs, and each of the 16, a matrix of inputs x columns.
  static const float* transformed(const Kernel& kernel, long first, long last, Workers& workers) {
    const long inputs = kernel.inputs, stride = inputs * kernel.outputs;
    const long matrix = apart(inputs * columns);
    float* all = scratch(kernel_slot, products * matrix * ((last - first) / columns));
    if (!kernel.turned) {
      for_each_task(workers, inputs, [&](long i) {
        for (long o = 0; o < last - first; o += lanes) {
          Number numbers[products];
          transform_kernel(kernel.data + i * kernel.outputs + first + o, stride, false, numbers);
          for (int n = 0; n < products; ++n) {
            store<lanes>(all + (o / columns * products + n) * matrix + i * columns + o % columns,
                         numbers[n]);
          }
        }
      });
      return all;
    }
    for_each_task(workers, (last - first) / 8, [&](long task) {
      const long column = 8 * task;
      alignas(64) float block[products][8][lanes];
      for (long i = 0; i < inputs; i += lanes) {
        for (int c = 0; c < 8; ++c) {
          Number numbers[products];
          transform_kernel(kernel.data + (first + column + c) * inputs + i, stride, true, numbers);
          for (int n = 0; n < products; ++n) store<lanes>(block[n][c], numbers[n]);
        }
        for (int n = 0; n < products; ++n) {
          float* to =
              all + (column / columns * products + n) * matrix + i * columns + column % columns;
          for (int k = 0; k < lanes; k += 8) {
            transpose_eight<lanes>(&block[n][0][k], lanes, to + k * columns, columns);
          }
        }
      }
    });
    return all;
  }

  // Forward, and the gradient in the image. The quads may be windows of which only the maxima are
  // wanted.
  static void convolve(const Images& source, const Target& target, const Quads& quads,
                       const Finish& finish, const Kernel& kernel, Workers& workers,
                       const Maxima<lanes>* maxima = nullptr) {
    const long together = kept_floats / (products * apart(kernel.inputs * columns)) * columns;
    for (long first = 0; first < kernel.outputs; first += together) {
      const long last = smaller(kernel.outputs, first + together);
      const float* kernels = transformed(kernel, first, last, workers);
      convolve_some(source, target, quads, finish, kernels, first, last, maxima, workers);
    }
  }

  static void convolve_some(const Images& source, const Target& target, const Quads& quads,
                           const Finish& finish, const float* kernels, long first_output,
                           long last_output, const Maxima<lanes>* maxima, Workers& workers) {
    const long inputs = source.channels, together = quads_together(inputs);
    const long units = divide_up(quads.count(), rows);
    const long blocks = larger(divide_up(quads.count(), together),
                               smaller(divide_up(units, 4), 4 * workers.count()));
    for_each_task(workers, blocks, [&](long block) {
      const long first = block * units / blocks * rows;
      const long last = smaller(quads.count(), (block + 1) * units / blocks * rows);
      const long count = last - first, whole = divide_up(count, rows) * rows;
      const long seen_matrix = apart(whole * inputs), sums_matrix = apart(whole * columns);
      float* seen = scratch(packed_slot, products * seen_matrix);
      float* sums = scratch(rows_slot, products * sums_matrix);
      for (long q = 0; q < whole; ++q) {
        transform_seen(source, quads, quad_at(quads, smaller(first + q, last - 1)), 0, inputs,
                       seen + q * inputs, seen_matrix);
      }
      for (long column = first_output; column < last_output; column += columns) {
        const long matrix = apart(inputs * columns);
        const float* panel = kernels + (column - first_output) / columns * products * matrix;
        for (int n = 0; n < products; ++n) {
          for (long q = 0; q < whole; q += rows) {
            const float* from[rows];
            float* out[rows];
            for (int r = 0; r < rows; ++r) {
              from[r] = seen + n * seen_matrix + (q + r) * inputs;
              out[r] = sums + n * sums_matrix + (q + r) * columns;
            }
            Tile<lanes, rows, vectors> tile;
            tile.clear();
            tile.multiply(from, 1, panel + n * matrix, columns, inputs);
            tile.put(out, rows, columns, false);
          }
        }
        for (long q = 0; q < count; ++q) {
          finish_quad(target, quad_at(quads, first + q), finish, column, sums + q * columns,
                      sums_matrix, maxima);
        }
      }
    });
  }

  // A' m, along one axis.
  NACRE_INLINE static void gather_sums(const Number* m, Number* to) {
    to[0] = m[0] + m[1] + m[2];
    to[1] = m[1] - m[2] - m[3];
  }

  // A' m A, with bias and relu, for one panel of outputs.
  static void finish_quad(const Target& target, const Quad& quad, const Finish& finish, long column,
                          const float* from, long stride, const Maxima<lanes>* maxima) {
    const bool second[2] = {quad.i + 1 < target.size[0], quad.j + 1 < target.size[1]};
    const long pixel = (quad.image * target.size[0] + quad.i) * target.size[1] + quad.j;
    for (long c = 0; c < columns; c += lanes) {
      Number y[4];
      along_both<4, 2>(
          gather_sums,
          [&](int i, int j) { return load<lanes>(from + (4 * i + j) * stride + c); },
          [&](int i, int j, Number number) { y[2 * i + j] = number; });
      const Number bias = finish.bias ? load<lanes>(finish.bias + column + c) : Number{};
#pragma GCC unroll 4
      for (int n = 0; n < 4; ++n) {
        y[n] += bias;
        if (finish.relu) y[n] = y[n] < Number{} ? Number{} : y[n];
      }
      if (maxima) {
        maxima->take_quad(quad.image, quad.i / 2, quad.j / 2, column + c, y);
        continue;
      }
#pragma GCC unroll 4
      for (int n = 0; n < 4; ++n) {
        if ((n / 2 && !second[0]) || (n % 2 && !second[1])) continue;
        const long at = pixel + n / 2 * target.size[1] + n % 2;
        store<lanes>(target.data + at * target.channels + column + c, y[n]);
      }
    }
  }

  // A y', along one axis.
  NACRE_INLINE static void spread_change(const Number* y, Number* to) {
    to[0] = y[0];
    to[1] = y[0] + y[1];
    to[2] = y[0] - y[1];
    to[3] = -y[1];
  }

  // A y' A' for one panel of the outputs' gradient; number n goes to to[n * stride].
  static void transform_change(const Images& change, const Quad& quad, long column, float* to,
                               long stride) {
    const bool second[2] = {quad.i + 1 < change.size[0], quad.j + 1 < change.size[1]};
    const float* from =
        change.data +
        ((quad.image * change.size[0] + quad.i) * change.size[1] + quad.j) * change.channels + column;
    for (long c = 0; c < columns; c += lanes) {
      along_both<2, 4>(
          spread_change,
          [&](int i, int j) {
            const bool there = (!i || second[0]) && (!j || second[1]);
            const long away = (i * change.size[1] + j) * change.channels + c;
            return there ? load<lanes>(from + away) : Number{};
          },
          [&](int i, int j, Number number) { store<lanes>(to + (4 * i + j) * stride + c, number); });
    }
  }

  // G' u, along one axis.
  NACRE_INLINE static void gather_kernel(const Number* u, Number* to) {
    const Number half = Number{} + 0.5f;
    to[0] = u[0] + half * (u[1] + u[2]);
    to[1] = half * (u[1] - u[2]);
    to[2] = half * (u[1] + u[2]) + u[3];
  }

  // A task has some of the inputs and of the outputs, and goes through all quads: so every sum is made
  // by one task.
  static void kernel_gradient(const ConvolutionShape& shape, const Images& source,
                              const Images& change, const Quads& quads, float* result,
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
      const long seen_matrix = apart(most_quads * own), total_matrix = apart(own * outputs);
      const long changes_matrix = apart(most_quads * columns);
      float* total = scratch(image_slot, products * total_matrix);
      float* seen = scratch(packed_slot, products * seen_matrix);
      float* changes = scratch(rows_slot, products * changes_matrix);
      for (long begin = 0; begin < quads.count(); begin += most_quads) {
        const long count = smaller(most_quads, quads.count() - begin);
        for (long q = 0; q < count; ++q) {
          transform_seen(source, quads, quad_at(quads, begin + q), first, last, seen + q * own,
                         seen_matrix);
        }
        for (long column = 0; column < outputs; column += columns) {
          for (long q = 0; q < count; ++q) {
            transform_change(change, quad_at(quads, begin + q), first_output + column,
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

  // sums[i, o] (+)= sum over quads q of seen[q, i] change[q, o]. The rows are a multiple of 8, so that
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
    along_both<4, 3>(
        gather_kernel,
        [&](int i, int j) { return load<lanes>(from + (4 * i + j) * stride); },
        [&](int i, int j, Number number) { store<lanes>(to + (3 * i + j) * to_stride, number); });
  }
};

}  // namespace nacre
