// SPDX-License-Identifier: Apache-2.0
#include "guest/waiting.h"

#include <gtest/gtest.h>

namespace vgpu::guest {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;

constexpr int64_t kMs = 1'000'000;

TEST(SpinPolicy, FastAnswers_KeepItSpinning) {
  SpinPolicy policy;
  for (int64_t now = kMs; now < 100 * kMs; now += kMs) {
    EXPECT_EQ(policy.SpinNs(now), policy.limit_ns());
    policy.AnsweredSpinning(1'000);
  }
}

TEST(SpinPolicy, SlowAnswers_SleepAtOnce_FastOnes_SpinAgain) {
  SpinPolicy policy;
  int64_t now = kMs;
  for (int i = 0; i < 10; ++i) {
    const int64_t spin_time = policy.SpinNs(now);
    policy.AnsweredSleeping(spin_time, 10 * kMs);
    now += 10 * kMs;
  }
  EXPECT_EQ(policy.SpinNs(now), 0);
  for (int i = 0; i < 10; ++i) {
    policy.AnsweredSleeping(0, 15'000);  // nothing but the sleep and the wake
    now += kMs;
  }
  EXPECT_GT(policy.SpinNs(now), 0);
}

TEST(SpinPolicy, LearnsWhatAWakeCosts) {
  SpinPolicy policy;
  for (int i = 0; i < 200; ++i) policy.AnsweredSleeping(0, 60'000);
  EXPECT_NEAR(static_cast<double>(policy.wake_ns()), 60'000, 15'000);
  for (int i = 0; i < 400; ++i) policy.AnsweredSleeping(0, 12'000);
  EXPECT_NEAR(static_cast<double>(policy.wake_ns()), 12'000, 3'000);
  for (int i = 0; i < 1000; ++i) policy.AnsweredSleeping(0, 1'000);  // no real sleeps
  EXPECT_NEAR(static_cast<double>(policy.wake_ns()), 12'000, 3'000);
  for (int i = 0; i < 1000; ++i) policy.AnsweredSleeping(0, 1'000 * kMs);
  EXPECT_EQ(policy.wake_ns(), SpinPolicy::kWakeMaxNs);
}

// An answer that comes just after every spin ends, for a second: the worst rhythm there is.
TEST(SpinPolicy, SpinsInVain_TakeAtMostATenthOfTheTime) {
  SpinPolicy policy;
  int64_t now = 1'000 * kMs;
  const int64_t begin = now;
  int64_t spun = 0;
  while (now - begin < 1'000 * kMs) {
    const int64_t spin_time = policy.SpinNs(now);
    spun += spin_time;
    policy.AnsweredSleeping(spin_time, SpinPolicy::kSleepMinNs);
    now += spin_time + SpinPolicy::kSleepMinNs;
  }
  EXPECT_LE(spun, (now - begin) / 10 + SpinPolicy::kBudgetMaxNs);
  EXPECT_GT(spun, 0);
}

TEST(PolledWait, NapsGrowWithTheTimeGoneBy) {
  const TimePoint begin = Clock::now();
  const PolledWait polled_wait(begin);
  EXPECT_EQ(polled_wait.Nap(begin).count(), 0);
  EXPECT_EQ(polled_wait.Nap(begin + microseconds(99)).count(), 0);
  EXPECT_EQ(polled_wait.Nap(begin + microseconds(100)), microseconds(20));
  EXPECT_EQ(polled_wait.Nap(begin + milliseconds(4)), microseconds(500));
  EXPECT_EQ(polled_wait.Nap(begin + std::chrono::hours(1)), milliseconds(1));
}

TEST(PolledWait, Step_NeverPassesTheDeadlineByANap) {
  const TimePoint begin = Clock::now() - std::chrono::hours(1);
  const PolledWait polled_wait(begin);
  polled_wait.Step(Clock::now() - milliseconds(1));  // returns: the deadline has passed
}

}  // namespace
}  // namespace vgpu::guest
