// The entry points of recurrent networks.
#include "handlers.h"

namespace nacre {
namespace {

using Flags = ffi::Buffer<ffi::PRED>;

RecurrentShape shape_of(const Floats& sequence, long features, long units, std::int64_t cell,
                        std::int64_t activation, bool backwards) {
  const auto size = sequence.dimensions();
  return {size[0], size[1], features, units, static_cast<Cell>(cell),
          static_cast<Activation>(activation), backwards};
}

// `x` is the inputs where there is a kernel, and else what they were projected to.
ffi::Error forward(ffi::ThreadPool pool, Floats x, Floats kernel, Floats recurrent_kernel,
                   Floats bias, Floats h, Floats c, Flags mask, Floats dropout, FloatsOut outputs,
                   FloatsOut last_h, FloatsOut last_c, FloatsOut saved, FloatsOut memory,
                   FloatsOut multiplied, std::int64_t cell, std::int64_t activation,
                   bool backwards) {
  const float* w = given(kernel);
  const long features = w ? x.dimensions()[2] : 0, units = recurrent_kernel.dimensions()[0];
  const RecurrentForward at = {
      w ? x.typed_data() : nullptr, w ? nullptr : x.typed_data(),
      w,                            given(recurrent_kernel),
      given(bias),                  given(h),
      given(c),                     given(mask),
      given(dropout),               wanted(outputs),
      wanted(last_h),               wanted(last_c),
      wanted(saved),                wanted(memory),
      wanted(multiplied),
  };
  Pool workers(pool);
  kernels()->recurrent_forward(shape_of(x, features, units, cell, activation, backwards), at,
                               workers);
  return ffi::Error::Success();
}

ffi::Error backward(ffi::ThreadPool pool, Floats recurrent_kernel, Floats first_h, Floats first_c,
                    Flags mask, Floats dropout, Floats outputs, Floats saved, Floats memory,
                    Floats outputs_change, Floats last_h, Floats last_c, FloatsOut sums,
                    FloatsOut recurrent_sums, FloatsOut bias, FloatsOut h, FloatsOut c,
                    std::int64_t cell, std::int64_t activation, bool backwards) {
  const RecurrentBackward at = {
      given(recurrent_kernel), given(first_h),         given(first_c), given(mask),
      given(dropout),          given(outputs),         given(saved),   given(memory),
      given(outputs_change),   given(last_h),          given(last_c),  wanted(sums),
      wanted(recurrent_sums),  wanted(bias),           wanted(h),      wanted(c),
  };
  Pool workers(pool);
  const long units = recurrent_kernel.dimensions()[0];
  kernels()->recurrent_backward(shape_of(*sums, 0, units, cell, activation, backwards), at,
                                workers);
  return ffi::Error::Success();
}

}  // namespace
}  // namespace nacre

#pragma GCC visibility push(default)
XLA_FFI_DEFINE_HANDLER_SYMBOL(nacre_recurrent_forward, nacre::forward,
                              nacre::ffi::Ffi::Bind()
                                  .Ctx<nacre::ffi::ThreadPool>()
                                  .Arg<nacre::Floats>()
                                  .Arg<nacre::Floats>()
                                  .Arg<nacre::Floats>()
                                  .Arg<nacre::Floats>()
                                  .Arg<nacre::Floats>()
                                  .Arg<nacre::Floats>()
                                  .Arg<nacre::Flags>()
                                  .Arg<nacre::Floats>()
                                  .Ret<nacre::Floats>()
                                  .Ret<nacre::Floats>()
                                  .Ret<nacre::Floats>()
                                  .Ret<nacre::Floats>()
                                  .Ret<nacre::Floats>()
                                  .Ret<nacre::Floats>()
                                  .Attr<std::int64_t>("cell")
                                  .Attr<std::int64_t>("activation")
                                  .Attr<bool>("backwards"));
XLA_FFI_DEFINE_HANDLER_SYMBOL(nacre_recurrent_backward, nacre::backward,
                              nacre::ffi::Ffi::Bind()
                                  .Ctx<nacre::ffi::ThreadPool>()
                                  .Arg<nacre::Floats>()
                                  .Arg<nacre::Floats>()
                                  .Arg<nacre::Floats>()
                                  .Arg<nacre::Flags>()
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
                                  .Ret<nacre::Floats>()
                                  .Attr<std::int64_t>("cell")
                                  .Attr<std::int64_t>("activation")
                                  .Attr<bool>("backwards"));
#pragma GCC visibility pop
