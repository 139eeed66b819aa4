// SPDX-License-Identifier: Apache-2.0
#include "mediator/operations.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "api/codes.h"
#include "api/debug.h"
#include "api/device_info.h"
#include "api/vector.h"
#include "api/window.h"
#include "gpu/batch_abi.h"
#include "mediator/operations_cpu.h"
#include "mediator/sched/policy.h"
#include "mediator/window.h"

namespace vgpu::mediator {
namespace {

// ---- NOP ----

uint32_t AnswerNop(uint64_t) { return 0; }

// ---- ADD ----

uint32_t AnswerAdd(uint64_t operands) { return vgpu_word_data(operands) + vgpu_word_seq(operands); }

// ---- DEVICE_INFO ----

uint32_t DecodeDeviceInfo(const ring::SlotCopy& copy, const RingLimits& limits, Request* request) {
  const uint64_t off = copy.arg[0];
  const uint64_t room = copy.arg[1];
  if (room < sizeof(vgpu_device_info)) return VGPU_ERR_INVALID_LENGTH;
  if (off % 8 != 0 || room > limits.arena_bytes || off > limits.arena_bytes - room) return VGPU_ERR_INVALID_REQUEST;
  request->c = limits.arena + off;
  request->a = reinterpret_cast<char*>(const_cast<vgpu_device_info*>(limits.device_info));
  request->count = 1;
  request->inline_run = limits.arena_in_loop;
  return VGPU_OK;
}

void RunDeviceInfo(Request* request, uint64_t, uint64_t) {
  std::memcpy(request->c, request->a, sizeof(vgpu_device_info));
  request->result = sizeof(vgpu_device_info);
}

// ---- VECTOR_ADD ----

bool Disjoint(uint64_t off_x, uint64_t off_y, uint64_t bytes) {
  return off_x >= off_y ? off_x - off_y >= bytes : off_y - off_x >= bytes;
}

uint32_t DecodeVectorAdd(const ring::SlotCopy& copy, const RingLimits& limits, Request* request) {
  const uint64_t element = ElementBytes(request->type);
  const uint64_t count = copy.arg[0];
  const uint64_t a = copy.arg[1], b = copy.arg[2], c = copy.arg[3];
  if (element == 0) return VGPU_ERR_INVALID_REQUEST;
  if (count > limits.arena_bytes / element) return VGPU_ERR_TOO_LARGE;
  const uint64_t bytes = count * element;
  for (const uint64_t off : {a, b, c}) {
    if (off % element != 0 || off > limits.arena_bytes - bytes) return VGPU_ERR_INVALID_REQUEST;
  }
  const bool c_apart_from_a = Disjoint(c, a, bytes);
  const bool c_apart_from_b = Disjoint(c, b, bytes);
  if ((!c_apart_from_a && c != a) || (!c_apart_from_b && c != b)) return VGPU_ERR_INVALID_REQUEST;
  request->a = limits.arena + a;
  request->b = limits.arena + b;
  request->c = limits.arena + c;
  request->count = count;
  request->repeatable = c_apart_from_a && c_apart_from_b;
  request->inline_run = bytes <= (limits.arena_in_loop ? policy::kInlineBytes : 0);
  return VGPU_OK;
}

void RunVectorAdd(Request* request, uint64_t begin, uint64_t end) {
  VectorAddCpu(request->type, request->a, request->b, request->c, begin, end);
}

uint64_t VectorAddPiece(const Request& request) { return policy::kWorkerPieceBytes / ElementBytes(request.type); }

// ---- WINDOW ----

uint32_t DecodeWindow(const ring::SlotCopy& copy, const RingLimits& limits, Request* request) {
  const uint64_t length = copy.arg[0];
  if (length == 0) return VGPU_ERR_INVALID_LENGTH;
  if (length > VGPU_WINDOW_BUF_BYTES) return VGPU_ERR_TOO_LARGE;
  const uint64_t slot = request->idx & (VGPU_WINDOW_ENTRIES - 1);
  request->a = limits.arena + slot * 2 * VGPU_WINDOW_BUF_BYTES;
  request->b = reinterpret_cast<char*>(const_cast<vgpu_device_info*>(limits.device_info));
  request->c = request->a + VGPU_WINDOW_BUF_BYTES;
  request->count = length;
  return VGPU_OK;
}

void RunWindow(Request* request, uint64_t, uint64_t) {
  std::array<char, VGPU_WINDOW_BUF_BYTES> message;
  std::memcpy(message.data(), request->a, request->count);  // read once
  const WindowAnswer answer =
      AnswerWindow(std::span(message.data(), request->count),
                   *reinterpret_cast<const vgpu_device_info*>(request->b),
                   std::span(request->c, VGPU_WINDOW_BUF_BYTES));
  request->code = answer.code;
  request->result = answer.bytes;
}

uint32_t DecodeOperands(const ring::SlotCopy& copy, const RingLimits& limits, Request* request) {
  const Operation& op = *request->op;
  if (op.in_slot != nullptr) {
    request->operands = op.has_operands ? copy.arg[0] : 0;
    return VGPU_OK;
  }
  request->next = request->count = 0;  // in a second cache line, which the others do not need
  return op.decode(copy, limits, request);
}

uint64_t OnePiece(const Request&) { return 1; }

static_assert(VGPU_JOB_VADD_I32 == VGPU_TYPE_I32 && VGPU_JOB_VADD_F64 == VGPU_TYPE_F64, "a job is its first type's + type");

#ifdef VGPU_CRASH_POINTS
// What breaks a GPU, for tests and benchmarks of what happens then. On the CPU they do nothing.
uint32_t DecodeDebug(const ring::SlotCopy&, const RingLimits&, Request* request) {
  request->a = request->b = request->c = nullptr;
  request->type = 0;
  request->count = 1;
  request->inline_run = false;
  request->repeatable = false;
  return VGPU_OK;
}

void RunNothing(Request*, uint64_t, uint64_t) {}
#endif

constexpr Operation kOperations[] = {
    {.opcode = VGPU_OP_NOP, .name = "NOP", .gpu_job = VGPU_JOB_ADD, .in_slot = AnswerNop},  // of 0 and 0
    {.opcode = VGPU_OP_ADD, .name = "ADD", .gpu_job = VGPU_JOB_ADD, .in_slot = AnswerAdd, .has_operands = true},
    {.opcode = VGPU_OP_DEVICE_INFO, .name = "DEVICE_INFO", .gpu_job = kNotOnGpu, .decode = DecodeDeviceInfo,
     .run = RunDeviceInfo, .piece = OnePiece},
    {.opcode = VGPU_OP_VECTOR_ADD, .name = "VECTOR_ADD", .gpu_job = VGPU_JOB_VADD_I32, .decode = DecodeVectorAdd,
     .run = RunVectorAdd, .piece = VectorAddPiece},
#ifdef VGPU_CRASH_POINTS
    {.opcode = VGPU_OP_DEBUG_FAULT, .name = "DEBUG_FAULT", .gpu_job = VGPU_JOB_FAULT, .decode = DecodeDebug,
     .run = RunNothing, .piece = OnePiece},
    {.opcode = VGPU_OP_DEBUG_HANG, .name = "DEBUG_HANG", .gpu_job = VGPU_JOB_HANG, .decode = DecodeDebug,
     .run = RunNothing, .piece = OnePiece},
#endif
};
constexpr Operation kWindow = {
    .opcode = VGPU_OP_WINDOW, .name = "WINDOW", .gpu_job = kNotOnGpu, .decode = DecodeWindow, .run = RunWindow};

}  // namespace

constexpr std::array<const Operation*, kOpcodes> kOperationOf = [] {
  std::array<const Operation*, kOpcodes> by_opcode{};
  for (const Operation& op : kOperations) by_opcode[op.opcode] = &op;
  return by_opcode;
}();

uint64_t ElementBytes(uint8_t type) {
  switch (type) {
    case VGPU_TYPE_I32:
    case VGPU_TYPE_F32: return 4;
    case VGPU_TYPE_I64:
    case VGPU_TYPE_F64: return 8;
  }
  return 0;
}

std::span<const Operation> Operations() { return kOperations; }

void Decode(const ring::SlotCopy& copy, const RingLimits& limits, Request* request) {
  const uint32_t opcode = OpcodeIn(copy.submit);
  request->type = static_cast<uint8_t>(vgpu_word_data(copy.submit) >> 16);
  request->repeatable = true;
  request->inline_run = true;
  request->result = request->pieces = 0;
  request->op = limits.window ? (opcode == VGPU_OP_WINDOW ? &kWindow : nullptr) : FindOperation(opcode);
  if (request->op == nullptr) {
    request->code = VGPU_ERR_UNSUPPORTED;
  } else {
    request->code = ReservedBitsIn(copy.submit) ? VGPU_ERR_INVALID_REQUEST : DecodeOperands(copy, limits, request);
  }
  request->refused = request->code != VGPU_OK;
  if (request->refused) request->op = nullptr;
  request->in_slot = !request->refused && request->op->in_slot != nullptr;
}

uint32_t InlineCost(const Request& request) {
  if (request.refused || request.in_slot) return 1;
  return static_cast<uint32_t>(1 + request.count * ElementBytes(request.type) / policy::kInlineBytesPerCost);
}

uint64_t VectorMax(uint64_t arena_bytes) { return arena_bytes / 4; }

}  // namespace vgpu::mediator
