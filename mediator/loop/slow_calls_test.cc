// SPDX-License-Identifier: Apache-2.0
#include "mediator/loop/slow_calls.h"

#include <gtest/gtest.h>

namespace vgpu::mediator {
namespace {

constexpr int64_t kUs = 1'000;
constexpr int64_t kMs = 1'000'000;

// A thread, and what its two clocks say.
struct Thread {
  int64_t wall_ns = 1'000 * kMs;
  int64_t computed_ns = 77 * kMs;

  void Compute(int64_t ns) {
    wall_ns += ns;
    computed_ns += ns;
  }
  void Wait(int64_t ns) { wall_ns += ns; }
  ComputedSample Sample() const {
    ComputedSample sample;
    sample.Take(wall_ns, computed_ns);
    return sample;
  }
};

TEST(ComputedSampleTest, ThreadThatAlwaysComputes_AlmostAllOfTheCall) {
  Thread thread;
  const ComputedSample sample = thread.Sample();
  thread.Compute(900 * kUs);
  const int64_t begin_ns = thread.wall_ns;
  thread.Compute(13 * kMs);
  const int64_t at_least_ns = sample.AtLeast(begin_ns, thread.computed_ns);
  EXPECT_LE(at_least_ns, 13 * kMs);
  EXPECT_GT(at_least_ns, 13 * kMs - 10 * kUs);
}

TEST(ComputedSampleTest, OthersHadTheProcessor_NeverMoreThanTheCallHasComputed) {
  for (const int64_t before_ns : {int64_t{0}, 300 * kUs, 20 * kMs}) {
    for (const int64_t within_ns : {int64_t{0}, 80 * kUs, 40 * kMs}) {
      Thread thread;
      const ComputedSample sample = thread.Sample();
      thread.Compute(400 * kUs);
      thread.Wait(before_ns);
      const int64_t begin_ns = thread.wall_ns;
      thread.Compute(70 * kUs);
      thread.Wait(within_ns);
      EXPECT_LE(sample.AtLeast(begin_ns, thread.computed_ns), 70 * kUs);
      EXPECT_GE(sample.AtLeast(begin_ns, thread.computed_ns), 0);
    }
  }
}

// A loop that sleeps after each request need not look at its thread's clock each time.
TEST(ComputedSampleTest, ThreadThatSleeps_WhatItComputesAfterwardsIsStillKnown) {
  Thread thread;
  ComputedSample sample = thread.Sample();
  for (int i = 0; i < 10; ++i) {
    thread.Compute(20 * kUs);
    const int64_t slept_since_ns = thread.wall_ns;
    thread.Compute(3 * kUs);  // to sleep
    thread.Wait(700 * kMs);
    thread.Compute(3 * kUs);  // to wake
    sample.Slept(thread.wall_ns - slept_since_ns);
  }
  EXPECT_FALSE(sample.old(thread.wall_ns));
  const int64_t begin_ns = thread.wall_ns;
  thread.Compute(13 * kMs);
  const int64_t at_least_ns = sample.AtLeast(begin_ns, thread.computed_ns);
  EXPECT_LE(at_least_ns, 13 * kMs);
  EXPECT_GT(at_least_ns, 13 * kMs - 300 * kUs);
}

TEST(ComputedSampleTest, ManySleeps_TheSampleGetsOld) {
  Thread thread;
  ComputedSample sample = thread.Sample();
  for (int i = 0; i < 60; ++i) {
    const int64_t slept_since_ns = thread.wall_ns;
    thread.Wait(100 * kUs);
    sample.Slept(thread.wall_ns - slept_since_ns);
  }
  EXPECT_TRUE(sample.old(thread.wall_ns));
}

// The wall clock is scaled once, and may run slower than the other one by a thousandth.
TEST(ComputedSampleTest, ClocksThatDrift_NothingIsInvented) {
  ComputedSample sample;
  sample.Take(0, 0);
  EXPECT_EQ(sample.AtLeast(10'000 * kMs, 10'010 * kMs), 0);
}

TEST(ComputedSampleTest, Old_AfterAMillisecond) {
  const Thread thread;
  EXPECT_FALSE(thread.Sample().old(thread.wall_ns + 999 * kUs));
  EXPECT_TRUE(thread.Sample().old(thread.wall_ns + 1001 * kUs));
}

TEST(SlowCallsTest, OneThatIsProvedToBeFarTooSlow_Decides) {
  SlowCalls calls;
  EXPECT_TRUE(calls.Noticed(13 * kMs));
}

TEST(SlowCallsTest, OneThatMayBeTheMachines_IsWatchedOnly) {
  SlowCalls calls;
  EXPECT_FALSE(calls.exact());
  EXPECT_FALSE(calls.Noticed(0));
  for (int i = 0; i < 16; ++i) {
    ASSERT_TRUE(calls.exact());
    ASSERT_FALSE(calls.Timed(kUs));
  }
  EXPECT_FALSE(calls.exact());
}

TEST(SlowCallsTest, WhatWasProvedCounts) {
  SlowCalls calls;
  EXPECT_FALSE(calls.Noticed(4 * kMs));
  EXPECT_TRUE(calls.Timed(1100 * kUs));
}

TEST(SlowCallsTest, OthersMakeUpForSlowOnes) {
  SlowCalls calls;
  EXPECT_FALSE(calls.Noticed(2 * kMs));
  for (int i = 0; i < 15; ++i) ASSERT_FALSE(calls.Timed(kUs));
  EXPECT_FALSE(calls.Timed(4 * kMs));  // 5.9 without
}

}  // namespace
}  // namespace vgpu::mediator
