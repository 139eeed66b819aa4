// SPDX-License-Identifier: Apache-2.0
// A request that was taken from a ring, as far as the ring's server needs to know it. A service's own requests derive from
// this and add what it needs to run them.
#ifndef VGPU_SERVE_REQUEST_H_
#define VGPU_SERVE_REQUEST_H_

#include <cstdint>

namespace vgpu::serve {

// Who runs a request.
enum class Way : uint8_t {
  kLoop,    // the thread that serves the ring, at once
  kSlot,    // somebody who reads and answers its slot, of which there may be many at a time
  kPieces,  // somebody who gets it piece by piece
};

// In whose hands a slot is.
enum class SlotState : uint8_t {
  kFree,     // the guest's
  kQueued,   // taken and decoded, waits for its turn
  kRunning,
};

struct Request {
  uint32_t idx;       // index in its ring
  uint32_t code;      // VGPU_OK until something fails
  uint32_t result;    // goes into done.data
  uint32_t pieces;    // under way
  SlotState state;    // of its slot
  bool refused;       // by decode, which has set `code`: there is nothing to run
  bool repeatable;    // harmless to run again after a crash: its outputs are disjoint from its inputs
  bool in_slot;       // touches nothing but its slot
  int64_t since_ns;   // when it was taken; once it has started, when it started
  uint64_t count;     // elements
  uint64_t next;      // first element that is in no piece yet
};

}  // namespace vgpu::serve

#endif  // VGPU_SERVE_REQUEST_H_
