// SPDX-License-Identifier: Apache-2.0
// The seam between the client and the way to its mediator: a PCI device in a VM (pci_transport.h), the
// control socket for a process on the host (host_transport.h), or a thread that plays the mediator (tests).
// A transport maps the region, kicks, sleeps until a call, and keeps the link. It knows no requests.
#ifndef VGPU_GUEST_TRANSPORT_H_
#define VGPU_GUEST_TRANSPORT_H_

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>

#include "api/codes.h"
#include "guest/error.h"
#include "guest/registers.h"
#include "ring/abi.h"

namespace vgpu::guest {

using Clock = std::chrono::steady_clock;
using TimePoint = Clock::time_point;

// What ended a sleep. kCheck may be spurious; the caller checks the ring again in any case.
enum class Wake : uint8_t { kCheck, kLinkLost, kDeadline };

// The identity that the VM has got from the mediator, as far as it is known.
struct Identity {
  uint32_t vm_id = 0;
  uint32_t pool = 0;      // ASCII
  uint32_t priority = 0;  // 0 low, 1 medium, 2 high
};

// Threads: every function may be called from any thread; calls for one ring come from the owner of that ring.
class Transport {
 public:
  Transport() = default;
  Transport(const Transport&) = delete;
  Transport& operator=(const Transport&) = delete;
  virtual ~Transport() = default;

  // The shared region, or nullptr where the device has none (ring=off). Mapped for the life of the transport.
  char* region() const { return region_; }
  // Why there is none, where that is a fault and not how the device was made.
  const std::optional<Error>& region_error() const { return region_error_; }
  // Meaningful only with a region.
  const vgpu_layout& layout() const { return layout_; }

  // Makes this process the owner of `ring` until ReleaseRing, or says who is in the way.
  virtual Result<void> ClaimRing(uint32_t ring) = 0;
  virtual void ReleaseRing(uint32_t ring) = 0;

  // Wakes the mediator for `ring`. Orders every store before it. Never blocks.
  virtual void Kick(uint32_t ring) = 0;

  // False: there are no calls here, SleepUntilCall must not be used; poll.
  virtual bool can_sleep() const = 0;

  // Sleeps until a call for `ring` that came after the last return, the loss of the link, or the deadline.
  virtual Wake SleepUntilCall(uint32_t ring, TimePoint deadline) = 0;

  // VGPU_RING_STATE_* now. Costs at most a system call.
  virtual uint32_t ring_state() = 0;

  // The device no longer answers. What is read from it, or from the region, means nothing.
  virtual bool gone() const { return false; }

  // Why no mediator is attached, as far as this transport knows; if it does not know,
  // the reason is `otherwise`.
  virtual Error WhyUnattached(std::string otherwise) { return Unattached(VGPU_OK, std::move(otherwise)); }

  // Waits until a mediator is attached. A transport that attaches by itself attaches again. The requests in
  // flight stay in the region, and the next mediator answers them. Fails at the deadline, or at once if no
  // mediator ever can be attached.
  virtual Result<void> AwaitLink(TimePoint deadline) = 0;

  // BAR0, or nullptr where there is no device.
  virtual const Registers* registers() const { return nullptr; }

  virtual Identity identity() const = 0;

  // For people: "PCI device 0000:00:04.0", "socket /run/...".
  virtual std::string description() const = 0;

  // A measured defect of this transport that a user should know of (an uncached mapping), or "".
  virtual std::string warning() const { return ""; }

 protected:
  char* region_ = nullptr;
  std::optional<Error> region_error_;
  vgpu_layout layout_{};
};

}  // namespace vgpu::guest

#endif  // VGPU_GUEST_TRANSPORT_H_
