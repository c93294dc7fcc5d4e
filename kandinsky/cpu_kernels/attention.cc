// Attention without the matrix of logits in memory.

#include <algorithm>
#include <cmath>
#include <vector>

#include "crew.h"
#include "product.h"

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

  void Write(float* to, int64_t stride, int64_t queries) const {
    for (int64_t q = 0; q < queries; ++q) {
      const float scale = 1.0f / sum_[q];
      for (int64_t i = 0; i < d_; i += kLanes) Store(to + q * stride + i, Load(out_ + q * d_ + i) * scale);
    }
  }

 private:
  int64_t d_;
  float* out_;
  float maximum_[kRows];
  float sum_[kRows];
};

// Keys of a head, (m, d) of stride, as blocks of columns: (ceil(m / 32), d, 32). The last key fills up.
void PackKeys(const float* keys, int64_t stride, int64_t m, int64_t d, float* packed) {
  for (int64_t first = 0; first < (m + kColumns - 1) / kColumns * kColumns; first += kLanes)
    for (int64_t i = 0; i < d; i += kLanes) {
      Vector square[kLanes];
      for (int64_t j = 0; j < kLanes; ++j) square[j] = Load(keys + std::min(first + j, m - 1) * stride + i);
      Transpose(square);
      float* to = packed + (first / kColumns * d + i) * kColumns + first % kColumns;
      for (int64_t k = 0; k < kLanes; ++k) Store(to + k * kColumns, square[k]);
    }
}

// What is added to logits: (b or 1, heads or 1, n or 1, m).
struct Bias {
  const float* data;
  int64_t row, head, query;  // strides

  Bias(const float* data, const int64_t* shape)
      : data(data),
        row(shape[0] == 1 ? 0 : shape[1] * shape[2] * shape[3]),
        head(shape[1] == 1 ? 0 : shape[2] * shape[3]),
        query(shape[2] == 1 ? 0 : shape[3]) {}
};

}  // namespace

// Inputs: query (b, n, heads * d), key and value (b, m, heads * d), settings (1): heads; and, if there is one, a bias
// (b or 1, heads or 1, n or 1, m). d is a multiple of 16.
// Output, like query: softmax(query * key^T / sqrt(d) + bias) * value, head by head.
extern "C" int Attention(int nparam, void** params, int*, int64_t** shapes, const char**, void*, void*) {
  if (nparam != 5 && nparam != 6) return 1;
  const float* query = static_cast<const float*>(params[0]);
  const float* key = static_cast<const float*>(params[1]);
  const float* value = static_cast<const float*>(params[2]);
  const int64_t heads = static_cast<int64_t>(static_cast<const float*>(params[3])[0]);
  const bool biased = nparam == 6;
  float* out = static_cast<float*>(params[nparam - 1]);
  const int64_t b = shapes[0][0], n = shapes[0][1], width = shapes[0][2], m = shapes[1][1];
  if (heads < 1 || width % (heads * kLanes) != 0) return 2;
  const int64_t d = width / heads;
  const int64_t none[] = {1, 1, 1, 1};
  const Bias bias(biased ? static_cast<const float*>(params[4]) : nullptr, biased ? shapes[4] : none);
  const float scale = 1.0f / std::sqrt(static_cast<float>(d));
  // Each task packs the keys of a head; four tasks a thread are enough to share the work evenly.
  const int64_t wanted = (4 * TheCrew().size() + b * heads - 1) / (b * heads);
  const int64_t chunk = ((n + wanted - 1) / wanted + kRows - 1) / kRows * kRows;
  const int64_t chunks = (n + chunk - 1) / chunk, packed_size = (m + kColumns - 1) / kColumns * kColumns * d;
  TheCrew().Share(b * heads * chunks, [&](int64_t task) {
    float* packed = Scratch<Use::kTask>(packed_size + 2 * kRows * d);
    float* rows = packed + packed_size;
    float logits[kRows * kKeys];
    const int64_t head = (task / chunks) % heads, row = task / (chunks * heads), first = (task % chunks) * chunk;
    PackKeys(key + row * m * width + head * d, width, m, d, packed);
    for (int64_t q = first; q < std::min(first + chunk, n); q += kRows) {
      for (int64_t i = 0; i < kRows; ++i) {
        const float* from = query + (row * n + std::min(q + i, n - 1)) * width + head * d;
        for (int64_t k = 0; k < d; ++k) rows[i * d + k] = from[k] * scale;
      }
      Softmax softmax(d, rows + kRows * d);
      for (int64_t start = 0; start < m; start += kKeys) {
        const int64_t keys = std::min<int64_t>(kKeys, m - start);
        for (int64_t column = 0; column < keys; column += kColumns)
          Product<kVectors>(Rows(rows, d), 1, packed + (start + column) * d, d, logits + column, kKeys, false);
        for (int64_t i = 0; biased && i < kRows; ++i) {
          const float* from = bias.data + row * bias.row + head * bias.head + std::min(q + i, n - 1) * bias.query + start;
          for (int64_t k = 0; k < keys; ++k) logits[i * kKeys + k] += from[k];
        }
        softmax.Add(logits, keys, value + (row * m + start) * width + head * d, width);
      }
      softmax.Write(out + (row * n + q) * width + head * d, width, std::min<int64_t>(kRows, n - q));
    }
  });
  return 0;
}
