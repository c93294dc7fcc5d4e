// Attention without the matrix of logits in memory.

#include <algorithm>
#include <cmath>

#include "crew.h"
#include "product.h"
#include "scratch.h"

namespace {

constexpr int kKeys = 2 * kColumns;  // whose logits are held at once
constexpr int kKeyVectors = kKeys / kLanes;

// Columns column … column + 32 or 16 of out (12, d) += weights (12, 64) times values (keys, d, of stride).
template <int vectors>
void MixColumns(const float* weights, const float* values, int64_t stride, int64_t keys, int64_t d, float* out) {
  Vector sums[kRows][vectors];
#pragma GCC unroll 12
  for (int q = 0; q < kRows; ++q)
#pragma GCC unroll 2
    for (int v = 0; v < vectors; ++v) sums[q][v] = Load(out + q * d + v * kLanes);
  for (int64_t k = 0; k < keys; ++k) {
    Vector value[vectors];
#pragma GCC unroll 2
    for (int v = 0; v < vectors; ++v) value[v] = Load(values + k * stride + v * kLanes);
#pragma GCC unroll 12
    for (int q = 0; q < kRows; ++q)
#pragma GCC unroll 2
      for (int v = 0; v < vectors; ++v) sums[q][v] += weights[q * kKeys + k] * value[v];
  }
#pragma GCC unroll 12
  for (int q = 0; q < kRows; ++q)
#pragma GCC unroll 2
    for (int v = 0; v < vectors; ++v) Store(out + q * d + v * kLanes, sums[q][v]);
}

void Mix(const float* weights, const float* values, int64_t stride, int64_t keys, int64_t d, float* out) {
  int64_t column = 0;
  for (; column + kColumns <= d; column += kColumns)
    MixColumns<kVectors>(weights, values + column, stride, keys, d, out + column);
  if (column < d) MixColumns<1>(weights, values + column, stride, keys, d, out + column);
}

// Twelve queries against all keys, with the running maximum and sum of arXiv:2205.14135: no row of logits is ever whole.
class Softmax {
 public:
  Softmax(int64_t d, float* out) : d_(d), out_(out) {
    std::fill(out, out + kRows * d, 0.0f);
    std::fill(maximum_, maximum_ + kRows, -INFINITY);
    std::fill(sum_, sum_ + kRows, 0.0f);
  }

  // logits (12, 64), of which so many count, become their weights.
  void Add(float* logits, int64_t keys, const float* values, int64_t stride) {
    for (int q = 0; q < kRows; ++q) {
      float* row = logits + q * kKeys;
      std::fill(row + keys, row + kKeys, -INFINITY);
      Vector largest = Load(row);
      for (int v = 1; v < kKeyVectors; ++v) {
        const Vector other = Load(row + v * kLanes);
        largest = largest > other ? largest : other;
      }
      float maximum = maximum_[q];
      for (int lane = 0; lane < kLanes; ++lane) maximum = std::max(maximum, largest[lane]);
      const float shrink = std::exp(maximum_[q] - maximum);
      maximum_[q] = maximum;
      Vector sum{};
      for (int v = 0; v < kKeyVectors; ++v) {
        const Vector weight = Exp(Load(row + v * kLanes) - maximum);
        Store(row + v * kLanes, weight);
        sum += weight;
      }
      sum_[q] = sum_[q] * shrink + Sum(sum);
      if (shrink != 1.0f)
        for (int64_t i = 0; i < d_; i += kLanes) Store(out_ + q * d_ + i, Load(out_ + q * d_ + i) * shrink);
    }
    Mix(logits, values, stride, keys, d_, out_);
  }

  // Of a head's whole vectors, so many numbers count.
  void Write(float* to, int64_t stride, int64_t queries, int64_t width) const {
    for (int64_t q = 0; q < queries; ++q) {
      const float* from = out_ + q * d_;
      const float scale = 1.0f / sum_[q];
      int64_t i = 0;
      for (; i + kLanes <= width; i += kLanes) Store(to + q * stride + i, Load(from + i) * scale);
      for (; i < width; ++i) to[q * stride + i] = from[i] * scale;
    }
  }

 private:
  int64_t d_;
  float* out_;
  float maximum_[kRows];
  float sum_[kRows];
};

// Keys of a head, (m, d) of stride, as blocks of columns: (ceil(m / 32), wide, 32), wide being d in whole vectors. The
// last key fills up, and so do zeros.
void PackKeys(const float* keys, int64_t stride, int64_t m, int64_t d, int64_t wide, float* packed) {
  for (int64_t first = 0; first < (m + kColumns - 1) / kColumns * kColumns; first += kLanes)
    for (int64_t i = 0; i < wide; i += kLanes) {
      Vector square[kLanes];
      for (int64_t j = 0; j < kLanes; ++j) {
        const float* from = keys + std::min(first + j, m - 1) * stride + i;
        square[j] = i + kLanes <= d ? Load(from) : LoadSome(from, d - i);
      }
      Transpose(square);
      float* to = packed + (first / kColumns * wide + i) * kColumns + first % kColumns;
      for (int64_t k = 0; k < kLanes; ++k) Store(to + k * kColumns, square[k]);
    }
}

// Values of a head, (m, d) of stride, in whole vectors.
void WidenValues(const float* values, int64_t stride, int64_t m, int64_t d, int64_t wide, float* to) {
  for (int64_t row = 0; row < m; ++row) {
    std::copy_n(values + row * stride, d, to + row * wide);
    std::fill_n(to + row * wide + d, wide - d, 0.0f);
  }
}

// What is added to logits: (b or 1, heads or 1, n or 1, m), or nothing.
struct Bias {
  const float* data;
  int64_t row, head, query;  // strides

  Bias(const float* data, const int64_t* shape)
      : data(data),
        row(data == nullptr || shape[0] == 1 ? 0 : shape[1] * shape[2] * shape[3]),
        head(data == nullptr || shape[1] == 1 ? 0 : shape[2] * shape[3]),
        query(data == nullptr || shape[2] == 1 ? 0 : shape[3]) {}
};

// Query and out (b, n, heads * d), key and value (b, m, heads * d).
struct Call {
  const float *query, *key, *value;
  Bias bias;
  float* out;
  int64_t n, m, heads, d;

  int64_t width() const { return heads * d; }
  int64_t wide() const { return (d + kLanes - 1) / kLanes * kLanes; }
};

// One head of one row: its keys packed, its values in whole vectors, and room for twelve queries and their results.
class Head {
 public:
  Head(const Call& call, int64_t row, int64_t head)
      : call_(call), row_(row), head_(head), wide_(call.wide()), values_stride_(call.width()) {
    const int64_t packed_size = (call.m + kColumns - 1) / kColumns * kColumns * wide_, begin = At(row * call.m);
    const bool widened = wide_ != call.d;
    packed_ = Scratch(Use::kTask, packed_size + 2 * kRows * wide_ + (widened ? call.m * wide_ : 0));
    queries_ = packed_ + packed_size;
    results_ = queries_ + kRows * wide_;
    PackKeys(call.key + begin, call.width(), call.m, call.d, wide_, packed_);
    values_ = call.value + begin;
    if (widened) {
      WidenValues(values_, call.width(), call.m, call.d, wide_, results_ + kRows * wide_);
      values_ = results_ + kRows * wide_;
      values_stride_ = wide_;
    }
  }

  // Queries first … first + 12, those that there are.
  void Attend(int64_t first) {
    const float scale = 1.0f / std::sqrt(static_cast<float>(call_.d));
    for (int64_t i = 0; i < kRows; ++i) {
      const float* from = call_.query + At(row_ * call_.n + Query(first + i));
      for (int64_t k = 0; k < call_.d; ++k) queries_[i * wide_ + k] = from[k] * scale;
    }
    float logits[kRows * kKeys];
    Softmax softmax(wide_, results_);
    for (int64_t start = 0; start < call_.m; start += kKeys) {
      const int64_t keys = std::min<int64_t>(kKeys, call_.m - start);
      for (int64_t column = 0; column < keys; column += kColumns)
        Product<kVectors>({queries_, wide_, 1}, packed_ + (start + column) * wide_, call_.d, logits + column, kKeys,
                          false);
      AddBias(first, start, keys, logits);
      softmax.Add(logits, keys, values_ + start * values_stride_, values_stride_);
    }
    softmax.Write(call_.out + At(row_ * call_.n + first), call_.width(), std::min<int64_t>(kRows, call_.n - first),
                  call_.d);
  }

 private:
  // Where the head's numbers are of a token of all rows.
  int64_t At(int64_t token) const { return token * call_.width() + head_ * call_.d; }

  // The last query again where there are no more.
  int64_t Query(int64_t i) const { return std::min(i, call_.n - 1); }

  void AddBias(int64_t first, int64_t start, int64_t keys, float* logits) const {
    const Bias& bias = call_.bias;
    for (int64_t i = 0; bias.data != nullptr && i < kRows; ++i) {
      const float* from = bias.data + row_ * bias.row + head_ * bias.head + Query(first + i) * bias.query + start;
      for (int64_t k = 0; k < keys; ++k) logits[i * kKeys + k] += from[k];
    }
  }

  const Call& call_;
  const int64_t row_, head_, wide_;
  float *packed_, *queries_, *results_;
  const float* values_;
  int64_t values_stride_;
};

}  // namespace

// Inputs: query (b, n, heads * d), key and value (b, m, heads * d), settings (1): heads; and, if there is one, a bias
// (b or 1, heads or 1, n or 1, m).
// Output, like query: softmax(query * key^T / sqrt(d) + bias) * value, head by head.
extern "C" int Attention(int nparam, void** params, int*, int64_t** shapes, const char**, void*, void*) {
  if (nparam != 5 && nparam != 6) return 1;
  const int64_t b = shapes[0][0], n = shapes[0][1], width = shapes[0][2], m = shapes[1][1];
  const int64_t heads = static_cast<int64_t>(static_cast<const float*>(params[3])[0]);
  if (heads < 1 || width % heads != 0) return 2;
  const Bias bias(nparam == 6 ? static_cast<const float*>(params[4]) : nullptr, shapes[4]);
  const Call call{static_cast<const float*>(params[0]),
                  static_cast<const float*>(params[1]),
                  static_cast<const float*>(params[2]),
                  bias,
                  static_cast<float*>(params[nparam - 1]),
                  n,
                  m,
                  heads,
                  width / heads};
  // Each task packs the keys of a head; four tasks a thread are enough to share the work evenly.
  const int64_t wanted = (4 * CrewSize() + b * heads - 1) / (b * heads);
  const int64_t chunk = ((n + wanted - 1) / wanted + kRows - 1) / kRows * kRows, chunks = (n + chunk - 1) / chunk;
  ForTasks(b * heads * chunks, b * n * m * (2 * width + heads * kExp), [&](int64_t task) {
    const int64_t first = task % chunks * chunk;
    Head head(call, task / (chunks * heads), task / chunks % heads);
    for (int64_t query = first; query < std::min(first + chunk, n); query += kRows) head.Attend(query);
  });
  return 0;
}
