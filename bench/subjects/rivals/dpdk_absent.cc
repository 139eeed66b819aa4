// SPDX-License-Identifier: Apache-2.0
// In place of dpdk_pair.cc where DPDK is missing.
#include <stdexcept>

#include "bench/subjects/rivals/rivals.h"

namespace vgpu::bench {

Absence DpdkAbsent(const PairPlan&) {
  return {"DPDK rte_ring: built without " DPDK_MISSING "; then bazel shutdown, and build again", true};
}

std::unique_ptr<Contestant> MakeDpdkPair(const PairPlan& plan) {
  throw std::runtime_error(DpdkAbsent(plan).why);
}

}  // namespace vgpu::bench
