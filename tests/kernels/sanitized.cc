// Every native kernel on small and awkward shapes drawn at random, for the sanitizers to watch.
//
//   sanitized FIRST COUNT     runs the cases from number FIRST on; each draws from its own number
//
// Operands, results and temporaries are heap blocks of exactly their size: the sanitizer sees one
// number read or written too far. Results and temporaries begin as NaN: what is not written, or is
// used before, shows. Operands are quarters, so sums are exact, and equal those of plain loops.
#include <atomic>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <initializer_list>
#include <iterator>
#include <memory>
#include <random>
#include <thread>
#include <vector>

#include "kernels.h"

namespace nacre {

// Unlike that of workers.cc, each block is new, so that the last one of its slot cannot be used.
float* scratch(int slot, std::size_t floats) {
  struct Free {
    void operator()(void* block) const { std::free(block); }
  };
  static thread_local std::unique_ptr<void, Free> kept[scratch_slots];
  void* block = nullptr;
  if (posix_memalign(&block, 4096, floats * sizeof(float))) std::abort();
  kept[slot].reset(block);
  float* numbers = static_cast<float*>(block);
  for (std::size_t i = 0; i < floats; ++i) numbers[i] = NAN;
  return numbers;
}

}  // namespace nacre

namespace {

using namespace nacre;
using Floats = std::vector<float>;  // a block of the size it is made in; null if that is 0
using Bytes = std::vector<unsigned char>;

// Workers without XLA. The calling thread takes tasks too, as in workers.cc.
struct Threads final : Workers {
  const int threads;  // the calling one included
  explicit Threads(int threads) : threads(threads) {}

  int count() const override { return threads; }

  void run(long tasks, void (*body)(void*, long), void* context) override {
    std::atomic<long> next{0};
    const auto take_tasks = [&] {
      for (long task; (task = next++) < tasks;) body(context, task);
    };
    std::vector<std::thread> others;
    for (int i = 1; i < threads && i < tasks; ++i) others.emplace_back(take_tasks);
    take_tasks();
    for (std::thread& other : others) other.join();
  }
};

class Draw {
 public:
  explicit Draw(long seed) : engine_(seed) {}

  long between(long least, long most) { return least + engine_() % (most - least + 1); }
  bool coin() { return between(0, 1); }
  long one_of(std::initializer_list<long> all) { return all.begin()[between(0, all.size() - 1)]; }
  long size() { return between(1, one_of({3, 20, 70})); }

  Floats numbers(long count, int least = -4) {
    Floats drawn(count);
    for (float& number : drawn) number = between(least, 4) / 4.f;
    return drawn;
  }
  Floats numbers_or_null(long count) { return coin() ? numbers(count) : Floats(); }

 private:
  std::mt19937 engine_;
};

Floats result(long count) { return Floats(count, NAN); }

void require(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "wrong: %s\n", what);
  std::exit(1);
}

void require_close(const char* what, const Floats& result, const Floats& expected,
                   float tolerance = 0) {
  for (std::size_t i = 0; i < expected.size(); ++i) {
    require(std::fabs(result[i] - expected[i]) <= tolerance, what);
  }
}

void require_finite(const char* what, std::initializer_list<const Floats*> results) {
  for (const Floats* result : results) {
    for (const float number : *result) require(std::isfinite(number), what);
  }
}

// Quarters are numbers of bfloat16 too. A result in it is one that is rounded, and of sums that need not
// be exact (winograd_schemes.h).
using Halves = std::vector<Half>;

Halves halves(const Floats& numbers) {
  Halves upper(numbers.size());
  for (std::size_t i = 0; i < upper.size(); ++i) {
    unsigned bits;
    std::memcpy(&bits, &numbers[i], sizeof bits);
    upper[i] = bits >> 16;
  }
  return upper;
}

Halves result_halves(long count) { return Halves(count, 0x7fc0); }  // NaN

void require_near(const char* what, const Halves& result, const Floats& expected) {
  for (std::size_t i = 0; i < expected.size(); ++i) {
    const unsigned bits = static_cast<unsigned>(result[i]) << 16;
    float number;
    std::memcpy(&number, &bits, sizeof number);
    const float allowed = std::fabs(expected[i]) / 256 + 1e-3f;
    require(std::fabs(number - expected[i]) <= allowed, what);
  }
}

// The kernels of an instruction set, those of its units for bfloat16, and what draws and runs a case.
struct Bench {
  const Kernels& kernels;
  std::vector<const Bfloat16Kernels*> units;
  Draw& draw;
  Workers& workers;
};

void products(const Bench& bench) {
  Draw& draw = bench.draw;
  const auto length = [&] { return draw.one_of({0, 1, draw.size(), draw.size(), 300}); };
  const ProductShape shape = {length(), length(), length(), draw.coin(), draw.coin()};
  const Floats a = draw.numbers(shape.rows * shape.depth);
  const Floats b = draw.numbers(shape.depth * shape.columns);
  Floats expected(shape.rows * shape.columns), c = result(expected.size());
  for (long i = 0; i < shape.rows; ++i) {
    for (long j = 0; j < shape.columns; ++j) {
      for (long k = 0; k < shape.depth; ++k) {
        expected[i * shape.columns + j] +=
            a[shape.a_transposed ? k * shape.rows + i : i * shape.depth + k] *
            b[shape.b_transposed ? j * shape.depth + k : k * shape.columns + j];
      }
    }
  }
  bench.kernels.products.matrices(shape, a.data(), b.data(), c.data(), bench.workers);
  require_close("product", c, expected);
  const Halves half_a = halves(a), half_b = halves(b);
  for (const Bfloat16Kernels* units : bench.units) {
    Halves rounded = result_halves(expected.size());
    c = result(expected.size());
    units->of_halves.matrices(shape, half_a.data(), half_b.data(), rounded.data(), bench.workers);
    units->of_halves.sums(shape, half_a.data(), half_b.data(), c.data(), bench.workers);
    require_near("product of bfloat16", rounded, expected);
    require_close("sums of bfloat16", c, expected);
    if (!units->of_floats) continue;
    c = result(expected.size());
    units->of_floats->matrices(shape, a.data(), b.data(), c.data(), bench.workers);
    require_close("product of two parts", c, expected);
  }
}

// Windows along an axis, of which some may see padding alone, and an image for so many outputs.
void draw_axis(Draw& draw, ConvolutionShape& shape, int axis, long output) {
  long image;
  do {
    shape.window[axis] = draw.between(1, 4);
    shape.strides[axis] = draw.between(1, 3);
    shape.dilation[axis] = draw.between(1, 3);
    shape.before[axis] = draw.between(-2, 3);
    const long after = draw.between(-2, 3), unused = draw.between(0, shape.strides[axis] - 1);
    const long reach = (shape.window[axis] - 1) * shape.dilation[axis] + 1;
    image = (output - 1) * shape.strides[axis] + reach + unused - shape.before[axis] - after;
  } while (image < 1);
  shape.image[axis] = image;
  shape.output[axis] = output;
}

// Windows of 3 x 3 and channels that fill registers, which are convolved by fewer multiplications.
ConvolutionShape draw_three_by_three(Draw& draw, bool even = false) {
  ConvolutionShape shape = {};
  shape.groups = 1;
  // Many pixels, as squares of 4 x 4 may need; or many inputs, of which some are taken at a time.
  const bool many = draw.coin();
  shape.inputs = many ? 32 : draw.one_of({32, 48, 64, 160, 320});
  shape.outputs = many ? draw.one_of({32, 64}) : draw.one_of({64, 128});
  for (int axis = 0; axis < 2; ++axis) {
    shape.window[axis] = 3;
    shape.strides[axis] = shape.dilation[axis] = 1;
    shape.output[axis] = even ? 2 * draw.between(2, 4) : draw.between(3, 9);
    shape.before[axis] = draw.between(-1, 2);
    shape.image[axis] = shape.output[axis] + 2 - shape.before[axis] - draw.between(-1, 2);
  }
  const long pixels = shape.output[0] * shape.output[1];
  shape.batch = (many ? 1600 : 280) / pixels + draw.between(1, 3);
  return shape;
}

// Many images, many channels or a wide image, but not all at once: plain loops are slow.
ConvolutionShape draw_convolution(Draw& draw) {
  if (draw.between(0, 9) == 0) return draw_three_by_three(draw);
  ConvolutionShape shape = {};
  shape.batch = draw.one_of({0, 1, 2, 5, 40});
  shape.groups = draw.one_of({1, 1, 1, 2, 3, 16, draw.size()});
  const long most = shape.groups > 1 ? 9 : shape.batch > 5 ? 20 : 70;
  if (shape.groups > 1 && draw.coin()) {
    shape.inputs = shape.outputs = shape.groups * draw.one_of({1, 1, 2, 4, 8});
  } else {
    shape.inputs = shape.groups * draw.between(1, most);
    shape.outputs = shape.groups * draw.between(1, most);
  }
  const bool wide = shape.batch <= 5 && shape.inputs * shape.outputs < 200 && draw.coin();
  draw_axis(draw, shape, 0, draw.between(1, 7));
  draw_axis(draw, shape, 1, draw.between(1, wide ? 600 : 9));
  return shape;
}

long numbers_of_image(const ConvolutionShape& shape) {
  return shape.batch * shape.image[0] * shape.image[1] * shape.inputs;
}

long numbers_of_kernel(const ConvolutionShape& shape) {
  return shape.window[0] * shape.window[1] * shape.inputs / shape.groups * shape.outputs;
}

long numbers_of_output(const ConvolutionShape& shape) {
  return shape.batch * shape.output[0] * shape.output[1] * shape.outputs;
}

// Calls body(i, k, o) where number i of the image times k of the kernel is a term of output o.
template <class Body>
void for_terms(const ConvolutionShape& shape, const Body& body) {
  const long inputs = shape.inputs / shape.groups, outputs = shape.outputs / shape.groups;
  const long taps = shape.window[0] * shape.window[1];
  const long pixels = shape.output[0] * shape.output[1];
  for (long pixel = 0; pixel < shape.batch * pixels; ++pixel) {
    for (long tap = 0; tap < taps; ++tap) {
      const long row = pixel % pixels / shape.output[1] * shape.strides[0] - shape.before[0] +
                       tap / shape.window[1] * shape.dilation[0];
      const long column = pixel % shape.output[1] * shape.strides[1] - shape.before[1] +
                          tap % shape.window[1] * shape.dilation[1];
      if (row < 0 || row >= shape.image[0] || column < 0 || column >= shape.image[1]) continue;
      const long seen = (pixel / pixels * shape.image[0] + row) * shape.image[1] + column;
      for (long o = 0; o < shape.outputs; ++o) {
        for (long i = 0; i < inputs; ++i) {
          body(seen * shape.inputs + o / outputs * inputs + i,
               (tap * inputs + i) * shape.outputs + o, pixel * shape.outputs + o);
        }
      }
    }
  }
}

void convolutions(const Bench& bench) {
  Draw& draw = bench.draw;
  Workers& workers = bench.workers;
  const ConvolutionShape shape = draw_convolution(draw);
  const Floats x = draw.numbers(numbers_of_image(shape));
  const Floats kernel = draw.numbers(numbers_of_kernel(shape));
  const Floats change = draw.numbers(numbers_of_output(shape));
  const Floats bias = draw.numbers_or_null(shape.outputs);
  const Finish finish = {bias.data(), draw.coin()};

  Floats expected_y(change.size()), expected_x(x.size()), expected_kernel(kernel.size());
  for_terms(shape, [&](long i, long k, long o) {
    expected_y[o] += x[i] * kernel[k];
    expected_x[i] += change[o] * kernel[k];
    expected_kernel[k] += x[i] * change[o];
  });
  for (std::size_t o = 0; o < expected_y.size(); ++o) {
    if (finish.bias) expected_y[o] += bias[o % shape.outputs];
    if (finish.relu) expected_y[o] = std::fmax(expected_y[o], 0.f);
  }

  Floats y = result(change.size()), of_x = result(x.size()), of_kernel = result(kernel.size());
  bench.kernels.products.convolve(shape, finish, x.data(), kernel.data(), y.data(), workers);
  bench.kernels.products.input_gradient(shape, change.data(), kernel.data(), of_x.data(), workers);
  bench.kernels.products.kernel_gradient(shape, x.data(), change.data(), of_kernel.data(), workers);
  require_close("convolution", y, expected_y);
  require_close("gradient of a convolution in its image", of_x, expected_x);
  require_close("gradient of a convolution in its kernel", of_kernel, expected_kernel);
  of_kernel = result(of_kernel.size());
  y = result(y.size()), of_x = result(of_x.size());
  bench.kernels.loose.convolve(shape, finish, x.data(), kernel.data(), y.data(), workers);
  bench.kernels.loose.input_gradient(shape, change.data(), kernel.data(), of_x.data(), workers);
  bench.kernels.loose.kernel_gradient(shape, x.data(), change.data(), of_kernel.data(), workers);
  require_close("loose convolution", y, expected_y, 1e-2f);
  require_close("loose gradient in the image", of_x, expected_x, 1e-2f);
  require_close("loose gradient in the kernel", of_kernel, expected_kernel, 1e-2f);
  if (shape.groups > 1) return;

  const Halves half_x = halves(x), half_kernel = halves(kernel), half_change = halves(change);
  for (const Bfloat16Kernels* units : bench.units) {
    Halves rounded_y = result_halves(y.size()), rounded_x = result_halves(x.size());
    of_kernel = result(of_kernel.size());
    const ProductsOf<Half>& of = units->of_halves;
    of.convolve(shape, finish, half_x.data(), half_kernel.data(), rounded_y.data(), workers);
    of.input_gradient(shape, half_change.data(), half_kernel.data(), rounded_x.data(), workers);
    of.kernel_gradient(shape, half_x.data(), half_change.data(), of_kernel.data(), workers);
    require_near("convolution of bfloat16", rounded_y, expected_y);
    require_near("gradient in the image of bfloat16", rounded_x, expected_x);
    require_close("gradient in the kernel of bfloat16", of_kernel, expected_kernel, 1e-2f);
    if (!units->of_floats) continue;
    y = result(y.size()), of_x = result(of_x.size()), of_kernel = result(of_kernel.size());
    const ProductsOf<float>& split = *units->of_floats;
    split.convolve(shape, finish, x.data(), kernel.data(), y.data(), workers);
    split.input_gradient(shape, change.data(), kernel.data(), of_x.data(), workers);
    split.kernel_gradient(shape, x.data(), change.data(), of_kernel.data(), workers);
    require_close("convolution of two parts", y, expected_y);
    require_close("gradient in the image of two parts", of_x, expected_x);
    require_close("gradient in the kernel of two parts", of_kernel, expected_kernel);
  }
}

// Each window sees some of the image; `tiling` windows lie side by side and see all of it.
PoolAxis draw_pool_axis(Draw& draw, bool tiling) {
  PoolAxis axis;
  axis.window = draw.between(1, 4);
  axis.stride = tiling ? axis.window : draw.between(1, 4);
  axis.before = draw.between(0, axis.window - 1);
  do {
    axis.output = draw.between(1, 6);
    const long last = (axis.output - 1) * axis.stride - axis.before;  // where the last one begins
    axis.image = last + draw.between(1, tiling ? axis.window : axis.window + axis.stride);
  } while (axis.image < 1);
  return axis;
}

long places(const PoolShape& shape, long PoolAxis::*size) {
  return shape.axes[0].*size * shape.axes[1].*size * shape.axes[2].*size;
}

void pooled_convolutions(const Bench& bench) {
  Draw& draw = bench.draw;
  PoolAxis height = draw_pool_axis(draw, true), width = draw_pool_axis(draw, true);
  ConvolutionShape shape = {};
  if (draw.between(0, 9) == 0) {
    shape = draw_three_by_three(draw, true);
    height = {shape.output[0], 2, 2, 0, shape.output[0] / 2};
    width = {shape.output[1], 2, 2, 0, shape.output[1] / 2};
  } else {
    shape.batch = draw.between(0, 3);
    shape.groups = 1;
    shape.inputs = draw.size();
    shape.outputs = draw.coin() ? draw.size() : 16 * draw.between(1, 4);
    draw_axis(draw, shape, 0, height.image);
    draw_axis(draw, shape, 1, width.image);
  }
  const PoolShape pool = {shape.batch, shape.outputs, true, {{1, 1, 1, 0, 1}, height, width}};

  const Floats x = draw.numbers(numbers_of_image(shape));
  const Floats kernel = draw.numbers(numbers_of_kernel(shape));
  const Floats bias = draw.numbers(shape.outputs);
  const Finish finish = {bias.data(), draw.coin()};
  Floats y = result(shape.batch * places(pool, &PoolAxis::output) * shape.outputs);
  Bytes kept(y.size());
  const ProductsOf<float>& pooled = bench.kernels.products;
  pooled.convolve_and_pool(shape, finish, pool, x.data(), kernel.data(), y.data(), nullptr,
                           bench.workers);
  require_finite("convolution and pool", {&y});
  pooled.convolve_and_pool(shape, finish, pool, x.data(), kernel.data(), y.data(), kept.data(),
                           bench.workers);
  Floats loose = result(y.size());
  Bytes loosely_kept(y.size());
  bench.kernels.loose.convolve_and_pool(shape, finish, pool, x.data(), kernel.data(), loose.data(),
                                        loosely_kept.data(), bench.workers);
  require_close("loose convolution and pool", loose, y, 1e-2f);
  const Floats change = draw.numbers(y.size());
  Floats of_convolved = result(numbers_of_output(shape)), of_bias = result(shape.outputs);
  pooled.max_unpool(pool, change.data(), kept.data(), of_convolved.data(), of_bias.data(),
                    bench.workers);
  require_finite("convolution and pool, backwards", {&y, &of_convolved, &of_bias});
  if (shape.outputs % 16) return;

  const Halves half_x = halves(x), half_kernel = halves(kernel), half_change = halves(change);
  for (const Bfloat16Kernels* units : bench.units) {
    Halves rounded = result_halves(y.size()), rounded_change = result_halves(of_convolved.size());
    Bytes kept_by_units(y.size());
    units->of_halves.convolve_and_pool(shape, finish, pool, half_x.data(), half_kernel.data(),
                                       rounded.data(), kept_by_units.data(), bench.workers);
    require_near("convolution of bfloat16 and pool", rounded, y);
    rounded = result_halves(y.size());
    units->of_halves.convolve_and_pool(shape, finish, pool, half_x.data(), half_kernel.data(),
                                       rounded.data(), nullptr, bench.workers);
    require_near("convolution of bfloat16 and pool, without places", rounded, y);
    if (units->of_floats) {
      loose = result(y.size());
      units->of_floats->convolve_and_pool(shape, finish, pool, x.data(), kernel.data(),
                                          loose.data(), loosely_kept.data(), bench.workers);
      require_close("convolution of two parts and pool", loose, y);
    }
    units->of_halves.max_unpool(pool, half_change.data(), kept.data(), rounded_change.data(),
                                of_bias.data(), bench.workers);
    require_near("convolution of bfloat16 and pool, backwards", rounded_change, of_convolved);
  }
}

void pools(const Bench& bench) {
  Draw& draw = bench.draw;
  PoolShape shape = {draw.between(0, 2), draw.size(), draw.coin(), {}};
  for (PoolAxis& axis : shape.axes) axis = draw_pool_axis(draw, false);
  const Floats x = draw.numbers(shape.batch * places(shape, &PoolAxis::image) * shape.channels);
  Floats y = result(shape.batch * places(shape, &PoolAxis::output) * shape.channels);
  Floats of_x = result(x.size());
  Bytes kept(shape.maximum ? y.size() : 0);
  bench.kernels.pool_forward(shape, x.data(), y.data(), nullptr, bench.workers);
  require_finite("pool", {&y});
  bench.kernels.pool_forward(shape, x.data(), y.data(), kept.data(), bench.workers);
  const Floats change = draw.numbers(y.size());
  bench.kernels.pool_backward(shape, change.data(), kept.data(), of_x.data(), bench.workers);
  require_finite("pool, backwards", {&y, &of_x});
}

void recurrences(const Bench& bench) {
  Draw& draw = bench.draw;
  const Cell cell = static_cast<Cell>(draw.between(0, 2));
  const auto activation = static_cast<Activation>(draw.between(0, 2));
  const bool lstm = cell == Cell::lstm, gru = cell == Cell::gru, fused = draw.coin();
  const RecurrentShape shape = {draw.size(), draw.between(1, 5), fused ? draw.size() : 0,
                                draw.size(), cell, activation, draw.coin()};
  const long gates = lstm ? 4 : gru ? 3 : 1, saved_a_unit = lstm || gru ? 4 : 1;
  const long units = shape.units, rows = shape.batch * shape.steps, state = shape.batch * units;

  const Floats x = draw.numbers(rows * shape.features);
  const Floats projected = draw.numbers(fused ? 0 : rows * gates * units);
  const Floats kernel = draw.numbers(shape.features * gates * units);
  const Floats recurrent_kernel = draw.numbers(units * gates * units);
  const Floats bias = draw.numbers_or_null((gru ? 2 : 1) * gates * units);
  const Floats h = draw.numbers(state), c = draw.numbers(lstm ? state : 0);
  const Floats dropout = draw.numbers_or_null(state);
  const std::unique_ptr<bool[]> mask(draw.coin() ? new bool[rows] : nullptr);
  for (long row = 0; mask && row < rows; ++row) mask[row] = draw.coin();

  Floats outputs = result(rows * units), last_h = result(state), last_c = result(c.size());
  Floats saved = result(rows * saved_a_unit * units), multiplied = result(rows * units);
  Floats memory = result(lstm ? rows * units : 0);
  RecurrentForward forward = {
      x.data(),       projected.data(), kernel.data(), recurrent_kernel.data(), bias.data(),
      h.data(),       c.data(),         mask.get(),    dropout.data(),          outputs.data(),
      last_h.data(),  last_c.data(),    nullptr,       nullptr,                 nullptr};
  bench.kernels.recurrent_forward(shape, forward, bench.workers);
  require_finite("recurrence", {&outputs, &last_h, &last_c});
  forward.saved = saved.data();
  forward.memory = memory.data();
  forward.multiplied = multiplied.data();
  bench.kernels.recurrent_forward(shape, forward, bench.workers);
  require_finite("recurrence", {&outputs, &last_h, &last_c, &saved, &memory, &multiplied});

  const Floats outputs_change = draw.numbers_or_null(rows * units);
  const Floats last_h_change = draw.numbers_or_null(state);
  const Floats last_c_change = lstm ? draw.numbers_or_null(state) : Floats();
  Floats sums = result(rows * gates * units), recurrent_sums = result(gru ? sums.size() : 0);
  Floats of_bias = result((gru ? 2 : 1) * gates * units);
  Floats of_h = result(state), of_c = result(c.size());
  RecurrentBackward backward = {recurrent_kernel.data(), h.data(), c.data(), mask.get(),
                                dropout.data(), outputs.data(), saved.data(), memory.data(),
                                outputs_change.data(), last_h_change.data(), last_c_change.data(),
                                sums.data(), recurrent_sums.data(), of_bias.data(), of_h.data(),
                                of_c.data()};
  bench.kernels.recurrent_backward(shape, backward, bench.workers);
  require_finite("recurrence, backwards", {&sums, &recurrent_sums, &of_bias, &of_h, &of_c});
  if (gru) return;
  backward.sums = saved.data();  // may be written over what they come from
  bench.kernels.recurrent_backward(shape, backward, bench.workers);
  require_close("recurrence, backwards in place", saved, sums);
}

void normalizations(const Bench& bench) {
  Draw& draw = bench.draw;
  const NormalizationShape shape = {draw.one_of({1, draw.size(), 200, 700}), draw.size(), 1e-3f,
                                    draw.coin()};
  const long channels = shape.channels, numbers = shape.rows * channels;
  const Floats x = draw.numbers(numbers), residual = draw.numbers_or_null(numbers);
  const Floats gamma = draw.numbers_or_null(channels), beta = draw.numbers_or_null(channels);
  Floats y = result(numbers), mean = result(channels), variance = result(channels),
         rstd = result(channels);
  bench.kernels.normalization_forward(
      shape,
      {x.data(), gamma.data(), beta.data(), residual.data(), y.data(), mean.data(),
       variance.data(), rstd.data()},
      bench.workers);
  require_finite("normalization", {&y, &mean, &variance, &rstd});

  const Floats y_change = draw.numbers_or_null(numbers);
  const Floats mean_change = draw.numbers_or_null(channels);
  const Floats variance_change = draw.numbers_or_null(channels);
  Floats of_x = result(numbers), of_gamma = result(channels), of_beta = result(channels);
  Floats of_residual = result(shape.relu && !residual.empty() ? numbers : 0);
  bench.kernels.normalization_backward(
      shape,
      {x.data(), gamma.data(), mean.data(), rstd.data(), shape.relu ? y.data() : nullptr,
       y_change.data(), mean_change.data(), variance_change.data(), of_x.data(), of_gamma.data(),
       of_beta.data(), of_residual.data()},
      bench.workers);
  require_finite("normalization, backwards", {&of_x, &of_gamma, &of_beta, &of_residual});
}

// The equations of update.h for one number and its slots.
void update_one(const UpdateRule& rule, float decay, float g, float& w, float* slots) {
  const float s = rule.scale, a = rule.settings[0], b = rule.settings[1], e = rule.settings[2];
  w -= decay * w;
  switch (rule.kind) {
    case UpdateKind::sgd:
      w -= s * g;
      break;
    case UpdateKind::momentum:
      slots[0] = a * slots[0] - s * g;
      w += slots[0];
      break;
    case UpdateKind::nesterov:
      slots[0] = a * slots[0] - s * g;
      w += a * slots[0] - s * g;
      break;
    case UpdateKind::rmsprop:
      slots[0] = a * slots[0] + b * g * g;
      w -= s * g / std::sqrt(slots[0] + e);
      break;
    case UpdateKind::adam:
      slots[0] += a * (g - slots[0]);
      slots[1] += b * (g * g - slots[1]);
      w -= s * slots[0] / (std::sqrt(slots[1]) + e);
  }
}

void updates(const Bench& bench) {
  Draw& draw = bench.draw;
  const UpdateRule rule = {static_cast<UpdateKind>(draw.between(0, 4)), 0.25f, {0.5f, 0.25f, 0.5f}};
  const int slots = rule.kind == UpdateKind::sgd ? 0 : rule.kind == UpdateKind::adam ? 2 : 1;
  const long count = draw.between(0, 6);
  const bool in_place = draw.coin();
  // For each parameter: the gradient, the value and the slots; what is new; what is expected.
  std::vector<Floats> gradients(count), old[3], fresh[3], expected[3];
  std::vector<Parameter> all(count);
  for (auto* arrays : {old, fresh, expected}) {
    for (int i = 0; i < 3; ++i) arrays[i].resize(count);
  }
  Parameters parameters = {all.data(), count, 0};
  for (long p = 0; p < count; ++p) {
    const long numbers = draw.one_of({0, 1, draw.size(), 1000, 20000});
    parameters.numbers += numbers;
    gradients[p] = draw.numbers(numbers);
    for (int i = 0; i <= slots; ++i) {
      old[i][p] = expected[i][p] = draw.numbers(numbers, i ? 0 : -4);
      if (!in_place) fresh[i][p] = result(numbers);
    }
    auto& results = in_place ? old : fresh;
    all[p] = {numbers, draw.coin() ? 0.25f : 0.f, gradients[p].data(), old[0][p].data(),
              {old[1][p].data(), old[2][p].data()}, results[0][p].data(),
              {results[1][p].data(), results[2][p].data()}};
    for (long j = 0; j < numbers; ++j) {
      float of_number[2] = {};
      for (int i = 0; i < slots; ++i) of_number[i] = expected[i + 1][p][j];
      update_one(rule, all[p].decay, gradients[p][j], expected[0][p][j], of_number);
      for (int i = 0; i < slots; ++i) expected[i + 1][p][j] = of_number[i];
    }
  }
  require(bench.kernels.all_finite(parameters, bench.workers), "all are finite");
  bench.kernels.update(rule, parameters, bench.workers);
  for (long p = 0; p < count; ++p) {
    for (int i = 0; i <= slots; ++i) {
      require_close("update", (in_place ? old : fresh)[i][p], expected[i][p], 1e-5f);
    }
    if (gradients[p].empty()) continue;
    gradients[p].back() = INFINITY;
    require(!bench.kernels.all_finite(parameters, bench.workers), "one is infinite");
    gradients[p].back() = 0;
  }
}

}  // namespace

int main(int, char** arguments) {
  __builtin_cpu_init();
  if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) return 0;
  const bool avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
                      __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq");
  std::vector<const Bfloat16Kernels*> units;
  if (avx512 && __builtin_cpu_supports("avx512bf16")) {
    units = {bfloat16_kernels(Bfloat16Units::registers),
             bfloat16_kernels(Bfloat16Units::emulated_tiles)};
  }
  constexpr void (*kinds[])(const Bench&) = {products, convolutions, pooled_convolutions, pools,
                                             recurrences, normalizations, updates};
  const long first = std::atol(arguments[1]), last = first + std::atol(arguments[2]);
  for (long number = first; number < last; ++number) {
    std::fprintf(stderr, "case %ld\n", number);
    const auto kind = kinds[number % std::size(kinds)];
    Threads workers(number % 2 ? 3 : 1);
    Draw draw(number), again(number);
    kind({avx2_kernels(), {}, draw, workers});
    if (avx512) kind({avx512_kernels(), units, again, workers});
  }
  std::printf("%ld cases with AVX2%s%s\n", last - first, avx512 ? ", AVX-512" : "",
              units.empty() ? "" : ", AVX-512 BF16, emulated tiles");
}
