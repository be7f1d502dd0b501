// Large pages for what kernels write.
#pragma once

#include <cstddef>

namespace nacre {

// Asks the system to back this memory, which is about to be written, with pages of 2 MiB where it has
// none yet: then writing it is interrupted 512 times less often. Where the system tells which mapping it
// lies in, that is asked for all of this, which is mostly the temporaries of one program; else large
// pages at both ends count too, so that neighbouring results share them. It is advice, and changes no
// number there. Memory of less than 1 MiB is left alone.
void prefer_large_pages(void* memory, std::size_t bytes);

}  // namespace nacre
