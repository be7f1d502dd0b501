// Convolutions in bfloat16: products of matrices whose lines are read where windows look.
//
// Nothing of the image is copied but what a task packs: a piece of the depth is one tap and up to 512
// channels, and a pixel beside the image is a line of zeros. For the gradient in the kernel a piece
// of the depth is 512 pixels, and the lines are the channels at each tap.
//
// There is one group; with fewer than 16 channels, tiles would not be full.
//
// Temporaries a thread, beyond those of a product: the places of 512 pixels.
#pragma once

#include "bfloat16_product.h"

namespace nacre {

struct Pixel {
  long row, column;  // where its window is on the source
  long from;         // that place among the source's numbers; it may lie beside the image
  long to;           // its place among the target's
};

// Calls body(number, image, i, j) for the pixels of images of a size, from `first` on.
template <class Body>
NACRE_INLINE void for_each_pixel(const long* size, long first, long count, const Body& body) {
  long j = first % size[1], i = first / size[1] % size[0], image = first / size[1] / size[0];
  for (long number = 0; number < count; ++number) {
    body(number, image, i, j);
    if (++j < size[1]) continue;
    j = 0;
    if (++i < size[0]) continue;
    i = 0, ++image;
  }
}

template <class Number>
NACRE_INLINE Pixel pixel_at(const ImagesOf<Number>& source, const Grid& grid, long image, long i,
                            long j) {
  const long row = i * grid.pace[0], column = j * grid.pace[1];
  const long place = (image * source.size[0] + row) * source.size[1] + column;
  return {row, column, place * source.channels, 0};
}

// What a pixel sees at a tap, or nullptr.
template <class Number>
NACRE_INLINE const Number* seen(const ImagesOf<Number>& source, const Pixel& pixel,
                                const Tap& tap) {
  const long y = pixel.row + tap.row, x = pixel.column + tap.column;
  const bool there = y >= 0 && y < source.size[0] && x >= 0 && x < source.size[1];
  if (!there) return nullptr;
  return source.data + pixel.from + (tap.row * source.size[1] + tap.column) * source.channels;
}

NACRE_INLINE Pixel* room_for_pixels() {
  return reinterpret_cast<Pixel*>(scratch(places_slot, most_depth * sizeof(Pixel) / sizeof(float)));
}

// Forward and the gradient in the image: see convolution.h.
template <class Operand>
struct GatheringProblem {
  using Number = Operand;

  const ConvolutionShape& shape;
  const ImagesOf<Number>& source;
  const TargetOf<Number>& target;
  const Grid& grid;
  const Number* kernel;
  Finish after;
  bool transposed;  // the kernel's matrices are columns x depth
  const long rows = shape.batch * grid.size[0] * grid.size[1], columns = target.depth;
  const long parts_of_depth = divide_up(source.depth, most_depth);
  const long pieces = grid.count * parts_of_depth;

  static Pixel* room() { return room_for_pixels(); }
  void begin(const Block& block) const {
    Pixel* const to = block.pixels;
    for_each_pixel(grid.size, block.row, block.rows, [&](long r, long image, long i, long j) {
      to[r] = pixel_at(source, grid, image, i, j);
      to[r].to = target.at(grid, image, i, j) - target.data;
    });
  }

  long channel(long piece) const { return piece % parts_of_depth * most_depth; }
  long depth(long piece) const { return smaller(most_depth, source.depth - channel(piece)); }

  void left(const Block& block, long piece, const Packed& to, long step) const {
    const Tap& tap = grid.taps[piece / parts_of_depth];
    const Pixel* const pixel = block.pixels;
    const Number* lines[tile_lines];
    for (long line = 0; line < whole(block.rows); line += tile_lines) {
      for (long l = 0; l < tile_lines; ++l) {
        const Number* from = line + l < block.rows ? seen(source, pixel[line + l], tap) : nullptr;
        lines[l] = from ? from + channel(piece) : nullptr;
      }
      pack_along<true>(lines, depth(piece), to, line / tile_lines, step);
    }
  }

  void right(const Block& block, long piece, const Packed& to, long step) const {
    const Number* matrix =
        kernel + grid.taps[piece / parts_of_depth].matrix * shape.inputs * shape.outputs;
    const long outputs = shape.outputs, k = channel(piece);
    if (transposed) {
      pack_lines<false>(matrix + block.column * outputs + k, outputs, block.columns, depth(piece),
                        to, step);
    } else {
      pack_steps<false>(matrix + k * outputs + block.column, outputs, block.columns, depth(piece),
                        to, step);
    }
  }

  template <class To>
  void finish(const Block& block, const float* sums, long stride, To*) const {
    const Pixel* const pixel = block.pixels;
    for (long r = 0; r < block.rows; ++r) {
      Number* to = target.data + pixel[r].to + block.column;
      for (long j = 0; j < block.columns; j += 16) {
        const long left = block.columns - j;
        Vector<16> y = load<16>(sums + r * stride + j);
        if (after.bias) y += load_some<16>(after.bias + block.column + j, left);
        if (after.relu) y = y < Vector<16>{} ? Vector<16>{} : y;
        store_some<16>(to + j, y, left);
      }
    }
  }
};

// The gradient in the kernel: see kernel_gradient.h. Each tap has whole sixteens of lines.
template <class Operand>
struct KernelGradientProblem {
  using Number = Operand;

  const ConvolutionShape& shape;
  const ImagesOf<Number>& source;
  const Grid& grid;
  const Number* cotangent;
  const long pixels = shape.batch * grid.size[0] * grid.size[1];
  const long lines_a_tap = divide_up(shape.inputs, tile_lines) * tile_lines;
  const long rows = grid.count * lines_a_tap, columns = shape.outputs;
  const long pieces = divide_up(pixels, most_depth);

  static Pixel* room() { return room_for_pixels(); }
  void begin(const Block&) const {}
  long depth(long piece) const { return smaller(most_depth, pixels - piece * most_depth); }

  void left(const Block& block, long piece, const Packed& to, long step) const {
    Pixel* const pixel = block.pixels;
    const long count = depth(piece);
    for_each_pixel(grid.size, piece * most_depth, count, [&](long p, long image, long i, long j) {
      pixel[p] = pixel_at(source, grid, image, i, j);
    });
    const Number* steps[most_depth];
    long looked_at = -1;
    for (long l = 0; l < whole(block.rows); l += tile_lines) {
      const long line = block.row + l, tap = line / lines_a_tap, channel = line % lines_a_tap;
      const long channels = l < block.rows ? shape.inputs - channel : 0;
      if (tap != looked_at && channels) {
        for (long p = 0; p < count; ++p) steps[p] = seen(source, pixel[p], grid.taps[tap]);
        looked_at = tap;
      }
      pack_across<true>(steps, count, channel, channels, to, l / tile_lines, step);
    }
  }

  void right(const Block& block, long piece, const Packed& to, long step) const {
    pack_steps<false>(cotangent + piece * most_depth * columns + block.column, columns,
                      block.columns, depth(piece), to, step);
  }

  template <class To>
  void finish(const Block& block, const float* sums, long stride, To* result) const {
    for (long r = 0; r < block.rows; ++r) {
      const long tap = (block.row + r) / lines_a_tap, channel = (block.row + r) % lines_a_tap;
      if (channel >= shape.inputs) continue;
      store_row(result + (tap * shape.inputs + channel) * columns + block.column,
                sums + r * stride, block.columns);
    }
  }
};

}  // namespace nacre
