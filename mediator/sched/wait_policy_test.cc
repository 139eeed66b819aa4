// SPDX-License-Identifier: Apache-2.0
#include "mediator/sched/wait_policy.h"

#include <gtest/gtest.h>

namespace vgpu::mediator {
namespace {

constexpr int64_t kWakeCostNs = 30'000;
constexpr int64_t kLimitNs = 2 * kWakeCostNs;
constexpr int64_t kStartNs = 1'000'000'000;

// Idle gaps of `gap_ns`, one after the other, with `busy_ns` of work between.
struct Life {
  WaitPolicy policy;
  int64_t now_ns = kStartNs;
  int64_t spun_ns = 0;  // in all
  int64_t spun_in_vain_ns = 0;
  int gaps_slept = 0;

  void Gaps(int count, int64_t gap_ns, int64_t busy_ns = 1'000) {
    for (int i = 0; i < count; ++i) {
      const int64_t until_ns = policy.SpinUntil(now_ns);
      const int64_t spin_ns = until_ns - now_ns;
      ASSERT_GE(spin_ns, 0);
      const bool slept = gap_ns > spin_ns;
      spun_ns += slept ? spin_ns : gap_ns;
      spun_in_vain_ns += slept ? spin_ns : 0;
      gaps_slept += slept;
      now_ns += gap_ns;
      policy.WorkCame(now_ns);
      now_ns += busy_ns;
    }
  }
};

Life Adaptive() { return {WaitPolicy(WaitMode::kAdaptive, kWakeCostNs)}; }

TEST(WaitPolicyTest, Limit_TwiceTheWakeCostWithinBounds) {
  EXPECT_EQ(WaitPolicy(WaitMode::kAdaptive, 30'000).limit_ns(), 60'000);
  EXPECT_EQ(WaitPolicy(WaitMode::kAdaptive, 1).limit_ns(), 30'000);
  EXPECT_EQ(WaitPolicy(WaitMode::kAdaptive, 0).limit_ns(), 30'000);
  EXPECT_EQ(WaitPolicy(WaitMode::kAdaptive, 1'000'000'000).limit_ns(), 200'000);
}

TEST(WaitPolicyTest, ModeSleep_NeverSpins) {
  Life life{WaitPolicy(WaitMode::kSleep, kWakeCostNs)};
  life.Gaps(1000, 100);
  EXPECT_EQ(life.spun_ns, 0);
}

TEST(WaitPolicyTest, ModeSpin_NeverSleeps) {
  Life life{WaitPolicy(WaitMode::kSpin, kWakeCostNs)};
  life.Gaps(1000, 10'000'000);
  EXPECT_EQ(life.gaps_slept, 0);
}

TEST(WaitPolicyTest, ShortGaps_SpinsForEver) {
  Life life = Adaptive();
  life.Gaps(1'000'000, 300);  // a busy guest at depth 1: what it takes from no budget, it may take for ever
  EXPECT_EQ(life.gaps_slept, 0);
  life.Gaps(100'000, kLimitNs - 1);
  EXPECT_EQ(life.gaps_slept, 0);
}

TEST(WaitPolicyTest, LongGaps_SoonSleepsAtOnce) {
  Life life = Adaptive();
  life.Gaps(20, 1'000'000);
  const int64_t learnt_ns = life.spun_ns;
  EXPECT_LE(learnt_ns, 10 * kLimitNs);
  life.Gaps(10'000, 1'000'000);
  EXPECT_EQ(life.spun_ns, learnt_ns) << "a thousand requests a second pay for no spin at all";
}

TEST(WaitPolicyTest, ShortGapsAgain_SpinsAgain) {
  Life life = Adaptive();
  life.Gaps(1000, 1'000'000);
  life.Gaps(20, 1'000);
  life.gaps_slept = 0;
  life.Gaps(1000, 1'000);
  EXPECT_EQ(life.gaps_slept, 0);
}

// The unlucky rhythm: mostly short gaps, so spinning looks right, and long ones between,
// at which it is in vain.
TEST(WaitPolicyTest, UnluckyRhythm_BudgetBoundsSpinsInVain) {
  constexpr int64_t kBudgetNs = 5'000'000;
  Life life = Adaptive();
  for (int i = 0; i < 100'000; ++i) {
    life.Gaps(2, 1'000);
    life.Gaps(1, kLimitNs + 5'000);
  }
  const int64_t passed_ns = life.now_ns - kStartNs;
  EXPECT_LE(life.spun_in_vain_ns, passed_ns / 10 + 2 * kBudgetNs);
  EXPECT_GE(life.spun_in_vain_ns, passed_ns / 20) << "the rhythm is not unlucky: this test proves nothing";
}

TEST(WaitPolicyTest, LongRest_FillsTheBudgetOnlyOnce) {
  Life life = Adaptive();
  life.Gaps(1, 3'600'000'000'000);  // an hour
  life.Gaps(100, 1'000);
  const int64_t before_ns = life.spun_in_vain_ns;
  for (int i = 0; i < 1000; ++i) {
    life.Gaps(2, 100, 0);
    life.Gaps(1, kLimitNs + 100, 0);
  }
  const int64_t passed_ns = 1000 * (kLimitNs + 300);
  EXPECT_LE(life.spun_in_vain_ns - before_ns, 5'000'000 + passed_ns / 10 + kLimitNs);
}

}  // namespace
}  // namespace vgpu::mediator
