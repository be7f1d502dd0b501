// What XLA calls for convolutions.
#include "handlers.h"

namespace nacre {
namespace {

using Images = ffi::Buffer<ffi::F32, 4>;
using ImagesOut = ffi::Result<Images>;
using Bias = ffi::Buffer<ffi::F32, 1>;
using Pair = ffi::Span<const int64_t>;

template <class Image, class Kernel, class Output>
ConvolutionShape shape_of(const Image& image, const Kernel& kernel, const Output& output,
                          Pair strides, Pair dilation, Pair before, int64_t groups) {
  const auto x = image.dimensions(), w = kernel.dimensions(), y = output.dimensions();
  return {x[0],
          groups,
          {x[1], x[2]},
          x[3],
          {y[1], y[2]},
          y[3],
          {w[0], w[1]},
          {strides[0], strides[1]},
          {dilation[0], dilation[1]},
          {before[0], before[1]}};
}

ffi::Error convolve(ffi::ThreadPool pool, Images x, Images kernel, Bias bias, ImagesOut y,
                    Pair strides, Pair dilation, Pair before, int64_t groups, bool relu) {
  Pool workers(pool);
  const Finish finish = {bias.element_count() ? bias.typed_data() : nullptr, relu};
  kernels()->convolve(shape_of(x, kernel, *y, strides, dilation, before, groups), finish,
                      x.typed_data(), kernel.typed_data(), y->typed_data(), workers);
  return ffi::Error::Success();
}

ffi::Error input_gradient(ffi::ThreadPool pool, Images cotangent, Images kernel, ImagesOut x,
                          Pair strides, Pair dilation, Pair before, int64_t groups) {
  Pool workers(pool);
  kernels()->input_gradient(shape_of(*x, kernel, cotangent, strides, dilation, before, groups),
                            cotangent.typed_data(), kernel.typed_data(), x->typed_data(),
                            workers);
  return ffi::Error::Success();
}

ffi::Error kernel_gradient(ffi::ThreadPool pool, Images x, Images cotangent, ImagesOut kernel,
                           Pair strides, Pair dilation, Pair before, int64_t groups) {
  Pool workers(pool);
  kernels()->kernel_gradient(shape_of(x, *kernel, cotangent, strides, dilation, before, groups),
                             x.typed_data(), cotangent.typed_data(), kernel->typed_data(),
                             workers);
  return ffi::Error::Success();
}

auto two_operands() {
  return ffi::Ffi::Bind().Ctx<ffi::ThreadPool>().Arg<Images>().Arg<Images>();
}

template <class Binding>
auto with_geometry(Binding binding) {
  return std::move(binding)
      .template Ret<Images>()
      .template Attr<Pair>("strides")
      .template Attr<Pair>("dilation")
      .template Attr<Pair>("before")
      .template Attr<int64_t>("groups");
}

}  // namespace
}  // namespace nacre

#pragma GCC visibility push(default)

XLA_FFI_DEFINE_HANDLER_SYMBOL(
    nacre_convolution, nacre::convolve,
    nacre::with_geometry(nacre::two_operands().Arg<nacre::Bias>()).Attr<bool>("relu"));

XLA_FFI_DEFINE_HANDLER_SYMBOL(nacre_convolution_input_gradient, nacre::input_gradient,
                              nacre::with_geometry(nacre::two_operands()));

XLA_FFI_DEFINE_HANDLER_SYMBOL(nacre_convolution_kernel_gradient, nacre::kernel_gradient,
                              nacre::with_geometry(nacre::two_operands()));

#pragma GCC visibility pop
