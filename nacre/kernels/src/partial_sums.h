// Sums that tasks have made of their own parts, added up.
#pragma once

#include "vectors.h"
#include "workers.h"

namespace nacre {

// result += others[0] + others[1] + ..., `count` of `floats` numbers each, always in this order.
template <int lanes>
void add_up(float* result, const float* others, long count, long floats, Workers& workers) {
  constexpr long slice = 1 << 13;
  if (count < 1) return;
  for_each_task(workers, divide_up(floats, slice), [&](long number) {
    const long last = smaller(floats, (number + 1) * slice);
    for (long i = number * slice; i < last; i += lanes) {
      Vector<lanes> total = load_some<lanes>(result + i, last - i);
      for (long c = 0; c < count; ++c) {
        total += load_some<lanes>(others + c * floats + i, last - i);
      }
      store_some<lanes>(result + i, total, last - i);
    }
  });
}

}  // namespace nacre
