// SPDX-License-Identifier: Apache-2.0
// From the series of a contest to a figure: what measurements on the host have in common.
#ifndef VGPU_BENCH_LIB_SERIES_FIGURE_H_
#define VGPU_BENCH_LIB_SERIES_FIGURE_H_

#include <cstddef>
#include <string>
#include <vector>

#include "bench/lib/contest.h"
#include "bench/lib/figure.h"

namespace vgpu::bench {

// Of its rounds.
double Median(const Series& series);
// With its percentiles.
std::string Describe(const Series& series);

// Broken if any of these answered wrongly.
Figure MakeFigure(const std::string& name, const std::string& title, Gate gate,
                  const std::vector<const Series*>& all);

// A server of which a figure says that it polls may fall asleep between rounds only.
void RequireAwake(const Series& series, Figure* figure);
void RequireAsleep(const Series& series, Figure* figure);

// The fastest from `first` on.
size_t BestRival(const std::vector<Series>& all, size_t first);

}  // namespace vgpu::bench

#endif  // VGPU_BENCH_LIB_SERIES_FIGURE_H_
