// SPDX-License-Identifier: Apache-2.0
// Requests at a pace: with time to think between an answer and the next request, and in an open loop.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <utility>
#include <vector>

#include "bench/figures/figures.h"
#include "bench/lib/series_figure.h"
#include "bench/lib/sleeps.h"
#include "bench/subjects/ours/mediator_process.h"
#include "bench/subjects/ours/ours.h"
#include "bench/subjects/rivals/rivals.h"
#include "bench/subjects/socket/forwarding.h"

namespace vgpu::bench {
namespace {

using namespace std::chrono_literals;
// After a turn: the kernel counts the time of who runs at its ticks only.
constexpr std::chrono::milliseconds kSettle{20};

uint32_t RoundsOf(const Effort& effort) { return effort.quick ? kRoundsMin : 20; }

// Latency, and what it cost.
std::string WithCost(const Series& series) {
  const double cpu_us = Quantile(series.cpu_ns, 0.5) / 1e3;
  return fmt::format("{}, {:.2f} us CPU and {:.2f} sleeps a request", Describe(RowOf(series)), cpu_us,
                     Quantile(series.sleeps, 0.5));
}

Figure FigureOf(const std::string& name, const std::string& title, Gate gate, std::vector<double> values,
                const std::vector<Series>& all) {
  std::vector<const Series*> shown;
  for (const Series& series : all) shown.push_back(&series);
  Figure figure = MakeFigure(name, title, gate, shown);
  figure.values = std::move(values);
  figure.drift = Drift(all.back().p50_ns);  // the raw ping-pong
  figure.note = WithCost(all[0]) + "; " + WithCost(all[1]);
  for (const Series& series : all) {
    const double turns = static_cast<double>(series.ns_per_request.size());
    const double sleeps = Quantile(series.sleeps, 0.5) * static_cast<double>(series.requests) / turns;
    if (sleeps < 0.5)
      figure.broken = series.name + " did not rest between its turns: it disturbed the others";
  }
  return figure;
}

// ---- time to think ----

struct Thinking {
  const char* name;
  const char* title;
  Pace pace;
  Gate gate;
  bool short_enough;  // for the mediator to stay awake
};
constexpr Gate kNoGate{NAN, Better::kLower, {}};
const Thinking kThinking[] = {
    {"think_5_20",
     "5 to 20 us between requests: p50, adaptive / always asleep",
     {5us, 20us},
     {0.30, Better::kLower, 0.06},
     true},
    {"think_0", "no time between requests: p50, adaptive / always asleep", {0us, 0us}, kNoGate, true},
    {"think_50", "25 to 75 us between: p50, adaptive / always asleep", {25us, 75us}, kNoGate, false},
    {"think_100", "50 to 150 us between: p50, adaptive / always asleep", {50us, 150us}, kNoGate, false},
    {"think_200", "100 to 300 us between: p50, adaptive / always asleep", {100us, 300us}, kNoGate, false},
    {"think_1000", "0.5 to 1.5 ms between: p50, adaptive / always asleep", {500us, 1500us}, kNoGate, false},
};

Result<void> MeasureThinkingOf(const Thinking& thinking, const MediatorProcess& adaptive,
                               const MediatorProcess& asleep, const Effort& effort, Results* results) {
  Contestants all;
  for (const auto& [mediator, label] :
       {std::pair(&adaptive, "adaptive"), std::pair(&asleep, "always asleep")}) {
    Asker asker;
    asker.label = label;
    asker.pace = thinking.pace;
    auto ours = MakeOursDepth1(*mediator, asker);
    if (!ours) return tl::make_unexpected(ours.error());
    all.push_back(std::move(*ours));
  }
  all.push_back(MakeRawPingPong(Polling::kEager));
  const uint64_t count = effort.wakes();
  const std::vector<Series> series = RunContest(all, RoundsOf(effort), count, kSettle);
  Figure figure = FigureOf(thinking.name, thinking.title, thinking.gate,
                           Ratios(series[0].p50_ns, series[1].p50_ns), series);
  if (thinking.pace.think_min > 0us) {  // else the next request may come before the mediator is asleep
    const auto fault = SleepFaultOf(series[1].name, series[1].sleeps, true, count);
    if (!fault.empty()) figure.broken = fault;
  }
  if (thinking.short_enough) {
    const auto fault = SleepFaultOf(series[0].name, series[0].sleeps, false, count);
    if (!fault.empty()) figure.broken = fault;
  }
  results->figures.push_back(figure);
  return {};
}

// ---- open loop ----

struct Rate {
  uint32_t per_second;
  socket::Waiting rival;  // what a service at this rate would be built as
};
constexpr Rate kRates[] = {{1'000, socket::Waiting::kBlocking},
                           {10'000, socket::Waiting::kBlocking},
                           {100'000, socket::Waiting::kSpinning}};

Result<void> MeasureRate(const Rate& rate, const MediatorProcess& mediator, const Effort& effort,
                         Results* results) {
  constexpr uint32_t kRoundsPerSecond = 5;
  Asker asker;
  asker.pace = Pace{.period = 1'000'000'000ns / rate.per_second};
  auto ours = MakeOursDepth1(mediator, asker);
  if (!ours) return tl::make_unexpected(ours.error());
  Contestants all;
  all.push_back(std::move(*ours));
  all.push_back(MakeForwarding(rate.rival, asker.pace));
  all.push_back(MakeRawPingPong(Polling::kEager));
  const std::vector<Series> series =
      RunContest(all, RoundsOf(effort), rate.per_second / kRoundsPerSecond, kSettle);
  results->figures.push_back(
      FigureOf(fmt::format("open_{}", rate.per_second),
               fmt::format("open loop, {} requests a second: p99, socket / ring", rate.per_second),
               {NAN, Better::kHigher, {}}, Ratios(series[1].p99_ns, series[0].p99_ns), series));
  return {};
}

}  // namespace

Result<void> MeasureThinking(const Effort& effort, Results* results) {
  MediatorOptions options;
  auto adaptive = MediatorProcess::Start(options);
  if (!adaptive) return tl::make_unexpected(adaptive.error());
  options.wait = "sleep";
  auto asleep = MediatorProcess::Start(options);
  if (!asleep) return tl::make_unexpected(asleep.error());
  for (const Thinking& thinking : kThinking) {
    if (const auto measured = MeasureThinkingOf(thinking, **adaptive, **asleep, effort, results); !measured)
      return measured;
  }
  return {};
}

Result<void> MeasureOpenLoop(const Effort& effort, Results* results) {
  auto mediator = MediatorProcess::Start({});
  if (!mediator) return tl::make_unexpected(mediator.error());
  for (const Rate& rate : kRates) {
    if (const auto measured = MeasureRate(rate, **mediator, effort, results); !measured) return measured;
  }
  return {};
}

}  // namespace vgpu::bench
