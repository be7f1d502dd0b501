#include "pages.h"

#include <cstdint>

#ifdef __linux__
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#endif

namespace nacre {

#ifdef MADV_HUGEPAGE
namespace {

struct Range {
  std::uintptr_t first, last;
};

// The mapping of the process that an address lies in, which Linux tells from version 6.11 on; or what is
// given.
Range mapping_around(Range given) {
  struct Query {  // procmap_query of linux/fs.h, which the system's headers may be too old for
    std::uint64_t size, query_flags, query_addr;
    std::uint64_t vma_start, vma_end, vma_flags, vma_page_size, vma_offset, inode;
    std::uint32_t dev_major, dev_minor, vma_name_size, build_id_size;
    std::uint64_t vma_name_addr, build_id_addr;
  };
  static const int maps = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
  Query query = {};
  query.size = sizeof query;
  query.query_addr = given.first;
  if (maps < 0 || ioctl(maps, _IOWR('f', 17, Query), &query)) return given;
  return {static_cast<std::uintptr_t>(query.vma_start), static_cast<std::uintptr_t>(query.vma_end)};
}

}  // namespace
#endif

void prefer_large_pages([[maybe_unused]] void* memory, [[maybe_unused]] std::size_t bytes) {
#ifdef MADV_HUGEPAGE
  constexpr std::uintptr_t large = 2 << 20;
  if (bytes < large / 2) return;
  const std::uintptr_t from = reinterpret_cast<std::uintptr_t>(memory);
  const Range all = mapping_around({from, from + bytes});
  const std::uintptr_t first = all.first / large * large;
  const std::uintptr_t last = (all.last + large - 1) / large * large;
  madvise(reinterpret_cast<void*>(first), last - first, MADV_HUGEPAGE);
#endif
}

}  // namespace nacre
