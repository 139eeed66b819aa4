// SPDX-License-Identifier: Apache-2.0
// What it costs that operands lie in the arena and not in the slot. The figure is of the rounds' p50
// (payloads.cc says why).
#include <fmt/format.h>

#include <array>
#include <utility>
#include <vector>

#include "bench/figures/figures.h"
#include "bench/lib/payload.h"
#include "bench/lib/series_figure.h"
#include "bench/lib/stats.h"
#include "bench/subjects/ours/mediator_process.h"
#include "bench/subjects/ours/ours.h"
#include "bench/subjects/rivals/rivals.h"

namespace vgpu::bench {
namespace {

constexpr uint64_t kArenaBytes = 4096;

}  // namespace

Result<void> MeasureArena(const Effort& effort, Results* results) {
  auto mediator = MediatorProcess::Start({});
  if (!mediator) return tl::make_unexpected(mediator.error());
  std::array<Contestants, 4> instances;
  for (size_t i = 0; i < kPlaces; ++i) {
    PayloadPlace place;  // the same for all four in each round
    Contestants four = OrThrow(MakeOursBesidePayload(**mediator, kArenaBytes, &place));
    for (auto& raw : MakeRawsBesidePayload(place, Polling::kEager)) four.push_back(std::move(raw));
    for (size_t who = 0; who < four.size(); ++who) instances[who].push_back(std::move(four[who]));
  }
  Contestants all;
  for (Contestants& each : instances) all.push_back(InPlaces(std::move(each)));
  const std::vector<Series> series = RunContest(all, effort.rounds(), effort.requests() / 2);
  const Series& nop = series[0];
  const Series& vector = series[1];
  const Series& raw = series[2];
  const Series& copy = series[3];
  std::vector<double> expected;
  for (size_t round = 0; round < nop.p50_ns.size(); ++round) {
    expected.push_back(nop.p50_ns[round] + copy.p50_ns[round] - raw.p50_ns[round]);
  }

  Figure figure = MakeFigure("arena_4096", "RTT p50, 4 KiB in the arena / of a NOP + one memcpy",
                             {1.15, Better::kLower, 1.02}, {&vector, &nop, &copy, &raw});
  figure.values = Ratios(vector.p50_ns, expected);
  figure.drift = Drift(raw.ns_per_request);
  figure.note = fmt::format("{}; {}; {}; {}", Describe(vector), Describe(nop), Describe(copy), Describe(raw));
  RequireAwake(vector, &figure);
  results->figures.push_back(figure);
  results->Keep("arena", series);
  return {};
}

}  // namespace vgpu::bench
