// SPDX-License-Identifier: Apache-2.0
#include "bench/subjects/socket/channel.h"

#include <sys/socket.h>

#include <cerrno>
#include <cstring>
#include <stdexcept>

namespace vgpu::bench::socket {

void Send(int fd, const Message& message) {
  const size_t bytes = sizeof(Header) + message.header.bytes;
  if (send(fd, &message, bytes, MSG_NOSIGNAL) != static_cast<ssize_t>(bytes)) {
    throw std::runtime_error("the other end of the socket is gone");
  }
}

// MSG_DONTWAIT, not O_NONBLOCK: that flag would be the other users' of this end, too.
bool Receiver::Take(bool block, Message* message) {
  for (;;) {
    auto* to = reinterpret_cast<char*>(&arriving_) + arrived_;
    const ssize_t got = recv(fd_, to, sizeof arriving_ - arrived_, block ? 0 : MSG_DONTWAIT);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return false;
    arrived_ += static_cast<size_t>(got);
    if (arrived_ < sizeof(Header)) continue;
    const size_t whole = sizeof(Header) + arriving_.header.bytes;
    if (whole > sizeof(Message) || arrived_ > whole) throw std::runtime_error("not one message at a time");
    if (arrived_ < whole) continue;
    std::memcpy(message, &arriving_, whole);
    arrived_ = 0;
    return true;
  }
}

}  // namespace vgpu::bench::socket
