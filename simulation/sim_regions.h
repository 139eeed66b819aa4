// SPDX-License-Identifier: Apache-2.0
// The memory of VMs as a simulated engine has it. It may be used only while a session has it.
#ifndef VGPU_SIMULATION_SIM_REGIONS_H_
#define VGPU_SIMULATION_SIM_REGIONS_H_

#include <array>
#include <cstdint>

#include "engine/engine_abi.h"
#include "ring/abi.h"
#include "simulation/surroundings.h"
#include "simulation/vm.h"

namespace vgpu::simulation {

// One region: whose memory it is, and since which attach.
struct RegionAt {
  const Vm* vm = nullptr;
  uint64_t attached = 0;
};

class Regions {
 public:
  void Add(uint32_t region, const RegionAt& memory) { regions_[region] = memory; }
  void Remove(uint32_t region) { regions_[region] = {}; }
  bool Has(uint32_t region) const { return region < engine::kRegionsMax && regions_[region].vm != nullptr; }

  // Its first byte. Needs Has(region). Throws Violation if no session has it any more.
  char* At(uint32_t region) const {
    const RegionAt& memory = regions_[region];
    if (!memory.vm->lent() || memory.vm->attached() != memory.attached) {
      throw Violation{"an engine uses memory that was given back"};
    }
    return memory.vm->memory();
  }
  const Vm& VmAt(uint32_t region) const { return *regions_[region].vm; }

  // Where the answer of a slot goes. Needs Has(region).
  uint64_t* DoneWord(uint32_t region, uint32_t ring, uint32_t slot) const {
    const vgpu_layout& layout = VmAt(region).layout();
    char* slots = At(region) + layout.ring_off + uint64_t{ring} * layout.ring_stride + VGPU_SLOTS_OFF;
    return reinterpret_cast<uint64_t*>(slots + uint64_t{slot} * sizeof(vgpu_slot)) + 1;
  }

 private:
  std::array<RegionAt, engine::kRegionsMax> regions_{};
};

}  // namespace vgpu::simulation

#endif  // VGPU_SIMULATION_SIM_REGIONS_H_
