// SPDX-License-Identifier: Apache-2.0
#include "bench/lib/rounds.h"

#include <gtest/gtest.h>

#include <string>

namespace vgpu::bench {
namespace {

TEST(Rounds, EveryoneHasATurn_WhoBeginsChanges) {
  std::string order;
  const auto played = PlayRounds(
      4, 3,
      [&](uint64_t round) {
        order += std::to_string(round);
        return Result<void>();
      },
      [&](uint64_t, size_t who) {
        order += static_cast<char>('a' + who);
        return Result<void>();
      });
  EXPECT_TRUE(played);
  EXPECT_EQ(order, "0abc1bca2cab3abc");
}

TEST(Rounds, TheFirstErrorEndsThem) {
  std::string order;
  const auto fine = [](uint64_t) { return Result<void>(); };
  const auto played = PlayRounds(3, 2, fine, [&](uint64_t round, size_t who) -> Result<void> {
    order += static_cast<char>('a' + who);
    if (round == 1) return tl::make_unexpected("gone");
    return {};
  });
  ASSERT_FALSE(played);
  EXPECT_EQ(played.error(), "gone");
  EXPECT_EQ(order, "abb");
}

TEST(Rounds, AnErrorBeforeARoundEndsThem) {
  size_t turns = 0;
  const auto played = PlayRounds(
      2, 2, [](uint64_t) -> Result<void> { return tl::make_unexpected("not ready"); },
      [&](uint64_t, size_t) {
        ++turns;
        return Result<void>();
      });
  EXPECT_FALSE(played);
  EXPECT_EQ(turns, 0u);
}

}  // namespace
}  // namespace vgpu::bench
