// SPDX-License-Identifier: Apache-2.0
// The old system's order of service: by priority, then by arrival.
#ifndef VGPU_BENCH_SUBJECTS_NFS_QUEUE_H_
#define VGPU_BENCH_SUBJECTS_NFS_QUEUE_H_

#include <array>
#include <deque>
#include <optional>

#include "bench/subjects/nfs/request.h"

namespace vgpu::bench::nfs {

class Queue {
 public:
  void Push(const Request& request) { waiting_.at(request.priority).push_back(request); }

  std::optional<Request> Pop() {
    for (auto level = waiting_.rbegin(); level != waiting_.rend(); ++level) {
      if (level->empty()) continue;
      const Request first = level->front();
      level->pop_front();
      return first;
    }
    return std::nullopt;
  }

 private:
  std::array<std::deque<Request>, 3> waiting_;  // by priority
};

}  // namespace vgpu::bench::nfs

#endif  // VGPU_BENCH_SUBJECTS_NFS_QUEUE_H_
