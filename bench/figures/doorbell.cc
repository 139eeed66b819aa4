// SPDX-License-Identifier: Apache-2.0
// The mediator sleeps; the doorbell wakes it.
#include <chrono>

#include "bench/figures/figures.h"
#include "bench/lib/series_figure.h"
#include "bench/lib/stats.h"
#include "bench/subjects/ours/mediator_process.h"
#include "bench/subjects/ours/ours.h"
#include "bench/subjects/rivals/rivals.h"

namespace vgpu::bench {
namespace {

constexpr std::chrono::microseconds kPause{500};  // longer than the mediator ever spins

}  // namespace

Result<void> MeasureDoorbell(const Effort& effort, Results* results) {
  auto mediator = MediatorProcess::Start({});
  if (!mediator) return tl::make_unexpected(mediator.error());
  auto ours = MakeOursAsleep(**mediator, kPause);
  if (!ours) return tl::make_unexpected(ours.error());
  Contestants all;
  all.push_back(std::move(*ours));
  all.push_back(MakeEventfdWake(kPause));
  const std::vector<Series> series = RunContest(all, effort.rounds(), effort.wakes());

  Figure figure = MakeFigure("doorbell_wake", "doorbell to answer, mediator asleep / raw eventfd wake",
                             {1.25, Better::kLower, 1.05}, {&series[0], &series[1]});
  figure.values = Ratios(series[0].ns_per_request, series[1].ns_per_request);
  figure.drift = Drift(series[1].ns_per_request);
  figure.note = Describe(series[0]) + "; " + Describe(series[1]);
  RequireAsleep(series[0], &figure);
  RequireAsleep(series[1], &figure);
  results->figures.push_back(figure);
  results->Keep("doorbell", series);
  return {};
}

}  // namespace vgpu::bench
