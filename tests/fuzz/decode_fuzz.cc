// SPDX-License-Identifier: Apache-2.0
// A private copy of a slot whose guest wrote anything: what decode accepts stays inside the arena, is
// aligned, says truly whether it is harmless to repeat, and runs (under a sanitizer,
// which sees every access).
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>

#include "api/codes.h"
#include "api/device_info.h"
#include "api/window.h"
#include "mediator/requests/operations.h"
#include "mediator/requests/request.h"
#include "operations/table.h"
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
    case 0: return input->Take<uint64_t>();
    case 1: return arena_bytes - input->Take<uint8_t>();
    case 2: return arena_bytes / (1 + how / 4 % 16);
    default: return uint64_t{input->Take<uint8_t>()} * (1 + how / 4);
  }
}

bool Inside(uint64_t off, uint64_t bytes, const RingLimits& limits) {
  return bytes <= limits.arena_bytes && off <= limits.arena_bytes - bytes;
}

bool Overlap(uint64_t x, uint64_t y, uint64_t bytes) { return x < y + bytes && y < x + bytes; }

void CheckVectors(const Request& request, const RingLimits& limits) {
  const uint64_t element = ElementBytes(request.type);
  FUZZ_CHECK(element != 0);
  FUZZ_CHECK(request.count <= VectorMax(limits.arena_bytes));
  const uint64_t bytes = request.count * element;
  const auto [a, b, c] = request.at;
  for (const uint64_t operand : {a, b, c}) {
    FUZZ_CHECK(Inside(operand, bytes, limits));
    FUZZ_CHECK(operand % element == 0);
  }
  FUZZ_CHECK(c == a || !Overlap(c, a, bytes));
  FUZZ_CHECK(c == b || !Overlap(c, b, bytes));
  FUZZ_CHECK(request.repeatable == (!Overlap(c, a, bytes) && !Overlap(c, b, bytes)));
  FUZZ_CHECK(request.op->piece(request) > 0);
}

void DecodeAndRun(fuzz::Input input) {
  const bool window = input.Take<uint8_t>() % 4 == 0;
  const uint64_t lines = window ? VGPU_WINDOW_ARENA_BYTES / kLineBytes : 1 + input.Take<uint8_t>();
  const std::unique_ptr<char, decltype(&std::free)> arena(
      static_cast<char*>(std::aligned_alloc(kLineBytes, lines * kLineBytes)), &std::free);
  const vgpu_device_info info = {};
  const bool arena_in_lane = window || input.Take<uint8_t>() % 2 == 0;
  const RingLimits limits = {arena.get(), lines * kLineBytes, arena_in_lane, window, &info};

  ring::SlotCopy copy = {};
  const uint16_t any = input.Take<uint16_t>();
  constexpr auto kVectors = operations::Vectors::kOpcodes;
  const uint32_t opcodes[] = {kVectors[any % kVectors.size()], VGPU_OP_DEVICE_INFO, VGPU_OP_WINDOW, any};
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
  if (operations::Vectors::Has(request.op->opcode)) CheckVectors(request, limits);
  Run(&request, limits, 0, request.op->in_slot != nullptr ? 0 : request.count);
}

}  // namespace
}  // namespace vgpu::mediator

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  vgpu::mediator::DecodeAndRun({data, size});
  return 0;
}
