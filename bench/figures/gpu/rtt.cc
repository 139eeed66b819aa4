// SPDX-License-Identifier: Apache-2.0
// One request at a time, as a guest sees it, beside what a program on the host gets by itself.
#include <fmt/format.h>

#include "bench/figures/gpu/setup.h"
#include "bench/subjects/native/native.h"

namespace vgpu::bench {
namespace {

constexpr uint64_t kVectorBytes = 4096;
constexpr const char* kOurs = "vgpu-ring";
constexpr const char* kOursLaunch = "vgpu-ring, engine = launch";
constexpr const char* kOursVector = "vgpu-ring, 4 KiB vector";
constexpr const char* kLaunch = "launch + synchronise";
constexpr const char* kVector = "launch + synchronise, 4 KiB vector";
constexpr const char* kBare = "bare resident kernel, depth 1";

Contestants Natives(Lab* lab) {
  Contestants all;
  all.push_back(MakeNativeLaunch(lab));
  all.push_back(MakeNativeGraph(lab));
  all.push_back(MakeNativeCopies(lab));
  all.push_back(MakeBareResident(lab, 1));
  return all;
}

Result<void> Add(Result<std::unique_ptr<Contestant>> contestant, Contestants* all) {
  if (!contestant) return tl::make_unexpected(contestant.error());
  all->push_back(std::move(*contestant));
  return {};
}

Asker Named(const char* label) {
  Asker asker;
  asker.label = label;
  asker.timed_every = 1;
  return asker;
}

// Ratios of one of the rounds' percentiles.
Figure Ratio(const char* name, const char* title, Gate gate, std::vector<double> Series::*of,
             const Series& ours, const Series* theirs) {
  const std::string note = fmt::format(
      "{}: {}{}", ours.name, LatencyText(ours.latency_ns),
      theirs ? fmt::format("; {}: {}", theirs->name, LatencyText(theirs->latency_ns)) : std::string());
  Figure figure = Compare(name, title, gate, ours.*of, theirs ? theirs->*of : std::vector<double>(), note);
  NoteWrong(ours.wrong + (theirs ? theirs->wrong : 0), &figure);
  return figure;
}

}  // namespace

Result<void> MeasureRtt(Setup* setup) {
  const auto mediator = setup->Mediator();
  if (!mediator) return tl::make_unexpected(mediator.error());
  const auto launches = setup->Mediator("engine = \"launch\"");
  if (!launches) return tl::make_unexpected(launches.error());
  Lab* lab = setup->lab.get();
  Contestants all;
  if (lab != nullptr) all = Natives(lab);
  if (lab != nullptr) all.push_back(MakeNativeVector(lab));
  auto added = Add(MakeOursDepth1(**mediator, Named(kOurs)), &all);
  if (added) added = Add(MakeOursVector(**mediator, kVectorBytes, Named(kOursVector)), &all);
  if (added) added = Add(MakeOursDepth1(**launches, Named(kOursLaunch)), &all);
  if (!added) return added;
  const std::vector<Series> series =
      RunContest(all, setup->rounds(40), setup->quick ? 300 : 2'500, setup->pause());
  setup->json["alone"] = PrintContest("one request at a time, the GPU idle", series);

  const Series& ours = *Find(series, kOurs);
  const Gate p50{0.45, Better::kLower, 0.30}, p99{0.6, Better::kLower, 0.3}, bare{1.5, Better::kLower, 1.2},
      vector{1.3, Better::kLower, 1.1};
  auto& figures = setup->figures;
  figures.push_back(Ratio("rtt_launch", "RTT p50 of an add / launch + synchronise", p50, &Series::p50_ns,
                          ours, Find(series, kLaunch)));
  figures.push_back(Ratio("rtt_p99", "RTT p99 of an add / launch + synchronise", p99, &Series::p99_ns, ours,
                          Find(series, kLaunch)));
  figures.push_back(Ratio("rtt_bare", "RTT p50 of an add / bare resident ping", bare, &Series::p50_ns, ours,
                          Find(series, kBare)));
  figures.push_back(Ratio("rtt_vector", "RTT p50 of a 4 KiB vector / launch + synchronise", vector,
                          &Series::p50_ns, *Find(series, kOursVector), Find(series, kVector)));
  return {};
}

Result<void> MeasureNativeFlood(Setup* setup) {
  if (setup->lab == nullptr) return {};
  const Flood flood(setup->lab.get());
  const std::vector<Series> series =
      RunContest(Natives(setup->lab.get()), setup->rounds(11), setup->quick ? 60 : 500);
  setup->json["flood"] = PrintContest("natively, beside blocks of 50 us", series);
  return {};
}

}  // namespace vgpu::bench
