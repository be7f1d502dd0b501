#include "pages.h"

#include <cstdint>

#ifdef __linux__
#include <sys/mman.h>
#endif

namespace nacre {

void prefer_large_pages([[maybe_unused]] void* memory, [[maybe_unused]] std::size_t bytes) {
#ifdef MADV_HUGEPAGE
  constexpr std::uintptr_t large = 2 << 20;
  if (bytes < large / 2) return;
  const std::uintptr_t from = reinterpret_cast<std::uintptr_t>(memory);
  const std::uintptr_t first = from / large * large;
  const std::uintptr_t last = (from + bytes + large - 1) / large * large;
  madvise(reinterpret_cast<void*>(first), last - first, MADV_HUGEPAGE);
#endif
}

}  // namespace nacre
