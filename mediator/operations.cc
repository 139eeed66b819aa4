// SPDX-License-Identifier: Apache-2.0
#include "mediator/operations.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "gpu/batch_abi.h"
#include "mediator/operations_cpu.h"
#include "mediator/window.h"

namespace vgpu::mediator {
namespace {

// Bytes of one operand that the loop adds by itself (4 KiB whose lines come from another core: 0.9 us more than a NOP; by
// way of a worker 3.7), and that make a piece for a worker.
constexpr uint64_t kInlineBytes = 4096;
constexpr uint64_t kPieceBytes = 128 << 10;

uint64_t NoPieces(const Request&) { return 0; }

// ---- NOP ----

uint32_t DecodeNop(const ring::SlotCopy&, const RingLimits&, Request* request) {
  request->scalar[0] = request->scalar[1] = 0;  // to the GPU it is the sum of these
  return VGPU_OK;
}

void RunNop(Request*, uint64_t, uint64_t) {}

// ---- ADD ----

uint32_t DecodeAdd(const ring::SlotCopy& copy, const RingLimits&, Request* request) {
  request->scalar[0] = static_cast<int32_t>(vgpu_word_data(copy.arg[0]));
  request->scalar[1] = static_cast<int32_t>(vgpu_word_seq(copy.arg[0]));
  return VGPU_OK;
}

void RunAdd(Request* request, uint64_t, uint64_t) {
  request->result = static_cast<uint32_t>(AddWrapping(request->scalar[0], request->scalar[1]));
}

// ---- DEVICE_INFO ----

uint32_t DecodeDeviceInfo(const ring::SlotCopy& copy, const RingLimits& limits, Request* request) {
  const uint64_t off = copy.arg[0];
  const uint64_t room = copy.arg[1];
  if (room < sizeof(vgpu_device_info)) return VGPU_ERR_INVALID_LENGTH;
  if (off % 8 != 0 || room > limits.arena_bytes || off > limits.arena_bytes - room) return VGPU_ERR_INVALID_REQUEST;
  request->c = limits.arena + off;
  request->a = reinterpret_cast<char*>(const_cast<vgpu_device_info*>(limits.device_info));
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
  request->inline_run = bytes <= kInlineBytes;
  return VGPU_OK;
}

void RunVectorAdd(Request* request, uint64_t begin, uint64_t end) {
  VectorAddCpu(request->type, request->a, request->b, request->c, begin, end);
}

uint64_t VectorAddPiece(const Request& request) { return kPieceBytes / ElementBytes(request.type); }

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

uint64_t OnePiece(const Request&) { return 1; }
#endif

constexpr Operation kOperations[] = {
    {VGPU_OP_NOP, "NOP", true, DecodeNop, RunNop, NoPieces, VGPU_JOB_ADD},
    {VGPU_OP_ADD, "ADD", true, DecodeAdd, RunAdd, NoPieces, VGPU_JOB_ADD},
    {VGPU_OP_DEVICE_INFO, "DEVICE_INFO", false, DecodeDeviceInfo, RunDeviceInfo, NoPieces, kNotOnGpu},
    {VGPU_OP_VECTOR_ADD, "VECTOR_ADD", false, DecodeVectorAdd, RunVectorAdd, VectorAddPiece, VGPU_JOB_VADD_I32},
#ifdef VGPU_CRASH_POINTS
    {VGPU_OP_DEBUG_FAULT, "DEBUG_FAULT", false, DecodeDebug, RunNop, OnePiece, VGPU_JOB_FAULT},
    {VGPU_OP_DEBUG_HANG, "DEBUG_HANG", false, DecodeDebug, RunNop, OnePiece, VGPU_JOB_HANG},
#endif
};
constexpr Operation kWindow = {VGPU_OP_WINDOW, "WINDOW", false, DecodeWindow, RunWindow, NoPieces, kNotOnGpu};

// Opcode -> entry, so that decode does one bounded look-up.
constexpr uint32_t kIndexSize = 32;
constexpr auto kIndex = [] {
  std::array<const Operation*, kIndexSize> index{};
  for (const Operation& op : kOperations) index[op.opcode] = &op;
  return index;
}();

}  // namespace

uint64_t ElementBytes(uint8_t type) {
  switch (type) {
    case VGPU_TYPE_I32:
    case VGPU_TYPE_F32: return 4;
    case VGPU_TYPE_I64:
    case VGPU_TYPE_F64: return 8;
  }
  return 0;
}

const Operation* FindOperation(uint32_t opcode) { return opcode < kIndexSize ? kIndex[opcode] : nullptr; }

std::span<const Operation> Operations() { return kOperations; }

void Decode(const ring::SlotCopy& copy, const RingLimits& limits, Request* request) {
  const uint32_t head = vgpu_word_data(copy.submit);
  const uint32_t opcode = head & 0xffff;
  request->type = static_cast<uint8_t>(head >> 16);
  request->repeatable = true;
  request->inline_run = true;
  request->result = 0;
  request->pieces = 0;
  request->op = limits.window ? (opcode == VGPU_OP_WINDOW ? &kWindow : nullptr) : FindOperation(opcode);
  if (request->op == nullptr) {
    request->code = VGPU_ERR_UNSUPPORTED;
    return;
  }
  if (!request->op->in_slot) request->next = request->count = 0;
  // Reserved bits are zero today, so that they can mean something tomorrow.
  request->code = (head >> 24) != 0 ? VGPU_ERR_INVALID_REQUEST : request->op->decode(copy, limits, request);
  if (request->code != VGPU_OK) {
    request->op = nullptr;
    request->inline_run = true;
  }
}

uint64_t VectorMax(uint64_t arena_bytes) { return arena_bytes / 4; }

}  // namespace vgpu::mediator
