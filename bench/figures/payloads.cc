// SPDX-License-Identifier: Apache-2.0
// Requests that bring more than a slot holds. The figures are of the rounds' p50: the longer a request takes,
// the more of them meet an interrupt, and means would compare those.
#include <fmt/format.h>

#include <cmath>

#include "bench/figures/figures.h"
#include "bench/lib/payload.h"
#include "bench/lib/series_figure.h"
#include "bench/lib/stats.h"
#include "bench/subjects/ours/mediator_process.h"
#include "bench/subjects/ours/ours.h"
#include "bench/subjects/rivals/best.h"
#include "bench/subjects/rivals/rivals.h"

namespace vgpu::bench {
namespace {

constexpr uint64_t kSizes[] = {8, 64, 512, 4096, kPayloadBytesMax};

std::string SizeText(uint64_t bytes) {
  return bytes < 1024 ? fmt::format("{} B", bytes) : fmt::format("{} KiB", bytes / 1024);
}

Result<void> MeasureSize(const MediatorProcess& mediator, uint64_t bytes, const Effort& effort,
                         Results* results) {
  const uint64_t count = effort.requests() / 4;
  nlohmann::json tried;
  Contestants all;
  all.push_back(InPlaces([&] { return OrThrow(MakeOursPayload(mediator, bytes)); }));
  all.push_back(MakeRawPingPong(Polling::kEager));
  PairPlan plan;
  plan.payload_bytes = bytes;
  const LeftOut left_out = AddRivals(plan, {1}, count / 2, &all, &tried);
  const std::vector<Series> series = RunContest(all, effort.rounds() / 2, count);
  const Series& us = series[0];
  std::vector<std::vector<double>> p50s;
  for (size_t i = 2; i < series.size(); ++i) p50s.push_back(series[i].p50_ns);
  const Series& rival = series[2 + BestOf(p50s, Better::kLower)];

  std::vector<const Series*> shown;
  RowGroup group{"payload " + SizeText(bytes), {}};
  for (const Series& each : series) {
    if (&each == &series[1]) continue;  // the raw ping-pong, which carries nothing
    shown.push_back(&each);
    group.rows.push_back(RowOf(each));
  }
  Figure figure = MakeFigure(fmt::format("payload_{}", bytes),
                             fmt::format("RTT p50, payload of {} / best of all rivals", SizeText(bytes)),
                             {NAN, Better::kLower, {}}, shown);
  figure.values = Ratios(us.p50_ns, rival.p50_ns);
  figure.drift = Drift(series[1].ns_per_request);
  figure.note = Describe(us) + "; " + Describe(rival) + left_out.note;
  figure.detail.push_back({{"tried", tried}});
  results->figures.push_back(figure);
  results->groups.push_back(group);
  results->Keep(figure.name, series);
  return {};
}

}  // namespace

Result<void> MeasurePayloads(const Effort& effort, Results* results) {
  auto mediator = MediatorProcess::Start({});
  if (!mediator) return tl::make_unexpected(mediator.error());
  for (const uint64_t bytes : kSizes) {
    if (const auto measured = MeasureSize(**mediator, bytes, effort, results); !measured) return measured;
  }
  return {};
}

}  // namespace vgpu::bench
