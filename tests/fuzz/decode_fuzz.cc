// SPDX-License-Identifier: Apache-2.0
// A private copy of a slot whose guest wrote anything: what decode accepts stays inside the arena, is
// aligned, says truly whether it is harmless to repeat, and runs (under a sanitizer, which sees every
// access).
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>

#include "api/codes.h"
#include "api/device_info.h"
#include "api/vector.h"
#include "api/window.h"
#include "mediator/operations.h"
#include "mediator/request.h"
#include "ring/abi.h"
#include "ring/ring_ref.h"
#include "tests/fuzz/input.h"

namespace vgpu::mediator {
namespace {

constexpr uint64_t kLineBytes = 64;

// A number as it comes, or one near a border of the arena.
uint64_t TakeNumber(fuzz::Input* input, uint64_t arena_bytes) {
  const uint8_t how = input->Take<uint8_t>();
  switch (how % 4) {
    case 0:
      return input->Take<uint64_t>();
    case 1:
      return arena_bytes - input->Take<uint8_t>();
    case 2:
      return arena_bytes / (1 + how / 4 % 16);
    default:
      return uint64_t{input->Take<uint8_t>()} * (1 + how / 4);
  }
}

bool Inside(const char* begin, uint64_t bytes, const RingLimits& limits) {
  const uint64_t off = static_cast<uint64_t>(begin - limits.arena);
  return begin >= limits.arena && bytes <= limits.arena_bytes && off <= limits.arena_bytes - bytes;
}

bool Overlap(const char* x, const char* y, uint64_t bytes) { return x < y + bytes && y < x + bytes; }

void CheckVectorAdd(const Request& request, const RingLimits& limits) {
  const uint64_t element = request.type == VGPU_TYPE_I32 || request.type == VGPU_TYPE_F32 ? 4 : 8;
  FUZZ_CHECK(request.type <= VGPU_TYPE_F64);
  FUZZ_CHECK(request.count <= VectorMax(limits.arena_bytes));
  const uint64_t bytes = request.count * element;
  for (const char* operand : {request.a, request.b, request.c}) {
    FUZZ_CHECK(Inside(operand, bytes, limits));
    FUZZ_CHECK(static_cast<uint64_t>(operand - limits.arena) % element == 0);
  }
  FUZZ_CHECK(request.c == request.a || !Overlap(request.c, request.a, bytes));
  FUZZ_CHECK(request.c == request.b || !Overlap(request.c, request.b, bytes));
  const bool disjoint = !Overlap(request.c, request.a, bytes) && !Overlap(request.c, request.b, bytes);
  FUZZ_CHECK(request.repeatable == disjoint);
  FUZZ_CHECK(request.op->piece(request) > 0);
}

void DecodeAndRun(fuzz::Input input) {
  const bool window = input.Take<uint8_t>() % 4 == 0;
  const uint64_t lines = window ? VGPU_WINDOW_ARENA_BYTES / kLineBytes : 1 + input.Take<uint8_t>();
  const std::unique_ptr<char, decltype(&std::free)> arena(
      static_cast<char*>(std::aligned_alloc(kLineBytes, lines * kLineBytes)), &std::free);
  const vgpu_device_info info = {};
  const bool arena_in_loop = window || input.Take<uint8_t>() % 2 == 0;
  const RingLimits limits = {arena.get(), lines * kLineBytes, arena_in_loop, window, &info};

  ring::SlotCopy copy = {};
  const uint32_t opcodes[] = {VGPU_OP_VECTOR_ADD, VGPU_OP_DEVICE_INFO, VGPU_OP_WINDOW,
                              input.Take<uint16_t>()};
  const uint32_t opcode = window ? VGPU_OP_WINDOW : opcodes[input.Take<uint8_t>() % 4];
  copy.submit = vgpu_submit_word(opcode, input.Take<uint8_t>() % 8, input.Take<uint32_t>());
  if (input.Take<uint8_t>() % 16 == 0) copy.submit ^= input.Take<uint64_t>();
  for (uint64_t& arg : copy.arg) arg = TakeNumber(&input, limits.arena_bytes);
  for (uint64_t i = 0; i < limits.arena_bytes; ++i) arena.get()[i] = input.Take<char>();

  Request request = {};
  request.idx = input.Take<uint32_t>();
  Decode(copy, limits, &request);
  FUZZ_CHECK((request.op != nullptr) == (request.code == VGPU_OK));
  if (request.op == nullptr) return;
  FUZZ_CHECK((request.op->opcode == VGPU_OP_WINDOW) == window);
  if (request.op->opcode == VGPU_OP_VECTOR_ADD) CheckVectorAdd(request, limits);
  Run(&request, 0, request.op->in_slot != nullptr ? 0 : request.count);
}

}  // namespace
}  // namespace vgpu::mediator

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  vgpu::mediator::DecodeAndRun({data, size});
  return 0;
}
