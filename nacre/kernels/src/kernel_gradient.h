// The gradient of a convolution in its kernel. (Groups of few channels, and windows of 3 x 3, have
// kernels of their own.)
//
//   W'[t, i, o] = sum over pixels p of x[p * stride + t * dilation - before, i] y'[p, o]
//
// For every tap a product of matrices, the pixels being its depth: the rows of a register tile are
// channels of the image, its columns channels of the cotangent. It runs over the pixels whose window
// is on the image at that tap; both rows of numbers are read where a list says. Where a group has
// few channels, the rows are numbers of the whole window instead, in a padded strip of the image:
// neighbours, if enough of them lie side by side. And where outputs are few, a register holds those
// of several neighbouring pixels.
//
// A small kernel's gradient is summed over chunks of the pixels, each chunk in memory of its own,
// and the sums are added up in order: so the same thread count gives the same bits. A large one is
// shared out by rows, and each task sees all pixels.
//
// Temporaries: the sums of all chunks but the first, 16 MiB at most; and a thread's lists and its
// panel of the cotangent, for `block_pixels` pixels or, of a narrow one, four times as many.
#pragma once

#include "grouped.h"
#include "kernels.h"
#include "partial_sums.h"
#include "small_groups.h"
#include "tile.h"
#include "windows.h"
#include "winograd.h"

namespace nacre {

// Outputs too few to fill a register stand in it for neighbouring pixels: `pixels` of them, each with
// `outputs` numbers, of rows that are `width` long.
struct Abreast {
  long pixels, outputs, width;
};

template <int lanes>
struct KernelGradient {
  static constexpr long few_channels = 20;
  static constexpr long block_pixels = 96;
  static constexpr long whole_floats = 1 << 18;  // a kernel up to this stays in a core's cache
  static constexpr long partial_floats = 4 << 20;
  static constexpr long most_rows = 16;  // of a tile

  Images source;
  const float* cotangent;
  float* result;
  const ConvolutionShape& shape;
  const Grid& grid;
  const Abreast abreast = {1, shape.outputs, shape.output[1]};
  const long outputs = shape.outputs, columns = shape.outputs / shape.groups;
  const long count = grid.count;

  struct Task {
    long group, first, last;            // pixels, or strips of them
    long first_block, last_block;       // of rows
    float* sums;
  };
  struct Part {  // of a task: some columns, and a block of pixels
    long column, width;
    const float* cotangent;
    long stride;
    bool add;
  };

  // Channels of which a tap would be too short a product.
  bool few() const {
    const bool narrow = source.depth <= 2 * lanes && columns <= 2 * lanes;
    return source.depth < few_channels || narrow;
  }
  // Of a narrow panel more fit into the cache.
  long strip_pixels() const {
    return block_pixels * larger(1, 64 / larger(16, columns));
  }
  // Rows of a tile that are any numbers of a window.
  static constexpr int most_few_rows = lanes == 16 ? 10 : 5;
  int few_rows() const {
    const long numbers = count * source.depth;
    if (lanes == 8) return most_few_rows;
    return divide_up(numbers, 9) * 9 < divide_up(numbers, 10) * 10 ? 9 : 10;
  }
  // Numbers of a window that lie side by side.
  long run_length() const {
    const bool beside = source.depth == source.channels && shape.dilation[1] == 1;
    return beside ? shape.window[1] * source.depth : source.depth;
  }
  bool by_runs() const { return few() && columns <= 2 * lanes && run_length() >= most_rows; }
  int panel_vectors() const {
    return few() && lanes == 16 ? 2 : TileShape<lanes>::vectors;
  }
  long rows_a_tile() const {
    if (by_runs()) {
      return columns <= lanes ? fitting_rows<lanes, 1>(run_length())
                              : fitting_rows<lanes, 2>(run_length());
    }
    if (few()) return few_rows();
    switch (divide_up(smaller(columns, panel_vectors() * lanes), lanes)) {
      case 1: return tile_channels<lanes, 1>;
      case 2: return tile_channels<lanes, 2>;
      case 3: return tile_channels<lanes, 3>;
      default: return tile_channels<lanes, TileShape<lanes>::vectors>;
    }
  }

  // The same rows for panels of any width, so that a task's share of them does not depend on it.
  long blocks_a_tap() const {
    if (by_runs()) {
      return count * source.depth / run_length() * divide_up(run_length(), rows_a_tile());
    }
    return few() ? divide_up(count * source.depth, few_rows())
                 : divide_up(source.depth, rows_a_tile());
  }

  void run(Workers& workers) const {
    const Strips<lanes> strips(shape.output, strip_pixels());
    const long parts = few() ? shape.batch * strips.an_image()
                             : divide_up(shape.batch * shape.output[0] * shape.output[1], block_pixels);
    const long floats = count * source.depth * outputs;
    const long wanted = 4 * workers.count();
    const long allowed = floats <= whole_floats ? 1 + partial_floats / floats : 1;
    const long chunks = larger(1, smaller(smaller(wanted, allowed), divide_up(parts, 2)));
    const long all_blocks = few() ? blocks_a_tap() : count * blocks_a_tap();
    const long splits = smaller(all_blocks, divide_up(wanted, chunks * shape.groups));
    float* others = scratch(partial_slot, (chunks - 1) * floats + 1);
    for_each_task(workers, chunks * shape.groups * splits, [&](long number) {
      const long chunk = number / splits / shape.groups, split = number % splits;
      Task task;
      task.group = number / splits % shape.groups;
      task.first = chunk * parts / chunks, task.last = (chunk + 1) * parts / chunks;
      task.first_block = split * all_blocks / splits;
      task.last_block = (split + 1) * all_blocks / splits;
      task.sums = chunk ? others + (chunk - 1) * floats : result;
      sum_over_pixels(task, strips);
    });
    add_up<lanes>(result, others, chunks - 1, floats, workers);
  }

  void sum_over_pixels(const Task& task, const Strips<lanes>& strips) const {
    const long pixels = shape.batch * shape.output[0] * shape.output[1];
    if (task.first == task.last) return fill_with_zeros(task);
    for (long part = task.first; part < task.last; ++part) {
      const bool add = part > task.first;
      if (few()) {
        strip_of_pixels(task, strips.at(part), add);
      } else {
        const long first = part * block_pixels;
        block_of_pixels(task, first, smaller(pixels, first + block_pixels), add);
      }
    }
  }

  void fill_with_zeros(const Task& task) const {
    for (long i = 0; i < count * source.depth; ++i) {
      float* row = task.sums + i * outputs + task.group * columns;
      for (long j = 0; j < columns; ++j) row[j] = 0;
    }
  }

  // Cuts the columns into panels; `body` is called with each.
  template <class Body>
  void for_each_panel(const Body& body) const {
    const long wide = panel_vectors() * lanes;
    for (long column = 0; column < columns; column += wide) {
      body(column, smaller(wide, columns - column));
    }
  }

  // The panel of the cotangent for some pixels: packed, unless its rows are whole registers.
  Part panel_of(const Task& task, long first, long pixels, long column, long width,
                bool add) const {
    if (abreast.pixels > 1) return {0, lanes, pixels_abreast(first, pixels), lanes, add};
    const float* from = cotangent + first * outputs + task.group * columns + column;
    if (width % lanes == 0 && outputs <= TileShape<lanes>::columns) {
      return {column, width, from, outputs, add};
    }
    const long stride = divide_up(width, lanes) * lanes;
    float* packed = scratch(packed_slot, pixels * stride);
    for (long p = 0; p < pixels; ++p) {
      for (long j = 0; j < stride; j += lanes) {
        store<lanes>(packed + p * stride + j,
                     load_some<lanes>(from + p * outputs + j, width - j));
      }
    }
    return {column, width, packed, stride, add};
  }

  // Registers of some pixels each, with zeros beyond the end of a row. What stands between the
  // outputs of one pixel and of the next is sums that nobody reads.
  const float* pixels_abreast(long first, long registers) const {
    const long each = lanes / abreast.pixels;
    const float* end = cotangent + shape.batch * shape.output[0] * abreast.width * abreast.outputs;
    float* packed = scratch(packed_slot, registers * lanes + 8);
    float* to = packed;
    long row = first / shape.output[1], column = first % shape.output[1] * abreast.pixels;
    while (to < packed + registers * lanes) {
      const float* from = cotangent + (row * abreast.width + column) * abreast.outputs;
      const long filled = smaller(abreast.pixels, abreast.width - column);
      for (long p = 0; p < filled; ++p, to += each, from += abreast.outputs) {
        store<8>(to, from + 8 <= end ? load<8>(from) : load_some<8>(from, abreast.outputs));
      }
      for (long p = filled; p < abreast.pixels; ++p, to += each) store<8>(to, Vector<8>{});
      column += abreast.pixels;
      if (column >= abreast.width) column = 0, ++row;
    }
    return packed;
  }

  void block_of_pixels(const Task& task, long first, long last, bool add) const {
    for_each_panel([&](long column, long width) {
      const Part part = panel_of(task, first, last - first, column, width, add);
      const long per_tap = blocks_a_tap();
      for (long block = task.first_block; block < task.last_block;) {
        const long t = block / per_tap;
        const long end = smaller(task.last_block, (t + 1) * per_tap);
        tap(task, part, t, block - t * per_tap, end - t * per_tap, first, last);
        block = end;
      }
    });
  }

  // Lists the pixels from `first` to `last` whose window is on the image at this tap.
  long list(const Task& task, const Part& part, const Tap& tap, long first, long last,
            const float** pointers, long* places) const {
    const long width = source.size[1];
    const long begin = tap.column >= 0 ? 0 : divide_up(-tap.column, grid.pace[1]);
    const long end = tap.column >= width ? 0 : (width - 1 - tap.column) / grid.pace[1] + 1;
    long found = 0;
    for (long pixel = first; pixel < last;) {
      const long j = pixel % shape.output[1], row = pixel / shape.output[1];
      const long i = row % shape.output[0], n = row / shape.output[0];
      const long stop = smaller(shape.output[1], j + last - pixel);
      const long y = i * grid.pace[0] + tap.row;
      if (y >= 0 && y < source.size[0]) {
        const long from = larger(j, begin), to = smaller(stop, end);
        const float* at = source.data + task.group * source.depth +
                          ((n * source.size[0] + y) * width + tap.column) * source.channels;
        long place = (pixel - first + from - j) * part.stride;
        for (long k = from; k < to; ++k, place += part.stride) {
          pointers[found] = at + k * grid.pace[1] * source.channels;
          places[found++] = place;
        }
      }
      pixel += stop - j;
    }
    return found;
  }

  void tap(const Task& task, const Part& part, long t, long first_block, long last_block,
           long first, long last) const {
    const float** pointers =
        reinterpret_cast<const float**>(scratch(pointers_slot, 2 * block_pixels));
    long* places = reinterpret_cast<long*>(scratch(places_slot, 2 * block_pixels));
    const long found = list(task, part, grid.taps[t], first, last, pointers, places);
    if (!found && part.add) return;
    float* sums = task.sums + t * source.depth * outputs + task.group * columns + part.column;
    for (long block = first_block; block < last_block; ++block) {
      if (count == 1 && part.column == 0) {
        const long number = block - first_block, blocks = last_block - first_block;
        look_ahead(task, last + number * (last - first) / blocks,
                   last + (number + 1) * (last - first) / blocks);
      }
      const long channel = block * rows_a_tile(), left = source.depth - channel;
      // 32 channels leave two to the last tile, 64 leave four.
      switch (rows_a_tile() == 6 && (left == 2 || left == 4) ? left : rows_a_tile()) {
        case 2: channels<2>(part, channel, pointers, places, found, sums); break;
        case 4: channels<4>(part, channel, pointers, places, found, sums); break;
        case 6: channels<6>(part, channel, pointers, places, found, sums); break;
        case 8: channels<8>(part, channel, pointers, places, found, sums); break;
        default: channels<lanes == 16 ? 16 : 8>(part, channel, pointers, places, found, sums);
      }
    }
  }

  // Asks for what the task will read of some pixels. Where a window is one pixel, every number is
  // read for one block only, in steps of a whole pixel: too far apart for the cache to guess. (Not
  // inlined, it would be dropped: for GCC it has no effect.)
  NACRE_INLINE void look_ahead(const Task& task, long first, long last) const {
    const long rows = rows_a_tile();
    for (long pixel = first; pixel < last; ++pixel) {
      const long j = pixel % shape.output[1], row = pixel / shape.output[1];
      const long i = row % shape.output[0], n = row / shape.output[0];
      const float* x = source.data + task.group * source.depth +
                       ((n * source.size[0] + i * grid.pace[0]) * source.size[1] +
                        j * grid.pace[1]) * source.channels;
      const float* y = cotangent + pixel * outputs + task.group * columns;
      for (long c = task.first_block * rows; c < task.last_block * rows; c += line_floats) {
        __builtin_prefetch(x + c, 0, 2);
      }
      for (long c = 0; c < columns; c += line_floats) __builtin_prefetch(y + c, 0, 2);
    }
  }

  template <int rows>
  void channels(const Part& part, long channel, const float* const* pointers, const long* places,
                long found, float* sums) const {
    const long vectors = divide_up(part.width, lanes);
    constexpr int most = lanes == 8 ? 2 : rows <= 6 ? 4 : rows == 8 ? 3 : 1;
    if constexpr (most >= 4) {
      if (vectors == 4) return tile<rows, 4>(part, channel, pointers, places, found, sums);
    }
    if constexpr (most >= 3) {
      if (vectors == 3) return tile<rows, 3>(part, channel, pointers, places, found, sums);
    }
    if constexpr (most >= 2) {
      if (vectors == 2) return tile<rows, 2>(part, channel, pointers, places, found, sums);
    }
    tile<rows, 1>(part, channel, pointers, places, found, sums);
  }

  // The last tile moves back to end with the last channel, and leaves out rows that are done.
  template <int rows, int vectors>
  void tile(const Part& part, long wanted, const float* const* pointers, const long* places,
            long found, float* sums) const {
    const long channel = smaller(wanted, source.depth - rows);
    const int done = static_cast<int>(wanted - channel);
    Tile<lanes, rows, vectors> tile;
    tile.clear();
    tile.multiply_gathered(pointers, channel, part.cotangent, places, found);
    float* out[rows];
    for (int r = 0; r < rows; ++r) out[r] = sums + (channel + r) * outputs;
    tile.put(out, rows, part.width, part.add, done);
  }

  // What the windows of a strip see: rows of pixels, and how far apart they are.
  struct Pixels {
    const float* from;
    long down, along, rows, columns;
  };

  // Few channels: the numbers of a window are the rows.
  void strip_of_pixels(const Task& task, const Strip& strip, bool add) const {
    Images group = source;
    group.data += task.group * source.depth;
    const Surroundings seen = surroundings<lanes>(group, strip, grid.pace, grid.reach);
    const long rows = count * source.depth;
    long* offsets = reinterpret_cast<long*>(scratch(offsets_slot, 2 * (rows + most_few_rows)));
    offsets_of<lanes>(grid.taps, count, grid.reach, seen.row_stride, seen.pixel_stride, source.depth,
                      offsets);
    for (long r = rows; r < rows + most_few_rows; ++r) offsets[r] = 0;
    const long first = (strip.image * shape.output[0] + strip.row) * shape.output[1] + strip.column;
    const Pixels pixels = {seen.data, grid.pace[0] * seen.row_stride,
                           grid.pace[1] * seen.pixel_stride, strip.rows, strip.columns};
    for_each_panel([&](long column, long width) {
      const Part part = panel_of(task, first, strip.rows * strip.columns, column, width, add);
      float* sums = task.sums + task.group * columns + column;
      for (long block = task.first_block; block < task.last_block; ++block) {
        if (width <= lanes) {
          window<1>(part, block, pixels, offsets, sums);
        } else {
          window<2>(part, block, pixels, offsets, sums);
        }
      }
    });
  }

  template <int vectors>
  void window(const Part& part, long block, Pixels pixels, const long* offsets, float* sums) const {
    if (by_runs()) {
      const long tiles = divide_up(run_length(), rows_a_tile());
      const long row = block / tiles * run_length(), in_run = block % tiles * rows_a_tile();
      pixels.from += offsets[row];
      return run_of_window<vectors, most_even_rows<lanes, vectors>>(part, in_run, pixels,
                                                                    sums + row * outputs);
    }
    if (few_rows() == 9) return numbers_of_window<vectors, 9>(part, block, pixels, offsets, sums);
    numbers_of_window<vectors, most_few_rows>(part, block, pixels, offsets, sums);
  }

  template <int vectors, int rows>
  NACRE_APART void numbers_of_window(const Part& part, long block, const Pixels& pixels, const long* offsets,
                         float* sums) const {
    const long row = block * rows, left = count * source.depth - row;
    Tile<lanes, rows, vectors> tile;
    tile.clear();
    for (long i = 0; i < pixels.rows; ++i) {
      tile.multiply_spread(pixels.from + i * pixels.down, offsets + row, pixels.along,
                           part.cotangent + i * pixels.columns * part.stride, part.stride,
                           pixels.columns);
    }
    float* out[rows];
    for (int r = 0; r < rows; ++r) out[r] = sums + (row + r) * outputs;
    tile.put(out, static_cast<int>(smaller(rows, left)), part.width, part.add);
  }

  // Like a tile of channels, the last one moves back to end with the run, and leaves out what is done.
  template <int vectors, int rows>
  NACRE_APART void run_of_window(const Part& part, long wanted, const Pixels& pixels,
                                 float* sums) const {
    if constexpr (rows > least_even_rows<lanes, vectors>) {
      if (rows_a_tile() < rows) return run_of_window<vectors, rows - 2>(part, wanted, pixels, sums);
    }
    const long first = smaller(wanted, run_length() - rows);
    Tile<lanes, rows, vectors> tile;
    tile.clear();
    for (long i = 0; i < pixels.rows; ++i) {
      tile.multiply_transposed(pixels.from + first + i * pixels.down, pixels.along,
                               part.cotangent + i * pixels.columns * part.stride, part.stride,
                               pixels.columns);
    }
    float* out[rows];
    for (int r = 0; r < rows; ++r) out[r] = sums + (first + r) * outputs;
    tile.put(out, rows, part.width, part.add, static_cast<int>(wanted - first));
  }
};

// As many pixels to a register as it has room for the outputs of.
template <int lanes>
long pixels_abreast(const ConvolutionShape& shape) {
  const bool pays = shape.groups == 1 && shape.inputs <= lanes && shape.dilation[1] == 1 &&
                    shape.window[1] > 1 && shape.output[1] >= 8;
  if (!pays) return 1;
  return 4 * shape.outputs <= lanes ? 4 : 2 * shape.outputs <= lanes ? 2 : 1;
}

// Windows of several neighbours are one that is wider, and each neighbour uses its part of it.
template <int lanes>
void kernel_gradient_abreast(const ConvolutionShape& shape, long pixels, const Images& source,
                             const float* cotangent, float* kernel, Workers& workers) {
  ConvolutionShape wide = shape;
  wide.window[1] += (pixels - 1) * shape.strides[1];
  wide.strides[1] *= pixels;
  wide.output[1] = divide_up(shape.output[1], pixels);
  wide.outputs = lanes;
  const long width = wide.window[1] * shape.inputs, each = lanes / pixels;
  float* sums = scratch(sums_slot, shape.window[0] * width * lanes);
  const Plan plan = forward_plan<lanes>(wide);
  const Abreast abreast = {pixels, shape.outputs, shape.output[1]};
  KernelGradient<lanes>{source, cotangent, sums, wide, plan.grids[0], abreast}.run(workers);
  for (long row = 0; row < shape.window[0]; ++row) {
    for (long i = 0; i < shape.window[1] * shape.inputs; ++i) {
      const float* from = sums + (row * width + i) * lanes;
      for (long o = 0; o < shape.outputs; ++o, ++kernel) {
        *kernel = 0;
        for (long p = 0; p < pixels; ++p) {
          *kernel += from[p * (shape.strides[1] * shape.inputs * lanes + each) + o];
        }
      }
    }
  }
}

template <int lanes, bool loose>
void kernel_gradient(const ConvolutionShape& shape, const float* x, const float* cotangent,
                     float* kernel, Workers& workers) {
  const bool small_groups = has_small_groups<lanes>(shape);
  const long together = small_groups ? 1 : groups_together<lanes>(shape);
  if (together > 1) {
    float* merged = scratch(kernel_slot, merged_kernel_size<lanes>(shape, together));
    kernel_gradient<lanes, loose>(with_groups_together<lanes>(shape, together), x, cotangent, merged,
                                  workers);
    return take_blocks<lanes>(shape, together, merged, kernel);
  }
  const Plan plan = forward_plan<lanes>(shape);
  const Images source = {x, {shape.image[0], shape.image[1]}, shape.inputs,
                         shape.inputs / shape.groups};
  if (small_groups) {
    return with_group_size<lanes>(shape, [&](auto size) {
      SmallGroupsKernelGradient<lanes, size.value>{source, cotangent, kernel, shape, plan.grids[0]}
          .run(workers);
    });
  }
  const auto try_with = [&](auto by) {
    const auto squares = by.squares_of(shape);
    if (!by.serves_kernel_gradient(shape, squares, workers)) return false;
    const Images change = {cotangent, {shape.output[0], shape.output[1]}, shape.outputs,
                           shape.outputs};
    by.kernel_gradient(shape, source, change, squares, kernel, workers);
    return true;
  };
  if constexpr (loose) {
    if (try_with(Winograd<lanes, ByFour<lanes>>())) return;
  }
  if (try_with(Winograd<lanes>())) return;
  const long pixels = pixels_abreast<lanes>(shape);
  if (pixels > 1) {
    return kernel_gradient_abreast<lanes>(shape, pixels, source, cotangent, kernel, workers);
  }
  KernelGradient<lanes>{source, cotangent, kernel, shape, plan.grids[0]}.run(workers);
}

}  // namespace nacre
