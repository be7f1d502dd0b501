// The maximum and the mean over windows of an image, and their gradients.
//
// Vectors run along the channels. Forwards a task has some rows of outputs. Backwards it has some
// rows of the image, and collects what the windows over them give: so no two tasks write to one
// place, however the windows overlap. The place of a maximum within its window is kept as a byte.
//
// No temporaries.
#pragma once

#include "kernels.h"
#include "vectors.h"

namespace nacre {

// As many whole numbers as a vector has lanes.
template <int lanes>
struct PlacesOf {
  typedef int integers __attribute__((vector_size(lanes * sizeof(int))));
  typedef unsigned char bytes __attribute__((vector_size(lanes), aligned(1), may_alias));
};

template <int lanes>
struct Pooling {
  using V = Vector<lanes>;
  using Integers = typename PlacesOf<lanes>::integers;
  using Bytes = typename PlacesOf<lanes>::bytes;

  struct Range {
    long first, last;
  };

  // The places of a window, along an axis, that lie within the image.
  static NACRE_INLINE Range inside(const PoolAxis& axis, long output) {
    const long start = output * axis.stride - axis.before;
    return {larger(0, -start), smaller(axis.window, axis.image - start)};
  }

  // The windows, along an axis, that lie over a place of the image.
  static NACRE_INLINE Range over(const PoolAxis& axis, long place) {
    const long from = place + axis.before;
    const long first = from < axis.window ? 0 : (from - axis.window) / axis.stride + 1;
    return {first, smaller(axis.output, from / axis.stride + 1)};
  }

  template <class Body>
  static void for_rows(Workers& workers, long rows, const Body& body) {
    const long tasks = smaller(rows, 8 * workers.count());
    for_each_task(workers, tasks, [&](long task) {
      for (long row = rows * task / tasks; row < rows * (task + 1) / tasks; ++row) body(row);
    });
  }

  static void forward(const PoolShape& shape, const float* x, float* y, unsigned char* places,
                      Workers& workers) {
    const PoolAxis &depth = shape.axes[0], &height = shape.axes[1], &width = shape.axes[2];
    for_rows(workers, shape.batch * depth.output * height.output, [&](long row) {
      const long h = row % height.output, d = row / height.output % depth.output;
      const long n = row / height.output / depth.output;
      const Range deep = inside(depth, d), high = inside(height, h);
      for (long w = 0; w < width.output; ++w) {
        const Window window = {deep, high, inside(width, w)};
        const long image = ((n * depth.image + d * depth.stride - depth.before) * height.image +
                            h * height.stride - height.before) * width.image +
                           w * width.stride - width.before;
        const long output = (row * width.output + w) * shape.channels;
        const float* from = x + image * shape.channels;
        if (!shape.maximum) {
          mean(shape, window, from, y + output);
        } else if (places) {
          maximum<true>(shape, window, from, y + output, places + output);
        } else {
          maximum<false>(shape, window, from, y + output, nullptr);
        }
      }
    });
  }

  struct Window {
    Range deep, high, wide;

    NACRE_INLINE long count() const {
      return (deep.last - deep.first) * (high.last - high.first) * (wide.last - wide.first);
    }

    // Calls body(place, offset) for each place, with the distance from the corner in the image.
    template <class Body>
    NACRE_INLINE void for_places(const PoolShape& shape, const Body& body) const {
      const PoolAxis &height = shape.axes[1], &width = shape.axes[2];
      for (long d = deep.first; d < deep.last; ++d) {
        for (long h = high.first; h < high.last; ++h) {
          const long place = (d * height.window + h) * width.window;
          const long offset = (d * height.image + h) * width.image;
          for (long w = wide.first; w < wide.last; ++w) {
            body(place + w, (offset + w) * shape.channels);
          }
        }
      }
    }
  };

  // NaN exceeds everything: it is not equal to itself.
  template <bool kept>
  static NACRE_INLINE void maximum(const PoolShape& shape, const Window& window, const float* x,
                                   float* y, unsigned char* places) {
    const long corner = ((window.deep.first * shape.axes[1].image + window.high.first) *
                             shape.axes[2].image + window.wide.first) * shape.channels;
    const int first = static_cast<int>(
        (window.deep.first * shape.axes[1].window + window.high.first) * shape.axes[2].window +
        window.wide.first);
    long j = 0;
    for (; j + 2 * lanes <= shape.channels; j += 2 * lanes) {
      V best[2] = {load<lanes>(x + corner + j), load<lanes>(x + corner + j + lanes)};
      Integers where[2] = {Integers{} + first, Integers{} + first};
      window.for_places(shape, [&](long place, long offset) {
        for (int v = 0; v < 2; ++v) {
          better<kept>(load<lanes>(x + offset + j + v * lanes), place, best[v], where[v]);
        }
      });
      for (int v = 0; v < 2; ++v) {
        store<lanes>(y + j + v * lanes, best[v]);
        if (kept) store_places(places + j + v * lanes, where[v], lanes);
      }
    }
    for (; j < shape.channels; j += lanes) {
      const long left = shape.channels - j;
      V best = load_some<lanes>(x + corner + j, left);
      Integers where = Integers{} + first;
      window.for_places(shape, [&](long place, long offset) {
        better<kept>(load_some<lanes>(x + offset + j, left), place, best, where);
      });
      store_some<lanes>(y + j, best, left);
      if (kept) store_places(places + j, where, left);
    }
  }

  template <bool kept>
  static NACRE_INLINE void better(V next, long place, V& best, Integers& where) {
    const auto exceeds = (next > best) | (next != next);
    best = exceeds ? next : best;
    if (kept) where = exceeds ? Integers{} + static_cast<int>(place) : where;
  }

  static NACRE_INLINE void mean(const PoolShape& shape, const Window& window, const float* x,
                                float* y) {
    const float share = 1.f / static_cast<float>(window.count());
    for (long j = 0; j < shape.channels; j += lanes) {
      const long left = shape.channels - j;
      V sum = {};
      window.for_places(shape, [&](long, long offset) {
        sum += load_some<lanes>(x + offset + j, left);
      });
      store_some<lanes>(y + j, sum * share, left);
    }
  }

  static NACRE_INLINE void store_places(unsigned char* to, Integers where, long left) {
    if (left >= lanes) {
      *reinterpret_cast<Bytes*>(to) = __builtin_convertvector(where, Bytes);
      return;
    }
    for (long lane = 0; lane < left; ++lane) to[lane] = static_cast<unsigned char>(where[lane]);
  }

  static NACRE_INLINE Integers load_places(const unsigned char* from, long left) {
    if (left >= lanes) {
      return __builtin_convertvector(*reinterpret_cast<const Bytes*>(from), Integers);
    }
    Integers where = {};
    for (long lane = 0; lane < left; ++lane) where[lane] = from[lane];
    return where;
  }

  static void backward(const PoolShape& shape, const float* change, const unsigned char* places,
                       float* x, Workers& workers) {
    const PoolAxis &depth = shape.axes[0], &height = shape.axes[1], &width = shape.axes[2];
    for_rows(workers, shape.batch * depth.image * height.image, [&](long row) {
      const long h = row % height.image, d = row / height.image % depth.image;
      const long n = row / height.image / depth.image;
      float* to = x + row * width.image * shape.channels;
      for (long j = 0; j < width.image * shape.channels; ++j) to[j] = 0;
      const Range deep = over(depth, d), high = over(height, h);
      for (long od = deep.first; od < deep.last; ++od) {
        for (long oh = high.first; oh < high.last; ++oh) {
          const long outputs = ((n * depth.output + od) * height.output + oh) * width.output;
          const long kd = d + depth.before - od * depth.stride;
          const long kh = h + height.before - oh * height.stride;
          const long place = (kd * height.window + kh) * width.window;
          const float across = static_cast<float>(size(inside(depth, od)) * size(inside(height, oh)));
          for (long w = 0; w < width.output; ++w) {
            const Range wide = inside(width, w);
            const long from = (outputs + w) * shape.channels;
            float* corner = to + (w * width.stride - width.before) * shape.channels;
            if (shape.maximum) {
              spread_maximum(shape, wide, place, change + from, places + from, corner);
            } else {
              const float share = 1.f / (across * static_cast<float>(size(wide)));
              spread_mean(shape, wide, share, change + from, corner);
            }
          }
        }
      }
    });
  }

  static NACRE_INLINE long size(Range range) { return range.last - range.first; }

  static NACRE_INLINE void spread_maximum(const PoolShape& shape, Range wide, long place,
                                          const float* change, const unsigned char* places,
                                          float* x) {
    for (long j = 0; j < shape.channels; j += lanes) {
      const long left = shape.channels - j;
      const V d = load_some<lanes>(change + j, left);
      const Integers where = load_places(places + j, left) - static_cast<int>(place);
      for (long w = wide.first; w < wide.last; ++w) {
        float* to = x + w * shape.channels + j;
        const V own = where == static_cast<int>(w) ? d : V{};
        store_some<lanes>(to, load_some<lanes>(to, left) + own, left);
      }
    }
  }

  static NACRE_INLINE void spread_mean(const PoolShape& shape, Range wide, float share,
                                       const float* change, float* x) {
    for (long j = 0; j < shape.channels; j += lanes) {
      const long left = shape.channels - j;
      const V d = load_some<lanes>(change + j, left) * share;
      for (long w = wide.first; w < wide.last; ++w) {
        float* to = x + w * shape.channels + j;
        store_some<lanes>(to, load_some<lanes>(to, left) + d, left);
      }
    }
  }
};

}  // namespace nacre
