// SPDX-License-Identifier: Apache-2.0
#include "mediator/seats.h"

#include <algorithm>
#include <cassert>
#include <utility>

namespace vgpu::mediator {

using State = PlacementState;

namespace {

bool IsFree(const Tenant& tenant) { return tenant.placement == nullptr; }

}  // namespace

// ---- GPUs ----

void Seats::AddGpu(int ordinal, std::vector<char> pools) { gpus_.push_back({ordinal, std::move(pools)}); }

bool Seats::Serves(uint32_t gpu, uint32_t pool) const {
  const std::vector<char>& pools = gpus_[gpu].pools;
  return std::find(pools.begin(), pools.end(), static_cast<char>(pool)) != pools.end();
}

uint32_t Seats::ChooseGpu(uint32_t pool) const {
  uint32_t best = kNone;
  for (uint32_t gpu = 0; gpu < gpus_.size(); ++gpu) {
    if (Serves(gpu, pool) && (best == kNone || gpus_[gpu].vms < gpus_[best].vms)) best = gpu;
  }
  return best;
}

// ---- VMs come and go ----

bool Seats::full() const { return std::none_of(tenants_.begin(), tenants_.end(), IsFree); }

uint32_t Seats::Place(const Tenant& tenant, uint32_t gpu, bool parked) {
  const auto place = std::find_if(tenants_.begin(), tenants_.end(), IsFree);
  assert(place != tenants_.end() && tenant.placement != nullptr);
  const auto region = static_cast<uint32_t>(place - tenants_.begin());
  State state = parked ? State::kParked : State::kWaiting;
  if (IsBlamed(tenant.vm_id)) state = State::kRefused;
  Assign(tenant.placement, gpu, gpus_[gpu].ordinal, region, state);
  *place = tenant;
  ++gpus_[gpu].vms;
  return region;
}

bool Seats::BeginRelease(uint32_t region) {
  Placement* placement = tenants_[region].placement;
  const bool was_on_device = placement->on_device();
  Become(placement, State::kReleasing);
  return was_on_device;
}

void Seats::EndRelease(uint32_t region) {
  Tenant& tenant = tenants_[region];
  uint32_t& vms = gpus_[tenant.placement->gpu()].vms;
  assert(vms != 0);
  --vms;
  Clear(tenant.placement);
  tenant = {};
}

// ---- what happens to its memory ----

bool Seats::MayRegister(uint32_t region) const {
  const Tenant& tenant = tenants_[region];
  if (IsFree(tenant) || IsBlamed(tenant.vm_id)) return false;
  const State state = tenant.placement->state();
  return state != State::kRefused && state != State::kReleasing;
}

bool Seats::Serve(uint32_t region) {
  Placement* placement = tenants_[region].placement;
  if (placement->state() == State::kReleasing) return false;
  Become(placement, State::kServed);
  return true;
}

void Seats::Refuse(uint32_t region) {
  Placement* placement = tenants_[region].placement;
  const State state = placement->state();
  if (state != State::kRefused && state != State::kReleasing) Become(placement, State::kRefused);
}

bool Seats::Blame(uint32_t region) {
  const Tenant& tenant = tenants_[region];
  if (++engines_ended_by_[tenant.vm_id] < kEnginesEndedMax) return false;
  if (tenant.placement->state() == State::kWaiting) Become(tenant.placement, State::kRefused);
  return true;
}

bool Seats::IsBlamed(uint32_t vm_id) const {
  const auto entry = engines_ended_by_.find(vm_id);
  return entry != engines_ended_by_.end() && entry->second >= kEnginesEndedMax;
}

// ---- what happens to a GPU ----

template <class Change>
Seats::Regions Seats::ForEach(uint32_t gpu, PlacementState state, const Change& change) {
  Regions changed;
  for (uint32_t region = 0; region < kRegionsMax; ++region) {
    const Tenant& tenant = tenants_[region];
    if (IsFree(tenant) || tenant.placement->gpu() != gpu || tenant.placement->state() != state) continue;
    change(tenant);
    changed.set(region);
  }
  return changed;
}

// It waits for an engine, unless none may have its memory.
PlacementState Seats::Waiting(const Tenant& tenant) const {
  return IsBlamed(tenant.vm_id) ? State::kRefused : State::kWaiting;
}

Seats::Regions Seats::LoseEngine(uint32_t gpu) {
  const auto wait = [this](const Tenant& tenant) { Become(tenant.placement, Waiting(tenant)); };
  return ForEach(gpu, State::kServed, wait);
}

Seats::Regions Seats::Park(uint32_t gpu) {
  const auto park = [this](const Tenant& tenant) {
    Become(tenant.placement, IsBlamed(tenant.vm_id) ? State::kRefused : State::kParked);
  };
  ForEach(gpu, State::kWaiting, park);
  return ForEach(gpu, State::kServed, park);
}

void Seats::Unpark(uint32_t gpu) {
  const auto wait = [this](const Tenant& tenant) { Become(tenant.placement, Waiting(tenant)); };
  ForEach(gpu, State::kParked, wait);
}

Seats::Regions Seats::On(uint32_t gpu) const {
  Regions regions;
  for (uint32_t region = 0; region < kRegionsMax; ++region) {
    const Placement* placement = tenants_[region].placement;
    if (placement != nullptr && placement->gpu() == gpu) regions.set(region);
  }
  return regions;
}

Seats::Regions Seats::Releasing() const {
  Regions regions;
  for (uint32_t region = 0; region < kRegionsMax; ++region) {
    const Placement* placement = tenants_[region].placement;
    if (placement != nullptr && placement->state() == State::kReleasing) regions.set(region);
  }
  return regions;
}

}  // namespace vgpu::mediator
