// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <chrono>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "base/histogram.h"
#include "bench/contest.h"
#include "bench/latency/latency.h"
#include "bench/mediator_process.h"
#include "bench/nfs/old_system.h"
#include "bench/rivals/rivals.h"
#include "bench/stats.h"
#include "bench/vm_process.h"

namespace vgpu::bench {
namespace {

using nfs::OldSystem;
using nfs::Way;

constexpr std::chrono::seconds kPatience{180};
constexpr size_t kWasTurn = 2;  // after ring and register window
constexpr std::chrono::milliseconds kStarted{200};  // then that turn's program runs, and mostly sleeps
constexpr uint64_t kRawRequests = 5'000;
constexpr uint64_t kOldRequests = 1;  // in a round, as it was: each takes a second, its pause included

// What the VM does in each round, once for each way.
struct Turn {
  std::string name;
  std::string command;
};

struct FigureKind {
  const char* name;
  const char* title;
  Gate gate;
};
constexpr FigureKind kTunedP50 = {
    "nfs_tuned_p50", "in a VM: fastest NFS without sleeps / ring, p50", {100, Better::kHigher, 1000}};
constexpr FigureKind kTunedP99 = {
    "nfs_tuned_p99", "in a VM: fastest NFS without sleeps / ring, p99", {100, Better::kHigher, 1000}};
constexpr FigureKind kWasP50 = {
    "nfs_was_p50", "in a VM: NFS as it was / ring, p50 (mostly its sleeps)", {1e5, Better::kHigher, 1e6}};

std::vector<Turn> TurnsOf(const Effort& effort, uint64_t round, bool nfs) {
  std::vector<Turn> turns = {
      {"vgpu-ring", fmt::format("vgpu-client ping --count {} --json", effort.requests())},
      {"register window, polled at 50 us",
       fmt::format("vgpu-client regs --count {} --poll-us 50 --json", effort.wakes())}};
  if (!nfs) return turns;
  for (const Way way : nfs::kWays) {
    const uint64_t count = way == Way::kAsItWas ? kOldRequests : effort.wakes() / 2;
    turns.push_back({nfs::WayName(way), OldSystem::AskScript(way, count, round + 1)});
  }
  return turns;
}

// Who begins changes from round to round.
size_t WhoseTurn(uint64_t round, size_t turn, size_t turns) { return (round + turn) % turns; }

std::string ScriptOf(const Effort& effort, uint64_t rounds, const OldSystem* system) {
  std::string script = system == nullptr ? "" : system->MountScript();
  for (uint64_t round = 0; round < rounds; ++round) {
    const std::vector<Turn> turns = TurnsOf(effort, round, system != nullptr);
    for (size_t i = 0; i < turns.size(); ++i) script += turns[WhoseTurn(round, i, turns.size())].command + " || exit\n";
  }
  return script;
}

// What a run came to: a row for each turn, and how fast the machine itself was in each round.
struct Measured {
  std::vector<Row> rows;
  std::vector<double> raw_ns;
};

Figure FigureOf(const FigureKind& what, const Row& theirs, const Row& ours, std::vector<double> Row::*percentile) {
  Figure figure;
  figure.name = what.name;
  figure.title = what.title;
  figure.gate = what.gate;
  figure.values = Ratios(theirs.*percentile, ours.*percentile);
  figure.note = Describe(theirs) + "; " + Describe(ours);
  for (const Row* row : {&theirs, &ours}) {
    if (row->wrong != 0) figure.broken = fmt::format("{}: {} wrong answers", row->name, row->wrong);
  }
  return figure;
}

void AddFigures(const Measured& measured, LatencyResults* results) {
  const std::vector<Row>& rows = measured.rows;
  const Row& ours = rows[0];
  const std::vector<Row> tuned(rows.begin() + kWasTurn + 1, rows.end());
  const auto add = [&](Figure figure) {
    figure.drift = Drift(measured.raw_ns);
    figure.detail = {{"raw_ping_pong_ns", measured.raw_ns}};
    results->figures.push_back(figure);
  };
  for (const auto& [what, percentile] : {std::pair(kTunedP50, &Row::p50_ns), std::pair(kTunedP99, &Row::p99_ns)}) {
    std::vector<std::vector<double>> times;
    for (const Row& row : tuned) times.push_back(row.*percentile);
    add(FigureOf(what, tuned[BestOf(times, Better::kLower)], ours, percentile));
  }
  add(FigureOf(kWasP50, rows[kWasTurn], ours, &Row::p50_ns));
}

Result<std::unique_ptr<OldSystem>> StartOldSystem() {
  const auto folder = nfs::GaneshaFolder();
  if (!folder) return tl::make_unexpected(folder.error());
  return OldSystem::Start(*folder);
}

// The machine's own speed, taken while the guest waits for the old host's next look.
double RawPingPong(Contestant& raw) {
  std::this_thread::sleep_for(kStarted);
  base::Histogram latency_ns;
  raw.Run(kRawRequests, &latency_ns);
  return static_cast<double>(latency_ns.Percentile(50));
}

Result<Measured> Collect(VmProcess& vm, const std::vector<Turn>& turns, uint64_t rounds) {
  const auto raw = MakeRawPingPong(Polling::kEager);
  Measured measured;
  for (const Turn& turn : turns) measured.rows.push_back({turn.name, {}, {}, {}, 0, ""});
  for (uint64_t round = 0; round < rounds; ++round) {
    for (size_t i = 0; i < turns.size(); ++i) {
      const size_t turn = WhoseTurn(round, i, turns.size());
      if (turn == kWasTurn && round != 0) measured.raw_ns.push_back(RawPingPong(*raw));
      const auto json = vm.Json(kPatience);
      if (!json) return tl::make_unexpected(json.error());
      if (round != 0) AddRound(*json, &measured.rows[turn]);  // the first one warms up
    }
  }
  return measured;
}

}  // namespace

Result<void> MeasureInVm(const Effort& effort, LatencyResults* results) {
  static_assert(nfs::kWays[0] == Way::kAsItWas, "kWasTurn counts on it");
  const uint64_t rounds = 1 + (effort.quick ? kRoundsMin : 30);
  auto mediator = MediatorProcess::Start({});
  if (!mediator) return tl::make_unexpected(mediator.error());
  const auto system = StartOldSystem();
  VmOptions options;
  options.socket = (*mediator)->socket();
  options.cpu = kElsewhere;  // QEMU's network has room beside the guest where the machine has
  if (system) {
    options.net = true;
    options.modules = {"nfsv4"};
    options.copies = {"bench/nfs_client_side"};
  }
  auto vm = VmProcess::Boot(options, ScriptOf(effort, rounds, system ? system->get() : nullptr));
  if (!vm) return tl::make_unexpected(vm.error());
  const auto measured = Collect(**vm, TurnsOf(effort, 0, static_cast<bool>(system)), rounds);
  if (!measured) return tl::make_unexpected(measured.error());
  results->groups.push_back({"in a VM, one addition at a time", measured->rows});
  if (system) {
    AddFigures(*measured, results);
  } else {
    for (const FigureKind& what : {kTunedP50, kTunedP99, kWasP50}) {
      results->figures.push_back(Skipped(what.name, system.error()));
    }
  }
  return {};
}

}  // namespace vgpu::bench
