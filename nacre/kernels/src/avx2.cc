// The kernels for AVX2; compiled with its flags, called only where the machine has it.
#include "convolution.h"
#include "kernel_gradient.h"
#include "normalization.h"
#include "pooling.h"
#include "product.h"
#include "recurrent.h"
#include "update.h"

namespace nacre {

const Kernels& avx2_kernels() {
  constexpr int lanes = 8;
  static constexpr Kernels kernels = {
      "AVX2",
      {Product<lanes>::run, Product<lanes>::run, convolve<lanes>, input_gradient<lanes>,
       kernel_gradient<lanes>},
      {convolve_and_pool<lanes>, max_unpool<lanes>},
      Recurrent<lanes>::forward,
      Recurrent<lanes>::backward,
      Normalization<lanes>::forward,
      Normalization<lanes>::backward,
      Pooling<lanes>::forward,
      Pooling<lanes>::backward,
      Update<lanes>::run,
      Update<lanes>::all_finite,
  };
  return kernels;
}

}  // namespace nacre
