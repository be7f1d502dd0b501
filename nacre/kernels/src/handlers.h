// What the files of entry points share.
#pragma once

#include "kernels.h"
#include "pages.h"
#include "pool.h"
#include "xla/ffi/api/ffi.h"

namespace nacre {

namespace ffi = xla::ffi;

using Floats = ffi::Buffer<ffi::F32>;
using FloatsOut = ffi::Result<Floats>;

// The best set of kernels for this machine, or nullptr.
const Kernels* kernels();

// The kernels for operands of so many bfloat16 parts, or nullptr: 0 parts, or the ones above serve.
const TileKernels* tile_kernels(int64_t parts);

// An operand that may be missing comes as an array without elements, a result that nobody wants
// likewise.
template <class Array>
const auto* given(const Array& operand) {
  return operand.element_count() ? operand.typed_data() : nullptr;
}

template <class Result>
auto wanted(Result& result) {
  auto* const memory = result->typed_data();
  prefer_large_pages(memory, result->size_bytes());
  return result->element_count() ? memory : nullptr;
}

}  // namespace nacre
