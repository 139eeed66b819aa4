// SPDX-License-Identifier: Apache-2.0
// Whoever uses one ring of a VM, whatever it is up to.
#ifndef VGPU_SIMULATION_GUEST_H_
#define VGPU_SIMULATION_GUEST_H_

#include <cstdint>

#include "ring/ring_ref.h"

namespace vgpu::simulation {

// Where a ring lies, as its guest sees it. All outlives the guest.
struct GuestPlace {
  uint32_t vm_id;
  uint32_t index;
  ring::RingRef<ring::RealMemory> ring;
  char* arena;
  uint64_t arena_bytes;
  int kick_fd;
  int call_fd;
};

class Guest {
 public:
  virtual ~Guest() = default;
  // Does its next little thing. False: it sleeps, or thinks.
  virtual bool Act() = 0;
  // When it acts by itself; kNever: it waits for a call, or for nothing.
  virtual int64_t next_ns() const = 0;
  // Its program is gone in the middle of whatever it did. Another one will begin.
  virtual void Drop() = 0;
  // It does nothing until Drop.
  virtual void Halt() = 0;

  // ---- the checks of who is served. They throw Violation ----

  // The daemon sleeps: then nobody may wait for it.
  virtual void CheckDaemonSleeps() const {}
  // Nobody may wait for too long.
  virtual void CheckAge() const {}
  // Has it got all that it asked for?
  virtual bool Done() const { return true; }
};

}  // namespace vgpu::simulation

#endif  // VGPU_SIMULATION_GUEST_H_
