// SPDX-License-Identifier: Apache-2.0
// What goes over the socket: a header and the register window's
// request or response (docs/spec/registers.md), whole.
#ifndef VGPU_BENCH_SUBJECTS_SOCKET_MESSAGE_H_
#define VGPU_BENCH_SUBJECTS_SOCKET_MESSAGE_H_

#include <array>
#include <cstdint>

namespace vgpu::bench::socket {

inline constexpr uint32_t kBytesMax = 1024;  // of REQUEST_BUF and RESPONSE_BUF
inline constexpr uint32_t kVersion = 0x00010000;
inline constexpr uint32_t kVectorAdd = 1;

struct Header {
  uint32_t bytes;  // that follow
  uint32_t request_id;
};

struct Message {
  Header header;
  std::array<uint8_t, kBytesMax> body;
};

struct AddRequest {
  uint32_t version, opcode, flags, param_count, data_offset, data_length, reserved[2];
  uint32_t params[2];
};
static_assert(sizeof(AddRequest) == 40);

struct AddResponse {
  uint32_t version, status, result_count, data_offset, data_length, exec_time_us, reserved[2];
  uint32_t results[1];
};
static_assert(sizeof(AddResponse) == 36);

}  // namespace vgpu::bench::socket

#endif  // VGPU_BENCH_SUBJECTS_SOCKET_MESSAGE_H_
