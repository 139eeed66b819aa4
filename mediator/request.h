// SPDX-License-Identifier: Apache-2.0
// A request after decoding: private, checked, ready to run. Nothing in it can be changed by a guest; what the operand
// pointers point at can, and that may only give this guest wrong numbers.
#ifndef VGPU_MEDIATOR_REQUEST_H_
#define VGPU_MEDIATOR_REQUEST_H_

#include <cstddef>
#include <cstdint>

namespace vgpu::mediator {

struct Operation;

enum class RequestState : uint8_t {
  kFree,     // the slot's answer was given (or never asked for)
  kQueued,   // taken and decoded, waits for its turn
  kRunning,  // some of its pieces are with the backend
};

// An ADD, or whatever touches nothing but its slot, needs the first line only.
struct alignas(64) Request {
  const Operation* op;  // null: refused by decode; `code` says why
  uint32_t idx;         // index in its ring
  uint32_t code;        // VGPU_OK until something fails
  RequestState state;
  uint8_t type;         // VGPU_TYPE_*
  bool repeatable;      // outputs are disjoint from inputs: harmless to run again after a crash
  bool inline_run;      // takes about a microsecond or less: runs in the loop itself
  uint32_t result;      // goes into done.data
  uint64_t operands;    // of what touches nothing but its slot
  int64_t arrival_ns;   // when the mediator took it
  int64_t start_ns;     // when its first piece went to the backend
  uint32_t pieces;      // with the backend now

  // Vectors and buffers only: addresses in the mediator's mapping of the ring's arena, or window buffers.
  char* a;
  char* b;
  char* c;
  uint64_t count;       // elements, or bytes of room
  uint64_t next;        // first element not yet handed to the backend
};
static_assert(offsetof(Request, a) <= 64 && sizeof(Request) == 128);

}  // namespace vgpu::mediator

#endif  // VGPU_MEDIATOR_REQUEST_H_
