// SPDX-License-Identifier: Apache-2.0
#include "bench/interference/samples.h"

#include <gtest/gtest.h>

namespace vgpu::bench::interference {
namespace {

constexpr int64_t kUs = 1000, kMs = 1'000'000;

// One answer each 200 us, all of them after 20 us.
std::vector<Record> Steady(size_t count) {
  std::vector<Record> records;
  for (size_t i = 0; i < count; ++i) records.push_back({static_cast<int64_t>(i) * 200 * kUs, 20 * kUs, 0, 0});
  return records;
}

// Nobody answers from request `from` until `ms` later.
void Stall(std::vector<Record>* records, size_t from, int64_t ms) {
  const int64_t end_ns = (*records)[from].due_ns + ms * kMs;
  for (size_t i = from; i < records->size() && (*records)[i].due_ns < end_ns; ++i) {
    (*records)[i].latency_ns = end_ns - (*records)[i].due_ns;
  }
}

std::vector<Interval> Intervals(size_t count, int64_t each_ns) {
  std::vector<Interval> intervals;
  for (size_t i = 0; i < count; ++i) {
    intervals.push_back({static_cast<int64_t>(i) * each_ns, static_cast<int64_t>(i + 1) * each_ns});
  }
  return intervals;
}

Summary WithLate(const std::vector<double>& late) {
  Summary summary;
  summary.late_by_interval = late;
  for (const double count : late) summary.late += static_cast<uint64_t>(count);
  return summary;
}

TEST(Samples, IntervalHoldsWhatWasDueInIt) {
  const Summary summary = Summarise(Steady(1000), {{10 * kMs, 20 * kMs}});
  EXPECT_EQ(summary.answers, 50u);
  EXPECT_EQ(summary.p50_us, 20);
  EXPECT_EQ(summary.p99_us, 20);
  EXPECT_EQ(summary.late, 0u);
  EXPECT_EQ(summary.gap_us, 200);
}

TEST(Samples, StallIsOneHoweverManyAreLate) {
  auto records = Steady(1000);
  Stall(&records, 100, 10);
  const Summary summary = Summarise(records, Intervals(2, 100 * kMs));
  EXPECT_EQ(summary.late_by_interval,
            (std::vector<double>{45, 0}));  // the last 1 ms of it delays nobody by more
  EXPECT_EQ(summary.stalls_by_interval, (std::vector<double>{1, 0}));
  EXPECT_EQ(summary.longest_us, 10'000);
  EXPECT_NEAR(summary.gap_us, 10'180, 1);
}

TEST(Samples, TwoStallsAreTwo) {
  auto records = Steady(1000);
  Stall(&records, 100, 3);
  Stall(&records, 200, 3);
  EXPECT_EQ(Summarise(records, Intervals(1, 200 * kMs)).stalls_by_interval, (std::vector<double>{2}));
}

TEST(Samples, WhoDidNotRunHasSeenNothing) {
  auto records = Steady(1000);
  Stall(&records, 100, 4);
  for (size_t i = 100; i < 120; ++i) records[i].blind_us = static_cast<uint32_t>(records[i].latency_ns / kUs);
  const Summary summary = Summarise(records, Intervals(1, 200 * kMs));
  EXPECT_EQ(summary.late, 0u);
  EXPECT_EQ(summary.blind, 20u);
  EXPECT_DOUBLE_EQ(summary.blind_share(), 0.02);
}

TEST(Samples, StallWithALittleBlindTimeInItCounts) {
  auto records = Steady(1000);
  Stall(&records, 100, 100);
  records[100].blind_us = 300;
  EXPECT_EQ(Summarise(records, Intervals(1, 200 * kMs)).blind, 0u);
}

TEST(Samples, WrongAnswersCountEvenIfBlind) {
  auto records = Steady(10);
  records[3].wrong = 1;
  records[4] = {records[4].due_ns, 300 * kUs, 300, kWrongResult};
  EXPECT_EQ(Summarise(records, Intervals(1, 2 * kMs)).wrong, 2u);
}

TEST(Late, NoneMoreThanChanceHolds) {
  EXPECT_EQ(JudgeNoneLate(ExcessOf(WithLate({0, 0, 0, 0, 0}), WithLate({0, 0, 0, 0, 0}))), Verdict::kHolds);
  EXPECT_EQ(JudgeNoneLate(ExcessOf(WithLate({3, 2, 4, 3, 3}), WithLate({4, 3, 3, 4, 5}))), Verdict::kHolds);
}

TEST(Late, ManyInEveryIntervalFallShort) {
  EXPECT_EQ(JudgeNoneLate(ExcessOf(WithLate({0, 0, 0, 0, 0}), WithLate({70, 75, 80, 72, 74}))),
            Verdict::kFallsShort);
}

TEST(Late, OneBurstProvesNothing) {
  EXPECT_EQ(JudgeNoneLate(ExcessOf(WithLate({0, 0, 0, 0, 0}), WithLate({0, 0, 75, 0, 0}))),
            Verdict::kInconclusive);
}

TEST(Stalls, AtMostOneInAnyInterval) {
  Summary baseline, once, twice;
  baseline.stalls_by_interval = {0, 0, 0};
  once.stalls_by_interval = {1, 1, 1};
  twice.stalls_by_interval = {0, 2, 0};
  EXPECT_EQ(JudgeStalls(baseline, once, 1), Verdict::kHolds);
  EXPECT_EQ(JudgeStalls(baseline, twice, 1), Verdict::kFallsShort);
  baseline.stalls_by_interval = {0, 0, 1};
  EXPECT_EQ(JudgeStalls(baseline, twice, 1), Verdict::kInconclusive);
}

TEST(P99, HoldsIfIntervalsAndTheWholeDo) {
  EXPECT_EQ(JudgeP99({{1.1, 1.2, 1.0, 1.3, 1.1}, 1.2}, 2, 0), Verdict::kHolds);
  EXPECT_EQ(JudgeP99({{1.1, 1.2, 1.0, 9.0, 9.0}, 5.0}, 2, 0),
            Verdict::kInconclusive);  // bursts in some intervals
  EXPECT_EQ(JudgeP99({{3.1, 3.2, 3.0, 9.0, 9.0}, 5.0}, 2, 0), Verdict::kFallsShort);
  EXPECT_EQ(JudgeP99({{1.1, 1.2, 1.0, 1.3, 1.1}, 1.2}, 2, 0.5), Verdict::kInconclusive);  // mostly blind
  EXPECT_EQ(JudgeP99({{1.1, 1.2}, 1.2}, 2, 0), Verdict::kInconclusive);                   // too few intervals
}

TEST(P99, IntervalWithoutAnAnswerIsAsLateAsItIsLong) {
  const Summary summary = Summarise(Steady(500), Intervals(2, 100 * kMs));  // the second one is empty
  EXPECT_EQ(summary.p99_by_interval, (std::vector<double>{20, 100'000}));
  EXPECT_EQ(summary.gap_us, 100'000);
}

}  // namespace
}  // namespace vgpu::bench::interference
