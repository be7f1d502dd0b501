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

// Those for products made of bfloat16 numbers, or nullptr: the ones above are as fast.
const Bfloat16Kernels* bfloat16();

// The products of numbers of a type; with `bf16x3`, those of float32 numbers may err by about 1e-5.
template <ffi::DataType type>
const ProductsOf<ffi::NativeType<type>>& products(bool bf16x3) {
  if constexpr (type == ffi::BF16) {
    return bfloat16()->of_halves;
  } else {
    if (!bf16x3) return kernels()->products;
    return bfloat16() && bfloat16()->of_floats ? *bfloat16()->of_floats : kernels()->loose;
  }
}

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
