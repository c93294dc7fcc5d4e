// Layer norm over the last axis.

#include "crew.h"
#include "statistics.h"
#include "vectors.h"

// Inputs: x (..., c), weight (c), bias (c), settings (1): epsilon. Output, like x: norm(x) * weight + bias.
extern "C" int LayerNorm(int nparam, void** params, int* ndims, int64_t** shapes, const char**, void*, void*) {
  if (nparam != 5) return 1;
  const float* x = static_cast<const float*>(params[0]);
  const float* weight = static_cast<const float*>(params[1]);
  const float* bias = static_cast<const float*>(params[2]);
  const float epsilon = static_cast<const float*>(params[3])[0];
  float* y = static_cast<float*>(params[4]);
  const int64_t c = shapes[1][0];
  int64_t rows = 1;
  for (int axis = 0; axis + 1 < ndims[0]; ++axis) rows *= shapes[0][axis];
  ForRanges(rows, rows * c * kNorm, [&](int64_t first, int64_t last) {
    for (int64_t row = first; row < last; ++row) {
      const float* from = x + row * c;
      float* to = y + row * c;
      float mean, scale;
      Statistics(from, c, epsilon, &mean, &scale);
      int64_t i = 0;
      for (; i + kLanes <= c; i += kLanes)
        Store(to + i, (Load(from + i) - mean) * scale * Load(weight + i) + Load(bias + i));
      for (; i < c; ++i) to[i] = (from[i] - mean) * scale * weight[i] + bias[i];
    }
  });
  return 0;
}
