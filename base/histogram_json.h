// SPDX-License-Identifier: Apache-2.0
// A histogram on its way between processes: pairs of a bucket's highest value and its count, in rising order.
#ifndef VGPU_BASE_HISTOGRAM_JSON_H_
#define VGPU_BASE_HISTOGRAM_JSON_H_

#include <nlohmann/json.hpp>

#include "base/histogram.h"

namespace vgpu::base {

inline nlohmann::json BucketsJson(const Histogram& histogram) {
  nlohmann::json pairs = nlohmann::json::array();
  for (size_t i = 0; i < Histogram::bucket_count(); ++i) {
    if (histogram.bucket(i) != 0) pairs.push_back({Histogram::HighestOf(i), histogram.bucket(i)});
  }
  return pairs;
}

// A histogram of nanoseconds, whole.
inline nlohmann::json LatencyJson(const Histogram& latency_ns) {
  return {{"samples", latency_ns.count()},       {"min_ns", latency_ns.min()},
          {"mean_ns", latency_ns.mean()},        {"p50_ns", latency_ns.Percentile(50)},
          {"p99_ns", latency_ns.Percentile(99)}, {"p99_9_ns", latency_ns.Percentile(99.9)},
          {"max_ns", latency_ns.max()},          {"buckets", BucketsJson(latency_ns)}};
}

// The same buckets, so merging loses nothing; minimum and maximum become those of their buckets. Throws what
// nlohmann throws if `pairs` is something else.
inline Histogram HistogramFrom(const nlohmann::json& pairs) {
  Histogram histogram;
  for (const auto& pair : pairs) histogram.RecordMany(pair.at(0).get<uint64_t>(), pair.at(1).get<uint64_t>());
  return histogram;
}

}  // namespace vgpu::base

#endif  // VGPU_BASE_HISTOGRAM_JSON_H_
