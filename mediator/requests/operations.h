// SPDX-License-Identifier: Apache-2.0
// What a guest can ask for: one table, an entry an operation. Pure: no descriptors, no clock, no state.
//
// Arithmetic has its entries from the tables of operations/ (its README.md says how to add an operation);
// everything else has them here. docs/spec/operations.md describes all of them.
#ifndef VGPU_MEDIATOR_REQUESTS_OPERATIONS_H_
#define VGPU_MEDIATOR_REQUESTS_OPERATIONS_H_

#include <array>
#include <cstdint>
#include <span>

#include "api/device_info.h"
#include "mediator/requests/request.h"
#include "operations/element.h"
#include "ring/abi.h"
#include "ring/ring_ref.h"

namespace vgpu::mediator {

// What decode relies on about a ring. It comes from the attach message and the configuration, never from
// shared memory.
struct RingLimits {
  char* arena;
  uint64_t arena_bytes;
  bool arena_in_lane;                   // may the lane touch it (short_file.h), or workers and GPUs only?
  bool window;                          // the register window's ring: only VGPU_OP_WINDOW
  const vgpu_device_info* device_info;  // what DEVICE_INFO answers
};

inline constexpr uint32_t kNotOnGpu = ~0u;

struct Operation {
  uint32_t opcode;
  const char* name;
  // The kind of its jobs on a GPU (VGPU_JOB_*), to which the request's type is added. kNotOnGpu: the CPU runs
  // it, wherever the session is.
  uint32_t gpu_job;

  // Small operations, which touch nothing but their slot, have only this: from the operands to the result. It
  // cannot fail, and is harmless to repeat whatever ran after it.
  uint32_t (*in_slot)(uint64_t operands) = nullptr;
  bool has_operands = false;  // the first argument; else 0

  // Everything else has these. Checks the copy and fills what `run` needs of *request: `at` and `count`; also
  // repeatable and inline_run, where these are not true. Returns VGPU_OK or VGPU_ERR_*.
  uint32_t (*decode)(const ring::SlotCopy& copy, const RingLimits& limits, Request* request) = nullptr;
  // Computes elements [begin, end) on the CPU (or everything, for what has no elements), in the arena of
  // `limits`. Any thread.
  void (*run)(Request* request, const RingLimits& limits, uint64_t begin, uint64_t end) = nullptr;
  // Elements in a piece of about 50 us on the CPU; null for what only the loop runs.
  uint64_t (*piece)(const Request& request) = nullptr;
};

// By opcode; null: no such operation. The last two are those of tests (api/debug.h).
inline constexpr uint32_t kOpcodes = 32;
extern const std::array<const Operation*, kOpcodes> kOperationOf;

inline const Operation* FindOperation(uint32_t opcode) {
  return opcode < kOpcodes ? kOperationOf[opcode] : nullptr;
}
std::span<const Operation> Operations();

// A slot's first word: what it asks for.
inline uint32_t OpcodeIn(uint64_t submit) { return vgpu_word_data(submit) & 0xffff; }
// Reserved bits are zero today, so that they can mean something tomorrow.
inline bool ReservedBitsIn(uint64_t submit) { return vgpu_word_data(submit) >> 24 != 0; }

// The operation of a slot's first word, if it is a small one and nothing is wrong with it; else null, and
// Decode says more. Not for the window ring.
inline const Operation* FindInSlot(uint64_t submit) {
  const Operation* op = FindOperation(OpcodeIn(submit));
  return op != nullptr && op->in_slot != nullptr && !ReservedBitsIn(submit) ? op : nullptr;
}

// Decodes a private copy of a slot. Never fails: a request that is refused has its code, and no op.
// Sets everything that the request's kind uses, but `idx`, `since_ns` and `state`.
void Decode(const ring::SlotCopy& copy, const RingLimits& limits, Request* request);

// Runs a request on the CPU that was decoded with these limits: elements [begin, end), or everything where it
// has none.
inline void Run(Request* request, const RingLimits& limits, uint64_t begin, uint64_t end) {
  const Operation& op = *request->op;
  if (op.in_slot != nullptr) {
    request->result = op.in_slot(request->operands);
  } else {
    op.run(request, limits, begin, end);
  }
}

// What it costs to run this request inline, counted in small requests of some 30 ns. 4 KiB of operands whose
// lines another core has just written take a microsecond.
uint32_t InlineCost(const Request& request);

using operations::ElementBytes;

// Most elements of one VECTOR_ADD whose operands lie in an arena of this size.
uint64_t VectorMax(uint64_t arena_bytes);

}  // namespace vgpu::mediator

#endif  // VGPU_MEDIATOR_REQUESTS_OPERATIONS_H_
