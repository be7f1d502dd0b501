// The entry points of the update of parameters; they take any number of arrays.
#include <cstdint>
#include <cstring>
#include <string_view>
#include <vector>

#include "handlers.h"

namespace nacre {
namespace {

using Truth = ffi::Buffer<ffi::PRED>;

Parameters list(const std::vector<Parameter>& all) {
  Parameters parameters = {all.data(), static_cast<long>(all.size()), 0};
  for (const Parameter& one : all) parameters.numbers += one.numbers;
  return parameters;
}

ffi::Error all_finite(ffi::ThreadPool pool, ffi::RemainingArgs arrays,
                      ffi::Result<Truth> finite) {
  std::vector<Parameter> all(arrays.size());
  for (std::size_t i = 0; i < all.size(); ++i) {
    const auto array = arrays.get<Floats>(i);
    if (array.has_error()) return array.error();
    all[i].gradient = array->typed_data();
    all[i].numbers = array->element_count();
  }
  Pool workers(pool);
  finite->typed_data()[0] = kernels()->all_finite(list(all), workers);
  return ffi::Error::Success();
}

void keep(const Parameter& one) {
  const std::size_t bytes = one.numbers * sizeof(float);
  if (one.new_value != one.value) std::memcpy(one.new_value, one.value, bytes);
  for (int i = 0; i < 2; ++i) {
    if (one.new_slots[i] != one.slots[i]) std::memcpy(one.new_slots[i], one.slots[i], bytes);
  }
}

bool kind_of(std::string_view name, UpdateKind& kind) {
  constexpr std::string_view names[] = {"sgd", "momentum", "nesterov", "rmsprop", "adam"};
  for (int i = 0; i < 5; ++i) {
    if (name == names[i]) return kind = static_cast<UpdateKind>(i), true;
  }
  return false;
}

// The arrays are all gradients, then all values, then all of each slot; results begin with values.
// Where the condition does not hold, they are what they were. The factors are the rule's and the rate
// of decay, for the parameters that decay.
ffi::Error update(ffi::ThreadPool pool, Floats factors, Truth condition, ffi::RemainingArgs arrays,
                  ffi::RemainingRets results, std::string_view name,
                  ffi::Span<const float> settings, ffi::Span<const std::int32_t> decayed) {
  UpdateRule rule = {};
  if (!kind_of(name, rule.kind)) return ffi::Error::InvalidArgument("no such rule");
  rule.scale = factors.typed_data()[0];
  for (std::size_t i = 0; i < settings.size() && i < 3; ++i) rule.settings[i] = settings.begin()[i];
  const std::size_t count = arrays.size() - results.size();
  std::vector<Parameter> all(count);
  for (std::size_t i = 0; i < count; ++i) {
    all[i].decay = decayed.begin()[i] ? factors.typed_data()[1] : 0.f;
  }
  for (std::size_t i = 0; i < arrays.size(); ++i) {
    const auto array = arrays.get<Floats>(i);
    if (array.has_error()) return array.error();
    Parameter& of = all[i % count];
    const float* data = array->typed_data();
    of.numbers = array->element_count();
    if (i < count) of.gradient = data;
    else if (i < 2 * count) of.value = data;
    else of.slots[i / count - 2] = data;
  }
  for (std::size_t i = 0; i < results.size(); ++i) {
    auto array = results.get<Floats>(i);
    if (array.has_error()) return array.error();
    Parameter& of = all[i % count];
    float* data = (**array).typed_data();
    if (i < count) of.new_value = data;
    else of.new_slots[i / count - 1] = data;
  }
  if (!condition.typed_data()[0]) {
    for (const Parameter& one : all) keep(one);
    return ffi::Error::Success();
  }
  Pool workers(pool);
  kernels()->update(rule, list(all), workers);
  return ffi::Error::Success();
}

}  // namespace
}  // namespace nacre

#pragma GCC visibility push(default)
XLA_FFI_DEFINE_HANDLER_SYMBOL(nacre_all_finite, nacre::all_finite,
                              nacre::ffi::Ffi::Bind()
                                  .Ctx<nacre::ffi::ThreadPool>()
                                  .RemainingArgs()
                                  .Ret<nacre::Truth>());
XLA_FFI_DEFINE_HANDLER_SYMBOL(nacre_update, nacre::update,
                              nacre::ffi::Ffi::Bind()
                                  .Ctx<nacre::ffi::ThreadPool>()
                                  .Arg<nacre::Floats>()
                                  .Arg<nacre::Truth>()
                                  .RemainingArgs()
                                  .RemainingRets()
                                  .Attr<std::string_view>("rule")
                                  .Attr<nacre::ffi::Span<const float>>("settings")
                                  .Attr<nacre::ffi::Span<const std::int32_t>>("decayed"));
#pragma GCC visibility pop
