// SPDX-License-Identifier: Apache-2.0
#include "base/histogram.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <random>
#include <vector>

namespace vgpu::base {
namespace {

constexpr double kPercents[] = {0, 0.1, 1, 25, 50, 90, 99, 99.9, 99.99, 100};

uint64_t SortedPercentile(const std::vector<uint64_t>& sorted, double percent) {
  const double rank = std::ceil(percent / 100.0 * static_cast<double>(sorted.size()));
  return sorted[std::max<size_t>(1, static_cast<size_t>(rank)) - 1];
}

// Values of every magnitude: a random number of random bits.
std::vector<uint64_t> RandomValues(uint64_t seed, size_t n) {
  std::mt19937_64 random(seed);
  std::vector<uint64_t> values(n);
  for (uint64_t& value : values) value = random() >> (random() % 64);
  return values;
}

uint64_t PrintedSeed() {
  const uint64_t seed = std::random_device()();
  std::printf("seed %llu\n", static_cast<unsigned long long>(seed));
  return seed;
}

void ExpectClose(uint64_t got, uint64_t exact) {
  EXPECT_GE(got, exact);
  EXPECT_LE(static_cast<double>(got - exact), static_cast<double>(exact) * 0.016);
}

TEST(Histogram, Empty_EverythingIsZero) {
  const Histogram histogram;
  EXPECT_EQ(histogram.count(), 0u);
  EXPECT_EQ(histogram.min(), 0u);
  EXPECT_EQ(histogram.max(), 0u);
  EXPECT_EQ(histogram.mean(), 0.0);
  EXPECT_EQ(histogram.Percentile(50), 0u);
}

TEST(Histogram, Buckets_CoverTheWholeRangeWithoutGaps) {
  for (size_t i = 0; i + 1 < Histogram::bucket_count(); ++i) {
    ASSERT_EQ(Histogram::BucketOf(Histogram::HighestOf(i)), i);
    ASSERT_EQ(Histogram::BucketOf(Histogram::HighestOf(i) + 1), i + 1);
  }
  EXPECT_EQ(Histogram::HighestOf(Histogram::bucket_count() - 1), UINT64_MAX);
}

TEST(Histogram, SmallValues_Exact) {
  Histogram histogram;
  for (uint64_t value = 0; value < 128; ++value) histogram.Record(value);
  EXPECT_EQ(histogram.Percentile(50), 63u);
  EXPECT_EQ(histogram.Percentile(100), 127u);
  EXPECT_EQ(histogram.min(), 0u);
  EXPECT_DOUBLE_EQ(histogram.mean(), 63.5);
}

TEST(Histogram, RandomValues_WithinBoundOfSortedSamples) {
  const uint64_t seed = PrintedSeed();
  for (const size_t n : {1u, 2u, 7u, 1000u, 100000u}) {
    std::vector<uint64_t> values = RandomValues(seed + n, n);
    Histogram histogram;
    for (const uint64_t value : values) histogram.Record(value);
    std::sort(values.begin(), values.end());
    for (const double percent : kPercents) {
      SCOPED_TRACE(percent);
      ExpectClose(histogram.Percentile(percent), SortedPercentile(values, percent));
    }
    EXPECT_EQ(histogram.count(), n);
    EXPECT_EQ(histogram.min(), values.front());
    EXPECT_EQ(histogram.max(), values.back());
  }
}

TEST(Histogram, Merge_SameAsRecordingAll) {
  const std::vector<uint64_t> values = RandomValues(PrintedSeed(), 30000);
  Histogram all;
  Histogram parts[3];
  for (size_t i = 0; i < values.size(); ++i) {
    all.Record(values[i]);
    parts[i % 3].Record(values[i]);
  }
  Histogram merged;
  for (const Histogram& part : parts) merged.Merge(part);
  merged.Merge(Histogram());
  for (size_t i = 0; i < Histogram::bucket_count(); ++i) ASSERT_EQ(merged.bucket(i), all.bucket(i));
  EXPECT_EQ(merged.count(), all.count());
  EXPECT_EQ(merged.min(), all.min());
  EXPECT_EQ(merged.max(), all.max());
  for (const double percent : kPercents) EXPECT_EQ(merged.Percentile(percent), all.Percentile(percent));
}

TEST(Histogram, RecordMany_SameAsRecordingOneByOne) {
  Histogram many;
  Histogram single;
  many.RecordMany(1000, 3);
  many.RecordMany(5, 0);
  for (int i = 0; i < 3; ++i) single.Record(1000);
  EXPECT_EQ(many.count(), 3u);
  EXPECT_EQ(many.min(), single.min());
  EXPECT_EQ(many.Percentile(50), single.Percentile(50));
}

TEST(Histogram, Reset_StartsAgain) {
  Histogram histogram;
  histogram.Record(UINT64_MAX);
  histogram.Reset();
  histogram.Record(7);
  EXPECT_EQ(histogram.count(), 1u);
  EXPECT_EQ(histogram.max(), 7u);
  EXPECT_EQ(histogram.Percentile(99.9), 7u);
}

}  // namespace
}  // namespace vgpu::base
