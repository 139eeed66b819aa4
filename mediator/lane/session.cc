// SPDX-License-Identifier: Apache-2.0
#include "mediator/lane/session.h"

#include <algorithm>
#include <bit>
#include <cassert>

#include "api/device_info.h"
#include "mediator/loop/eventfd.h"

namespace vgpu::mediator {
namespace {

vgpu_journal* JournalOf(const SessionMemory& memory, uint32_t ring) {
  return reinterpret_cast<vgpu_journal*>(memory.private_file.data() + VGPU_JOURNAL_OFF +
                                         size_t{ring} * VGPU_JOURNAL_STRIDE);
}

std::atomic<uint64_t> g_serials{0};

}  // namespace

Session::Session(Identity identity, SessionMemory memory, std::vector<RingEventfds> rings,
                 RingEventfds window, const vgpu_device_info& device)
    : identity_(identity),
      memory_(std::move(memory)),
      device_info_(device),
      serial_(g_serials.fetch_add(1) + 1) {
  const vgpu_layout& layout = memory_.layout;
  assert(rings.size() == layout.ring_count);
  device_info_.abi_version = VGPU_ABI_VERSION;
  device_info_.vm_id = identity.vm_id;
  device_info_.pool = identity.pool;
  device_info_.priority = identity.priority;
  device_info_.entries = layout.entries;
  device_info_.vector_max = VectorMax(layout.arena_bytes);
  for (uint32_t q = 0; q < layout.ring_count; ++q) {
    char* base = memory_.region.data() + layout.ring_off + q * layout.ring_stride;
    AddRing({base + layout.arena_off, layout.arena_bytes, memory_.arenas_are_short, false, &device_info_},
            base, layout.entries, JournalOf(memory_, q), std::move(rings[q]));
  }
  char* base = memory_.private_file.data() + VGPU_WINDOW_RING_OFF;
  AddRing({base + VGPU_WINDOW_ARENA_OFF, VGPU_WINDOW_ARENA_BYTES, true, true, &device_info_}, base,
          VGPU_WINDOW_ENTRIES, JournalOf(memory_, VGPU_RINGS_MAX), std::move(window));
  for (Work* work : {&inline_work, &worker_work, &slot_work, &gpu_work, &maintenance_work}) {
    work->session = this;
    work->priority = static_cast<uint8_t>(identity.priority);
  }
}

void Session::AddRing(const RingLimits& limits, char* base, uint32_t entries, vgpu_journal* journal,
                      RingEventfds eventfds) {
  const auto index = static_cast<uint32_t>(rings_.size());
  const serve::RingName name{vm_id(), static_cast<uint8_t>(index), static_cast<uint8_t>(priority())};
  const serve::RingPlace place{base, entries, journal, limits.window, name, &queue_wait, &service};
  RingSession* const host = this;
  rings_.push_back(std::make_unique<GuestRing>(this, host, index, place, RingService(limits, &placement()),
                                               std::move(eventfds.kick), std::move(eventfds.call)));
}

bool Session::busy() const {
  return std::any_of(rings_.begin(), rings_.end(), [](const auto& ring) { return ring->busy(); });
}

bool Session::at_rest() const {
  return std::all_of(rings_.begin(), rings_.end(), [](const auto& ring) { return ring->at_rest(); });
}

bool Session::epoch_pending() const {
  return std::any_of(rings_.begin(), rings_.end(), [](const auto& ring) { return ring->epoch_pending(); });
}

int64_t Session::Recover(const Clock& clock) {
  int64_t longest_ns = 0;
  for (const auto& ring : rings_) {
    ring->Recover({clock.Now()});
    const int64_t begin_ns = clock.ThreadNs();
    ring->Call();
    longest_ns = std::max(longest_ns, clock.ThreadNs() - begin_ns);
  }
  return longest_ns;
}

// ---- its life ----

void Session::BeServedBy(SessionServer* server) {
  life_.GoTo(SessionState::kServed);
  server_ = server;
}

void Session::Left() {
  life_.GoTo(SessionState::kWaiting);
  life_.EndReset();  // whoever wanted it asks for it again
}

FenceChange Session::Fence(FenceReason reason) {
  assert(life_.state() != SessionState::kWaiting && life_.state() != SessionState::kEnded);
  const FenceChange change = life_.Fence(reason);
  if (change == FenceChange::kFenced) ++fences;
  return change;
}

bool Session::BeginReset() {
  assert(life_.state() != SessionState::kWaiting && life_.state() != SessionState::kEnded);
  life_.BeginReset();
  ++resets;
  return life_.LiftFence();
}

// ---- its owner's descriptors ----

// By the wall clock, which costs little, as long as that says nothing.
template <class Call>
void Session::Timed(const Call& call) {
  if (!slow_calls_.exact()) [[likely]] {
    const int64_t begin_ns = server_->Now();
    call();
    if (server_->Now() - begin_ns <= SlowCalls::kSlowByTheClockNs) return;
    if (slow_calls_.Noticed(server_->ComputedAtLeast(begin_ns))) server_->PeerWasSlow(this);
    return;
  }
  const int64_t begin_ns = server_->ThreadNs();
  call();
  if (slow_calls_.Timed(server_->ThreadNs() - begin_ns)) server_->PeerWasSlow(this);
}

bool Session::SignalOwner(int fd) {
  if (!life_.may_signal()) return false;
  if (server_ == nullptr) {  // the thread that prepares it times it itself
    SignalOwnersEventfd(fd);
    return true;
  }
  Timed([this, fd] { server_->loop().SignalOwner(fd); });
  return true;
}

void Session::DrainKick(int fd) {
  Timed([this, fd] { server_->loop().DrainKick(fd); });
}

GuestRing* Session::Work::NextRing() {
  assert(rings != 0);
  const uint32_t later = rings & ~((2u << last) - 1);
  last = static_cast<uint32_t>(std::countr_zero(later != 0 ? later : rings));
  return session->rings_[last].get();
}

}  // namespace vgpu::mediator
