// XLA's thread pool, as Workers: the kernels share its threads, so that the two never compete.
#pragma once

#include "workers.h"
#include "xla/ffi/api/ffi.h"

namespace nacre {

// From now on kernels use at most `count` threads; 0 for all that XLA has.
void limit_threads(int count);

class Pool final : public Workers {
 public:
  explicit Pool(xla::ffi::ThreadPool pool) : pool_(pool) {}
  int count() const override;
  void run(long tasks, void (*body)(void*, long), void* context) override;

 private:
  xla::ffi::ThreadPool pool_;
};

}  // namespace nacre
