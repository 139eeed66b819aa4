// SPDX-License-Identifier: Apache-2.0
#include "bench/lib/stats.h"

#include <algorithm>
#include <cassert>
#include <cmath>

namespace vgpu::bench {

double Quantile(std::vector<double> values, double q) {
  assert(!values.empty() && q >= 0 && q <= 1);
  std::sort(values.begin(), values.end());
  const double place = q * static_cast<double>(values.size() - 1);
  const auto below = static_cast<size_t>(place);
  const size_t above = std::min(below + 1, values.size() - 1);
  return values[below] + (values[above] - values[below]) * (place - static_cast<double>(below));
}

Spread SpreadOf(const std::vector<double>& values) {
  if (values.empty()) return {};
  return {values.size(),         Quantile(values, 0),    Quantile(values, 0.25),
          Quantile(values, 0.5), Quantile(values, 0.75), Quantile(values, 1)};
}

std::vector<double> Ratios(const std::vector<double>& ours, const std::vector<double>& theirs) {
  assert(ours.size() == theirs.size());
  std::vector<double> ratios(ours.size());
  for (size_t i = 0; i < ours.size(); ++i) {
    assert(theirs[i] != 0);
    ratios[i] = ours[i] / theirs[i];
  }
  return ratios;
}

size_t BestOf(const std::vector<std::vector<double>>& rivals, Better better) {
  assert(!rivals.empty());
  size_t best = 0;
  for (size_t i = 1; i < rivals.size(); ++i) {
    const double value = Quantile(rivals[i], 0.5);
    const double champion = Quantile(rivals[best], 0.5);
    if (better == Better::kLower ? value < champion : value > champion) best = i;
  }
  return best;
}

const char* VerdictName(Verdict verdict) {
  switch (verdict) {
    case Verdict::kHolds: return "holds";
    case Verdict::kFallsShort: return "falls short";
    case Verdict::kInconclusive: return "inconclusive";
    case Verdict::kSkipped: return "skipped";
    case Verdict::kNoGate: return "no gate";
  }
  return "unknown";
}

double Drift(const std::vector<double>& raw_by_round) {
  constexpr size_t kParts = 5;
  if (raw_by_round.size() < kParts) return 1;
  double lowest = INFINITY;
  double highest = 0;
  for (size_t w = 0; w < kParts; ++w) {
    const auto begin = raw_by_round.begin() + static_cast<ptrdiff_t>(w * raw_by_round.size() / kParts);
    const auto end = raw_by_round.begin() + static_cast<ptrdiff_t>((w + 1) * raw_by_round.size() / kParts);
    const double median = Quantile({begin, end}, 0.5);
    lowest = std::min(lowest, median);
    highest = std::max(highest, median);
  }
  return highest / lowest;
}

Verdict Judge(const Gate& gate, double value, size_t rounds, double drift) {
  if (std::isnan(gate.bound) && std::isfinite(value)) return Verdict::kNoGate;
  if (!std::isfinite(value) || rounds < kRoundsMin || drift > kDriftMax) return Verdict::kInconclusive;
  return gate.Holds(value) ? Verdict::kHolds : Verdict::kFallsShort;
}

}  // namespace vgpu::bench
