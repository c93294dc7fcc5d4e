// Memory that a thread keeps between calls: fresh memory costs a page fault for every 4 KiB.
#pragma once

#include <cstdint>

// Each use has its own.
enum class Use { kCall, kTask };

// From a cache line on; what was there before is lost.
float* Scratch(Use use, int64_t floats);
