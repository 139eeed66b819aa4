// SPDX-License-Identifier: Apache-2.0
#include "bench/figures/vm_turns.h"

#include <fmt/format.h>

#include <chrono>
#include <thread>

#include "base/histogram.h"
#include "bench/lib/contest.h"
#include "bench/lib/rounds.h"
#include "bench/lib/stats.h"
#include "bench/subjects/rivals/rivals.h"

namespace vgpu::bench {
namespace {

constexpr std::chrono::seconds kPatience{180};
constexpr std::chrono::milliseconds kRest{20};  // until what a turn left to do is done
constexpr uint64_t kRawRequests = 5'000;

double RawPingPong(Contestant& raw) {
  std::this_thread::sleep_for(kRest);
  base::Histogram latency_ns;
  raw.Run(kRawRequests, &latency_ns);
  return static_cast<double>(latency_ns.Percentile(50));
}

// One turn; into `row` if there is one.
Result<void> TakeTurn(const std::vector<std::unique_ptr<VmShell>>& vms, const Turn& turn, uint64_t round,
                      Row* row) {
  const auto begin = std::chrono::steady_clock::now();
  for (uint32_t i = 0; i < vms.size(); ++i) {
    if (const auto told = vms[i]->Tell(turn.command(i + 1, round)); !told)
      return tl::make_unexpected(told.error());
  }
  std::vector<nlohmann::json> printed;
  for (const auto& vm : vms) {
    auto json = vm->Answer(kPatience);
    if (!json) return tl::make_unexpected(turn.name + ": " + json.error());
    printed.push_back(std::move(*json));
  }
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
  if (row != nullptr) AddRound(printed, took.count(), row);
  return {};
}

}  // namespace

Result<Measured> TakeTurns(const std::vector<std::unique_ptr<VmShell>>& vms, const std::vector<Turn>& turns,
                           uint64_t rounds) {
  const auto raw = MakeRawPingPong(Polling::kEager);
  Measured measured;
  for (const Turn& turn : turns) measured.rows.push_back({turn.name, {}, {}, {}, 0, ""});
  const auto before = [&](uint64_t round) {
    if (round != 0) measured.raw_ns.push_back(RawPingPong(*raw));
    return Result<void>();
  };
  const auto turn = [&](uint64_t round, size_t who) {
    return TakeTurn(vms, turns[who], round, round == 0 ? nullptr : &measured.rows[who]);
  };
  if (const auto played = PlayRounds(rounds + 1, turns.size(), before, turn); !played) {
    return tl::make_unexpected(played.error());
  }
  return measured;
}

Figure RatioOf(const FigureKind& what, const Row& theirs, const Row& ours, std::vector<double> Row::*values,
               const Measured& measured) {
  Figure figure;
  figure.name = what.name;
  figure.title = what.title;
  figure.gate = what.gate;
  figure.values = Ratios(theirs.*values, ours.*values);
  figure.note = Describe(theirs) + "; " + Describe(ours);
  for (const Row* row : {&theirs, &ours}) {
    if (row->wrong != 0) figure.broken = fmt::format("{}: {} wrong answers", row->name, row->wrong);
  }
  figure.drift = Drift(measured.raw_ns);
  figure.detail = {{"raw_ping_pong_ns", measured.raw_ns}};
  return figure;
}

const Row& Fastest(const std::vector<Row>& rows, std::vector<double> Row::*values) {
  std::vector<std::vector<double>> times;
  for (const Row& row : rows) times.push_back(row.*values);
  return rows[BestOf(times, Better::kLower)];
}

}  // namespace vgpu::bench
