// The kernels for AVX-512; compiled with its flags, called only where the machine has it.
#include "normalization.h"
#include "pooling.h"
#include "products.h"
#include "recurrent.h"
#include "update.h"

namespace nacre {

const Kernels& avx512_kernels() {
  constexpr int lanes = 16;
  static constexpr Kernels kernels = {
      "AVX-512",
      products<lanes, false>(),
      products<lanes, true>(),
      Recurrent<lanes>::forward,
      Recurrent<lanes>::backward,
      Normalization<lanes>::forward,
      Normalization<lanes>::backward,
      Pooling<lanes>::forward,
      Pooling<lanes>::backward,
      Update<lanes>::run,
      Update<lanes>::all_finite,
  };
  return kernels;
}

}  // namespace nacre
