// SPDX-License-Identifier: Apache-2.0
#include "mediator/gpu/placements.h"

#include <algorithm>
#include <cassert>
#include <utility>

namespace vgpu::mediator {

using State = PlacementState;

namespace {

bool IsFree(const PlacedVm& vm) { return vm.placement == nullptr; }

}  // namespace

// ---- GPUs ----

void Placements::AddGpu(int ordinal, std::vector<char> pools) {
  gpus_.push_back({ordinal, std::move(pools)});
}

bool Placements::Serves(uint32_t gpu, uint32_t pool) const {
  const std::vector<char>& pools = gpus_[gpu].pools;
  return std::find(pools.begin(), pools.end(), static_cast<char>(pool)) != pools.end();
}

uint32_t Placements::ChooseGpu(uint32_t pool) const {
  uint32_t best = kNone;
  for (uint32_t gpu = 0; gpu < gpus_.size(); ++gpu) {
    if (Serves(gpu, pool) && (best == kNone || gpus_[gpu].vms < gpus_[best].vms)) best = gpu;
  }
  return best;
}

// ---- VMs come and go ----

bool Placements::full() const { return std::none_of(placed_.begin(), placed_.end(), IsFree); }

uint32_t Placements::Place(const PlacedVm& vm, uint32_t gpu, bool parked) {
  const auto place = std::find_if(placed_.begin(), placed_.end(), IsFree);
  assert(place != placed_.end() && vm.placement != nullptr);
  const auto region = static_cast<uint32_t>(place - placed_.begin());
  State state = parked ? State::kParked : State::kWaiting;
  if (IsBlamed(vm.vm_id)) state = State::kRefused;
  Assign(vm.placement, gpu, gpus_[gpu].ordinal, region, state);
  *place = vm;
  ++gpus_[gpu].vms;
  return region;
}

bool Placements::BeginRelease(uint32_t region) {
  Placement* placement = placed_[region].placement;
  const bool was_on_device = placement->on_device();
  Become(placement, State::kReleasing);
  return was_on_device;
}

void Placements::EndRelease(uint32_t region) {
  PlacedVm& vm = placed_[region];
  uint32_t& vms = gpus_[vm.placement->gpu()].vms;
  assert(vms != 0);
  --vms;
  Clear(vm.placement);
  vm = {};
}

// ---- what happens to its memory ----

bool Placements::MayRegister(uint32_t region) const {
  const PlacedVm& vm = placed_[region];
  if (IsFree(vm) || IsBlamed(vm.vm_id)) return false;
  const State state = vm.placement->state();
  return state != State::kRefused && state != State::kReleasing;
}

bool Placements::Serve(uint32_t region) {
  Placement* placement = placed_[region].placement;
  if (placement->state() == State::kReleasing) return false;
  Become(placement, State::kServed);
  return true;
}

void Placements::Refuse(uint32_t region) {
  Placement* placement = placed_[region].placement;
  const State state = placement->state();
  if (state != State::kRefused && state != State::kReleasing) Become(placement, State::kRefused);
}

bool Placements::Blame(uint32_t region) {
  const PlacedVm& vm = placed_[region];
  if (++engines_ended_by_[vm.vm_id] < kEnginesEndedMax) return false;
  if (vm.placement->state() == State::kWaiting) Become(vm.placement, State::kRefused);
  return true;
}

bool Placements::IsBlamed(uint32_t vm_id) const {
  const auto entry = engines_ended_by_.find(vm_id);
  return entry != engines_ended_by_.end() && entry->second >= kEnginesEndedMax;
}

// ---- what happens to a GPU ----

template <class Change>
Placements::Regions Placements::ForEach(uint32_t gpu, PlacementState state, const Change& change) {
  Regions changed;
  for (uint32_t region = 0; region < kRegionsMax; ++region) {
    const PlacedVm& vm = placed_[region];
    if (IsFree(vm) || vm.placement->gpu() != gpu || vm.placement->state() != state) continue;
    change(vm);
    changed.set(region);
  }
  return changed;
}

// It waits for an engine, unless none may have its memory.
PlacementState Placements::Waiting(const PlacedVm& vm) const {
  return IsBlamed(vm.vm_id) ? State::kRefused : State::kWaiting;
}

Placements::Regions Placements::LoseEngine(uint32_t gpu) {
  const auto wait = [this](const PlacedVm& vm) { Become(vm.placement, Waiting(vm)); };
  return ForEach(gpu, State::kServed, wait);
}

Placements::Regions Placements::Park(uint32_t gpu) {
  const auto park = [this](const PlacedVm& vm) {
    Become(vm.placement, IsBlamed(vm.vm_id) ? State::kRefused : State::kParked);
  };
  ForEach(gpu, State::kWaiting, park);
  return ForEach(gpu, State::kServed, park);
}

void Placements::Unpark(uint32_t gpu) {
  const auto wait = [this](const PlacedVm& vm) { Become(vm.placement, Waiting(vm)); };
  ForEach(gpu, State::kParked, wait);
}

Placements::Regions Placements::On(uint32_t gpu) const {
  Regions regions;
  for (uint32_t region = 0; region < kRegionsMax; ++region) {
    const Placement* placement = placed_[region].placement;
    if (placement != nullptr && placement->gpu() == gpu) regions.set(region);
  }
  return regions;
}

Placements::Regions Placements::Releasing() const {
  Regions regions;
  for (uint32_t region = 0; region < kRegionsMax; ++region) {
    const Placement* placement = placed_[region].placement;
    if (placement != nullptr && placement->state() == State::kReleasing) regions.set(region);
  }
  return regions;
}

}  // namespace vgpu::mediator
