// SPDX-License-Identifier: Apache-2.0
// Another process, which keeps the GPU full and knows nothing of our mediator: this same program as `gpu
// neighbour`, with a CUDA context of its own.
#ifndef VGPU_BENCH_SUBJECTS_NATIVE_NEIGHBOUR_H_
#define VGPU_BENCH_SUBJECTS_NATIVE_NEIGHBOUR_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>

#include "base/mapping.h"
#include "bench/lib/process.h"

namespace vgpu::bench {

class Neighbour {
 public:
  // Returns when the GPU has ended work of it. Without `cuda`, for a rehearsal, it does nothing.
  static Result<std::unique_ptr<Neighbour>> Start(bool cuda);

  // That the GPU has ended so far.
  uint64_t launches() const { return *launches_; }
  // Returns at once; it takes its driver some time to clear up.
  void BeginKill();
  bool gone() { return !child_.running(); }

 private:
  Neighbour() = default;
  Result<void> AwaitBegin();

  TempDir folder_;
  base::Mapping mapping_;
  std::atomic<uint64_t>* launches_ = nullptr;  // it counts them in a file that both map
  Child child_;
};

// `gpu neighbour`: the process itself. Works until it is killed.
int RunNeighbour(const std::string& file, bool cuda);

}  // namespace vgpu::bench

#endif  // VGPU_BENCH_SUBJECTS_NATIVE_NEIGHBOUR_H_
