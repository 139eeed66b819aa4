// SPDX-License-Identifier: Apache-2.0
#include "bench/lib/stats.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

namespace vgpu::bench {
namespace {

TEST(Quantile, InterpolatesBetweenNeighbours) {
  EXPECT_DOUBLE_EQ(Quantile({7}, 0.5), 7);
  EXPECT_DOUBLE_EQ(Quantile({4, 1, 3, 2}, 0.5), 2.5);
  EXPECT_DOUBLE_EQ(Quantile({30, 10, 20}, 0.5), 20);
  EXPECT_DOUBLE_EQ(Quantile({30, 10, 20}, 0.25), 15);
  EXPECT_DOUBLE_EQ(Quantile({30, 10, 20}, 0), 10);
  EXPECT_DOUBLE_EQ(Quantile({30, 10, 20}, 1), 30);
}

TEST(Spread, OfNothingIsEmpty_OfValuesIsOrdered) {
  EXPECT_EQ(SpreadOf({}).n, 0u);
  const Spread spread = SpreadOf({5, 1, 4, 2, 3});
  EXPECT_EQ(spread.n, 5u);
  EXPECT_DOUBLE_EQ(spread.min, 1);
  EXPECT_DOUBLE_EQ(spread.q1, 2);
  EXPECT_DOUBLE_EQ(spread.median, 3);
  EXPECT_DOUBLE_EQ(spread.q3, 4);
  EXPECT_DOUBLE_EQ(spread.max, 5);
}

// What the whole method is for: a machine that slows down tenfold in the middle moves the
// ratio of means, not ours.
TEST(Ratios, MachineThatChangesItsSpeed_LeavesTheMedianAlone) {
  std::vector<double> ours, theirs;
  for (int round = 0; round < 40; ++round) {
    const double slowness = round < 20 ? 1 : 10;
    ours.push_back(80 * slowness);
    theirs.push_back(100 * slowness);
  }
  ours[3] = 8000;  // one disturbed round
  EXPECT_DOUBLE_EQ(SpreadOf(Ratios(ours, theirs)).median, 0.8);
}

TEST(BestOf, PicksTheBestMedian) {
  const std::vector<std::vector<double>> rivals = {{5, 5, 1}, {4, 4, 100}, {9, 9, 9}};
  EXPECT_EQ(BestOf(rivals, Better::kLower), 1u);
  EXPECT_EQ(BestOf(rivals, Better::kHigher), 2u);
  EXPECT_EQ(BestOf({{1.0}}, Better::kHigher), 0u);
}

TEST(Gate, BoundItselfHolds) {
  EXPECT_TRUE((Gate{0.85, Better::kLower, {}}).Holds(0.85));
  EXPECT_FALSE((Gate{0.85, Better::kLower, {}}).Holds(0.8501));
  EXPECT_TRUE((Gate{1.2, Better::kHigher, {}}).Holds(1.2));
  EXPECT_FALSE((Gate{1.2, Better::kHigher, {}}).Holds(1.1999));
  EXPECT_TRUE((Gate{0, Better::kLower, {}}).Holds(0));
}

TEST(Drift, SingleDisturbedRoundsDoNotCount_SlowStretchesDo) {
  std::vector<double> raw(40, 400.0);
  EXPECT_DOUBLE_EQ(Drift(raw), 1);
  raw[7] = 40'000;
  EXPECT_DOUBLE_EQ(Drift(raw), 1);
  for (size_t i = 24; i < 40; ++i) raw[i] = 1000;
  EXPECT_DOUBLE_EQ(Drift(raw), 2.5);
  EXPECT_DOUBLE_EQ(Drift({1, 1000}), 1) << "too few rounds to tell";
}

TEST(Judge, InconclusiveBeforeAnythingElse) {
  const Gate gate{1.0, Better::kLower, {}};
  EXPECT_EQ(Judge(gate, 0.9, 40, 1.1), Verdict::kHolds);
  EXPECT_EQ(Judge(gate, 1.1, 40, 1.1), Verdict::kFallsShort);
  EXPECT_EQ(Judge(gate, 0.9, 40, 2.1), Verdict::kInconclusive);
  EXPECT_EQ(Judge(gate, 1.1, 40, 2.1), Verdict::kInconclusive);
  EXPECT_EQ(Judge(gate, 0.9, kRoundsMin - 1, 1.1), Verdict::kInconclusive);
  EXPECT_EQ(Judge(gate, NAN, 40, 1.1), Verdict::kInconclusive);
  EXPECT_EQ(Judge({NAN, Better::kLower, {}}, 0.9, 1, 1.1), Verdict::kNoGate);
}

TEST(Verdict, EveryOneHasAName) {
  EXPECT_STREQ(VerdictName(Verdict::kHolds), "holds");
  EXPECT_STREQ(VerdictName(Verdict::kFallsShort), "falls short");
  EXPECT_STREQ(VerdictName(Verdict::kInconclusive), "inconclusive");
  EXPECT_STREQ(VerdictName(Verdict::kSkipped), "skipped");
}

}  // namespace
}  // namespace vgpu::bench
