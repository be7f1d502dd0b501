// Convolution of groups of 1, 2, 4 or 8 channels, as many out as in, and its gradients.
//
// Registers lie along the channels, so that each holds whole groups. A group of one is a channel on
// its own (depthwise): a pixel times the weights. In a larger group every output is a sum over the
// group's inputs, and the i-th of them is spread over the group's lanes by a permutation:
//
//   y[p] = sum over taps t and i < size of spread(x[p + t], i) * W[t, i]
//
// Temporaries: none forward; for the gradient in the image, the kernel with inputs and outputs of each
// group exchanged; for that in the kernel, a copy of it for each chunk of rows, 16 MiB at most.
#pragma once

#include <type_traits>

#include "kernels.h"
#include "partial_sums.h"
#include "windows.h"

namespace nacre {

template <int lanes>
bool has_small_groups(const ConvolutionShape& shape) {
  const long size = shape.inputs / shape.groups;
  return shape.groups > 1 && shape.inputs == shape.outputs &&
         (size == 1 || size == 2 || size == 4 || size == 8);
}

// Calls body with the size of the groups as a constant.
template <int lanes, class Body>
void with_group_size(const ConvolutionShape& shape, const Body& body) {
  switch (shape.inputs / shape.groups) {
    case 1: return body(std::integral_constant<int, 1>{});
    case 2: return body(std::integral_constant<int, 2>{});
    case 4: return body(std::integral_constant<int, 4>{});
    default: return body(std::integral_constant<int, 8>{});
  }
}

// In every lane the number of its group's lane `i`.
template <int lanes, int size>
NACRE_INLINE Vector<lanes> spread(Vector<lanes> numbers, int i) {
  if constexpr (size == 1) return numbers;
  Integers<lanes> order;
#pragma GCC unroll 16
  for (int lane = 0; lane < lanes; ++lane) order[lane] = lane / size * size + i;
  return permute<lanes>(numbers, order);
}

// The kernel with inputs and outputs of each group exchanged, for the gradient in the image.
template <int lanes>
const float* exchanged_kernel(const ConvolutionShape& shape, const float* kernel) {
  const long channels = shape.inputs, size = channels / shape.groups;
  if (size == 1) return kernel;
  const long rows = shape.window[0] * shape.window[1] * size;
  float* exchanged = scratch(kernel_slot, rows * channels);
  for (long row = 0; row < rows; ++row) {
    const long tap = row / size, i = row % size;
    for (long c = 0; c < channels; ++c) {
      exchanged[row * channels + c] = kernel[(tap * size + c % size) * channels + c / size * size + i];
    }
  }
  return exchanged;
}

// Forward and the gradient in the image, which gathers as well.
template <int lanes, int size>
struct SmallGroups {
  static constexpr int pixels = 4;
  static constexpr long weights_floats = 6 << 10;

  Images source;
  Target target;
  const float* kernel;
  Finish finish;

  // A tap whose row is on the image: what it sees from the first pixel of a row, and its weights.
  struct Seen {
    const float* from;
    const float* weights;
    long column;
  };
  struct Row {
    const Grid* grid;
    long image, i, count;
    const Seen* taps;
  };

  // A task is some rows of a grid; those of all grids that lie between each other are neighbours.
  void run(long batch, const Plan& plan, Workers& workers) const {
    const long rows = batch * plan.grids[0].size[0];
    const long blocks = smaller(rows, 8 * workers.count());
    for_each_task(workers, plan.count * blocks, [&](long number) {
      const Grid& grid = plan.grids[number % plan.count];
      const long block = number / plan.count, all = batch * grid.size[0];
      for (long row = block * all / blocks; row < (block + 1) * all / blocks; ++row) {
        along_row(grid, row / grid.size[0], row % grid.size[0]);
      }
    });
  }

  void along_row(const Grid& grid, long image, long i) const {
    Seen* taps = reinterpret_cast<Seen*>(
        scratch(pointers_slot, grid.count * sizeof(Seen) / sizeof(float) + 1));
    Row row = {&grid, image, i, 0, taps};
    for (long t = 0; t < grid.count; ++t) {
      const Tap& tap = grid.taps[t];
      const long y = i * grid.pace[0] + tap.row;
      if (y < 0 || y >= source.size[0]) continue;
      const long pixel = (image * source.size[0] + y) * source.size[1] + tap.column;
      taps[row.count++] = {source.data + pixel * source.channels,
                           kernel + tap.matrix * size * source.channels, tap.column};
    }
    // From `begin` to `end` every tap's column is on the image.
    const long pace = grid.pace[1], width = grid.size[1];
    const long left = larger(0, -grid.reach.low[1]);
    const long right = source.size[1] - 1 - grid.reach.high[1];
    const long begin = smaller(width, divide_up(left, pace));
    const long end = right < 0 ? begin : larger(begin, smaller(width, right / pace + 1));
    // So many channels that their weights stay in the nearest cache from pixel to pixel.
    const long span = larger(1, weights_floats / (4 * lanes * size * larger(1, grid.count))) * 4 * lanes;
    for (long channel = 0; channel < source.channels; channel += span) {
      const long last = smaller(source.channels, channel + span);
      at_the_edge(row, 0, begin, channel, last);
      long j = begin;
      for (; j + pixels <= end; j += pixels) columns<pixels, true>(row, j, channel, last);
      for (; j + 2 <= end; j += 2) columns<2, true>(row, j, channel, last);
      if (j < end) columns<1, true>(row, j, channel, last);
      at_the_edge(row, end, width, channel, last);
    }
  }

  void at_the_edge(const Row& row, long j, long end, long channel, long last) const {
    for (; j + 2 <= end; j += 2) columns<2, false>(row, j, channel, last);
    if (j < end) columns<1, false>(row, j, channel, last);
  }

  template <int count, bool inside>
  void columns(const Row& row, long j, long channel, long last) const {
    if constexpr (lanes == 16 && size == 1) {
      for (; channel + 4 * lanes <= last; channel += 4 * lanes) {
        channels<count, 4, inside, true>(row, j, channel);
      }
    }
    for (; channel + 2 * lanes <= last; channel += 2 * lanes) {
      channels<count, 2, inside, true>(row, j, channel);
    }
    for (; channel + lanes <= last; channel += lanes) {
      channels<count, 1, inside, true>(row, j, channel);
    }
    if (channel < last) channels<count, 1, inside, false>(row, j, channel);
  }

  // `count` neighbouring pixels; `whole` registers, or the last channels that do not fill one.
  template <int count, int vectors, bool inside, bool whole>
  void channels(const Row& row, long j, long channel) const {
    const long width = source.channels - channel;
    const auto part = [&](const float* from, int v) {
      return whole ? load<lanes>(from + v * lanes) : load_some<lanes>(from, width);
    };
    const long step = row.grid->pace[1] * source.channels;
    Vector<lanes> sum[count][vectors];
#pragma GCC unroll 4
    for (int p = 0; p < count; ++p)
#pragma GCC unroll 4
      for (int v = 0; v < vectors; ++v)
        sum[p][v] = finish.bias ? part(finish.bias + channel, v) : Vector<lanes>{};
    for (long t = 0; t < row.count; ++t) {
      const Seen& tap = row.taps[t];
      const float* from = tap.from + j * step + channel;
      bool there[count], any = inside;
#pragma GCC unroll 4
      for (int p = 0; !inside && p < count; ++p) {
        const long column = (j + p) * row.grid->pace[1] + tap.column;
        any |= there[p] = column >= 0 && column < source.size[1];
      }
      if (!any) continue;
#pragma GCC unroll 4
      for (int v = 0; v < vectors; ++v) {
        Vector<lanes> seen[count];
#pragma GCC unroll 4
        for (int p = 0; p < count; ++p) {
          seen[p] = inside || there[p] ? part(from + p * step, v) : Vector<lanes>{};
        }
#pragma GCC unroll 8
        for (int i = 0; i < size; ++i) {
          const Vector<lanes> weight = part(tap.weights + i * source.channels + channel, v);
#pragma GCC unroll 4
          for (int p = 0; p < count; ++p) sum[p][v] += weight * spread<lanes, size>(seen[p], i);
        }
      }
    }
    const Vector<lanes> zero = {};
#pragma GCC unroll 4
    for (int p = 0; p < count; ++p) {
      float* out = target.at(*row.grid, row.image, row.i, j + p) + channel;
#pragma GCC unroll 4
      for (int v = 0; v < vectors; ++v) {
        if (finish.relu) sum[p][v] = sum[p][v] < zero ? zero : sum[p][v];
        store_some<lanes>(out + v * lanes, sum[p][v], whole ? lanes : width);
      }
    }
  }
};

// The gradient in the kernel: for each tap and channel, a sum over all pixels.
template <int lanes, int size>
struct SmallGroupsKernelGradient {
  static constexpr long partial_floats = 4 << 20;
  // The sums of so many taps are kept in registers. Neighbouring channels come first: pixels may be
  // far apart in memory, and the more of each is read at once, the better.
  template <int vectors>
  static constexpr int most_taps = size == 8 ? 1 : size > 1 || vectors == 4 ? 3 : lanes == 16 ? 9 : 5;

  Images source;
  const float* cotangent;
  float* result;
  const ConvolutionShape& shape;
  const Grid& grid;

  struct Row {  // of outputs
    const float* cotangent;
    float* sums;
    long image, i;
    long channel, width;
  };

  void run(Workers& workers) const {
    const long rows = shape.batch * shape.output[0];
    const long floats = grid.count * size * source.channels;
    const long allowed = 1 + partial_floats / larger(1, floats);
    const long chunks = larger(1, smaller(smaller(rows, allowed), 4 * workers.count()));
    float* others = scratch(partial_slot, (chunks - 1) * floats + 1);
    for_each_task(workers, chunks, [&](long chunk) {
      float* sums = chunk ? others + (chunk - 1) * floats : result;
      for (long i = 0; i < floats; ++i) sums[i] = 0;
      for (long row = chunk * rows / chunks; row < (chunk + 1) * rows / chunks; ++row) {
        const float* from = cotangent + row * shape.output[1] * shape.outputs;
        const long image = row / shape.output[0], i = row % shape.output[0];
        for (long channel = 0; channel < source.channels;) {
          const long left = source.channels - channel;
          const Row part = {from + channel, sums + channel, image, i, channel, smaller(lanes, left)};
          if (size == 1 && left >= 4 * lanes) {
            along_row<size == 1 ? 4 : 1>(part), channel += 4 * lanes;
          } else if (size == 1 && left >= 2 * lanes) {
            along_row<size == 1 ? 2 : 1>(part), channel += 2 * lanes;
          } else {
            along_row<1>(part), channel += lanes;
          }
        }
      }
    });
    add_up<lanes>(result, others, chunks - 1, floats, workers);
  }

  // Several taps at a time share what is read of the cotangent. Only rows of the window that are on
  // the image take part.
  template <int vectors>
  void along_row(const Row& row) const {
    const long across = shape.window[1], y = row.i * grid.pace[0];
    long first = 0, last = shape.window[0];
    while (first < last && y + grid.taps[first * across].row < 0) ++first;
    while (first < last && y + grid.taps[(last - 1) * across].row >= source.size[0]) --last;
    constexpr int most = most_taps<vectors>;
    for (long t = first * across, end = last * across; t < end;) {
      if (end - t >= most) {
        taps<vectors, most>(row, t), t += most;
      } else if (most > 3 && end - t >= 3) {
        taps<vectors, most < 3 ? 1 : 3>(row, t), t += 3;
      } else {
        taps<vectors, 1>(row, t), t += 1;
      }
    }
  }

  NACRE_INLINE void columns_inside(const Tap& tap, long* first, long* last) const {
    const long width = source.size[1], pace = grid.pace[1];
    *first = tap.column >= 0 ? 0 : divide_up(-tap.column, pace);
    *last = tap.column >= width ? 0 : (width - 1 - tap.column) / pace + 1;
    *last = smaller(*last, shape.output[1]);
  }

  template <int vectors, int count>
  void taps(const Row& row, long first_tap) const {
    const float* from[count];
    float* to[count];
    long first[count], last[count];
    long begin = 0, end = shape.output[1];
    for (int t = 0; t < count; ++t) {
      const Tap& tap = grid.taps[first_tap + t];
      const long y = row.i * grid.pace[0] + tap.row;
      columns_inside(tap, &first[t], &last[t]);
      from[t] = source.data + row.channel +
                ((row.image * source.size[0] + y) * source.size[1] + tap.column) * source.channels;
      to[t] = row.sums + tap.matrix * size * source.channels;
      begin = larger(begin, first[t]), end = smaller(end, last[t]);
    }
    if (begin < end) together<vectors, count>(row, from, to, begin, end);
    for (int t = 0; t < count; ++t) {
      const long inner_begin = begin < end ? begin : last[t];
      const long inner_end = begin < end ? end : last[t];
      if (first[t] < inner_begin) {
        together<vectors, 1>(row, from + t, to + t, first[t], inner_begin);
      }
      if (inner_end < last[t]) together<vectors, 1>(row, from + t, to + t, inner_end, last[t]);
    }
  }

  template <int vectors, int count>
  void together(const Row& row, const float* const* from, float* const* to, long begin,
                long end) const {
    if (row.width == lanes) {
      sum_up<vectors, count>(row, from, to, begin, end,
                             [](const float* at) { return load<lanes>(at); });
    } else if constexpr (vectors == 1) {
      sum_up<1, count>(row, from, to, begin, end,
                       [&](const float* at) { return load_some<lanes>(at, row.width); });
    }
  }

  template <int vectors, int count, class Load>
  NACRE_INLINE void sum_up(const Row& row, const float* const* from, float* const* to, long begin,
                           long end, const Load& load_part) const {
    const long step = grid.pace[1] * source.channels;
    Vector<lanes> sum[count][vectors][size];
#pragma GCC unroll 9
    for (int t = 0; t < count; ++t)
#pragma GCC unroll 4
      for (int v = 0; v < vectors; ++v)
#pragma GCC unroll 8
        for (int i = 0; i < size; ++i) {
          sum[t][v][i] = load_part(to[t] + i * source.channels + v * lanes);
        }
    const float* change = row.cotangent + begin * shape.outputs;
    for (long j = begin; j < end; ++j, change += shape.outputs) {
      Vector<lanes> now[vectors];
#pragma GCC unroll 4
      for (int v = 0; v < vectors; ++v) now[v] = load_part(change + v * lanes);
#pragma GCC unroll 9
      for (int t = 0; t < count; ++t)
#pragma GCC unroll 4
        for (int v = 0; v < vectors; ++v) {
          const Vector<lanes> seen = load_part(from[t] + j * step + v * lanes);
#pragma GCC unroll 8
          for (int i = 0; i < size; ++i) sum[t][v][i] += now[v] * spread<lanes, size>(seen, i);
        }
    }
#pragma GCC unroll 9
    for (int t = 0; t < count; ++t)
#pragma GCC unroll 4
      for (int v = 0; v < vectors; ++v)
#pragma GCC unroll 8
        for (int i = 0; i < size; ++i) {
          store_some<lanes>(to[t] + i * source.channels + v * lanes, sum[t][v][i], row.width);
        }
  }
};

}  // namespace nacre
