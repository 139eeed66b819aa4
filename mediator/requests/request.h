// SPDX-License-Identifier: Apache-2.0
// A request after decoding: private, checked, ready to run. A guest cannot change it. It can change what lies
// at its offsets, and only gives itself wrong numbers so.
#ifndef VGPU_MEDIATOR_REQUESTS_REQUEST_H_
#define VGPU_MEDIATOR_REQUESTS_REQUEST_H_

#include <cstddef>
#include <cstdint>

#include "serve/request.h"

namespace vgpu::mediator {

struct Operation;

// What every operation needs. Together with what the server of the ring needs for a small request it is a
// cache line.
struct WhatToDo {
  const Operation* op;  // null: refused
  uint64_t operands;    // of what touches nothing but its slot
  uint8_t type;         // VGPU_TYPE_*
  bool inline_run;      // takes about a microsecond or less: the loop may run it itself
};

// Where operands and results lie: bytes from the start of the ring's arena. Whoever computes adds where it
// has that arena: its own mapping, or the engine's.
struct Offsets {
  uint64_t a;
  uint64_t b;
  uint64_t c;
};

struct alignas(64) Request : WhatToDo, serve::Request {
  Offsets at;  // vectors and buffers only; which of them are used, the operation knows
};
inline constexpr size_t kBytesForPieces = sizeof(serve::Request::count) + sizeof(serve::Request::next);
static_assert(sizeof(WhatToDo) + sizeof(serve::Request) - kBytesForPieces <= 64 && sizeof(Request) == 128);

}  // namespace vgpu::mediator

#endif  // VGPU_MEDIATOR_REQUESTS_REQUEST_H_
