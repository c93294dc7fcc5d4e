// Products of matrices: what registers hold, and what a core's caches hold.
#pragma once

#include <algorithm>
#include <cstdint>

#include "scratch.h"
#include "vectors.h"

// Twelve rows by two vectors fill the registers and read least from the second cache: 150 thousand million operations
// a second on a core where six by four reach 112 and the instructions allow 215.
constexpr int kRows = 12;     // rows of an input, output channels, or queries
constexpr int kColumns = 32;  // outputs, pixels, tiles, or keys
constexpr int kVectors = kColumns / kLanes;
constexpr int kLine = 16;     // floats of a line of the caches

// Twelve rows of a matrix.
struct Rows {
  const float* first;
  int64_t row_stride, column_stride;
};

// out (12, 32, rows out_stride apart) = a (12, depth) times b (depth, 32), of whose columns only so many vectors count.
// With add, the product is added to what out holds. Meanwhile memory from `ahead` on is fetched into the second cache, a
// line for every `pace` columns of a: the processor's own guesses come too late.
template <int vectors, int pace = 0>
void Product(const Rows& a, const float* b, int64_t depth, float* out, int64_t out_stride, bool add,
             const float* ahead = nullptr) {
  Vector sums[kRows][vectors] = {};
  // Three addresses and not twelve: for want of registers the compiler would keep a vector of b in memory.
  const int64_t stride = a.row_stride;
  const float *upper = a.first, *middle = upper + 4 * stride, *lower = middle + 4 * stride;
  for (int64_t k = 0; k < depth; ++k) {
    if constexpr (pace > 0)
      if (k % pace == 0) __builtin_prefetch(ahead + k / pace * kLine, 0, 2);
    Vector columns[vectors];
#pragma GCC unroll 2
    for (int v = 0; v < vectors; ++v) columns[v] = Load(b + k * kColumns + v * kLanes);
#pragma GCC unroll 12
    for (int row = 0; row < kRows; ++row) {
      const float factor = (row < 4 ? upper : row < 8 ? middle : lower)[row % 4 * stride];
#pragma GCC unroll 2
      for (int v = 0; v < vectors; ++v) sums[row][v] += factor * columns[v];
    }
    upper += a.column_stride;
    middle += a.column_stride;
    lower += a.column_stride;
  }
#pragma GCC unroll 12
  for (int row = 0; row < kRows; ++row)
#pragma GCC unroll 2
    for (int v = 0; v < vectors; ++v) {
      float* to = out + row * out_stride + v * kLanes;
      Store(to, add ? Load(to) + sums[row][v] : sums[row][v]);
    }
}

// Product into rows of 32, with as many vectors as so many columns take.
template <int pace = 0>
void Multiply(const Rows& a, const float* b, int64_t depth, int64_t columns, float* out, bool add,
              const float* ahead = nullptr) {
  if (columns <= kLanes) return Product<1, pace>(a, b, depth, out, kColumns, add, ahead);
  Product<kVectors, pace>(a, b, depth, out, kColumns, add, ahead);
}

constexpr int64_t kDepth = 2048;          // of a panel, (2048, 32)
constexpr int64_t kPanels = int64_t{1} << 18;  // floats of panels that stay in a core's second cache
// Products that are summed before they are added to the rest: float32 keeps more so.
constexpr int64_t kPartial = 256;

// Room for twelve rows of that many columns, each beginning in another part of the first cache.
constexpr int64_t kApart = kPartial + kLine;
struct alignas(64) Room {
  float floats[kRows * kApart];
};

// Columns of twelve rows that are stride apart, no more than kPartial: copied into the room where there are fewer rows,
// then with the last one again; and where rows are multiples of 4 KiB apart, for all twelve would have the same few
// lines of the first cache.
inline Rows RowsOf(const float* first, int64_t stride, int64_t count, int64_t columns, Room* room) {
  constexpr int64_t kSameLines = 1024;
  if (count >= kRows && stride % kSameLines != 0) return {first, stride, 1};
  for (int64_t row = 0; row < kRows; ++row)
    std::copy_n(first + std::min(row, count - 1) * stride, columns, room->floats + row * kApart);
  return {room->floats, kApart, 1};
}

// How weights (outs, depth) times an input (depth, columns) is shared: a task has some blocks of 32 columns and some
// groups of twelve outputs. As many blocks as the second cache holds, so that weights are read from memory least often.
struct Shares {
  int64_t outs, depth, columns, groups, blocks, width, parts, splits;

  Shares(int64_t outs, int64_t depth, int64_t columns, int64_t threads)
      : outs(outs),
        depth(depth),
        columns(columns),
        groups((outs + kRows - 1) / kRows),
        blocks((columns + kColumns - 1) / kColumns),
        width(std::max<int64_t>(1, kPanels / (std::min(depth, kDepth) * kColumns))),
        parts((blocks + width - 1) / width),
        splits(parts % threads == 0 || parts >= 4 * threads ? 1 : std::min(groups, threads)) {}

  int64_t tasks() const { return parts * splits; }

  int64_t work() const { return groups * kRows * blocks * kColumns * depth; }
};

// One task's share.
struct Share {
  int64_t first_block, last_block, first_group, last_group;

  Share(const Shares& all, int64_t task)
      : first_block(all.blocks * (task / all.splits) / all.parts),
        last_block(all.blocks * (task / all.splits + 1) / all.parts),
        first_group(all.groups * (task % all.splits) / all.splits),
        last_group(all.groups * (task % all.splits + 1) / all.splits) {}

  int64_t blocks() const { return last_block - first_block; }
  int64_t groups() const { return last_group - first_group; }
};

constexpr int64_t kSums = kRows * kColumns;

// A task's part of the product. fill(column, count, start, depth, panel) writes rows start … start + depth of an input's
// columns column … column + count, (depth, 32); write(out, column, count, sums) takes what has been summed, (12, 32),
// for twelve outputs.
template <typename Fill, typename Write>
void MultiplyPanels(const float* weights, const Shares& all, const Share& share, const Fill& fill, const Write& write) {
  const int64_t panel_size = std::min(all.depth, kDepth) * kColumns, panels_size = share.blocks() * panel_size;
  const bool once = all.depth <= kDepth;
  Room room;
  float* panels = Scratch(Use::kTask, panels_size + (once ? 1 : share.blocks() * share.groups()) * kSums);
  for (int64_t start = 0; start < all.depth; start += kDepth) {
    const int64_t depth = std::min(kDepth, all.depth - start);
    const auto columns = [&](int64_t block) { return std::min<int64_t>(kColumns, all.columns - block * kColumns); };
    for (int64_t block = share.first_block; block < share.last_block; ++block)
      fill(block * kColumns, columns(block), start, depth, panels + (block - share.first_block) * panel_size);
    for (int64_t group = share.first_group; group < share.last_group; ++group) {
      const float* own = weights + group * kRows * all.depth + start;
      for (int64_t i = 0; i < share.blocks(); ++i) {
        const int64_t block = share.first_block + i;
        float* sums = panels + panels_size + (once ? 0 : (i * share.groups() + group - share.first_group) * kSums);
        for (int64_t run = 0; run < depth; run += kPartial) {
          const int64_t count = std::min(kPartial, depth - run);
          Multiply(RowsOf(own + run, all.depth, all.outs - group * kRows, count, &room),
                   panels + i * panel_size + run * kColumns, count, columns(block), sums, start + run > 0);
        }
        if (start + depth == all.depth) write(group * kRows, block * kColumns, columns(block), sums);
      }
    }
  }
}
