// SPDX-License-Identifier: Apache-2.0
#include "guest/arena.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <iterator>
#include <map>
#include <random>
#include <vector>

namespace vgpu::guest {
namespace {

TEST(Arena, FirstFit_LowestOffsetFirst) {
  Arena arena(1024);
  EXPECT_EQ(arena.Allocate(1), 0u);
  EXPECT_EQ(arena.Allocate(65), 64u);
  EXPECT_EQ(arena.Allocate(64), 192u);
  EXPECT_TRUE(arena.Free(64));
  EXPECT_EQ(arena.Allocate(200), 256u) << "the hole of 128 bytes is too short";
  EXPECT_EQ(arena.Allocate(128), 64u);
}

TEST(Arena, NothingLeft_AndBackAgain) {
  Arena arena(640);
  EXPECT_EQ(arena.Allocate(640), 0u);
  EXPECT_FALSE(arena.Allocate(0));
  EXPECT_EQ(arena.largest(), 0u);
  EXPECT_TRUE(arena.Free(0));
  EXPECT_EQ(arena.Allocate(640), 0u);
}

TEST(Arena, HugeSizes_AreRefused) {
  Arena arena(4096);
  EXPECT_FALSE(arena.Allocate(UINT64_MAX));
  EXPECT_FALSE(arena.Allocate(UINT64_MAX - 62));
  EXPECT_FALSE(arena.Allocate(4097));
  EXPECT_FALSE(Arena(63).Allocate(1)) << "not one whole cache line";
}

TEST(Arena, FreeOfWhatIsNone_ChangesNothing) {
  Arena arena(4096);
  ASSERT_EQ(arena.Allocate(256), 0u);
  EXPECT_FALSE(arena.Free(64)) << "inside a block";
  EXPECT_FALSE(arena.Free(1024)) << "in a hole";
  EXPECT_TRUE(arena.Free(0));
  EXPECT_FALSE(arena.Free(0)) << "twice";
  EXPECT_EQ(arena.free_bytes(), 4096u);
}

// Against a plain list of the blocks in use.
TEST(Arena, RandomUse_BlocksNeverOverlap_NothingIsLost) {
  const uint64_t seed = std::random_device()();
  std::printf("seed %llu\n", static_cast<unsigned long long>(seed));
  std::mt19937_64 random(seed);
  constexpr uint64_t kBytes = 64 * 200;
  Arena arena(kBytes);
  std::map<uint64_t, uint64_t> used;
  for (int step = 0; step < 20000; ++step) {
    if (random() % 2 == 0) {
      const uint64_t bytes = random() % 1500;
      const auto offset = arena.Allocate(bytes);
      if (!offset) {
        ASSERT_LT(arena.largest(), std::max<uint64_t>(bytes, 1));
        continue;
      }
      ASSERT_EQ(*offset % Arena::kAlign, 0u);
      ASSERT_LE(*offset + bytes, kBytes);
      const auto next = used.lower_bound(*offset);
      if (next != used.end()) {
        ASSERT_LE(*offset + bytes, next->first);
      }
      if (next != used.begin()) {
        ASSERT_LE(std::prev(next)->first + std::prev(next)->second, *offset);
      }
      used[*offset] = bytes;
    } else if (!used.empty()) {
      auto block = used.begin();
      std::advance(block, static_cast<int64_t>(random() % used.size()));
      ASSERT_TRUE(arena.Free(block->first));
      used.erase(block);
    }
  }
  for (const auto& [offset, bytes] : used) ASSERT_TRUE(arena.Free(offset));
  EXPECT_EQ(arena.free_bytes(), kBytes);
  EXPECT_EQ(arena.largest(), kBytes) << "all holes are joined";
}

}  // namespace
}  // namespace vgpu::guest
