// Sixteen floats at once, in the vector types that both GCC and Clang know.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <utility>

constexpr int kLanes = 16;
typedef float Vector __attribute__((vector_size(kLanes * sizeof(float)), aligned(4), may_alias));
typedef int32_t Integers __attribute__((vector_size(kLanes * sizeof(int32_t)), aligned(4)));

inline Vector Load(const float* from) { return *reinterpret_cast<const Vector*>(from); }

// The first so many, and zeros.
inline Vector LoadSome(const float* from, int64_t count) {
  float some[kLanes] = {};
  std::copy_n(from, count, some);
  return Load(some);
}

inline void Store(float* to, Vector v) { *reinterpret_cast<Vector*>(to) = v; }

inline Vector Splat(float value) { return Vector{} + value; }

// exp(x), to 2 units in the last place; below -87 it is 0. Range reduction and polynomial as in Cephes' expf.
inline Vector Exp(Vector x) {
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

inline Vector Silu(Vector x) { return x / (1.0f + Exp(-x)); }
inline float Silu(float x) { return x / (1.0f + std::exp(-x)); }

inline float Sum(Vector v) {
  float sum = 0.0f;
  for (int lane = 0; lane < kLanes; ++lane) sum += v[lane];
  return sum;
}

// Swaps blocks of `size` lanes: the upper ones of a with the lower ones of b.
template <int size, int... lane>
void SwapBlocks(Vector& a, Vector& b, std::integer_sequence<int, lane...>) {
  const Vector low = __builtin_shufflevector(a, b, (lane / size % 2 == 0 ? lane : kLanes + lane - size)...);
  b = __builtin_shufflevector(a, b, (lane / size % 2 == 0 ? lane + size : kLanes + lane)...);
  a = low;
}

template <int size>
void SwapBlocks(Vector* rows) {
#pragma GCC unroll 16
  for (int row = 0; row < kLanes; ++row)
    if (row / size % 2 == 0) SwapBlocks<size>(rows[row], rows[row + size], std::make_integer_sequence<int, kLanes>());
}

// Sixteen rows as sixteen columns.
inline void Transpose(Vector* rows) {
  SwapBlocks<8>(rows);
  SwapBlocks<4>(rows);
  SwapBlocks<2>(rows);
  SwapBlocks<1>(rows);
}

// What GELU multiplies by, the normal distribution's function: erfc(-x / sqrt(2)) / 2. Cephes' erff and erfcf.
inline Vector NormalCdf(Vector x) {
  const Vector t = x * 0.70710678f, size = t < 0.0f ? -t : t, square = t * t;
  Vector near = Splat(7.853861353153693e-5f);
  near = near * square - 8.010193625184903e-4f;
  near = near * square + 5.188327685732524e-3f;
  near = near * square - 2.685381193529856e-2f;
  near = near * square + 1.128358514861418e-1f;
  near = near * square - 3.761262582423300e-1f;
  near = near * square + 1.128379165726710f;
  const Vector q = 1.0f / (size < 1.0f ? Splat(1.0f) : size), y = q * q;
  Vector middle = Splat(2.326819970068386e-2f);
  middle = middle * y - 1.387039388740657e-1f;
  middle = middle * y + 3.687424674597105e-1f;
  middle = middle * y - 5.824733027278666e-1f;
  middle = middle * y + 6.210004621745983e-1f;
  middle = middle * y - 4.944515323274145e-1f;
  middle = middle * y + 3.404879937665872e-1f;
  middle = middle * y - 2.741127028184656e-1f;
  middle = middle * y + 5.638259427386472e-1f;
  Vector far = Splat(-1.047766399936249e+1f);
  far = far * y + 1.297719955372516e+1f;
  far = far * y - 7.495518717768503f;
  far = far * y + 2.921019019210786f;
  far = far * y - 1.015265279202700f;
  far = far * y + 4.218463358204948e-1f;
  far = far * y - 2.820767439740514e-1f;
  far = far * y + 5.641895067754075e-1f;
  const Vector tail = 0.5f * Exp(-square) * q * (size < 2.0f ? middle : far);
  return size < 1.0f ? 0.5f + 0.5f * t * near : t < 0.0f ? tail : 1.0f - tail;
}
