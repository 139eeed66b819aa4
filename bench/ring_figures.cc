// SPDX-License-Identifier: Apache-2.0
#include "bench/ring_figures.h"

#include <fmt/format.h>

#include <algorithm>

#include "bench/mediator_process.h"
#include "bench/ours.h"
#include "bench/rivals/rivals.h"

namespace vgpu::bench {
namespace {

constexpr uint32_t kDepth = 64;
constexpr std::chrono::microseconds kPause{500};  // longer than the mediator ever spins
constexpr Polling kPollings[] = {Polling::kEager, Polling::kRelaxed};

double Median(const Series& series) { return Quantile(series.ns_per_request, 0.5); }

std::string Describe(const Series& series) {
  const base::Histogram& latency = series.latency_ns;
  return fmt::format("{} {:.0f} ns (p50 {}, p99 {}, p99.9 {}; {} of {} timed)", series.name, Median(series),
                     latency.Percentile(50), latency.Percentile(99), latency.Percentile(99.9), latency.count(),
                     series.requests);
}

Figure MakeFigure(const char* name, const char* title, Gate gate, const std::vector<const Series*>& all) {
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

// A server of which a figure says that it polls may fall asleep between rounds only.
void RequireAwake(const Series& series, Figure* figure) {
  if (Quantile(series.sleeps, 0.5) > 0.001) figure->broken = series.name + " slept where it should have polled";
}
void RequireAsleep(const Series& series, Figure* figure) {
  if (Quantile(series.sleeps, 0.5) < 0.98) figure->broken = series.name + " did not sleep before each request";
}

size_t BestRival(const std::vector<Series>& all, size_t first) {
  std::vector<std::vector<double>> times;
  for (size_t i = first; i < all.size(); ++i) times.push_back(all[i].ns_per_request);
  return first + BestOf(times, Better::kLower);
}

void Keep(const char* contest, const std::vector<Series>& all, RingResults* results) {
  for (const Series& series : all) results->series.emplace_back(contest, series);
}

template <class Make>
std::unique_ptr<Contestant> BestVariant(const Effort& effort, uint32_t depth, const std::vector<uint32_t>& batches,
                                        Make make, nlohmann::json* tried) {
  Contestants variants;
  for (const uint32_t batch : batches) {
    for (const Polling polling : kPollings) variants.push_back(make(PairPlan{depth, batch, polling}));
  }
  return Fastest(std::move(variants), effort.requests() / 2, tried);
}

}  // namespace

Result<void> MeasureDepth1(const Effort& effort, RingResults* results) {
  auto mediator = MediatorProcess::Start({});
  if (!mediator) return tl::make_unexpected(mediator.error());
  auto ours = MakeOursDepth1(**mediator);
  if (!ours) return tl::make_unexpected(ours.error());
  nlohmann::json tried;
  Contestants raws;
  for (const Polling polling : kPollings) raws.push_back(MakeRawPingPong(polling));
  Contestants all;
  all.push_back(std::move(*ours));
  all.push_back(Fastest(std::move(raws), effort.requests() / 2, &tried));
  all.push_back(BestVariant(effort, 1, {1}, MakeBoostPair, &tried));
  all.push_back(BestVariant(effort, 1, {1}, MakeReaderWriterPair, &tried));
  const std::vector<Series> series = RunContest(all, effort.rounds(), effort.requests());
  const Series& us = series[0];
  const Series& raw = series[1];
  const Series& rival = series[BestRival(series, 2)];
  const double drift = Drift(raw.ns_per_request);

  Figure figure = MakeFigure("rtt_rival", "RTT, depth 1 / best rival pair", {0.85, Better::kLower, 0.60}, {&us, &rival});
  figure.values = Ratios(us.ns_per_request, rival.ns_per_request);
  figure.drift = drift;
  figure.note = Describe(us) + "; " + Describe(rival);
  figure.detail.push_back({{"tried", tried}});
  RequireAwake(us, &figure);
  results->figures.push_back(figure);

  figure = MakeFigure("rtt_raw", "RTT, depth 1 / raw two-line ping-pong", {1.3, Better::kLower, 0.9}, {&us, &raw});
  figure.values = Ratios(us.ns_per_request, raw.ns_per_request);
  figure.drift = drift;
  figure.note = Describe(raw);
  RequireAwake(us, &figure);
  results->figures.push_back(figure);
  Keep("depth_1", series, results);
  return {};
}

Result<void> MeasureDepth64(const Effort& effort, RingResults* results) {
  const std::vector<uint32_t> batches = {8, 16, 32, 64};
  auto mediator = MediatorProcess::Start({});
  if (!mediator) return tl::make_unexpected(mediator.error());
  nlohmann::json tried;
  auto ours = MakeOursFastestDeep(**mediator, kDepth, batches, effort.requests() / 2, &tried);
  if (!ours) return tl::make_unexpected(ours.error());
  const uint64_t count = effort.requests() * 4;
  Contestants all;
  all.push_back(std::move(*ours));
  all.push_back(MakeRawPingPong(Polling::kEager));
  all.push_back(BestVariant(effort, kDepth, batches, MakeBoostPair, &tried));
  all.push_back(BestVariant(effort, kDepth, {1, 8, 16, 32}, MakeReaderWriterPair, &tried));
  const std::vector<Series> series = RunContest(all, effort.rounds(), count);
  const Series& us = series[0];
  const Series& rival = series[BestRival(series, 2)];

  Figure figure = MakeFigure("rate_rival", "request+response rate, depth 64 / best rival pair",
                             {1.2, Better::kHigher, 2.0}, {&us, &rival});
  figure.values = Ratios(rival.ns_per_request, us.ns_per_request);  // times the other way round: rates
  figure.drift = Drift(series[1].ns_per_request);
  figure.note = fmt::format("{}: {:.1f} M/s ({:.1f} ns); {}: {:.1f} M/s ({:.1f} ns); {} requests each", us.name,
                            1e3 / Median(us), Median(us), rival.name, 1e3 / Median(rival), Median(rival), us.requests);
  figure.detail.push_back({{"tried", tried}});
  RequireAwake(us, &figure);
  results->figures.push_back(figure);
  Keep("depth_64", series, results);
  return {};
}

namespace {

struct Rival {
  std::unique_ptr<Contestant> (*make)(const PairPlan&);
  bool kernel;  // so slow that a few requests say it
};
constexpr Rival kRivals[] = {{MakeBoostPair, false},  {MakeReaderWriterPair, false}, {MakeVirtioSplit, false},
                             {MakeVirtioPacked, false}, {MakePipePair, true},        {MakeSocketPair, true}};

std::vector<uint32_t> BatchesFor(uint32_t depth) {
  std::vector<uint32_t> batches;
  for (uint32_t batch = 1; batch <= std::min(depth, 64u); batch *= 2) batches.push_back(batch);
  return batches;
}

Result<void> MeasureAtDepth(const MediatorProcess& mediator, uint32_t depth, const Effort& effort, RingResults* results) {
  nlohmann::json tried;
  auto ours = MakeOursFastestDeep(mediator, depth, BatchesFor(depth), effort.requests() / 2, &tried);
  if (!ours) return tl::make_unexpected(ours.error());
  Contestants all;
  all.push_back(std::move(*ours));
  all.push_back(MakeRawPingPong(Polling::kEager));
  for (const Rival& rival : kRivals) {
    if (rival.kernel) {
      all.push_back(rival.make({depth, std::min(depth, 64u), Polling::kEager}));
    } else {
      all.push_back(BestVariant(effort, depth, BatchesFor(depth), rival.make, &tried));
    }
  }
  const std::vector<Series> series = RunContest(all, effort.rounds() / 2, effort.requests());
  const Series& us = series[0];
  const Series& rival = series[BestRival(series, 2)];
  const std::string name = fmt::format("best_{}", depth);
  const std::string title = fmt::format("request+response rate, depth {} / best of all rivals", depth);
  Figure figure = MakeFigure(name.c_str(), title.c_str(), {1.0, Better::kHigher, 2.0}, {&us, &rival});
  figure.values = Ratios(rival.ns_per_request, us.ns_per_request);
  figure.drift = Drift(series[1].ns_per_request);
  figure.note = fmt::format("{}: {:.1f} ns; ", us.name, Median(us));
  for (size_t i = 2; i < series.size(); ++i) figure.note += fmt::format("{} {:.1f}, ", series[i].name, Median(series[i]));
  figure.note += fmt::format("{} requests each", us.requests);
  figure.detail.push_back({{"tried", tried}});
  for (const Series& each : series) {
    if (each.wrong != 0) figure.broken = fmt::format("{}: {} wrong answers", each.name, each.wrong);
  }
  RequireAwake(us, &figure);
  results->figures.push_back(figure);
  Keep(name.c_str(), series, results);
  return {};
}

}  // namespace

Result<void> MeasureDepths(const Effort& effort, RingResults* results) {
  auto mediator = MediatorProcess::Start({});
  if (!mediator) return tl::make_unexpected(mediator.error());
  for (const uint32_t depth : {8u, 64u, 1024u}) {
    if (const auto measured = MeasureAtDepth(**mediator, depth, effort, results); !measured) return measured;
  }
  return {};
}

Result<void> MeasureDoorbell(const Effort& effort, RingResults* results) {
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
  Keep("doorbell", series, results);
  return {};
}

}  // namespace vgpu::bench
