// What the files of entry points share.
#pragma once

#include "kernels.h"
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

// An operand that may be missing comes as an array without elements.
inline const float* given(const Floats& operand) {
  return operand.element_count() ? operand.typed_data() : nullptr;
}

}  // namespace nacre
