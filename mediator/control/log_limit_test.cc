// SPDX-License-Identifier: Apache-2.0
#include "mediator/control/log_limit.h"

#include <gtest/gtest.h>

#include <string>

namespace vgpu::mediator {
namespace {

constexpr int64_t kSecond = 1'000'000'000;
constexpr int64_t kStart = 17 * kSecond;

TEST(LogLimit, SameLine_OnceAMinute) {
  LogLimit limit;
  EXPECT_TRUE(limit.Allows("refused", kStart));
  EXPECT_FALSE(limit.Allows("refused", kStart));
  EXPECT_FALSE(limit.Allows("refused", kStart + 59 * kSecond));
  EXPECT_TRUE(limit.Allows("another", kStart + 59 * kSecond));
  EXPECT_TRUE(limit.Allows("refused", kStart + 60 * kSecond));
}

TEST(LogLimit, LinesThatAllDiffer_AFewASecond) {
  LogLimit limit;
  int allowed = 0;
  for (int i = 0; i < 100'000; ++i) allowed += limit.Allows("line " + std::to_string(i), kStart) ? 1 : 0;
  EXPECT_EQ(allowed, 50);
  allowed = 0;
  for (int i = 0; i < 100'000; ++i) {
    allowed += limit.Allows("later " + std::to_string(i), kStart + i * kSecond / 10'000) ? 1 : 0;  // in 10 s
  }
  EXPECT_NEAR(allowed, 50, 1);
}

// What had no token comes as soon as there is one, and not a minute later.
TEST(LogLimit, LineLeftOutForTheOthersSake_ComesAfterThem) {
  LogLimit limit;
  for (int i = 0; i < 100; ++i) limit.Allows("line " + std::to_string(i), kStart);
  EXPECT_FALSE(limit.Allows("important", kStart));
  EXPECT_TRUE(limit.Allows("important", kStart + kSecond));
}

TEST(LogLimit, LeftOut_CountedOnce) {
  LogLimit limit;
  EXPECT_EQ(limit.TakeLeftOut(), 0u);
  for (int i = 0; i < 8; ++i) limit.Allows("refused", kStart);
  EXPECT_EQ(limit.TakeLeftOut(), 7u);
  EXPECT_EQ(limit.TakeLeftOut(), 0u);
}

TEST(LogLimit, ComingAndGoing_EachVmByItself) {
  LogLimit limit;
  int allowed = 0;
  for (int i = 0; i < 1000; ++i) allowed += limit.AllowsLife(1, kStart) ? 1 : 0;
  EXPECT_EQ(allowed, 10);
  EXPECT_EQ(limit.TakeLeftOut(), 990u);
  for (uint32_t vm = 2; vm < 200; ++vm) EXPECT_TRUE(limit.AllowsLife(vm, kStart));
  EXPECT_TRUE(limit.AllowsLife(1, kStart + kSecond));
  EXPECT_FALSE(limit.AllowsLife(1, kStart + kSecond));
}

TEST(LogLimit, ComingAndGoingUnderEverNewNumbers_BoundedAllTheSame) {
  LogLimit limit;
  int allowed = 0;
  for (uint32_t vm = 0; vm < 100'000; ++vm) allowed += limit.AllowsLife(vm, kStart) ? 1 : 0;
  EXPECT_EQ(allowed, 600);
}

}  // namespace
}  // namespace vgpu::mediator
