// SPDX-License-Identifier: Apache-2.0
// Messages between the mediator and an engine process, over one end of a SOCK_SEQPACKET pair.
#ifndef VGPU_ENGINE_CHANNEL_H_
#define VGPU_ENGINE_CHANNEL_H_

#include <array>
#include <string_view>

#include "engine/engine_abi.h"
#include "base/unique_fd.h"

namespace vgpu::engine {

// What travels with a message. A packet has all of them that are valid, in this order.
struct MessageFds {
  int region = -1;
  int rings = -1;
};
using ReceivedFds = std::array<base::UniqueFd, 2>;

class Channel {
 public:
  explicit Channel(base::UniqueFd socket) : socket_(std::move(socket)) {}

  int fd() const { return socket_.get(); }

  // False: the other side is gone, or (non-blocking) does not read.
  bool Send(const Message& message, const MessageFds& fds = {}) const;

  enum class Received : uint8_t { kMessage, kNothingYet, kClosed };
  // Blocks unless `wait` is false. A packet of another size counts as kClosed: the other side is broken.
  Received Receive(Message* message, ReceivedFds* fds, bool wait) const;

 private:
  base::UniqueFd socket_;
};

// Copies text into a message's field, cut off at its end.
template <size_t kBytes>
void SetText(char (&field)[kBytes], std::string_view text) {
  const size_t length = text.size() < kBytes - 1 ? text.size() : kBytes - 1;
  text.copy(field, length);
  field[length] = 0;
}

}  // namespace vgpu::engine

#endif  // VGPU_ENGINE_CHANNEL_H_
