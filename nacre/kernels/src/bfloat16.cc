// Products made of bfloat16 numbers; compiled with flags for their conversions, called only where the
// machine has these. The compiler uses what the flags add to AVX-512's where it is told to, and nowhere
// else: so what the linker merges with avx512.cc is the same in both.
//
// Without a compiler that knows the flags, this unit has no kernels.
#include "kernels.h"

#ifdef __AVX512BF16__

#include "bfloat16_convolution.h"
#include "winograd.h"

namespace nacre {
namespace {

// Panels of 64 outputs, or of 32 where these are no multiple.
template <int vectors>
using BySquares = Winograd<16, ByFour<16>, Half, vectors>;

template <class Body>
bool by_squares_of_halves(const ConvolutionShape& shape, bool turned, long inputs, long outputs,
                          const Body& body) {
  return with_first_that_serves<BySquares<4>, BySquares<2>>(shape, turned, inputs, outputs, body);
}

template <class Units, class Number>
struct On {
  static constexpr bool outdone = parts_of<Number> == 1 && Units::outdone_by_winograd;
  using Images = ImagesOf<Number>;
  using Target = TargetOf<Number>;

  template <class Problem, class To>
  static void run(const Problem& problem, To* result, long numbers, Workers& workers) {
    Bfloat16Product<Units, Problem>{problem}.run(result, numbers, workers);
  }

  template <class To>
  static void product(const ProductShape& shape, const Number* a, const Number* b, To* c,
                      Workers& workers) {
    run(MatrixProblem<Number>{shape, a, b}, c, shape.rows * shape.columns, workers);
  }

  static void convolve(const ConvolutionShape& shape, const Finish& finish, const Number* x,
                       const Number* kernel, Number* y, Workers& workers) {
    const Images source = {x, {shape.image[0], shape.image[1]}, shape.inputs, shape.inputs};
    const Target target = {y, {shape.output[0], shape.output[1]}, shape.outputs, shape.outputs};
    if constexpr (outdone) {
      const auto run = [&](auto by, const auto& squares) {
        by.convolve(source, target, squares, finish, {kernel, shape.inputs, shape.outputs, false},
                    workers);
      };
      if (by_squares_of_halves(shape, false, shape.inputs, shape.outputs, run)) return;
    }
    gather(shape, forward_plan<16>(shape), source, target, kernel, finish, false, workers);
  }

  // Some images at a time are convolved into memory, unless the maxima are taken before.
  static void convolve_and_pool(const ConvolutionShape& shape, const Finish& finish,
                                const PoolShape& pool, const Number* x, const Number* kernel,
                                Number* y, unsigned char* places, Workers& workers) {
    const Maxima<16, Number> maxima = {pool, y, places, finish.relu};
    const Finish bias_only = {finish.bias, false};
    if constexpr (outdone) {
      const Images source = {x, {shape.image[0], shape.image[1]}, shape.inputs, shape.inputs};
      const Target target = {nullptr, {shape.output[0], shape.output[1]}, shape.outputs,
                             shape.outputs};
      const auto run = [&](auto by, const auto& squares) {
        by.convolve(source, target, squares, bias_only,
                    {kernel, shape.inputs, shape.outputs, false}, workers, &maxima);
      };
      if (maxima.takes_quads() &&
          by_squares_of_halves(shape, false, shape.inputs, shape.outputs, run)) {
        return;
      }
    }
    const long row = shape.output[1] * shape.outputs, image = shape.output[0] * row;
    const long together = larger(1, smaller(shape.batch, kept_bytes / sizeof(Number) / image));
    const long windows = maxima.height.output;
    ConvolutionShape some = shape;
    for (long first = 0; first < shape.batch; first += together) {
      some.batch = smaller(together, shape.batch - first);
      const long floats = divide_up(some.batch * image * sizeof(Number), sizeof(float));
      Number* convolved = reinterpret_cast<Number*>(scratch(convolved_slot, floats));
      convolve(some, bias_only, x + first * shape.image[0] * shape.image[1] * shape.inputs, kernel,
               convolved, workers);
      for_each_task(workers, some.batch * windows, [&](long task) {
        const long n = task / windows, window = task % windows;
        const Number* rows = convolved + n * image + maxima.seen(window, window + 1).first * row;
        maxima.take(first + n, window, window + 1, rows, shape.outputs, 0, shape.outputs);
      });
    }
  }

  static void input_gradient(const ConvolutionShape& shape, const Number* cotangent,
                             const Number* kernel, Number* x, Workers& workers) {
    const Images source = {cotangent, {shape.output[0], shape.output[1]}, shape.outputs,
                           shape.outputs};
    const Target target = {x, {shape.image[0], shape.image[1]}, shape.inputs, shape.inputs};
    const Finish nothing = {nullptr, false};
    if constexpr (outdone) {
      const auto run = [&](auto by, const auto& squares) {
        by.convolve(source, target, squares, nothing, {kernel, shape.outputs, shape.inputs, true},
                    workers);
      };
      if (by_squares_of_halves(shape, true, shape.outputs, shape.inputs, run)) return;
    }
    gather(shape, gradient_plan<16>(shape), source, target, kernel, nothing, true, workers);
  }

  static void gather(const ConvolutionShape& shape, const Plan& plan, const Images& source,
                     const Target& target, const Number* kernel, const Finish& finish,
                     bool transposed, Workers& workers) {
    for (long g = 0; g < plan.count; ++g) {
      run(GatheringProblem<Number>{shape, source, target, plan.grids[g], kernel, finish,
                                   transposed},
          target.data, 0, workers);
    }
  }

  static void kernel_gradient(const ConvolutionShape& shape, const Number* x,
                              const Number* cotangent, float* kernel, Workers& workers) {
    const Images source = {x, {shape.image[0], shape.image[1]}, shape.inputs, shape.inputs};
    if constexpr (outdone) {
      using By = BySquares<4>;
      const auto squares = By::squares_of(shape);
      if (By::serves_kernel_gradient(shape, squares, workers)) {
        const Images change = {cotangent, {shape.output[0], shape.output[1]}, shape.outputs,
                               shape.outputs};
        return By::kernel_gradient(shape, source, change, squares, kernel, workers);
      }
    }
    const Plan plan = forward_plan<16>(shape);
    const long numbers = plan.grids[0].count * shape.inputs * shape.outputs;
    run(KernelGradientProblem<Number>{shape, source, plan.grids[0], cotangent}, kernel, numbers,
        workers);
  }

  static constexpr ProductsOf<Number> kernels = {
      product<Number>, product<float>,  convolve,
      input_gradient,  kernel_gradient, convolve_and_pool,
      max_unpool<16, Number>};
};

template <class Tiles>
constexpr Bfloat16Kernels on_tiles(const char* name) {
  using Units = InTiles<Tiles>;
  return {name, On<Units, Half>::kernels, &On<Units, float>::kernels};
}

}  // namespace

const Bfloat16Kernels* bfloat16_kernels(Bfloat16Units units) {
  static constexpr Bfloat16Kernels registers = {"AVX-512 BF16", On<InRegisters, Half>::kernels,
                                                nullptr};
  static constexpr Bfloat16Kernels tiles = on_tiles<AmxTiles>("AMX");
  static constexpr Bfloat16Kernels emulated = on_tiles<EmulatedTiles>("AMX, emulated");
  switch (units) {
    case Bfloat16Units::registers: return &registers;
    case Bfloat16Units::tiles: return &tiles;
    default: return &emulated;
  }
}

}  // namespace nacre

#else

const nacre::Bfloat16Kernels* nacre::bfloat16_kernels(Bfloat16Units) { return nullptr; }

#endif
