// SPDX-License-Identifier: Apache-2.0
#include "base/histogram_json.h"

#include <gtest/gtest.h>

namespace vgpu::base {
namespace {

TEST(HistogramJson, KeepsEveryBucket) {
  Histogram histogram;
  for (uint64_t value = 0; value < 64; ++value) histogram.RecordMany(uint64_t{1} << value, value + 1);
  histogram.Record(0);
  histogram.Record(UINT64_MAX);
  const Histogram copy = HistogramFrom(nlohmann::json::parse(BucketsJson(histogram).dump()));
  ASSERT_EQ(copy.count(), histogram.count());
  for (size_t i = 0; i < Histogram::bucket_count(); ++i) ASSERT_EQ(copy.bucket(i), histogram.bucket(i)) << i;
}

TEST(HistogramJson, AnEmptyOneIsAnEmptyList) {
  EXPECT_EQ(BucketsJson(Histogram()).dump(), "[]");
  EXPECT_EQ(HistogramFrom(nlohmann::json::array()).count(), 0u);
}

TEST(HistogramJson, LatenciesComeWithTheirHistogram) {
  Histogram histogram;
  histogram.RecordMany(100, 99);
  histogram.Record(5000);
  const auto json = LatencyJson(histogram);
  EXPECT_EQ(json["samples"], 100);
  EXPECT_EQ(json["p50_ns"], 100);
  EXPECT_EQ(json["max_ns"], 5000);
  EXPECT_EQ(HistogramFrom(json["buckets"]).count(), 100u);
}

TEST(HistogramJson, RefusesAnythingElse) {
  for (const char* text : {"[1]", "[[1]]", R"([["a", 1]])"}) {
    EXPECT_THROW(HistogramFrom(nlohmann::json::parse(text)), nlohmann::json::exception) << text;
  }
}

}  // namespace
}  // namespace vgpu::base
