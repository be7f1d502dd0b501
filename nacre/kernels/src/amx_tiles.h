// The tile registers of AMX, and a model of them for tests on processors that lack them.
//
// There are eight, of 16 rows of 64 bytes. A tile holds 16 x 16 numbers in float32, or 16 rows of 32
// numbers in bfloat16, or 16 pairs of such rows with the two numbers of a pair side by side. One
// instruction multiplies the last two kinds and adds to the first:
//
//   c[m][n] += sum over k < 32 of a[m][k] b[k][n]        b[2 p + i][n] is number 2 n + i of row p
//
// Both structures have the same members, one for each instruction. While one exists, the registers
// of this thread are in use.
#pragma once

#include "vectors.h"

namespace nacre {

// A template argument cannot name a register in the compiler's intrinsics, which are macros.
struct AmxTiles {
  AmxTiles() {
    struct alignas(64) Configuration {
      unsigned char palette, start_row, reserved[14];
      unsigned short row_bytes[16];
      unsigned char rows[16];
    };
    Configuration all = {1, 0, {}, {}, {}};
    for (int t = 0; t < 8; ++t) all.row_bytes[t] = 64, all.rows[t] = 16;
    __asm__ volatile("ldtilecfg\t%0" : : "m"(all));
  }
  ~AmxTiles() { __asm__ volatile("tilerelease" : : : "memory"); }
  AmxTiles(const AmxTiles&) = delete;

  template <int tile>
  NACRE_INLINE void zero() {
    __asm__ volatile("tilezero\t%%tmm%c0" : : "i"(tile));
  }
  template <int tile>
  NACRE_INLINE void load(const void* from, long stride_bytes) {
    __asm__ volatile("tileloadd\t(%0,%1,1), %%tmm%c2"
                     :
                     : "r"(from), "r"(stride_bytes), "i"(tile)
                     : "memory");
  }
  template <int tile>
  NACRE_INLINE void store(void* to, long stride_bytes) {
    __asm__ volatile("tilestored\t%%tmm%c2, (%0,%1,1)"
                     :
                     : "r"(to), "r"(stride_bytes), "i"(tile)
                     : "memory");
  }
  template <int c, int a, int b>
  NACRE_INLINE void multiply() {
    __asm__ volatile("tdpbf16ps\t%%tmm%c2, %%tmm%c1, %%tmm%c0" : : "i"(c), "i"(a), "i"(b));
  }
};

// As the architecture defines it: numbers of even and of odd k are summed apart, each with one
// rounding a step; the two are added, and then that to c. What is too small for a normal number
// counts as zero.
class EmulatedTiles {
 public:
  EmulatedTiles() = default;
  EmulatedTiles(const EmulatedTiles&) = delete;

  template <int tile>
  void zero() {
    for (unsigned& number : tiles_[tile]) number = 0;
  }
  template <int tile>
  void load(const void* from, long stride_bytes) {
    for (long r = 0; r < 16; ++r) {
      const char* row = static_cast<const char*>(from) + r * stride_bytes;
      __builtin_memcpy(tiles_[tile] + 16 * r, row, 64);
    }
  }
  template <int tile>
  void store(void* to, long stride_bytes) {
    for (long r = 0; r < 16; ++r) {
      __builtin_memcpy(static_cast<char*>(to) + r * stride_bytes, tiles_[tile] + 16 * r, 64);
    }
  }
  template <int c, int a, int b>
  void multiply() {
    for (int m = 0; m < 16; ++m) {
      float even[16] = {}, odd[16] = {};
      for (int k = 0; k < 16; ++k) {
        const unsigned pair = tiles_[a][16 * m + k];
        for (int n = 0; n < 16; ++n) {
          const unsigned other = tiles_[b][16 * k + n];
          even[n] = flushed(__builtin_fmaf(number(pair << 16), number(other << 16), even[n]));
          odd[n] = flushed(__builtin_fmaf(number(pair & ~0xffffu), number(other & ~0xffffu),
                                          odd[n]));
        }
      }
      for (int n = 0; n < 16; ++n) {
        unsigned& to = tiles_[c][16 * m + n];
        const float total = flushed(number(to) + flushed(even[n] + odd[n]));
        __builtin_memcpy(&to, &total, sizeof to);
      }
    }
  }

 private:
  NACRE_INLINE static float flushed(float value) {
    return __builtin_fabsf(value) < __FLT_MIN__ ? __builtin_copysignf(0, value) : value;
  }
  NACRE_INLINE static float number(unsigned bits) {
    float value;
    __builtin_memcpy(&value, &bits, sizeof value);
    return flushed(value);
  }

  alignas(64) unsigned tiles_[8][256] = {};
};

}  // namespace nacre
