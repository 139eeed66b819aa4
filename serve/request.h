// SPDX-License-Identifier: Apache-2.0
// What the server of a ring knows of a request that it has taken. A service's own requests derive from this,
// and add what the service needs to run them.
#ifndef VGPU_SERVE_REQUEST_H_
#define VGPU_SERVE_REQUEST_H_

#include <cstdint>

namespace vgpu::serve {

// Who runs a request.
enum class Way : uint8_t {
  kInline,  // the thread that serves the ring, at once
  kSlot,    // another processor, which writes the answer into the slot; many of a ring at a time
  kPieces,  // the backend, piece by piece
};

// Who has a slot.
enum class SlotState : uint8_t {
  kFree,    // the guest's
  kQueued,  // taken and decoded, waits for its turn
  kRunning,
};

struct Request {
  uint32_t idx;      // index in its ring
  uint32_t code;     // VGPU_OK until something fails
  uint32_t result;   // goes into done.data
  uint32_t pieces;   // under way
  SlotState state;   // of its slot
  bool refused;      // there is nothing to run, and `code` says why: by decode, or by a restart (code 12)
  bool repeatable;   // harmless to repeat after a crash: its outputs are disjoint from its inputs
  bool in_slot;      // small: touches nothing but its slot
  int64_t since_ns;  // when it was taken; once it has started, when it started
  uint64_t count;    // elements
  uint64_t next;     // first element that is in no piece yet
};

}  // namespace vgpu::serve

#endif  // VGPU_SERVE_REQUEST_H_
