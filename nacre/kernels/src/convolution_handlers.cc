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

const TileKernels* tiles_for(const ConvolutionShape& shape, int64_t parts) {
  const TileKernels* tiles = tile_kernels(parts);
  return tiles && tiles->serves(shape) ? tiles : nullptr;
}

ffi::Error convolve(ffi::ThreadPool pool, Images x, Images kernel, Bias bias, ImagesOut y,
                    Pair strides, Pair dilation, Pair before, int64_t groups, int64_t parts,
                    bool relu) {
  Pool workers(pool);
  const ConvolutionShape shape = shape_of(x, kernel, *y, strides, dilation, before, groups);
  const Finish finish = {given(bias), relu};
  const float *from = x.typed_data(), *weights = kernel.typed_data();
  if (const TileKernels* tiles = tiles_for(shape, parts)) {
    tiles->convolve(shape, static_cast<int>(parts), finish, from, weights, wanted(y),
                    workers);
  } else {
    kernels()->convolve(shape, finish, from, weights, wanted(y), workers);
  }
  return ffi::Error::Success();
}

ffi::Error input_gradient(ffi::ThreadPool pool, Images cotangent, Images kernel, ImagesOut x,
                          Pair strides, Pair dilation, Pair before, int64_t groups,
                          int64_t parts) {
  Pool workers(pool);
  const ConvolutionShape shape =
      shape_of(*x, kernel, cotangent, strides, dilation, before, groups);
  const float *from = cotangent.typed_data(), *weights = kernel.typed_data();
  if (const TileKernels* tiles = tiles_for(shape, parts)) {
    tiles->input_gradient(shape, static_cast<int>(parts), from, weights, wanted(x), workers);
  } else {
    kernels()->input_gradient(shape, from, weights, wanted(x), workers);
  }
  return ffi::Error::Success();
}

ffi::Error kernel_gradient(ffi::ThreadPool pool, Images x, Images cotangent, ImagesOut kernel,
                           Pair strides, Pair dilation, Pair before, int64_t groups,
                           int64_t parts) {
  Pool workers(pool);
  const ConvolutionShape shape =
      shape_of(x, *kernel, cotangent, strides, dilation, before, groups);
  const float *from = x.typed_data(), *change = cotangent.typed_data();
  if (const TileKernels* tiles = tiles_for(shape, parts)) {
    tiles->kernel_gradient(shape, static_cast<int>(parts), from, change, wanted(kernel),
                           workers);
  } else {
    kernels()->kernel_gradient(shape, from, change, wanted(kernel), workers);
  }
  return ffi::Error::Success();
}

using Places = ffi::Buffer<ffi::U8>;

// `pool` has five numbers for each of two axes: image, window, stride, before, output.
PoolShape pool_of(const Floats& pooled, Pair pool) {
  const auto size = pooled.dimensions();
  PoolShape shape = {size.front(), size.back(), true, {{1, 1, 1, 0, 1}, {}, {}}};
  for (int axis = 0; axis < 2; ++axis) {
    const int64_t* of = pool.begin() + 5 * axis;
    shape.axes[axis + 1] = {of[0], of[1], of[2], of[3], of[4]};
  }
  return shape;
}

ffi::Error convolve_and_pool(ffi::ThreadPool pool, Images x, Images kernel, Bias bias, FloatsOut y,
                             ffi::Result<Places> places, Pair strides, Pair dilation, Pair before,
                             Pair windows, bool relu) {
  Pool workers(pool);
  const PoolShape pooling = pool_of(*y, windows);
  ConvolutionShape shape = shape_of(x, kernel, x, strides, dilation, before, 1);
  shape.output[0] = pooling.axes[1].image, shape.output[1] = pooling.axes[2].image;
  shape.outputs = pooling.channels;
  const Finish finish = {bias.typed_data(), relu};
  kernels()->convolve_and_pool(shape, finish, pooling, x.typed_data(), kernel.typed_data(),
                               wanted(y), wanted(places), workers);
  return ffi::Error::Success();
}

ffi::Error max_unpool(ffi::ThreadPool pool, Floats change, Places places, FloatsOut convolved,
                      ffi::Result<Bias> bias, Pair windows) {
  Pool workers(pool);
  kernels()->max_unpool(pool_of(change, windows), change.typed_data(), places.typed_data(),
                        wanted(convolved), wanted(bias), workers);
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
      .template Attr<int64_t>("groups")
      .template Attr<int64_t>("parts");
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

XLA_FFI_DEFINE_HANDLER_SYMBOL(nacre_convolution_pool, nacre::convolve_and_pool,
                              nacre::two_operands()
                                  .Arg<nacre::Bias>()
                                  .Ret<nacre::Floats>()
                                  .Ret<nacre::Places>()
                                  .Attr<nacre::Pair>("strides")
                                  .Attr<nacre::Pair>("dilation")
                                  .Attr<nacre::Pair>("before")
                                  .Attr<nacre::Pair>("windows")
                                  .Attr<bool>("relu"));

XLA_FFI_DEFINE_HANDLER_SYMBOL(nacre_max_unpool, nacre::max_unpool,
                              nacre::ffi::Ffi::Bind()
                                  .Ctx<nacre::ffi::ThreadPool>()
                                  .Arg<nacre::Floats>()
                                  .Arg<nacre::Places>()
                                  .Ret<nacre::Floats>()
                                  .Ret<nacre::Bias>()
                                  .Attr<nacre::Pair>("windows"));

#pragma GCC visibility pop
