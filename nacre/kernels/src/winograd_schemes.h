// The transforms of Winograd's convolutions with windows of 3 x 3, along one axis of a square.
//
// Neighbouring outputs see overlapping inputs: a square of n x n sees (n + 2) x (n + 2). Sums and
// differences of these, times as many of the kernel's, hold the outputs:
//
//   y  = A' [ (G w G') * (B' x B) ] A           the product in the middle number by number
//   w' = G' [ (B' x B) * (A y' A') ] G          the gradient in the kernel, summed over the squares
//
// F(2x2, 3x3) has 16 products for 4 outputs, where windows one by one have 36; F(4x4, 3x3) has 36 for
// 16, where these have 144, and loses a digit of float32's seven.
//
// Source: Lavin and Gray, Fast Algorithms for Convolutional Neural Networks, 2015.
#pragma once

#include "vectors.h"

namespace nacre {

//        1  0 -1  0             1   0   0             1  0
//   B' = 0  1  1  0         G = .5  .5  .5        A = 1  1
//        0 -1  1  0             .5 -.5  .5            1 -1
//        0  1  0 -1             0   0   1             0 -1
template <int lanes>
struct ByTwo {
  static constexpr int outputs = 2;
  using Number = Vector<lanes>;

  // B' x
  NACRE_INLINE static void differences(const Number* x, Number* to) {
    to[0] = x[0] - x[2];
    to[1] = x[1] + x[2];
    to[2] = x[2] - x[1];
    to[3] = x[1] - x[3];
  }

  // G w
  NACRE_INLINE static void spread_kernel(const Number* w, Number* to) {
    to[0] = w[0];
    to[1] = 0.5f * (w[0] + w[1] + w[2]);
    to[2] = 0.5f * (w[0] - w[1] + w[2]);
    to[3] = w[2];
  }

  // A' m
  NACRE_INLINE static void gather_sums(const Number* m, Number* to) {
    to[0] = m[0] + m[1] + m[2];
    to[1] = m[1] - m[2] - m[3];
  }

  // A y'
  NACRE_INLINE static void spread_change(const Number* y, Number* to) {
    to[0] = y[0];
    to[1] = y[0] + y[1];
    to[2] = y[0] - y[1];
    to[3] = -y[1];
  }

  // G' u
  NACRE_INLINE static void gather_kernel(const Number* u, Number* to) {
    to[0] = u[0] + 0.5f * (u[1] + u[2]);
    to[1] = 0.5f * (u[1] - u[2]);
    to[2] = 0.5f * (u[1] + u[2]) + u[3];
  }
};

//        4  0 -5  0  1  0            1/4     0    0           1  0  0  0
//        0 -4 -4  1  1  0           -1/6  -1/6 -1/6           1  1  1  1
//   B' = 0  4 -4 -1  1  0       G = -1/6   1/6 -1/6       A = 1 -1  1 -1
//        0 -2 -1  2  1  0           1/24  1/12  1/6           1  2  4  8
//        0  2 -1 -2  1  0           1/24 -1/12  1/6           1 -2  4 -8
//        0  4  0 -5  0  1              0     0    1           0  0  0  1
template <int lanes>
struct ByFour {
  static constexpr int outputs = 4;
  using Number = Vector<lanes>;

  NACRE_INLINE static void differences(const Number* x, Number* to) {
    const Number even = x[4] - 4 * x[2], odd = x[3] - 4 * x[1];
    const Number far = x[4] - x[2], near = 2 * (x[3] - x[1]);
    to[0] = 4 * x[0] - 5 * x[2] + x[4];
    to[1] = even + odd;
    to[2] = even - odd;
    to[3] = far + near;
    to[4] = far - near;
    to[5] = 4 * x[1] - 5 * x[3] + x[5];
  }

  NACRE_INLINE static void spread_kernel(const Number* w, Number* to) {
    const Number sixth = (1 / 6.f) * (w[0] + w[2]), middle = (1 / 6.f) * w[1];
    const Number outer = (1 / 24.f) * w[0] + (1 / 6.f) * w[2], half = 0.5f * middle;
    to[0] = 0.25f * w[0];
    to[1] = -sixth - middle;
    to[2] = middle - sixth;
    to[3] = outer + half;
    to[4] = outer - half;
    to[5] = w[2];
  }

  NACRE_INLINE static void gather_sums(const Number* m, Number* to) {
    const Number near = m[1] + m[2], far = m[3] + m[4];
    const Number near_odd = m[1] - m[2], far_odd = m[3] - m[4];
    to[0] = m[0] + near + far;
    to[1] = near_odd + 2 * far_odd;
    to[2] = near + 4 * far;
    to[3] = near_odd + 8 * far_odd + m[5];
  }

  NACRE_INLINE static void spread_change(const Number* y, Number* to) {
    const Number even = y[0] + y[2], odd = y[1] + y[3];
    const Number far = y[0] + 4 * y[2], far_odd = 2 * y[1] + 8 * y[3];
    to[0] = y[0];
    to[1] = even + odd;
    to[2] = even - odd;
    to[3] = far + far_odd;
    to[4] = far - far_odd;
    to[5] = y[3];
  }

  NACRE_INLINE static void gather_kernel(const Number* u, Number* to) {
    const Number near = u[1] + u[2], far = u[3] + u[4];
    to[0] = 0.25f * u[0] - (1 / 6.f) * near + (1 / 24.f) * far;
    to[1] = (1 / 6.f) * (u[2] - u[1]) + (1 / 12.f) * (u[3] - u[4]);
    to[2] = (1 / 6.f) * (far - near) + u[5];
  }
};

}  // namespace nacre
