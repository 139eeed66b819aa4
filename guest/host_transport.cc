// SPDX-License-Identifier: Apache-2.0
#include "guest/host_transport.h"

#include <fmt/format.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "api/codes.h"
#include "base/mapping.h"
#include "base/memfd.h"
#include "base/unique_fd.h"
#include "ring/memory.h"
#include "ring/region.h"

namespace vgpu::guest {
namespace {

using std::chrono::milliseconds;
using std::chrono::nanoseconds;

constexpr int kKick = 0;
constexpr int kCall = 1;

// An eventfd has no better failure than to stay as it is: full (it will wake its reader anyway) or empty.
void Signal(int event_fd) {
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t written = write(event_fd, &one, sizeof(one));
}
void Drain(int event_fd) {
  uint64_t count;
  [[maybe_unused]] const ssize_t got = read(event_fd, &count, sizeof(count));
}

timespec Left(TimePoint deadline) {
  const auto left = std::max<nanoseconds>(deadline - Clock::now(), nanoseconds(0));
  return {static_cast<time_t>(left.count() / 1'000'000'000), left.count() % 1'000'000'000};
}

// Sleeps for `time`, at most until the deadline.
void Nap(nanoseconds time, TimePoint deadline) {
  const timespec left = Left(std::min(Clock::now() + time, deadline));
  nanosleep(&left, nullptr);
}

Error SystemError(const std::string& text) { return {VGPU_ERR_SYSTEM, text}; }

// May this pass when the mediator is started again?
bool MayPass(const Error& error) {
  return error.code == VGPU_ERR_UNAVAILABLE || error.code == VGPU_ERR_NO_PERMISSION;
}

}  // namespace

Result<std::unique_ptr<HostTransport>> HostTransport::Open(const HostOptions& options, TimePoint deadline) {
  HostOptions complete = options;
  if (complete.vm_id == 0) complete.vm_id = static_cast<uint32_t>(getpid());
  std::unique_ptr<HostTransport> transport(new HostTransport(complete));
  auto ready = transport->MakeMemory().and_then([&] { return transport->MakeEvents(); }).and_then([&] {
    return transport->Attach(deadline);
  });
  if (!ready) return tl::make_unexpected(ready.error());
  return transport;
}

HostTransport::~HostTransport() {
  if (link_) (void)link_->Send(VGPU_MSG_DETACH, nullptr, 0);  // closing the connection says the same
}

Result<void> HostTransport::MakeMemory() {
  const HostOptions& o = options_;
  if (vgpu_layout_make(o.region_bytes, o.rings, o.entries, &layout_) != 0) {
    return Fail(
        VGPU_ERR_BAD_ARGUMENT,
        fmt::format("{} rings of {} entries do not make a region of {} bytes: use 1 to {} rings, a power of "
                    "two of {} to {} entries, and a power of two of bytes that holds them",
                    o.rings, o.entries, o.region_bytes, VGPU_RINGS_MAX, VGPU_ENTRIES_MIN, VGPU_ENTRIES_MAX));
  }
  auto region = ring::MakeOwnedRegion(layout_);
  if (!region) return tl::make_unexpected(SystemError(region.error()));
  auto file = base::MakeOwnedMemory("vgpu-private", VGPU_PRIVATE_BYTES);
  if (!file) return tl::make_unexpected(SystemError(file.error()));
  vgpu_private_fill(file->mapping.data());
  region_memory_ = std::move(*region);
  private_memory_ = std::move(*file);
  region_ = region_memory_.mapping.data();
  return {};
}

// A mediator takes no memory with missing pages: it would be charged for them. They may have gone since the
// last attach (a hole was punched); those that are there cost next to nothing.
Result<void> HostTransport::MakePresent() const {
  for (const base::Mapping* memory : {&region_memory_.mapping, &private_memory_.mapping}) {
    if (auto present = base::Populate(*memory); !present) {
      return tl::make_unexpected(SystemError(present.error()));
    }
  }
  return {};
}

Result<void> HostTransport::MakeEvents() {
  ring_events_.resize(options_.rings);
  claimed_ = std::vector<std::atomic<bool>>(options_.rings);
  const auto make_pair = [](std::array<base::UniqueFd, 2>& pair) {
    for (base::UniqueFd& fd : pair) {
      fd = base::UniqueFd(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
      if (!fd) return false;
    }
    return true;
  };
  if (make_pair(window_events_) && std::all_of(ring_events_.begin(), ring_events_.end(), make_pair))
    return {};
  return FailErrno(VGPU_ERR_SYSTEM, "cannot make an eventfd");
}

// Connects and attaches; needs mutex_ once others know this object.
Result<void> HostTransport::Attach(TimePoint deadline) {
  // Before the connection is there: a mediator does not wait long for a HELLO,
  // and holes may take seconds to fill.
  if (auto present = MakePresent(); !present) return present;
  auto link = ControlLink::Connect(options_.socket);
  if (!link) return tl::make_unexpected(link.error());
  // A mediator that refuses hangs up while we are still sending:
  // its reason is worth more than the broken pipe.
  const auto sent = SendAttach(*link);
  auto identity = ReceiveGrant(*link, deadline);
  if (!identity) return tl::make_unexpected(identity.error());
  if (!sent) return sent;
  identity_ = *identity;
  if (link_) {
    link_->Replace(std::move(*link));
  } else {
    link_ = std::move(*link);
  }
  SetRingState(VGPU_RING_STATE_ATTACHED);
  return {};
}

Result<void> HostTransport::SendAttach(ControlLink& link) const {
  const vgpu_msg_hello hello = {VGPU_ABI_VERSION, VGPU_ROLE_PROCESS};
  vgpu_msg_attach attach = {};
  attach.vm_id = options_.vm_id;
  attach.pool = static_cast<unsigned char>(options_.pool);
  attach.priority = options_.priority;
  attach.ring_count = options_.rings;
  attach.entries = options_.entries;
  attach.region_bytes = options_.region_bytes;
  auto sent = link.Send(VGPU_MSG_HELLO, &hello, sizeof(hello)).and_then([&] {
    return link.Send(VGPU_MSG_ATTACH, &attach, sizeof(attach),
                     {private_memory_.fd.get(), window_events_[kKick].get(), window_events_[kCall].get(),
                      region_memory_.fd.get(), region_memory_.rings_fd.get()});
  });
  for (uint32_t q = 0; q < options_.rings && sent; ++q) {
    const vgpu_msg_ring ring = {q, 0};
    sent = link.Send(VGPU_MSG_RING, &ring, sizeof(ring),
                     {ring_events_[q][kKick].get(), ring_events_[q][kCall].get()});
  }
  if (!sent) return sent;
  return link.Send(VGPU_MSG_START, nullptr, 0);
}

Result<Identity> HostTransport::ReceiveGrant(ControlLink& link, TimePoint deadline) const {
  while (true) {
    auto message = link.Receive(deadline);
    if (!message) return tl::make_unexpected(message.error());
    if (message->type == VGPU_MSG_HELLO) {
      const auto hello = message->As<vgpu_msg_hello>();
      if (!hello) return tl::make_unexpected(hello.error());
      if (hello->abi_version >> 16 == VGPU_ABI_VERSION >> 16) continue;
      return Fail(
          VGPU_ERR_VERSION,
          fmt::format("the mediator has ABI version {}.{}, this program {}.{}: install matching versions",
                      hello->abi_version >> 16, hello->abi_version & 0xffff, VGPU_ABI_VERSION >> 16,
                      VGPU_ABI_VERSION & 0xffff));
    }
    if (message->type == VGPU_MSG_GRANT) {
      const auto identity = message->As<vgpu_msg_grant>();
      if (!identity) return tl::make_unexpected(identity.error());
      return Identity{identity->vm_id, identity->pool, identity->priority};
    }
  }
}

Result<void> HostTransport::ClaimRing(uint32_t ring) {
  if (!claimed_[ring].exchange(true)) return {};
  return Fail(VGPU_ERR_RING_BUSY, fmt::format("ring {} is in use in this process; use another one", ring));
}

void HostTransport::ReleaseRing(uint32_t ring) { claimed_[ring].store(false); }

void HostTransport::Kick(uint32_t ring) { Signal(ring_events_[ring][kKick].get()); }

Wake HostTransport::SleepUntilCall(uint32_t ring, TimePoint deadline) {
  const int call = ring_events_[ring][kCall].get();
  while (true) {
    pollfd watched[2] = {{call, POLLIN, 0}, {link_->fd(), POLLIN, 0}};
    const timespec left = Left(deadline);
    const int ready = ppoll(watched, 2, &left, nullptr);
    if (ready < 0 && errno == EINTR) continue;
    if (ready == 0) return Wake::kDeadline;
    if (watched[0].revents != 0) {
      Drain(call);  // before the caller scans: a call that comes later is not lost
      return Wake::kCheck;
    }
    std::unique_lock lock(mutex_, std::try_to_lock);
    // Who holds the lock is attaching again.
    return lock.owns_lock() && LinkWhole() ? Wake::kCheck : Wake::kLinkLost;
  }
}

// Takes in what the mediator said; false if the connection has ended. Needs mutex_.
bool HostTransport::LinkWhole() {
  while (link_->Readable()) {
    const auto message = link_->Receive(Clock::now() + milliseconds(100));
    if (!message) return false;
    if (message->type != VGPU_MSG_STATE) continue;
    if (const auto state = message->As<vgpu_msg_state>()) SetRingState(state->ring_state);
  }
  return true;
}

Result<void> HostTransport::AwaitLink(TimePoint deadline) {
  const TimePoint begin = Clock::now();
  std::unique_lock lock(mutex_, std::defer_lock);
  while (!lock.try_lock()) {  // another thread is attaching again; its deadline may be later than this one
    if (Clock::now() >= deadline) return Fail(VGPU_ERR_UNAVAILABLE, ExplainCode(VGPU_ERR_UNAVAILABLE));
    Nap(milliseconds(1), deadline);
  }
  if (LinkWhole()) return {};
  SetRingState(VGPU_RING_STATE_NO_MEDIATOR);
  for (nanoseconds pause = milliseconds(1);; pause = std::min<nanoseconds>(pause * 2, milliseconds(20))) {
    auto attached = Attach(deadline);
    if (attached) return attached;
    if (attached.error().code == VGPU_ERR_QUARANTINED) SetRingState(VGPU_RING_STATE_QUARANTINED);
    if (!MayPass(attached.error())) return attached;
    const TimePoint now = Clock::now();
    if (now >= deadline) {
      return Fail(attached.error().code,
                  fmt::format("the mediator went away, and in {:.1f} s none came back: {}",
                              std::chrono::duration<double>(now - begin).count(), attached.error().text));
    }
    Nap(pause, deadline);
  }
}

Identity HostTransport::identity() const {
  const std::lock_guard lock(mutex_);
  return identity_;
}

// As QEMU does for a VM: the owner of the region also marks it there.
void HostTransport::SetRingState(uint32_t state) {
  auto* header = reinterpret_cast<vgpu_region_header*>(region_);
  ring::RealMemory::StoreRelease(&header->link_state, vgpu_word(state, ++state_changes_));
  ring_state_.store(state);
}

}  // namespace vgpu::guest
