// SPDX-License-Identifier: Apache-2.0
// The answering process of a rival. Between rounds it is blocked, so that it disturbs nobody.
#ifndef VGPU_BENCH_LIB_RIVAL_SERVER_H_
#define VGPU_BENCH_LIB_RIVAL_SERVER_H_

#include <cstdint>
#include <functional>
#include <memory>

#include "base/unique_fd.h"
#include "bench/lib/process.h"
#include "bench/lib/shared_memory.h"

namespace vgpu::bench {

class RivalServer {
 public:
  // `serve` answers exactly so many requests and returns. It runs in the other process.
  explicit RivalServer(const std::function<void(uint64_t)>& serve, int cpu = kServerCpu);

  pid_t pid() const { return child_.pid(); }
  bool running() { return child_.running(); }
  // The other process wakes up and answers `count` requests.
  void Begin(uint64_t count);

 private:
  Shared<uint64_t> todo_;
  base::UniqueFd begin_;
  Child child_;
};

}  // namespace vgpu::bench

#endif  // VGPU_BENCH_LIB_RIVAL_SERVER_H_
