// Convolutions of stride 1 as a product of matrices: for small maps, 1 x 1 windows, and weights that are too many to be
// transformed.

#include "crew.h"
#include "product.h"
#include "scratch.h"

namespace {

// A convolution of stride 1 that keeps the size, over pictures with their padding around them.
struct Window {
  int64_t c_in, kernel, h, w;

  int64_t padding() const { return (kernel - 1) / 2; }
  int64_t height() const { return h + 2 * padding(); }
  int64_t width() const { return w + 2 * padding(); }
  int64_t area() const { return height() * width(); }
  int64_t depth() const { return c_in * kernel * kernel; }
};

// The pictures, (b * c, h, w), with zeros around each.
void Pad(const float* x, int64_t count, const Window& window, float* to) {
  ForRanges(count, count * window.area() * kCopy, [&](int64_t first, int64_t last) {
    std::fill(to + first * window.area(), to + last * window.area(), 0.0f);
    for (int64_t i = first; i < last; ++i)
      for (int64_t row = 0; row < window.h; ++row)
        std::copy_n(x + (i * window.h + row) * window.w, window.w,
                    to + i * window.area() + (row + window.padding()) * window.width() + window.padding());
  });
}

// Where the window's first corner is for pixels of the result that are computed together.
struct Pixels {
  int32_t corner[kColumns];
  int64_t run = kLanes;  // pixels that lie beside each other: 16, 8, 4, or 1

  Pixels(int64_t first, int64_t count, const Window& window) {
    const int64_t area = window.h * window.w;
    for (int64_t j = 0; j < kColumns; ++j) {
      const int64_t pixel = first + std::min(j, count - 1), row = pixel / area, y = pixel % area / window.w;
      corner[j] = static_cast<int32_t>(row * window.c_in * window.area() + y * window.width() + pixel % window.w);
    }
    while (run > 1 && !AreRuns()) run = run > 4 ? run / 2 : 1;
  }

  bool AreRuns() const {
    for (int64_t j = 1; j < kColumns; ++j)
      if (j % run != 0 && corner[j] != corner[j - 1] + 1) return false;
    return true;
  }
};

// What the window's places first ... first + count see at each pixel, (count, 32).
template <int64_t run>
void FillPanel(const float* padded, const Window& window, const Pixels& pixels, int64_t first, int64_t count,
               float* panel) {
  const int64_t places = window.kernel * window.kernel;
  for (int64_t k = 0; k < count; ++k) {
    const int64_t channel = (first + k) / places, place = (first + k) % places;
    const float* from =
        padded + channel * window.area() + place / window.kernel * window.width() + place % window.kernel;
    for (int64_t j = 0; j < kColumns; j += run) std::copy_n(from + pixels.corner[j], run, panel + k * kColumns + j);
  }
}

void FillPanel(const float* padded, const Window& window, const Pixels& pixels, int64_t first, int64_t count,
               float* panel) {
  if (pixels.run == 16) return FillPanel<16>(padded, window, pixels, first, count, panel);
  if (pixels.run == 8) return FillPanel<8>(padded, window, pixels, first, count, panel);
  if (pixels.run == 4) return FillPanel<4>(padded, window, pixels, first, count, panel);
  FillPanel<1>(padded, window, pixels, first, count, panel);
}

}  // namespace

// Inputs: x (b, c_in, h, w), weights (c_out, c_in, k, k), k odd, bias (c_out) and, if there is one, what is to be added,
// like the output. Output: (b, c_out, h, w).
extern "C" int DirectConvolution(int nparam, void** params, int*, int64_t** shapes, const char**, void*, void*) {
  if (nparam != 4 && nparam != 5) return 1;
  const float* x = static_cast<const float*>(params[0]);
  const float* weights = static_cast<const float*>(params[1]);
  const float* bias = static_cast<const float*>(params[2]);
  const float* residual = nparam == 5 ? static_cast<const float*>(params[3]) : nullptr;
  float* y = static_cast<float*>(params[nparam - 1]);
  const int64_t b = shapes[0][0], c_out = shapes[1][0];
  const Window window{shapes[0][1], shapes[1][2], shapes[0][2], shapes[0][3]};
  if (b * window.c_in * window.area() > INT32_MAX) return 2;
  const float* padded = x;
  if (window.padding() > 0) {
    float* copy = Scratch(Use::kCall, b * window.c_in * window.area());
    Pad(x, b * window.c_in, window, copy);
    padded = copy;
  }
  const int64_t area = window.h * window.w, all = b * area, depth = window.depth();
  const Shares shares(c_out, depth, all, CrewSize());
  ForTasks(shares.tasks(), shares.work(), [&](int64_t task) {
    MultiplyPanels(
        weights, shares, Share(shares, task),
        [&](int64_t pixel, int64_t count, int64_t start, int64_t run, float* panel) {
          FillPanel(padded, window, Pixels(pixel, count, window), start, run, panel);
        },
        [&](int64_t channel, int64_t pixel, int64_t count, const float* sums) {
          for (int64_t i = 0; i < std::min<int64_t>(kRows, c_out - channel); ++i)
            for (int64_t j = 0; j < count; ++j) {
              const int64_t at = ((pixel + j) / area * c_out + channel + i) * area + (pixel + j) % area;
              const float sum = sums[i * kColumns + j] + bias[channel + i];
              y[at] = residual == nullptr ? sum : sum + residual[at];
            }
        });
  });
  return 0;
}

