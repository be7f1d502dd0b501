// Recurrent networks over a whole sequence, forwards and backwards.
//
//   s_t = x_t W + h_(t-1) U + b,   h_t = cell(s_t, h_(t-1))
//
// The batch is cut into tasks of some rows, each of which goes through all steps by itself: no
// thread waits for another between two steps. W and U are packed once a call into panels, one for
// each few units, that hold the columns of all their gates. So the register tile ends up with all
// sums of a few units of a few rows, and the cell is computed from registers.
//
// Backwards, the recurrence gives the gradient of the sums; those of W, U and x are products over
// all steps at once, and are left to the caller.
//
// Temporaries: W and U packed, once a call; a thread, for each row of its task, two steps of its
// input and state (backwards, of the gradients of its sums and state); a task, the gradient of b.
#pragma once

#include "elementary.h"
#include "kernels.h"
#include "tile.h"

namespace nacre {

template <int number>
struct Number {
  static constexpr int value = number;
};

// Calls body(Number<n>{}) for n in 1 .. most, so that n is a constant in it.
template <int most, class Body>
NACRE_INLINE void with_number(long n, const Body& body) {
  if constexpr (most == 1) {
    body(Number<1>{});
  } else {
    if (n >= most) return body(Number<most>{});
    with_number<most - 1>(n, body);
  }
}

// The activation of the new state, and its derivative where its value is y.
template <int lanes>
NACRE_INLINE Vector<lanes> activate(Activation activation, Vector<lanes> x) {
  if (activation == Activation::tanh) return tanh<lanes>(x);
  if (activation == Activation::sigmoid) return sigmoid<lanes>(x);
  return relu<lanes>(x);
}

template <int lanes>
NACRE_INLINE Vector<lanes> slope(Activation activation, Vector<lanes> y) {
  if (activation == Activation::tanh) return 1.f - y * y;
  if (activation == Activation::sigmoid) return y * (1.f - y);
  return y > 0.f ? Vector<lanes>{} + 1.f : Vector<lanes>{};
}

// A cell names the sums that a unit has in the register tile, `sums` of them. The product with x
// adds to `used` of them from the first on, that with h to `used` from number `shift` on. Sum a
// belongs to the columns of gate(a), in W and in U. `saved` numbers a unit are kept for the way
// back. `units` vectors of units share a panel.

template <int lanes>
struct SimpleCell {
  static constexpr int gates = 1, saved = 1, sums = 1, used = 1, shift = 0, biases = 1;
  static constexpr int units = lanes == 16 ? 4 : 2;
  static constexpr bool has_memory = false;
  static constexpr int gate(int) { return 0; }
  using V = Vector<lanes>;

  static NACRE_INLINE void step(Activation a, const V* sum, V& h, V&, V* saved) {
    h = saved[0] = activate<lanes>(a, sum[0]);
  }

  static NACRE_INLINE void back(Activation a, const V* saved, V, V, V, V& dh, V&, V* dx, V*) {
    dx[0] = dh * slope<lanes>(a, saved[0]);
    dh = V{};
  }
};

template <int lanes>
struct LSTMCell {
  static constexpr int gates = 4, saved = 4, sums = 4, used = 4, shift = 0, biases = 1, units = 1;
  static constexpr bool has_memory = true;
  static constexpr int gate(int a) { return a; }
  using V = Vector<lanes>;

  static NACRE_INLINE void step(Activation a, const V* sum, V& h, V& c, V* saved) {
    saved[0] = sigmoid<lanes>(sum[0]);
    saved[1] = sigmoid<lanes>(sum[1]);
    saved[2] = activate<lanes>(a, sum[2]);
    saved[3] = sigmoid<lanes>(sum[3]);
    c = saved[1] * c + saved[0] * saved[2];
    h = saved[3] * activate<lanes>(a, c);
  }

  static NACRE_INLINE void back(Activation a, const V* saved, V, V old_c, V c, V& dh, V& dc, V* dx,
                                V*) {
    const V i = saved[0], f = saved[1], g = saved[2], o = saved[3];
    const V y = activate<lanes>(a, c);
    dc += dh * o * slope<lanes>(a, y);
    dx[0] = dc * g * (i * (1.f - i));
    dx[1] = dc * old_c * (f * (1.f - f));
    dx[2] = dc * i * slope<lanes>(a, g);
    dx[3] = dh * y * (o * (1.f - o));
    dc *= f;
    dh = V{};
  }
};

// The reset gate comes after the product with U, which therefore has a sum of its own: the sums are
// the candidate's from x, the two gates', and the candidate's from h.
template <int lanes>
struct GRUCell {
  static constexpr int gates = 3, saved = 4, sums = 4, used = 3, shift = 1, biases = 2, units = 1;
  static constexpr bool has_memory = false;
  static constexpr int gate(int a) { return (a + 2) % 3; }
  using V = Vector<lanes>;

  static NACRE_INLINE void step(Activation a, const V* sum, V& h, V&, V* saved) {
    const V z = sigmoid<lanes>(sum[1]), r = sigmoid<lanes>(sum[2]);
    const V g = activate<lanes>(a, sum[0] + r * sum[3]);
    saved[0] = z;
    saved[1] = r;
    saved[2] = g;
    saved[3] = sum[3];
    h = z * h + (1.f - z) * g;
  }

  static NACRE_INLINE void back(Activation a, const V* saved, V old_h, V, V, V& dh, V&, V* dx,
                                V* du) {
    const V z = saved[0], r = saved[1], g = saved[2];
    dx[0] = dh * (old_h - g) * (z * (1.f - z));
    dx[2] = dh * (1.f - z) * slope<lanes>(a, g);
    dx[1] = dx[2] * saved[3] * (r * (1.f - r));
    du[0] = dx[0];
    du[1] = dx[1];
    du[2] = dx[2] * r;
    dh *= z;
  }
};

template <int lanes>
struct Recurrent {
  using V = Vector<lanes>;
  static constexpr int packed_slot = 2, partial_slot = 3, task_slot = 4;

  // More rows than this in a task would leave the nearest caches.
  static constexpr long most_rows = 48;

  static void forward(const RecurrentShape& shape, const RecurrentForward& at, Workers& workers) {
    switch (shape.cell) {
      case Cell::simple: return Forward<SimpleCell<lanes>>::run(shape, at, workers);
      case Cell::lstm: return Forward<LSTMCell<lanes>>::run(shape, at, workers);
      case Cell::gru: return Forward<GRUCell<lanes>>::run(shape, at, workers);
    }
  }

  static void backward(const RecurrentShape& shape, const RecurrentBackward& at,
                       Workers& workers) {
    switch (shape.cell) {
      case Cell::simple: return Backward<SimpleCell<lanes>>::run(shape, at, workers);
      case Cell::lstm: return Backward<LSTMCell<lanes>>::run(shape, at, workers);
      case Cell::gru: return Backward<GRUCell<lanes>>::run(shape, at, workers);
    }
  }

  static long rows_a_task(const RecurrentShape& shape, const Workers& workers) {
    const long tasks = larger(workers.count(), divide_up(shape.batch, most_rows));
    return larger(1, divide_up(shape.batch, tasks));
  }

  // From unit j on; of the vectors of a panel, the last ones may lie beyond all units.
  static long units_left(const RecurrentShape& shape, long j) { return larger(0, shape.units - j); }

  static long padded(long units) { return divide_up(units, lanes) * lanes; }

  // Rows first .. first + count of `from`, an array (batch, units) or null for zeros, times
  // `factor`, if there is one; the last vector of a row is filled with zeros.
  static void copy_rows(const float* from, const float* factor, long first, long count, long units,
                        float* to, long stride) {
    for (long r = 0; r < count; ++r) {
      const long row = (first + r) * units;
      for (long j = 0; j < units; j += lanes) {
        V value = {};
        if (from) value = load_some<lanes>(from + row + j, units - j);
        if (factor) value *= load_some<lanes>(factor + row + j, units - j);
        store<lanes>(to + r * stride + j, value);
      }
    }
  }

  static void copy_back(const float* from, long stride, long first, long count, long units,
                        float* to) {
    for (long r = 0; r < count; ++r) {
      for (long j = 0; j < units; j += lanes) {
        store_some<lanes>(to + (first + r) * units + j, load<lanes>(from + r * stride + j),
                          units - j);
      }
    }
  }

  template <class Cell>
  struct Forward {
    static constexpr int vectors = Cell::sums * Cell::units;
    static constexpr int used = Cell::used * Cell::units;
    static constexpr int most_high = lanes == 16 ? 6 : 3;
    static constexpr long panel_units = Cell::units * lanes;

    const RecurrentShape& shape;
    const RecurrentForward& at;
    const float* packed;
    const long panel;         // numbers in a panel
    const long first, count;  // the rows of this task
    const long width;         // of a row of x and h side by side
    float *inputs, *h, *c;    // two steps' inputs; the state, padded to whole vectors

    static void run(const RecurrentShape& shape, const RecurrentForward& at, Workers& workers) {
      const long panels = divide_up(shape.units, panel_units);
      const long panel = vectors * lanes + (shape.features + shape.units) * used * lanes;
      float* packed = scratch(packed_slot, panels * panel);
      for_each_task(workers, panels, [&](long p) {
        float* to = packed + p * panel;
        pack_bias(shape, at.bias, p * panel_units, to);
        to += vectors * lanes;
        pack(shape, at.kernel, shape.features, p * panel_units, 0, to);
        to += shape.features * used * lanes;
        pack(shape, at.recurrent_kernel, shape.units, p * panel_units, Cell::shift, to);
      });
      const long rows = rows_a_task(shape, workers);
      for_each_task(workers, divide_up(shape.batch, rows), [&](long task) {
        const long first = task * rows, count = smaller(rows, shape.batch - first);
        const long width = shape.features + padded(shape.units);
        float* inputs = scratch(task_slot, count * 2 * (width + padded(shape.units)));
        float* h = inputs + 2 * count * width;
        float* c = h + count * padded(shape.units);
        Forward{shape, at, packed, panel, first, count, width, inputs, h, c}.all_steps();
      });
    }

    // The columns of a panel's units for each sum that is used, with zeros beyond the last unit.
    static void pack(const RecurrentShape& shape, const float* kernel, long depth, long unit,
                     int shift, float* to) {
      for (long k = 0; k < depth; ++k) {
        for (int v = 0; v < used; ++v) {
          const long j = unit + v / Cell::used * lanes;
          const int gate = Cell::gate(v % Cell::used + shift);
          const float* row = kernel + (k * Cell::gates + gate) * shape.units;
          store<lanes>(to, load_some<lanes>(row + j, units_left(shape, j)));
          to += lanes;
        }
      }
    }

    static void pack_bias(const RecurrentShape& shape, const float* bias, long unit, float* to) {
      for (int v = 0; v < vectors; ++v) {
        const long j = unit + v / Cell::sums * lanes;
        const int a = v % Cell::sums;
        V value = {};
        if (bias && a < Cell::used) {
          value += load_some<lanes>(bias + Cell::gate(a) * shape.units + j, units_left(shape, j));
        }
        if (bias && Cell::biases == 2 && a >= Cell::shift) {
          const float* second = bias + (Cell::gates + Cell::gate(a)) * shape.units;
          value += load_some<lanes>(second + j, units_left(shape, j));
        }
        store<lanes>(to + v * lanes, value);
      }
    }

    void all_steps() const {
      const long units = shape.units, columns = padded(units);
      copy_rows(at.h, nullptr, first, count, units, h, columns);
      if (Cell::has_memory) copy_rows(at.c, nullptr, first, count, units, c, columns);
      copy_rows(at.h, at.dropout, first, count, units, inputs + shape.features, width);
      if (at.multiplied && shape.steps) {
        for (long r = 0; r < count; ++r) {
          const float* row = inputs + r * width + shape.features;
          copy_back(row, width, 0, 1, units, at.multiplied + place(r, shape.time(0)) * units);
        }
      }
      for (long step = 0; step < shape.steps; ++step) one_step(step);
      copy_back(h, columns, first, count, units, at.last_h);
      if (Cell::has_memory) copy_back(c, columns, first, count, units, at.last_c);
    }

    // Where row r of this task is at time t, in arrays (batch, time, ...).
    NACRE_INLINE long place(long r, long t) const { return (first + r) * shape.steps + t; }

    void one_step(long step) const {
      const long t = shape.time(step), features = shape.features;
      float* now = inputs + step % 2 * count * width;
      for (long r = 0; r < count; ++r) {
        const float* from = at.x + place(r, t) * features;
        for (long k = 0; k < features; ++k) now[r * width + k] = from[k];
      }
      const long tiles = divide_up(count, most_high);
      for (long p = 0; p * panel_units < shape.units; ++p) {
        for (long tile = 0; tile < tiles; ++tile) {
          const long row = count * tile / tiles, end = count * (tile + 1) / tiles;
          with_number<most_high>(end - row, [&](auto high) {
            sums_and_cells<decltype(high)::value>(step, now, p, row);
          });
        }
      }
    }

    template <int high>
    void sums_and_cells(long step, const float* now, long p, long row) const {
      const float* from = packed + p * panel;
      Tile<lanes, high, vectors> tile;
      for (int r = 0; r < high; ++r) {
        for (int v = 0; v < vectors; ++v) tile.c[r][v] = load<lanes>(from + v * lanes);
      }
      from += vectors * lanes;
      if (at.projected) add_projected(step, p, row, tile);
      const float* rows[high];
      for (int r = 0; r < high; ++r) rows[r] = now + (row + r) * width;
      tile.template multiply<0, used>(rows, 1, from, used * lanes, shape.features);
      from += shape.features * used * lanes;
      for (int r = 0; r < high; ++r) rows[r] += shape.features;
      tile.template multiply<Cell::shift, used>(rows, 1, from, used * lanes, shape.units);
      for (int r = 0; r < high; ++r) {
        for (int u = 0; u < Cell::units; ++u) {
          const long unit = p * panel_units + u * lanes;
          if (unit < shape.units) cell(step, row + r, unit, &tile.c[r][u * Cell::sums]);
        }
      }
    }

    template <int high>
    void add_projected(long step, long p, long row, Tile<lanes, high, vectors>& tile) const {
      for (int r = 0; r < high; ++r) {
        const float* sums =
            at.projected + place(row + r, shape.time(step)) * Cell::gates * shape.units;
        for (int v = 0; v < used; ++v) {
          const long j = p * panel_units + v / Cell::used * lanes;
          const float* from = sums + Cell::gate(v % Cell::used) * shape.units + j;
          tile.c[r][v] += load_some<lanes>(from, units_left(shape, j));
        }
      }
    }

    // The cell of a vector of units of a row, and all that is kept of it.
    NACRE_INLINE void cell(long step, long r, long unit, const V* sums) const {
      const long t = shape.time(step), units = shape.units, left = units - unit;
      float* state_h = h + r * padded(units) + unit;
      float* state_c = c + r * padded(units) + unit;
      const V old_h = load<lanes>(state_h);
      const V old_c = Cell::has_memory ? load<lanes>(state_c) : V{};
      V new_h = old_h, new_c = old_c, saved[Cell::saved];
      Cell::step(shape.activation, sums, new_h, new_c, saved);
      if (at.mask && !at.mask[place(r, t)]) {
        new_h = old_h;
        new_c = old_c;
      }
      store<lanes>(state_h, new_h);
      if (Cell::has_memory) store<lanes>(state_c, new_c);
      store_some<lanes>(at.outputs + place(r, step) * units + unit, new_h, left);
      V multiplied = new_h;
      if (at.dropout) multiplied *= load_some<lanes>(at.dropout + (first + r) * units + unit, left);
      float* next = inputs + (step + 1) % 2 * count * width;
      store<lanes>(next + r * width + shape.features + unit, multiplied);
      if (!at.saved) return;
      for (int n = 0; n < Cell::saved; ++n) {
        float* to = at.saved + (place(r, t) * Cell::saved + n) * units + unit;
        store_some<lanes>(to, saved[n], left);
      }
      if (Cell::has_memory) {
        store_some<lanes>(at.memory + place(r, t) * units + unit, new_c, left);
      }
      if (step + 1 < shape.steps) {
        float* to = at.multiplied + place(r, shape.time(step + 1)) * units + unit;
        store_some<lanes>(to, multiplied, left);
      }
    }
  };

  template <class Cell>
  struct Backward {
    static constexpr int high = TileShape<lanes>::rows;
    static constexpr long panel_units = TileShape<lanes>::columns;

    const RecurrentShape& shape;
    const RecurrentBackward& at;
    const float* packed;
    const long first, count;           // the rows of this task
    float *sums, *dh, *dc, *bias;      // gradients: of the sums of U at this step, of the state, of b

    static void run(const RecurrentShape& shape, const RecurrentBackward& at, Workers& workers) {
      const long units = shape.units, depth = Cell::gates * units;
      const long panels = divide_up(units, panel_units);
      float* packed = scratch(packed_slot, panels * depth * panel_units);
      for_each_task(workers, panels, [&](long p) {
        pack(shape, at.recurrent_kernel, p * panel_units, packed + p * depth * panel_units);
      });
      const long rows = rows_a_task(shape, workers), tasks = divide_up(shape.batch, rows);
      const long biases = Cell::biases * Cell::gates * padded(units);
      float* partial = scratch(partial_slot, tasks * biases);
      for_each_task(workers, tasks, [&](long task) {
        const long first = task * rows, count = smaller(rows, shape.batch - first);
        float* sums = scratch(task_slot, count * (depth + 2 * padded(units)));
        float* dh = sums + count * depth;
        float* dc = dh + count * padded(units);
        Backward{shape, at, packed, first, count, sums, dh, dc, partial + task * biases}
            .all_steps();
      });
      for (long n = 0; n < Cell::biases * Cell::gates; ++n) {
        for (long j = 0; j < units; ++j) {
          float total = 0;
          for (long task = 0; task < tasks; ++task) {
            total += partial[task * biases + n * padded(units) + j];
          }
          at.bias[n * units + j] = total;
        }
      }
    }

    // A panel of U transposed: for each of its columns, the numbers of the panel's units.
    static void pack(const RecurrentShape& shape, const float* kernel, long unit, float* to) {
      const long depth = Cell::gates * shape.units;
      for (long j = 0; j < panel_units; ++j) {
        const float* from = kernel + smaller(unit + j, shape.units - 1) * depth;
        for (long k = 0; k < depth; ++k) to[k * panel_units + j] = from[k];
      }
    }

    void all_steps() const {
      const long units = shape.units, columns = padded(units);
      copy_rows(at.last_h, nullptr, first, count, units, dh, columns);
      if (Cell::has_memory) copy_rows(at.last_c, nullptr, first, count, units, dc, columns);
      for (long n = 0; n < Cell::biases * Cell::gates * columns; ++n) bias[n] = 0;
      for (long step = shape.steps - 1; step >= 0; --step) {
        for (long unit = 0; unit < units; unit += lanes) cells(step, unit);
        products();
      }
      copy_back(dh, columns, first, count, units, at.h);
      if (Cell::has_memory) copy_back(dc, columns, first, count, units, at.c);
    }

    NACRE_INLINE long place(long r, long t) const { return (first + r) * shape.steps + t; }

    // A vector of units of array (batch, time, units) at a step; at step -1, of the first state.
    NACRE_INLINE V at_step(const float* array, const float* before, long r, long step, bool by_time,
                           long unit) const {
      const long units = shape.units;
      const float* from = nullptr;
      if (step >= 0) {
        from = array + place(r, by_time ? shape.time(step) : step) * units;
      } else {
        from = before + (first + r) * units;
      }
      return load_some<lanes>(from + unit, units - unit);
    }

    void cells(long step, long unit) const {
      constexpr int gates = Cell::gates;
      const long units = shape.units, left = units - unit, t = shape.time(step);
      const bool two = Cell::biases == 2;
      V total[2 * gates] = {};
      for (long r = 0; r < count; ++r) {
        float* state_h = dh + r * padded(units) + unit;
        float* state_c = dc + r * padded(units) + unit;
        V of_h = load<lanes>(state_h), of_c = Cell::has_memory ? load<lanes>(state_c) : V{};
        if (at.outputs_change) {
          of_h += load_some<lanes>(at.outputs_change + place(r, step) * units + unit, left);
        }
        V dx[gates] = {}, du[gates] = {};
        if (!at.mask || at.mask[place(r, t)]) {
          V saved[Cell::saved];
          for (int n = 0; n < Cell::saved; ++n) {
            const float* from = at.saved + (place(r, t) * Cell::saved + n) * units + unit;
            saved[n] = load_some<lanes>(from, left);
          }
          V old_h = {}, old_c = {}, c = {};
          if (Cell::has_memory) {
            c = at_step(at.memory, nullptr, r, step, true, unit);
            old_c = at_step(at.memory, at.first_c, r, step - 1, true, unit);
          }
          if (two) old_h = at_step(at.outputs, at.first_h, r, step - 1, false, unit);
          Cell::back(shape.activation, saved, old_h, old_c, c, of_h, of_c, dx, du);
        }
        store<lanes>(state_h, of_h);
        if (Cell::has_memory) store<lanes>(state_c, of_c);
        for (int n = 0; n < gates; ++n) {
          const long column = n * units + unit;
          const V of_u = two ? du[n] : dx[n];
          total[n] += dx[n];
          total[gates + n] += of_u;
          store_some<lanes>(at.sums + place(r, t) * gates * units + column, dx[n], left);
          if (two) {
            store_some<lanes>(at.recurrent_sums + place(r, t) * gates * units + column, of_u, left);
          }
          store_some<lanes>(sums + r * gates * units + column, of_u, left);
        }
      }
      for (int n = 0; n < Cell::biases * gates; ++n) {
        float* to = bias + n * padded(units) + unit;
        store<lanes>(to, load<lanes>(to) + total[n]);
      }
    }

    // What the state gets through U, on top of what it got in the cell.
    void products() const {
      for (long unit = 0; unit < shape.units; unit += panel_units) {
        const long width = smaller(panel_units, shape.units - unit);
        const long tiles = divide_up(count, high);
        for (long tile = 0; tile < tiles; ++tile) {
          const long row = count * tile / tiles, end = count * (tile + 1) / tiles;
          with_number<high>(end - row, [&](auto rows) {
            with_number<TileShape<lanes>::vectors>(divide_up(width, lanes), [&](auto vectors) {
              product<decltype(rows)::value, decltype(vectors)::value>(unit, row);
            });
          });
        }
      }
    }

    template <int rows, int vectors>
    void product(long unit, long row) const {
      const long depth = Cell::gates * shape.units, columns = padded(shape.units);
      Tile<lanes, rows, vectors> tile;
      tile.clear();
      const float* from[rows];
      for (int r = 0; r < rows; ++r) from[r] = sums + (row + r) * depth;
      tile.multiply(from, 1, packed + unit * depth, panel_units, depth);
      for (int r = 0; r < rows; ++r) {
        for (int v = 0; v < vectors; ++v) {
          const long j = unit + v * lanes;
          V value = tile.c[r][v];
          if (at.dropout) {
            const float* factor = at.dropout + (first + row + r) * shape.units;
            value *= load_some<lanes>(factor + j, shape.units - j);
          }
          float* to = dh + (row + r) * columns + j;
          store<lanes>(to, load<lanes>(to) + value);
        }
      }
    }
  };
};

}  // namespace nacre
