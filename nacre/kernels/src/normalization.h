// Batch normalization: each channel is brought to mean 0 and variance 1 over all rows, scaled and
// shifted; then, if wanted, something is added, and what is negative becomes 0.
//
//   y = relu((x - mean) rstd gamma + beta + residual),   rstd = 1 / sqrt(variance + epsilon)
//
// The rows are cut into tasks. Forwards, a task takes its rows in blocks that stay in the cache,
// and finds the mean of a block, from the distances from its first row, before the squares of the
// distances from the mean: this loses no digits where the mean is large, and reads memory once. Means and squares of blocks, and then of tasks,
// are merged in their order by the rule of Chan, Golub and LeVeque. A second pass writes y.
// Backwards, a first pass sums up the gradient d and d (x - mean), a second one writes x's gradient,
// which for each channel is a d + b (x - mean) + c.
//
// Temporaries: for each task two numbers a channel, and three a channel besides.
#pragma once

#include "kernels.h"
#include "vectors.h"

namespace nacre {

template <int lanes>
struct Normalization {
  using V = Vector<lanes>;
  static constexpr int factors_slot = 2, partial_slot = 3;
  static constexpr int group = 4;  // vectors of channels that are summed up side by side
  static constexpr long rows_a_task = 64, numbers_a_block = 4096;

  // The tasks' rows, and two sums a channel for each.
  struct Tasks {
    long count, channels;
    float* partial;

    Tasks(const NormalizationShape& shape, const Workers& workers) {
      count = smaller(4 * workers.count(), larger(1, shape.rows / rows_a_task));
      channels = shape.channels;
      partial = scratch(partial_slot, 2 * count * channels);
    }

    NACRE_INLINE float* sums(long task) const { return partial + 2 * task * channels; }
  };

  // Calls body(channel, left) for each vector of channels; `left` of them remain.
  template <class Body>
  static NACRE_INLINE void for_channels(long channels, const Body& body) {
    for (long j = 0; j < channels; j += lanes) body(j, channels - j);
  }

  static void forward(const NormalizationShape& shape, const NormalizationForward& at,
                      Workers& workers) {
    const Tasks tasks(shape, workers);
    const auto first = [&](long task) { return shape.rows * task / tasks.count; };
    for_each_task(workers, tasks.count, [&](long task) {
      moments(shape, at.x, first(task), first(task + 1), tasks.sums(task));
    });
    for (long task = 1; task < tasks.count; ++task) {
      merge(shape.channels, tasks.sums(0), tasks.sums(task), first(task),
            first(task + 1) - first(task));
    }
    float* factor = scratch(factors_slot, 2 * shape.channels);
    float* shift = factor + shape.channels;
    for (long j = 0; j < shape.channels; ++j) {
      at.mean[j] = tasks.sums(0)[j];
      at.variance[j] = tasks.sums(0)[shape.channels + j] / static_cast<float>(shape.rows);
      at.rstd[j] = 1.f / __builtin_sqrtf(at.variance[j] + shape.epsilon);
      factor[j] = at.gamma ? at.rstd[j] * at.gamma[j] : at.rstd[j];
      shift[j] = (at.beta ? at.beta[j] : 0.f) - at.mean[j] * factor[j];
    }
    for_each_task(workers, tasks.count, [&](long task) {
      for (long row = first(task); row < first(task + 1); ++row) {
        const long place = row * shape.channels;
        for_channels(shape.channels, [&](long j, long left) {
          V y = load_some<lanes>(at.x + place + j, left) * load_some<lanes>(factor + j, left) +
                load_some<lanes>(shift + j, left);
          if (at.residual) y += load_some<lanes>(at.residual + place + j, left);
          if (shape.relu) y = y < 0.f ? V{} : y;
          store_some<lanes>(at.y + place + j, y, left);
        });
      }
    });
  }

  // The means and the sums of squared distances from them, of some rows.
  static void moments(const NormalizationShape& shape, const float* x, long first, long last,
                      float* sums) {
    const long channels = shape.channels;
    const long block = larger(16, numbers_a_block / channels);
    for_groups(channels, [&](long j, auto vectors) {
      constexpr int count = decltype(vectors)::value;
      V mean[count] = {}, squares[count] = {};
      for (long row = first; row < last; row += block) {
        const long rows = smaller(block, last - row);
        V origin[count], own[count] = {}, own_squares[count] = {};
        for (int v = 0; v < count; ++v) origin[v] = at<count>(x + row * channels, j, v, channels);
        for (long r = row; r < row + rows; ++r) {
          for (int v = 0; v < count; ++v) {
            own[v] += at<count>(x + r * channels, j, v, channels) - origin[v];
          }
        }
        for (int v = 0; v < count; ++v) {
          own[v] = own[v] * (1.f / static_cast<float>(rows)) + origin[v];
        }
        for (long r = row; r < row + rows; ++r) {
          for (int v = 0; v < count; ++v) {
            const V distance = at<count>(x + r * channels, j, v, channels) - own[v];
            own_squares[v] += distance * distance;
          }
        }
        for (int v = 0; v < count; ++v) {
          merged(mean[v], squares[v], own[v], own_squares[v], row - first, rows);
        }
      }
      for (int v = 0; v < count; ++v) {
        const long left = channels - j - v * lanes;
        store_some<lanes>(sums + j + v * lanes, mean[v], left);
        store_some<lanes>(sums + channels + j + v * lanes, squares[v], left);
      }
    });
  }

  static NACRE_INLINE void merged(V& mean, V& squares, V other, V other_squares, long before,
                                  long more) {
    const float share = static_cast<float>(more) / static_cast<float>(before + more);
    const V distance = other - mean;
    mean += distance * share;
    squares += other_squares + distance * distance * (share * static_cast<float>(before));
  }

  static void merge(long channels, float* sums, const float* others, long before, long more) {
    for_channels(channels, [&](long j, long left) {
      V mean = load_some<lanes>(sums + j, left);
      V squares = load_some<lanes>(sums + channels + j, left);
      merged(mean, squares, load_some<lanes>(others + j, left),
             load_some<lanes>(others + channels + j, left), before, more);
      store_some<lanes>(sums + j, mean, left);
      store_some<lanes>(sums + channels + j, squares, left);
    });
  }

  template <int number>
  struct Vectors {
    static constexpr int value = number;
  };

  // Calls body(channel, vectors) for groups of whole vectors of channels, then for each one left.
  template <class Body>
  static NACRE_INLINE void for_groups(long channels, const Body& body) {
    long j = 0;
    for (; j + group * lanes <= channels; j += group * lanes) body(j, Vectors<group>{});
    for (; j < channels; j += lanes) body(j, Vectors<1>{});
  }

  // Vector v of a group of `count` from channel j on; only one alone can be cut short.
  template <int count>
  static NACRE_INLINE V at(const float* row, long j, int v, long channels) {
    if (count > 1) return load<lanes>(row + j + v * lanes);
    return load_some<lanes>(row + j, channels - j);
  }

  static void backward(const NormalizationShape& shape, const NormalizationBackward& at,
                       Workers& workers) {
    const Tasks tasks(shape, workers);
    const long channels = shape.channels;
    const auto first = [&](long task) { return shape.rows * task / tasks.count; };
    for_each_task(workers, tasks.count, [&](long task) {
      sums(shape, at, first(task), first(task + 1), tasks.sums(task));
    });
    float* a = scratch(factors_slot, 3 * channels);
    float *b = a + channels, *c = b + channels;
    const float share = 1.f / static_cast<float>(shape.rows);
    for (long j = 0; j < channels; ++j) {
      float sum = 0, product = 0;
      for (long task = 0; task < tasks.count; ++task) {
        sum += tasks.sums(task)[j];
        product += tasks.sums(task)[channels + j];
      }
      const float rstd = at.rstd[j];
      at.beta_change[j] = sum;
      at.gamma_change[j] = product * rstd;
      a[j] = at.gamma ? at.gamma[j] * rstd : rstd;
      b[j] = -a[j] * rstd * rstd * product * share;
      c[j] = -a[j] * sum * share;
      if (at.variance_change) b[j] += 2.f * share * at.variance_change[j];
      if (at.mean_change) c[j] += share * at.mean_change[j];
    }
    for_each_task(workers, tasks.count, [&](long task) {
      for (long row = first(task); row < first(task + 1); ++row) {
        const long place = row * channels;
        for_channels(channels, [&](long j, long left) {
          const V d = change(shape, at, place + j, left);
          const V distance =
              load_some<lanes>(at.x + place + j, left) - load_some<lanes>(at.mean + j, left);
          store_some<lanes>(at.x_change + place + j,
                            load_some<lanes>(a + j, left) * d +
                                load_some<lanes>(b + j, left) * distance +
                                load_some<lanes>(c + j, left),
                            left);
          if (at.residual_change) store_some<lanes>(at.residual_change + place + j, d, left);
        });
      }
    });
  }

  // The gradient of what relu was given.
  static NACRE_INLINE V change(const NormalizationShape& shape, const NormalizationBackward& at,
                               long place, long left) {
    if (!at.y_change) return V{};
    const V d = load_some<lanes>(at.y_change + place, left);
    return shape.relu ? (load_some<lanes>(at.y + place, left) > 0.f ? d : V{}) : d;
  }

  static void sums(const NormalizationShape& shape, const NormalizationBackward& from, long first,
                   long last, float* sums) {
    const long channels = shape.channels;
    for_groups(channels, [&](long j, auto vectors) {
      constexpr int count = decltype(vectors)::value;
      V sum[count] = {}, product[count] = {}, mean[count];
      for (int v = 0; v < count; ++v) mean[v] = at<count>(from.mean, j, v, channels);
      for (long row = first; row < last; ++row) {
        for (int v = 0; v < count; ++v) {
          const long channel = j + v * lanes;
          const long left = count > 1 ? lanes : channels - channel;
          const V d = change(shape, from, row * channels + channel, left);
          sum[v] += d;
          product[v] += d * (at<count>(from.x + row * channels, j, v, channels) - mean[v]);
        }
      }
      for (int v = 0; v < count; ++v) {
        const long left = channels - j - v * lanes;
        store_some<lanes>(sums + j + v * lanes, sum[v], left);
        store_some<lanes>(sums + channels + j + v * lanes, product[v], left);
      }
    });
  }
};

}  // namespace nacre
