// SPDX-License-Identifier: Apache-2.0
#include "engine/resident.h"

#include <algorithm>
#include <cstring>

#include "ring/memory.h"

namespace vgpu::engine {
namespace {

using Memory = ring::RealMemory;

constexpr unsigned kThreads = 32;  // in a block: no warp waits for another

}  // namespace

void Resident::SetState(ResidentState state) {
  state_ = state;
  Memory::StoreRelease(&area_->resident_state, vgpu_word(state, generation_));
}

gpu::CuResult Resident::Launch() {
  gpu::CuDevicePtr address = address_ + offsetof(Area, resident);
  void* parameters[] = {&address};
  return device_->Launch(gpu::Kernel::kResident, VGPU_RESIDENT_ENTRIES / kThreads, kThreads, stream_->get(),
                         parameters);
}

gpu::CuResult Resident::WarmUp() {
  if (!options_.allowed) return gpu::kCuSuccess;
  Memory::StoreRelease(&area_->resident.stop, 1);
  const gpu::CuResult started = Launch();
  return started == gpu::kCuSuccess ? device_->driver().StreamSynchronize(stream_->get()) : started;
}

gpu::CuResult Resident::Want(Time now) {
  if (!options_.allowed || forbidden_ || state_ != kAway || now < not_before_) return gpu::kCuSuccess;
  VgpuResidentRing& ring = area_->resident;
  std::memset(ring.entries, 0, sizeof ring.entries);
  std::memset(ring.finished, 0, sizeof ring.finished);
  ring.gaps = 0;
  Memory::StoreRelease(&ring.stop, 0);
  const gpu::CuResult started = Launch();
  if (started != gpu::kCuSuccess) return started;
  ++generation_;
  told_to_stop_ = false;
  gaps_ = 0;
  came_ = asked_since_ = gaps_since_ = now;
  SetState(kHere);
  return gpu::kCuSuccess;
}

void Resident::Leave() {
  if (state_ != kHere) return;
  SetState(kLeaving);
  Memory::FullFence<ring::Fence::kArmKick>();  // before the look at resident_users; pairs with the mediator's
}

void Resident::Forbid() {
  forbidden_ = true;
  Leave();
}

// Time slices of another process show as gaps. Stay away for a while,
// twice as long each time it happens again.
void Resident::CheckForOthers(Time now) {
  const uint64_t gaps = Memory::LoadRelaxed(&area_->resident.gaps);
  if (gaps - gaps_ >= kGapsOfOthers) {
    hold_off_ = now - came_ > kHoldOffMax ? kHoldOffMin : std::min(2 * hold_off_, kHoldOffMax);
    not_before_ = now + hold_off_;
    return Leave();
  }
  if (now - gaps_since_ < kGapInterval) return;
  gaps_ = gaps;
  gaps_since_ = now;
}

gpu::CuResult Resident::Step(Time now) {
  if (state_ == kAway) return gpu::kCuSuccess;
  const gpu::CuResult running = device_->driver().StreamQuery(stream_->get());
  if (running != gpu::kCuSuccess && running != gpu::kCuNotReady) return running;
  if (state_ == kHere) {
    const uint64_t asked = Memory::LoadRelaxed(&area_->resident_asked);
    if (asked != asked_) {
      asked_ = asked;
      asked_since_ = now;
    }
    CheckForOthers(now);
    if (now - asked_since_ >= options_.idle) Leave();
  }
  if (state_ != kLeaving) return gpu::kCuSuccess;
  if (!told_to_stop_ && Memory::LoadAcquire(&area_->resident_users) == 0) {
    Memory::StoreRelease(&area_->resident.stop, 1);
    told_to_stop_ = true;
  }
  if (told_to_stop_ && running == gpu::kCuSuccess) SetState(kAway);
  return gpu::kCuSuccess;
}

}  // namespace vgpu::engine
