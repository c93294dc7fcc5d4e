// Threads that share numbered tasks. They sleep soon after a call: OpenMP's spin on, and take MindSpore's cores.

#include "crew.h"

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <thread>

namespace {

// Less work than this is done before a thread that sleeps is awake.
constexpr int64_t kWorthSharing = 1 << 19;

// Tells the processor that a thread waits.
void Pause() {
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

struct Work {
  Work(int64_t count, void (*task)(const void*, int64_t), const void* context)
      : count(count), task(task), context(context) {}

  void Help() {
    int64_t own = 0;
    for (int64_t i; (i = next.fetch_add(1)) < count; ++own) task(context, i);
    const std::lock_guard<std::mutex> lock(mutex);
    finished += own;
    if (finished == count) done.notify_all();
  }

  const int64_t count;
  void (*const task)(const void* context, int64_t i);
  const void* const context;  // not touched once all tasks are taken
  std::atomic<int64_t> next{0};
  std::mutex mutex;
  std::condition_variable done;
  std::atomic<int64_t> finished{0};
};

class Crew {
 public:
  explicit Crew(int64_t size) : size_(size) {
    for (int64_t i = 1; i < size_; ++i) std::thread([this] { Serve(); }).detach();
  }

  int64_t size() const { return size_; }

  void Do(const std::shared_ptr<Work>& work) {
    const std::lock_guard<std::mutex> one_at_a_time(calls_);
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      work_ = work;
      ++generation_;
    }
    wake_.notify_all();
    work->Help();
    const auto finished = [&] { return work->finished == work->count; };
    if (ComesSoon(finished)) return;
    std::unique_lock<std::mutex> lock(work->mutex);
    work->done.wait(lock, finished);
  }

 private:
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

std::atomic<int64_t> threads{1};

// Never destroyed: its threads sleep until the process ends.
Crew& TheCrew() {
  static Crew* crew = new Crew(threads);
  return *crew;
}

}  // namespace

int64_t CrewSize() { return TheCrew().size(); }

void ForTasks(int64_t count, int64_t work, void (*task)(const void* context, int64_t i), const void* context) {
  if (work >= kWorthSharing && count > 1 && CrewSize() > 1) {
    TheCrew().Do(std::make_shared<Work>(count, task, context));
  } else {
    for (int64_t i = 0; i < count; ++i) task(context, i);
  }
}

// Both are called by ctypes, the first before the first operator.
extern "C" void SetThreads(int64_t count) { threads = count; }
extern "C" int64_t Threads() { return CrewSize(); }
