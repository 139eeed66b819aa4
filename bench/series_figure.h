// SPDX-License-Identifier: Apache-2.0
// From the series of a contest to a figure: what the measurements of the ring have in common.
#ifndef VGPU_BENCH_SERIES_FIGURE_H_
#define VGPU_BENCH_SERIES_FIGURE_H_

#include <algorithm>
#include <cstdint>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "bench/contest.h"
#include "bench/figure.h"
#include "bench/rivals/rivals.h"

namespace vgpu::bench {

// How much to measure. Quick: enough to see that everything works.
struct Effort {
  bool quick = false;
  uint32_t rounds() const { return quick ? 2 * kPlaces : 60; }
  uint64_t requests() const { return quick ? 5'000 : 20'000; }
  uint64_t wakes() const { return quick ? 50 : 200; }
};

inline constexpr Polling kPollings[] = {Polling::kEager, Polling::kRelaxed};

// Of its rounds.
double Median(const Series& series);
// With its percentiles.
std::string Describe(const Series& series);

// Broken if any of these answered wrongly.
Figure MakeFigure(const std::string& name, const std::string& title, Gate gate, const std::vector<const Series*>& all);

// A server of which a figure says that it polls may fall asleep between rounds only.
void RequireAwake(const Series& series, Figure* figure);
void RequireAsleep(const Series& series, Figure* figure);

// The fastest from `first` on.
size_t BestRival(const std::vector<Series>& all, size_t first);

struct LeftOut {
  std::string note;
  std::string missing;  // why "all rivals" would not be true
};

// The fastest of these batches, both ways of polling; *tried says what each came to.
std::unique_ptr<Contestant> BestVariant(PairPlan plan, const std::vector<uint32_t>& batches, uint64_t count,
                                        std::unique_ptr<Contestant> (*make)(const PairPlan&), nlohmann::json* tried);

// Adds the best variant of every rival that can take part in `plan`, and returns what is to be said of the others (nothing if
// there are none). The kernel's own are so slow that a few requests say it: eager, and the largest batch.
LeftOut AddRivals(PairPlan plan, const std::vector<uint32_t>& batches, uint64_t count, Contestants* all,
                  nlohmann::json* tried);

}  // namespace vgpu::bench

#endif  // VGPU_BENCH_SERIES_FIGURE_H_
