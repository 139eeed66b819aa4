// SPDX-License-Identifier: Apache-2.0
// A process on the mediator's own host that acts as a guest: it brings its region and eventfds over the
// control socket, as QEMU does for a VM. For tests, benchmarks, and programs that need no VM.
#ifndef VGPU_GUEST_HOST_TRANSPORT_H_
#define VGPU_GUEST_HOST_TRANSPORT_H_

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "base/memfd.h"
#include "base/unique_fd.h"
#include "guest/control_link.h"
#include "guest/transport.h"
#include "ring/region.h"

namespace vgpu::guest {

struct HostOptions {
  std::string socket;
  uint32_t vm_id = 0;     // 0: this process's id
  char pool = 'A';        // 'A' or 'B'
  uint32_t priority = 1;  // 0 low, 1 medium, 2 high
  uint32_t rings = 1;
  uint32_t entries = VGPU_ENTRIES_DEFAULT;
  uint64_t region_bytes = 16u << 20;
};

// The descriptors outlive the mediator: when it goes away, the next one gets the same region and eventfds,
// with the requests in flight and the kicks made meanwhile.
class HostTransport final : public Transport {
 public:
  // Makes the region and attaches it. Fails at once if no mediator listens.
  static Result<std::unique_ptr<HostTransport>> Open(const HostOptions& options, TimePoint deadline);
  ~HostTransport() override;

  Result<void> ClaimRing(uint32_t ring) override;
  void ReleaseRing(uint32_t ring) override;
  void Kick(uint32_t ring) override;
  bool can_sleep() const override { return true; }
  Wake SleepUntilCall(uint32_t ring, TimePoint deadline) override;
  uint32_t ring_state() override { return ring_state_.load(); }
  // Attaches again, as often as it takes: the mediator may be restarting.
  Result<void> AwaitLink(TimePoint deadline) override;
  Identity identity() const override;
  std::string description() const override { return "socket " + options_.socket; }

 private:
  explicit HostTransport(const HostOptions& options) : options_(options) {}

  Result<void> MakeMemory();
  Result<void> MakePresent() const;
  Result<void> MakeEvents();
  Result<void> Attach(TimePoint deadline);
  Result<void> SendAttach(ControlLink& link) const;
  Result<Identity> ReceiveGrant(ControlLink& link, TimePoint deadline) const;
  bool LinkWhole();
  void SetRingState(uint32_t state);

  const HostOptions options_;
  ring::OwnedRegion region_memory_;
  base::OwnedMemory private_memory_;
  std::array<base::UniqueFd, 2> window_events_;  // kick, call; no window here, but an attach has them
  std::vector<std::array<base::UniqueFd, 2>> ring_events_;  // kick, call
  std::vector<std::atomic<bool>> claimed_;

  mutable std::mutex mutex_;  // of what follows
  std::optional<ControlLink> link_;
  Identity identity_;
  uint32_t state_changes_ = 0;
  std::atomic<uint32_t> ring_state_{VGPU_RING_STATE_NO_MEDIATOR};
};

}  // namespace vgpu::guest

#endif  // VGPU_GUEST_HOST_TRANSPORT_H_
