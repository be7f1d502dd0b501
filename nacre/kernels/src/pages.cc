#include "pages.h"

#include <cstdint>

#ifdef __linux__
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>
#endif

namespace nacre {

#ifdef MADV_HUGEPAGE
namespace {

constexpr std::uintptr_t large = 2 << 20;

struct Range {
  std::uintptr_t first, last;
};

// The mapping of the process that an address lies in, unless that is malloc's heap, which others use
// too. Linux tells from version 6.11 on. Empty if it is not known.
Range mapping_of(std::uintptr_t address) {
  struct Query {  // procmap_query of linux/fs.h, which the system's headers may be too old for
    std::uint64_t size, query_flags, query_addr;
    std::uint64_t vma_start, vma_end, vma_flags, vma_page_size, vma_offset, inode;
    std::uint32_t dev_major, dev_minor, vma_name_size, build_id_size;
    std::uint64_t vma_name_addr, build_id_addr;
  };
  const int maps = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
  if (maps < 0) return {0, 0};
  Query query = {};
  query.size = sizeof query;
  query.query_addr = address;
  const bool known = ioctl(maps, _IOWR('f', 17, Query), &query) == 0;
  close(maps);
  const auto end_of_heap = reinterpret_cast<std::uintptr_t>(sbrk(0));
  if (!known || query.vma_end == end_of_heap) return {0, 0};
  return {static_cast<std::uintptr_t>(query.vma_start), static_cast<std::uintptr_t>(query.vma_end)};
}

void advise(std::uintptr_t first, std::uintptr_t last) {
  if (first < last) madvise(reinterpret_cast<void*>(first), last - first, MADV_HUGEPAGE);
}

}  // namespace
#endif

void prefer_large_pages([[maybe_unused]] void* memory, [[maybe_unused]] std::size_t bytes) {
#ifdef MADV_HUGEPAGE
  if (bytes < large / 2) return;
  const std::uintptr_t from = reinterpret_cast<std::uintptr_t>(memory);
  const Range all = mapping_of(from);
  if (all.last) {
    advise((all.first + large - 1) / large * large, all.last / large * large);
  } else {
    advise(from / large * large, (from + bytes + large - 1) / large * large);
  }
#endif
}

}  // namespace nacre
