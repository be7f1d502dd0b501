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

enum class Cell { simple, lstm, gru };  // of the gated unit the form that resets after the product
enum class Activation { tanh, sigmoid, relu };

// Arrays are (batch, steps, ...); the columns of kernels and sums are the gates side by side.
struct RecurrentShape {
  long batch, steps, features, units;
  Cell cell;
  Activation activation;
  bool backwards;  // the sequence is read from its end

  // Inlined always: see vectors.h.
  __attribute__((always_inline)) long time(long step) const {
    return backwards ? steps - 1 - step : step;
  }
};

// What is null is left out. Outputs are in the order of steps, all else in that of time.
struct RecurrentForward {
  const float *x, *projected;  // the inputs, or what their product with the kernel is
  const float *kernel, *recurrent_kernel, *bias;
  const float *h, *c;  // the first state
  const bool* mask;
  const float* dropout;  // a factor of the state, (batch, units)
  float *outputs, *last_h, *last_c;
  // For the way back: what the cells made of their sums, the memory, what U was multiplied with.
  float *saved, *memory, *multiplied;
};

struct RecurrentBackward {
  const float* recurrent_kernel;
  const float *first_h, *first_c;
  const bool* mask;
  const float* dropout;
  const float *outputs, *saved, *memory;
  const float *outputs_change, *last_h, *last_c;  // the gradients of the results, or null
  float *sums, *recurrent_sums;  // the gradients of x W and of h U; one array if they are the same
  float *bias, *h, *c;
};

// Of all axes but the last, the rows.
struct NormalizationShape {
  long rows, channels;
  float epsilon;
  bool relu;
};

// What is null is left out.
struct NormalizationForward {
  const float *x, *gamma, *beta, *residual;
  float *y, *mean, *variance, *rstd;
};

struct NormalizationBackward {
  const float *x, *gamma, *mean, *rstd, *y;
  const float *y_change, *mean_change, *variance_change;
  float *x_change, *gamma_change, *beta_change, *residual_change;
};

struct PoolAxis {
  long image, window, stride, before, output;  // `before`: the padding in front
};

struct PoolShape {
  long batch, channels;
  bool maximum;  // or the mean
  PoolAxis axes[3];
};

enum class UpdateKind { sgd, momentum, nesterov, rmsprop, adam };  // update.h has the equations

struct UpdateRule {
  UpdateKind kind;
  float scale;
  float settings[3];
};

// A parameter of a network; what is new may be where the old is.
struct Parameter {
  long numbers;
  float decay;  // the part that is taken off before the update
  const float *gradient, *value, *slots[2];
  float *new_value, *new_slots[2];
};

struct Parameters {
  const Parameter* all;
  long count, numbers;  // numbers of all together
};

// Products of matrices, and those of a convolution: each the derivative of the others; and the maxima
// over windows of a convolution's outputs, without groups, with their gradient. What is stored as
// `Number` is rounded once; the sums of `sums` and of the gradient in a kernel are not.
template <class Number>
struct ProductsOf {
  void (*matrices)(const ProductShape&, const Number* a, const Number* b, Number* c, Workers&);
  void (*sums)(const ProductShape&, const Number* a, const Number* b, float* c, Workers&);
  void (*convolve)(const ConvolutionShape&, const Finish&, const Number* x, const Number* kernel,
                   Number* y, Workers&);
  void (*input_gradient)(const ConvolutionShape&, const Number* cotangent, const Number* kernel,
                         Number* x, Workers&);
  void (*kernel_gradient)(const ConvolutionShape&, const Number* x, const Number* cotangent,
                          float* kernel, Workers&);
  void (*convolve_and_pool)(const ConvolutionShape&, const Finish&, const PoolShape&,
                            const Number* x, const Number* kernel, Number* y,
                            unsigned char* places, Workers&);
  void (*max_unpool)(const PoolShape&, const Number* change, const unsigned char* places,
                     Number* convolved, float* bias, Workers&);
};

// One set for each instruction set; handlers.cc takes the best that the machine has.
struct Kernels {
  const char* name;
  ProductsOf<float> products;
  ProductsOf<float> loose;  // with errors of about 1e-5 of the largest result (winograd_schemes.h)
  void (*recurrent_forward)(const RecurrentShape&, const RecurrentForward&, Workers&);
  void (*recurrent_backward)(const RecurrentShape&, const RecurrentBackward&, Workers&);
  void (*normalization_forward)(const NormalizationShape&, const NormalizationForward&, Workers&);
  void (*normalization_backward)(const NormalizationShape&, const NormalizationBackward&,
                                 Workers&);
  void (*pool_forward)(const PoolShape&, const float* x, float* y, unsigned char* places, Workers&);
  void (*pool_backward)(const PoolShape&, const float* change, const unsigned char* places,
                        float* x, Workers&);
  void (*update)(const UpdateRule&, const Parameters&, Workers&);
  bool (*all_finite)(const Parameters&, Workers&);
};

using Half = unsigned short;  // the bits of a bfloat16

// Products made of bfloat16 numbers and summed in float32: of numbers that are bfloat16, rounded once
// at the end; or of float32 numbers, each taken as a sum of two, with an error of about 1e-5.
// Convolutions have one group; those whose maxima are taken, a multiple of 16 outputs.
struct Bfloat16Kernels {
  const char* name;
  ProductsOf<Half> of_halves;
  const ProductsOf<float>* of_floats;  // or nullptr: float32's own products are faster
};

const Kernels& avx2_kernels();
const Kernels& avx512_kernels();

// nullptr: not built.
enum class Bfloat16Units { registers, tiles, emulated_tiles };
const Bfloat16Kernels* bfloat16_kernels(Bfloat16Units units);

}  // namespace nacre
