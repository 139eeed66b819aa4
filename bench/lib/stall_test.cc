// SPDX-License-Identifier: Apache-2.0
#include "bench/lib/stall.h"

#include <gtest/gtest.h>
#include <sched.h>

#include <chrono>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <vector>

namespace vgpu::bench {
namespace {

constexpr uint64_t kMin = StallRecorder::kStallMinNs;

Stalls StallsIn(const std::vector<uint64_t>& readings_ns) {
  Stalls stalls;
  StallRecorder recorder(&stalls);
  for (const uint64_t reading_ns : readings_ns) recorder.Read(reading_ns);
  return stalls;
}

TEST(StallRecorder, GapsFromTheLimitOn_AreStalls) {
  const Stalls stalls = StallsIn({1'000, 1'000 + kMin - 1, 2 * kMin, 2 * kMin + 30, 3 * kMin + 30});
  EXPECT_EQ(stalls.ns.count(), 1u);
  EXPECT_EQ(stalls.ns.min(), kMin);
  EXPECT_EQ(stalls.ns.max(), kMin);
  EXPECT_EQ(stalls.watched_ns, 3 * kMin - 970);
}

TEST(StallRecorder, TheFirstReading_EndsNoGap) {
  EXPECT_EQ(StallsIn({}).watched_ns, 0u);
  const Stalls stalls = StallsIn({1'000'000'000});
  EXPECT_EQ(stalls.ns.count(), 0u);
  EXPECT_EQ(stalls.watched_ns, 0u);
}

TEST(StallRecorder, StallsOfEverySize_AreCountedAndTheLongestIsKnown) {
  const Stalls stalls = StallsIn({0, 25, 50'025, 50'050, 1'250'050, 1'250'075, 1'280'075});
  EXPECT_EQ(stalls.ns.count(), 3u);
  EXPECT_EQ(stalls.ns.bucket(base::Histogram::BucketOf(50'000)), 1u);
  EXPECT_EQ(stalls.ns.bucket(base::Histogram::BucketOf(1'200'000)), 1u);
  EXPECT_EQ(stalls.ns.bucket(base::Histogram::BucketOf(30'000)), 1u);
  EXPECT_EQ(stalls.ns.max(), 1'200'000u);
}

TEST(StallRecorder, ClockThatStepsBack_IsNoStall) {
  const Stalls stalls = StallsIn({5'000'000, 1'000'000, 1'000'100});
  EXPECT_EQ(stalls.ns.count(), 0u);
  EXPECT_EQ(stalls.watched_ns, 100u);
}

TEST(Stalls, Merged_AreAsIfSeenTogether) {
  Stalls stalls = StallsIn({0, 100'000});
  stalls.preemptions = 2;
  Stalls more = StallsIn({0, 300'000, 400'000});
  more.preemptions = 1;
  stalls.Merge(more);
  EXPECT_EQ(stalls.ns.count(), 3u);
  EXPECT_EQ(stalls.ns.max(), 300'000u);
  EXPECT_EQ(stalls.watched_ns, 500'000u);
  EXPECT_EQ(stalls.preemptions, 3u);
  EXPECT_DOUBLE_EQ(stalls.per_second(), 6'000);
  EXPECT_EQ(Stalls().per_second(), 0);
}

TEST(Stalls, AsJson_HasOnlyTheBucketsThatCount) {
  const nlohmann::json json = ToJson(StallsIn({0, 100'000, 200'000, 500'000}));
  EXPECT_EQ(json["count"], 3);
  EXPECT_EQ(json["longest_ns"], 300'000);
  ASSERT_EQ(json["histogram"].size(), 2u);
  EXPECT_EQ(json["histogram"][0]["count"], 2);
  EXPECT_EQ(json["histogram"][1]["count"], 1);
}

TEST(WatchStalls, WatchesForAsLongAsAsked) {
  const std::chrono::milliseconds span(2);
  const int here = sched_getcpu();
  const auto stalls = WatchStalls({here, here}, span);
  ASSERT_TRUE(stalls) << stalls.error();
  ASSERT_EQ(stalls->size(), 2u);
  for (const Stalls& seen : *stalls) {
    EXPECT_GE(seen.watched_ns, static_cast<uint64_t>(std::chrono::nanoseconds(span).count()));
    EXPECT_LE(seen.ns.max(), seen.watched_ns);
  }
}

TEST(WatchStalls, NoSuchProcessor_IsAnError) {
  const auto stalls = WatchStalls({CPU_SETSIZE}, std::chrono::milliseconds(1));
  ASSERT_FALSE(stalls);
  EXPECT_NE(stalls.error().find("cannot watch processor"), std::string::npos) << stalls.error();
}

}  // namespace
}  // namespace vgpu::bench
