// Group norms, with what comes after them: a scale and a shift, of channels or of pixels, and SiLU.

#include <algorithm>
#include <cmath>

#include "crew.h"
#include "scratch.h"
#include "statistics.h"
#include "vectors.h"

namespace {

// What a channel's pixels become: (x - mean) * scale + shift. The mean goes first, for it may be far larger than the rest.
struct Line {
  float mean, scale, shift;

  template <typename Number>
  Number operator()(Number x) const {
    return (x - mean) * scale + shift;
  }
};

// y = line(x), then SiLU if asked for.
void Normalise(const float* x, float* y, int64_t n, const Line& line, bool silu) {
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    const Vector v = line(Load(x + i));
    Store(y + i, silu ? Silu(v) : v);
  }
  for (; i < n; ++i) y[i] = silu ? Silu(line(x[i])) : line(x[i]);
}

// The same, times each pixel's own factor, plus its own term.
void Modulate(const float* x, float* y, int64_t n, const Line& line, const float* factors, const float* terms, bool silu) {
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    const Vector v = line(Load(x + i)) * Load(factors + i) + Load(terms + i);
    Store(y + i, silu ? Silu(v) : v);
  }
  for (; i < n; ++i) {
    const float v = line(x[i]) * factors[i] + terms[i];
    y[i] = silu ? Silu(v) : v;
  }
}

int64_t Elements(const int64_t* shape, int first, int last) {
  int64_t product = 1;
  for (int axis = first; axis < last; ++axis) product *= shape[axis];
  return product;
}

}  // namespace

// Group norm, with a scale and a shift of each row and channel after it, and SiLU last.
//
// Inputs: x (b, c, ...), weight (c), bias (c), settings (3): groups, epsilon, SiLU or not; and, if asked for, time (b, 2c),
// each row's scales and then its shifts. Output, like x: silu((norm(x) * weight + bias) * (1 + scale) + shift).
extern "C" int GroupNorm(int nparam, void** params, int* ndims, int64_t** shapes, const char**, void*, void*) {
  if (nparam != 5 && nparam != 6) return 1;
  const float* x = static_cast<const float*>(params[0]);
  const float* weight = static_cast<const float*>(params[1]);
  const float* bias = static_cast<const float*>(params[2]);
  const float* settings = static_cast<const float*>(params[3]);
  const float* time = nparam == 6 ? static_cast<const float*>(params[4]) : nullptr;
  float* y = static_cast<float*>(params[nparam - 1]);
  const int64_t b = shapes[0][0], c = shapes[0][1], pixels = Elements(shapes[0], 2, ndims[0]);
  const int64_t groups = static_cast<int64_t>(settings[0]);
  if (groups < 1 || c % groups != 0) return 2;
  const int64_t width = c / groups;
  const float epsilon = settings[1];
  const bool silu = settings[2] != 0.0f;
  ForTasks(b * groups, b * c * pixels * (silu ? kNorm + kExp : kNorm), [&](int64_t group) {
    const int64_t row = group / groups;
    const float* from = x + group * width * pixels;
    float mean, deviation;
    Statistics(from, width * pixels, epsilon, &mean, &deviation);
    for (int64_t i = 0; i < width; ++i) {
      const int64_t channel = (group % groups) * width + i;
      const float outer = time == nullptr ? 1.0f : 1.0f + time[2 * row * c + channel];
      const float term = time == nullptr ? 0.0f : time[(2 * row + 1) * c + channel];
      const Line line{mean, deviation * weight[channel] * outer, bias[channel] * outer + term};
      Normalise(from + i * pixels, y + (group * width + i) * pixels, pixels, line, silu);
    }
  });
  return 0;
}

// Group norm, scaled and shifted place by place, and SiLU last: the norm of arXiv:2209.09002.
//
// Inputs: x (b, c, h, w), weight (c), bias (c), scale and shift (b, c, h / f, w / f), each of whose pixels stands for
// f times f, settings (3): groups, epsilon, SiLU or not.
// Output, like x: silu((norm(x) * weight + bias) * scale + shift).
extern "C" int SpatialNorm(int nparam, void** params, int*, int64_t** shapes, const char**, void*, void*) {
  if (nparam != 7) return 1;
  const float* x = static_cast<const float*>(params[0]);
  const float* weight = static_cast<const float*>(params[1]);
  const float* bias = static_cast<const float*>(params[2]);
  const float* scales = static_cast<const float*>(params[3]);
  const float* shifts = static_cast<const float*>(params[4]);
  const float* settings = static_cast<const float*>(params[5]);
  float* y = static_cast<float*>(params[6]);
  const int64_t b = shapes[0][0], c = shapes[0][1], h = shapes[0][2], w = shapes[0][3];
  const int64_t rows = shapes[3][2], columns = shapes[3][3], factor = h / rows;
  if (factor < 1 || rows * factor != h || columns * factor != w) return 3;
  const int64_t groups = static_cast<int64_t>(settings[0]);
  if (groups < 1 || c % groups != 0) return 2;
  const int64_t width = c / groups;
  const bool silu = settings[2] != 0.0f;
  ForTasks(b * groups, b * c * h * w * (silu ? kNorm + kExp : kNorm), [&](int64_t group) {
    float* factors = Scratch(Use::kTask, 2 * w);
    float* terms = factors + w;
    float mean, deviation;
    Statistics(x + group * width * h * w, width * h * w, settings[1], &mean, &deviation);
    for (int64_t i = 0; i < width * rows; ++i) {
      const int64_t plane = group * width + i / rows, channel = plane % c, row = i % rows;
      const Line norm{mean, deviation * weight[channel], bias[channel]};
      for (int64_t j = 0; j < columns; ++j) {
        std::fill_n(factors + j * factor, factor, scales[(plane * rows + row) * columns + j]);
        std::fill_n(terms + j * factor, factor, shifts[(plane * rows + row) * columns + j]);
      }
      for (int64_t line = row * factor; line < (row + 1) * factor; ++line)
        Modulate(x + (plane * h + line) * w, y + (plane * h + line) * w, w, norm, factors, terms, silu);
    }
  });
  return 0;
}
