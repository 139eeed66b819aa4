// SPDX-License-Identifier: Apache-2.0
// One request at a time, and with many outstanding, against rivals between two processes of this host.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "bench/figures/figures.h"
#include "bench/lib/series_figure.h"
#include "bench/subjects/ours/mediator_process.h"
#include "bench/subjects/ours/ours.h"
#include "bench/subjects/rivals/best.h"
#include "bench/subjects/rivals/rivals.h"

namespace vgpu::bench {
namespace {

constexpr uint32_t kDepth = 64;

}  // namespace

Result<void> MeasureDepth1(const Effort& effort, Results* results) {
  auto mediator = MediatorProcess::Start({});
  if (!mediator) return tl::make_unexpected(mediator.error());
  nlohmann::json tried;
  std::vector<Maker> raws;
  for (const Polling polling : kPollings) raws.emplace_back([polling] { return MakeRawPingPong(polling); });
  Contestants all;
  all.push_back(InPlaces([&] { return OrThrow(MakeOursDepth1(**mediator)); }));
  all.push_back(Fastest(raws, effort.requests() / 2, &tried));
  all.push_back(BestVariant({}, {1}, effort.requests() / 2, MakeBoostPair, &tried));
  all.push_back(BestVariant({}, {1}, effort.requests() / 2, MakeReaderWriterPair, &tried));
  const std::vector<Series> series = RunContest(all, effort.rounds(), effort.requests());
  const Series& us = series[0];
  const Series& raw = series[1];
  const Series& rival = series[BestRival(series, 2)];
  const double drift = Drift(raw.ns_per_request);

  Figure figure =
      MakeFigure("rtt_rival", "RTT, depth 1 / best rival pair", {0.85, Better::kLower, 0.60}, {&us, &rival});
  figure.values = Ratios(us.ns_per_request, rival.ns_per_request);
  figure.drift = drift;
  figure.note = Describe(us) + "; " + Describe(rival);
  figure.detail.push_back({{"tried", tried}});
  RequireAwake(us, &figure);
  results->figures.push_back(figure);

  figure =
      MakeFigure("rtt_raw", "RTT, depth 1 / raw two-line ping-pong", {1.3, Better::kLower, 0.9}, {&us, &raw});
  figure.values = Ratios(us.ns_per_request, raw.ns_per_request);
  figure.drift = drift;
  figure.note = Describe(raw);
  RequireAwake(us, &figure);
  results->figures.push_back(figure);
  results->Keep("depth_1", series);
  return {};
}

Result<void> MeasureDepth64(const Effort& effort, Results* results) {
  const std::vector<uint32_t> batches = {8, 16, 32, 64};
  auto mediator = MediatorProcess::Start({});
  if (!mediator) return tl::make_unexpected(mediator.error());
  nlohmann::json tried;
  const uint64_t count = effort.requests() * 4;
  Contestants all;
  all.push_back(MakeOursFastestDeep(**mediator, kDepth, batches, effort.requests() / 2, &tried));
  all.push_back(MakeRawPingPong(Polling::kEager));
  all.push_back(BestVariant({kDepth}, batches, effort.requests() / 2, MakeBoostPair, &tried));
  all.push_back(BestVariant({kDepth}, {1, 8, 16, 32}, effort.requests() / 2, MakeReaderWriterPair, &tried));
  const std::vector<Series> series = RunContest(all, effort.rounds(), count);
  const Series& us = series[0];
  const Series& rival = series[BestRival(series, 2)];

  Figure figure = MakeFigure("rate_rival", "request+response rate, depth 64 / best rival pair",
                             {1.2, Better::kHigher, 2.0}, {&us, &rival});
  figure.values = Ratios(rival.ns_per_request, us.ns_per_request);  // times the other way round: rates
  figure.drift = Drift(series[1].ns_per_request);
  figure.note =
      fmt::format("{}: {:.1f} M/s ({:.1f} ns); {}: {:.1f} M/s ({:.1f} ns); {} requests each", us.name,
                  1e3 / Median(us), Median(us), rival.name, 1e3 / Median(rival), Median(rival), us.requests);
  figure.detail.push_back({{"tried", tried}});
  RequireAwake(us, &figure);
  results->figures.push_back(figure);
  results->Keep("depth_64", series);
  return {};
}

namespace {

std::vector<uint32_t> BatchesFor(uint32_t depth) {
  std::vector<uint32_t> batches;
  for (uint32_t batch = 1; batch <= std::min(depth, 256u); batch *= 2) batches.push_back(batch);
  return batches;
}

Result<void> MeasureAtDepth(const MediatorProcess& mediator, uint32_t depth, const Effort& effort,
                            Results* results) {
  nlohmann::json tried;
  Contestants all;
  all.push_back(MakeOursFastestDeep(mediator, depth, BatchesFor(depth), effort.requests() / 2, &tried));
  all.push_back(MakeRawPingPong(Polling::kEager));
  const LeftOut left_out = AddRivals({depth}, BatchesFor(depth), effort.requests() / 2, &all, &tried);
  all.push_back(BestVariant({depth}, BatchesFor(depth), effort.requests() / 2, MakeSmallBoostPair, &tried));
  std::vector<Series> series = RunContest(all, effort.rounds() / 2, effort.requests());
  const Series small = std::move(series.back());
  series.pop_back();
  const Series& us = series[0];
  const Series& rival = series[BestRival(series, 2)];
  const std::string name = fmt::format("best_{}", depth);
  const std::string title = fmt::format("request+response rate, depth {} / best of all rivals (64 B)", depth);
  const Gate gate = depth == 1 ? Gate{NAN, Better::kHigher, {}} : Gate{1.0, Better::kHigher, 2.0};
  Figure figure = MakeFigure(name, title, gate, {&us, &rival});
  figure.values = Ratios(rival.ns_per_request, us.ns_per_request);
  figure.drift = Drift(series[1].ns_per_request);
  figure.note = fmt::format("{}: {:.1f} ns; ", us.name, Median(us));
  for (size_t i = 2; i < series.size(); ++i)
    figure.note += fmt::format("{} {:.1f}, ", series[i].name, Median(series[i]));
  figure.note += fmt::format("{} requests each{}", us.requests, left_out.note);
  figure.skipped = left_out.missing;
  figure.detail.push_back({{"tried", tried}});
  for (const Series& each : series) {
    if (each.wrong != 0) figure.broken = fmt::format("{}: {} wrong answers", each.name, each.wrong);
  }
  RequireAwake(us, &figure);
  results->figures.push_back(figure);
  results->Keep(name, series);

  figure = MakeFigure(fmt::format("small_{}", depth),
                      fmt::format("the same, depth {} / a queue of 16-byte messages", depth),
                      {NAN, Better::kHigher, {}}, {&us, &small});
  figure.values = Ratios(small.ns_per_request, us.ns_per_request);
  figure.note = fmt::format("{}: {:.1f} ns; {}: {:.1f} ns", us.name, Median(us), small.name, Median(small));
  results->figures.push_back(figure);
  return {};
}

}  // namespace

Result<void> MeasureDepths(const Effort& effort, Results* results) {
  auto mediator = MediatorProcess::Start({});
  if (!mediator) return tl::make_unexpected(mediator.error());
  for (const uint32_t depth : {1u, 8u, 64u, 1024u}) {
    if (const auto measured = MeasureAtDepth(**mediator, depth, effort, results); !measured) return measured;
  }
  return {};
}

}  // namespace vgpu::bench
