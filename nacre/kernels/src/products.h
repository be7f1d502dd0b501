// The products of float32, as the tables of kernels have them.
#pragma once

#include "convolution.h"
#include "kernel_gradient.h"
#include "product.h"

namespace nacre {

template <int lanes, bool loose>
constexpr ProductsOf<float> products() {
  return {Product<lanes>::run,
          Product<lanes>::run,
          convolve<lanes, loose>,
          input_gradient<lanes, loose>,
          kernel_gradient<lanes, loose>,
          convolve_and_pool<lanes, loose>,
          max_unpool<lanes, float>};
}

}  // namespace nacre
