// SPDX-License-Identifier: Apache-2.0
// The old system's guest: one request at a time through the two files of its folder. Every answer is verified.
#ifndef VGPU_BENCH_NFS_CLIENT_SIDE_H_
#define VGPU_BENCH_NFS_CLIENT_SIDE_H_

#include <chrono>
#include <cstdint>
#include <string>

#include "base/histogram.h"

namespace vgpu::bench::nfs {

struct ClientPlan {
  std::string folder;  // <mount>/vm<id>
  char pool = 'A';
  uint32_t priority = 2;
  uint64_t count = 1;
  uint64_t warm_up = 0;  // requests before those that count
  std::chrono::microseconds poll_every{100'000};
  std::chrono::seconds timeout{30};
  bool direct = false;  // another program than the old one: files stay open, and no look is answered by a cache
  // Before each request a pause up to so long, at random: else each would come just after the host looked.
  std::chrono::microseconds pause_max{0};
  uint64_t seed = 1;
};

struct ClientResult {
  base::Histogram latency_ns;  // from opening request.txt to having read the answer; emptying response.txt not included
  uint64_t wrong = 0;
};

// Throws at the first request that gets no answer, or one that is no number.
ClientResult Ask(const ClientPlan& plan);

}  // namespace vgpu::bench::nfs

#endif  // VGPU_BENCH_NFS_CLIENT_SIDE_H_
