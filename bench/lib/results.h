// SPDX-License-Identifier: Apache-2.0
// What a measurement is told, and where its results go.
#ifndef VGPU_BENCH_LIB_RESULTS_H_
#define VGPU_BENCH_LIB_RESULTS_H_

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "bench/lib/contest.h"
#include "bench/lib/figure.h"
#include "bench/lib/rows.h"

namespace vgpu::bench {

// How much to measure. Quick: enough to see that everything works.
struct Effort {
  bool quick = false;
  uint32_t rounds() const { return quick ? 2 * kPlaces : 60; }
  uint64_t requests() const { return quick ? 5'000 : 20'000; }
  uint64_t wakes() const { return quick ? 50 : 200; }
};

// The figures, and the rows and series that they were made of.
struct Results {
  std::vector<Figure> figures;
  std::vector<RowGroup> groups;                        // of latencies
  std::vector<std::pair<std::string, Series>> series;  // with the name of their contest

  void Keep(const std::string& contest, const std::vector<Series>& all) {
    for (const Series& each : all) series.emplace_back(contest, each);
  }
};

}  // namespace vgpu::bench

#endif  // VGPU_BENCH_LIB_RESULTS_H_
