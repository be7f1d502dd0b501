// The maximum over windows of a convolution's outputs, windows that do not overlap, and its gradient.
//
//   y[q]  = max over t of c[q * w + t - before]       c: the convolution, with bias
//   y[q]  = max(y[q], 0)                              if relu is asked for
//   c'[q * w + t - before] = y'[q] if t is the place of the maximum, else 0
//
// Forwards, a task computes some rows of the convolution into memory of its thread, and takes from
// there what it needs: only maxima are stored, and a byte for each that names its place, or says that
// relu has cut it. Backwards, one pass writes the convolution's gradient, and sums that of the bias:
// what every task adds up is kept apart, and summed in order.
//
// Temporaries: 128 KiB a thread, or the rows that one row of windows sees; backwards a sum for each
// channel and task.
#pragma once

#include "bfloat16.h"
#include "kernels.h"
#include "partial_sums.h"
#include "pooling.h"
#include "windows.h"

namespace nacre {

constexpr int cut_place = 255;

// What takes the rows of a convolution, some channels of one image at a time.
template <int lanes, class Number = float>
struct Maxima {
  using Pool = Pooling<lanes>;
  using V = Vector<lanes>;
  using Integers = typename PlacesOf<lanes>::integers;
  static constexpr long rows_floats = 1 << 15;

  const PoolShape& shape;
  Number* y;
  unsigned char* places;  // or nullptr
  bool relu;

  const PoolAxis &height = shape.axes[1], &width = shape.axes[2];

  // How many rows of windows are taken together, where a pixel has so many numbers.
  long rows_together(long numbers) const {
    return larger(1, smaller(height.output, rows_floats / (numbers * width.image * height.window)));
  }

  // The rows of the image that rows `first` to `last` of windows see.
  typename Pool::Range seen(long first, long last) const {
    return {larger(0, first * height.window - height.before),
            smaller(height.image, last * height.window - height.before)};
  }

  // `rows` begins with the first row seen; a pixel has `stride` numbers, of which `channels` count.
  template <class Row>
  void take(long image, long first, long last, const Row* rows, long stride, long channel,
            long channels) const {
    const long top = seen(first, last).first;
    const bool square = height.window == 2 && width.window == 2;
    for (long h = first; h < last; ++h) {
      const auto high = Pool::inside(height, h);
      for (long w = 0; w < width.output; ++w) {
        const auto wide = Pool::inside(width, w);
        const long row = h * height.window - height.before - top;
        const Row* from = rows + (row * width.image + w * width.window - width.before) * stride;
        const long to = ((image * height.output + h) * width.output + w) * shape.channels + channel;
        const bool two_by_two = square && Pool::size(high) == 2 && Pool::size(wide) == 2;
        if (two_by_two && places) {
          maximum<true, 2>(from, stride, high, wide, channels, to);
        } else if (two_by_two) {
          maximum<false, 2>(from, stride, high, wide, channels, to);
        } else if (places) {
          maximum<true, 0>(from, stride, high, wide, channels, to);
        } else {
          maximum<false, 0>(from, stride, high, wide, channels, to);
        }
      }
    }
  }

  // Whether the windows are the outputs four by four.
  bool takes_quads() const {
    const auto in_twos = [](const PoolAxis& axis) {
      return axis.window == 2 && !axis.before && 2 * axis.output == axis.image;
    };
    return in_twos(height) && in_twos(width);
  }

  // The window at (h, w), given as registers of some channels.
  NACRE_INLINE void take_quad(long image, long h, long w, long channel, const V (&quad)[4]) const {
    const long to = ((image * height.output + h) * width.output + w) * shape.channels + channel;
    V best = quad[0];
    Integers where = {};
#pragma GCC unroll 3
    for (int place = 1; place < 4; ++place) {
      Pool::template better<true>(quad[place], place, best, where);
    }
    keep<true>(best, where, to, lanes);
  }

  // Stores a maximum, and its place if places are kept at all.
  template <bool kept>
  NACRE_INLINE void keep(V best, Integers where, long to, long count) const {
    if (relu) {
      if (kept) where = best > V{} ? where : Integers{} + cut_place;
      best = best < V{} ? V{} : best;
    }
    store_some<lanes>(y + to, best, count);
    if (kept && places) Pool::store_places(places + to, where, count);
  }

  // `side` is the size of a whole square window, or 0.
  template <bool kept, int side, class Row>
  NACRE_INLINE void maximum(const Row* from, long stride, typename Pool::Range high,
                            typename Pool::Range wide, long channels, long to) const {
    if (side) high = wide = {0, side};
    const long down = side ? side : width.window;
    const Row* corner = from + (high.first * width.image + wide.first) * stride;
    const int first = static_cast<int>(high.first * down + wide.first);
    for (long j = 0; j < channels; j += lanes) {
      const long left = channels - j;
      V best = load<lanes>(corner + j);
      Integers where = Integers{} + first;
      for (long h = high.first; h < high.last; ++h) {
        for (long w = wide.first; w < wide.last; ++w) {
          const V next = load<lanes>(from + (h * width.image + w) * stride + j);
          Pool::template better<kept>(next, h * down + w, best, where);
        }
      }
      keep<kept>(best, where, to + j, left);
    }
  }
};

// From the gradient of the maxima to that of the convolution and, unless null, that of the bias.
template <int lanes, class Number>
void max_unpool(const PoolShape& shape, const Number* change, const unsigned char* places, Number* c,
                float* bias, Workers& workers) {
  using Pool = Pooling<lanes>;
  using V = Vector<lanes>;
  const PoolAxis &height = shape.axes[1], &width = shape.axes[2];
  const long channels = shape.channels, rows = shape.batch * height.output;
  const long tasks = larger(1, smaller(rows, 8 * workers.count()));
  float* others = scratch(partial_slot, (tasks - 1) * channels + 1);
  for_each_task(workers, tasks, [&](long task) {
    float* sums = task ? others + (task - 1) * channels : bias;
    for (long j = 0; j < channels; ++j) sums[j] = 0;
    for (long row = rows * task / tasks; row < rows * (task + 1) / tasks; ++row) {
      const long h = row % height.output, n = row / height.output;
      const auto high = Pool::inside(height, h);
      const long top = (n * height.image + h * height.window - height.before) * width.image;
      for (long w = 0; w < width.output; ++w) {
        const auto wide = Pool::inside(width, w);
        const long from = (row * width.output + w) * channels;
        Number* corner = c + (top + w * width.window - width.before) * channels;
        for (long j = 0; j < channels; j += lanes) {
          const long left = channels - j;
          const V d = load_some<lanes>(change + from + j, left);
          const auto where = Pool::load_places(places + from + j, left);
          for (long y = high.first; y < high.last; ++y) {
            for (long x = wide.first; x < wide.last; ++x) {
              const int place = static_cast<int>(y * width.window + x);
              store_some<lanes>(corner + (y * width.image + x) * channels + j,
                                where == place ? d : V{}, left);
            }
          }
          const V kept = where == cut_place ? V{} : d;
          store_some<lanes>(sums + j, load_some<lanes>(sums + j, left) + kept, left);
        }
      }
    }
  });
  add_up<lanes>(bias, others, tasks - 1, channels, workers);
}

}  // namespace nacre
