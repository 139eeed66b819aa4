// SPDX-License-Identifier: Apache-2.0
// Messages over one control connection: framing, limits and descriptors, nothing of their meaning.
#ifndef VGPU_MEDIATOR_CONTROL_CHANNEL_H_
#define VGPU_MEDIATOR_CONTROL_CHANNEL_H_

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "base/result.h"
#include "mediator/peer_fd.h"
#include "ring/control.h"

namespace vgpu::mediator {

struct ControlMessage {
  uint32_t type = 0;
  std::vector<char> payload;
  std::vector<PeerFd> fds;

  // The payload as a message of type T; null if its size differs.
  template <class T>
  const T* As() const {
    return payload.size() == sizeof(T) ? reinterpret_cast<const T*>(payload.data()) : nullptr;
  }
};

// Never blocks. Owns its socket.
class ControlChannel {
 public:
  // `payload_max`: bytes of the longest message to receive.
  explicit ControlChannel(PeerFd socket, uint32_t payload_max = VGPU_CONTROL_PAYLOAD_MAX)
      : socket_(std::move(socket)), payload_max_(payload_max) {}

  int fd() const { return socket_.get(); }

  enum class Received : uint8_t { kMessage, kNothingYet, kClosed };
  // The next whole message. An error is a breach of the protocol (wrong magic or version, too long, too many
  // descriptors, cut off in the middle): the connection is of no use any more.
  base::Result<Received> Receive(ControlMessage* message);

  // Sends or queues. False: the peer does not read, or is gone.
  bool Send(uint32_t type, std::string_view payload);
  template <class T>
    requires(std::is_trivially_copyable_v<T>)
  bool Send(uint32_t type, const T& payload) {
    return Send(type, std::string_view(reinterpret_cast<const char*>(&payload), sizeof payload));
  }

  // Is something queued that the socket did not take? Flush when it is writable again.
  bool pending() const { return sent_ != out_.size(); }
  bool Flush();

 private:
  base::Result<bool> Fill(char* to, size_t want, size_t* have);

  const PeerFd socket_;
  const uint32_t payload_max_;
  vgpu_msg_header header_{};
  size_t header_have_ = 0;
  std::vector<char> payload_;
  size_t payload_have_ = 0;
  std::vector<PeerFd> fds_;
  std::string out_;
  size_t sent_ = 0;
};

}  // namespace vgpu::mediator

#endif  // VGPU_MEDIATOR_CONTROL_CHANNEL_H_
