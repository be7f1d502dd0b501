// The gradient of a convolution in an image of few channels.
//
// As columns of a register tile, one or three channels would leave most of a register empty. So here
// registers lie along the pixels of a row:
//
//   x'[i][q] = sum over taps t and outputs o of y'[o][q + t] * W[t, i, o]
//
// For this the cotangent is copied channel by channel, rows with zeros around: planes. A number of W
// is spread over a register and serves several registers of pixels, of one row or of the next.
//
// Where strides let the image fall into several grids, all of them read the same planes.
//
// Temporaries a thread: the planes that a band of the image sees (512 KiB, or what one register's
// windows see), the kernel in the order in which it is read, and the places of the numbers that it is
// multiplied with.
#pragma once

#include "kernels.h"
#include "transpose.h"
#include "windows.h"

namespace nacre {

template <int lanes>
bool has_few_inputs(const ConvolutionShape& shape) {
  return 2 * shape.inputs <= lanes * shape.groups && shape.window[0] * shape.window[1] > 1;
}

template <int lanes>
struct Planes {
  static constexpr long most_floats = 1 << 17;

  const ConvolutionShape& shape;
  const float* cotangent;
  const float* kernel;
  const Target& target;
  const Plan& plan;

  const long outputs = shape.outputs / shape.groups;

  // Rows `first` to `last` of every grid, and so many columns from `column` on, of a group of channels
  // of an image.
  struct Band {
    long image, group, first, last, column;
    const float* planes;
  };

  // What the windows of all grids reach, the columns of a band, and the length of a plane's row.
  Reach reach;
  long columns, width;

  void run(Workers& workers) {
    const Grid& largest = plan.grids[0];
    reach = largest.reach;
    for (long g = 1; g < plan.count; ++g) {
      for (int axis = 0; axis < 2; ++axis) {
        reach.low[axis] = smaller(reach.low[axis], plan.grids[g].reach.low[axis]);
        reach.high[axis] = larger(reach.high[axis], plan.grids[g].reach.high[axis]);
      }
    }
    const long images = shape.batch * shape.groups, rows = largest.size[0];
    if (!images || !rows || !largest.size[1]) return;
    const long halo = reach.high[0] - reach.low[0], around = reach.high[1] - reach.low[1];
    const long widest = larger(1, (most_floats / (outputs * (1 + halo)) - around) / lanes);
    columns = smaller(divide_up(largest.size[1], lanes), widest) * lanes;
    width = columns + around;
    const long across = divide_up(largest.size[1], columns);
    const long most = larger(1, most_floats / (outputs * width) - halo);
    const long wanted = larger(divide_up(rows, most), divide_up(4 * workers.count(), images * across));
    const long down = smaller(rows, wanted), bands = down * across;
    for_each_task(workers, images * bands, [&](long number) {
      const long band = number % bands / across, group = number / bands % shape.groups;
      Band task = {number / bands / shape.groups, group, band * rows / down,
                   (band + 1) * rows / down, number % across * columns, nullptr};
      task.planes = planes_of(task);
      for (long g = 0; g < plan.count; ++g) with_channels<lanes / 2>(task, plan.grids[g]);
    });
  }

  // Row by row of the cotangent that the band sees, its channels one after the other.
  const float* planes_of(const Band& band) const {
    const long rows = band.last - band.first + reach.high[0] - reach.low[0];
    const long first = band.column + reach.low[1], begin = larger(0, first);
    const long left = larger(0, smaller(width, -first));
    const long seen = larger(0, smaller(shape.output[1] - begin, width - left));
    float* planes = scratch(image_slot, rows * outputs * width);
    for (long r = 0; r < rows; ++r) {
      float* row = planes + r * outputs * width;
      const long y = band.first + reach.low[0] + r;
      for (long i = 0; i < outputs * width; ++i) row[i] = 0;
      if (y < 0 || y >= shape.output[0]) continue;
      const float* from =
          cotangent + ((band.image * shape.output[0] + y) * shape.output[1] + begin) * shape.outputs +
          band.group * outputs;
      transpose<lanes>(from, shape.outputs, seen, outputs, row + left, width, seen);
    }
    return planes;
  }

  // Calls `compute` with the number of channels as a constant.
  template <int channels>
  void with_channels(const Band& band, const Grid& grid) const {
    if constexpr (channels > 1) {
      if (target.depth < channels) return with_channels<channels - 1>(band, grid);
    }
    compute<channels>(band, grid);
  }

  template <int channels>
  void compute(const Band& band, const Grid& grid) const {
    constexpr int most = (lanes == 16 ? 30 : 15) / (channels + 1);  // the registers there are
    constexpr int count = most < 8 ? most : 8;
    const long numbers = grid.count * outputs;
    float* weights = scratch(packed_slot, numbers * channels + 1);
    long* places = reinterpret_cast<long*>(scratch(places_slot, 2 * numbers + 2));
    for (long t = 0; t < grid.count; ++t) {
      const Tap& tap = grid.taps[t];
      transpose<lanes>(kernel + tap.matrix * target.depth * shape.outputs + band.group * outputs,
                       shape.outputs, channels, outputs, weights + t * channels,
                       grid.count * channels, channels);
      for (long o = 0; o < outputs; ++o) {
        places[o * grid.count + t] = ((tap.row - reach.low[0]) * outputs + o) * width + tap.column -
                                  reach.low[1];
      }
    }
    const long last = smaller(band.last, grid.size[0]);
    const long pieces = divide_up(larger(0, smaller(columns, grid.size[1] - band.column)), lanes);
    const long all = larger(0, last - band.first) * pieces;
    for (long piece = 0; piece < all; piece += count) {
      const float* from[count];
      for (int r = 0; r < count; ++r) {
        const long at = smaller(piece + r, all - 1);
        from[r] = band.planes + at / pieces * outputs * width + at % pieces * lanes;
      }
      Vector<lanes> sum[count][channels];
#pragma GCC unroll 8
      for (int r = 0; r < count; ++r)
#pragma GCC unroll 8
        for (int c = 0; c < channels; ++c) sum[r][c] = Vector<lanes>{};
      const float* weight = weights;
      for (long n = 0; n < numbers; ++n, weight += channels) {
        const long place = places[n];
        Vector<lanes> seen[count];
#pragma GCC unroll 8
        for (int r = 0; r < count; ++r) seen[r] = load<lanes>(from[r] + place);
#pragma GCC unroll 8
        for (int c = 0; c < channels; ++c)
#pragma GCC unroll 8
          for (int r = 0; r < count; ++r) sum[r][c] += weight[c] * seen[r];
      }
      for (int r = 0; r < count && piece + r < all; ++r) {
        const long row = band.first + (piece + r) / pieces;
        const long column = band.column + (piece + r) % pieces * lanes;
        put<channels>(band, grid, row, column, sum[r]);
      }
    }
  }

  template <int channels>
  void put(const Band& band, const Grid& grid, long row, long column,
           const Vector<lanes>* sum) const {
    const long count = smaller(lanes, grid.size[1] - column), apart = grid.step[1] * target.channels;
    float* to = target.at(grid, band.image, row, column) + band.group * target.depth;
    if (channels == 1 && apart == 1) return store_some<lanes>(to, sum[0], count);
    float numbers[channels * lanes];
    for (int c = 0; c < channels; ++c) store<lanes>(numbers + c * lanes, sum[c]);
    for (long p = 0; p < count; ++p) {
      for (int c = 0; c < channels; ++c) to[p * apart + c] = numbers[c * lanes + p];
    }
  }
};

}  // namespace nacre
