// Convolution and its gradient in the image, as matrix products whose rows lie where windows look.
// (Groups of few channels, and windows of 3 x 3, have kernels of their own: they are asked first.)
//
// Both gather: each pixel of the target is a sum over taps, of a pixel of the source times a matrix
// of the kernel. A tap adds to the register tile a product with one row of numbers for each pixel,
// read where it lies in the source; nothing is copied but the kernel, whose panel of columns each
// task packs in the order in which it is read. Taps that look beside the image are left out, or read
// zeros where other pixels of the tile need them.
//
//   forward          y[p] = sum over t of x[p * stride + t * dilation - before] W[t]
//   input gradient   x[q] = sum over t of y[(q + before - t * dilation) / stride] W[t] transposed
//
// In the second, only taps for which the division comes out even take part, and which these are
// depends on q modulo stride: so it falls into one grid of pixels for each remainder, and every grid
// is a gathering of the same kind with taps of its own.
//
// Where a group has few channels, a tap would be too short a product, and a tall tile would need more
// pointers than there are registers. There a tile's rows are neighbouring pixels of an image's row,
// which two pointers reach, and taps that lie side by side are one run of numbers; the image is
// padded, a strip at a time.
//
// Before a pool, a task computes some rows of an image at a time, and hands them on instead of storing
// them (pooled_convolution.h). The gradient in an image of few channels has a kernel of its own
// (planes.h).
//
// Temporaries a thread: the packed panel (taps x depth x tile columns), and for few channels a
// padded strip (512 pixels and the windows around them) and a list of the runs.
#pragma once

#include "grouped.h"
#include "kernels.h"
#include "planes.h"
#include "pooled_convolution.h"
#include "small_groups.h"
#include "tile.h"
#include "transpose.h"
#include "windows.h"
#include "winograd.h"

namespace nacre {

template <int lanes>
struct Gathering {
  static constexpr long strip_pixels = 512;
  static constexpr int panel_columns = TileShape<lanes>::columns;

  Images source;
  Target target;
  const float* kernel;
  const ConvolutionShape& shape;
  Finish finish;
  const float* zeros;
  bool transposed;  // the kernel's matrices are columns x depth
  const Maxima<lanes>* maxima = nullptr;  // what takes the rows of the target, if it is not stored

  static constexpr long packed_floats = 1 << 17;  // what a task packs stays in a core's cache
  static constexpr long together_floats = 1 << 17;  // and so do images taken together

  // Whole panels of columns, several if their part of the kernel is small, or the last narrow one.
  struct Task {
    const Grid* grid;
    long group, column, width, panels;
    long first, last;  // pixels, or strips of them
    // Before a pool: rows of one image from `row` on, and how far apart their pixels are.
    float* rows;
    long row, stride;
  };

  void run(const Plan& plan, Workers& workers) const {
    const Grid* const grids = plan.grids;
    const long count = plan.count, groups = shape.groups, columns = target.depth;
    const long pixels = shape.batch * grids[0].size[0] * grids[0].size[1];
    const long whole = columns / panel_columns, narrow = columns % panel_columns;
    const long depth = larger(1, shape.window[0] * shape.window[1] * source.depth);
    const long together = larger(1, smaller(whole, packed_floats / panel_columns / depth));
    const long spans = divide_up(whole, together) + (narrow > 0);
    const long multiplications = pixels * depth * columns;
    const long worth_a_task = smaller(divide_up(pixels, 64), multiplications >> 20);
    const long most = larger(1, larger(divide_up(pixels, strip_pixels), worth_a_task));
    // Groups are cheap to pack: a block is small, so that it stays in the cache for all groups.
    const long wanted = divide_up(8 * workers.count(), spans * groups * count);
    const long blocks = groups > 1 ? most : smaller(most, wanted);
    for_each_task(workers, count * groups * spans * blocks, [&](long number) {
      const long panel = number % spans * together, group = number / spans % groups;
      const long block = number / spans / groups % blocks;
      const Grid& grid = grids[number / spans / groups / blocks];
      if (panel < whole) {
        const long panels = smaller(together, whole - panel);
        const Task task = {&grid, group, panel * panel_columns, panel_columns, panels};
        return compute<TileShape<lanes>::vectors>(task, block, blocks);
      }
      const Task task = {&grid, group, whole * panel_columns, narrow, 1};
      switch (divide_up(narrow, lanes)) {
        case 1: return compute<1>(task, block, blocks);
        case 2: return compute<2>(task, block, blocks);
        case 3: return compute<smaller_constant(3)>(task, block, blocks);
        default: return compute<TileShape<lanes>::vectors>(task, block, blocks);
      }
    });
  }

  // Where a tile's row is read for few products, it must not cost a pointer of its own.
  template <int vectors>
  bool few_channels() const {
    return source.depth < (vectors <= 2 ? 33 : 16);
  }

  static constexpr int smaller_constant(int vectors) {
    return vectors < TileShape<lanes>::vectors ? vectors : TileShape<lanes>::vectors;
  }

  template <int vectors>
  void compute(Task task, long block, long blocks) const {
    constexpr int rows = tile_rows<lanes, vectors>;
    const Grid& grid = *task.grid;
    const long batch = shape.batch;
    const float* packed = pack<vectors * lanes>(task);
    const bool few = few_channels<vectors>() && grid.count > 1;
    if (maxima) return pool<vectors>(task, packed, few, block, blocks);
    const Strips<lanes> strips(grid.size, strip_pixels);
    const long image = grid.size[0] * grid.size[1];
    const long parts = few ? batch * strips.an_image() : divide_up(batch * image, rows);
    const long share = divide_up(parts, blocks);
    task.first = smaller(parts, block * share);
    task.last = smaller(parts, task.first + share);
    if (few) {
      for (long s = task.first; s < task.last; ++s) along<vectors>(task, strips.at(s), packed);
    } else {
      task.first = smaller(batch * image, task.first * rows);
      task.last = smaller(batch * image, task.last * rows);
      gather<vectors>(task, packed);
    }
  }

  // Rows of one image at a time, of which only the maxima over windows are stored.
  template <int vectors>
  void pool(Task task, const float* packed, bool few, long block, long blocks) const {
    const Grid& grid = *task.grid;
    task.stride = task.panels * vectors * lanes;
    const long together = maxima->rows_together(task.stride);
    const long windows = maxima->height.output, an_image = divide_up(windows, together);
    const long parts = shape.batch * an_image, share = divide_up(parts, blocks);
    const long end = smaller(parts, (block + 1) * share);
    for (long part = block * share; part < end; ++part) {
      const long image = part / an_image, first = part % an_image * together;
      const long last = smaller(windows, first + together);
      const auto seen = maxima->seen(first, last);
      const long rows = seen.last - seen.first, columns = grid.size[1];
      task.rows = scratch(rows_slot, rows * columns * task.stride);
      task.row = seen.first;
      if (few) {
        along<vectors>(task, {image, seen.first, rows, 0, columns}, packed);
      } else {
        task.first = (image * grid.size[0] + seen.first) * columns;
        task.last = task.first + rows * columns;
        gather<vectors>(task, packed);
      }
      const long width = (task.panels - 1) * panel_columns + task.width;
      maxima->take(image, first, last, task.rows, task.stride, task.column, width);
    }
  }

  // Panel by panel the columns of the task, for each tap and each number of the depth in turn.
  template <int packed_columns>
  const float* pack(const Task& task) const {
    const long floats = task.grid->count * source.depth * packed_columns;
    float* packed = scratch(packed_slot, task.panels * floats + 1);
    for (long panel = 0; panel < task.panels; ++panel) {
      pack_panel<packed_columns>(task, task.column + panel * packed_columns,
                                 packed + panel * floats);
    }
    return packed;
  }

  template <int packed_columns>
  void pack_panel(const Task& task, long column, float* packed) const {
    const Grid& grid = *task.grid;
    const long depth = source.depth, inputs = shape.inputs / shape.groups;
    for (long t = 0; t < grid.count; ++t) {
      const float* matrix = kernel + grid.taps[t].matrix * inputs * shape.outputs;
      float* to = packed + t * depth * packed_columns;
      if (transposed) {
        const float* from = matrix + column * shape.outputs + task.group * depth;
        transpose<lanes>(from, shape.outputs, task.width, depth, to, packed_columns);
        continue;
      }
      const float* from = matrix + task.group * target.depth + column;
      for (long k = 0; k < depth; ++k) {
        for (long j = 0; j < packed_columns; j += lanes) {
          const long left = larger(0, task.width - j);
          store<lanes>(to + k * packed_columns + j,
                       load_some<lanes>(from + k * shape.outputs + j, left));
        }
      }
    }
  }

  float* target_at(const Task& task, long image, long i, long j) const {
    if (task.rows) return task.rows + ((i - task.row) * task.grid->size[1] + j) * task.stride;
    return target.at(*task.grid, image, i, j) + task.group * target.depth + task.column;
  }

  template <class Tile>
  NACRE_INLINE void start(const Task& task, long panel, Tile& tile) const {
    const long column = task.group * target.depth + task.column + panel * panel_columns;
    tile.start(finish.bias ? finish.bias + column : nullptr, task.width);
  }

  template <class Tile>
  NACRE_INLINE void store_tile(const Task& task, Tile& tile, float* const* out, int height) const {
    if (finish.relu) tile.cut_below_zero();
    tile.put(out, height, task.width, false);
  }

  // Whether more than a seventh of what the windows look at lies beside the images.
  bool looks_beside(const Grid& grid) const {
    long there = 0;
    for (long t = 0; t < grid.count; ++t) {
      const long tap[2] = {grid.taps[t].row, grid.taps[t].column};
      long pixels = 1;
      for (int axis = 0; axis < 2; ++axis) {
        const long pace = grid.pace[axis], left = source.size[axis] - tap[axis];
        const long first = tap[axis] >= 0 ? 0 : divide_up(-tap[axis], pace);
        const long last = left <= 0 ? 0 : smaller(grid.size[axis], (left - 1) / pace + 1);
        pixels *= larger(0, last - first);
      }
      there += pixels;
    }
    return 7 * there < 6 * grid.count * grid.size[0] * grid.size[1];
  }

  // Pixels in the order of the images or, where many taps lie beside them, place by place over some
  // images: then a tile's pixels leave out the same taps.
  template <int vectors>
  void gather(const Task& task, const float* packed) const {
    if (task.first == task.last) return;
    constexpr int rows = tile_rows<lanes, vectors>;
    constexpr int packed_columns = vectors * lanes;
    const Grid& grid = *task.grid;
    const long depth = source.depth, width = source.size[1], batch = shape.batch;
    const long height = grid.size[0], image = height * grid.size[1];
    const bool by_place = !task.rows && batch >= 2 * rows && looks_beside(grid);
    const long together =
        by_place ? larger(2 * rows, together_floats / (source.size[0] * width * source.channels)) : 1;
    const long before = task.first / (together * image) * together;  // images
    const long own = smaller(together, batch - before);
    const long place = (task.first - before * image) / own;
    long first = before, count = own;  // the images that are taken together
    long n = before + (task.first - before * image) % own;
    long i = place / grid.size[1], j = place % grid.size[1];
    for (long pixel = task.first; pixel < task.last; pixel += rows) {
      const int filled = static_cast<int>(smaller(rows, task.last - pixel));
      long base[rows], row[rows], column[rows];
      float* out[rows];
      bool inside = true;
      for (int r = 0; r < rows; ++r) {
        if (r >= filled) {
          base[r] = base[0], row[r] = row[0], column[r] = column[0], out[r] = out[0];
          continue;
        }
        row[r] = i * grid.pace[0], column[r] = j * grid.pace[1];
        base[r] = ((n * source.size[0] + row[r]) * width + column[r]) * source.channels +
                  task.group * depth;
        out[r] = target_at(task, n, i, j);
        inside &= row[r] + grid.reach.low[0] >= 0 &&
                  row[r] + grid.reach.high[0] < source.size[0] &&
                  column[r] + grid.reach.low[1] >= 0 && column[r] + grid.reach.high[1] < width;
        if (++n < first + count) continue;
        n = first;
        if (++j < grid.size[1]) continue;
        j = 0;
        if (++i < height) continue;
        i = 0;
        n = first += count;
        count = smaller(count, batch - first);
      }
      for (long panel = 0; panel < task.panels; ++panel) {
        const float* matrices = packed + panel * grid.count * depth * packed_columns;
        Tile<lanes, rows, vectors> tile;
        start(task, panel, tile);
        tile.announce(out);
        for (long t = 0; t < grid.count; ++t) {
          const Tap tap = grid.taps[t];
          const long offset = (tap.row * width + tap.column) * source.channels;
          const float* from[rows];
          bool any = inside;
          if (inside) {
            for (int r = 0; r < rows; ++r) from[r] = source.data + (base[r] + offset);
          } else {
            for (int r = 0; r < rows; ++r) {
              const long y = row[r] + tap.row, x = column[r] + tap.column;
              const bool there = static_cast<unsigned long>(y) <
                                     static_cast<unsigned long>(source.size[0]) &&
                                 static_cast<unsigned long>(x) < static_cast<unsigned long>(width);
              from[r] = there ? source.data + (base[r] + offset) : zeros;
              any |= there;
            }
          }
          if (!any) continue;
          const float* matrix = matrices + t * depth * packed_columns;
          if (grid.count == 1) {
            const long next = panel == 0 ? rows * grid.pace[1] * source.channels : 0;
            multiply_and_look_ahead(tile, from, matrix, next);
          } else {
            tile.multiply(from, 1, matrix, packed_columns, depth);
          }
        }
        store_tile(task, tile, out, filled);
        for (int r = 0; r < rows; ++r) out[r] += packed_columns;
      }
    }
  }

  // Where a window is one pixel, no other has brought its numbers to the cache: those `next` ahead,
  // of the tile that follows, are asked for while this one is multiplied.
  template <int rows, int vectors>
  NACRE_INLINE void multiply_and_look_ahead(Tile<lanes, rows, vectors>& tile,
                                            const float* const* from, const float* matrix,
                                            long next) const {
    constexpr long piece = 64, packed_columns = vectors * lanes;
    const float* at[rows];
    for (int r = 0; r < rows; ++r) at[r] = from[r];
    for (long k = 0; k < source.depth; k += piece) {
      const long depth = smaller(piece, source.depth - k);
      for (int r = 0; next && r < rows; ++r) {
        for (long i = 0; i < depth; i += line_floats) __builtin_prefetch(at[r] + next + i);
      }
      tile.multiply(at, 1, matrix + k * packed_columns, packed_columns, depth);
      for (int r = 0; r < rows; ++r) at[r] += depth;
    }
  }

  // The pixels of a strip, some neighbours of a row at a time.
  template <int vectors>
  void along(const Task& task, const Strip& strip, const float* packed) const {
    along<vectors, most_even_rows<lanes, vectors>>(task, strip, packed,
                                                fitting_rows<lanes, vectors>(strip.columns));
  }

  template <int vectors, int pixels>
  void along(const Task& task, const Strip& strip, const float* packed, int fitting) const {
    if constexpr (pixels > least_even_rows<lanes, vectors>) {
      if (fitting < pixels) return along<vectors, pixels - 2>(task, strip, packed, fitting);
    }
    const Grid& grid = *task.grid;
    Images group = source;
    group.data += task.group * source.depth;
    Strip wide = strip;
    wide.columns = larger(pixels, strip.columns);
    const Surroundings seen = surroundings<lanes>(group, wide, grid.pace, grid.reach);
    const long depth = grid.count * source.depth, next = grid.pace[1] * seen.pixel_stride;
    Run* runs = reinterpret_cast<Run*>(scratch(offsets_slot, grid.count * sizeof(Run) / sizeof(float)));
    const long count = runs_of<lanes>(grid, seen, source.depth, runs);
    const long step = task.rows ? task.stride : grid.step[1] * target.channels;
    for (long i = 0; i < strip.rows; ++i) {
      for (long begin = 0; begin < strip.columns; begin += pixels) {
        // The last tile moves back to end with the row.
        const long j = smaller(begin, wide.columns - pixels);
        const float* from = seen.data + i * grid.pace[0] * seen.row_stride + j * next;
        float* out[pixels];
        out[0] = target_at(task, strip.image, strip.row + i, strip.column + j);
        for (int p = 1; p < pixels; ++p) out[p] = out[p - 1] + step;
        for (long panel = 0; panel < task.panels; ++panel) {
          Tile<lanes, pixels, vectors> tile;
          start(task, panel, tile);
          const float* matrix = packed + panel * depth * vectors * lanes;
          for (long r = 0; r < count; ++r) {
            tile.multiply_along(from + runs[r].at, next, matrix, vectors * lanes, runs[r].length);
            matrix += runs[r].length * vectors * lanes;
          }
          store_tile(task, tile, out, static_cast<int>(smaller(pixels, strip.columns)));
          for (int p = 0; p < pixels; ++p) out[p] += vectors * lanes;
        }
      }
    }
  }
};

template <int lanes, bool loose>
void convolve(const ConvolutionShape& shape, const Finish& finish, const float* x,
              const float* kernel, float* y, Workers& workers) {
  const bool small_groups = has_small_groups<lanes>(shape);
  const long together = small_groups ? 1 : groups_together<lanes>(shape);
  if (together > 1) {
    return convolve<lanes, loose>(with_groups_together<lanes>(shape, together), finish, x,
                                  merged_kernel<lanes>(shape, together, kernel), y, workers);
  }
  const long inputs = shape.inputs / shape.groups, outputs = shape.outputs / shape.groups;
  const Plan plan = forward_plan<lanes>(shape);
  const Images source = {x, {shape.image[0], shape.image[1]}, shape.inputs, inputs};
  const Target target = {y, {shape.output[0], shape.output[1]}, shape.outputs, outputs};
  if (small_groups) {
    return with_group_size<lanes>(shape, [&](auto size) {
      SmallGroups<lanes, size.value>{source, target, kernel, finish}.run(shape.batch, plan, workers);
    });
  }
  const auto run = [&](auto by, const auto& squares) {
    by.convolve(source, target, squares, finish, {kernel, inputs, outputs, false}, workers);
  };
  if (by_squares<lanes, loose>(shape, false, inputs, outputs, run)) return;
  Gathering<lanes>{source, target, kernel, shape, finish, plan.zeros, false}.run(plan, workers);
}

// Without groups.
template <int lanes, bool loose>
void convolve_and_pool(const ConvolutionShape& shape, const Finish& finish, const PoolShape& pool,
                       const float* x, const float* kernel, float* y, unsigned char* places,
                       Workers& workers) {
  const Plan plan = forward_plan<lanes>(shape);
  const Images source = {x, {shape.image[0], shape.image[1]}, shape.inputs, shape.inputs};
  const Target target = {nullptr, {shape.output[0], shape.output[1]}, shape.outputs, shape.outputs};
  const Maxima<lanes> maxima = {pool, y, places, finish.relu};
  const Finish bias_only = {finish.bias, false};
  const auto run = [&](auto by, const auto& squares) {
    by.convolve(source, target, squares, bias_only, {kernel, shape.inputs, shape.outputs, false},
                workers, &maxima);
  };
  if (maxima.takes_quads() &&
      by_squares<lanes, loose>(shape, false, shape.inputs, shape.outputs, run)) {
    return;
  }
  Gathering<lanes>{source, target, kernel, shape, bias_only, plan.zeros, false, &maxima}.run(
      plan, workers);
}

template <int lanes, bool loose>
void input_gradient(const ConvolutionShape& shape, const float* cotangent, const float* kernel,
                    float* x, Workers& workers) {
  const bool small_groups = has_small_groups<lanes>(shape);
  const long together = small_groups ? 1 : groups_together<lanes>(shape);
  if (together > 1) {
    return input_gradient<lanes, loose>(with_groups_together<lanes>(shape, together), cotangent,
                                        merged_kernel<lanes>(shape, together, kernel), x, workers);
  }
  const long inputs = shape.inputs / shape.groups, outputs = shape.outputs / shape.groups;
  const Plan plan = gradient_plan<lanes>(shape);
  const Images source = {cotangent, {shape.output[0], shape.output[1]}, shape.outputs, outputs};
  const Target target = {x, {shape.image[0], shape.image[1]}, shape.inputs, inputs};
  const Finish nothing = {nullptr, false};
  if (small_groups) {
    const float* exchanged = exchanged_kernel<lanes>(shape, kernel);
    return with_group_size<lanes>(shape, [&](auto size) {
      SmallGroups<lanes, size.value>{source, target, exchanged, nothing}.run(shape.batch, plan,
                                                                              workers);
    });
  }
  if (has_few_inputs<lanes>(shape)) {
    return Planes<lanes>{shape, cotangent, kernel, target, plan}.run(workers);
  }
  const auto run = [&](auto by, const auto& squares) {
    by.convolve(source, target, squares, nothing, {kernel, outputs, inputs, true}, workers);
  };
  if (by_squares<lanes, loose>(shape, true, outputs, inputs, run)) return;
  Gathering<lanes>{source, target, kernel, shape, nothing, plan.zeros, true}.run(plan, workers);
}

}  // namespace nacre
