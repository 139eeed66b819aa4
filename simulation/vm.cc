// SPDX-License-Identifier: Apache-2.0
#include "simulation/vm.h"

#include <fcntl.h>
#include <sys/eventfd.h>

#include <algorithm>
#include <cassert>
#include <utility>

#include "api/device_info.h"
#include "base/guarded_mapping.h"
#include "base/memfd.h"
#include "simulation/hostile_guest.h"

namespace vgpu::simulation {
namespace {

constexpr uint64_t kRegionBytes = VGPU_REGION_BYTES_MIN;

base::UniqueFd MakeEventfd() { return base::UniqueFd(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)); }

base::GuardedMapping Map(const base::UniqueFd& fd, uint64_t bytes) {
  return base::GuardedMapping(std::move(base::MapShared(fd.get(), bytes).value()));
}

}  // namespace

Vm::Vm(const VmPlan& plan, Surroundings* around, OrderCheck* order)
    : plan_(plan), around_(around), order_(order) {
  [[maybe_unused]] const int made = vgpu_layout_make(kRegionBytes, plan.ring_count, plan.entries, &layout_);
  assert(made == 0);
  if (plan.hostile) order->Ignore(plan.vm_id);
  Renew();
}

void Vm::Renew() {
  guests_.clear();
  kicks_.clear();
  calls_.clear();
  region_ = std::move(base::MakeSealedMemfd("vgpu-simulation", kRegionBytes).value());
  private_file_ = std::move(base::MakeSealedMemfd("vgpu-simulation", VGPU_PRIVATE_BYTES).value());
  memory_ = std::move(base::MapShared(region_.get(), kRegionBytes).value());
  vgpu_private_fill(Map(private_file_, VGPU_PRIVATE_BYTES).data());
  for (uint32_t ring = 0; ring <= plan_.ring_count; ++ring) {
    kicks_.push_back(MakeEventfd());
    calls_.push_back(MakeEventfd());
  }
  for (uint32_t ring = 0; ring < plan_.ring_count; ++ring) {
    char* base = memory_.data() + layout_.ring_off + ring * layout_.ring_stride;
    const GuestPlace place{plan_.vm_id,
                           ring,
                           ring::RingAt(base, plan_.entries),
                           base + layout_.arena_off,
                           layout_.arena_bytes,
                           kicks_[ring].get(),
                           calls_[ring].get()};
    order_->Opened(plan_.vm_id, ring);
    if (plan_.hostile) {
      guests_.push_back(std::make_unique<HostileGuest>(place, around_));
    } else {
      guests_.push_back(std::make_unique<HonestGuest>(place, plan_.manners, around_, order_));
    }
  }
}

mediator::PeerFd Vm::Lend(const base::UniqueFd& fd) {
  lent_.push_back(fcntl(fd.get(), F_DUPFD_CLOEXEC, 0));
  return mediator::PeerFd(lent_.back());
}

mediator::RingEventfds Vm::LendEventfds(uint32_t ring) {
  mediator::PeerFd kick = Lend(kicks_[ring]);
  return {std::move(kick), Lend(calls_[ring])};
}

std::unique_ptr<mediator::Session> Vm::MakeSession() {
  lent_.clear();
  ++attached_;
  order_->Attached(plan_.vm_id);
  mediator::SessionMemory memory;
  memory.region = Map(region_, kRegionBytes);
  memory.region_fd = Lend(region_);
  memory.private_file = Map(private_file_, VGPU_PRIVATE_BYTES);
  memory.layout = layout_;
  memory.arenas_are_short = plan_.short_arenas;
  std::vector<mediator::RingEventfds> rings;
  for (uint32_t ring = 0; ring < plan_.ring_count; ++ring) rings.push_back(LendEventfds(ring));
  return std::make_unique<mediator::Session>(mediator::Identity{plan_.vm_id, plan_.pool, plan_.priority},
                                             std::move(memory), std::move(rings),
                                             LendEventfds(plan_.ring_count), vgpu_device_info{});
}

bool Vm::Owns(int fd) const { return std::find(lent_.begin(), lent_.end(), fd) != lent_.end(); }

void Vm::Drop() {
  for (const auto& guest : guests_) guest->Drop();
}

void Vm::Halt() {
  for (const auto& guest : guests_) guest->Halt();
}

}  // namespace vgpu::simulation
