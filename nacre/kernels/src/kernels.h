// What the kernels can do, apart from the instruction set they are made for.
#pragma once

#include "workers.h"

namespace nacre {

// The product of two matrices, rows of numbers one after the other. Either may be stored transposed.
struct ProductShape {
  long rows, depth, columns;
  bool a_transposed, b_transposed;
};

// The windows of a convolution over images with channels last. The kernel has the shape (window,
// inputs / groups, outputs); `before` is the padding above and to the left, negative to cut off.
struct ConvolutionShape {
  long batch, groups;
  long image[2], inputs;
  long output[2], outputs;
  long window[2], strides[2], dilation[2], before[2];
};

// What follows a convolution in the same pass: outputs that nobody needs otherwise are never stored.
struct Finish {
  const float* bias;  // or nullptr
  bool relu;
};

// One set for each instruction set; handlers.cc takes the best that the machine has.
struct Kernels {
  const char* name;
  void (*product)(const ProductShape&, const float* a, const float* b, float* c, Workers&);
  void (*convolve)(const ConvolutionShape&, const Finish&, const float* x, const float* kernel,
                   float* y, Workers&);
  void (*input_gradient)(const ConvolutionShape&, const float* cotangent, const float* kernel,
                         float* x, Workers&);
  void (*kernel_gradient)(const ConvolutionShape&, const float* x, const float* cotangent,
                          float* kernel, Workers&);
};

// The set for this machine, or nullptr.
const Kernels* kernels();

const Kernels& avx2_kernels();
const Kernels& avx512_kernels();

}  // namespace nacre
