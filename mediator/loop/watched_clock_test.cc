// SPDX-License-Identifier: Apache-2.0
#include "mediator/loop/watched_clock.h"

#include <gtest/gtest.h>

namespace vgpu::mediator {
namespace {

TEST(WatchedClockTest, TimeThatNobodyChecked_CountsAsOneStep) {
  ClockHands hands;
  const Clock clock(&hands);
  WatchedClock watched(&clock);
  const int64_t start_ns = watched.Now();
  hands.now_ns += 400'000'000;
  EXPECT_EQ(watched.Now() - start_ns, WatchedClock::kStepMaxNs);
  hands.now_ns += 30;
  EXPECT_EQ(watched.Now() - start_ns, WatchedClock::kStepMaxNs + 30);
}

TEST(WatchedClockTest, TimeThatSomebodyChecked_Counts) {
  const Clock clock;
  WatchedClock watched(&clock);
  const int64_t start_ns = watched.Now();
  const int64_t end_ns = clock.Now() + 200'000'000;
  int64_t unseen_ns = 0;  // this test may be held up, too
  for (int64_t last_ns = clock.Now(); last_ns < end_ns;) {
    watched.Now();
    const int64_t now_ns = clock.Now();
    unseen_ns += now_ns - last_ns > 10'000'000 ? now_ns - last_ns : 0;
    last_ns = now_ns;
  }
  EXPECT_GE(watched.Now() - start_ns + unseen_ns, 199'000'000);
}

}  // namespace
}  // namespace vgpu::mediator
