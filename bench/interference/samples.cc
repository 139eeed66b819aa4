// SPDX-License-Identifier: Apache-2.0
#include "bench/interference/samples.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace vgpu::bench::interference {
namespace {

constexpr double kNsPerUs = 1000;

std::span<const Record> In(std::span<const Record> records, const Interval& interval) {
  const auto before = [](const Record& record, int64_t ns) { return record.due_ns < ns; };
  const auto begin = std::lower_bound(records.begin(), records.end(), interval.begin_ns, before);
  const auto end = std::lower_bound(begin, records.end(), interval.end_ns, before);
  return {begin, end};
}

// Sorted, and not interpolated: an answer that there was. Without any, nobody was answered as long as the
// interval lasted.
double PercentileUs(const std::vector<int64_t>& sorted_ns, double share, double none_us) {
  if (sorted_ns.empty()) return none_us;
  const auto at = static_cast<size_t>(share * static_cast<double>(sorted_ns.size()));
  return static_cast<double>(sorted_ns[std::min(at, sorted_ns.size() - 1)]) / kNsPerUs;
}

double LongestGapUs(std::span<const Record> records, const Interval& interval) {
  int64_t last_ns = interval.begin_ns, longest_ns = 0;
  for (const Record& record : records) {
    const int64_t answered_ns = record.due_ns + record.latency_ns;
    if (!IsBlind(record)) longest_ns = std::max(longest_ns, answered_ns - last_ns);
    last_ns = std::max(last_ns, answered_ns);
  }
  if (records.empty()) longest_ns = interval.end_ns - interval.begin_ns;
  return static_cast<double>(longest_ns) / kNsPerUs;
}

struct IntervalSamples {
  std::vector<int64_t> latencies_ns;
  uint64_t late = 0, stalls = 0;
};

IntervalSamples SamplesOf(std::span<const Record> records, Summary* summary) {
  IntervalSamples samples;
  int64_t last_late_ns = -kStallApartNs;
  bool any_late = false;
  for (const Record& record : records) {
    if (record.wrong != 0) ++summary->wrong;
    if (IsBlind(record)) {
      ++summary->blind;
      continue;
    }
    samples.latencies_ns.push_back(record.latency_ns);
    if (record.latency_ns <= kLateNs) continue;
    ++samples.late;
    if (!any_late || record.due_ns - last_late_ns >= kStallApartNs) ++samples.stalls;
    any_late = true;
    last_late_ns = record.due_ns;
  }
  std::sort(samples.latencies_ns.begin(), samples.latencies_ns.end());
  return samples;
}

double VarianceOf(const std::vector<double>& values) {
  if (values.size() < 2) return 0;
  const auto n = static_cast<double>(values.size());
  const double mean = std::accumulate(values.begin(), values.end(), 0.0) / n;
  double sum = 0;
  for (const double value : values) sum += (value - mean) * (value - mean);
  return sum / (n - 1);
}

double MostOf(const std::vector<double>& values) {
  return values.empty() ? 0 : *std::max_element(values.begin(), values.end());
}

}  // namespace

double Summary::blind_share() const {
  const uint64_t all = answers + blind;
  return all == 0 ? 0 : static_cast<double>(blind) / static_cast<double>(all);
}

Summary Summarise(std::span<const Record> records, const std::vector<Interval>& intervals) {
  Summary summary;
  std::vector<int64_t> all_ns;
  double longest_interval_us = 0;
  for (const Interval& interval : intervals) {
    const auto inside = In(records, interval);
    const IntervalSamples samples = SamplesOf(inside, &summary);
    summary.late += samples.late;
    const double interval_us = static_cast<double>(interval.end_ns - interval.begin_ns) / kNsPerUs;
    summary.p99_by_interval.push_back(PercentileUs(samples.latencies_ns, 0.99, interval_us));
    longest_interval_us = std::max(longest_interval_us, interval_us);
    summary.late_by_interval.push_back(static_cast<double>(samples.late));
    summary.stalls_by_interval.push_back(static_cast<double>(samples.stalls));
    summary.gap_us = std::max(summary.gap_us, LongestGapUs(inside, interval));
    all_ns.insert(all_ns.end(), samples.latencies_ns.begin(), samples.latencies_ns.end());
  }
  std::sort(all_ns.begin(), all_ns.end());
  summary.answers = all_ns.size();
  summary.p50_us = PercentileUs(all_ns, 0.5, longest_interval_us);
  summary.p99_us = PercentileUs(all_ns, 0.99, longest_interval_us);
  summary.p999_us = PercentileUs(all_ns, 0.999, longest_interval_us);
  summary.longest_us = all_ns.empty() ? 0 : static_cast<double>(all_ns.back()) / kNsPerUs;
  return summary;
}

LateExcess ExcessOf(const Summary& baseline, const Summary& beside) {
  const auto intervals = static_cast<double>(beside.late_by_interval.size());
  const double variance = VarianceOf(baseline.late_by_interval) + VarianceOf(beside.late_by_interval);
  return {static_cast<double>(beside.late) - static_cast<double>(baseline.late),
          3 * std::sqrt(static_cast<double>(baseline.late + beside.late)),
          3 * std::sqrt(intervals * variance)};
}

Verdict JudgeNoneLate(const LateExcess& excess) {
  if (excess.excess <= excess.three_sd) return Verdict::kHolds;
  return excess.excess > excess.burst_three_sd ? Verdict::kFallsShort : Verdict::kInconclusive;
}

Verdict JudgeStalls(const Summary& baseline, const Summary& beside, double most) {
  const double worst = MostOf(beside.stalls_by_interval);
  if (worst <= most) return Verdict::kHolds;
  return worst - MostOf(baseline.stalls_by_interval) > most ? Verdict::kFallsShort : Verdict::kInconclusive;
}

P99Ratio RatioOf(const Summary& yardstick, const Summary& beside) {
  P99Ratio ratio;
  for (size_t i = 0; i < std::min(yardstick.p99_by_interval.size(), beside.p99_by_interval.size()); ++i) {
    ratio.by_interval.push_back(beside.p99_by_interval[i] / yardstick.p99_by_interval[i]);
  }
  ratio.pooled = beside.p99_us / yardstick.p99_us;
  return ratio;
}

Verdict JudgeP99(const P99Ratio& ratio, double bound, double blind_share) {
  if (ratio.by_interval.size() < kRoundsMin || blind_share > kBlindMax) return Verdict::kInconclusive;
  const bool intervals_hold = SpreadOf(ratio.by_interval).median <= bound;
  const bool pooled_holds = ratio.pooled <= bound;
  if (intervals_hold && pooled_holds) return Verdict::kHolds;
  return intervals_hold || pooled_holds ? Verdict::kInconclusive : Verdict::kFallsShort;
}

}  // namespace vgpu::bench::interference
