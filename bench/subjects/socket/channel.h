// SPDX-License-Identifier: Apache-2.0
// Whole messages over a stream socket.
#ifndef VGPU_BENCH_SUBJECTS_SOCKET_CHANNEL_H_
#define VGPU_BENCH_SUBJECTS_SOCKET_CHANNEL_H_

#include <cstddef>

#include "bench/subjects/socket/message.h"

namespace vgpu::bench::socket {

void Send(int fd, const Message& message);

// Takes one message. A stream may come in pieces: what has arrived is kept until the rest has.
class Receiver {
 public:
  explicit Receiver(int fd) : fd_(fd) {}

  // False: none yet. With `block`, waits for it; then false means that the other side is gone.
  bool Take(bool block, Message* message);

 private:
  const int fd_;
  Message arriving_;
  size_t arrived_ = 0;
};

}  // namespace vgpu::bench::socket

#endif  // VGPU_BENCH_SUBJECTS_SOCKET_CHANNEL_H_
