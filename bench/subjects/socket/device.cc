// SPDX-License-Identifier: Apache-2.0
#include "bench/subjects/socket/device.h"

#include <cstring>

namespace vgpu::bench::socket {

void SendRequest(const Registers* registers, int socket) {
  Message message;
  message.header = {registers->request_len, registers->request_id};
  std::memcpy(message.body.data(), registers->request_buf.data(), registers->request_len);
  Send(socket, message);
}

void Complete(Registers* registers, const Message& response) {
  std::memcpy(registers->response_buf.data(), response.body.data(), response.header.bytes);
  registers->response_len = response.header.bytes;
  const bool mine = response.header.request_id == registers->request_id;
  registers->status.store(mine ? kDone : kError, std::memory_order_release);
}

}  // namespace vgpu::bench::socket
