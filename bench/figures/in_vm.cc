// SPDX-License-Identifier: Apache-2.0
#include <utility>
#include <vector>

#include "bench/figures/figures.h"
#include "bench/figures/vm_turns.h"
#include "bench/figures/vm_ways.h"
#include "bench/lib/stats.h"
#include "bench/subjects/nfs/old_system.h"

namespace vgpu::bench {
namespace {

using nfs::Way;

// After ring, register window and socket; the ways without sleeps come after it.
constexpr size_t kWasTurn = 3;
constexpr uint64_t kOldRequests = 1;  // in a round, as it was: each takes a second, its pause included

const FigureKind kTunedP50 = {
    "nfs_tuned_p50", "in a VM: fastest NFS without sleeps / ring, p50", {100, Better::kHigher, 1000}};
const FigureKind kTunedP99 = {
    "nfs_tuned_p99", "in a VM: fastest NFS without sleeps / ring, p99", {100, Better::kHigher, 1000}};
const FigureKind kWasP50 = {
    "nfs_was_p50", "in a VM: NFS as it was / ring, p50 (mostly its sleeps)", {1e5, Better::kHigher, 1e6}};

std::vector<Turn> TurnsOf(const Effort& effort, bool nfs) {
  std::vector<Turn> turns = {RingTurn(effort.requests(), 0), WindowTurn(effort.wakes(), 0),
                             SocketTurn({0, effort.wakes(), kWarmUp, 0, 1})};
  if (!nfs) return turns;
  for (const Way way : nfs::kWays) {
    turns.push_back(way == Way::kAsItWas ? NfsTurn(way, {0, kOldRequests, 0, 0, 1})
                                         : NfsTurn(way, {0, effort.wakes() / 2, kNfsWarmUp, 0, 1}));
  }
  return turns;
}

void AddFigures(const Measured& measured, Results* results) {
  const std::vector<Row>& rows = measured.rows;
  const std::vector<Row> tuned(rows.begin() + kWasTurn + 1, rows.end());
  for (const auto& [what, percentile] :
       {std::pair(kTunedP50, &Row::p50_ns), std::pair(kTunedP99, &Row::p99_ns)}) {
    results->figures.push_back(RatioOf(what, Fastest(tuned, percentile), rows[0], percentile, measured));
  }
  results->figures.push_back(RatioOf(kWasP50, rows[kWasTurn], rows[0], &Row::p50_ns, measured));
}

}  // namespace

Result<void> MeasureInVm(const Effort& effort, Results* results) {
  const uint64_t rounds = effort.quick ? kRoundsMin : 30;
  VmOptions options;
  options.cpu = kElsewhere;  // QEMU's network has room beside the guest where the machine has
  const auto vms = VmsOfAllWays::Boot(1, options, nfs::kWays);
  if (!vms) return tl::make_unexpected(vms.error());
  const auto measured = TakeTurns((*vms)->shells(), TurnsOf(effort, (*vms)->no_nfs().empty()), rounds);
  if (!measured) return tl::make_unexpected(measured.error());
  results->groups.push_back({"in a VM, one addition at a time", measured->rows, 0, false});
  if ((*vms)->no_nfs().empty()) {
    AddFigures(*measured, results);
  } else {
    for (const FigureKind& what : {kTunedP50, kTunedP99, kWasP50}) {
      results->figures.push_back(Skipped(what.name, (*vms)->no_nfs()));
    }
  }
  return {};
}

}  // namespace vgpu::bench
