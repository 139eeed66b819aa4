// SPDX-License-Identifier: Apache-2.0
// The register window's messages (ring/regs.h): parses a request, computes, writes the response. Pure.
#ifndef VGPU_MEDIATOR_REQUESTS_WINDOW_H_
#define VGPU_MEDIATOR_REQUESTS_WINDOW_H_

#include <cstdint>
#include <span>

#include "api/device_info.h"

namespace vgpu::mediator {

struct WindowAnswer {
  uint32_t code;   // VGPU_OK or VGPU_ERR_*; also in the response's status
  uint32_t bytes;  // of the response
};

// `request` is private memory. `response` has room for VGPU_WINDOW_BUF_BYTES; a response is always written.
WindowAnswer AnswerWindow(std::span<const char> request, const vgpu_device_info& info,
                          std::span<char> response);

}  // namespace vgpu::mediator

#endif  // VGPU_MEDIATOR_REQUESTS_WINDOW_H_
