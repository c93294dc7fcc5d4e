// Calls every operator with random sizes and arrays of just the size, for a sanitizer to watch. What they compute is
// tested elsewhere.

#include <cstdint>
#include <cstdio>
#include <random>
#include <vector>

using Operator = int(int, void**, int*, int64_t**, const char**, void*, void*);

extern "C" {
Operator SameConvolution, Linear, Activation, GroupNorm, SpatialNorm, LayerNorm, Attention;
void PackConvolution(const float* weights, float* packed, int64_t c_out, int64_t c_in);
void PackLinear(float* weights, int64_t outs, int64_t depth);
void SetThreads(int64_t count);
}

namespace {

std::mt19937 random_numbers(0);

int64_t Between(int64_t first, int64_t last) {
  return std::uniform_int_distribution<int64_t>(first, last)(random_numbers);
}

struct Array {
  std::vector<int64_t> shape;
  std::vector<float> numbers;

  explicit Array(std::vector<int64_t> sizes) : shape(std::move(sizes)) {
    int64_t count = 1;
    for (const int64_t size : shape) count *= size;
    for (int64_t i = 0; i < count; ++i) numbers.push_back(static_cast<float>(Between(-100, 100)) / 50.0f);
    numbers.shrink_to_fit();
  }
};

Array Settings(std::vector<float> numbers) {
  Array settings({static_cast<int64_t>(numbers.size())});
  settings.numbers = std::move(numbers);
  return settings;
}

void Call(Operator* called, std::vector<Array> arrays) {
  std::vector<void*> data;
  std::vector<int> ranks;
  std::vector<int64_t*> shapes;
  for (Array& array : arrays) {
    data.push_back(array.numbers.data());
    ranks.push_back(static_cast<int>(array.shape.size()));
    shapes.push_back(array.shape.data());
  }
  const int result =
      called(static_cast<int>(arrays.size()), data.data(), ranks.data(), shapes.data(), nullptr, nullptr, nullptr);
  if (result != 0) {
    std::fprintf(stderr, "an operator refused its arrays: %d\n", result);
    std::exit(1);
  }
}

void CallConvolution() {
  const int64_t b = Between(1, 2), c_in = Between(1, 40), c_out = Between(1, 40), h = Between(1, 20), w = Between(1, 20);
  const int64_t kernel = Between(0, 2) * 2 + 1;
  Array packed({1});
  Array weights({c_out, c_in, kernel, kernel});
  if (kernel == 3) {
    packed = Array({36, (c_out + 11) / 12, c_in, 12});
    PackConvolution(weights.numbers.data(), packed.numbers.data(), c_out, c_in);
  }
  const Array out({b, c_out, h, w});
  std::vector<Array> arrays{Array({b, c_in, h, w}), weights, Array({c_out}), packed, out};
  if (Between(0, 1) == 1) arrays.insert(arrays.end() - 1, out);
  Call(SameConvolution, arrays);
}

void CallLinear() {
  const int64_t rows = Between(1, 40), depth = Between(0, 3) == 0 ? 1024 : Between(1, 600), outs = 32 * Between(1, 4);
  Array weights({outs, depth});
  PackLinear(weights.numbers.data(), outs, depth);
  const Array out({rows, outs});
  std::vector<Array> arrays{Array({rows, depth}), weights, Array({outs}), out};
  if (Between(0, 1) == 1) arrays.insert(arrays.end() - 1, out);
  Call(Linear, arrays);
}

void CallAttention() {
  const int64_t b = Between(1, 2), heads = Between(1, 4), n = Between(1, 90), m = Between(1, 150);
  const int64_t width = heads * Between(1, 70);
  const Array query({b, n, width}), key({b, m, width});
  std::vector<Array> arrays{query, key, key, Settings({static_cast<float>(heads)}), query};
  if (Between(0, 1) == 1) arrays.insert(arrays.end() - 1, Array({b, 1, Between(0, 1) == 1 ? n : 1, m}));
  Call(Attention, arrays);
}

void CallNorms() {
  const int64_t b = Between(1, 2), groups = Between(1, 4), c = groups * Between(1, 9), h = Between(1, 9), w = Between(1, 9);
  const int64_t factor = Between(1, 3);
  const Array x({b, c, h * factor, w * factor}), vector({c}), places({b, c, h, w});
  const Array settings = Settings({static_cast<float>(groups), 1e-5f, static_cast<float>(Between(0, 1))});
  Call(GroupNorm, {x, vector, vector, settings, x});
  Call(GroupNorm, {x, vector, vector, settings, Array({b, 2 * c}), x});
  Call(SpatialNorm, {x, vector, vector, places, places, settings, x});
  const Array rows({Between(1, 50), c});
  Call(LayerNorm, {rows, vector, vector, Settings({1e-5f}), rows});
}

void CallActivation() {
  const Array x({Between(1, 30000)});
  Call(Activation, {x, Settings({static_cast<float>(Between(0, 2))}), x});
}

}  // namespace

int main() {
  SetThreads(3);
  for (int i = 0; i < 60; ++i) {
    CallConvolution();
    CallLinear();
    CallAttention();
    CallNorms();
    CallActivation();
  }
}
