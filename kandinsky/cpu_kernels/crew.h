// The threads that the operators share.
#pragma once

#include <algorithm>
#include <cstdint>

// How many threads there are, the caller's included.
int64_t CrewSize();

// Does task(context, 0) … task(context, count - 1), in any order, and returns when all are done. The caller takes its
// part. Where there is less work than it takes to wake a thread, it does all of it.
//
// work: of all tasks together, in multiplications of matrix products.
void ForTasks(int64_t count, int64_t work, void (*task)(const void* context, int64_t i), const void* context);

// The same, of whatever can be called with a number.
template <typename Task>
void ForTasks(int64_t count, int64_t work, const Task& task) {
  ForTasks(count, work, [](const void* context, int64_t i) { (*static_cast<const Task*>(context))(i); }, &task);
}

// Calls run(first, last) for ranges that together are 0 … count.
template <typename Run>
void ForRanges(int64_t count, int64_t work, const Run& run) {
  const int64_t ranges = std::min(count, 4 * CrewSize());
  ForTasks(ranges, work, [&](int64_t i) { run(count * i / ranges, count * (i + 1) / ranges); });
}

// The work of a number that is copied, of one of a norm, and of one that goes through exp(), measured.
constexpr int64_t kCopy = 8, kNorm = 16, kExp = 40;
