// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <cmath>
#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include "bench/figures/figures.h"
#include "bench/figures/vm_turns.h"
#include "bench/figures/vm_ways.h"
#include "bench/subjects/nfs/old_system.h"

namespace vgpu::bench {
namespace {

using nfs::Way;

// A size, and how many requests of each way a round has.
struct Size {
  const char* label;
  const char* name;
  uint64_t elements;
  uint64_t ring, socket, nfs;
  uint64_t nfs_warm_up;
  bool as_it_was;  // its sleeps are the same at every size
};
constexpr Size kSizes[] = {
    {"1", "1", 1, 2000, 100, 20, kNfsWarmUp, true},
    {"1 Ki", "1k", 1 << 10, 1000, 100, 20, kNfsWarmUp, false},
    {"64 Ki", "64k", 64 << 10, 100, 20, 10, kNfsWarmUp, false},
    {"1 Mi", "1m", 1 << 20, 10, 3, 2, 1, true},
    {"16 Mi", "16m", 16 << 20, 1, 1, 1, 0, false},
};
// A request of it takes seconds: fewer rounds, none in a short run, and only that NFS way that is fastest at
// all others.
constexpr uint64_t kLarge = 16 << 20;
const std::vector<Way> kTuned = {Way::kUncached, Way::kCached, Way::kDirect};
const std::vector<Way> kTunedLarge = {Way::kDirect};
const std::vector<Way>& TunedOf(const Size& size) { return size.elements == kLarge ? kTunedLarge : kTuned; }

// Where each way's row lies.
constexpr size_t kRing = 0;
constexpr size_t kSocket = 2;
constexpr size_t kNfs = 3;  // the ways without sleeps

std::vector<Turn> TurnsOf(const Effort& effort, const Size& size, bool nfs) {
  const auto run = [&](uint64_t count, uint64_t warm_up) {
    return VectorRun{size.elements, effort.quick ? 1 + count / 4 : count, warm_up, 0, 1};
  };
  std::vector<Turn> turns = {RingVectorTurn(false, run(size.ring, size.ring / 10)),
                             RingVectorTurn(true, run(size.ring, size.ring / 10)),
                             SocketTurn(run(size.socket, size.socket / 10))};
  if (!nfs) return turns;
  for (const Way way : TunedOf(size)) turns.push_back(NfsTurn(way, run(size.nfs, size.nfs_warm_up)));
  if (size.as_it_was) turns.push_back(NfsTurn(Way::kAsItWas, run(1, 0)));
  return turns;
}

FigureKind KindOf(const Size& size, const char* name, const char* whom) {
  return {fmt::format("vector_{}_{}", size.name, name),
          fmt::format("in a VM, vectors of {}: {} / ring, p50", size.label, whom),
          {NAN, Better::kHigher, {}}};
}

Result<void> MeasureSize(const Effort& effort, const VmsOfAllWays& vms, const Size& size, Results* results) {
  const uint64_t rounds = effort.quick ? 1 : size.elements == kLarge ? 3 : 10;
  const bool nfs = vms.no_nfs().empty();
  auto measured = TakeTurns(vms.shells(), TurnsOf(effort, size, nfs), rounds);
  if (!measured) return tl::make_unexpected(measured.error());
  std::vector<Row>& rows = measured->rows;
  results->figures.push_back(
      RatioOf(KindOf(size, "socket", "socket"), rows[kSocket], rows[kRing], &Row::p50_ns, *measured));
  if (nfs) {
    const std::vector<Row> tuned(rows.begin() + kNfs,
                                 rows.begin() + static_cast<ptrdiff_t>(kNfs + TunedOf(size).size()));
    results->figures.push_back(RatioOf(KindOf(size, "nfs", "fastest NFS without sleeps"),
                                       Fastest(tuned, &Row::p50_ns), rows[kRing], &Row::p50_ns, *measured));
  }
  rows.push_back({"register window: carries none", {}, {}, {}, 0, ""});
  results->groups.push_back(
      {fmt::format("in a VM, vectors of {} i32", size.label), std::move(rows), size.elements, false});
  return {};
}

}  // namespace

Result<void> MeasureVectors(const Effort& effort, Results* results) {
  VmOptions options;
  options.cpu = kElsewhere;
  options.mem_mib = 1024;  // a program's operands and sums, and NFS's pages of them
  options.region = "256M";
  const auto vms = VmsOfAllWays::Boot(1, options, nfs::kWays);
  if (!vms) return tl::make_unexpected(vms.error());
  for (const Size& size : kSizes) {
    if (effort.quick && size.elements == kLarge) continue;
    if (const auto done = MeasureSize(effort, **vms, size, results); !done) return done;
  }
  if (!(*vms)->no_nfs().empty()) results->figures.push_back(Skipped("vector_nfs", (*vms)->no_nfs()));
  return {};
}

}  // namespace vgpu::bench
