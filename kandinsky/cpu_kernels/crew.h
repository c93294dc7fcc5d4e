// The threads that the operators share, and the memory that each of them keeps.
#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>

// Tells the processor that a thread waits.
inline void Pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

// Waits for a moment without sleeping, which takes longer to end than most operators leave between them.
template <typename Ready>
bool ComesSoon(const Ready& ready) {
  constexpr auto kMoment = std::chrono::microseconds(50);
  const auto until = std::chrono::steady_clock::now() + kMoment;
  do {
    for (int i = 0; i < 16; ++i) {
      if (ready()) return true;
      Pause();
    }
  } while (std::chrono::steady_clock::now() < until);
  return false;
}

// Threads that share numbered tasks. They sleep soon after a call: OpenMP's spin on, and take MindSpore's cores.
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
    const auto finished = [&] { return work->finished == count; };
    if (ComesSoon(finished)) return;
    std::unique_lock<std::mutex> lock(work->mutex);
    work->done.wait(lock, finished);
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
    std::atomic<int64_t> finished{0};
  };

  void Serve() {
    for (int64_t seen = 0;;) {
      const auto called = [&] { return generation_ != seen; };
      ComesSoon(called);
      std::unique_lock<std::mutex> lock(mutex_);
      wake_.wait(lock, called);
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
  std::atomic<int64_t> generation_{0};
};

inline std::atomic<int64_t> threads{1};

// Never destroyed: its threads sleep until the process ends.
inline Crew& TheCrew() {
  static Crew* crew = new Crew(threads);
  return *crew;
}

// Calls run(first, last) for ranges that together are 0 … count.
template <typename Run>
void ForRanges(int64_t count, const Run& run) {
  const int64_t ranges = std::min(count, 4 * TheCrew().size());
  TheCrew().Share(ranges, [&](int64_t i) { run(count * i / ranges, count * (i + 1) / ranges); });
}

// What is read and written at once: vectors that lie across two of them take twice as long.
struct alignas(64) CacheLine {
  float floats[16];
};

// Memory that a thread keeps between calls, for each use its own: fresh memory costs a page fault for every 4 KiB.
enum class Use { kCall, kTask };

template <Use use>
float* Scratch(int64_t floats) {
  static thread_local std::unique_ptr<CacheLine[]> memory;
  static thread_local int64_t size = 0;
  const int64_t lines = (floats + 15) / 16;
  if (size < lines) {
    memory.reset(new CacheLine[lines]);
    size = lines;
  }
  return memory[0].floats;
}
