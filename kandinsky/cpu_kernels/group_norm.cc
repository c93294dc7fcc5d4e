// Group norms, with what comes after them: a scale and a shift, of channels or of pixels, and SiLU.

#include <algorithm>
#include <cmath>

#include "crew.h"
#include "vectors.h"

namespace {

// Mean and 1 / sqrt(variance + epsilon) of n numbers; the variance is that about the mean, as in the plain operator.
void Statistics(const float* x, int64_t n, float epsilon, float* mean, float* scale) {
  constexpr int64_t kRun = 4096;  // sums of this many are exact enough in float32; the runs are added in float64
  double total = 0.0;
  for (int64_t start = 0; start < n; start += kRun) {
    const int64_t stop = std::min(start + kRun, n);
    Vector sum{};
    int64_t i = start;
    for (; i + kLanes <= stop; i += kLanes) sum += Load(x + i);
    float rest = Sum(sum);
    for (; i < stop; ++i) rest += x[i];
    total += rest;
  }
  *mean = static_cast<float>(total / n);
  double squares = 0.0;
  for (int64_t start = 0; start < n; start += kRun) {
    const int64_t stop = std::min(start + kRun, n);
    Vector sum{};
    int64_t i = start;
    for (; i + kLanes <= stop; i += kLanes) {
      const Vector d = Load(x + i) - *mean;
      sum += d * d;
    }
    float rest = Sum(sum);
    for (; i < stop; ++i) rest += (x[i] - *mean) * (x[i] - *mean);
    squares += rest;
  }
  *scale = static_cast<float>(1.0 / std::sqrt(squares / n + epsilon));
}

// y = x * scale + shift, then SiLU if asked for.
void ScaleShift(const float* x, float* y, int64_t n, float scale, float shift, bool silu) {
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    const Vector v = Load(x + i) * scale + shift;
    Store(y + i, silu ? Silu(v) : v);
  }
  for (; i < n; ++i) {
    const float v = x[i] * scale + shift;
    y[i] = silu ? v / (1.0f + std::exp(-v)) : v;
  }
}

// Rows of pixels, each (x * scale + shift) times its own pixel's factor, plus its own pixel's term; then SiLU if asked for.
void Modulate(const float* x, float* y, int64_t n, float scale, float shift, const float* factors, const float* terms,
              bool silu) {
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    const Vector v = (Load(x + i) * scale + shift) * Load(factors + i) + Load(terms + i);
    Store(y + i, silu ? Silu(v) : v);
  }
  for (; i < n; ++i) {
    const float v = (x[i] * scale + shift) * factors[i] + terms[i];
    y[i] = silu ? v / (1.0f + std::exp(-v)) : v;
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
  const int64_t groups = static_cast<int64_t>(settings[0]), width = c / groups;
  const float epsilon = settings[1];
  const bool silu = settings[2] != 0.0f;
  TheCrew().Share(b * groups, [&](int64_t group) {
    const int64_t row = group / groups;
    const float* from = x + group * width * pixels;
    float mean, deviation;
    Statistics(from, width * pixels, epsilon, &mean, &deviation);
    for (int64_t i = 0; i < width; ++i) {
      const int64_t channel = (group % groups) * width + i;
      const float outer = time == nullptr ? 1.0f : 1.0f + time[2 * row * c + channel];
      const float term = time == nullptr ? 0.0f : time[(2 * row + 1) * c + channel];
      const float scale = deviation * weight[channel];
      const float shift = bias[channel] - mean * scale;
      ScaleShift(from + i * pixels, y + (group * width + i) * pixels, pixels, scale * outer,
                 shift * outer + term, silu);
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
  const int64_t groups = static_cast<int64_t>(settings[0]), width = c / groups;
  const bool silu = settings[2] != 0.0f;
  TheCrew().Share(b * groups, [&](int64_t group) {
    float* factors = Scratch<Use::kTask>(2 * w);
    float* terms = factors + w;
    float mean, deviation;
    Statistics(x + group * width * h * w, width * h * w, settings[1], &mean, &deviation);
    for (int64_t i = 0; i < width * rows; ++i) {
      const int64_t plane = group * width + i / rows, channel = plane % c, row = i % rows;
      const float scale = deviation * weight[channel];
      for (int64_t j = 0; j < columns; ++j) {
        std::fill_n(factors + j * factor, factor, scales[(plane * rows + row) * columns + j]);
        std::fill_n(terms + j * factor, factor, shifts[(plane * rows + row) * columns + j]);
      }
      for (int64_t line = row * factor; line < (row + 1) * factor; ++line)
        Modulate(x + (plane * h + line) * w, y + (plane * h + line) * w, w, scale, bias[channel] - mean * scale, factors,
                 terms, silu);
    }
  });
  return 0;
}
