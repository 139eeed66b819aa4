// SPDX-License-Identifier: Apache-2.0
#include "mediator/requests/window.h"

#include <array>
#include <cassert>
#include <chrono>
#include <cstring>

#include "api/codes.h"
#include "api/device_info.h"
#include "ring/regs.h"

namespace vgpu::mediator {
namespace {

using Clock = std::chrono::steady_clock;

struct Results {
  std::array<uint32_t, 2> values;
  uint32_t count = 0;
  const void* data = nullptr;
  uint32_t data_bytes = 0;
};

// VGPU_OK if the header's lengths fit the message.
uint32_t CheckHeader(const vgpu_window_request& header, size_t bytes) {
  if (header.version != VGPU_WINDOW_VERSION) return VGPU_ERR_INVALID_REQUEST;
  if (header.param_count > (bytes - sizeof header) / sizeof(uint32_t)) return VGPU_ERR_INVALID_LENGTH;
  if (header.data_length > bytes || header.data_offset > bytes - header.data_length)
    return VGPU_ERR_INVALID_LENGTH;
  return VGPU_OK;
}

uint32_t Run(const vgpu_window_request& header, const char* params, const vgpu_device_info& info,
             Results* results) {
  switch (header.opcode) {
    case VGPU_WINDOW_OP_NOP: return VGPU_OK;
    case VGPU_WINDOW_OP_VECTOR_ADD: {
      if (header.param_count != 2) return VGPU_ERR_INVALID_REQUEST;
      uint32_t operand[2];
      std::memcpy(operand, params, sizeof operand);
      results->values[results->count++] = operand[0] + operand[1];
      return VGPU_OK;
    }
    case VGPU_WINDOW_OP_DEVICE_INFO:
      results->data = &info;
      results->data_bytes = sizeof info;
      return VGPU_OK;
    default: return VGPU_ERR_UNSUPPORTED;
  }
}

}  // namespace

WindowAnswer AnswerWindow(std::span<const char> request, const vgpu_device_info& info,
                          std::span<char> response) {
  assert(response.size() >= VGPU_WINDOW_BUF_BYTES);
  const Clock::time_point start = Clock::now();
  Results results;
  uint32_t code = VGPU_ERR_INVALID_LENGTH;
  vgpu_window_request header;
  if (request.size() >= sizeof header) {
    std::memcpy(&header, request.data(), sizeof header);
    code = CheckHeader(header, request.size());
    if (code == VGPU_OK) code = Run(header, request.data() + sizeof header, info, &results);
  }
  const uint32_t results_bytes = results.count * static_cast<uint32_t>(sizeof(uint32_t));
  vgpu_window_response answer{};
  answer.version = VGPU_WINDOW_VERSION;
  answer.status = code;
  answer.result_count = results.count;
  answer.data_length = results.data_bytes;
  answer.data_offset = results.data_bytes == 0 ? 0 : static_cast<uint32_t>(sizeof answer) + results_bytes;
  answer.exec_time_us = static_cast<uint32_t>(
      std::chrono::duration_cast<std::chrono::microseconds>(Clock::now() - start).count());
  char* out = response.data();
  std::memcpy(out, &answer, sizeof answer);
  std::memcpy(out + sizeof answer, results.values.data(), results_bytes);
  if (results.data_bytes != 0) std::memcpy(out + answer.data_offset, results.data, results.data_bytes);
  return {code, static_cast<uint32_t>(sizeof answer) + results_bytes + results.data_bytes};
}

}  // namespace vgpu::mediator
