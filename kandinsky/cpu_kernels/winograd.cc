// Winograd's F(4 x 4, 3 x 3) (arXiv:1509.09308): 36 products make 16 outputs of a 3 x 3 convolution.
//
// A task does all three stages, into the transformed form, products, and back, for 32 tiles: what is between the stages
// stays in a core's second cache.

#include <algorithm>

#include "crew.h"
#include "product.h"
#include "scratch.h"

namespace {

constexpr int kTile = 4;
constexpr int kPatch = 6;
constexpr int kPoints = kPatch * kPatch;

// B^T d, on the six vectors at stride apart.
void TransformInput(Vector* d, int stride) {
  const Vector d0 = d[0], d1 = d[stride], d2 = d[2 * stride], d3 = d[3 * stride], d4 = d[4 * stride],
               d5 = d[5 * stride];
  d[0] = 4.0f * d0 - 5.0f * d2 + d4;
  d[stride] = d3 + d4 - 4.0f * (d1 + d2);
  d[2 * stride] = 4.0f * (d1 - d2) - d3 + d4;
  d[3 * stride] = 2.0f * (d3 - d1) - d2 + d4;
  d[4 * stride] = 2.0f * (d1 - d3) - d2 + d4;
  d[5 * stride] = 4.0f * d1 - 5.0f * d3 + d5;
}

// A^T m: six vectors at stride apart become four.
void TransformOutput(const Vector* m, int stride, Vector* y, int y_stride) {
  const Vector m0 = m[0], m1 = m[stride], m2 = m[2 * stride], m3 = m[3 * stride], m4 = m[4 * stride],
               m5 = m[5 * stride];
  y[0] = m0 + m1 + m2 + m3 + m4;
  y[y_stride] = m1 - m2 + 2.0f * (m3 - m4);
  y[2 * y_stride] = m1 + m2 + 4.0f * (m3 + m4);
  y[3 * y_stride] = m1 - m2 + 8.0f * (m3 - m4) + m5;
}

// Sixteen times four floats as four vectors, of the first, second, third and fourth of each four.
void Part(const float* from, Vector* to) {
  const Vector a = Load(from), b = Load(from + kLanes), c = Load(from + 2 * kLanes), d = Load(from + 3 * kLanes);
  const Vector ab01 = __builtin_shufflevector(a, b, 0, 4, 8, 12, 16, 20, 24, 28, 1, 5, 9, 13, 17, 21, 25, 29);
  const Vector ab23 = __builtin_shufflevector(a, b, 2, 6, 10, 14, 18, 22, 26, 30, 3, 7, 11, 15, 19, 23, 27, 31);
  const Vector cd01 = __builtin_shufflevector(c, d, 0, 4, 8, 12, 16, 20, 24, 28, 1, 5, 9, 13, 17, 21, 25, 29);
  const Vector cd23 = __builtin_shufflevector(c, d, 2, 6, 10, 14, 18, 22, 26, 30, 3, 7, 11, 15, 19, 23, 27, 31);
  to[0] = __builtin_shufflevector(ab01, cd01, 0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23);
  to[1] = __builtin_shufflevector(ab01, cd01, 8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30, 31);
  to[2] = __builtin_shufflevector(ab23, cd23, 0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23);
  to[3] = __builtin_shufflevector(ab23, cd23, 8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30, 31);
}

// The reverse.
void Join(const Vector* from, float* to) {
  const Vector low01 = __builtin_shufflevector(from[0], from[1], 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
  const Vector low23 = __builtin_shufflevector(from[2], from[3], 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
  const Vector high01 =
      __builtin_shufflevector(from[0], from[1], 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
  const Vector high23 =
      __builtin_shufflevector(from[2], from[3], 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
  Store(to, __builtin_shufflevector(low01, low23, 0, 1, 16, 17, 2, 3, 18, 19, 4, 5, 20, 21, 6, 7, 22, 23));
  Store(to + kLanes, __builtin_shufflevector(low01, low23, 8, 9, 24, 25, 10, 11, 26, 27, 12, 13, 28, 29, 14, 15, 30, 31));
  Store(to + 2 * kLanes, __builtin_shufflevector(high01, high23, 0, 1, 16, 17, 2, 3, 18, 19, 4, 5, 20, 21, 6, 7, 22, 23));
  Store(to + 3 * kLanes,
        __builtin_shufflevector(high01, high23, 8, 9, 24, 25, 10, 11, 26, 27, 12, 13, 28, 29, 14, 15, 30, 31));
}

// Neighbouring tiles of a row of tiles: lanes lane … lane + count of a vector.
struct Run {
  int64_t lane, count, picture, top, left;  // top and left: the first pixel of the first tile
};

struct Map {
  int64_t b, h, w, down, across;  // down and across: tiles of a picture

  int64_t tiles() const { return b * down * across; }

  // The runs of tiles first … first + 16.
  template <typename Each>
  void Runs(int64_t first, const Each& each) const {
    const int64_t last = std::min(first + kLanes, tiles());
    for (int64_t tile = first; tile < last;) {
      const int64_t column = tile % across, row = tile / across, count = std::min(across - column, last - tile);
      each(Run{tile - first, count, row / down, row % down * kTile, column * kTile});
      tile += count;
    }
  }
};

// So many pixels of a line of w, from a column on; what is beside the line is 0.
void CopyLine(const float* line, int64_t w, int64_t column, int64_t count, float* to) {
  const int64_t before = std::min(count, std::max<int64_t>(0, -column));
  const int64_t inside = std::max<int64_t>(0, std::min(count, w - column) - before);
  std::fill_n(to, before, 0.0f);
  std::copy_n(line + column + before, inside, to + before);
  std::fill_n(to + before + inside, count - before - inside, 0.0f);
}

// One channel of sixteen tiles into the transformed input: a vector for each point, stride floats apart.
void TransformTiles(const float* x, int64_t channel, int64_t channels, const Map& map, int64_t first, float* v,
                    int64_t stride) {
  float near[kPatch][kTile * kLanes] = {}, far[kPatch][kTile * kLanes] = {};  // a patch's first four columns, and the rest
  map.Runs(first, [&](const Run& run) {
    for (int i = 0; i < kPatch; ++i) {
      const int64_t y = run.top - 1 + i;
      if (y < 0 || y >= map.h) continue;
      const float* line = x + ((run.picture * channels + channel) * map.h + y) * map.w;
      CopyLine(line, map.w, run.left - 1, run.count * kTile, near[i] + run.lane * kTile);
      CopyLine(line, map.w, run.left - 1 + kTile, run.count * kTile, far[i] + run.lane * kTile);
    }
  });
  Vector d[kPoints], rest[kTile];
  for (int i = 0; i < kPatch; ++i) {
    Part(near[i], d + i * kPatch);
    Part(far[i], rest);
    d[i * kPatch + 4] = rest[0];
    d[i * kPatch + 5] = rest[1];
  }
  for (int j = 0; j < kPatch; ++j) TransformInput(d + j, kPatch);
  for (int i = 0; i < kPatch; ++i) TransformInput(d + i * kPatch, 1);
  for (int point = 0; point < kPoints; ++point) Store(v + point * stride, d[point]);
}

// One channel of sixteen tiles out of the products: a vector for each point, stride floats apart.
void WriteTiles(const float* m, int64_t stride, int64_t channel, int64_t channels, const Map& map, int64_t first,
                float bias, const float* residual, float* y) {
  Vector d[kPoints], half[kTile * kPatch], out[kTile];
  for (int point = 0; point < kPoints; ++point) d[point] = Load(m + point * stride);
  for (int j = 0; j < kPatch; ++j) TransformOutput(d + j, kPatch, half + j, kPatch);
  float lines[kTile][kTile * kLanes];
  for (int i = 0; i < kTile; ++i) {
    TransformOutput(half + i * kPatch, 1, out, 1);
    for (int j = 0; j < kTile; ++j) out[j] += bias;
    Join(out, lines[i]);
  }
  map.Runs(first, [&](const Run& run) {
    const int64_t corner = ((run.picture * channels + channel) * map.h + run.top) * map.w + run.left;
    const int64_t width = std::min(run.count * kTile, map.w - run.left);
    for (int64_t i = 0; i < std::min<int64_t>(kTile, map.h - run.top); ++i) {
      const float* line = lines[i] + run.lane * kTile;
      float* to = y + corner + i * map.w;
      if (residual == nullptr) {
        std::copy_n(line, width, to);
      } else {
        for (int64_t j = 0; j < width; ++j) to[j] = line[j] + residual[corner + i * map.w + j];
      }
    }
  });
}

}  // namespace

// A 3 x 3 convolution of stride 1 that keeps the size.
//
// Inputs: x (b, c_in, h, w), weights (36, ceil(c_out / 12), c_in, 12), transformed, bias (c_out) and, if
// there is one, what is to be added, like the output.
// Output: (b, c_out, h, w).
extern "C" int Convolution(int nparam, void** params, int*, int64_t** shapes, const char**, void*, void*) {
  if (nparam != 4 && nparam != 5) return 1;
  const float* x = static_cast<const float*>(params[0]);
  const float* weights = static_cast<const float*>(params[1]);
  const float* bias = static_cast<const float*>(params[2]);
  const float* residual = nparam == 5 ? static_cast<const float*>(params[3]) : nullptr;
  float* y = static_cast<float*>(params[nparam - 1]);
  const int64_t c_in = shapes[0][1], c_out = shapes[2][0], h = shapes[0][2], w = shapes[0][3];
  const Map map{shapes[0][0], h, w, (h + kTile - 1) / kTile, (w + kTile - 1) / kTile};
  const int64_t all_groups = (c_out + kRows - 1) / kRows, blocks = (map.tiles() + kColumns - 1) / kColumns;
  const int64_t crew = CrewSize();
  // Where blocks cannot be shared evenly, threads take different channels of the same ones.
  const int64_t splits = blocks % crew == 0 || blocks >= 4 * crew ? 1 : std::min(all_groups, crew);
  ForTasks(blocks * splits, blocks * kColumns * kPoints * c_in * all_groups * kRows, [&](int64_t task) {
    const int64_t tile = task / splits * kColumns, tiles = std::min<int64_t>(kColumns, map.tiles() - tile);
    const int64_t first = all_groups * (task % splits) / splits;
    const int64_t groups = all_groups * (task % splits + 1) / splits - first;
    // Of each point: v (c_in, 32), and m (groups * 12, 32). A power of two between points would crowd the first cache.
    const int64_t v_stride = c_in * kColumns + kColumns, m_stride = groups * kRows * kColumns + kColumns;
    float* v = Scratch(Use::kTask, kPoints * (v_stride + m_stride));
    float* m = v + kPoints * v_stride;
    for (int64_t channel = 0; channel < c_in; ++channel)
      for (int64_t start = 0; start < tiles; start += kLanes)
        TransformTiles(x, channel, c_in, map, tile + start, v + channel * kColumns + start, v_stride);
    for (int64_t point = 0; point < kPoints; ++point)
      for (int64_t group = 0; group < groups; ++group) {
        const float* own = weights + (point * all_groups + first + group) * c_in * kRows;
        const bool last = group + 1 == groups;
        const float* next = own + (last ? all_groups - groups + 1 : 1) * c_in * kRows;
        for (int64_t run = 0; run < c_in; run += kPartial)
          Multiply<1>({own + run * kRows, 1, kRows}, v + point * v_stride + run * kColumns,
                      std::min(kPartial, c_in - run), tiles, m + point * m_stride + group * kRows * kColumns, run > 0,
                      (last && point + 1 == kPoints ? own : next) + run * kLine);
      }
    for (int64_t out = 0; out < std::min(groups * kRows, c_out - first * kRows); ++out)
      for (int64_t start = 0; start < tiles; start += kLanes)
        WriteTiles(m + out * kColumns + start, m_stride, first * kRows + out, c_out, map, tile + start,
                   bias[first * kRows + out], residual, y);
  });
  return 0;
}

namespace {

// G g, on three numbers at stride apart, which become six.
void TransformWeights(const double* g, int stride, double* u, int u_stride) {
  const double even = g[0] + g[2 * stride], odd = g[stride];
  const double wide = g[0] + 4.0 * g[2 * stride], twice = 2.0 * g[stride];
  u[0] = g[0] / 4.0;
  u[u_stride] = -(even + odd) / 6.0;
  u[2 * u_stride] = -(even - odd) / 6.0;
  u[3 * u_stride] = (wide + twice) / 24.0;
  u[4 * u_stride] = (wide - twice) / 24.0;
  u[5 * u_stride] = g[2 * stride];
}

// The 36 numbers of one input and output channel's nine.
void TransformWeight(const float* weight, double* u) {
  double g[9], half[18];
  std::copy_n(weight, 9, g);
  for (int column = 0; column < 3; ++column) TransformWeights(g + column, 3, half + column, 3);
  for (int row = 0; row < kPatch; ++row) TransformWeights(half + row * 3, 1, u + row * kPatch, 1);
}

// New memory is filled by the thread that writes to it first, in huge pages where the system has them; two that come to
// one together would both fill it.
void TouchPages(float* memory, int64_t size) {
  constexpr int64_t kPage = (2 << 20) / sizeof(float);
  ForRanges((size + kPage - 1) / kPage, size * kCopy, [&](int64_t first, int64_t last) {
    for (int64_t page = first; page < last; ++page) memory[page * kPage] = 0.0f;
  });
}

}  // namespace

// Weights (c_out, c_in, 3, 3), transformed in float64, as (36, ceil(c_out / 12), c_in, 12), with zeros for channels that
// there are not. Called by ctypes.
extern "C" void PackConvolution(const float* weights, float* packed, int64_t c_out, int64_t c_in) {
  const int64_t groups = (c_out + kRows - 1) / kRows;
  TouchPages(packed, kPoints * groups * c_in * kRows);
  ForRanges(groups * c_in, groups * kRows * c_in * kPoints * kCopy, [&](int64_t first, int64_t last) {
    for (int64_t i = first; i < last; ++i) {
      const int64_t group = i / c_in, in = i % c_in;
      for (int64_t row = 0; row < kRows; ++row) {
        const int64_t out = group * kRows + row;
        double u[kPoints] = {};
        if (out < c_out) TransformWeight(weights + (out * c_in + in) * 9, u);
        for (int64_t point = 0; point < kPoints; ++point)
          packed[((point * groups + group) * c_in + in) * kRows + row] = static_cast<float>(u[point]);
      }
    }
  });
}
