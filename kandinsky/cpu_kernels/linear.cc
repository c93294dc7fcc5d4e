// A linear layer, as a product of matrices of our own, over weights that were laid out for it once.

#include <algorithm>
#include <cstdint>

#include "crew.h"
#include "product.h"
#include "scratch.h"

namespace {

// A tile fetches an eighth of the next panel.
constexpr int kPace = 4;
constexpr int64_t kTilesAhead = kPace * kColumns / kLine;

// Rows row … row + 12 or fewer of y (rows, outs), outputs out … out + 32: x times a panel (depth, 32) of weights, plus
// the bias and, if there is one, what is to be added.
void MultiplyTile(const float* x, const float* panel, const float* bias, const float* residual, int64_t depth,
                  int64_t rows, float* y, int64_t outs, const float* ahead) {
  float tile[kRows * kColumns];  // of which rows beyond the last are not written out
  float* sums = rows == kRows ? y : tile;
  const int64_t stride = rows == kRows ? outs : kColumns;
  for (int64_t row = 0; row < rows; ++row)
    for (int64_t i = 0; i < kColumns; ++i)
      sums[row * stride + i] = residual == nullptr ? bias[i] : bias[i] + residual[row * outs + i];
  Room room;
  for (int64_t start = 0; start < depth; start += kPartial) {
    const int64_t count = std::min(kPartial, depth - start);
    Product<kVectors, kPace>(RowsOf(x + start, depth, rows, count, &room), panel + start * kColumns, count, sums,
                             stride, true, ahead + start / kPace * kLine);
  }
  if (rows < kRows)
    for (int64_t row = 0; row < rows; ++row) std::copy_n(tile + row * kColumns, kColumns, y + row * outs);
}

}  // namespace

// Inputs: x (..., in), weights (out / 32, in, 32) in the shape (out, in), bias (out) and, if there is one, what is to be
// added, like the output. Output: (..., out).
extern "C" int Linear(int nparam, void** params, int* ndims, int64_t** shapes, const char**, void*, void*) {
  if (nparam != 4 && nparam != 5) return 1;
  const float* x = static_cast<const float*>(params[0]);
  const float* weights = static_cast<const float*>(params[1]);
  const float* bias = static_cast<const float*>(params[2]);
  const float* residual = nparam == 5 ? static_cast<const float*>(params[3]) : nullptr;
  float* y = static_cast<float*>(params[nparam - 1]);
  const int64_t outs = shapes[1][0], depth = shapes[1][1], panels = outs / kColumns;
  if (outs % kColumns != 0) return 2;
  int64_t rows = 1;
  for (int axis = 0; axis + 1 < ndims[0]; ++axis) rows *= shapes[0][axis];
  const int64_t groups = (rows + kRows - 1) / kRows;
  // Panels stay in a core's second cache for all rows; where there are few, threads take different rows of the same one.
  const int64_t splits = std::min(groups, (4 * CrewSize() + panels - 1) / panels);
  ForRanges(panels * splits, groups * kRows * outs * depth, [&](int64_t first, int64_t last) {
    for (int64_t part = first; part < last; ++part) {
      const int64_t panel = part / splits, split = part % splits;
      const int64_t begin = groups * split / splits, end = groups * (split + 1) / splits;
      const float* own = weights + panel * kColumns * depth;
      const float* ahead = part + 1 < last ? weights + (part + 1) / splits * kColumns * depth : own;
      for (int64_t group = begin; group < end; ++group) {
        const int64_t row = group * kRows, out = panel * kColumns;
        MultiplyTile(x + row * depth, own, bias + out, residual == nullptr ? nullptr : residual + row * outs + out, depth,
                     std::min<int64_t>(kRows, rows - row), y + row * outs + out, outs,
                     ahead + (group - begin) % kTilesAhead * (depth / kPace * kLine));
      }
    }
  });
  return 0;
}

// Weights (out, in), out a multiple of 32, become panels (out / 32, in, 32) where they are. Called by ctypes.
extern "C" void PackLinear(float* weights, int64_t outs, int64_t depth) {
  ForRanges(outs / kColumns, outs * depth * kCopy, [&](int64_t first, int64_t last) {
    float* plain = Scratch(Use::kTask, kColumns * depth);
    for (int64_t panel = first; panel < last; ++panel) {
      float* own = weights + panel * kColumns * depth;
      std::copy_n(own, kColumns * depth, plain);
      for (int64_t k = 0; k < depth; ++k)
        for (int64_t j = 0; j < kColumns; ++j) own[k * kColumns + j] = plain[j * depth + k];
    }
  });
}
