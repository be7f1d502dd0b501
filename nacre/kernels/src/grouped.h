// Groups of few channels, several taken as one.
//
// Groups that have more outputs than inputs or fewer, or a number that does not divide a register
// (small_groups.h has the others), would leave most of it empty. So as many as fit are treated as
// one, whose kernel has zeros between channels of different groups.
//
// Temporaries: the kernel with these zeros, at most as many times the kernel as a register has
// numbers.
#pragma once

#include "kernels.h"
#include "windows.h"

namespace nacre {

// How many groups are taken as one.
template <int lanes>
long groups_together(const ConvolutionShape& shape) {
  const long inputs = shape.inputs / shape.groups, outputs = shape.outputs / shape.groups;
  long most = smaller(shape.groups, lanes / larger(inputs, outputs));
  while (most > 1 && shape.groups % most) --most;
  return larger(1, most);
}

template <int lanes>
ConvolutionShape with_groups_together(ConvolutionShape shape, long together) {
  shape.groups /= together;
  return shape;
}

template <int lanes>
long merged_kernel_size(const ConvolutionShape& shape, long together) {
  return shape.window[0] * shape.window[1] * (shape.inputs / shape.groups) * together *
         shape.outputs;
}

// Calls body(numbers of a kernel, of the merged kernel, count) where they are the same.
template <int lanes, class Body>
void for_each_block(const ConvolutionShape& shape, long together, const Body& body) {
  const long inputs = shape.inputs / shape.groups, outputs = shape.outputs / shape.groups;
  const long rows = shape.window[0] * shape.window[1] * inputs;
  for (long row = 0; row < rows; ++row) {
    for (long group = 0; group < shape.groups; ++group) {
      const long merged_row =
          (row / inputs * together + group % together) * inputs + row % inputs;
      body(row * shape.outputs + group * outputs, merged_row * shape.outputs + group * outputs,
           outputs);
    }
  }
}

template <int lanes>
const float* merged_kernel(const ConvolutionShape& shape, long together, const float* kernel) {
  const long size = merged_kernel_size<lanes>(shape, together);
  float* merged = scratch(kernel_slot, size);
  for (long i = 0; i < size; ++i) merged[i] = 0;
  for_each_block<lanes>(shape, together, [&](long from, long to, long count) {
    for (long i = 0; i < count; ++i) merged[to + i] = kernel[from + i];
  });
  return merged;
}

template <int lanes>
void take_blocks(const ConvolutionShape& shape, long together, const float* merged,
                 float* kernel) {
  for_each_block<lanes>(shape, together, [&](long to, long from, long count) {
    for (long i = 0; i < count; ++i) kernel[to + i] = merged[from + i];
  });
}

}  // namespace nacre
