// SPDX-License-Identifier: Apache-2.0
// Brings jobs to the GPU. Many jobs that run where their operands lie become one launch; large ones go
// through the copy engines. Nothing is allocated after Create. The GPU writes a word when a job is complete;
// nothing is called.
#ifndef VGPU_ENGINE_LANES_H_
#define VGPU_ENGINE_LANES_H_

#include <array>
#include <memory>
#include <span>
#include <vector>

#include "engine/engine_abi.h"
#include "gpu/batch_abi.h"
#include "gpu/device.h"

namespace vgpu::engine {

// A job as the GPU needs it: addresses instead of offsets.
struct Job {
  VgpuJob gpu;
  uint64_t bytes;     // of one operand
  uint32_t priority;  // 0 low, 1 medium, 2 high
  uint32_t flags;     // JobFlags
};

// Used by the job thread only.
class Lanes {
 public:
  static gpu::Result<std::unique_ptr<Lanes>> Create(const gpu::Device* device);
  ~Lanes();

  // Uses every stream once with an empty job, because a driver's first launch takes milliseconds. `host` is 8
  // bytes that the GPU may use.
  gpu::CuResult WarmUp(uint64_t* host);
  // May these two jobs be in one launch?
  static bool Together(const Job& first, const Job& other);
  // Starts jobs that may be in one launch; at most VGPU_BATCH_JOBS. Errors are the GPU's.
  gpu::CuResult Start(std::span<const Job> jobs);
  // Has anything been started that has not ended? An error is the GPU's, perhaps of a job that was started
  // long ago.
  gpu::CuResult Busy(bool* busy);

 private:
  static constexpr uint32_t kClasses = 3;
  static constexpr uint32_t kLanesPerClass = 4;

  struct Lane {
    gpu::Stream stream;
    gpu::CuDevicePtr staging;  // three operands of kCopyBytesMax; only the copying ones have it
    bool busy = false;
  };

  explicit Lanes(const gpu::Device* device) : device_(device) {}
  Lane& LaneFor(const Job& job);
  gpu::CuResult Batch(Lane* lane, std::span<const Job> jobs);
  gpu::CuResult Copy(Lane* lane, const Job& job);
  gpu::CuResult LaunchBatch(const VgpuBatch& batch, unsigned blocks, size_t jobs, gpu::CuStream stream);

  const gpu::Device* const device_;
  std::vector<Lane> lanes_;  // class by class
  std::array<uint32_t, kClasses> turn_{};
};

}  // namespace vgpu::engine

#endif  // VGPU_ENGINE_LANES_H_
