// SPDX-License-Identifier: Apache-2.0
// The regions of VMs as an engine has them: mapped, and registered with the GPU once, at attach.
#ifndef VGPU_ENGINE_REGIONS_H_
#define VGPU_ENGINE_REGIONS_H_

#include <array>
#include <atomic>
#include <memory>
#include <optional>

#include "base/guarded_mapping.h"
#include "base/unique_fd.h"
#include "engine/engine_abi.h"
#include "gpu/device.h"

namespace vgpu::engine {

// Add and Remove belong to the control thread, at() to the job thread. The mediator names a region in a job
// only between the answer to its REGISTER and its UNREGISTER.
class Regions {
 public:
  // `slots` is the resident ring's table of slots, `lost` that of the area. All outlive this.
  Regions(const gpu::Device* device, uint64_t** slots, std::atomic<uint64_t>* lost)
      : device_(device), slots_(slots), lost_(lost) {}

  // `rings_fd` is laid over the region; it is invalid if there is none. Takes about 55 us a MiB, and stalls
  // nobody. Memory with missing pages is refused: this process allocates none of them, nor lets the driver do
  // it, since the mediator would be charged for them. The driver pins the pages of a registered region. The
  // GPU then goes on using pages that the owner takes away, and nobody sees what it writes there. Where no
  // driver pins them, and in this process's own accesses, a missing page is a bus error,
  // and is counted in `lost`.
  gpu::Result<void> Add(uint32_t id, const vgpu_layout& layout, const base::UniqueFd& fd,
                        const base::UniqueFd& rings_fd);
  // The driver waits for what runs on the GPU: not while the resident kernel is there.
  void Remove(uint32_t id);

  // The region's first byte, for the host and for the GPU alike (unified addressing). 0: no such region.
  uint64_t at(uint32_t id) const { return id < kRegionsMax ? base_[id].load(std::memory_order_acquire) : 0; }
  uint64_t bytes(uint32_t id) const {
    return id < kRegionsMax ? bytes_[id].load(std::memory_order_acquire) : 0;
  }

 private:
  struct Region {
    base::GuardedMapping mapping;
    gpu::HostRegistration registration;  // ends first
  };

  const gpu::Device* const device_;
  uint64_t** const slots_;
  std::atomic<uint64_t>* const lost_;
  std::array<std::optional<Region>, kRegionsMax> regions_;
  std::array<std::atomic<uint64_t>, kRegionsMax> base_{};
  std::array<std::atomic<uint64_t>, kRegionsMax> bytes_{};
};

}  // namespace vgpu::engine

#endif  // VGPU_ENGINE_REGIONS_H_
