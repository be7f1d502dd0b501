// Products on AMX tiles; compiled with flags for what packs them, called only where the machine has
// them. The compiler uses what these flags add to AVX-512's where it is told to, and nowhere else:
// so what the linker merges with avx512.cc is the same in both.
//
// Without a compiler that knows the flags, this unit has no kernels.
#include "kernels.h"

#ifdef __AVX512BF16__

#include "amx_convolution.h"

namespace nacre {
namespace {

template <class Tiles>
struct OnTiles {
  template <class Problem>
  static void run(const Problem& problem, int parts, float* result, long floats,
                  Workers& workers) {
    if (parts == 1) {
      AmxProduct<Tiles, 1, Problem>{problem}.run(result, floats, workers);
    } else {
      AmxProduct<Tiles, 2, Problem>{problem}.run(result, floats, workers);
    }
  }

  static void product(const ProductShape& shape, int parts, const float* a, const float* b,
                      float* c, Workers& workers) {
    run(MatrixProblem{shape, a, b}, parts, c, shape.rows * shape.columns, workers);
  }

  static bool serves(const ConvolutionShape& shape) {
    return shape.groups == 1 && smaller(shape.inputs, shape.outputs) >= tile_lines;
  }

  static void convolve(const ConvolutionShape& shape, int parts, const Finish& finish,
                       const float* x, const float* kernel, float* y, Workers& workers) {
    const Plan plan = forward_plan<16>(shape);
    const Images source = {x, {shape.image[0], shape.image[1]}, shape.inputs, shape.inputs};
    const Target target = {y, {shape.output[0], shape.output[1]}, shape.outputs, shape.outputs};
    gather(shape, parts, plan, source, target, kernel, finish, false, workers);
  }

  static void input_gradient(const ConvolutionShape& shape, int parts, const float* cotangent,
                             const float* kernel, float* x, Workers& workers) {
    const Plan plan = gradient_plan<16>(shape);
    const Images source = {cotangent, {shape.output[0], shape.output[1]}, shape.outputs,
                           shape.outputs};
    const Target target = {x, {shape.image[0], shape.image[1]}, shape.inputs, shape.inputs};
    gather(shape, parts, plan, source, target, kernel, {nullptr, false}, true, workers);
  }

  static void gather(const ConvolutionShape& shape, int parts, const Plan& plan,
                     const Images& source, const Target& target, const float* kernel,
                     const Finish& finish, bool transposed, Workers& workers) {
    for (long g = 0; g < plan.count; ++g) {
      run(GatheringProblem{shape, source, target, plan.grids[g], kernel, finish, transposed},
          parts, nullptr, 0, workers);
    }
  }

  static void kernel_gradient(const ConvolutionShape& shape, int parts, const float* x,
                              const float* cotangent, float* kernel, Workers& workers) {
    const Plan plan = forward_plan<16>(shape);
    const Images source = {x, {shape.image[0], shape.image[1]}, shape.inputs, shape.inputs};
    const long floats = plan.grids[0].count * shape.inputs * shape.outputs;
    run(KernelGradientProblem{shape, source, plan.grids[0], cotangent}, parts, kernel, floats,
        workers);
  }

  static constexpr TileKernels kernels(const char* name) {
    return {name, product, serves, convolve, input_gradient, kernel_gradient};
  }
};

}  // namespace

const TileKernels* amx_kernels(bool emulated) {
  static constexpr TileKernels real = OnTiles<AmxTiles>::kernels("AMX");
  static constexpr TileKernels model = OnTiles<EmulatedTiles>::kernels("AMX, emulated");
  return emulated ? &model : &real;
}

}  // namespace nacre

#else

const nacre::TileKernels* nacre::amx_kernels(bool) { return nullptr; }

#endif
