// SPDX-License-Identifier: Apache-2.0
// Seven VMs ask at once, each one addition after the other for the same time. The VMs share the processors that the
// answering side leaves them: one, where there are two.
#include <fmt/format.h>

#include <cmath>
#include <utility>
#include <vector>

#include "bench/latency/latency.h"
#include "bench/latency/turns.h"
#include "bench/latency/vm_ways.h"
#include "bench/nfs/old_system.h"

namespace vgpu::bench {
namespace {

constexpr uint32_t kVms = 7;
constexpr uint64_t kNoLimit = uint64_t{1} << 40;  // the time is

// The fastest for one VM (MeasureInVm).
constexpr nfs::Way kFastestWay = nfs::Way::kDirect;

FigureKind KindOf(const char* name, const char* whom) {
  return {fmt::format("seven_{}", name), fmt::format("seven VMs at once: {} / ring, p50", whom), {NAN, Better::kHigher, {}}};
}

}  // namespace

Result<void> MeasureSevenAtOnce(const Effort& effort, LatencyResults* results) {
  const double seconds = effort.quick ? 0.3 : 1.5;
  const uint64_t rounds = effort.quick ? 2 : 10;
  VmOptions options;
  options.cpu = kElsewhere;
  options.mem_mib = 192;
  const auto vms = VmsOfAllWays::Boot(kVms, options, {kFastestWay});
  if (!vms) return tl::make_unexpected(vms.error());
  const bool nfs = (*vms)->no_nfs().empty();
  const VectorRun run = {0, kNoLimit, 0, seconds, 1};
  std::vector<Turn> turns = {RingTurn(kNoLimit, seconds), WindowTurn(kNoLimit, seconds), SocketTurn(run)};
  if (nfs) turns.push_back(NfsTurn(kFastestWay, run));
  const auto measured = TakeTurns((*vms)->shells(), turns, rounds);
  if (!measured) return tl::make_unexpected(measured.error());
  const std::vector<Row>& rows = measured->rows;
  const auto add = [&](const char* name, const char* whom, const Row& row) {
    results->figures.push_back(RatioOf(KindOf(name, whom), row, rows[0], &Row::p50_ns, *measured));
  };
  add("window", "register window", rows[1]);
  add("socket", "socket", rows[2]);
  if (nfs) {
    add("nfs", "fastest NFS without sleeps", rows[3]);
  } else {
    results->figures.push_back(Skipped("seven_nfs", (*vms)->no_nfs()));
  }
  results->groups.push_back({"in seven VMs at once, one addition", rows, 0, true});
  return {};
}

}  // namespace vgpu::bench
