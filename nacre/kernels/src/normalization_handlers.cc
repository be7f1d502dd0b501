// The entry points of batch normalization.
#include "handlers.h"

namespace nacre {
namespace {

NormalizationShape shape_of(const Floats& x, float epsilon, bool relu) {
  const long channels = x.dimensions().back();
  return {static_cast<long>(x.element_count()) / channels, channels, epsilon, relu};
}

ffi::Error forward(ffi::ThreadPool pool, Floats x, Floats gamma, Floats beta, Floats residual,
                   FloatsOut y, FloatsOut mean, FloatsOut variance, FloatsOut rstd, float epsilon,
                   bool relu) {
  const NormalizationForward at = {
      x.typed_data(), given(gamma),       given(beta),            given(residual),
      wanted(y),      wanted(mean),        wanted(variance),       wanted(rstd)};
  Pool workers(pool);
  kernels()->normalization_forward(shape_of(x, epsilon, relu), at, workers);
  return ffi::Error::Success();
}

ffi::Error backward(ffi::ThreadPool pool, Floats x, Floats gamma, Floats mean, Floats rstd,
                    Floats y, Floats y_change, Floats mean_change, Floats variance_change,
                    FloatsOut x_change, FloatsOut gamma_change, FloatsOut beta_change,
                    FloatsOut residual_change, bool relu) {
  const NormalizationBackward at = {
      x.typed_data(),
      given(gamma),
      mean.typed_data(),
      rstd.typed_data(),
      given(y),
      given(y_change),
      given(mean_change),
      given(variance_change),
      wanted(x_change),
      wanted(gamma_change),
      wanted(beta_change),
      wanted(residual_change)};
  Pool workers(pool);
  kernels()->normalization_backward(shape_of(x, 0.f, relu), at, workers);
  return ffi::Error::Success();
}

}  // namespace
}  // namespace nacre

#pragma GCC visibility push(default)
XLA_FFI_DEFINE_HANDLER_SYMBOL(nacre_normalization_forward, nacre::forward,
                              nacre::ffi::Ffi::Bind()
                                  .Ctx<nacre::ffi::ThreadPool>()
                                  .Arg<nacre::Floats>()
                                  .Arg<nacre::Floats>()
                                  .Arg<nacre::Floats>()
                                  .Arg<nacre::Floats>()
                                  .Ret<nacre::Floats>()
                                  .Ret<nacre::Floats>()
                                  .Ret<nacre::Floats>()
                                  .Ret<nacre::Floats>()
                                  .Attr<float>("epsilon")
                                  .Attr<bool>("relu"));
XLA_FFI_DEFINE_HANDLER_SYMBOL(nacre_normalization_backward, nacre::backward,
                              nacre::ffi::Ffi::Bind()
                                  .Ctx<nacre::ffi::ThreadPool>()
                                  .Arg<nacre::Floats>()
                                  .Arg<nacre::Floats>()
                                  .Arg<nacre::Floats>()
                                  .Arg<nacre::Floats>()
                                  .Arg<nacre::Floats>()
                                  .Arg<nacre::Floats>()
                                  .Arg<nacre::Floats>()
                                  .Arg<nacre::Floats>()
                                  .Ret<nacre::Floats>()
                                  .Ret<nacre::Floats>()
                                  .Ret<nacre::Floats>()
                                  .Ret<nacre::Floats>()
                                  .Attr<bool>("relu"));
#pragma GCC visibility pop
