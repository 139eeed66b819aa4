// SPDX-License-Identifier: Apache-2.0
// Whether those who are said to sleep, or to poll, really did: by the kernel's count of voluntary switches.
#ifndef VGPU_BENCH_LIB_SLEEPS_H_
#define VGPU_BENCH_LIB_SLEEPS_H_

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "bench/lib/contest.h"
#include "bench/lib/stats.h"

namespace vgpu::bench {

// `sleeps`: of one side by request, one for each round of `count` requests. Who is said to sleep does so for
// each request, that of the warm-up included; who is said to poll does so between rounds only.
// Empty: so it was.
inline std::string SleepFaultOf(const std::string& name, const std::vector<double>& sleeps, bool asleep,
                                uint64_t count) {
  const double each = static_cast<double>(WithWarmUp(count)) / static_cast<double>(count);
  const double median = Quantile(sleeps, 0.5);
  if (asleep && median < 0.98 * each) return fmt::format("{} slept {:.2f} times a request", name, median);
  if (!asleep && median * static_cast<double>(count) > 2) return name + " slept where it should have polled";
  return "";
}

}  // namespace vgpu::bench

#endif  // VGPU_BENCH_LIB_SLEEPS_H_
