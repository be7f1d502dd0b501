// Where the windows of a convolution look.
#pragma once

#include "kernels.h"
#include "vectors.h"

namespace nacre {

// What the kernels of convolutions keep in which slot of a thread's scratch memory. The first
// three, and the last, belong to the calling thread and are read by all.
enum Slot {
  plan_slot,
  kernel_slot,
  partial_slot,
  packed_slot,
  image_slot,
  offsets_slot,
  pointers_slot,
  places_slot,
  convolved_slot,
  rows_slot = pointers_slot,  // no kernel needs both
  sums_slot = places_slot     // here neither
};

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
template <class Number>
struct ImagesOf {
  const Number* data;
  long size[2], channels, depth;  // channels of all groups, and of this one
};
using Images = ImagesOf<float>;

// Pixels first + step * (i, j) of a target, each with its window at pace * (i, j) of the source.
struct Grid {
  long first[2], step[2], size[2], pace[2];
  const Tap* taps;
  long count;
  Reach reach;
};

// What is computed: like Images.
template <class Number>
struct TargetOf {
  Number* data;
  long size[2], channels, depth;

  NACRE_INLINE Number* at(const Grid& grid, long image, long i, long j) const {
    const long row = grid.first[0] + i * grid.step[0], column = grid.first[1] + j * grid.step[1];
    return data + ((image * size[0] + row) * size[1] + column) * channels;
  }
};
using Target = TargetOf<float>;

// The grids that a target falls into, and zeros that stand for a pixel beside the source. They lie
// in the scratch memory of the thread that asked for them.
struct Plan {
  Grid* grids;
  long count;
  const float* zeros;
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
    rows = columns < width ? 1 : larger(1, most / width);
    down = divide_up(height, rows);
    rows = divide_up(height, larger(1, down));  // none much smaller than the others
    down = divide_up(height, larger(1, rows));
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

// Numbers of a window that lie side by side, `at` from where the window begins.
struct Run {
  long at, length;
};

// Neighbouring taps are one run if their pixels lie side by side; how many runs there are.
template <int lanes>
long runs_of(const Grid& grid, const Surroundings& seen, long depth, Run* runs) {
  long count = 0;
  for (long t = 0; t < grid.count; ++t) {
    const long at = (grid.taps[t].row - grid.reach.low[0]) * seen.row_stride +
                    (grid.taps[t].column - grid.reach.low[1]) * seen.pixel_stride;
    if (count && runs[count - 1].at + runs[count - 1].length == at) {
      runs[count - 1].length += depth;
    } else {
      runs[count++] = {at, depth};
    }
  }
  return count;
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

template <int lanes>
Plan room_for(long grids, long taps, long zeros, Tap** taps_at) {
  const long grid_floats = grids * sizeof(Grid) / sizeof(float);
  const long tap_floats = taps * sizeof(Tap) / sizeof(float);
  float* memory = scratch(plan_slot, grid_floats + tap_floats + zeros);
  float* nothing = memory + grid_floats + tap_floats;
  for (long i = 0; i < zeros; ++i) nothing[i] = 0;
  *taps_at = reinterpret_cast<Tap*>(memory + grid_floats);
  return {reinterpret_cast<Grid*>(memory), grids, nothing};
}

// Forward, all outputs are one grid.
template <int lanes>
Plan forward_plan(const ConvolutionShape& shape) {
  const long count = shape.window[0] * shape.window[1];
  Tap* taps;
  const Plan plan = room_for<lanes>(1, count, shape.inputs, &taps);
  for (long t = 0; t < count; ++t) {
    taps[t] = {t / shape.window[1] * shape.dilation[0] - shape.before[0],
               t % shape.window[1] * shape.dilation[1] - shape.before[1], t};
  }
  plan.grids[0] = {{0, 0},
                   {1, 1},
                   {shape.output[0], shape.output[1]},
                   {shape.strides[0], shape.strides[1]},
                   taps,
                   count,
                   reach_of<lanes>(taps, count)};
  return plan;
}

// The taps that pixels of the image with these remainders of the strides have, written to `taps` in
// the order in which they lie: the window's last comes first.
template <int lanes>
long taps_of_remainder(const ConvolutionShape& shape, const long* first, Tap* taps) {
  long count = 0;
  for (long i = shape.window[0] - 1; i >= 0; --i) {
    const long down = first[0] + shape.before[0] - i * shape.dilation[0];
    if (down % shape.strides[0]) continue;
    for (long j = shape.window[1] - 1; j >= 0; --j) {
      const long along = first[1] + shape.before[1] - j * shape.dilation[1];
      if (along % shape.strides[1]) continue;
      taps[count++] = {down / shape.strides[0], along / shape.strides[1],
                       i * shape.window[1] + j};
    }
  }
  return count;
}

// For the gradient in the image, the image falls into a grid for each remainder of the strides.
template <int lanes>
Plan gradient_plan(const ConvolutionShape& shape) {
  const long down = smaller(shape.strides[0], shape.image[0]);
  const long across = smaller(shape.strides[1], shape.image[1]);
  Tap* taps;
  const Plan plan = room_for<lanes>(down * across, shape.window[0] * shape.window[1],
                                    shape.outputs, &taps);
  for (long g = 0; g < plan.count; ++g) {
    const long first[2] = {g / across, g % across};
    Grid& grid = plan.grids[g];
    for (int axis = 0; axis < 2; ++axis) {
      grid.first[axis] = first[axis];
      grid.step[axis] = shape.strides[axis];
      grid.size[axis] = divide_up(shape.image[axis] - first[axis], shape.strides[axis]);
      grid.pace[axis] = 1;
    }
    grid.taps = taps;
    grid.count = taps_of_remainder<lanes>(shape, first, taps);
    grid.reach = reach_of<lanes>(taps, grid.count);
    taps += grid.count;
  }
  return plan;
}

}  // namespace nacre
