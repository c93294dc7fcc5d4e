// How many threads the operators share. Both are called by ctypes, the first before the first operator.

#include "crew.h"

extern "C" void SetThreads(int64_t count) { threads = count; }
extern "C" int64_t Threads() { return TheCrew().size(); }
