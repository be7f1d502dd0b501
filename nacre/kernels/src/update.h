// The update of all parameters of a network in one pass, each number read and written once:
//
//   sgd       w <- w - s g
//   momentum  m <- a m - s g                   w <- w + m
//   nesterov  m <- a m - s g                   w <- w + a m - s g
//   rmsprop   v <- a v + b g^2                 w <- w - s g / sqrt(v + e)
//   adam      m <- m + a (g - m)
//             v <- v + b (g^2 - v)             w <- w - s m / (sqrt(v) + e)
//
// With weight decay, w <- w - d w comes first. Before all that, a look whether all gradients are
// finite. A task takes a stretch of all parameters laid end to end: many small ones are a task, a
// large one is several.
//
// No temporaries.
#pragma once

#include "elementary.h"
#include "kernels.h"

namespace nacre {

template <int lanes>
struct Update {
  using V = Vector<lanes>;
  static constexpr long numbers_of_task = 1 << 14;

  // The equations: the factor that changes from step to step, and those that do not.
  struct Sgd {
    static constexpr int slots = 0;
    float s;
    NACRE_INLINE void operator()(V g, V& w, V*) const { w -= s * g; }
  };

  template <bool nesterov>
  struct Momentum {
    static constexpr int slots = 1;
    float s, a;
    NACRE_INLINE void operator()(V g, V& w, V* slot) const {
      V& m = slot[0];
      m = a * m - s * g;
      w += nesterov ? a * m - s * g : m;
    }
  };

  struct RmsProp {
    static constexpr int slots = 1;
    float s, a, b, e;
    NACRE_INLINE void operator()(V g, V& w, V* slot) const {
      V& v = slot[0];
      v = a * v + b * (g * g);
      w -= s * g / root<lanes>(v + e);
    }
  };

  struct Adam {
    static constexpr int slots = 2;
    float s, a, b, e;
    NACRE_INLINE void operator()(V g, V& w, V* slot) const {
      V &m = slot[0], &v = slot[1];
      m += a * (g - m);
      v += b * (g * g - v);
      w -= s * m / (root<lanes>(v) + e);
    }
  };

  static void run(const UpdateRule& rule, const Parameters& parameters, Workers& workers) {
    const float s = rule.scale, a = rule.settings[0], b = rule.settings[1], e = rule.settings[2];
    switch (rule.kind) {
      case UpdateKind::sgd: return with(Sgd{s}, parameters, workers);
      case UpdateKind::momentum: return with(Momentum<false>{s, a}, parameters, workers);
      case UpdateKind::nesterov: return with(Momentum<true>{s, a}, parameters, workers);
      case UpdateKind::rmsprop: return with(RmsProp{s, a, b, e}, parameters, workers);
      case UpdateKind::adam: return with(Adam{s, a, b, e}, parameters, workers);
    }
  }

  template <class Rule>
  static void with(const Rule& rule, const Parameters& parameters, Workers& workers) {
    for_stretches(parameters, workers, [&](const Parameter& p, long first, long last) {
      for (long j = first; j < last; j += lanes) {
        const long left = last - j;
        V w = load_some<lanes>(p.value + j, left), slot[Rule::slots + 1];
#pragma GCC unroll 2
        for (int i = 0; i < Rule::slots; ++i) slot[i] = load_some<lanes>(p.slots[i] + j, left);
        if (p.decay != 0) w -= p.decay * w;
        rule(load_some<lanes>(p.gradient + j, left), w, slot);
        store_some<lanes>(p.new_value + j, w, left);
#pragma GCC unroll 2
        for (int i = 0; i < Rule::slots; ++i) store_some<lanes>(p.new_slots[i] + j, slot[i], left);
      }
    });
  }

  // Neither infinite nor NaN: not all bits of the exponent are set.
  static bool all_finite(const Parameters& parameters, Workers& workers) {
    constexpr int exponent = 0x7f800000;
    int found = 0;
    for_stretches(parameters, workers, [&](const Parameter& p, long first, long last) {
      Integers<lanes> bad = {};
      for (long j = first; j < last; j += lanes) {
        const auto bits = (Integers<lanes>)load_some<lanes>(p.gradient + j, last - j);
        bad |= (bits & exponent) == exponent;
      }
      int any = 0;
      for (int lane = 0; lane < lanes; ++lane) any |= bad[lane];
      if (any) __atomic_store_n(&found, 1, __ATOMIC_RELAXED);
    });
    return !found;
  }

  // Calls body(parameter, first, last) until every number has been in one stretch.
  template <class Body>
  static void for_stretches(const Parameters& parameters, Workers& workers, const Body& body) {
    const long most = 8 * workers.count();
    const long tasks = smaller(most, divide_up(parameters.numbers, numbers_of_task));
    for_each_task(workers, tasks, [&](long task) {
      const long begin = parameters.numbers * task / tasks;
      const long end = parameters.numbers * (task + 1) / tasks;
      long before = 0;
      for (long i = 0; i < parameters.count && before < end; ++i) {
        const Parameter& p = parameters.all[i];
        const long first = larger(begin - before, 0), last = smaller(end - before, p.numbers);
        if (first < last) body(p, first, last);
        before += p.numbers;
      }
    });
  }
};

}  // namespace nacre
