// What norms are made of.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "vectors.h"

// Mean and 1 / sqrt(variance + epsilon) of n numbers; the variance is that about the mean, as in the plain operator.
inline void Statistics(const float* x, int64_t n, float epsilon, float* mean, float* scale) {
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
