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
    for (auto one_class = waiting_.rbegin(); one_class != waiting_.rend(); ++one_class) {
      if (one_class->empty()) continue;
      const Request first = one_class->front();
      one_class->pop_front();
      return first;
    }
    return std::nullopt;
  }

 private:
  std::array<std::deque<Request>, 3> waiting_;  // by priority
};

}  // namespace vgpu::bench::nfs

#endif  // VGPU_BENCH_SUBJECTS_NFS_QUEUE_H_
