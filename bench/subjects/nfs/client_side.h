// SPDX-License-Identifier: Apache-2.0
// The old system's guest: one request at a time through the files of its folder. Every answer is verified.
#ifndef VGPU_BENCH_SUBJECTS_NFS_CLIENT_SIDE_H_
#define VGPU_BENCH_SUBJECTS_NFS_CLIENT_SIDE_H_

#include <chrono>
#include <cstdint>
#include <string>

#include "bench/lib/vector_way.h"

namespace vgpu::bench::nfs {

struct ClientPlan {
  std::string folder;  // <mount>/vm<id>
  char pool = 'A';
  uint32_t priority = 2;
  std::chrono::microseconds poll_every{100'000};
  std::chrono::seconds timeout{30};
  // Another program than the old one: files stay open, and no look is answered by a cache.
  bool direct = false;
  // Before each request a pause up to so long, at random: else each would come just after the host looked.
  std::chrono::microseconds pause_max{0};
};

// Two numbers in the line; or, our extension, a vector by files. Timed: from opening request.txt to having
// read the answer, emptying response.txt not included; with a vector, from operands in this program's memory
// to sums there. Throws at the first request that gets no answer, or a refusal.
RunResult Ask(const ClientPlan& plan, const VectorRun& run);

}  // namespace vgpu::bench::nfs

#endif  // VGPU_BENCH_SUBJECTS_NFS_CLIENT_SIDE_H_
