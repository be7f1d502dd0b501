// Where the windows of a convolution look.
#pragma once

#include "kernels.h"
#include "vectors.h"

namespace nacre {

// What the kernels of convolutions keep in which slot of a thread's scratch memory. The plan belongs
// to the calling thread and is read by all.
enum Slot { plan_slot, partial_slot, packed_slot, image_slot, offsets_slot, pointers_slot, places_slot };

// One element of a window: it looks `row` and `column` pixels away from the place of its window, and
// its matrix is number `matrix` of the kernel.
struct Tap {
  long row, column, matrix;
};

// How far the taps of a window reach from its place, up and left, down and right.
struct Reach {
  long low[2], high[2];
};

// The channels of one group in images with channels last.
struct Images {
  const float* data;
  long size[2], channels, depth;  // channels of all groups, and of this one
};

// A part of an image: some whole rows, or part of one row where rows are long.
struct Strip {
  long image, row, rows, column, columns;
};

// Cuts images of a size into strips of at most `most` pixels.
template <int lanes>
struct Strips {
  long rows, columns, height, width, down, across;

  NACRE_INLINE Strips(const long* size, long most) : height(size[0]), width(size[1]) {
    columns = smaller(width, most);
    rows = columns < width ? 1 : smaller(height, larger(1, most / width));
    down = divide_up(height, rows);
    across = divide_up(width, columns);
  }
  NACRE_INLINE long an_image() const { return down * across; }
  NACRE_INLINE Strip at(long number) const {
    const long rest = number % an_image();
    const long row = rest / across * rows, column = rest % across * columns;
    return {number / an_image(), row, smaller(rows, height - row), column,
            smaller(columns, width - column)};
  }
};

// What the windows of a strip see, zeros around the image included.
struct Surroundings {
  const float* data;  // where the window of the strip's first pixel begins
  long row_stride, pixel_stride;
};

// The windows of neighbouring pixels are `pace` apart. A copy is made unless all they see is there.
template <int lanes>
Surroundings surroundings(const Images& from, const Strip& strip, const long* pace,
                          const Reach& reach) {
  const long row = strip.row * pace[0] + reach.low[0];
  const long column = strip.column * pace[1] + reach.low[1];
  const long rows = (strip.rows - 1) * pace[0] + reach.high[0] - reach.low[0] + 1;
  const long columns = (strip.columns - 1) * pace[1] + reach.high[1] - reach.low[1] + 1;
  const long stride = from.size[1] * from.channels;
  const float* image = from.data + strip.image * from.size[0] * stride;
  if (row >= 0 && column >= 0 && row + rows <= from.size[0] && column + columns <= from.size[1]) {
    return {image + row * stride + column * from.channels, stride, from.channels};
  }
  const long depth = from.depth;
  float* copy = scratch(image_slot, rows * columns * depth);
  const long begin = smaller(columns, larger(0, -column));
  const long end = larger(begin, smaller(columns, from.size[1] - column));
  for (long r = 0; r < rows; ++r) {
    float* to = copy + r * columns * depth;
    const bool outside = row + r < 0 || row + r >= from.size[0];
    const long first = outside ? columns : begin, last = outside ? columns : end;
    for (long i = 0; i < first * depth; ++i) to[i] = 0;
    const float* seen = image + (row + r) * stride + column * from.channels;
    if (depth == from.channels) {
      for (long i = first * depth; i < last * depth; ++i) to[i] = seen[i];
    } else {
      for (long c = first; c < last; ++c) {
        for (long i = 0; i < depth; ++i) to[c * depth + i] = seen[c * from.channels + i];
      }
    }
    for (long i = last * depth; i < columns * depth; ++i) to[i] = 0;
  }
  return {copy, columns * depth, depth};
}

// The place of every number of a window, from where the window begins.
template <int lanes>
void offsets_of(const Tap* taps, long count, const Reach& reach, long row_stride,
                long pixel_stride, long depth, long* offsets) {
  for (long t = 0; t < count; ++t) {
    const long at = (taps[t].row - reach.low[0]) * row_stride +
                    (taps[t].column - reach.low[1]) * pixel_stride;
    for (long i = 0; i < depth; ++i) offsets[t * depth + i] = at + i;
  }
}

template <int lanes>
Reach reach_of(const Tap* taps, long count) {
  Reach reach = {{0, 0}, {0, 0}};
  for (long t = 0; t < count; ++t) {
    const long at[2] = {taps[t].row, taps[t].column};
    for (int axis = 0; axis < 2; ++axis) {
      if (t == 0 || at[axis] < reach.low[axis]) reach.low[axis] = at[axis];
      if (t == 0 || at[axis] > reach.high[axis]) reach.high[axis] = at[axis];
    }
  }
  return reach;
}

}  // namespace nacre
