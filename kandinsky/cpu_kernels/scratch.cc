#include "scratch.h"

#include <memory>

namespace {

// What is read and written at once: vectors that lie across two of them take twice as long.
struct alignas(64) CacheLine {
  float floats[16];
};

struct Memory {
  std::unique_ptr<CacheLine[]> lines;
  int64_t count = 0;
};

}  // namespace

float* Scratch(Use use, int64_t floats) {
  static thread_local Memory memories[2];
  Memory& memory = memories[static_cast<int>(use)];
  const int64_t count = (floats + 15) / 16;
  if (memory.count < count) {
    memory.lines.reset(new CacheLine[count]);
    memory.count = count;
  }
  return memory.lines[0].floats;
}
