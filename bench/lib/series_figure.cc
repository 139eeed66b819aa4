// SPDX-License-Identifier: Apache-2.0
#include "bench/lib/series_figure.h"

#include <fmt/format.h>

namespace vgpu::bench {

double Median(const Series& series) { return Quantile(series.ns_per_request, 0.5); }

std::string Describe(const Series& series) {
  const base::Histogram& latency = series.latency_ns;
  return fmt::format("{} {:.0f} ns (p50 {}, p99 {}, p99.9 {}; {} of {} timed)", series.name, Median(series),
                     latency.Percentile(50), latency.Percentile(99), latency.Percentile(99.9),
                     latency.count(), series.requests);
}

Figure MakeFigure(const std::string& name, const std::string& title, Gate gate,
                  const std::vector<const Series*>& all) {
  Figure figure;
  figure.name = name;
  figure.title = title;
  figure.gate = gate;
  figure.detail = nlohmann::json::array();
  for (const Series* series : all) {
    figure.detail.push_back(ToJson(*series));
    if (series->wrong != 0) figure.broken = fmt::format("{}: {} wrong answers", series->name, series->wrong);
  }
  return figure;
}

void RequireAwake(const Series& series, Figure* figure) {
  if (Quantile(series.sleeps, 0.5) > 0.001)
    figure->broken = series.name + " slept where it should have polled";
}

void RequireAsleep(const Series& series, Figure* figure) {
  if (Quantile(series.sleeps, 0.5) < 0.98)
    figure->broken = series.name + " did not sleep before each request";
}

size_t BestRival(const std::vector<Series>& all, size_t first) {
  std::vector<std::vector<double>> times;
  for (size_t i = first; i < all.size(); ++i) times.push_back(all[i].ns_per_request);
  return first + BestOf(times, Better::kLower);
}

}  // namespace vgpu::bench
