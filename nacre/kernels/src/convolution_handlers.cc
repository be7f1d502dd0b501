// What XLA calls for convolutions.
#include "handlers.h"

namespace nacre {
namespace {

template <ffi::DataType type>
using ImagesOf = ffi::Buffer<type, 4>;
using Images = ImagesOf<ffi::F32>;
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

template <ffi::DataType type>
ffi::Error convolve(ffi::ThreadPool pool, ImagesOf<type> x, ImagesOf<type> kernel, Bias bias,
                    ffi::Result<ImagesOf<type>> y, Pair strides, Pair dilation, Pair before,
                    int64_t groups, bool bf16x3, bool relu) {
  Pool workers(pool);
  const ConvolutionShape shape = shape_of(x, kernel, *y, strides, dilation, before, groups);
  products<type>(bf16x3).convolve(shape, {given(bias), relu}, x.typed_data(), kernel.typed_data(),
                                  wanted(y), workers);
  return ffi::Error::Success();
}

template <ffi::DataType type>
ffi::Error input_gradient(ffi::ThreadPool pool, ImagesOf<type> cotangent, ImagesOf<type> kernel,
                          ffi::Result<ImagesOf<type>> x, Pair strides, Pair dilation, Pair before,
                          int64_t groups, bool bf16x3) {
  Pool workers(pool);
  const ConvolutionShape shape =
      shape_of(*x, kernel, cotangent, strides, dilation, before, groups);
  products<type>(bf16x3).input_gradient(shape, cotangent.typed_data(), kernel.typed_data(),
                                        wanted(x), workers);
  return ffi::Error::Success();
}

template <ffi::DataType type>
ffi::Error kernel_gradient(ffi::ThreadPool pool, ImagesOf<type> x, ImagesOf<type> cotangent,
                           ffi::Result<Images> kernel, Pair strides, Pair dilation, Pair before,
                           int64_t groups, bool bf16x3) {
  Pool workers(pool);
  const ConvolutionShape shape =
      shape_of(x, *kernel, cotangent, strides, dilation, before, groups);
  products<type>(bf16x3).kernel_gradient(shape, x.typed_data(), cotangent.typed_data(),
                                         wanted(kernel), workers);
  return ffi::Error::Success();
}

using Places = ffi::Buffer<ffi::U8>;

// `pool` has five numbers for each of two axes: image, window, stride, before, output.
template <class Pooled>
PoolShape pool_of(const Pooled& pooled, Pair pool) {
  const auto size = pooled.dimensions();
  PoolShape shape = {size.front(), size.back(), true, {{1, 1, 1, 0, 1}, {}, {}}};
  for (int axis = 0; axis < 2; ++axis) {
    const int64_t* of = pool.begin() + 5 * axis;
    shape.axes[axis + 1] = {of[0], of[1], of[2], of[3], of[4]};
  }
  return shape;
}

template <ffi::DataType type>
ffi::Error convolve_and_pool(ffi::ThreadPool pool, ImagesOf<type> x, ImagesOf<type> kernel,
                             Bias bias, ffi::Result<ffi::Buffer<type>> y,
                             ffi::Result<Places> places, Pair strides, Pair dilation, Pair before,
                             Pair windows, bool bf16x3, bool relu) {
  Pool workers(pool);
  const PoolShape pooling = pool_of(*y, windows);
  ConvolutionShape shape = shape_of(x, kernel, x, strides, dilation, before, 1);
  shape.output[0] = pooling.axes[1].image, shape.output[1] = pooling.axes[2].image;
  shape.outputs = pooling.channels;
  const Finish finish = {bias.typed_data(), relu};
  products<type>(bf16x3).convolve_and_pool(shape, finish, pooling, x.typed_data(),
                                           kernel.typed_data(), wanted(y), wanted(places), workers);
  return ffi::Error::Success();
}

template <ffi::DataType type>
ffi::Error max_unpool(ffi::ThreadPool pool, ffi::Buffer<type> change, Places places,
                      ffi::Result<ffi::Buffer<type>> convolved, ffi::Result<Bias> bias,
                      Pair windows) {
  Pool workers(pool);
  products<type>(false).max_unpool(pool_of(change, windows), change.typed_data(),
                                   places.typed_data(), wanted(convolved), wanted(bias), workers);
  return ffi::Error::Success();
}

template <ffi::DataType type>
auto two_images() {
  return ffi::Ffi::Bind().Ctx<ffi::ThreadPool>().Arg<ImagesOf<type>>().template Arg<
      ImagesOf<type>>();
}

template <class Result, class Binding>
auto with_geometry(Binding binding) {
  return std::move(binding)
      .template Ret<Result>()
      .template Attr<Pair>("strides")
      .template Attr<Pair>("dilation")
      .template Attr<Pair>("before")
      .template Attr<int64_t>("groups")
      .template Attr<bool>("bf16x3");
}

template <ffi::DataType type>
auto convolution_binding() {
  return with_geometry<ImagesOf<type>>(two_images<type>().template Arg<Bias>())
      .template Attr<bool>("relu");
}

template <ffi::DataType type, ffi::DataType result = type>
auto gradient_binding() {
  return with_geometry<ImagesOf<result>>(two_images<type>());
}

template <ffi::DataType type>
auto pooled_binding() {
  return two_images<type>()
      .template Arg<Bias>()
      .template Ret<ffi::Buffer<type>>()
      .template Ret<Places>()
      .template Attr<Pair>("strides")
      .template Attr<Pair>("dilation")
      .template Attr<Pair>("before")
      .template Attr<Pair>("windows")
      .template Attr<bool>("bf16x3")
      .template Attr<bool>("relu");
}

template <ffi::DataType type>
auto unpool_binding() {
  return ffi::Ffi::Bind()
      .Ctx<ffi::ThreadPool>()
      .Arg<ffi::Buffer<type>>()
      .template Arg<Places>()
      .template Ret<ffi::Buffer<type>>()
      .template Ret<Bias>()
      .template Attr<Pair>("windows");
}

}  // namespace
}  // namespace nacre

#pragma GCC visibility push(default)

XLA_FFI_DEFINE_HANDLER_SYMBOL(nacre_convolution, nacre::convolve<nacre::ffi::F32>,
                              nacre::convolution_binding<nacre::ffi::F32>());
XLA_FFI_DEFINE_HANDLER_SYMBOL(nacre_bfloat16_convolution, nacre::convolve<nacre::ffi::BF16>,
                              nacre::convolution_binding<nacre::ffi::BF16>());

XLA_FFI_DEFINE_HANDLER_SYMBOL(nacre_convolution_input_gradient,
                              nacre::input_gradient<nacre::ffi::F32>,
                              nacre::gradient_binding<nacre::ffi::F32>());
XLA_FFI_DEFINE_HANDLER_SYMBOL(nacre_bfloat16_convolution_input_gradient,
                              nacre::input_gradient<nacre::ffi::BF16>,
                              nacre::gradient_binding<nacre::ffi::BF16>());

XLA_FFI_DEFINE_HANDLER_SYMBOL(nacre_convolution_kernel_gradient,
                              nacre::kernel_gradient<nacre::ffi::F32>,
                              nacre::gradient_binding<nacre::ffi::F32>());
XLA_FFI_DEFINE_HANDLER_SYMBOL(nacre_bfloat16_convolution_kernel_gradient,
                              nacre::kernel_gradient<nacre::ffi::BF16>,
                              (nacre::gradient_binding<nacre::ffi::BF16, nacre::ffi::F32>()));

XLA_FFI_DEFINE_HANDLER_SYMBOL(nacre_convolution_pool, nacre::convolve_and_pool<nacre::ffi::F32>,
                              nacre::pooled_binding<nacre::ffi::F32>());
XLA_FFI_DEFINE_HANDLER_SYMBOL(nacre_bfloat16_convolution_pool,
                              nacre::convolve_and_pool<nacre::ffi::BF16>,
                              nacre::pooled_binding<nacre::ffi::BF16>());

XLA_FFI_DEFINE_HANDLER_SYMBOL(nacre_max_unpool, nacre::max_unpool<nacre::ffi::F32>,
                              nacre::unpool_binding<nacre::ffi::F32>());
XLA_FFI_DEFINE_HANDLER_SYMBOL(nacre_bfloat16_max_unpool, nacre::max_unpool<nacre::ffi::BF16>,
                              nacre::unpool_binding<nacre::ffi::BF16>());

#pragma GCC visibility pop
