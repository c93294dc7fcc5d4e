// The CPU's fast paths, as ahead-of-time custom operators of MindSpore (ops.Custom, func_type="aot").
//
// Each operator gets pointers to its inputs, then to its outputs, with their shapes; all tensors are contiguous float32.
// A return value of 0 is success; anything else makes MindSpore raise.

#include <algorithm>
#include <atomic>
#include <cmath>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#ifdef __F16C__
#include <immintrin.h>
#endif

namespace {

// Threads that share numbered tasks. They sleep between two calls: OpenMP's spin, and take the cores from MindSpore's.
class Crew {
 public:
  explicit Crew(int64_t size) : size_(size) {
    for (int64_t i = 1; i < size_; ++i) std::thread([this] { Serve(); }).detach();
  }

  int64_t size() const { return size_; }

  // Does task(0) … task(count - 1), in any order, and returns when all are done. The caller takes its part.
  void Share(int64_t count, const std::function<void(int64_t)>& task) {
    const std::lock_guard<std::mutex> one_at_a_time(calls_);
    auto work = std::make_shared<Work>(count, task);
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      work_ = work;
      ++generation_;
    }
    wake_.notify_all();
    work->Help();
    std::unique_lock<std::mutex> lock(work->mutex);
    work->done.wait(lock, [&] { return work->finished == count; });
  }

 private:
  struct Work {
    Work(int64_t count, const std::function<void(int64_t)>& task) : count(count), task(task) {}

    void Help() {
      int64_t own = 0;
      for (int64_t i; (i = next.fetch_add(1)) < count; ++own) task(i);
      const std::lock_guard<std::mutex> lock(mutex);
      finished += own;
      if (finished == count) done.notify_all();
    }

    const int64_t count;
    const std::function<void(int64_t)>& task;  // not touched once all tasks are taken
    std::atomic<int64_t> next{0};
    std::mutex mutex;
    std::condition_variable done;
    int64_t finished = 0;
  };

  void Serve() {
    for (int64_t seen = 0;;) {
      std::unique_lock<std::mutex> lock(mutex_);
      wake_.wait(lock, [&] { return generation_ != seen; });
      seen = generation_;
      const std::shared_ptr<Work> work = work_;
      lock.unlock();
      work->Help();
    }
  }

  const int64_t size_;
  std::mutex calls_, mutex_;
  std::condition_variable wake_;
  std::shared_ptr<Work> work_;
  int64_t generation_ = 0;
};

std::atomic<int64_t> threads{1};

// Never destroyed: its threads sleep until the process ends.
Crew& TheCrew() {
  static Crew* crew = new Crew(threads);
  return *crew;
}

// Calls run(first, last) for ranges that together are 0 … count.
template <typename Run>
void ForRanges(int64_t count, const Run& run) {
  const int64_t ranges = std::min(count, 4 * TheCrew().size());
  TheCrew().Share(ranges, [&](int64_t i) { run(count * i / ranges, count * (i + 1) / ranges); });
}

constexpr int kLanes = 16;
typedef float Vector __attribute__((vector_size(kLanes * sizeof(float)), aligned(4), may_alias));
typedef int32_t Integers __attribute__((vector_size(kLanes * sizeof(int32_t)), aligned(4)));

Vector Load(const float* from) { return *reinterpret_cast<const Vector*>(from); }

void Store(float* to, Vector v) { *reinterpret_cast<Vector*>(to) = v; }

Vector Splat(float value) { return Vector{} + value; }

// exp(x), to 2 units in the last place; below -87 it is 0. Range reduction and polynomial as in Cephes' expf.
Vector Exp(Vector x) {
  const Integers tiny = x < -87.0f;
  x = x < -87.0f ? Splat(-87.0f) : x;
  x = x > 88.0f ? Splat(88.0f) : x;
  const Vector shifted = x * 1.44269504f + 12582912.0f;  // rounds to an integer in the low bits
  const Vector n = shifted - 12582912.0f;
  const Vector r = (x - n * 0.693359375f) - n * -2.12194440e-4f;
  Vector p = Splat(1.9875691500e-4f);
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * r * r + r + 1.0f;
  const Integers exponent = ((Integers)shifted - 0x4B400000 + 127) << 23;
  const Vector result = p * (Vector)exponent;
  return tiny ? Vector{} : result;
}

Vector Silu(Vector x) { return x / (1.0f + Exp(-x)); }

float Sum(Vector v) {
  float sum = 0.0f;
  for (int lane = 0; lane < kLanes; ++lane) sum += v[lane];
  return sum;
}

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

int64_t Elements(const int64_t* shape, int first, int last) {
  int64_t product = 1;
  for (int axis = first; axis < last; ++axis) product *= shape[axis];
  return product;
}

}  // namespace

// How many threads the operators share. Both are called by ctypes, the first before the first operator.
extern "C" void SetThreads(int64_t count) { threads = count; }
extern "C" int64_t Threads() { return TheCrew().size(); }

// Group norm, with a scale and a shift of each row and channel after it, and SiLU last.
//
// Inputs: x (b, c, ...), weight (c), bias (c), scale (b, c), shift (b, c), settings (3): groups, epsilon, SiLU or not.
// Output, like x: silu((norm(x) * weight + bias) * (1 + scale) + shift).
extern "C" int GroupNorm(int nparam, void** params, int* ndims, int64_t** shapes, const char**, void*, void*) {
  if (nparam != 7) return 1;
  const float* x = static_cast<const float*>(params[0]);
  const float* weight = static_cast<const float*>(params[1]);
  const float* bias = static_cast<const float*>(params[2]);
  const float* scales = static_cast<const float*>(params[3]);
  const float* shifts = static_cast<const float*>(params[4]);
  const float* settings = static_cast<const float*>(params[5]);
  float* y = static_cast<float*>(params[6]);
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
      const float outer = 1.0f + scales[row * c + channel];
      const float scale = deviation * weight[channel];
      const float shift = bias[channel] - mean * scale;
      ScaleShift(from + i * pixels, y + (group * width + i) * pixels, pixels, scale * outer,
                 shift * outer + shifts[row * c + channel], silu);
    }
  });
  return 0;
}

namespace {

constexpr int kRows = 6;      // of what registers hold: queries, or output channels
constexpr int kColumns = 64;  // four vectors: keys, or tiles
constexpr int kVectors = kColumns / kLanes;

// Six rows of a matrix, any of them repeated.
struct Rows {
  const float* at[kRows];

  // Rows of a stride, the last of them again where there are fewer than six.
  Rows(const float* first, int64_t stride, int64_t count = kRows) {
    for (int64_t row = 0; row < kRows; ++row) at[row] = first + std::min(row, count - 1) * stride;
  }
};

// What registers hold: out (6, 64) = a (6, depth) times b (depth, 64), of whose columns only so many vectors count.
// a's columns are a stride apart. With add, the product is added to what out holds.
template <int vectors>
void Product(const Rows& a, int64_t column_stride, const float* b, int64_t depth, float* out, bool add) {
  Vector sums[kRows][vectors] = {};
  for (int64_t k = 0; k < depth; ++k) {
    Vector columns[vectors];
#pragma GCC unroll 8
    for (int v = 0; v < vectors; ++v) columns[v] = Load(b + k * kColumns + v * kLanes);
#pragma GCC unroll 8
    for (int row = 0; row < kRows; ++row) {
      const float factor = a.at[row][k * column_stride];
#pragma GCC unroll 8
      for (int v = 0; v < vectors; ++v) sums[row][v] += factor * columns[v];
    }
  }
#pragma GCC unroll 8
  for (int row = 0; row < kRows; ++row)
#pragma GCC unroll 8
    for (int v = 0; v < vectors; ++v) {
      float* to = out + row * kColumns + v * kLanes;
      Store(to, add ? Load(to) + sums[row][v] : sums[row][v]);
    }
}

// Product, with as many vectors as so many columns take.
void Multiply(const Rows& a, int64_t column_stride, const float* b, int64_t depth, int64_t columns, float* out,
              bool add) {
  switch ((columns + kLanes - 1) / kLanes) {
    case 1: return Product<1>(a, column_stride, b, depth, out, add);
    case 2: return Product<2>(a, column_stride, b, depth, out, add);
    case 3: return Product<3>(a, column_stride, b, depth, out, add);
    default: return Product<kVectors>(a, column_stride, b, depth, out, add);
  }
}

// out (6, d) += weights (6, 64) times values (64, d, of stride), for 64 columns of d at a time.
void Mix(const float* weights, const float* values, int64_t stride, int64_t keys, int64_t d, float* out) {
  for (int64_t column = 0; column < d; column += kColumns) {
    const int vectors = static_cast<int>(std::min<int64_t>(kColumns, d - column) / kLanes);
    if (vectors == kVectors) {
      Vector sums[kRows][kVectors];
#pragma GCC unroll 8
      for (int q = 0; q < kRows; ++q)
#pragma GCC unroll 8
        for (int v = 0; v < kVectors; ++v) sums[q][v] = Load(out + q * d + column + v * kLanes);
      for (int64_t k = 0; k < keys; ++k) {
        Vector value[kVectors];
#pragma GCC unroll 8
        for (int v = 0; v < kVectors; ++v) value[v] = Load(values + k * stride + column + v * kLanes);
#pragma GCC unroll 8
        for (int q = 0; q < kRows; ++q)
#pragma GCC unroll 8
          for (int v = 0; v < kVectors; ++v) sums[q][v] += weights[q * kColumns + k] * value[v];
      }
#pragma GCC unroll 8
      for (int q = 0; q < kRows; ++q)
#pragma GCC unroll 8
        for (int v = 0; v < kVectors; ++v) Store(out + q * d + column + v * kLanes, sums[q][v]);
    } else {
      for (int q = 0; q < kRows; ++q)
        for (int v = 0; v < vectors; ++v) {
          Vector sum = Load(out + q * d + column + v * kLanes);
          for (int64_t k = 0; k < keys; ++k)
            sum += weights[q * kColumns + k] * Load(values + k * stride + column + v * kLanes);
          Store(out + q * d + column + v * kLanes, sum);
        }
    }
  }
}

// Six queries against all keys, with the running maximum and sum of arXiv:2205.14135: no row of logits is ever whole.
class Softmax {
 public:
  explicit Softmax(int64_t d) : d_(d), out_(kRows * d) {
    std::fill(maximum_, maximum_ + kRows, -INFINITY);
    std::fill(sum_, sum_ + kRows, 0.0f);
  }

  void Add(float* logits, int64_t keys, const float* values, int64_t stride) {
    for (int q = 0; q < kRows; ++q) {
      float* row = logits + q * kColumns;
      std::fill(row + keys, row + kColumns, -INFINITY);
      Vector largest = Load(row);
      for (int v = 1; v < kVectors; ++v) {
        const Vector other = Load(row + v * kLanes);
        largest = largest > other ? largest : other;
      }
      float maximum = maximum_[q];
      for (int lane = 0; lane < kLanes; ++lane) maximum = std::max(maximum, largest[lane]);
      const float shrink = std::exp(maximum_[q] - maximum);
      maximum_[q] = maximum;
      Vector sum{};
      for (int v = 0; v < kVectors; ++v) {
        const Vector weight = Exp(Load(row + v * kLanes) - maximum);
        Store(row + v * kLanes, weight);
        sum += weight;
      }
      sum_[q] = sum_[q] * shrink + Sum(sum);
      if (shrink != 1.0f)
        for (int64_t i = 0; i < d_; ++i) out_[q * d_ + i] *= shrink;
    }
    Mix(logits, values, stride, keys, d_, out_.data());
  }

  void Write(float* to, int64_t stride, int64_t queries) const {
    for (int64_t q = 0; q < queries; ++q)
      for (int64_t i = 0; i < d_; ++i) to[q * stride + i] = out_[q * d_ + i] / sum_[q];
  }

 private:
  int64_t d_;
  std::vector<float> out_;
  float maximum_[kRows];
  float sum_[kRows];
};

}  // namespace

// Attention without the matrix of logits in memory.
//
// Inputs: query (b, n, heads * d), key and value (b, m, heads * d), settings (1): heads. d is a multiple of 16.
// Output, like query: softmax(query * key^T / sqrt(d)) * value, head by head.
extern "C" int Attention(int nparam, void** params, int*, int64_t** shapes, const char**, void*, void*) {
  if (nparam != 5) return 1;
  const float* query = static_cast<const float*>(params[0]);
  const float* key = static_cast<const float*>(params[1]);
  const float* value = static_cast<const float*>(params[2]);
  const int64_t heads = static_cast<int64_t>(static_cast<const float*>(params[3])[0]);
  float* out = static_cast<float*>(params[4]);
  const int64_t b = shapes[0][0], n = shapes[0][1], width = shapes[0][2], m = shapes[1][1], d = width / heads;
  if (d % kLanes != 0) return 2;
  const float scale = 1.0f / std::sqrt(static_cast<float>(d));
  const int64_t blocks = (m + kColumns - 1) / kColumns;
  // Each task packs the keys of a head; four tasks a thread are enough to share the work evenly.
  const int64_t wanted = (4 * TheCrew().size() + b * heads - 1) / (b * heads);
  const int64_t chunk = ((n + wanted - 1) / wanted + kRows - 1) / kRows * kRows;
  const int64_t chunks = (n + chunk - 1) / chunk;
  TheCrew().Share(b * heads * chunks, [&](int64_t task) {
    std::vector<float> packed(blocks * d * kColumns), rows(kRows * d);
    float logits[kRows * kColumns];
    const int64_t head = (task / chunks) % heads, row = task / (chunks * heads), first = (task % chunks) * chunk;
    const float* keys = key + row * m * width + head * d;
    for (int64_t block = 0; block < blocks; ++block)
      for (int64_t j = 0; j < kColumns; ++j) {
        const int64_t k = std::min(block * kColumns + j, m - 1);
        for (int64_t i = 0; i < d; ++i) packed[(block * d + i) * kColumns + j] = keys[k * width + i];
      }
    for (int64_t q = first; q < std::min(first + chunk, n); q += kRows) {
      for (int64_t i = 0; i < kRows; ++i) {
        const float* from = query + (row * n + std::min(q + i, n - 1)) * width + head * d;
        for (int64_t k = 0; k < d; ++k) rows[i * d + k] = from[k] * scale;
      }
      Softmax softmax(d);
      for (int64_t block = 0; block < blocks; ++block) {
        const int64_t start = block * kColumns;
        Product<kVectors>(Rows(rows.data(), d), 1, packed.data() + block * d * kColumns, d, logits, false);
        softmax.Add(logits, std::min<int64_t>(kColumns, m - start), value + (row * m + start) * width + head * d, width);
      }
      softmax.Write(out + (row * n + q) * width + head * d, width, std::min<int64_t>(kRows, n - q));
    }
  });
  return 0;
}

namespace {

// Winograd's F(4 x 4, 3 x 3) (arXiv:1509.09308): 36 products make 16 outputs of a 3 x 3 convolution.
constexpr int kTile = 4;
constexpr int kPatch = 6;
constexpr int kPoints = kPatch * kPatch;
constexpr int kTiles = kColumns;
constexpr int kOut = kRows;

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

struct Map {
  int64_t b, h, w, down, across;  // down and across: tiles of a picture

  int64_t tiles() const { return b * down * across; }
  int64_t blocks() const { return (tiles() + kTiles - 1) / kTiles; }
};

// One channel of all pictures into the transformed input, (36, blocks, channels, 64).
void TransformChannel(const float* x, int64_t channel, int64_t channels, const Map& map, float* padded, float* v) {
  const int64_t width = map.across * kTile + 2, height = map.down * kTile + 2;
  Vector d[kPoints];
  float* lanes = reinterpret_cast<float*>(d);
  int64_t tile = 0;
  for (int64_t row = 0; row < map.b; ++row) {
    const float* picture = x + (row * channels + channel) * map.h * map.w;
    std::fill(padded, padded + width * height, 0.0f);
    for (int64_t i = 0; i < map.h; ++i) std::copy_n(picture + i * map.w, map.w, padded + (i + 1) * width + 1);
    for (int64_t own = 0; own < map.down * map.across; ++own, ++tile) {
      const float* corner = padded + (own / map.across * width + own % map.across) * kTile;
      const int lane = tile % kLanes;
      for (int i = 0; i < kPatch; ++i)
        for (int j = 0; j < kPatch; ++j) lanes[(i * kPatch + j) * kLanes + lane] = corner[i * width + j];
      if (lane != kLanes - 1 && tile != map.tiles() - 1) continue;
      for (int j = 0; j < kPatch; ++j) TransformInput(d + j, kPatch);
      for (int i = 0; i < kPatch; ++i) TransformInput(d + i * kPatch, 1);
      const int64_t start = tile - lane;
      for (int point = 0; point < kPoints; ++point)
        Store(v + ((point * map.blocks() + start / kTiles) * channels + channel) * kTiles + start % kTiles, d[point]);
    }
  }
}

// One channel of all pictures out of the products, (36, blocks, channels, 64).
void WriteChannel(const float* m, int64_t channel, int64_t padded_channels, int64_t channels, const Map& map,
                  float bias, float* y) {
  Vector d[kPoints], half[kTile * kPatch], out[kTile * kTile];
  const float* lanes = reinterpret_cast<const float*>(out);
  for (int64_t start = 0; start < map.tiles(); start += kLanes) {
    for (int point = 0; point < kPoints; ++point)
      d[point] = Load(m + ((point * map.blocks() + start / kTiles) * padded_channels + channel) * kTiles +
                      start % kTiles);
    for (int j = 0; j < kPatch; ++j) TransformOutput(d + j, kPatch, half + j, kPatch);
    for (int i = 0; i < kTile; ++i) TransformOutput(half + i * kPatch, 1, out + i * kTile, 1);
    for (int64_t tile = start; tile < std::min(start + kLanes, map.tiles()); ++tile) {
      const int64_t row = tile / (map.down * map.across), own = tile % (map.down * map.across);
      const int64_t top = own / map.across * kTile, left = own % map.across * kTile;
      float* picture = y + (row * channels + channel) * map.h * map.w;
      for (int64_t i = 0; i < std::min<int64_t>(kTile, map.h - top); ++i)
        for (int64_t j = 0; j < std::min<int64_t>(kTile, map.w - left); ++j)
          picture[(top + i) * map.w + left + j] = lanes[(i * kTile + j) * kLanes + tile - start] + bias;
    }
  }
}

// Memory that a thread keeps between calls, for each use its own: fresh memory costs a page fault for every 4 KiB.
enum class Use { kCall, kTask };

template <Use use>
float* Scratch(int64_t floats) {
  static thread_local std::unique_ptr<float[]> memory;
  static thread_local int64_t size = 0;
  if (size < floats) {
    memory.reset(new float[floats]);
    size = floats;
  }
  return memory.get();
}

}  // namespace

// A 3 x 3 convolution of stride 1 that keeps the size.
//
// Inputs: x (b, c_in, h, w), weights (36, ceil(c_out / 6), c_in, 6), transformed, bias (c_out).
// Output: (b, c_out, h, w).
extern "C" int Convolution(int nparam, void** params, int*, int64_t** shapes, const char**, void*, void*) {
  if (nparam != 4) return 1;
  const float* x = static_cast<const float*>(params[0]);
  const float* weights = static_cast<const float*>(params[1]);
  const float* bias = static_cast<const float*>(params[2]);
  float* y = static_cast<float*>(params[3]);
  const int64_t c_in = shapes[0][1], c_out = shapes[2][0], groups = shapes[1][1];
  const int64_t h = shapes[0][2], w = shapes[0][3];
  const Map map{shapes[0][0], h, w, (h + kTile - 1) / kTile, (w + kTile - 1) / kTile};
  const int64_t padded_size = (map.across * kTile + 2) * (map.down * kTile + 2);
  const int64_t input_size = kPoints * map.blocks() * c_in * kTiles;
  float* v = Scratch<Use::kCall>(input_size + kPoints * map.blocks() * groups * kOut * kTiles);
  float* m = v + input_size;
  ForRanges(c_in, [&](int64_t first, int64_t last) {
    const std::unique_ptr<float[]> padded(new float[padded_size]);
    for (int64_t channel = first; channel < last; ++channel) TransformChannel(x, channel, c_in, map, padded.get(), v);
  });
  ForRanges(kPoints * map.blocks() * groups, [&](int64_t first, int64_t last) {
    for (int64_t task = first; task < last; ++task) {
      const int64_t block = task / groups, group = task % groups;
      // The weights are packed as (c_in, 6).
      const float* own = weights + (block / map.blocks() * groups + group) * c_in * kOut;
      const int64_t tiles = std::min<int64_t>(kTiles, map.tiles() - block % map.blocks() * kTiles);
      Multiply(Rows(own, 1), kOut, v + block * c_in * kTiles, c_in, tiles, m + task * kOut * kTiles, false);
    }
  });
  ForRanges(c_out, [&](int64_t first, int64_t last) {
    for (int64_t channel = first; channel < last; ++channel)
      WriteChannel(m, channel, groups * kOut, c_out, map, bias[channel], y);
  });
  return 0;
}

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
  ForRanges(count, [&](int64_t first, int64_t last) {
    std::fill(to + first * window.area(), to + last * window.area(), 0.0f);
    for (int64_t i = first; i < last; ++i)
      for (int64_t row = 0; row < window.h; ++row)
        std::copy_n(x + (i * window.h + row) * window.w, window.w,
                    to + i * window.area() + (row + window.padding()) * window.width() + window.padding());
  });
}

// Pixels of the result that are computed together, and where the window's first corner and the result are for each.
struct Pixels {
  int64_t count;
  int32_t corner[kColumns];
  int64_t out[kColumns];

  Pixels(int64_t first, int64_t all, const Window& window, int64_t c_out) : count(std::min<int64_t>(kColumns, all - first)) {
    const int64_t area = window.h * window.w;
    for (int64_t j = 0; j < kColumns; ++j) {
      const int64_t pixel = std::min(first + j, all - 1), row = pixel / area, y = pixel % area / window.w;
      corner[j] = static_cast<int32_t>(row * window.c_in * window.area() + y * window.width() + pixel % window.w);
      out[j] = row * c_out * area + pixel % area;
    }
  }
};

constexpr int64_t kDepth = 2048;  // of a panel, (2048, 64), that stays in a core's second cache
constexpr int64_t kPartial = 256;  // products that are summed before they are added to the rest: float32 keeps more of them so

// What the window's places first ... first + count see at each pixel, (count, 64).
void FillPanel(const float* padded, const Window& window, const Pixels& pixels, int64_t first, int64_t count,
               float* panel) {
  const int64_t places = window.kernel * window.kernel;
  for (int64_t k = 0; k < count; ++k) {
    const int64_t channel = (first + k) / places, place = (first + k) % places;
    const float* from =
        padded + channel * window.area() + place / window.kernel * window.width() + place % window.kernel;
    for (int64_t j = 0; j < kColumns; ++j) panel[k * kColumns + j] = from[pixels.corner[j]];
  }
}

}  // namespace

// A convolution of stride 1 that keeps the size, as a product of matrices. For small maps, 1 x 1 windows, and weights
// that are too many to be transformed.
//
// Inputs: x (b, c_in, h, w), weights (c_out, c_in, k, k), bias (c_out); k is odd. Output: (b, c_out, h, w).
extern "C" int DirectConvolution(int nparam, void** params, int*, int64_t** shapes, const char**, void*, void*) {
  if (nparam != 4) return 1;
  const float* x = static_cast<const float*>(params[0]);
  const float* weights = static_cast<const float*>(params[1]);
  const float* bias = static_cast<const float*>(params[2]);
  float* y = static_cast<float*>(params[3]);
  const int64_t b = shapes[0][0], c_out = shapes[1][0];
  const Window window{shapes[0][1], shapes[1][2], shapes[0][2], shapes[0][3]};
  if (b * window.c_in * window.area() > INT32_MAX) return 2;
  const float* padded = x;
  if (window.padding() > 0) {
    float* copy = Scratch<Use::kCall>(b * window.c_in * window.area());
    Pad(x, b * window.c_in, window, copy);
    padded = copy;
  }
  const int64_t area = window.h * window.w, all = b * area, depth = window.depth();
  const int64_t blocks = (all + kColumns - 1) / kColumns, groups = (c_out + kRows - 1) / kRows;
  // Where there are few pixels, several tasks take different channels of the same ones.
  const int64_t splits = std::min(groups, (2 * TheCrew().size() + blocks - 1) / blocks);
  TheCrew().Share(blocks * splits, [&](int64_t task) {
    const Pixels pixels(task / splits * kColumns, all, window, c_out);
    const int64_t first = groups * (task % splits) / splits, last = groups * (task % splits + 1) / splits;
    float* panel = Scratch<Use::kTask>(kDepth * kColumns + (last - first) * kRows * kColumns);
    float* sums = panel + kDepth * kColumns;
    for (int64_t start = 0; start < depth; start += kDepth) {
      const int64_t count = std::min(kDepth, depth - start);
      FillPanel(padded, window, pixels, start, count, panel);
      for (int64_t group = first; group < last; ++group)
        for (int64_t run = 0; run < count; run += kPartial)
          Multiply(Rows(weights + group * kRows * depth + start + run, depth, c_out - group * kRows), 1,
                   panel + run * kColumns, std::min(kPartial, count - run), pixels.count,
                   sums + (group - first) * kRows * kColumns, start + run > 0);
    }
    for (int64_t channel = first * kRows; channel < std::min(last * kRows, c_out); ++channel)
      for (int64_t j = 0; j < pixels.count; ++j)
        y[pixels.out[j] + channel * area] = sums[(channel - first * kRows) * kColumns + j] + bias[channel];
  });
  return 0;
}

// Float16 as float32, in one pass. Returns whether all of it is finite. Called by ctypes, not by MindSpore.
extern "C" int Widen(const uint16_t* from, float* to, int64_t count) {
  uint16_t largest = 0;
  for (int64_t i = 0; i < count; ++i) largest = std::max<uint16_t>(largest, from[i] & 0x7FFF);
  int64_t i = 0;
#ifdef __F16C__
  for (; i + 8 <= count; i += 8)
    _mm256_storeu_ps(to + i, _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from + i))));
#endif
  for (; i < count; ++i) to[i] = static_cast<float>(reinterpret_cast<const _Float16*>(from)[i]);
  return largest < 0x7C00;  // what infinity and NaN begin at
}
