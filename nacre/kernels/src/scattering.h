// The gradient of a convolution in an image of few channels.
//
// Gathered, a pixel of one or three channels would use as many columns of a register tile. So here
// it is the other way round: each pixel of the cotangent is multiplied with the whole window,
//
//   product[p, (t, i)] = sum over o of y'[p, o] W[t, i, o]
//
// and what comes of it is added to the image where the window lies, row of taps by row of taps.
//
// A task owns a band of rows of one image, and multiplies the pixels whose windows reach into it.
//
// Temporaries a thread: the packed kernel, a band (64 Ki numbers, or one row), a tile of products.
#pragma once

#include "kernels.h"
#include "tile.h"
#include "transpose.h"
#include "windows.h"

namespace nacre {

template <int lanes>
bool has_few_inputs(const ConvolutionShape& shape) {
  return 3 * shape.inputs <= lanes * shape.groups && shape.window[0] * shape.window[1] > 1;
}

template <int lanes>
struct Scattering {
  static constexpr long band_floats = 1 << 16;

  const ConvolutionShape& shape;
  const float* cotangent;
  const float* kernel;
  float* result;

  const long inputs = shape.inputs / shape.groups, outputs = shape.outputs / shape.groups;
  const long numbers = shape.window[0] * shape.window[1] * inputs;  // of a window
  // The band's columns of pixels: all of the image and all that windows reach.
  const long first_column = smaller(0, -shape.before[1]);
  const long last_column =
      larger(shape.image[1], (shape.output[1] - 1) * shape.strides[1] +
                                 (shape.window[1] - 1) * shape.dilation[1] + 1 - shape.before[1]);
  const long row_floats = (last_column - first_column) * inputs;
  // Taps that lie side by side are added as one.
  const bool together = shape.dilation[1] == 1;

  struct Band {
    long image, group, first, last;
  };

  void run(Workers& workers) const {
    const long most = larger(1, band_floats / row_floats);
    const long images = shape.batch * shape.groups;
    if (!images) return;
    const long wanted = larger(divide_up(shape.image[0], most),
                               divide_up(4 * workers.count(), images));
    const long bands = smaller(shape.image[0], wanted);
    for_each_task(workers, images * bands, [&](long number) {
      const long band = number % bands, group = number / bands % shape.groups;
      const Band task = {number / bands / shape.groups, group, band * shape.image[0] / bands,
                         (band + 1) * shape.image[0] / bands};
      numbers > lanes ? fill<2>(task) : fill<1>(task);
    });
  }

  template <int vectors>
  void fill(const Band& band) const {
    constexpr int rows = tile_rows<lanes, vectors>;
    constexpr long columns = vectors * lanes;
    const long panels = divide_up(numbers, columns);
    const float* packed = pack(band.group, panels, columns);
    float* products = scratch(offsets_slot, rows * panels * columns);
    float* sums = scratch(image_slot, (band.last - band.first) * row_floats);
    for (long i = 0; i < (band.last - band.first) * row_floats; ++i) sums[i] = 0;
    const long stride = shape.strides[0], before = shape.before[0];
    const long reach = (shape.window[0] - 1) * shape.dilation[0];
    const long begin = larger(0, (band.first + before - reach) / stride);
    const long end = smaller(shape.output[0], larger(0, band.last - 1 + before) / stride + 1);
    for (long i = begin; i < end; ++i) {
      for (long j = 0; j < shape.output[1]; j += rows) {
        const int filled = static_cast<int>(smaller(rows, shape.output[1] - j));
        const float* from[rows];
        float* out[rows];
        const long pixel = (band.image * shape.output[0] + i) * shape.output[1] + j;
        for (int r = 0; r < rows; ++r) {
          from[r] = cotangent + (pixel + smaller(r, filled - 1)) * shape.outputs +
                    band.group * outputs;
          out[r] = products + r * panels * columns;
        }
        for (long panel = 0; panel < panels; ++panel) {
          Tile<lanes, rows, vectors> tile;
          tile.clear();
          tile.multiply(from, 1, packed + panel * columns * outputs, columns, outputs);
          tile.put(out, rows, columns, false);
          for (int r = 0; r < rows; ++r) out[r] += columns;
        }
        for (int r = 0; r < filled; ++r) {
          add_window(band, i, j + r, products + r * panels * columns, sums);
        }
      }
    }
    copy(band, sums);
  }

  // For each panel of the numbers of a window, the numbers for each output in turn.
  const float* pack(long group, long panels, long columns) const {
    float* packed = scratch(packed_slot, panels * columns * outputs);
    for (long panel = 0; panel < panels; ++panel) {
      const float* from = kernel + panel * columns * shape.outputs + group * outputs;
      transpose<lanes>(from, shape.outputs, smaller(columns, numbers - panel * columns), outputs,
                       packed + panel * columns * outputs, columns);
    }
    return packed;
  }

  void add_window(const Band& band, long i, long j, const float* product, float* sums) const {
    const long steps = together ? 1 : shape.window[1];
    const long length = together ? shape.window[1] * inputs : inputs;
    for (long down = 0; down < shape.window[0]; ++down) {
      const long row = i * shape.strides[0] + down * shape.dilation[0] - shape.before[0];
      if (row < band.first || row >= band.last) {
        product += steps * length;
        continue;
      }
      for (long step = 0; step < steps; ++step, product += length) {
        const long column = j * shape.strides[1] + step * shape.dilation[1] - shape.before[1];
        float* to = sums + (row - band.first) * row_floats + (column - first_column) * inputs;
        for (long k = 0; k < length; k += lanes) {
          store_some<lanes>(to + k,
                            load_some<lanes>(to + k, length - k) +
                                load_some<lanes>(product + k, length - k),
                            length - k);
        }
      }
    }
  }

  void copy(const Band& band, const float* sums) const {
    for (long row = band.first; row < band.last; ++row) {
      const float* from = sums + (row - band.first) * row_floats - first_column * inputs;
      float* to = result +
                  (band.image * shape.image[0] + row) * shape.image[1] * shape.inputs +
                  band.group * inputs;
      for (long column = 0; column < shape.image[1]; ++column) {
        for (long c = 0; c < inputs; ++c) to[column * shape.inputs + c] = from[column * inputs + c];
      }
    }
  }
};

}  // namespace nacre
