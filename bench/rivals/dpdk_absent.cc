// SPDX-License-Identifier: Apache-2.0
// In place of dpdk_pair.cc where DPDK is missing.
#include <stdexcept>

#include "bench/rivals/rivals.h"

namespace vgpu::bench {

std::string DpdkAbsent(const PairPlan&) {
  return "DPDK rte_ring: " DPDK_MISSING " not found when this was built (run tools/lib/dpdk.sh, then bazel shutdown)";
}

std::unique_ptr<Contestant> MakeDpdkPair(const PairPlan& plan) { throw std::runtime_error(DpdkAbsent(plan)); }

}  // namespace vgpu::bench
