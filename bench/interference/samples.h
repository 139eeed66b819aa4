// SPDX-License-Identifier: Apache-2.0
// From a victim's records to what it noticed, and to verdicts. Pure.
#ifndef VGPU_BENCH_INTERFERENCE_SAMPLES_H_
#define VGPU_BENCH_INTERFERENCE_SAMPLES_H_

#include <cstdint>
#include <span>
#include <vector>

#include "bench/interference/record.h"
#include "bench/lib/stats.h"

namespace vgpu::bench::interference {

// Later than this is late.
inline constexpr int64_t kLateNs = 1'000'000;
// Late answers with less than this between when they were due belong to one stall.
inline constexpr int64_t kStallApartNs = 5'000'000;
// With a larger share of blind answers the victims' own processor was too busy to
// say anything about the mediator.
inline constexpr double kBlindMax = 0.05;

// Requests belong to the interval in which they were due.
struct Interval {
  int64_t begin_ns = 0;
  int64_t end_ns = 0;
};

// An answer during whose time the victim itself mostly did not run says nothing about the mediator.
inline bool IsBlind(const Record& record) {
  return record.blind_us != 0 && int64_t{record.blind_us} * 2000 >= record.latency_ns;
}

struct Summary {
  uint64_t answers = 0;  // that were seen in time, blind ones not among them
  uint64_t blind = 0;
  uint64_t late = 0;
  uint64_t wrong = 0;  // of all
  double p50_us = 0, p99_us = 0, p999_us = 0, longest_us = 0;
  double gap_us = 0;  // the longest time without an answer
  std::vector<double> p99_by_interval, late_by_interval, stalls_by_interval;

  double blind_share() const;
};

// `records` in the order of their requests.
Summary Summarise(std::span<const Record> records, const std::vector<Interval>& intervals);

// More late answers beside than alone? Of single ones the square root of their number says how much chance
// does; of those that come in bursts, as a stall's do, only the spread over intervals.
struct LateExcess {
  double excess = 0;    // beside - alone
  double three_sd = 0;  // if they came one by one
  double burst_three_sd = 0;
};
LateExcess ExcessOf(const Summary& baseline, const Summary& beside);
// None beyond chance: holds. More than bursts explain: falls short.
Verdict JudgeNoneLate(const LateExcess& excess);

// At most so many stalls in any interval beside, one aggressor each. Alone there should be none; as many as
// there prove nothing.
Verdict JudgeStalls(const Summary& baseline, const Summary& beside, double most);

// p99 beside to p99 of the yardstick: interval by interval, and of all answers together.
struct P99Ratio {
  std::vector<double> by_interval;
  double pooled = 0;
};
P99Ratio RatioOf(const Summary& yardstick, const Summary& beside);
// Both must hold; if only one does, or too much was blind, this run cannot say.
Verdict JudgeP99(const P99Ratio& ratio, double bound, double blind_share);

}  // namespace vgpu::bench::interference

#endif  // VGPU_BENCH_INTERFERENCE_SAMPLES_H_
