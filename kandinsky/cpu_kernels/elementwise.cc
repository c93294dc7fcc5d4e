// Activations, on all threads.

#include <algorithm>
#include <cmath>

#include "crew.h"
#include "vectors.h"

namespace {

enum Kind { kSilu, kGelu, kQuickGelu };

Vector Activated(Vector x, Kind kind) {
  if (kind == kSilu) return Silu(x);
  if (kind == kGelu) return x * NormalCdf(x);
  return x / (1.0f + Exp(-1.702f * x));
}

}  // namespace

// Inputs: x, settings (1): 0 for SiLU, 1 for GELU by the error function, 2 for the GELU of OpenAI's CLIP. Output, like x.
extern "C" int Activation(int nparam, void** params, int* ndims, int64_t** shapes, const char**, void*, void*) {
  if (nparam != 3) return 1;
  const float* x = static_cast<const float*>(params[0]);
  const Kind kind = static_cast<Kind>(static_cast<const float*>(params[1])[0]);
  float* y = static_cast<float*>(params[2]);
  int64_t count = 1;
  for (int axis = 0; axis < ndims[0]; ++axis) count *= shapes[0][axis];
  ForRanges((count + kLanes - 1) / kLanes, count * kExp, [&](int64_t first, int64_t last) {
    for (int64_t i = first * kLanes; i < last * kLanes; i += kLanes) {
      if (i + kLanes <= count) {
        Store(y + i, Activated(Load(x + i), kind));
      } else {
        float rest[kLanes] = {};
        std::copy(x + i, x + count, rest);
        Store(rest, Activated(Load(rest), kind));
        std::copy(rest, rest + (count - i), y + i);
      }
    }
  });
  return 0;
}
