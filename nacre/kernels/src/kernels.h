// What the kernels can do, apart from the instruction set they are made for.
#pragma once

#include "workers.h"

namespace nacre {

// The product of two matrices, rows of numbers one after the other. Either may be stored transposed.
struct ProductShape {
  long rows, depth, columns;
  bool a_transposed, b_transposed;
};

// One set for each instruction set; handlers.cc takes the best that the machine has.
struct Kernels {
  const char* name;
  void (*product)(const ProductShape&, const float* a, const float* b, float* c, Workers&);
};

const Kernels& avx2_kernels();
const Kernels& avx512_kernels();

}  // namespace nacre
