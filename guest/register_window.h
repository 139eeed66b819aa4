// SPDX-License-Identifier: Apache-2.0
// The register window: one request at a time through BAR0, as programs do that know only the register page.
#ifndef VGPU_GUEST_REGISTER_WINDOW_H_
#define VGPU_GUEST_REGISTER_WINDOW_H_

#include <chrono>
#include <cstdint>
#include <initializer_list>
#include <vector>

#include "guest/error.h"
#include "guest/registers.h"
#include "guest/transport.h"

namespace vgpu::guest {

struct WindowResponse {
  std::vector<uint32_t> results;
  std::vector<uint8_t> data;
  uint32_t exec_time_us = 0;
};

// Single-threaded; one user of the window at a time (PciTransport::ClaimWindow).
class RegisterWindow {
 public:
  // Looks at STATUS every `poll` (0: without a pause).
  RegisterWindow(const Registers& registers, std::chrono::nanoseconds poll)
      : registers_(registers), poll_(poll) {}

  // Sends one request and waits for its end. A refusal (by the device or by the mediator) is an error with
  // its code.
  Result<WindowResponse> Call(uint32_t opcode, std::initializer_list<uint32_t> params,
                              TimePoint deadline) const;

  Result<int32_t> Add(int32_t a, int32_t b, TimePoint deadline) const;

 private:
  Result<uint32_t> AwaitEnd(TimePoint deadline) const;
  Result<WindowResponse> ReadResponse() const;
  Error ReadError() const;
  Error Lost() const;

  const Registers& registers_;
  const std::chrono::nanoseconds poll_;
  mutable uint32_t request_id_ = 0;  // of the last request
};

}  // namespace vgpu::guest

#endif  // VGPU_GUEST_REGISTER_WINDOW_H_
