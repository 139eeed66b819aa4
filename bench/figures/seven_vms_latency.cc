// SPDX-License-Identifier: Apache-2.0
// Seven VMs ask at once, each one addition, or one vector, after the other for the same time. The VMs share
// the processors that the answering side leaves them: one, where there are two.
#include <fmt/format.h>

#include <cmath>
#include <utility>
#include <vector>

#include "bench/figures/figures.h"
#include "bench/figures/seven_vms.h"
#include "bench/figures/vm_turns.h"
#include "bench/figures/vm_ways.h"
#include "bench/subjects/nfs/old_system.h"

namespace vgpu::bench {
namespace {

constexpr uint64_t kNoLimit = uint64_t{1} << 40;  // the time is

// The fastest for one VM (MeasureInVm).
constexpr nfs::Way kFastestWay = nfs::Way::kDirect;

struct What {
  const char* name;
  const char* title;
  uint64_t elements;  // 0: two numbers
  uint64_t rounds;
};
constexpr What kWhats[] = {{"seven", "addition", 0, 10},
                           {"seven_64k", "vector of 64 Ki i32", 64 << 10, 5},
                           {"seven_1m", "vector of 1 Mi i32", 1 << 20, 3}};

std::vector<Turn> TurnsOf(const What& what, double seconds, bool nfs) {
  const bool numbers = what.elements == 0;
  const VectorRun run = {what.elements, kNoLimit, 0, seconds, 1};
  std::vector<Turn> turns = {numbers ? RingTurn(kNoLimit, seconds) : RingVectorTurn(false, run),
                             SocketTurn(run)};
  if (nfs) turns.push_back(NfsTurn(kFastestWay, run));
  turns.push_back(numbers ? WindowTurn(kNoLimit, seconds) : RingVectorTurn(true, run));
  if (nfs && numbers) turns.push_back(NfsTurn(nfs::Way::kAsItWas, run));
  return turns;
}

Result<void> MeasureWhat(const What& what, const Effort& effort, const VmsOfAllWays& vms, Results* results) {
  const bool nfs = vms.no_nfs().empty();
  const auto measured =
      TakeTurns(vms.shells(), TurnsOf(what, effort.quick ? 0.3 : 1.5, nfs), effort.quick ? 2 : what.rounds);
  if (!measured) return tl::make_unexpected(measured.error());
  const std::vector<Row>& rows = measured->rows;
  const auto add = [&](const char* name, const char* whom, size_t row) {
    const FigureKind kind = {fmt::format("{}_{}", what.name, name),
                             fmt::format("seven VMs, one {} each: {} / ring, p50", what.title, whom),
                             {NAN, Better::kHigher, {}}};
    results->figures.push_back(RatioOf(kind, rows[row], rows[0], &Row::p50_ns, *measured));
  };
  add("socket", "socket", 1);
  if (nfs) add("nfs", "fastest NFS without sleeps", 2);
  if (what.elements == 0) add("window", "register window", nfs ? 3 : 2);
  results->groups.push_back({fmt::format("in seven VMs at once, one {}", what.title), rows, 0, true});
  return {};
}

}  // namespace

Result<void> MeasureSevenVmsLatency(const Effort& effort, Results* results) {
  VmOptions options;
  options.cpu = kElsewhere;
  options.mem_mib = 256;
  options.region = "128M";
  const auto vms = VmsOfAllWays::Boot(kSevenVms, options, {kFastestWay, nfs::Way::kAsItWas});
  if (!vms) return tl::make_unexpected(vms.error());
  for (const What& what : kWhats) {
    if (const auto measured = MeasureWhat(what, effort, **vms, results); !measured) return measured;
  }
  if (!(*vms)->no_nfs().empty()) results->figures.push_back(Skipped("seven_nfs", (*vms)->no_nfs()));
  return {};
}

}  // namespace vgpu::bench
