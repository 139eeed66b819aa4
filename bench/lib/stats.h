// SPDX-License-Identifier: Apache-2.0
// From rounds to a verdict. Both sides of a comparison run in every round, shortly after one another; a
// machine whose speed changes between rounds changes both. So: a ratio for each round, the median of the
// ratios, and their spread.
#ifndef VGPU_BENCH_LIB_STATS_H_
#define VGPU_BENCH_LIB_STATS_H_

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

namespace vgpu::bench {

// The value below which the share `q` (0..1) of the sorted values lies, interpolated.
// Needs at least one value.
double Quantile(std::vector<double> values, double q);

struct Spread {
  size_t n = 0;
  double min = 0;
  double q1 = 0;
  double median = 0;
  double q3 = 0;
  double max = 0;
};
Spread SpreadOf(const std::vector<double>& values);

// ours[i] / theirs[i]. Both have the same size, and no divisor is zero.
std::vector<double> Ratios(const std::vector<double>& ours, const std::vector<double>& theirs);

// Of several rivals measured in the same rounds: the one whose median is best (lowest,
// or highest). Needs one rival.
enum class Better : unsigned char { kLower, kHigher };
size_t BestOf(const std::vector<std::vector<double>>& rivals, Better better);

enum class Verdict : unsigned char { kHolds, kFallsShort, kInconclusive, kSkipped, kNoGate };
const char* VerdictName(Verdict verdict);

struct Gate {
  double bound = 0;  // NAN: measured for its own sake
  Better better = Better::kLower;
  std::optional<double> aim;

  bool Holds(double value) const { return better == Better::kLower ? value <= bound : value >= bound; }
};

// By how much the machine's own speed changed: the median of the raw ping-pong in the fastest fifth of the
// run to that in the slowest (consecutive rounds, five windows), so that single disturbed rounds do not
// count. 1 with fewer than five rounds.
double Drift(const std::vector<double>& raw_by_round);
// Above this, a run on a shared machine says nothing.
inline constexpr double kDriftMax = 2.0;

// Fewer rounds than this give no median worth the name.
inline constexpr size_t kRoundsMin = 5;

Verdict Judge(const Gate& gate, double value, size_t rounds, double drift);

}  // namespace vgpu::bench

#endif  // VGPU_BENCH_LIB_STATS_H_
