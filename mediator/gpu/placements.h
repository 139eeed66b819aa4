// SPDX-License-Identifier: Apache-2.0
// Which VM is placed on which GPU, under which region number, and in which state. Pure: knows
// no engine, and never looks into a session. A VM's placement (placement.h) is written here and nowhere else.
//
// What returns Regions has changed where the requests of those VMs run. The caller tells who keeps queues.
#ifndef VGPU_MEDIATOR_GPU_PLACEMENTS_H_
#define VGPU_MEDIATOR_GPU_PLACEMENTS_H_

#include <array>
#include <bitset>
#include <cstdint>
#include <map>
#include <vector>

#include "engine/engine_abi.h"
#include "mediator/lane/placement.h"

namespace vgpu::mediator {

class Session;

// A VM to be placed.
struct PlacedVm {
  Session* session = nullptr;
  Placement* placement = nullptr;
  uint32_t vm_id = 0;
};

// One thread's, but for Serves. Only AddGpu and the first Blame of a VM allocate.
class Placements : private Placement::Writer {
 public:
  static constexpr uint32_t kNone = Placement::kNone;
  static constexpr uint32_t kRegionsMax = engine::kRegionsMax;
  // So many engines may end while they register the memory of one VM. Then it stays on the CPU.
  static constexpr uint32_t kEnginesEndedMax = 2;
  using Regions = std::bitset<kRegionsMax>;

  // ---- GPUs ----

  // `pools` are ASCII. GPUs are counted from 0.
  void AddGpu(int ordinal, std::vector<char> pools);
  // Any thread, once all GPUs are added.
  bool Serves(uint32_t gpu, uint32_t pool) const;
  // Of the GPUs that serve `pool`, the one with the fewest VMs; kNone: none does.
  uint32_t ChooseGpu(uint32_t pool) const;

  // ---- VMs come and go ----

  // Have the GPUs all the VMs that they can have?
  bool full() const;
  // Needs a placement without a GPU, and !full(). `parked`: the GPU is. Returns the number of its region.
  uint32_t Place(const PlacedVm& vm, uint32_t gpu, bool parked);
  // The VM goes. Its engines may still have its memory. True: its requests have run on the GPU.
  bool BeginRelease(uint32_t region);
  // No engine has its memory any more.
  void EndRelease(uint32_t region);

  // ---- what happens to its memory ----

  // May (another) engine be asked to register it?
  bool MayRegister(uint32_t region) const;
  // The current engine has it registered. False: the VM is going. A VM that is refused is served, too: the
  // engine was asked before.
  bool Serve(uint32_t region);
  // The GPU cannot use it. Says nothing new of a VM that is going.
  void Refuse(uint32_t region);
  // An engine hung or crashed while it registered it. True: the VM stays on the CPU, also when it comes back.
  // A VM that is served remains so until its engine is lost. One whose GPU is parked remains so until the GPU
  // is in use again.
  bool Blame(uint32_t region);

  // ---- what happens to a GPU ----

  // Its current engine is lost.
  Regions LoseEngine(uint32_t gpu);
  Regions Park(uint32_t gpu);
  void Unpark(uint32_t gpu);

  // ---- who is placed where ----

  // Null: nobody has this region number.
  Session* session(uint32_t region) const { return placed_[region].session; }
  // Have engines ended over this VM before, so that it is refused?
  bool IsBlamed(uint32_t vm_id) const;
  // Those on a GPU, in all states.
  Regions On(uint32_t gpu) const;
  // Those that are going, on all GPUs.
  Regions Releasing() const;

 private:
  struct Gpu {
    int ordinal;
    std::vector<char> pools;
    uint32_t vms = 0;
  };

  // Calls `change` for each VM on the GPU that is in this state. Returns who that was.
  template <class Change>
  Regions ForEach(uint32_t gpu, PlacementState state, const Change& change);
  PlacementState Waiting(const PlacedVm& vm) const;

  std::vector<Gpu> gpus_;
  std::array<PlacedVm, kRegionsMax> placed_{};  // by region
  // VM -> how many engines hung or crashed while they registered its memory.
  std::map<uint32_t, uint32_t> engines_ended_by_;
};

}  // namespace vgpu::mediator

#endif  // VGPU_MEDIATOR_GPU_PLACEMENTS_H_
