// SPDX-License-Identifier: Apache-2.0
#include "guest/register_window.h"

#include <fmt/format.h>
#include <time.h>

#include <cstring>

#include "api/codes.h"

namespace vgpu::guest {
namespace {

constexpr uint32_t kWordBytes = sizeof(uint32_t);
constexpr uint32_t kBufferBytes = VGPU_REG_RESPONSE_BUF - VGPU_REG_REQUEST_BUF;

Error Damaged() {
  return {VGPU_ERR_VERSION,
          "the register window holds a response that this program cannot read: is the mediator of "
          "another version?"};
}

}  // namespace

Result<WindowResponse> RegisterWindow::Call(uint32_t opcode, std::initializer_list<uint32_t> params,
                                            TimePoint deadline) const {
  vgpu_window_request request = {};
  request.version = VGPU_WINDOW_VERSION;
  request.opcode = opcode;
  request.param_count = static_cast<uint32_t>(params.size());
  std::vector<uint32_t> words(sizeof(request) / kWordBytes);
  std::memcpy(words.data(), &request, sizeof(request));
  words.insert(words.end(), params);
  const auto bytes = static_cast<uint32_t>(words.size() * kWordBytes);
  if (bytes > kBufferBytes) return Fail(VGPU_ERR_BAD_ARGUMENT, "too many parameters for the register window");

  if (auto idle = AwaitEnd(deadline); !idle) return tl::make_unexpected(idle.error());
  registers_.Write(VGPU_REG_REQUEST_ID, ++request_id_);
  for (uint32_t i = 0; i < words.size(); ++i)
    registers_.Write(VGPU_REG_REQUEST_BUF + i * kWordBytes, words[i]);
  registers_.Write(VGPU_REG_REQUEST_LEN, bytes);
  registers_.Write(VGPU_REG_DOORBELL, 1);

  auto status = AwaitEnd(deadline);
  if (!status) return tl::make_unexpected(status.error());
  auto response = *status == VGPU_STATUS_DONE    ? ReadResponse()
                  : *status == VGPU_STATUS_ERROR ? tl::make_unexpected(ReadError())
                                                 : tl::make_unexpected(Lost());
  // A reset clears the tag, and what was read since it is zeros; a device that is gone reads as ones.
  if (registers_.Read(VGPU_REG_REQUEST_ID) != request_id_) return tl::make_unexpected(Lost());
  return response;
}

Error RegisterWindow::ReadError() const {
  const uint32_t code = registers_.Read(VGPU_REG_ERROR_CODE);
  if (code == VGPU_ERR_UNAVAILABLE) return Unattached(registers_.Read(VGPU_REG_REFUSAL), Refused(code).text);
  return Refused(code);
}

// Why the window does not hold the request any more, or what it never should.
Error RegisterWindow::Lost() const {
  if (registers_.Gone()) return DeviceGone();
  const uint32_t status = registers_.Read(VGPU_REG_STATUS);
  if (status > VGPU_STATUS_ERROR) {
    return {
        VGPU_ERR_VERSION,
        fmt::format(
            "the register window has STATUS {}, which this program does not know: is the device of another "
            "version?",
            status)};
  }
  return {VGPU_ERR_RESET,
          "the device was reset under the request, which may have been carried out: send it again"};
}

// Waits until the window is not BUSY and returns its status.
Result<uint32_t> RegisterWindow::AwaitEnd(TimePoint deadline) const {
  const TimePoint begin = Clock::now();
  while (true) {
    const uint32_t status = registers_.Read(VGPU_REG_STATUS);
    if (status > VGPU_STATUS_ERROR) return tl::make_unexpected(Lost());
    if (status != VGPU_STATUS_BUSY) return status;
    if (Clock::now() >= deadline) {
      return Fail(
          VGPU_ERR_TIMEOUT,
          fmt::format("the register window was still busy after {:.0f} ms: allow more time, or look at the "
                      "mediator's load with `vgpuctl status`",
                      std::chrono::duration<double, std::milli>(Clock::now() - begin).count()));
    }
    if (poll_.count() > 0) {
      const timespec time = {static_cast<time_t>(poll_.count() / 1'000'000'000),
                             poll_.count() % 1'000'000'000};
      nanosleep(&time, nullptr);
    }
  }
}

Result<WindowResponse> RegisterWindow::ReadResponse() const {
  const uint32_t bytes = registers_.Read(VGPU_REG_RESPONSE_LEN);
  if (bytes < sizeof(vgpu_window_response) || bytes > kBufferBytes) return tl::make_unexpected(Damaged());
  std::vector<uint32_t> words((bytes + kWordBytes - 1) / kWordBytes);
  for (uint32_t i = 0; i < words.size(); ++i)
    words[i] = registers_.Read(VGPU_REG_RESPONSE_BUF + i * kWordBytes);
  vgpu_window_response response;
  std::memcpy(&response, words.data(), sizeof(response));
  if (response.status != VGPU_OK) return tl::make_unexpected(Refused(response.status));
  const uint32_t room = bytes - static_cast<uint32_t>(sizeof(response));
  if (response.result_count > room / kWordBytes || response.data_length > bytes ||
      response.data_offset > bytes - response.data_length) {
    return tl::make_unexpected(Damaged());
  }
  WindowResponse out;
  const auto* results = words.data() + sizeof(response) / kWordBytes;
  out.results.assign(results, results + response.result_count);
  const auto* data = reinterpret_cast<const uint8_t*>(words.data()) + response.data_offset;
  out.data.assign(data, data + response.data_length);
  out.exec_time_us = response.exec_time_us;
  return out;
}

Result<int32_t> RegisterWindow::Add(int32_t a, int32_t b, TimePoint deadline) const {
  auto response =
      Call(VGPU_WINDOW_OP_VECTOR_ADD, {static_cast<uint32_t>(a), static_cast<uint32_t>(b)}, deadline);
  if (!response) return tl::make_unexpected(response.error());
  if (response->results.size() != 1) return tl::make_unexpected(Damaged());
  return static_cast<int32_t>(response->results[0]);
}

}  // namespace vgpu::guest
