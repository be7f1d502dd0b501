// The entry points of pooling.
#include "handlers.h"

namespace nacre {
namespace {

using Places = ffi::Buffer<ffi::U8>;
using Numbers = ffi::Span<const std::int64_t>;

// `axes` has five numbers for each of three axes: image, window, stride, before, output.
PoolShape shape_of(const Floats& sequence, Numbers axes, bool maximum) {
  PoolShape shape = {sequence.dimensions().front(), sequence.dimensions().back(), maximum, {}};
  for (int axis = 0; axis < 3; ++axis) {
    const std::int64_t* of = axes.begin() + 5 * axis;
    shape.axes[axis] = {of[0], of[1], of[2], of[3], of[4]};
  }
  return shape;
}

ffi::Error forward(ffi::ThreadPool pool, Floats x, FloatsOut y, ffi::Result<Places> places,
                   Numbers axes, bool maximum) {
  Pool workers(pool);
  kernels()->pool_forward(shape_of(x, axes, maximum), x.typed_data(), wanted(y), wanted(places),
                          workers);
  return ffi::Error::Success();
}

ffi::Error backward(ffi::ThreadPool pool, Floats change, Places places, FloatsOut x, Numbers axes,
                    bool maximum) {
  Pool workers(pool);
  kernels()->pool_backward(shape_of(change, axes, maximum), change.typed_data(), given(places),
                           wanted(x), workers);
  return ffi::Error::Success();
}

}  // namespace
}  // namespace nacre

#pragma GCC visibility push(default)
XLA_FFI_DEFINE_HANDLER_SYMBOL(nacre_pool_forward, nacre::forward,
                              nacre::ffi::Ffi::Bind()
                                  .Ctx<nacre::ffi::ThreadPool>()
                                  .Arg<nacre::Floats>()
                                  .Ret<nacre::Floats>()
                                  .Ret<nacre::Places>()
                                  .Attr<nacre::Numbers>("axes")
                                  .Attr<bool>("maximum"));
XLA_FFI_DEFINE_HANDLER_SYMBOL(nacre_pool_backward, nacre::backward,
                              nacre::ffi::Ffi::Bind()
                                  .Ctx<nacre::ffi::ThreadPool>()
                                  .Arg<nacre::Floats>()
                                  .Arg<nacre::Places>()
                                  .Ret<nacre::Floats>()
                                  .Attr<nacre::Numbers>("axes")
                                  .Attr<bool>("maximum"));
#pragma GCC visibility pop
