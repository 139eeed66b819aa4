// SPDX-License-Identifier: Apache-2.0
// One attached VM (or host process): its mappings, its rings, its standing. A state machine without sockets:
//   active -> fenced (it lied) -> active again after a device reset
//   any -> ending (its connection closed) -> ended, when nothing of it is with the backend any more
#ifndef VGPU_MEDIATOR_SESSION_H_
#define VGPU_MEDIATOR_SESSION_H_

#include <array>
#include <cstdint>
#include <memory>
#include <vector>

#include "base/histogram.h"
#include "mediator/guest_ring.h"
#include "mediator/scheduler.h"
#include "ring/abi.h"
#include "ring/region.h"

namespace vgpu::mediator {

class Dispatcher;

// Who stands behind a session: its connection. Called on the loop's thread.
class SessionOwner {
 public:
  virtual ~SessionOwner() = default;
  virtual void OnFenced() = 0;
  virtual void OnResetDone() = 0;
  virtual void OnEnded() = 0;  // the session may be destroyed afterwards, not within
};

// What was granted at attach.
struct Grant {
  uint32_t vm_id;
  uint32_t pool;      // ASCII
  uint32_t priority;  // 0 low, 1 medium, 2 high
};

// Checked, mapped and populated memory of a session (attach.h makes it).
struct SessionMemory {
  ring::Mapping region;    // empty with ring=off
  ring::UniqueFd region_fd;  // for engines that come later
  ring::Mapping private_file;
  vgpu_layout layout{};    // ring_count 0 with ring=off
};

// Where a session's requests run. Kept by the backend, but for on_device, which the dispatcher sets for it.
struct DeviceSeat {
  static constexpr uint32_t kNone = ~0u;

  bool on_device = false;  // the GPU has the region registered: use it
  bool leaving = false;    // the session ends
  bool parked = false;     // its GPU has no engine until a request asks for one
  uint32_t gpu = kNone;    // index into the backend's
  int ordinal = -1;        // of that GPU, as the driver counts
  uint32_t region = kNone; // the region's number with the engines
  bool refused = false;    // the GPU cannot use its memory, or must not
};

struct RingEventfds {
  ring::UniqueFd kick;
  ring::UniqueFd call;
};

class Session {
 public:
  // `rings` has an entry for each ring of the layout; `window` is the register window's.
  Session(Dispatcher* dispatcher, SessionOwner* owner, Grant grant, SessionMemory memory,
          std::vector<RingEventfds> rings, RingEventfds window, const vgpu_device_info& device);

  uint32_t vm_id() const { return grant_.vm_id; }
  uint32_t pool() const { return grant_.pool; }
  uint32_t priority() const { return grant_.priority; }
  SessionOwner* owner() const { return owner_; }
  const SessionMemory& memory() const { return memory_; }
  SessionMemory TakeMemory() { return std::move(memory_); }
  // The rings of the region, then the window ring.
  const std::vector<std::unique_ptr<GuestRing>>& rings() const { return rings_; }

  bool fenced() const { return fenced_; }
  bool busy() const;
  bool epoch_pending() const;

  void RingKicked(GuestRing* ring);

  // Which rings have work of which kind: a bit a ring. Kept by the dispatcher.
  struct Work : Flow {
    Session* session = nullptr;
    uint32_t rings = 0;  // bits
    uint32_t last = 0;   // the ring that had the last turn

    // The ring whose turn it is. Needs rings != 0.
    GuestRing* NextRing();
  };
  Work inline_work;
  Work slot_work;     // on a GPU, and nothing but their slot
  Work backend_work;  // in pieces

  DeviceSeat seat;

  // Nanoseconds. Written by the loop's thread.
  base::Histogram queue_wait;  // taken -> started
  base::Histogram service;     // started -> answered
  uint64_t gpu_pieces = 0;  // requests and pieces of requests that went to a GPU
  uint64_t fences = 0;
  uint64_t resets = 0;

 private:
  friend class Dispatcher;

  Dispatcher* const dispatcher_;
  SessionOwner* const owner_;
  const Grant grant_;
  SessionMemory memory_;
  vgpu_device_info device_info_;
  std::vector<std::unique_ptr<GuestRing>> rings_;
  std::vector<int> watches_;
  bool fenced_ = false;
  bool resetting_ = false;
  bool ending_ = false;
};

}  // namespace vgpu::mediator

#endif  // VGPU_MEDIATOR_SESSION_H_
