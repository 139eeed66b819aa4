// SPDX-License-Identifier: Apache-2.0
// QEMU's part: the register page's buffers, and what its handlers do with them.
#ifndef VGPU_BENCH_SUBJECTS_SOCKET_DEVICE_H_
#define VGPU_BENCH_SUBJECTS_SOCKET_DEVICE_H_

#include <array>
#include <atomic>
#include <cstdint>

#include "bench/subjects/socket/channel.h"
#include "bench/subjects/socket/message.h"

namespace vgpu::bench::socket {

enum Status : uint32_t { kIdle = 0, kBusy = 1, kDone = 2, kError = 3 };

// Shared by the guest's thread (in its exits) and the main loop.
struct Registers {
  std::atomic<uint32_t> status{kIdle};
  uint32_t request_id = 0;
  uint32_t request_len = 0;
  uint32_t response_len = 0;
  std::array<uint8_t, kBytesMax> request_buf;
  std::array<uint8_t, kBytesMax> response_buf;
};

// The doorbell was rung: the request goes over the socket.
void SendRequest(const Registers* registers, int socket);

// A message has come from the daemon: the response is in its buffer afterwards, and STATUS says so.
void Complete(Registers* registers, const Message& response);

}  // namespace vgpu::bench::socket

#endif  // VGPU_BENCH_SUBJECTS_SOCKET_DEVICE_H_
