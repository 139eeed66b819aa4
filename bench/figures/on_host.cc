// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "bench/figures/figures.h"
#include "bench/lib/series_figure.h"
#include "bench/lib/sleeps.h"
#include "bench/lib/stats.h"
#include "bench/subjects/ours/mediator_process.h"
#include "bench/subjects/ours/ours.h"
#include "bench/subjects/rivals/rivals.h"
#include "bench/subjects/socket/forwarding.h"

namespace vgpu::bench {
namespace {

using socket::MakeForwarding;
using socket::Waiting;

uint32_t RoundsOf(const Effort& effort) { return std::max<uint32_t>(kRoundsMin, effort.rounds() / 2); }

// Both sides of it.
std::string SleepFault(const Series& series, bool asleep, uint64_t count) {
  for (const std::vector<double>* sleeps : {&series.sleeps, &series.client_sleeps}) {
    if (const std::string fault = SleepFaultOf(series.name, *sleeps, asleep, count); !fault.empty())
      return fault;
  }
  return "";
}

Figure RatioFigure(const char* name, const char* title, Gate gate, const Series& theirs, const Series& ours) {
  Figure figure = MakeFigure(name, title, gate, {&theirs, &ours});
  figure.values = Ratios(theirs.p50_ns, ours.p50_ns);
  figure.note = Describe(RowOf(theirs)) + "; " + Describe(RowOf(ours));
  return figure;
}

void AddGroup(const char* title, const std::vector<Series>& all, Results* results) {
  RowGroup group{title, {}};
  for (const Series& series : all) group.rows.push_back(RowOf(series));
  results->groups.push_back(group);
}

Result<void> MeasureSpinning(const Effort& effort, Results* results) {
  auto mediator = MediatorProcess::Start({});
  if (!mediator) return tl::make_unexpected(mediator.error());
  auto ours = MakeOursDepth1(**mediator);
  if (!ours) return tl::make_unexpected(ours.error());
  Contestants all;
  all.push_back(std::move(*ours));
  all.push_back(MakeForwarding(Waiting::kSpinning));
  all.push_back(MakeRawPingPong(Polling::kEager));
  const uint64_t count = effort.requests();
  const std::vector<Series> series = RunContest(all, RoundsOf(effort), count);
  Figure figure = RatioFigure("socket_spinning", "on the host: socket / ring, both sides spinning, p50",
                              {5, Better::kHigher, 20}, series[1], series[0]);
  figure.drift = Drift(series[2].p50_ns);
  for (const size_t i : {0, 1}) {
    if (const std::string fault = SleepFault(series[i], false, count); !fault.empty()) figure.broken = fault;
  }
  results->figures.push_back(figure);
  AddGroup("on the host, both sides spinning", series, results);
  return {};
}

Result<void> MeasureAsleep(const Effort& effort, Results* results) {
  MediatorOptions options;
  options.wait = "sleep";
  auto mediator = MediatorProcess::Start(options);
  if (!mediator) return tl::make_unexpected(mediator.error());
  auto ours = MakeOursBothAsleep(**mediator);
  if (!ours) return tl::make_unexpected(ours.error());
  Contestants all;
  all.push_back(std::move(*ours));
  all.push_back(MakeForwarding(Waiting::kBlocking));
  all.push_back(MakeForwarding(Waiting::kHandedOn));
  all.push_back(MakeForwarding(Waiting::kAsItWas));
  all.push_back(MakeEventfdPingPong());
  const uint64_t count = effort.wakes() * 5;
  const std::vector<Series> series = RunContest(all, RoundsOf(effort), count);
  Figure figure = RatioFigure("socket_asleep", "on the host: socket / ring, both sides asleep, p50",
                              {1.5, Better::kHigher, 2}, series[1], series[0]);
  figure.drift = Drift(series.back().p50_ns);
  for (const size_t i : {0, 1}) {
    if (const std::string fault = SleepFault(series[i], true, count); !fault.empty()) figure.broken = fault;
  }
  results->figures.push_back(figure);
  AddGroup("on the host, both sides asleep", series, results);
  return {};
}

}  // namespace

Result<void> MeasureSockets(const Effort& effort, Results* results) {
  if (const auto measured = MeasureSpinning(effort, results); !measured) return measured;
  return MeasureAsleep(effort, results);
}

}  // namespace vgpu::bench
