// SPDX-License-Identifier: Apache-2.0
// What a guest can ask for: one table, an entry an operation. Pure: no descriptors, no clock, no state.
// To add an operation: an opcode in api/, an entry in operations.cc, its CPU code in operations_cpu.cc,
// its GPU code in gpu/kernels.cu.
#ifndef VGPU_MEDIATOR_OPERATIONS_H_
#define VGPU_MEDIATOR_OPERATIONS_H_

#include <array>
#include <cstdint>
#include <span>

#include "api/device_info.h"
#include "mediator/request.h"
#include "ring/abi.h"
#include "ring/ring_ref.h"

namespace vgpu::mediator {

// What decode may believe about a ring: from the attach message and the configuration, never from shared memory.
struct RingLimits {
  char* arena;
  uint64_t arena_bytes;
  bool arena_in_loop;                  // may the loop touch it (short_file.h), or workers and GPUs only?
  bool window;                         // the register window's ring: only VGPU_OP_WINDOW
  const vgpu_device_info* device_info; // what DEVICE_INFO answers
};

inline constexpr uint32_t kNotOnGpu = ~0u;

struct Operation {
  uint32_t opcode;
  const char* name;
  // The GPU's code for it (VGPU_JOB_*, the first of its types); kNotOnGpu: the loop runs it.
  uint32_t gpu_job;

  // What reads and writes nothing but its slot has only this: from its operands to its result. It cannot fail, and
  // repeating it is harmless whatever ran after it.
  uint32_t (*in_slot)(uint64_t operands) = nullptr;
  bool has_operands = false;  // the first argument; else 0

  // Everything else has these.
  // Checks the copy and fills operands, result, repeatable, inline_run of *request. Returns VGPU_OK or VGPU_ERR_*.
  uint32_t (*decode)(const ring::SlotCopy& copy, const RingLimits& limits, Request* request) = nullptr;
  // Computes elements [begin, end) on the CPU (or everything, for what has no elements). Any thread.
  void (*run)(Request* request, uint64_t begin, uint64_t end) = nullptr;
  // Elements in a piece of about 50 us on the CPU; null for what is never cut.
  uint64_t (*piece)(const Request& request) = nullptr;
};

// By opcode; null: no such operation.
inline constexpr uint32_t kOpcodes = 32;
extern const std::array<const Operation*, kOpcodes> kOperationOf;

inline const Operation* FindOperation(uint32_t opcode) { return opcode < kOpcodes ? kOperationOf[opcode] : nullptr; }
std::span<const Operation> Operations();

// A slot's first word: what it asks for.
inline uint32_t OpcodeIn(uint64_t submit) { return vgpu_word_data(submit) & 0xffff; }
// Reserved bits are zero today, so that they can mean something tomorrow.
inline bool ReservedBitsIn(uint64_t submit) { return vgpu_word_data(submit) >> 24 != 0; }

// The operation of a slot's first word, if it touches nothing but the slot and nothing is wrong with it; else null, and
// Decode says more. Not for the window ring.
inline const Operation* FindInSlot(uint64_t submit) {
  const Operation* op = FindOperation(OpcodeIn(submit));
  return op != nullptr && op->in_slot != nullptr && !ReservedBitsIn(submit) ? op : nullptr;
}

// Decodes a private copy of a slot. Never fails: a request that is refused has its code, and no op.
// Sets everything but `idx` and `since_ns`.
void Decode(const ring::SlotCopy& copy, const RingLimits& limits, Request* request);

// Runs a decoded request on the CPU: elements [begin, end), or everything where it has none.
inline void Run(Request* request, uint64_t begin, uint64_t end) {
  const Operation& op = *request->op;
  if (op.in_slot != nullptr) {
    request->result = op.in_slot(request->operands);
  } else {
    op.run(request, begin, end);
  }
}

// What it costs the loop to run this one by itself, in requests that touch nothing but their slot: some 30 ns. 4 KiB of
// operands whose lines another core has just written take a microsecond.
uint32_t InlineCost(const Request& request);

// Of one element of a vector; 0: no such type (VGPU_TYPE_*).
uint64_t ElementBytes(uint8_t type);

// Most elements of one VECTOR_ADD whose operands lie in an arena of this size.
uint64_t VectorMax(uint64_t arena_bytes);

}  // namespace vgpu::mediator

#endif  // VGPU_MEDIATOR_OPERATIONS_H_
