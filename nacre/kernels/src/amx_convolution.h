// Convolutions on AMX tiles: products of matrices whose lines are read where windows look.
//
// Nothing of the image is copied but what a task packs: a piece of the depth is one tap and up to 512
// channels, and a pixel beside the image is a line of zeros. For the gradient in the kernel a piece
// of the depth is 512 pixels, and the lines are the channels at each tap.
//
// They serve one group with 16 channels or more; fewer would leave tiles empty.
//
// Temporaries a thread, beyond those of a product: the places of 512 pixels.
#pragma once

#include "amx_product.h"

namespace nacre {

struct Pixel {
  long row, column;   // where its window is on the source
  const float* from;  // that place, which may lie beside the image
  float* to;          // in the target
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

NACRE_INLINE Pixel pixel_at(const Images& source, const Grid& grid, long image, long i, long j) {
  const long row = i * grid.pace[0], column = j * grid.pace[1];
  const long place = (image * source.size[0] + row) * source.size[1] + column;
  return {row, column, source.data + place * source.channels, nullptr};
}

// What a pixel sees at a tap, or nullptr.
NACRE_INLINE const float* seen(const Images& source, const Pixel& pixel, const Tap& tap) {
  const long y = pixel.row + tap.row, x = pixel.column + tap.column;
  const bool there = y >= 0 && y < source.size[0] && x >= 0 && x < source.size[1];
  return there ? pixel.from + (tap.row * source.size[1] + tap.column) * source.channels : nullptr;
}

NACRE_INLINE Pixel* room_for_pixels() {
  return reinterpret_cast<Pixel*>(scratch(places_slot, most_depth * sizeof(Pixel) / sizeof(float)));
}

// Forward and the gradient in the image: see convolution.h.
struct GatheringProblem {
  const ConvolutionShape& shape;
  const Images& source;
  const Target& target;
  const Grid& grid;
  const float* kernel;
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
      to[r].to = target.at(grid, image, i, j);
    });
  }

  long channel(long piece) const { return piece % parts_of_depth * most_depth; }
  long depth(long piece) const { return smaller(most_depth, source.depth - channel(piece)); }

  template <int parts>
  void left(const Block& block, long piece, const Packed& to, long step) const {
    const Tap& tap = grid.taps[piece / parts_of_depth];
    const Pixel* const pixel = block.pixels;
    const float* lines[tile_lines];
    for (long line = 0; line < whole(block.rows); line += tile_lines) {
      for (long l = 0; l < tile_lines; ++l) {
        const float* from = line + l < block.rows ? seen(source, pixel[line + l], tap) : nullptr;
        lines[l] = from ? from + channel(piece) : nullptr;
      }
      pack_along<parts, true>(lines, depth(piece), to, line / tile_lines, step);
    }
  }

  template <int parts>
  void right(const Block& block, long piece, const Packed& to, long step) const {
    const float* matrix =
        kernel + grid.taps[piece / parts_of_depth].matrix * shape.inputs * shape.outputs;
    const long outputs = shape.outputs, k = channel(piece);
    if (transposed) {
      pack_lines<parts, false>(matrix + block.column * outputs + k, outputs, block.columns,
                               depth(piece), to, step);
    } else {
      pack_steps<parts, false>(matrix + k * outputs + block.column, outputs, block.columns,
                               depth(piece), to, step);
    }
  }

  void finish(const Block& block, const float* sums, long stride, float*) const {
    const Pixel* const pixel = block.pixels;
    for (long r = 0; r < block.rows; ++r) {
      float* to = pixel[r].to + block.column;
      for (long j = 0; j < block.columns; ++j) {
        float y = sums[r * stride + j];
        if (after.bias) y += after.bias[block.column + j];
        to[j] = after.relu && y < 0 ? 0 : y;
      }
    }
  }
};

// The gradient in the kernel: see kernel_gradient.h. Each tap has whole sixteens of lines.
struct KernelGradientProblem {
  const ConvolutionShape& shape;
  const Images& source;
  const Grid& grid;
  const float* cotangent;
  const long pixels = shape.batch * grid.size[0] * grid.size[1];
  const long lines_a_tap = divide_up(shape.inputs, tile_lines) * tile_lines;
  const long rows = grid.count * lines_a_tap, columns = shape.outputs;
  const long pieces = divide_up(pixels, most_depth);

  static Pixel* room() { return room_for_pixels(); }
  void begin(const Block&) const {}
  long depth(long piece) const { return smaller(most_depth, pixels - piece * most_depth); }

  template <int parts>
  void left(const Block& block, long piece, const Packed& to, long step) const {
    Pixel* const pixel = block.pixels;
    const long count = depth(piece);
    for_each_pixel(grid.size, piece * most_depth, count, [&](long p, long image, long i, long j) {
      pixel[p] = pixel_at(source, grid, image, i, j);
    });
    const float* steps[most_depth];
    long looked_at = -1;
    for (long l = 0; l < whole(block.rows); l += tile_lines) {
      const long line = block.row + l, tap = line / lines_a_tap, channel = line % lines_a_tap;
      const long channels = l < block.rows ? shape.inputs - channel : 0;
      if (tap != looked_at && channels) {
        for (long p = 0; p < count; ++p) steps[p] = seen(source, pixel[p], grid.taps[tap]);
        looked_at = tap;
      }
      pack_across<parts, true>(steps, count, channel, channels, to, l / tile_lines, step);
    }
  }

  template <int parts>
  void right(const Block& block, long piece, const Packed& to, long step) const {
    pack_steps<parts, false>(cotangent + piece * most_depth * columns + block.column, columns,
                             block.columns, depth(piece), to, step);
  }

  void finish(const Block& block, const float* sums, long stride, float* result) const {
    for (long r = 0; r < block.rows; ++r) {
      const long tap = (block.row + r) / lines_a_tap, channel = (block.row + r) % lines_a_tap;
      if (channel >= shape.inputs) continue;
      float* to = result + (tap * shape.inputs + channel) * columns + block.column;
      for (long j = 0; j < block.columns; ++j) to[j] = sums[r * stride + j];
    }
  }
};

}  // namespace nacre
