// SPDX-License-Identifier: Apache-2.0
#include "mediator/requests/operations.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstring>

#include "api/codes.h"
#include "api/debug.h"
#include "api/device_info.h"
#include "api/window.h"
#include "gpu/batch_abi.h"
#include "mediator/requests/window.h"
#include "mediator/sched/policy.h"
#include "operations/cpu.h"
#include "operations/table.h"

namespace vgpu::mediator {
namespace {

// ---- DEVICE_INFO ----

uint32_t DecodeDeviceInfo(const ring::SlotCopy& copy, const RingLimits& limits, Request* request) {
  const uint64_t off = copy.arg[0];
  const uint64_t room = copy.arg[1];
  if (room < sizeof(vgpu_device_info)) return VGPU_ERR_INVALID_LENGTH;
  if (off % 8 != 0 || room > limits.arena_bytes || off > limits.arena_bytes - room)
    return VGPU_ERR_INVALID_REQUEST;
  request->at = {.a = 0, .b = 0, .c = off};
  request->count = 1;
  request->inline_run = limits.arena_in_lane;
  return VGPU_OK;
}

void RunDeviceInfo(Request* request, const RingLimits& limits, uint64_t, uint64_t) {
  std::memcpy(limits.arena + request->at.c, limits.device_info, sizeof(vgpu_device_info));
  request->result = sizeof(vgpu_device_info);
}

// ---- vectors ----

using operations::Vectors;

bool Disjoint(uint64_t off_x, uint64_t off_y, uint64_t bytes) {
  return off_x >= off_y ? off_x - off_y >= bytes : off_y - off_x >= bytes;
}

// `element`: bytes; 0 is refused.
uint32_t CheckVectors(uint64_t element, uint64_t count, const Offsets& at, const RingLimits& limits,
                      Request* request) {
  if (element == 0) return VGPU_ERR_INVALID_REQUEST;
  if (count > limits.arena_bytes / element) return VGPU_ERR_TOO_LARGE;
  const uint64_t bytes = count * element;
  for (const uint64_t off : {at.a, at.b, at.c}) {
    if (off % element != 0 || off > limits.arena_bytes - bytes) return VGPU_ERR_INVALID_REQUEST;
  }
  const bool c_apart_from_a = Disjoint(at.c, at.a, bytes);
  const bool c_apart_from_b = Disjoint(at.c, at.b, bytes);
  if ((!c_apart_from_a && at.c != at.a) || (!c_apart_from_b && at.c != at.b)) return VGPU_ERR_INVALID_REQUEST;
  request->at = at;
  request->count = count;
  request->repeatable = c_apart_from_a && c_apart_from_b;
  request->inline_run = bytes <= (limits.arena_in_lane ? policy::kInlineBytes : 0);
  return VGPU_OK;
}

template <class Row>
uint32_t DecodeVectors(const ring::SlotCopy& copy, const RingLimits& limits, Request* request) {
  const Offsets at = {.a = copy.arg[1], .b = copy.arg[Row::kOperands], .c = copy.arg[1 + Row::kOperands]};
  return CheckVectors(operations::ElementBytesOf<Row>(request->type), copy.arg[0], at, limits, request);
}

template <class Row>
void RunVectors(Request* request, const RingLimits& limits, uint64_t begin, uint64_t end) {
  const Offsets& at = request->at;
  operations::Compute(Vectors::Number<Row>(request->type), limits.arena + at.a, limits.arena + at.b,
                      limits.arena + at.c, begin, end);
}

uint64_t VectorPiece(const Request& request) {
  return policy::kWorkerPieceBytes / ElementBytes(request.type);
}

// ---- WINDOW ----

uint32_t DecodeWindow(const ring::SlotCopy& copy, const RingLimits&, Request* request) {
  const uint64_t length = copy.arg[0];
  if (length == 0) return VGPU_ERR_INVALID_LENGTH;
  if (length > VGPU_WINDOW_BUF_BYTES) return VGPU_ERR_TOO_LARGE;
  const uint64_t slot = request->idx & (VGPU_WINDOW_ENTRIES - 1);
  const uint64_t off = slot * 2 * VGPU_WINDOW_BUF_BYTES;
  request->at = {.a = off, .b = 0, .c = off + VGPU_WINDOW_BUF_BYTES};
  request->count = length;
  return VGPU_OK;
}

void RunWindow(Request* request, const RingLimits& limits, uint64_t, uint64_t) {
  std::array<char, VGPU_WINDOW_BUF_BYTES> message;
  std::memcpy(message.data(), limits.arena + request->at.a, request->count);  // read once
  const WindowAnswer answer = AnswerWindow(std::span(message.data(), request->count), *limits.device_info,
                                           std::span(limits.arena + request->at.c, VGPU_WINDOW_BUF_BYTES));
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

#ifdef VGPU_CRASH_POINTS
// What breaks a GPU, for tests and benchmarks of what happens then. On the CPU they do nothing.
uint32_t DecodeDebug(const ring::SlotCopy&, const RingLimits&, Request* request) {
  request->at = {};
  request->type = 0;
  request->count = 1;
  request->inline_run = false;
  request->repeatable = false;
  return VGPU_OK;
}

void RunNothing(Request*, const RingLimits&, uint64_t, uint64_t) {}
#endif

// ---- the table ----

template <class... Rows>
constexpr std::array<Operation, sizeof...(Rows)> EntriesOf(operations::SmallTable<Rows...>) {
  return {{{.opcode = Rows::kOpcode,
            .name = Rows::kName,
            .gpu_job = Rows::kSumOnGpu ? VGPU_JOB_ADD : kNotOnGpu,
            .in_slot = Rows::Answer,
            .has_operands = Rows::kHasOperands}...}};
}

template <class... Rows>
constexpr std::array<Operation, sizeof...(Rows)> EntriesOf(operations::VectorTable<Rows...>) {
  return {{{.opcode = Rows::kOpcode,
            .name = Rows::kName,
            .gpu_job = gpu::VectorJob<Rows>(0),
            .decode = DecodeVectors<Rows>,
            .run = RunVectors<Rows>,
            .piece = VectorPiece}...}};
}

constexpr std::array kOthers = {
    Operation{.opcode = VGPU_OP_DEVICE_INFO,
              .name = "DEVICE_INFO",
              .gpu_job = kNotOnGpu,
              .decode = DecodeDeviceInfo,
              .run = RunDeviceInfo,
              .piece = OnePiece},
#ifdef VGPU_CRASH_POINTS
    Operation{.opcode = VGPU_OP_DEBUG_FAULT,
              .name = "DEBUG_FAULT",
              .gpu_job = VGPU_JOB_FAULT,
              .decode = DecodeDebug,
              .run = RunNothing,
              .piece = OnePiece},
    Operation{.opcode = VGPU_OP_DEBUG_HANG,
              .name = "DEBUG_HANG",
              .gpu_job = VGPU_JOB_HANG,
              .decode = DecodeDebug,
              .run = RunNothing,
              .piece = OnePiece},
#endif
};

template <size_t... kCounts>
constexpr auto Join(const std::array<Operation, kCounts>&... tables) {
  std::array<Operation, (kCounts + ...)> all{};
  size_t count = 0;
  const auto append = [&](const auto& table) {
    for (const Operation& op : table) all[count++] = op;
  };
  (append(tables), ...);
  return all;
}

constexpr auto kOperations = Join(EntriesOf(operations::SmallOperations()), kOthers, EntriesOf(Vectors()));

constexpr Operation kWindow = {.opcode = VGPU_OP_WINDOW,
                               .name = "WINDOW",
                               .gpu_job = kNotOnGpu,
                               .decode = DecodeWindow,
                               .run = RunWindow};

}  // namespace

constexpr std::array<const Operation*, kOpcodes> kOperationOf = [] {
  std::array<const Operation*, kOpcodes> by_opcode{};
  for (const Operation& op : kOperations) {
    if (by_opcode[op.opcode] != nullptr) throw "two operations have one opcode";  // does not compile
    by_opcode[op.opcode] = &op;
  }
  return by_opcode;
}();

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
    request->code =
        ReservedBitsIn(copy.submit) ? VGPU_ERR_INVALID_REQUEST : DecodeOperands(copy, limits, request);
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
