// Float16 weights as float32.

#include <algorithm>
#include <cstdint>

#ifdef __F16C__
#include <immintrin.h>
#endif

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
