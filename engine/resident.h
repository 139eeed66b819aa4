// SPDX-License-Identifier: Apache-2.0
// The life of the resident kernel. It comes when adds come. It leaves when none came for a while, when the
// host must change what the GPU may reach, and when another process wants the GPU.
#ifndef VGPU_ENGINE_RESIDENT_H_
#define VGPU_ENGINE_RESIDENT_H_

#include <chrono>
#include <cstdint>

#include "engine/engine_abi.h"
#include "gpu/device.h"

namespace vgpu::engine {

struct ResidentOptions {
  bool allowed = true;
  std::chrono::milliseconds idle{20};  // it leaves after this long without a request
};

// Used by the job thread only. Nothing here waits but WarmUp: Step goes on with what was begun.
class Resident {
 public:
  using Time = std::chrono::steady_clock::time_point;

  // `address` is the area's address for the GPU. What the pointers point at outlives this.
  Resident(const gpu::Device* device, const gpu::Stream* stream, Area* area, gpu::CuDevicePtr address,
           ResidentOptions options)
      : device_(device), stream_(stream), area_(area), address_(address), options_(options) {}

  // Starts it once and lets it leave. Waits for its end.
  gpu::CuResult WarmUp();
  // An add came by the job ring: starts the kernel, if it may come. An error is the GPU's.
  gpu::CuResult Want(Time now);
  // Call it every kStepEvery at most while !away(). Errors are the GPU's.
  gpu::CuResult Step(Time now);
  // The kernel begins to leave at once, and does not come back before Allow.
  // away() becomes true in a later Step.
  void Forbid();
  void Allow() { forbidden_ = false; }

  bool away() const { return state_ == kAway; }
  static constexpr std::chrono::milliseconds kStepEvery{5};

 private:
  gpu::CuResult Launch();
  void SetState(ResidentState state);
  void Leave();
  void CheckForOthers(Time now);

  const gpu::Device* const device_;
  const gpu::Stream* const stream_;
  Area* const area_;
  const gpu::CuDevicePtr address_;
  const ResidentOptions options_;
  ResidentState state_ = kAway;
  uint32_t generation_ = 0;
  bool forbidden_ = false;
  bool told_to_stop_ = false;
  uint64_t asked_ = 0;
  Time asked_since_{};  // when `asked_` last changed
  Time came_{};
  Time not_before_{};  // another process had the GPU
  std::chrono::milliseconds hold_off_ = kHoldOffMin;
  uint64_t gaps_ = 0;
  Time gaps_since_{};

  static constexpr std::chrono::milliseconds kHoldOffMin{100};
  static constexpr std::chrono::milliseconds kHoldOffMax{1000};
  // One gap may have any cause; so many within kGapInterval are time slices of another process.
  static constexpr uint64_t kGapsOfOthers = 5;
  static constexpr std::chrono::milliseconds kGapInterval{50};
};

}  // namespace vgpu::engine

#endif  // VGPU_ENGINE_RESIDENT_H_
